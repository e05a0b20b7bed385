"""A node's network on a test bench: a child process in namespaces of its own, an Api in memory, pods that
are sockets.

`on_bench` turns `async def test(bench)` into a test that forks, enters new namespaces as root or as an
ordinary user, runs there, and reports; nothing outlives the child.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labkit.pocket.api import Api, Store
from labkit.pocket.node.linux import CLONE_NEWNET, CLONE_NEWUSER, PR_SET_DUMPABLE, prctl, unshare
from labkit.pocket.node.network import PodNetwork, inside, new_network_namespace
from labkit.pocket.node.network.addresses import AddressPool

NOBODY = 65534


@functools.cache
def why_no_namespaces(who: str) -> str:
    """Why this machine cannot give `who` namespaces; empty if it can."""
    child = os.fork()
    if child == 0:
        try:
            enter_namespaces(who)
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return "" if status == 0 else f"this machine gives no network namespace ({who})"


def enter_namespaces(who: str) -> None:
    """Become `who` ("root" or "ordinary") in a network namespace of our own."""
    if who == "root":
        unshare(CLONE_NEWNET)
        return
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        prctl(PR_SET_DUMPABLE, 1)  # a process that gave up root may not write its own uid_map otherwise
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)


def in_namespaces(who: str, work: Callable[[], Coroutine[Any, Any, None]], timeout: float = 60) -> None:
    """Run a coroutine in a forked child in new namespaces; fail with the child's traceback if it fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            asyncio.set_event_loop(None)
            enter_namespaces(who)
            asyncio.run(asyncio.wait_for(work(), timeout))
            status = 0
        except pytest.skip.Exception as reason:
            os.write(writer, str(reason).encode())
            status = 2
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-60000:])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as report:
        text = report.read().decode()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == 2:
        pytest.skip(text)
    if status:
        pytest.fail(f"in the namespaces ({who}):\n{text}", pytrace=False)


WHO = ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]


