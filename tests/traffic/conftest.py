from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from dnslib import DNSError, DNSRecord

from labkit.cluster import Cluster, ExecError, ExecResult
from labkit.cluster.providers.pocket import PocketProvider
from tests.pocket.running import unsupported


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A pocket cluster that all tests share, or the cluster that LABKIT_TEST_KUBECONFIG names."""
    if given := os.environ.get("LABKIT_TEST_KUBECONFIG"):
        yield Cluster.connect(given)
        return
    if why := unsupported():
        pytest.skip(why)
    provider = PocketProvider(tmp_path_factory.mktemp("home"))
    yield Cluster.connect(provider.create("traffic-tests").kubeconfig)
    provider.delete("traffic-tests")


class Machine:
    """A double of Cluster whose only container is this machine, with the tools of a folder and no others."""

    def __init__(self, tools: Path) -> None:
        self.tools = tools

    def exec(
        self, namespace: str, pod: str, command: Iterable[str], *, container: str, stdin: str, timeout: float
    ) -> ExecResult:
        words = list(command)
        place = self.tools / words[0]
        if not place.exists():
            raise ExecError(f'exec: "{words[0]}": executable file not found in $PATH')
        done = subprocess.run(
            [str(place), *words[1:]], input=stdin, env={"PATH": str(self.tools)}, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        return ExecResult(done.stdout, done.stderr, done.returncode)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that answers nothing at all, as if a policy dropped every packet: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()[1]


@pytest.fixture
def http_port() -> Iterator[int]:
    """A web server that answers 404 to everything."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = server.accept()[0]
                    threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                if client.recv(4096):
                    client.sendall(
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def udp_port() -> Iterator[int]:
    """A UDP server that says its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    server.sendto(b"me", server.recvfrom(100)[1])

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


@pytest.fixture
def name_server_port() -> Iterator[int]:
    """A name server as strict as a real one: a whole question gets its answer (no such name), anything else silence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError, DNSError):
                    data, asker = server.recvfrom(512)
                    reply = DNSRecord.parse(data).reply()
                    reply.header.rcode = 3
                    server.sendto(reply.pack(), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
