"""Programs of the stand-ins as plain processes on loopback: what the node does, without a node."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

_RUN = "import sys; from labkit.pocket.images.shim import main; sys.exit(main(sys.argv[1], sys.argv[2:]))"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run() -> Run:
    """Run a program to its end: run("nc:main", "nc", "-z", ...)."""

    def act(
        target: str, *argv: str, stdin: str = "", timeout: float = 20, env: dict[str, str] | None = None
    ) -> Ended:
        done = subprocess.run(
            [sys.executable, "-c", _RUN, target, *argv], input=stdin, capture_output=True, text=True, timeout=timeout,
            env={**os.environ, **(env or {})}, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    return act


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server and wait until its TCP port (the keyword `port`) answers; all end with the test."""
    with contextlib.ExitStack() as stack:

        def act(
            target: str,
            *argv: str,
            port: int | None = None,
            env: dict[str, str] | None = None,
            stdin: int = subprocess.DEVNULL,
        ) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", _RUN, target, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                stdin=stdin, env={**os.environ, **(env or {})},
            )  # fmt: skip
            stack.callback(_end, process)
            if port is not None:
                wait_for(port, process)
            return process

        yield act


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def wait_for(port: int, process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the program ended: {process.communicate()}")
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that nobody listens on.

    From below the range that the kernel hands out: there, another test could be given the port before we listen on it, and a
    connection to it could meet itself.
    """

    def find() -> int:
        while True:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", random.randint(20000, 30000)))
                return int(probe.getsockname()[1])

    return find


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that does not answer at all, as if a policy dropped every packet: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port
