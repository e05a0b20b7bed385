"""What the long-running programs share: a loop that ends on SIGTERM as the real ones do, and a UDP responder."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from .console import flush

Reply = Callable[[bytes, tuple[str, int]], bytes | None]


def run(
    start: Callable[[asyncio.Future[int]], Awaitable[object]], *, on_stop: Callable[[], float] | None = None
) -> int:
    """Run `start(done)`, then serve until `done` has an exit code or SIGTERM/SIGINT/SIGQUIT comes (exit code 0).

    `on_stop` is called at that signal and says for how many seconds to go on serving. As process 1 of a container a program
    that does nothing about SIGTERM would be deaf to it, and be killed half a minute later.
    """

    async def body() -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()

        def end() -> None:
            if not done.done():
                done.set_result(0)

        def stop() -> None:
            loop.call_later(on_stop() if on_stop is not None else 0, end)

        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(name, stop)
        keep = await start(done)  # servers and transports live as long as this frame
        code = await done
        del keep
        flush()
        # Not by returning: the loop would wait for threads that wait for a name server, until the pod's grace ends.
        os._exit(code)

    asyncio.run(body())
    return 0


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        answer = self._reply(data, (str(addr[0]).removeprefix("::ffff:"), int(addr[1])))
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


async def udp(port: int, reply: Reply, host: str = "") -> asyncio.DatagramTransport:
    """Answer datagrams to `port`: reply(data, (address, port)) is the answer, None is silence."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Responder(reply), sock=udp_socket(port, host)
    )
    return transport


def udp_socket(port: int, host: str = "") -> socket.socket:
    """A bound UDP socket: both families when `host` is "" and the kernel has IPv6."""
    if not host and socket.has_ipv6:
        try:
            both = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            both.bind(("::", port))
            both.setblocking(False)
            return both
        except OSError as problem:
            if problem.errno not in (97, 99):  # EAFNOSUPPORT, EADDRNOTAVAIL: no IPv6 here
                raise
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host or "0.0.0.0", port))
    one.setblocking(False)
    return one


def host_port(address: tuple[str, int]) -> str:
    """ "10.0.0.1:80" or "[::1]:80"."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
