"""A running pocket cluster for tests, spoken to by the real kubectl."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.pocket import lifecycle, preflight

KUBECTL = str(Path(sys.executable).parent / "kubectl")


def unsupported() -> str:
    """Why this machine runs no cluster, or nothing."""
    bad = [check for check in preflight.checks() if not check.ok]
    assert not bad or bad[0].id != "trial", bad  # a mistake of ours must not look like a machine that cannot
    return f"{bad[0].what}: {bad[0].why}" if bad else ""


@dataclass(frozen=True)
class RunningCluster:
    name: str
    home: Path

    @property
    def kubeconfig(self) -> Path:
        return self.home / "clusters" / self.name / "kubeconfig"

    @property
    def pid(self) -> int:
        pid = lifecycle.status(self.name, self.home).pid
        assert pid is not None
        return pid

    def command(self, *words: str) -> list[str]:
        return [KUBECTL, "--kubeconfig", str(self.kubeconfig), *words]

    def kubectl(
        self, *words: str, given: str = "", check: bool = True, seconds: float = 40
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), input=given, capture_output=True, text=True, timeout=seconds, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def out(self, *words: str, **options: Any) -> str:
        return self.kubectl(*words, **options).stdout

    def get(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out("get", *words, "-o", "json"))
        return found

    def terminal(self, *words: str, lines: Sequence[str] = (), seconds: float = 20) -> tuple[str, int]:
        """Run kubectl on a terminal and type lines whenever it falls silent: (what was seen, exit code)."""
        pid, master = pty.fork()
        if pid == 0:
            os.execv(KUBECTL, self.command(*words))
        seen = b""
        left = list(lines)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([master], [], [], 0.6)[0]:
                try:
                    part = os.read(master, 65536)
                except OSError:
                    break
                if not part:
                    break
                seen += part
            elif left:
                os.write(master, left.pop(0).encode() + b"\n")
        os.close(master)
        return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@dataclass(frozen=True)
class Room:
    """A namespace of a running cluster, for one test."""

    cluster: RunningCluster
    namespace: str

    def kubectl(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.cluster.kubectl("-n", self.namespace, *words, **options)

    def out(self, *words: str, **options: Any) -> str:
        return self.kubectl(*words, **options).stdout

    def get(self, *words: str) -> dict[str, Any]:
        return self.cluster.get("-n", self.namespace, *words)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", given="\n---\n".join(json.dumps(obj) for obj in objects))

    def pod(self, name: str, container: dict[str, Any] | None = None, **spec: Any) -> None:
        """Create a pod with one container (agnhost's pause unless told otherwise)."""
        one = {"name": "c", "image": "agnhost", **(container or {})}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {"containers": [one], **spec},
            }
        )

    def ready(self, name: str, seconds: int = 15) -> None:
        self.kubectl("wait", f"pod/{name}", "--for=condition=Ready", f"--timeout={seconds}s")

    def until(
        self, name: str, question: Callable[[dict[str, Any]], Any], seconds: float = 15
    ) -> dict[str, Any]:
        """Wait until something is true of a pod; returns the pod."""
        end = time.monotonic() + seconds
        pod: dict[str, Any] = {}
        while time.monotonic() < end:
            pod = self.get("pod", name)
            if question(pod):
                return pod
            time.sleep(0.1)
        raise AssertionError(f"never true of {json.dumps(pod.get('status'), indent=1)}")

    def events(self, name: str) -> list[tuple[str, str]]:
        found = self.get("events", f"--field-selector=involvedObject.name={name}")["items"]
        return [(event["reason"], event["message"]) for event in found]

    def run(self, name: str, script: str, check: bool = True) -> str:
        """A shell script in a pod; its output."""
        return self.out("exec", name, "--", "sh", "-c", script, check=check)


def state_of(pod: dict[str, Any], index: int = 0) -> dict[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[index].get("state") or {})


def reason_of(pod: dict[str, Any]) -> str:
    state = state_of(pod)
    return str(next(iter(state.values()), {}).get("reason", "")) if state else ""


_namespaces: dict[Path, set[str]] = {}


def processes_of(home: Path) -> list[int]:
    """The processes of a lab home's clusters: daemons by their command line, and all in a daemon's user namespace.

    Remembers the namespaces, so that what a dead daemon left behind would be found: call it once while all live.
    """
    seen = _namespaces.setdefault(home, set())
    everyone: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                continue  # ended; its parent, the machine's init, has not taken note yet
            everyone[int(entry.name)] = str((entry / "ns/user").readlink())
            if str(home).encode() in (entry / "cmdline").read_bytes():
                seen.add(everyone[int(entry.name)])
        except OSError:
            pass  # it has just ended, or is a kernel thread
    seen.discard(str(Path("/proc/self/ns/user").readlink()))
    return [pid for pid, namespace in everyone.items() if namespace in seen]
