"""The container engine, for clusters that kind makes: which one is here, whether it answers, and what it says of itself.

docker, podman and nerdctl; the environment variable KIND_EXPERIMENTAL_PROVIDER chooses one, as it does for kind. DOCKER_HOST and
Docker's contexts are honoured, because the question goes through the engine's own command.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.cluster.errors import ClusterError

from . import Finding

ENGINES = ("docker", "podman", "nerdctl")
CHOICE = "KIND_EXPERIMENTAL_PROVIDER"
_SECONDS = 10
_TITLE = "a container engine (docker, podman or nerdctl), for clusters made with kind"


class NoEngine(ClusterError):  # noqa: N818 - it says what is the matter
    """No container engine answers. `finding` says why, and what would help."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.explanation}\nWhat helps:\n{finding.remedy}")
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers, and what its `info` said, in words that fit all of them. Sizes in bytes; 0 and "" are unknown."""

    name: str
    version: str = ""
    system: str = ""
    cgroup: int = 0
    memory: int = 0
    cpus: int = 0
    rootless: bool = False
    limits: bool = True  # memory, pids and CPU shares can be limited: what kind asks of a rootless engine
    folder: str = ""  # where it keeps images; on the engine's own machine
    host: str = ""  # DOCKER_HOST, where it is set

    @property
    def environment(self) -> dict[str, str]:
        """The environment for kind and for the engine's own command."""
        return {**os.environ, CHOICE: self.name}

    @property
    def local(self) -> bool:
        """Whether it runs on this machine's own kernel: not elsewhere (ssh, tcp), not in a virtual machine (Docker Desktop)."""
        remote = self.host.startswith(("tcp:", "ssh:", "http:", "https:"))
        return sys.platform == "linux" and not remote and "Docker Desktop" not in self.system

    def command(self, *words: str) -> list[str]:
        """A command line of the engine."""
        return [self.name, *words]

    def run(self, *words: str, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the engine's command and keep what it says. Raises ClusterError with its last words (unless check=False)."""
        try:
            done = subprocess.run(
                self.command(*words), capture_output=True, text=True, errors="replace", timeout=seconds,
                check=False, env=self.environment, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise ClusterError(f"{self.name} {words[0]}: {problem}") from None
        if check and done.returncode:
            raise ClusterError(f"{self.name} {' '.join(words[:2])}: {_last_words(done)}")
        return done


def find_engine() -> Engine:
    """The engine that kind will use. Raises NoEngine: none is installed, or none answers, and why."""
    chosen = os.environ.get(CHOICE, "")
    present = [name for name in ((chosen,) if chosen else ENGINES) if shutil.which(name)]
    if not present:
        raise NoEngine(Finding(_TITLE, False, _none(chosen), _install()))
    complaints = []
    for name in present:
        answer = _ask(name)
        if isinstance(answer, Engine):
            return answer
        complaints.append((name, answer))
    why = ["It is installed, but does not answer:", *(f"{name}: {words}" for name, words in complaints)]
    raise NoEngine(Finding(_TITLE, False, "\n".join(why), _remedy(*complaints[0])))


def container_engine() -> Finding:
    """Whether docker, podman or nerdctl is here and answers; what to do if not."""
    try:
        found = find_engine()
    except NoEngine as problem:
        return problem.finding
    return Finding(_TITLE, True, described(found))


def described(engine: Engine) -> str:
    """One line about an engine that answers."""
    words = f"{engine.name} {engine.version}".strip() + " answers"
    words += f" at {engine.host} (DOCKER_HOST)" if engine.host else ""
    return words + (", rootless." if engine.rootless else ".")


def _ask(name: str) -> Engine | str:
    """The engine, or what is wrong in its own last words."""
    try:
        done = subprocess.run(
            [name, "info", "--format", "{{json .}}"], capture_output=True, text=True, errors="replace",
            timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {_SECONDS} s"
    except OSError as problem:
        return str(problem)
    try:
        info = json.loads(done.stdout)
    except ValueError:
        info = {}
    info = info if isinstance(info, dict) else {}
    # `docker info` describes the client on standard output also when no server answers, and some versions exit with 0.
    said = [str(line) for line in info.get("ServerErrors") or []]
    if done.returncode or said:
        return said[-1] if said else _last_words(done)
    host = os.environ.get("DOCKER_HOST", "") if name == "docker" else ""
    return _podman(name, info) if "host" in info else _docker(name, info, host)


def _docker(name: str, info: Mapping[str, Any], host: str) -> Engine:
    """What docker and nerdctl say."""
    options = " ".join(str(one) for one in info.get("SecurityOptions") or ())
    limits = [bool(info.get(key, True)) for key in ("MemoryLimit", "PidsLimit", "CPUShares")]
    return Engine(
        name,
        version=str(info.get("ServerVersion") or ""),
        system=str(info.get("OperatingSystem") or ""),
        cgroup=int(str(info.get("CgroupVersion") or "0")),
        memory=int(info.get("MemTotal") or 0),
        cpus=int(info.get("NCPU") or 0),
        rootless="rootless" in options,
        limits=all(limits),
        folder=str(info.get("DockerRootDir") or ""),
        host=host,
    )


def _podman(name: str, info: Mapping[str, Any]) -> Engine:
    """What podman says. An engine called docker that talks like this is podman under another name, which kind has to know."""
    host = info["host"]
    controllers = set(host.get("cgroupControllers") or ())
    return Engine(
        "podman" if name == "docker" and shutil.which("podman") else name,
        version=str((info.get("version") or {}).get("Version") or ""),
        system=str((host.get("distribution") or {}).get("distribution") or ""),
        cgroup=2 if host.get("cgroupVersion") == "v2" else 1,
        memory=int(host.get("memTotal") or 0),
        cpus=int(host.get("cpus") or 0),
        rootless=bool((host.get("security") or {}).get("rootless")),
        limits=not controllers or {"memory", "pids", "cpu"} <= controllers,
        folder=str((info.get("store") or {}).get("graphRoot") or ""),
        host=os.environ.get("CONTAINER_HOST", ""),
    )


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    words = (done.stderr or done.stdout).strip().splitlines()
    return words[-1] if words else f"exit code {done.returncode}"


def _none(chosen: str) -> str:
    if chosen:
        return f"{CHOICE} asks for {chosen}, which is not installed (or not on PATH)."
    return "None is installed. The embedded cluster needs none; kind does."


def _remedy(name: str, complaint: str) -> str:
    """The command that would help an installed engine to answer."""
    small = complaint.lower()
    host = os.environ.get("DOCKER_HOST", "")
    if "permission denied" in small:
        return f"sudo usermod -aG docker $USER && newgrp docker   # {name} runs; only its socket is not for you yet"
    if host and name == "docker":
        return f"unset DOCKER_HOST   # it says {host}, where nothing answers; without it the default is asked"
    if sys.platform == "darwin":
        return "colima start" if not Path("/Applications/Docker.app").exists() else "open -a Docker"
    if _wsl():
        return "sudo service docker start   # or switch on Docker Desktop > Settings > Resources > WSL integration"
    if name == "podman":
        return "systemctl --user start podman.socket"
    if name == "nerdctl":
        return "sudo systemctl start containerd"
    return "sudo systemctl start docker && sudo usermod -aG docker $USER"


def _install() -> str:
    if sys.platform == "darwin":
        return "brew install --cask docker && open -a Docker"
    return "sudo apt-get install docker.io && sudo usermod -aG docker $USER   # then log in again"


def _wsl() -> bool:
    try:
        return "microsoft" in Path("/proc/version").read_text().lower()
    except OSError:
        return False
