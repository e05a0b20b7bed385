"""Every flow of a bench at once: non-blocking connects and datagrams from all sources, read back from the
sockets.

Packets between namespaces are carried inside the system call that sends them, so an answer is there within
microseconds; what has not come when nothing more comes is taken for dropped.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labkit.pocket.node.network import inside

SCTP = 132
QUIET = 0.02
"""Seconds without an answer after which no more is expected."""

Cell = tuple[str, str, int, str]
"""Source, destination, port, protocol."""


@dataclass(frozen=True)
class End:
    """One end of flows: a name, an address, and the namespace its sockets live in (None: our own, the
    node's).
    """

    name: str
    address: str
    netns_fd: int | None
    listens: bool = True
    """False for a Service: what is sent to it arrives at another end."""


class Prober:
    """Listens at every end on every port, and tries flows. SCTP goes by raw sockets: few kernels have its
    own.
    """

    def __init__(self, ends: Sequence[End], ports: Sequence[tuple[int, str]]) -> None:
        self._ends = {end.name: end for end in ends}
        self._listeners: dict[tuple[str, int, str], socket.socket] = {}
        for end in (end for end in ends if end.listens):
            for port, protocol in ports:
                made = self._socket(end, protocol)
                if protocol == "TCP":
                    made.bind((end.address, port))
                    made.listen(256)
                else:
                    made.bind((end.address, port if protocol == "UDP" else 0))
                self._listeners[end.name, port, protocol] = made

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()

    def _socket(self, end: End, protocol: str) -> socket.socket:
        kind = {
            "TCP": (socket.SOCK_STREAM, 0),
            "UDP": (socket.SOCK_DGRAM, 0),
            "SCTP": (socket.SOCK_RAW, SCTP),
        }[protocol]
        if end.netns_fd is None:
            made = socket.socket(socket.AF_INET, *kind)
        else:
            with inside(end.netns_fd):
                made = socket.socket(socket.AF_INET, *kind)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    def probe(self, cells: Iterable[Cell], *, quiet: float = QUIET) -> dict[Cell, str]:
        """Try each flow once: "OK", "REFUSED" or "TIMEOUT"."""
        cells = list(cells)
        connects = self._connect([cell for cell in cells if cell[3] == "TCP"], quiet)
        words = self._send([cell for cell in cells if cell[3] != "TCP"])
        answers = {**connects, **self._received(words, quiet)}
        self._drain()
        return {cell: answers[cell] for cell in cells}

    def _connect(self, cells: list[Cell], quiet: float) -> dict[Cell, str]:
        answers = dict.fromkeys(cells, "TIMEOUT")
        waiting: dict[int, tuple[Cell, socket.socket]] = {}
        poll = select.poll()
        for cell in cells:
            source, destination, port, _ = cell
            made = self._socket(self._ends[source], "TCP")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            made.bind((self._ends[source].address, 0))
            made.connect_ex((self._ends[destination].address, port))
            waiting[made.fileno()] = (cell, made)
            poll.register(made, select.POLLOUT)
        pending = set(waiting)
        while pending and (ready := poll.poll(quiet * 1000)):
            for number, _ in ready:
                cell, made = waiting[number]
                error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                answers[cell] = "REFUSED" if error else "OK"
                poll.unregister(number)
                pending.discard(number)
        for _, made in waiting.values():
            made.close()
        return answers

    def _send(self, cells: list[Cell]) -> dict[bytes, Cell]:
        words: dict[bytes, Cell] = {}
        senders: dict[tuple[str, str], socket.socket] = {}
        for cell in cells:
            source, destination, port, protocol = cell
            sender = senders.get((source, protocol))
            if sender is None:
                sender = senders[source, protocol] = self._socket(self._ends[source], protocol)
                sender.bind((self._ends[source].address, 0))
            word = os.urandom(8)
            words[word] = cell
            if protocol == "SCTP":
                # Ports, tag, checksum; then an INIT chunk with its fixed part.
                header = struct.pack("!HHII", 40000, port, 0, 0)
                packet = header + struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65535, 1, 1, 1) + word
            else:
                packet = word
            sender.sendto(packet, (self._ends[destination].address, 0 if protocol == "SCTP" else port))
        for sender in senders.values():
            sender.close()
        return words

    def _received(self, words: dict[bytes, Cell], quiet: float) -> dict[Cell, str]:
        answers = dict.fromkeys(words.values(), "TIMEOUT")
        until = time.monotonic() + quiet
        while words and time.monotonic() < until:
            for (name, port, protocol), listener in self._listeners.items():
                if protocol == "TCP":
                    continue
                while True:
                    try:
                        word = listener.recv(256)[-8:]
                    except BlockingIOError:
                        break
                    cell = words.get(word)
                    if cell is None or cell[3] != protocol:
                        continue
                    if not self._ends[cell[1]].listens or (cell[1], cell[2]) == (name, port):
                        answers[cell] = "OK"
                        until = time.monotonic() + quiet
            time.sleep(quiet / 4)
        return answers

    def _drain(self) -> None:
        for (_, _, protocol), listener in self._listeners.items():
            if protocol == "TCP":
                while True:
                    try:
                        listener.accept()[0].close()
                    except (BlockingIOError, ConnectionAbortedError):
                        break
