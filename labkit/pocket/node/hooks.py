"""Lifecycle hooks: postStart and preStop, by command, pause or HTTP request (pkg/kubelet/lifecycle)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from labkit.pocket.node import probes
from labkit.pocket.node.spawner import StartError, ZygoteGone

_HTTP_SECONDS = 30
_OUTPUT_AT_MOST = 1000


async def run_hook(
    hook: Mapping[str, Any], container: Mapping[str, Any], address: str, run: probes.Run
) -> str:
    """Carry out a hook; returns what went wrong, or nothing."""
    try:
        if "exec" in hook:
            code, output = await run(hook["exec"]["command"])
            return "" if code == 0 else f"command exited with {code}: {output[:_OUTPUT_AT_MOST]}"
        if "sleep" in hook:
            await asyncio.sleep(float(hook["sleep"]["seconds"]))
        elif "httpGet" in hook:
            request = {"httpGet": hook["httpGet"], "timeoutSeconds": _HTTP_SECONDS}
            result = await probes.ask(request, container, address, run)
            return "" if result.ok else result.message
    except (StartError, OSError, ZygoteGone) as problem:
        return str(problem)
    return ""
