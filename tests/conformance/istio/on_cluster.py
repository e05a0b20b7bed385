"""Tries the cases on a cluster with a mesh, real Istio or another: what clients there see, beside what the case says.

    python -m tests.conformance.istio.on_cluster KUBECONFIG [--image IMAGE] [--only TEXT] [--worlds 2]

IMAGE needs python3 and curl. Each world (namespaces, pods, Services) is made once under a prefix of its own and used by one case
after the other; `exclusive` cases and those that `only` an engine can answer are left out. All that is made is deleted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import yaml

from tests.conformance.istio.loader import Case, Request, load_cases, minted

# What the pods run: HTTP with the request's headers on 8080 and 8081, an echo of the first line on 9000 to 9002.
SERVER = """
import http.server, json, socketserver, threading
class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)
    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = answer
    def log_message(self, *a): pass
class Echo(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(b"hello " + self.request.recv(100))
for port in (8080, 8081):
    threading.Thread(target=http.server.ThreadingHTTPServer(("", port), Web).serve_forever).start()
socketserver.ThreadingTCPServer.allow_reuse_address = True
for port in (9000, 9001, 9002):
    threading.Thread(target=socketserver.ThreadingTCPServer(("", port), Echo).serve_forever).start()
"""
# Reads one attempt a line and writes its outcome: a running agent costs less than an exec for each request.
AGENT = """
import json, socket, subprocess, sys
def bytes_(a):
    try:
        s = socket.create_connection((a["host"], a["port"]), 4); s.settimeout(4); s.sendall(b"ping\\n")
        data = s.recv(100)
        return {"curl": 0 if data else 52, "status": 0, "body": data.decode()}
    except ConnectionResetError: return {"curl": 56, "status": 0, "body": ""}
    except OSError as e: return {"curl": 28, "status": 0, "body": repr(e)}
for line in sys.stdin:
    a = json.loads(line)
    if "args" not in a: out = bytes_(a)
    else:
        r = subprocess.run(["curl", "-sk", "-m", "5", "-w", "\\n%{http_code}", *a["args"]], capture_output=True)
        body, _, code = r.stdout.decode("utf-8", "replace").rpartition("\\n")
        out = {"curl": r.returncode, "status": int(code or 0), "body": body}
    print(json.dumps(out), flush=True)
"""
_NEEDS_OF_STOCK_ENVOY = ("alpn-filter", "unreachable-jwks")


@dataclass(frozen=True)
class Outcome:
    """What became of one request of a case: `problem` is empty when it is as the case says."""

    case: Case
    number: int
    problem: str


class Place:
    """One copy of a world on the cluster, with an agent in each client."""

    def __init__(self, kubeconfig: str, prefix: str, image: str) -> None:
        self._kubectl = ["kubectl", "--kubeconfig", kubeconfig]
        self.prefix = prefix
        self._image = image
        self._agents: dict[str, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()

    def name(self, namespace: str) -> str:
        """What a namespace of the cases is called here."""
        return f"{self.prefix}-{namespace}"

    def kubectl(self, *args: str, text: str = "", check: bool = True) -> str:
        """Run kubectl. Raises RuntimeError with what it said."""
        done = subprocess.run(
            [*self._kubectl, *args], input=text, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout + (done.stderr if not check else "")

    def make(self, objects: list[dict[str, Any]]) -> None:
        """Create the world and wait until its pods are ready."""
        namespaces = [o for o in objects if o["kind"] == "Namespace"]
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(namespaces))
        accounts, others = [], []
        for obj in objects:
            if obj["kind"] == "Pod":
                metadata = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace")}
                accounts.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
                others.append(self._pod(obj))
            elif obj["kind"] == "Service":
                others.append(_service(obj))
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all([*accounts, *others]))
        for namespace in namespaces:
            name = namespace["metadata"]["name"]
            self.kubectl("-n", name, "wait", "pod", "--all", "--for=condition=Ready", "--timeout=240s")

    def _pod(self, obj: dict[str, Any]) -> dict[str, Any]:
        labels = {
            k: v for k, v in obj["metadata"]["labels"].items() if not k.startswith("security.istio.io/")
        }
        meshed = len(obj["spec"]["containers"]) > 1
        if not meshed:
            labels["sidecar.istio.io/inject"] = "false"
        main = obj["spec"]["containers"][0]
        command = ["python3", "-c", SERVER] if main["ports"] else ["sleep", "100000"]
        container = {**main, "image": self._image, "imagePullPolicy": "IfNotPresent", "command": command}
        spec = {
            "serviceAccountName": obj["metadata"]["name"],
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**obj["metadata"], "labels": labels},
            "spec": spec,
        }

    def close(self) -> None:
        """Delete everything."""
        for agent in self._agents.values():
            agent.kill()
        names = self.kubectl("get", "ns", "-o", "name").split()
        mine = [n for n in names if n.startswith(f"namespace/{self.prefix}-")]
        if mine:
            self.kubectl("delete", "--wait=false", *mine, check=False)

    def attempt(self, source: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Let the agent of a client pod try something."""
        with self._lock:
            agent = self._agents.get(source)
            if agent is None or agent.poll() is not None:
                namespace, pod = source.split("/")
                inside = next(c for c in ("curl", "httpbin") if c in self._containers(namespace, pod))
                command = [
                    *self._kubectl,
                    "-n",
                    namespace,
                    "exec",
                    "-i",
                    pod,
                    "-c",
                    inside,
                    "--",
                    "python3",
                    "-uc",
                    AGENT,
                ]
                agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                self._agents[source] = agent
            assert agent.stdin is not None
            assert agent.stdout is not None
            agent.stdin.write(json.dumps(asked) + "\n")
            agent.stdin.flush()
            found: dict[str, Any] = json.loads(agent.stdout.readline())
            return found

    def _containers(self, namespace: str, pod: str) -> str:
        return self.kubectl("-n", namespace, "get", "pod", pod, "-o", "jsonpath={.spec.containers[*].name}")

    def address(self, target: str) -> str:
        """A pod's own address."""
        namespace, pod = target.split("/")
        return self.kubectl("-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.podIP}")


def _service(obj: dict[str, Any]) -> dict[str, Any]:
    spec = {k: v for k, v in obj["spec"].items() if k != "clusterIP" or v == "None"}
    metadata = {k: v for k, v in obj["metadata"].items() if k != "creationTimestamp"}
    return {**obj, "metadata": metadata, "spec": spec}


def run_case(place: Place, case: Case, seconds: float) -> Iterable[Outcome]:
    """Apply the case's policies, try its requests until they are as expected or time is up, take the policies away."""
    policies = sorted(case.policies, key=lambda p: p["metadata"].get("creationTimestamp") or "")
    if case.refused:
        said = " ".join(
            place.kubectl("apply", "--dry-run=server", "-f", "-", text=yaml.safe_dump(policy), check=False)
            for policy in policies
        )
        plain = " ".join(said.split())
        yield Outcome(case, 0, "" if " ".join(case.refused.split()) in plain else f"said: {plain}")
        return
    try:
        previous = None
        for policy in policies:
            created = policy["metadata"].pop("creationTimestamp", None)
            if created and previous:
                time.sleep(1.1)  # creation times are whole seconds
            previous = created
            place.kubectl("apply", "-f", "-", text=yaml.safe_dump(policy))
        time.sleep(1.0 if policies else 0)
        for number, request in enumerate(case.requests):
            yield Outcome(case, number, _settled(place, request, seconds))
    finally:
        if policies:
            place.kubectl(
                "delete", "--ignore-not-found", "-f", "-", text=yaml.safe_dump_all(policies), check=False
            )


def _settled(place: Place, request: Request, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    right = 0
    while True:
        problem = _differs(request, place.attempt(request.source, _asked(place, request)))
        right = 0 if problem else right + 1
        if right >= 2 or (problem and time.monotonic() > deadline):
            return problem
        time.sleep(0.2)


def _asked(place: Place, request: Request) -> dict[str, Any]:
    kind, target, port = request.to
    namespace, name = target.split("/")
    host = place.address(target) if kind == "pod" else f"{name}.{namespace}"
    if request.http is None:
        return {"host": host, "port": port}
    http = minted(request.http)
    args = ["--path-as-is", "-X", http["method"], f"{http['scheme']}://{host}:{port}{http['path']}"]
    if http["method"] == "HEAD":
        args[1:3] = ["--head"]
    headers = {
        "X-Request-Id": str(uuid.uuid4()),
        **({"Host": http["host"]} if http["host"] else {}),
        **http["headers"],
    }
    for key, value in headers.items():
        args += ["-H", f"{key}: {value}"]
    return {"args": args}


def _differs(request: Request, seen: dict[str, Any]) -> str:
    status, body, curl = seen["status"], seen["body"], seen["curl"]
    shown = f"curl {curl}, HTTP {status}, {body[:140]!r}"
    if request.verdict == "OK":
        if curl or status in (401, 503) or (status == 403 and body in ("RBAC: access denied", "")):
            return f"expected the application's answer, got {shown}"
        for name, value in request.app.items():
            got = json.loads(body).get(name.lower()) if body.startswith("{") else None
            if (value is None) != (got is None) or (value is not None and value not in str(got)):
                return f"the application got {name}: {got!r}"
        return ""
    if request.verdict in ("RESET", "CLOSED"):
        expected = (35, 55, 56, 16) if request.verdict == "RESET" else (52,)
        return "" if curl in expected else f"expected {request.verdict}, got {shown}"
    head = request.http is not None and request.http["method"] == "HEAD"
    same = status == request.status and (head or body == request.body)
    return "" if same else f"expected HTTP {request.status} {request.body!r}, got {shown}"


def chosen(cases: Iterable[Case], only: str) -> list[Case]:
    """The cases that can be tried on a shared cluster whose proxies are stock Envoys."""
    return [
        case
        for case in cases
        if not case.exclusive
        and not case.only
        and not case.without
        and not set(case.needs) & set(_NEEDS_OF_STOCK_ENVOY)
        and only in f"{case.path.stem}/{case.name}"
    ]


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kubeconfig")
    parser.add_argument("--image", default="offline.lab/base:1")
    parser.add_argument("--only", default="")
    parser.add_argument("--worlds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    arguments = parser.parse_args()
    worlds: dict[str, list[Case]] = defaultdict(list)
    for case in chosen(load_cases(), arguments.only):
        worlds[json.dumps([o for o in case.objects if o["kind"] != "Pod"], sort_keys=True)].append(case)
    outcomes: list[Outcome] = []
    for cases in worlds.values():
        names = [(case.path.name, case.name) for case in cases]
        shares = [names[i :: arguments.worlds] for i in range(min(arguments.worlds, len(names)))]
        with ThreadPoolExecutor(len(shares)) as pool:
            for found in pool.map(lambda share: _share(arguments, share), shares):
                outcomes += found
    wrong = [o for o in outcomes if o.problem]
    for outcome in wrong:
        say(f"{outcome.case.path.stem}/{outcome.case.name}[{outcome.number}]: {outcome.problem}")
    say(f"{len({o.case.name for o in outcomes})} cases, {len(outcomes)} attempts, {len(wrong)} differ")
    return 1 if wrong else 0


def _share(arguments: argparse.Namespace, names: list[tuple[str, str]]) -> list[Outcome]:
    place = Place(arguments.kubeconfig, f"case-{uuid.uuid4().hex[:5]}", arguments.image)
    cases = {(case.path.name, case.name): case for case in load_cases(place.name)}
    found: list[Outcome] = []
    try:
        place.make(max((cases[name].objects for name in names), key=len))
        for name in names:
            try:
                found += run_case(place, cases[name], arguments.seconds)
            except (RuntimeError, ValueError) as error:
                found.append(Outcome(cases[name], 0, f"could not be tried: {error}"))
            problems = [o.problem for o in found if o.case is cases[name] and o.problem]
            say(f"{name[0]}/{name[1]}: {'; '.join(problems) or 'ok'}")
    finally:
        place.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
