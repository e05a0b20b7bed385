"""How long a pocket cluster takes: to serve, to run pods, to come back, to go.

    python benchmarks/pocket_start.py [--rounds N] [--pods N]

Every figure is also given as a multiple of what this machine, in the same run, needs to start a bare Python: seconds
depend on the machine and on what else it does, ratios much less. The median of the rounds is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from labkit.pocket import lifecycle

KUBECTL = str(Path(sys.executable).parent / "kubectl")

POD = {"name": "c", "image": "agnhost", "args": ["netexec", "--http-port=80"]}
PROBE = {"readinessProbe": {"httpGet": {"path": "/", "port": 80}}}


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare_python() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def labkit_up(home: Path) -> None:
    """The command as a learner types it, interpreter included."""
    code = "import sys, pathlib; from labkit.pocket import lifecycle; lifecycle.up('bench', home=pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(home)], check=True, cwd=Path(__file__).parents[1])


def kubectl(home: Path, *words: str, given: str = "") -> None:
    kubeconfig = home / "clusters" / "bench" / "kubeconfig"
    subprocess.run(
        [KUBECTL, "--kubeconfig", str(kubeconfig), *words],
        input=given,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def deployment(pods: int) -> str:
    labels = {"app": "many"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{**POD, **PROBE}]}}
    spec = {"replicas": pods, "selector": {"matchLabels": labels}, "template": template}
    return json.dumps(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}, "spec": spec}
    )


def memory(pid: int) -> float:
    """Megabytes of a cluster: proportional set size of every process in the daemon's user namespace."""
    kilobytes = 0
    namespace = Path(f"/proc/{pid}/ns/user").readlink()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/user").readlink() == namespace:
                rollup = (entry / "smaps_rollup").read_text()
                kilobytes += int(
                    next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1]
                )
        except (OSError, StopIteration):
            pass  # ended meanwhile
    return kilobytes / 1024


def one_round(pods: int) -> dict[str, float]:
    found: dict[str, float] = {"a bare Python": statistics.median(seconds(bare_python) for _ in range(5))}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        found["up, new cluster, command to serving API"] = seconds(lambda: labkit_up(home))
        found["first kubectl get after that"] = seconds(lambda: kubectl(home, "get", "nodes"))
        found["kube-dns ready after that"] = seconds(
            lambda: kubectl(
                home,
                "wait",
                "-n",
                "kube-system",
                "deploy/coredns",
                "--for=condition=Available",
                "--timeout=60s",
            )
        )
        info = lifecycle.status("bench", home)
        assert info.pid is not None
        found["memory of the empty cluster, MB"] = memory(info.pid)

        def many() -> None:
            kubectl(home, "apply", "-f", "-", given=deployment(pods))
            kubectl(home, "rollout", "status", "deployment/many", "--timeout=60s")

        found[f"{pods} pods ready, kubectl apply and wait"] = seconds(many)
        found[f"memory with {pods} pods, MB"] = memory(info.pid)
        os.kill(info.pid, signal.SIGKILL)
        found["up after kill -9"] = seconds(lambda: labkit_up(home))
        found["down"] = seconds(lambda: lifecycle.down("bench", home=home))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pods", type=int, default=20)
    options = parser.parse_args()
    rounds = [one_round(options.pods) for _ in range(options.rounds)]
    bare = statistics.median(one["a bare Python"] for one in rounds)
    for name in rounds[0]:
        value = statistics.median(one[name] for one in rounds)
        if name.endswith("MB"):
            print(f"{name:45} {value:8.0f}")
        else:
            print(f"{name:45} {value:8.2f} s {value / bare:8.1f} x")


if __name__ == "__main__":
    main()
