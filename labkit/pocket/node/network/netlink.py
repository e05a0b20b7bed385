"""The netlink wire: attributes, messages and a socket that sends many requests at once and names the one
that failed.

Written here rather than taken from pyroute2 for its time: one nftables rule takes 3 ms to encode there and
some microseconds here, and the import alone takes as long as attaching a hundred pods. The tests read what
this module writes with pyroute2's decoders.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

F_REQUEST, F_MULTI, F_ACK, F_ECHO = 0x1, 0x2, 0x4, 0x8
F_DUMP = 0x300
F_REPLACE, F_EXCL, F_CREATE, F_APPEND = 0x100, 0x200, 0x400, 0x800
F_NONREC = 0x100

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_NLMSGERR_ATTR_MSG, _NLMSGERR_ATTR_OFFS = 1, 2

_ATTRIBUTE = struct.Struct("=HH")
_HEADER = struct.Struct("=IHHII")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class NetlinkError(OSError):
    """The kernel refused a request. `what` names the message, `errno` says why, the text has the kernel's
    own hint if it gave one.
    """

    def __init__(self, code: int, what: str, hint: str = "") -> None:
        """`code` is the positive errno."""
        self.what = what
        self.hint = hint
        text = f"{what}: {os.strerror(code)}" + (f" ({hint})" if hint else "")
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


def u32(kind: int, value: int) -> bytes:
    """A number in host order, as rtnetlink has them."""
    return attribute(kind, struct.pack("=I", value))


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
    """

    def __init__(self, protocol: int) -> None:
        """`protocol` is NETLINK_ROUTE or NETLINK_NETFILTER."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        # The largest batch is one send buffer; the kernel caps what we ask for at net.core.wmem_max (and
        # doubles it).
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 4096
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
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
        Raises NetlinkError for the first (rtnetlink still carries out those after it; a batch is undone).
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
        for kind, flags, sequence, body in self._answers():
            if kind != NLMSG_ERROR or not first <= sequence < first + len(asked):
                continue
            confirmed.discard(sequence - first)
            code = -struct.unpack_from("=i", body)[0]
            if code and failure is None:
                failure = NetlinkError(code, asked[sequence - first].what, _hint(flags, body))
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
            data = self._socket.recv(1 << 18)
            for kind, flags, number, body in _split(data):
                if number != sequence:
                    continue
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise NetlinkError(code, message.what, _hint(flags, body))
                found.append((kind, body))

    def _answers(self) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            try:
                data = self._socket.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from _split(data)


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            return
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _hint(flags: int, body: bytes) -> str:
    """The extended acknowledgement's words, which follow the error and the header of the request."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    skip = 4 + 16
    if not flags & _NLM_F_CAPPED:
        skip += struct.unpack_from("=I", body, 4)[0] - 16
    return table(body[skip:]).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(errors="replace")
