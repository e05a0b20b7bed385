"""How soon a NetworkPolicy holds: from the API's answer to the first connection that is treated by the new
rules.

    python benchmarks/enforcement.py [--changes 120] [--pods 20] [--policies 20]

Starts a pocket cluster of its own, lets one pod try a new connection to another every two milliseconds, and
creates and deletes a policy that forbids it. Prints median, 99th percentile and worst of both, in
milliseconds. A negative time means that the policy held before its answer had been read. For comparison,
kindnet on a kind cluster on a machine of this kind: 20 to 40 ms.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from labkit.pocket import lifecycle

GOAL = {"median": 50.0, "p99": 150.0}
POLICIES = "/apis/networking.k8s.io/v1/namespaces/bench/networkpolicies"

# Runs in the client pod: one new connection every two milliseconds; at the end, all of them as [start,
# succeeded].
CONNECT_AGAIN_AND_AGAIN = """
import json, select, socket, sys, time
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
tries, open_ = [], {}
poll = select.poll()
print("ready", flush=True)
end = time.monotonic() + seconds
following = time.monotonic()
while following < end:
    made = socket.socket()
    made.setblocking(False)
    start = time.monotonic()
    made.connect_ex((address, port))
    number = len(tries)
    tries.append([start, False])
    open_[made.fileno()] = (made, number)
    poll.register(made, select.POLLOUT)
    following = max(following + 0.002, time.monotonic())
    while True:
        rest = following - time.monotonic()
        for fd, _ in poll.poll(max(0, rest * 1000)):
            made, number = open_.pop(fd)
            tries[number][1] = not made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            poll.unregister(fd)
            made.close()
        if rest <= 0:
            break
    for fd, (made, number) in list(open_.items()):
        if time.monotonic() - tries[number][0] < 0.3:
            break
        poll.unregister(fd)
        made.close()
        del open_[fd]
json.dump(tries, sys.stdout)
"""


class Client:
    """One connection to the API, so that an answer's time is the answer's and not a handshake's."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder, "pair.pem")
            pair.write_bytes(
                base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
            )
            context.load_cert_chain(pair)
        server = urlsplit(cluster["server"])
        self._connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=context)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(body) if body else None
        self._connection.request(method, path, data, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.get('message')}")
        return answer


def policy(name: str, select: dict[str, str], peers: dict[str, str] | None) -> dict[str, Any]:
    ingress = [{"from": [{"podSelector": {"matchLabels": peers}}]}] if peers else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "bench"},
        "spec": {"podSelector": {"matchLabels": select}, "policyTypes": ["Ingress"], "ingress": ingress},
    }


def pod(name: str, labels: dict[str, str], args: list[str]) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.k8s.io/e2e-test-images/agnhost:2.53", "args": args}
    metadata = {"name": name, "namespace": "bench", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def set_up(client: Client, pods: int, policies: int) -> str:
    """The cluster's content; returns the server's address."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}
    client.request("POST", "/api/v1/namespaces", namespace)
    path = "/api/v1/namespaces/bench/pods"
    server = ["netexec", "--http-port=8080"]
    client.request("POST", path, pod("server", {"app": "server"}, server))
    client.request("POST", path, pod("client", {"app": "client"}, ["pause"]))
    for number in range(pods - 2):
        client.request("POST", path, pod(f"other-{number}", {"app": f"other-{number}"}, ["pause"]))
    for number in range(policies):
        other = {"app": f"other-{number % max(1, pods - 2)}"}
        client.request("POST", POLICIES, policy(f"other-{number}", other, {"app": "client"}))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = client.request("GET", path)["items"]
        if all(is_ready(item) for item in found):
            return next(p["status"]["podIP"] for p in found if p["metadata"]["name"] == "server")
        time.sleep(0.1)
    raise SystemExit("the pods did not become ready within a minute")


def is_ready(item: dict[str, Any]) -> bool:
    conditions = item.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def measure(client: Client, kubeconfig: Path, address: str, changes: int) -> dict[str, list[float]]:
    """Milliseconds from the answer to enforcement, for creating and for deleting."""
    gap = 0.15
    seconds = changes * gap * 1.25 + 3
    command = [
        str(Path(sys.executable).with_name("kubectl")),
        "--kubeconfig",
        str(kubeconfig),
        "-n",
        "bench",
        "exec",
        "client",
        "--",
    ]
    command += [sys.executable, "-c", CONNECT_AGAIN_AND_AGAIN, address, "8080", str(seconds)]
    prober = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert prober.stdout is not None
    assert prober.stdout.readline().strip() == "ready"
    dice = random.Random(1)
    answered: list[tuple[float, bool]] = []  # when, and whether connections should succeed from then on
    time.sleep(0.3)
    for number in range(changes):
        if number % 2 == 0:
            client.request("POST", POLICIES, policy("deny", {"app": "server"}, None))
        else:
            client.request("DELETE", f"{POLICIES}/deny")
        answered.append((time.monotonic(), number % 2 == 1))
        time.sleep(gap * dice.uniform(0.75, 1.25))
    tries: list[tuple[float, bool]] = [(start, good) for start, good in json.loads(prober.stdout.read())]
    if prober.wait():
        raise SystemExit("the client pod's connections ended early")
    times: dict[str, list[float]] = {"create": [], "delete": []}
    for number, (moment, good) in enumerate(answered):
        until = answered[number + 1][0] - 0.04 if number + 1 < len(answered) else moment + 0.3
        earliest = moment - 0.04
        window = [(start, result) for start, result in tries if earliest <= start < until]
        settled = len(window)
        while settled and window[settled - 1][1] == good:
            settled -= 1
        if settled == len(window):
            raise SystemExit(f"change {number} was not enforced before the next one")
        times["delete" if good else "create"].append(1000 * (window[settled][0] - moment))
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--changes", type=int, default=120)
    parser.add_argument("--pods", type=int, default=20, help="pods in the namespace")
    parser.add_argument("--policies", type=int, default=20, help="policies that stay as they are")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labkit-enforcement-") as folder:
        home = Path(folder)
        info = lifecycle.up("enforcement", home=home)
        try:
            client = Client(info.kubeconfig)
            address = set_up(client, options.pods, options.policies)
            times = measure(client, info.kubeconfig, address, options.changes)
        finally:
            lifecycle.down("enforcement", home=home)
    print(f"{options.pods} pods, {options.policies} other policies, {options.changes} changes; milliseconds")
    print(f"{'':10}{'median':>10}{'p99':>10}{'worst':>10}")
    good = True
    for name, values in times.items():
        values.sort()
        median, p99 = statistics.median(values), values[min(len(values) - 1, int(len(values) * 0.99))]
        good &= median <= GOAL["median"] and p99 <= GOAL["p99"]
        print(f"{name:10}{median:10.1f}{p99:10.1f}{values[-1]:10.1f}")
    print(f"goal: median {GOAL['median']:.0f}, p99 {GOAL['p99']:.0f}: {'reached' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
