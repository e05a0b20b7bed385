"""`agnhost connect`: one TCP, UDP or SCTP attempt, told apart by the first word on standard error.

Rule: kubernetes/test/images/agnhost/connect. Exit 0 when connected (UDP: when a reply came), otherwise 1 with
UNKNOWN, DNS, TIMEOUT, REFUSED or OTHER, which the end-to-end tests parse.
"""

from __future__ import annotations

import errno
import os
import socket

from .console import err
from .goflags import Duration, Value, parse

_FLAGS: dict[str, Value] = {
    "timeout": Duration(0),
    "protocol": "tcp",
    "udp-data": "hostname",
    "sctp-data": "hostname",
}


def main(argv: list[str]) -> int:
    flags, rest = parse(argv[1:], _FLAGS, command="app connect [host:port]")
    if len(rest) != 1:
        err(f"Error: accepts 1 arg(s), received {len(rest)}")
        return 1
    protocol = str(flags["protocol"])
    timeout = float(flags["timeout"]) or None
    if protocol in ("", "tcp"):
        return _stream(rest[0], timeout, None)
    if protocol == "udp":
        return _udp(rest[0], timeout, f"{flags['udp-data']}\n".encode())
    if protocol == "sctp":
        return _stream(rest[0], timeout, f"{flags['sctp-data']}\n".encode())
    err(f"Unsupported protocol\n{protocol}", end="")  # so does upstream
    return 1


def split_host_port(text: str) -> tuple[str, str]:
    """Host and port of "host:port" or "[v6]:port". Raises ValueError in Go's words."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]:")
        if not bracket:
            raise ValueError(f"address {text}: missing port in address")
        return host, port
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"address {text}: missing port in address")
    if ":" in host:
        raise ValueError(f"address {text}: too many colons in address")
    return host, port


def resolve(host: str, port: str, kind: int) -> tuple[int, tuple[str | int, ...]]:
    """Family and address of the first answer, IPv4 first as Go. Raises LookupError in Go's words."""
    try:
        found = socket.getaddrinfo(host or "localhost", port, type=kind)
    except socket.gaierror as problem:
        if problem.errno == socket.EAI_SERVICE:
            network = "tcp" if kind == socket.SOCK_STREAM else "udp"
            raise LookupError(f"lookup {network}/{port}: unknown port") from None
        if problem.errno == socket.EAI_AGAIN:
            raise LookupError(f"lookup {host}{_server()}: i/o timeout") from None
        raise LookupError(f"lookup {host}{_server()}: no such host") from None
    best = next((entry for entry in found if entry[0] == socket.AF_INET), found[0])
    return int(best[0]), (str(best[4][0]), *(int(part) for part in best[4][1:]))


def _server() -> str:
    try:
        with open("/etc/resolv.conf") as lines:  # noqa: PTH123 - pathlib costs an import in a program that lives a moment
            for line in lines:
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    return f" on {words[1]}:53"
    except OSError:
        pass
    return ""


def _destination(text: str, kind: int) -> tuple[int, tuple[str | int, ...]] | None:
    """Where to connect to; None after the reason was printed."""
    try:
        host, port = split_host_port(text)
    except ValueError as problem:
        err(f"{'UNKNOWN' if kind == socket.SOCK_STREAM else 'DNS'}: {problem}")
        return None
    if port.isdigit() and int(port) > 65535:
        err(f"DNS: address {port}: invalid port")
        return None
    try:
        return resolve(host, port, kind)
    except LookupError as problem:
        err(f"DNS: {problem}")
        return None


def _stream(text: str, timeout: float | None, data: bytes | None) -> int:
    """TCP, or with `data` SCTP (which sends it and waits for an answer)."""
    where = _destination(text, socket.SOCK_STREAM)
    if where is None:
        return 1
    family, address = where
    try:
        if data is None:
            connection = socket.socket(family, socket.SOCK_STREAM)
        else:
            connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
        with connection:
            connection.settimeout(timeout)
            connection.connect(address)
            if data is not None:
                connection.sendall(data)
                connection.recv(1024)
        return 0
    except TimeoutError:
        err("TIMEOUT")
    except OSError as problem:
        if problem.errno == errno.ECONNREFUSED and data is None:
            err("REFUSED")
        else:
            network = "tcp" if data is None else "sctp"
            err(
                f"OTHER: dial {network} {address[0]}:{address[1]}: connect: {os.strerror(problem.errno or 0).lower()}"
            )
    return 1


def _udp(text: str, timeout: float | None, data: bytes) -> int:
    where = _destination(text, socket.SOCK_DGRAM)
    if where is None:
        return 1
    family, address = where
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        try:
            connection.connect(address)
        except OSError as problem:
            err(
                f"OTHER: dial udp {address[0]}:{address[1]}: connect: {os.strerror(problem.errno or 0).lower()}"
            )
            return 1
        mine, theirs = connection.getsockname(), f"{address[0]}:{address[1]}"
        pair = f"udp {mine[0]}:{mine[1]}->{theirs}"
        connection.settimeout(timeout)
        try:
            connection.send(data)
            if not connection.recv(1024):
                err(
                    "OTHER: No data received from the server. Cannot guarantee the server received the request."
                )
                return 1
        except TimeoutError:
            err(f"TIMEOUT: read {pair}: i/o timeout")
            return 1
        except OSError as problem:
            if problem.errno == errno.ECONNREFUSED:
                err(f"REFUSED: read {pair}: read: connection refused")
            else:
                err(f"UNKNOWN: write {pair}: write: {os.strerror(problem.errno or 0).lower()}")
            return 1
    return 0
