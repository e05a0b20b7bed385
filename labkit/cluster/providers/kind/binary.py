"""The `kind` program: found, and asked for its version."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.errors import ClusterError
from labkit.cluster.steps import Steps

#: kindnet, kind's own network, enforces NetworkPolicy from this version on (https://github.com/kubernetes-sigs/kind/releases/tag/v0.24.0).
MINIMUM = (0, 24)
_SECONDS = 20
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?\S*")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind program that runs. `version` is as it says it; `numbers` for comparing."""

    path: Path
    version: str
    numbers: tuple[int, ...]

    @property
    def enforces(self) -> bool:
        """Whether its own network enforces NetworkPolicy."""
        return self.numbers[:2] >= MINIMUM


def find_kind(steps: Steps | None = None) -> Kind:
    """kind from PATH, from the cache, or downloaded. Raises ClusterError."""
    from labkit.cluster import tools

    return ask(tools.find("kind", progress=steps.note if steps else None))


def ask(path: Path) -> Kind:
    """A kind program and its version. Raises ClusterError when it does not run or does not say one."""
    try:
        done = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, errors="replace", timeout=_SECONDS,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ClusterError(f"{path} cannot be run: {problem}") from None
    found = _VERSION.search(done.stdout)
    if done.returncode or found is None:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ClusterError(f"{path} does not say its version: {said}")
    numbers = tuple(int(number or 0) for number in found.groups())
    return Kind(path, found.group(), numbers)


def too_old(kind: Kind) -> str:
    """Why a version will not do; "" when it will."""
    if kind.enforces:
        return ""
    return (
        f"{kind.path} is version {kind.version}. Before 0.24 kind's own network accepts NetworkPolicies and ignores them,"
        " so that a policy chapter would teach what is not true."
    )