def on_bench(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Decorate `async def test(bench, ...)`: it runs on a bench, once as root (if we are root) and once as
    nobody.
    """

    def run(who: str, **arguments: Any) -> None:
        if reason := why_no_namespaces(who):
            pytest.skip(reason)

        async def work() -> None:
            async with Bench() as bench:
                await test(bench, **arguments)

        in_namespaces(who, work)

    functools.update_wrapper(run, test)
    others = list(inspect.signature(test).parameters.values())[1:]
    who = inspect.Parameter("who", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([who, *others])  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return pytest.mark.cluster(pytest.mark.parametrize("who", WHO)(run))


class BenchPod:
    """A pod: an object in the API, a network namespace, sockets in it."""

    def __init__(self, namespace: str, name: str, uid: str, netns_fd: int) -> None:
        self.namespace, self.name, self.uid, self.netns_fd = namespace, name, uid, netns_fd
        self.ip = ""
        self.sockets: list[socket.socket] = []

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A non-blocking socket in the pod."""
        with inside(self.netns_fd):
            made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        self.sockets.append(made)
        return made

    def listen(self, port: int, protocol: str = "TCP") -> socket.socket:
        """Be reachable on a port: the kernel accepts on its own; UDP is answered by `Bench.send`."""
        made = self.socket(socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("0.0.0.0", port))
        if protocol == "TCP":
            made.listen(512)
        return made

    def close(self) -> None:
        for made in self.sockets:
            made.close()
        if self.netns_fd >= 0:
            os.close(self.netns_fd)
            self.netns_fd = -1


class Bench:
    """The API, the network under test and its pods."""

    def __init__(self, addresses: AddressPool | None = None) -> None:
        self.api = Api(Store())
        self.network = PodNetwork(self.api, addresses=addresses)
        self.pods: dict[str, BenchPod] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Bench:
        await self.network.start()
        self._task = asyncio.create_task(self.network.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        failed = self._task.done() and self._task.exception()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for pod in self.pods.values():
            pod.close()
        await self.network.close()
        if failed:
            raise failed

    # Objects

    def namespace(self, name: str, **labels: str) -> None:
        self.api.create(
            "namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )

    async def pod(
        self,
        key: str,
        labels: dict[str, str] | None = None,
        ports: list[dict[str, Any]] | None = None,
        *,
        attach: bool = True,
    ) -> BenchPod:
        """Create a pod and connect it, as the node would."""
        namespace, name = key.split("/")
        metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
        spec = {"containers": [{"name": "c", "image": "agnhost", "ports": ports or []}]}
        return await self.create({"metadata": metadata, "spec": spec}, namespace, attach=attach)

    async def create(self, obj: dict[str, Any], namespace: str, *, attach: bool = True) -> BenchPod:
        """Create a pod from its object and connect it."""
        if self.api.find("namespaces", namespace) is None:
            self.namespace(namespace)
        obj = self.api.create("pods", {"apiVersion": "v1", "kind": "Pod", **obj}, namespace)
        name = obj["metadata"]["name"]
        pod = BenchPod(namespace, name, obj["metadata"]["uid"], new_network_namespace())
        self.pods[pod.key] = pod
        if attach:
            await self.attach(pod)
        return pod

    async def attach(self, pod: BenchPod) -> None:
        address = await self.network.attach(pod.key, pod.uid, pod.netns_fd)
        pod.ip = address.ip

        def running(obj: dict[str, Any]) -> dict[str, Any]:
            obj["status"] = {"phase": "Running", "podIP": pod.ip, "podIPs": [{"ip": pod.ip}]}
            return obj

        self.api.modify("pods", pod.name, pod.namespace, running, subresource="status")

    def relabel(self, kind: str, name: str, namespace: str | None, labels: dict[str, str]) -> None:
        def change(obj: dict[str, Any]) -> dict[str, Any]:
            obj["metadata"]["labels"] = {**labels}
            return obj

        self.api.modify(kind, name, namespace, change)

    def policy(self, namespace: str, name: str, **spec: Any) -> None:
        """Create or replace a NetworkPolicy."""
        kind = "networkpolicies.networking.k8s.io"
        obj = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        if self.api.find(kind, name, namespace) is None:
            self.api.create(kind, obj)
        else:
            self.api.modify(kind, name, namespace, lambda old: {**old, "spec": spec})

    def unpolicy(self, namespace: str, name: str) -> None:
        self.api.delete("networkpolicies.networking.k8s.io", name, namespace)

    def service(self, key: str, ip: str, ports: list[dict[str, Any]], **spec: Any) -> None:
        namespace, name = key.split("/")
        if self.api.find("namespaces", namespace) is None:
            self.namespace(namespace)
        self.api.create(
            "services",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"clusterIP": ip, "ports": ports, **spec},
            },
        )

    def endpoints(
        self, key: str, ports: list[tuple[str, int, str]], addresses: list[str], ready: bool = True
    ) -> None:
        """Set the endpoints of a Service: its one EndpointSlice."""
        namespace, name = key.split("/")
        kind = "endpointslices.discovery.k8s.io"
        content = {
            "addressType": "IPv4",
            "ports": [{"name": n, "port": p, "protocol": protocol} for n, p, protocol in ports],
            "endpoints": [{"addresses": [a], "conditions": {"ready": ready}} for a in addresses],
        }
        if self.api.find(kind, f"{name}-x", namespace) is not None:
            self.api.modify(kind, f"{name}-x", namespace, lambda old: {**old, **content})
            return
        metadata = {
            "name": f"{name}-x",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        }
        self.api.create(
            kind,
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, **content},
        )

    async def settle(self) -> None:
        """Let the network take in what has been written: a few turns of the loop, and no time but that of
        forgetting a Service's old UDP connections.
        """
        for _ in range(6):
            await asyncio.sleep(0)
        await asyncio.gather(*self.network._forgetting)

    # Packets

    async def connect(self, source: BenchPod | None, address: str, port: int, patience: float = 0.2) -> str:
        """Try a TCP connection from a pod (or the node): OK, TIMEOUT, REFUSED or another error's words."""
        await self.settle()
        made = source.socket() if source else socket.socket()
        made.setblocking(False)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made, (address, port)), patience)
        except TimeoutError:
            return "TIMEOUT"
        except ConnectionRefusedError:
            return "REFUSED"
        except OSError as error:
            return os.strerror(error.errno or 0)
        finally:
            made.close()
        return "OK"

    @contextmanager
    def open_connection(
        self, source: BenchPod, server: socket.socket, address: str, port: int
    ) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A connection that stays open: the client's and the server's end, blocking with a short time-out."""
        client = source.socket()
        client.setblocking(True)
        client.settimeout(1)
        client.connect((address, port))
        server.setblocking(True)
        accepted, _ = server.accept()
        server.setblocking(False)
        accepted.settimeout(1)
        try:
            yield client, accepted
        finally:
            client.close()
            accepted.close()

    async def send(self, client: socket.socket, address: str, port: int, servers: list[socket.socket]) -> str:
        """Send a datagram; the name of the server socket's local address that got it, "REFUSED" or "LOST"."""
        await self.settle()
        word = os.urandom(8)
        try:
            client.sendto(word, (address, port))
        except ConnectionRefusedError:
            return "REFUSED"
        for _ in range(20):
            for server in servers:
                try:
                    got, sender = server.recvfrom(64)
                except BlockingIOError:
                    continue
                if got == word:
                    server.sendto(word, sender)
                    return str(servers.index(server))
            await asyncio.sleep(0.005)
        return "LOST"
