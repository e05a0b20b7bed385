"""What the clients in the toolbox share: names to addresses, a TCP connection with a limit, bytes both ways."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time

Address = tuple[int, tuple[str | int, ...]]


class NameTimeout(OSError):  # noqa: N818 - beside TimeoutError
    """No name server answered in time."""


def addresses(
    host: str,
    port: int | str,
    *,
    kind: int = socket.SOCK_STREAM,
    family: int = 0,
    timeout: float | None = None,
) -> list[Address]:
    """(family, sockaddr) of a host, IPv4 first. Raises socket.gaierror, or NameTimeout after `timeout` seconds."""
    found: list[Address] = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(host, port, family=family, type=kind)
            found.extend(
                (int(entry[0]), (str(entry[4][0]), *(int(part) for part in entry[4][1:])))
                for entry in entries
            )
        except BaseException as problem:  # handed to the caller's thread
            failed.append(problem)

    if timeout is None:
        ask()
    else:
        thread = threading.Thread(
            target=ask, daemon=True
        )  # the resolver cannot be interrupted, only left behind
        thread.start()
        thread.join(timeout)
        if thread.is_alive():
            raise NameTimeout(f"no answer for {host}")
    if failed:
        raise failed[0]
    return sorted(found, key=lambda entry: entry[0] != socket.AF_INET)


def connect(
    where: list[Address], timeout: float | None, *, source: tuple[str, int] | None = None
) -> socket.socket:
    """A connected TCP socket to the first address that takes it, within `timeout` seconds in all. Raises OSError."""
    deadline = None if timeout is None else time.monotonic() + timeout
    last: OSError = OSError("no address")
    for family, address in where:
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            if source:
                connection.bind(source)
            connection.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
            connection.connect(address)
            return connection
        except OSError as problem:
            connection.close()
            last = problem
            if isinstance(problem, TimeoutError):
                break
    raise last


def relay(
    connection: socket.socket,
    *,
    idle: float | None = None,
    linger: float | None = None,
) -> None:
    """Copy standard input to the connection and the connection to standard output until the connection ends.

    `idle`: end after so many seconds of silence. `linger`: end so many seconds after standard input has ended.
    """
    connection.settimeout(None)
    deadline = None
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        try:
            selector.register(0, selectors.EVENT_READ)
        except (PermissionError, OSError, ValueError):
            _send_file(connection)  # a regular file or /dev/null cannot be polled: it is always ready
        while True:
            wait = idle
            if deadline is not None:
                wait = min(x for x in (idle, max(0.0, deadline - time.monotonic())) if x is not None)
            ready = selector.select(wait)
            if not ready:
                return
            for key, _ in ready:
                if key.fileobj is connection:
                    data = connection.recv(65536)
                    if not data:
                        return
                    view = memoryview(data)
                    while view:
                        view = view[os.write(1, view) :]
                else:
                    data = os.read(0, 65536)
                    if data:
                        connection.sendall(data)
                        continue
                    selector.unregister(0)
                    if linger is not None:
                        deadline = time.monotonic() + linger
                    _half_close(connection)


def _send_file(connection: socket.socket) -> None:
    while data := os.read(0, 65536):
        connection.sendall(data)
    _half_close(connection)


def _half_close(connection: socket.socket) -> None:
    if connection.type == socket.SOCK_STREAM:
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side was faster
