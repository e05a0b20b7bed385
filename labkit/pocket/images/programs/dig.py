"""`dig`, `nslookup` and `host`: ask the pod's name server, and show what it said as BIND's tools do."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from dnslib import QTYPE, RCODE, DNSRecord

from .console import out


@dataclass(slots=True)
class _Servers:
    """/etc/resolv.conf: name servers, search list, ndots."""

    servers: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    ndots: int = 1

    @classmethod
    def read(cls) -> _Servers:
        found = cls()
        try:
            with open("/etc/resolv.conf") as lines:  # noqa: PTH123
                for line in lines:
                    keyword, *words = line.split() or [""]
                    if keyword == "nameserver" and words:
                        found.servers.append(words[0])
                    elif keyword in ("search", "domain"):
                        found.search = words
                    elif keyword == "options":
                        found.ndots = next((int(w[6:]) for w in words if w.startswith("ndots:")), 1)
        except OSError:
            pass
        found.servers = found.servers or ["127.0.0.1"]
        return found

    def candidates(self, name: str) -> list[str]:
        """The names to try for `name`, in a resolver's order."""
        if name.endswith("."):
            return [name]
        listed = [f"{name}.{domain}" for domain in self.search]
        return [name, *listed] if name.count(".") >= self.ndots else [*listed, name]


class _Silent(Exception):  # noqa: N818 - silence is an answer here
    """No answer; the text says how."""


def _ask(server: str, port: int, name: str, kind: str, *, timeout: float, tcp: bool = False) -> DNSRecord:
    """One question, one answer. Raises _Silent."""
    question = DNSRecord.question(name, kind)
    question.header.id = int.from_bytes(os.urandom(2), "big")
    packet = question.pack()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as connection:
            connection.settimeout(timeout)
            connection.connect((server, port))
            if tcp:
                connection.sendall(struct.pack("!H", len(packet)) + packet)
                with connection.makefile("rb") as stream:
                    (size,) = struct.unpack("!H", stream.read(2) or b"\0\0")
                    data = stream.read(size)
            else:
                connection.send(packet)
                data = connection.recv(65535)
                while data[:2] != packet[:2]:
                    data = connection.recv(65535)
    except TimeoutError:
        raise _Silent("timed out") from None
    except OSError as problem:
        raise _Silent((problem.strerror or "network error").lower()) from None
    if not data:
        raise _Silent("end of file")
    answer = DNSRecord.parse(data)
    return (
        _ask(server, port, name, kind, timeout=timeout, tcp=True) if answer.header.tc and not tcp else answer
    )


def dig(argv: list[str]) -> int:
    conf = _Servers.read()
    server, port, name, kind = conf.servers[0], 53, "", ""
    flags: dict[str, str] = {"time": "5", "tries": "3"}
    words = argv[1:]
    while words:
        word = words.pop(0)
        if word.startswith("+"):
            key, _, value = word[1:].partition("=")
            flags[key] = value
        elif word.startswith("@"):
            server = word[1:]
        elif word in ("-t", "-p", "-x", "-q", "-c"):
            value = words.pop(0) if words else ""
            if word == "-t":
                kind = value.upper()
            elif word == "-p":
                port = int(value)
            elif word == "-x":
                name, kind = ipaddress.ip_address(value).reverse_pointer, "PTR"
            elif word == "-q":
                name = value
        elif word in ("-4", "-6"):
            continue
        elif not name or "." in word or word.upper() not in QTYPE.reverse:
            if word.upper() not in ("IN", "CH", "HS"):
                name = word
        else:
            kind = word.upper()
    name, kind = name or ".", kind or ("NS" if not name else "A")
    banner = (
        ""
        if "short" in flags
        else f"\n; <<>> DiG 9.18 (labkit's stand-in) <<>> {' '.join(argv[1:])}\n;; global options: +cmd"
    )
    sections = "noall" not in flags
    if not _is_address(server):
        try:
            server = str(socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM)[0][4][0])
        except OSError:
            out(f"dig: couldn't get address for '{server}': not found")
            return 10
    names = conf.candidates(name) if "search" in flags else [name]
    for candidate in names:
        began = time.monotonic()
        try:
            answer = _tries(server, port, candidate, kind, flags)
        except _Silent as silent:
            if sections or "short" in flags:
                out(banner.rstrip("\n")) if banner else None
                for _ in range(int(flags["tries"] or 3)):
                    out(f";; communications error to {server}#{port}: {silent}")
                out(";; no servers could be reached")
            return 9
        if answer.header.rcode == 0 or candidate == names[-1]:
            break
    if "short" in flags:
        for record in answer.rr:
            out(str(record.rdata))
        return 0
    if sections:
        out(banner)
        _show(answer)
        out(f";; Query time: {round((time.monotonic() - began) * 1000)} msec")
        out(f";; SERVER: {server}#{port}({server}) ({'TCP' if 'tcp' in flags else 'UDP'})")
        out(f";; WHEN: {time.strftime('%a %b %d %H:%M:%S %Z %Y')}")
        out(f";; MSG SIZE  rcvd: {len(answer.pack())}\n")
    elif "answer" in flags:
        for record in answer.rr:
            out(_line(record))
    return 0


def _tries(server: str, port: int, name: str, kind: str, flags: dict[str, str]) -> DNSRecord:
    silent = _Silent("timed out")
    for _ in range(max(1, int(flags["tries"] or 3))):
        try:
            return _ask(server, port, name, kind, timeout=float(flags["time"] or 5), tcp="tcp" in flags)
        except _Silent as problem:
            silent = problem
    raise silent


