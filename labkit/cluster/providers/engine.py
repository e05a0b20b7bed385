"""Is there a container engine, for clusters that kind makes? Asked by really calling it."""

from __future__ import annotations

import shutil
import subprocess
import sys

from . import Finding

ENGINES = ("docker", "podman", "nerdctl")
_SECONDS = 10


def container_engine() -> Finding:
    """Whether docker, podman or nerdctl is here and answers; what to do if not."""
    title = "a container engine (docker, podman or nerdctl), for clusters made with kind"
    present = [name for name in ENGINES if shutil.which(name)]
    if not present:
        why = "None is installed. The embedded cluster needs none; kind does."
        return Finding(title, False, why, _install())
    complaints = []
    for name in present:
        problem = _ask(name)
        if not problem:
            return Finding(title, True, f"{name} answers.")
        complaints.append(f"{name}: {problem}")
    remedy = (
        "open -a Docker"
        if sys.platform == "darwin"
        else "sudo systemctl start docker && sudo usermod -aG docker $USER"
    )
    return Finding(title, False, "\n".join(["It is installed, but does not answer:", *complaints]), remedy)


def _ask(name: str) -> str:
    """What is wrong, in the engine's own last words; empty when it answers."""
    try:
        done = subprocess.run([name, "info"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    words = (done.stderr or done.stdout).strip().splitlines()
    return (words[-1] if words else f"exit code {done.returncode}") if done.returncode else ""


def _install() -> str:
    if sys.platform == "darwin":
        return "brew install --cask docker && open -a Docker"
    return "sudo apt-get install docker.io && sudo usermod -aG docker $USER   # then log in again"
