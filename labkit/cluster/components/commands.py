"""Running a component's own tool (istioctl, linkerd) on a cluster, and reading what it renders."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.policy import yamlseam

from .shape import ComponentError

_LINES = 12  # of a tool's own words about a failure


@dataclass(frozen=True, slots=True)
class Said:
    """What a tool wrote, and how it ended."""

    command: str
    stdout: str
    stderr: str
    code: int

    def failure(self) -> str:
        """The command and the tool's last words, for a person to read."""
        words = [line for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return "\n".join([f"`{self.command}` failed with exit code {self.code}:", *words[-_LINES:]])


def run(
    tool: Path, arguments: Sequence[str], *, cluster: Cluster | None = None, timeout: float = 120.0
) -> Said:
    """Run a tool to its end, on this cluster and no other. A failing exit code is a result.

    Raises ComponentError when it cannot be started or does not end in time.
    """
    environment = dict(os.environ)
    if cluster is not None:
        environment |= {"KUBECONFIG": str(cluster.client.kubeconfig or environment.get("KUBECONFIG", ""))}
        arguments = [*arguments, "--context", cluster.client.context.name]
    command = " ".join([tool.name, *arguments])
    try:
        done = subprocess.run(
            [str(tool), *arguments],
            env={name: value for name, value in environment.items() if value},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ComponentError(f"`{command}` did not end within {timeout:g} s.") from None
    except OSError as problem:
        raise ComponentError(f"{tool} cannot be run: {problem.strerror}.") from None
    return Said(command, done.stdout, done.stderr, done.returncode)


def rendered(said: Said) -> list[dict[str, Any]]:
    """The objects that a tool has rendered. Raises ComponentError when it failed, or rendered something else."""
    if said.code != 0:
        raise ComponentError(said.failure())
    try:
        objects = yamlseam.load_plain(said.stdout)
    except yamlseam.YamlError as problem:
        raise ComponentError(f"`{said.command}` did not render YAML: {problem}") from None
    if not objects:
        raise ComponentError(f"`{said.command}` rendered nothing. {said.stderr.strip()}".strip())
    return objects
