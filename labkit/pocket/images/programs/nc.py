"""`nc`: connect, look (-z), listen (-l), TCP and UDP, with BusyBox's messages (`main`) or OpenBSD's (`openbsd`)."""

from __future__ import annotations

import os
import socket
import subprocess

from .console import err
from .netio import addresses, connect, relay

_VALUES = "wpseiqIOTXxVPMm"
_USAGE = {
    False: "BusyBox (labkit's stand-in) multi-call binary.\n\n"
    "Usage: nc [OPTIONS] HOST PORT  - connect\nnc [OPTIONS] -l -p PORT [HOST] [PORT]  - listen\n\n"
    "\t-e PROG\tRun PROG after connect (must be last)\n\t-l\tListen mode, for inbound connects\n"
    "\t-lk\tWith -e, provides persistent server\n\t-p PORT\tLocal port\n\t-s ADDR\tLocal address\n"
    "\t-w SEC\tTimeout for connects and final net reads\n\t-n\tDon't do DNS resolution\n"
    "\t-u\tUDP mode\n\t-v\tVerbose\n\t-z\tZero-I/O mode (scanning)",
    True: "usage: nc [-46hklNnuvz] [-e program] [-p source_port] [-q seconds] [-s sourceaddr] [-w timeout] "
    "[destination] [port]",
}


def main(argv: list[str]) -> int:
    return _Netcat(openbsd=False).run(argv[1:])


def openbsd(argv: list[str]) -> int:
    return _Netcat(openbsd=True).run(argv[1:])


