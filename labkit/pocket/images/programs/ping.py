"""`ping` as BusyBox has it: real ICMP echo requests, from a raw socket or the kernel's ping socket."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time

from .console import err, out


def main(argv: list[str]) -> int:
    values = {"c": 0.0, "W": 10.0, "w": 0.0, "i": 1.0, "s": 56.0, "t": 0.0, "I": 0.0}
    switches, hosts, words = set[str](), list[str](), argv[1:]
    while words:
        word = words.pop(0)
        if word.startswith("-") and len(word) > 1:
            letter, text = word[1], word[2:]
            if letter in values:
                text = text or (words.pop(0) if words else "")
                try:
                    values[letter] = float(text)
                except ValueError:
                    err(f"ping: invalid number '{text}'")
                    return 1
            else:
                switches.update(word[1:])
        else:
            hosts.append(word)
    if not hosts:
        err("Usage: ping [-c COUNT] [-i SEC] [-s SIZE] [-w SEC] [-W SEC] [-q] HOST")
        return 1
    host = hosts[0]
    try:
        address = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_RAW)[0][4][0]
    except OSError:
        err(f"ping: bad address '{host}'")
        return 1
    connection, raw = _open()
    if connection is None:
        err("ping: permission denied (are you root?)")
        return 1
    with connection:
        session = _Session(connection, raw, host, str(address), int(values["s"]), quiet="q" in switches)
        return session.run(int(values["c"]), values["i"], values["W"], values["w"])


def _open() -> tuple[socket.socket | None, bool]:
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            return socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP), kind == socket.SOCK_RAW
        except PermissionError:
            continue
    return None, False


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2])) + (
        data[-1] << 8 if len(data) % 2 else 0
    )
    total = (total >> 16) + (total & 0xFFFF)
    return ~int(total + (total >> 16)) & 0xFFFF


class _Session:
    def __init__(
        self, connection: socket.socket, raw: bool, host: str, address: str, size: int, *, quiet: bool
    ) -> None:
        self.connection, self.raw, self.host, self.address = connection, raw, host, address
        self.size, self.quiet = size, quiet
        self.ident = os.urandom(2)
        self.sent, self.times = 0, list[float]()

    def run(self, count: int, interval: float, patience: float, deadline: float) -> int:
        out(f"PING {self.host} ({self.address}): {self.size} data bytes")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ends = time.monotonic() + deadline if deadline else None
        try:
            while (not count or self.sent < count) and (ends is None or time.monotonic() < ends):
                began = time.monotonic()
                last = bool(count) and self.sent == count - 1
                wait = patience if last else interval
                if ends is not None:
                    wait = min(wait, max(0.0, ends - began))
                self._echo(wait)
                rest = interval - (time.monotonic() - began)
                if not last and rest > 0:
                    time.sleep(rest)
        except KeyboardInterrupt:
            pass
        got = len(self.times)
        lost = round(100 * (self.sent - got) / self.sent) if self.sent else 0
        out(f"\n--- {self.host} ping statistics ---")
        out(f"{self.sent} packets transmitted, {got} packets received, {lost}% packet loss")
        if got:
            out(
                f"round-trip min/avg/max = {min(self.times):.3f}/{sum(self.times) / got:.3f}/{max(self.times):.3f} ms"
            )
        return 0 if got else 1

    def _echo(self, wait: float) -> None:
        sequence, payload = (
            self.sent,
            struct.pack("!d", time.perf_counter()).ljust(self.size, b"\0")[: self.size],
        )
        packet = struct.pack("!BBH2sH", 8, 0, 0, self.ident, sequence & 0xFFFF) + payload
        packet = packet[:2] + struct.pack("!H", _checksum(packet)) + packet[4:]
        self.sent += 1
        began = time.perf_counter()
        try:
            self.connection.sendto(packet, (self.address, 0))
        except OSError as problem:
            err(f"ping: sendto: {os.strerror(problem.errno or 0)}")
            return
        while (left := wait - (time.perf_counter() - began)) > 0:
            self.connection.settimeout(left)
            try:
                data, sender = self.connection.recvfrom(65535)
            except TimeoutError:
                return
            except OSError as problem:
                err(f"ping: {os.strerror(problem.errno or 0)}")
                return
            ttl = data[8] if self.raw else 64
            icmp = data[(data[0] & 15) * 4 :] if self.raw else data
            ours = (
                icmp[4:6] == self.ident or not self.raw
            )  # the kernel's ping socket chooses the identifier itself
            if icmp[:1] != b"\0" or not ours or struct.unpack("!H", icmp[6:8])[0] != sequence & 0xFFFF:
                continue
            took = (time.perf_counter() - began) * 1000
            self.times.append(took)
            if not self.quiet:
                out(f"{len(icmp)} bytes from {sender[0]}: seq={sequence} ttl={ttl} time={took:.3f} ms")
            return
