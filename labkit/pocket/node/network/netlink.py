"""nf_tables over netlink: the packing of attributes and messages, and a socket that sends a whole batch at once
and names the message that failed.

The socket is pyroute2's, used in its plain way: bytes out, bytes in, its marshal reads what the kernel refuses.
The packing is our own, for time: a rule takes 3 ms to encode in pyroute2 and some microseconds here, and a
policy must be enforced some milliseconds after it is written. Its request layer is not used either: that waits
for an answer to each message on an event loop, while a batch of nf_tables is answered at once, inside `send`,
by one acknowledgement or by its refusals. The tests read what this module packs with pyroute2's decoders.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NETLINK_NETFILTER = 12

F_REQUEST, F_ACK = 0x1, 0x4
F_DUMP = 0x300
F_CREATE, F_APPEND = 0x400, 0x800
F_NONREC = 0x100

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10

_ATTRIBUTE = struct.Struct("=HH")
_HEADER = struct.Struct("=IHHII")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class NetlinkError(OSError):
    """The kernel refused a request. `what` names the message, `errno` says why, the text has the kernel's
    own hint if it gave one.
    """

    def __init__(self, code: int, what: str, hint: str = "") -> None:
        """`code` is the positive errno; a `hint` that only repeats its words is left out."""
        self.what = what
        self.hint = "" if hint == os.strerror(code) else hint
        text = f"{what}: {os.strerror(code)}" + (f" ({self.hint})" if self.hint else "")
        super().__init__(code, text)


@dataclass(frozen=True, slots=True)
class Message:
    """One request: its type, flags, family header with attributes, and words that name it in an error."""

    type: int
    flags: int
    body: bytes
    what: str


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = len(payload) + 4
    return _ATTRIBUTE.pack(length, kind) + payload + _PADDING[length & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """A zero-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def be32(kind: int, value: int) -> bytes:
    """A number in network order, as nfnetlink has them."""
    return attribute(kind, struct.pack("!I", value))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data`: (type without flags, payload)."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def table(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by type; of a repeated one the last."""
    return dict(attributes(data))


class NetlinkSocket:
    """A netlink socket in the network namespace of the thread that makes it, and of no other ever after.

    The kernel answers inside `send`, so nothing here waits: all calls are synchronous and take microseconds.
    Of one thread, as pyroute2's sockets are.
    """

    def __init__(self, protocol: int = NETLINK_NETFILTER) -> None:
        """`protocol` is the netlink family."""
        from pyroute2.netlink.nlsocket import AsyncNetlinkSocket  # heavy: see `links`

        self._socket = AsyncNetlinkSocket(family=protocol, ext_ack=True)
        # A refusal need not repeat what was refused, it may be large.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        # The largest batch is one send buffer; the kernel caps what pyroute2 asks for at net.core.wmem_max
        # (and doubles it).
        self.room: int = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 4096
        self._sequence = 1

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, messages: Iterable[Message], *, confirm_last: bool = False) -> None:
        """Send the messages in one datagram; they are carried out in order.

        Every message is confirmed, or with `confirm_last` the last but one only: enough for an nfnetlink
        batch, which ends with a message that older kernels do not confirm. Refusals come in either case.
        Raises NetlinkError for the first; a batch is undone.
        """
        asked = list(messages)
        if not asked:
            return
        first = self._sequence
        self._sequence += len(asked)
        confirmed = {len(asked) - 2} if confirm_last else set(range(len(asked)))
        parts: list[bytes] = []
        for number, message in enumerate(asked):
            flags = message.flags | F_REQUEST | (F_ACK if number in confirmed else 0)
            parts.append(_HEADER.pack(16 + len(message.body), message.type, flags, first + number, 0))
            parts.append(message.body)
        self._socket.send(b"".join(parts))
        failure: NetlinkError | None = None
        for answer in self._answers():
            kind, _, sequence, _ = _header(answer)
            if kind != NLMSG_ERROR or not first <= sequence < first + len(asked):
                continue
            confirmed.discard(sequence - first)
            if failure is None:
                failure = self._refusal(answer, asked[sequence - first])
        if failure is not None:
            raise failure
        if confirmed:
            raise NetlinkError(errno.EIO, asked[min(confirmed)].what, "the kernel did not confirm it")

    def dump(self, message: Message) -> list[tuple[int, bytes]]:
        """The answers to a request that lists things: (message type, body after the netlink header)."""
        sequence = self._sequence
        self._sequence += 1
        flags = message.flags | F_REQUEST | F_DUMP
        self._socket.send(
            _HEADER.pack(16 + len(message.body), message.type, flags, sequence, 0) + message.body
        )
        found: list[tuple[int, bytes]] = []
        while True:
            for answer in _split(self._socket.recv(1 << 18)):
                kind, _, number, _ = _header(answer)
                if number != sequence:
                    continue
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR and (refusal := self._refusal(answer, message)):
                    raise refusal
                found.append((kind, answer[16:]))

    def _answers(self) -> Iterator[bytes]:
        while True:
            try:
                data = self._socket.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from _split(data)

    def _refusal(self, answer: bytes, message: Message) -> NetlinkError | None:
        """What an acknowledgement refuses; None if it confirms."""
        for read in self._socket.marshal.parse(answer):
            if (error := read["header"]["error"]) is not None:
                code, hint = error.args[0], error.args[1]
                return NetlinkError(code, message.what, hint or "")
        return None


def _header(answer: bytes) -> tuple[int, int, int, int]:
    """Type, flags, sequence number and port of a message."""
    _, kind, flags, sequence, port = _HEADER.unpack_from(answer)
    return kind, flags, sequence, port


def _split(data: bytes) -> Iterator[bytes]:
    offset = 0
    while offset + 16 <= len(data):
        (length,) = struct.unpack_from("=I", data, offset)
        if length < 16:
            return
        yield data[offset : offset + length]
        offset += (length + 3) & ~3