class _Netcat:
    def __init__(self, *, openbsd: bool) -> None:
        self.openbsd = openbsd
        self.switches: set[str] = set()
        self.values: dict[str, str] = {}
        self.program: list[str] = []

    def run(self, words: list[str]) -> int:
        places: list[str] = []
        while words:
            word = words.pop(0)
            if not word.startswith("-") or word == "-":
                places.append(word)
                continue
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter == "e" and not self.openbsd:
                    self.program, words, letters = [*([letters] if letters else []), *words], [], ""
                elif letter in _VALUES:
                    if not letters and not words:
                        err(f"nc: option requires an argument -- {letter}\n{_USAGE[self.openbsd]}")
                        return 1
                    self.values[letter], letters = letters or words.pop(0), ""
                elif letter in "lkunvz46NhtdDCr":
                    self.switches.add(letter)
                else:
                    err(f"nc: invalid option -- {letter}\n{_USAGE[self.openbsd]}")
                    return 1
        if "e" in self.values:
            self.program = self.values["e"].split()
        if "h" in self.switches or not (places or "l" in self.switches):
            err(_USAGE[self.openbsd])
            return 1
        try:
            self.wait = float(self.values["w"]) if "w" in self.values else None
            return self._listen(places) if "l" in self.switches else self._connect(places)
        except ValueError as problem:
            err(f"nc: {problem}")
            return 1

    @property
    def verbose(self) -> bool:
        return "v" in self.switches

    @property
    def udp(self) -> bool:
        return "u" in self.switches

    def _ports(self, text: str) -> list[int]:
        low, dash, high = text.partition("-")
        try:
            ports = list(range(int(low), int(high or low) + 1)) if dash else [int(low)]
        except ValueError:
            try:
                return [socket.getservbyname(text, "udp" if self.udp else "tcp")]
            except OSError:
                raise ValueError(
                    f"port number invalid: {text}" if self.openbsd else f"bad port '{text}'"
                ) from None
        if not all(0 < port < 65536 for port in ports):
            raise ValueError(f"port number invalid: {text}" if self.openbsd else f"bad port '{text}'")
        return ports

    def _connect(self, places: list[str]) -> int:
        if len(places) < 2:
            err(_USAGE[self.openbsd])
            return 1
        host = places[0]
        codes = [self._one(host, port) for text in places[1:] for port in self._ports(text)]
        return 0 if (0 in codes if "z" in self.switches else codes[-1] == 0) else 1

    def _one(self, host: str, port: int) -> int:
        kind = socket.SOCK_DGRAM if self.udp else socket.SOCK_STREAM
        family = socket.AF_INET6 if "6" in self.switches else socket.AF_INET if "4" in self.switches else 0
        try:
            where = addresses(host, port, kind=kind, family=family)
        except OSError as problem:
            reason = problem.strerror or "unknown error"
            err(
                f'nc: getaddrinfo for host "{host}" port {port}: {reason}'
                if self.openbsd
                else f"nc: bad address '{host}'"
            )
            return 1
        peer = str(where[0][1][0])
        source = (
            (self.values.get("s", ""), int(self.values.get("p", "0")))
            if {"s", "p"} & self.values.keys()
            else None
        )
        try:
            if self.udp:
                connection = socket.socket(where[0][0], kind)
                if source:
                    connection.bind(source)
                connection.connect(where[0][1])
            else:
                connection = connect(where, self.wait, source=source)
        except TimeoutError:
            return self._failed(host, peer, port, "timed out: Operation in progress", "Connection timed out")
        except OSError as problem:
            reason = os.strerror(problem.errno or 0)
            return self._failed(host, peer, port, f"failed: {reason}", reason)
        with connection:
            if self.udp and "z" in self.switches and not self._udp_open(connection):
                return 1
            if self.verbose:
                self._opened(host, peer, port)
            if "z" in self.switches:
                return 0
            if self.program:
                return self._run_program(connection)
            quit_after = float(self.values["q"]) if float(self.values.get("q", "-1")) >= 0 else None
            try:
                relay(connection, idle=self.wait, linger=quit_after)
            except OSError as problem:
                if self.verbose:
                    err(f"nc: {os.strerror(problem.errno or 0)}")
                return 1
        return 0

    def _failed(self, host: str, peer: str, port: int, openbsd: str, busybox: str) -> int:
        if self.openbsd:
            if self.verbose:
                network = "udp" if self.udp else "tcp"
                err(
                    f"nc: connect to {host} {f'({peer}) ' if peer != host else ''}port {port} ({network}) {openbsd}"
                )
        else:
            err(f"nc: {host} ({peer}:{port}): {busybox}")
        return 1

    def _opened(self, host: str, peer: str, port: int) -> None:
        if not self.openbsd:
            err(f"{host} ({peer}:{port}) open")
            return
        network = "udp" if self.udp else "tcp"
        try:
            service = socket.getservbyport(port, network)
        except OSError:
            service = "*"
        shown = f"{host} ({peer})" if peer != host else host
        err(f"Connection to {shown} {port} port [{network}/{service}] succeeded!")

    def _udp_open(self, connection: socket.socket) -> bool:
        """Send as OpenBSD's scan does and believe the port open unless the network says that it is not."""
        for _ in range(3):
            try:
                connection.send(b"X")
                connection.settimeout(0.3)
                connection.recv(1)
                return True
            except TimeoutError:
                continue
            except OSError:
                return False
        return True

    def _run_program(self, connection: socket.socket) -> int:
        connection.settimeout(None)
        fd = connection.fileno()
        return subprocess.run(self.program, stdin=fd, stdout=fd, check=False).returncode

    def _listen(self, places: list[str]) -> int:
        text = self.values.get("p") or (places[-1] if places else "0")
        host = (
            places[0]
            if len(places) > 1 or ("p" in self.values and places)
            else self.values.get("s", "0.0.0.0")
        )
        port = self._ports(text)[0] if text != "0" else 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if self.udp else socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError as problem:
                err(f"nc: {'' if self.openbsd else 'bind: '}{os.strerror(problem.errno or 0)}")
                return 1
            if not self.udp:
                listener.listen(16)
            if self.verbose:
                shown = listener.getsockname()
                err(
                    f"Listening on {shown[0]} {shown[1]}"
                    if self.openbsd
                    else f"listening on {shown[0]}:{shown[1]} ..."
                )
            if self.udp:
                data, peer = listener.recvfrom(65536)
                listener.connect(peer)
                os.write(1, data)
                relay(listener, idle=self.wait)
                return 0
            while True:
                connection, peer = listener.accept()
                with connection:
                    if self.verbose:
                        text = (
                            f"Connection received on {peer[0]} {peer[1]}"
                            if self.openbsd
                            else f"connect to {peer[0]}:{peer[1]}"
                        )
                        err(text)
                    if self.program:
                        self._run_program(connection)
                    else:
                        relay(connection, idle=self.wait)
                if "k" not in self.switches:
                    return 0
