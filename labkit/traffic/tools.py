"""The two ways to try flows from inside a container: `labkit-probe` where there is one, else a shell script.

Each takes the attempts of one container and gives, for each, its readings. Which one is used depends on what the
container has, never on who made the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labkit.cluster import Cluster, ExecError

from .observation import Reading
from .script import PROCESSES, read_tool, shell_script
from .targets import Attempt, Source

#: Seconds that starting a command in a container and its output may take on a busy cluster.
_SLACK = 20.0
_PROBE = "/usr/local/bin/labkit-probe"


class NoTool(Exception):  # noqa: N818 - an answer about a container, not a failure
    """The container has nothing to try a flow with; the text says so."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to ask once a TCP connection stands, when the answer matters and not only the connection."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Manner:
    """How flows are tried: seconds for an attempt, readings that must agree, the most readings, seconds between them."""

    timeout: float = 1.0
    equal: int = 2
    most: int = 5
    interval: float = 0.3
    http: HttpRequest | None = None


def with_probe(
    cluster: Cluster, source: Source, attempts: Sequence[Attempt], manner: Manner
) -> list[list[Reading]]:
    """All readings with one run of labkit-probe. Raises NoTool when the container has none."""
    flows: list[dict[str, Any]] = []
    for number, attempt in enumerate(attempts):
        flow = {
            "id": number,
            "host": attempt.host,
            "port": attempt.flow.port,
            "protocol": attempt.flow.protocol,
        }
        if manner.http is not None and attempt.flow.protocol == "TCP":
            request = manner.http
            flow["http"] = {"method": request.method, "path": request.path, "headers": dict(request.headers)}
        flows.append(flow)
    rule = {"equal": manner.equal, "most": manner.most, "interval": manner.interval}
    task = json.dumps({"timeout": manner.timeout, "flows": flows, "readings": rule}) + "\n"
    patience = manner.most * (2 * max(manner.timeout, 1.0) + manner.interval) + _SLACK
    try:
        result = cluster.exec(
            source.namespace, source.pod, [_PROBE], container=source.container, stdin=task, timeout=patience
        )
    except ExecError as problem:
        raise NoTool(problem.message) from None
    if result.exit_code in (126, 127):  # as a runtime says it through a shell
        raise NoTool(result.stderr.strip())
    readings: list[list[Reading]] = [[] for _ in attempts]
    for line in sorted(map(json.loads, result.stdout.splitlines()), key=lambda one: int(one["reading"])):
        evidence = {key: value for key, value in line.items() if key not in ("id", "reading", "outcome")}
        readings[line["id"]].append(Reading(line["outcome"], {**evidence, "tool": "labkit-probe"}))
    return readings


def with_shell(
    cluster: Cluster, source: Source, attempts: Sequence[Attempt], manner: Manner
) -> list[Reading]:
    """One reading of each attempt, all in one run of `sh`, with the best tool the container has. Raises NoTool."""
    script = shell_script(attempts, manner.timeout, manner.http.path if manner.http else "/")
    patience = (len(attempts) // PROCESSES + 1) * 7 + _SLACK
    try:
        result = cluster.exec(
            source.namespace, source.pod, ["sh"], container=source.container, stdin=script, timeout=patience
        )
    except ExecError as problem:
        raise NoTool(f"the container {source.container} of pod {source.namespace}/{source.pod} has no shell to try "
                     f"anything with ({problem.message})") from None  # fmt: skip
    if "@none" in result.stdout:
        raise NoTool(f"the container {source.container} of pod {source.namespace}/{source.pod} has none of agnhost, curl, "
                     "nc, wget, bash; try from a pod that has one")  # fmt: skip
    found = [Reading("error", {"error": "the shell in the pod did not report on it"}) for _ in attempts]
    for line in result.stdout.splitlines():
        if line.startswith("@"):
            head, _, text = line[1:].partition(" | ")
            number, tool, code, seconds = head.split(" ")
            found[int(number)] = read_tool(tool, int(code), text.strip(), seconds)
    return found