def _line(record: Any) -> str:
    name, ttl, kind = record.rname, record.ttl, QTYPE[record.rtype]
    return f"{name!s:<23}\t{ttl}\tIN\t{kind}\t{record.rdata}"


def _show(answer: DNSRecord) -> None:
    header = answer.header
    flags = " ".join(
        name
        for name, on in (
            ("qr", header.qr),
            ("aa", header.aa),
            ("tc", header.tc),
            ("rd", header.rd),
            ("ra", header.ra),
        )
        if on
    )
    out(";; Got answer:")
    out(f";; ->>HEADER<<- opcode: QUERY, status: {RCODE[header.rcode]}, id: {header.id}")
    out(
        f";; flags: {flags}; QUERY: {header.q}, ANSWER: {header.a}, AUTHORITY: {header.auth}, ADDITIONAL: {header.ar}"
    )
    out("\n;; QUESTION SECTION:")
    out(f";{answer.q.qname}\t\tIN\t{QTYPE[answer.q.qtype]}")
    for title, records in (("ANSWER", answer.rr), ("AUTHORITY", answer.auth)):
        if records:
            out(f"\n;; {title} SECTION:")
            for record in records:
                out(_line(record))
    out()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _lookup(
    name: str, kinds: list[str], server: str, conf: _Servers, timeout: float
) -> tuple[str, int, list[Any]]:
    """(name that answered or was tried last, rcode, records), going through the search list. Raises _Silent."""
    tried, rcode = name, 3
    for candidate in conf.candidates(name):
        tried, records = candidate, []
        for kind in kinds:
            answer = _tries(server, 53, candidate, kind, {"time": str(timeout), "tries": "2"})
            rcode = answer.header.rcode
            records += list(answer.rr)
        if records or rcode not in (0, 3):
            return tried, rcode, records
    return tried, rcode or 3, []


def nslookup(argv: list[str]) -> int:
    conf = _Servers.read()
    places = [word for word in argv[1:] if not word.startswith("-")]
    kind = next(
        (w.partition("=")[2].upper() for w in argv[1:] if w.startswith(("-type=", "-query=", "-q="))), ""
    )
    timeout = next((float(w.partition("=")[2]) for w in argv[1:] if w.startswith("-timeout=")), 5.0)
    if not places:
        out("usage: nslookup [-type=TYPE] NAME [SERVER]")
        return 1
    server = places[1] if len(places) > 1 else conf.servers[0]
    name = places[0]
    try:
        if not _is_address(server):
            server = str(socket.getaddrinfo(server, 53, type=socket.SOCK_DGRAM)[0][4][0])
        if _is_address(name):
            pointer = ipaddress.ip_address(name).reverse_pointer + "."
            tried, rcode, records = _lookup(pointer, ["PTR"], server, conf, timeout)
        else:
            tried, rcode, records = _lookup(name, [kind] if kind else ["A", "AAAA"], server, conf, timeout)
    except _Silent as silent:
        for _ in range(2):
            out(f";; communications error to {server}#53: {silent}")
        out(";; no servers could be reached\n")
        return 1
    except OSError:
        out(f"nslookup: couldn't get address for '{server}': not found")
        return 1
    out(f"Server:\t\t{server}\nAddress:\t{server}#53\n")
    if not records:
        out(f"** server can't find {tried.rstrip('.')}: {RCODE[rcode]}\n")
        return 1
    for record in records:
        owner = str(record.rname).rstrip(".")
        which = QTYPE[record.rtype]
        if which in ("A", "AAAA"):
            out(f"Name:\t{owner}\nAddress: {record.rdata}")
        elif which == "PTR":
            out(f"{owner}\tname = {record.rdata}")
        else:
            out(
                f"{owner}\tservice = {record.rdata}" if which == "SRV" else f"{owner}\t{which} {record.rdata}"
            )
    out()
    return 0


def host(argv: list[str]) -> int:
    conf = _Servers.read()
    words, kind, timeout = argv[1:], "", 5.0
    places = []
    while words:
        word = words.pop(0)
        if word == "-t":
            kind = words.pop(0).upper() if words else ""
        elif word == "-W":
            timeout = float(words.pop(0)) if words else timeout
        elif not word.startswith("-"):
            places.append(word)
    if not places:
        out("Usage: host [-t type] [-W wait] hostname [server]")
        return 1
    server = places[1] if len(places) > 1 else conf.servers[0]
    name = ipaddress.ip_address(places[0]).reverse_pointer + "." if _is_address(places[0]) else places[0]
    kinds = [kind] if kind else ["PTR"] if name.endswith(".arpa.") else ["A", "AAAA"]
    try:
        tried, rcode, records = _lookup(name, kinds, server, conf, timeout)
    except _Silent as silent:
        out(f";; communications error to {server}#53: {silent}\n;; no servers could be reached")
        return 1
    if not records:
        out(f"Host {tried.rstrip('.')} not found: {rcode}({RCODE[rcode]})")
        return 1
    words_for = {
        "A": "has address",
        "AAAA": "has IPv6 address",
        "PTR": "domain name pointer",
        "SRV": "has SRV record",
    }
    for record in records:
        which = QTYPE[record.rtype]
        owner = str(record.rname).rstrip(".")
        out(f"{owner} {words_for.get(which, f'has {which} record')} {record.rdata}")
    return 0
