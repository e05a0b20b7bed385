"""What this machine says of itself, for the preflight: files of /proc and /sys, free disk, ports, routes. Read, never changed."""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets to a network leave this machine."""

    network: Network
    device: str


@dataclass(frozen=True)
class Machine:
    """`root`: the folder that has proc and sys, "/" but in tests."""

    root: Path = Path("/")
    platform: str = sys.platform
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def read(self, path: str) -> str | None:
        """A small file's text without the end of line; None when it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """A file that holds one number."""
        text = self.read(path)
        return int(text) if text is not None and text.isdigit() else None

    @property
    def linux(self) -> bool:
        """Whether containers run on this machine's own kernel."""
        return self.platform == "linux"

    @property
    def wsl(self) -> int:
        """The version of the Windows Subsystem for Linux that this is; 0 when it is none."""
        version = (self.read("/proc/version") or "").lower()
        if "microsoft" not in version:
            return 0
        return 2 if "wsl2" in version or "microsoft-standard" in version else 1

    @property
    def available_memory(self) -> int | None:
        """Bytes that new processes can have without swapping."""
        for line in (self.read("/proc/meminfo") or "").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
        return None

    def free_disk(self, folder: str) -> int | None:
        """Bytes free where a folder is; None when it is not on this machine."""
        path = self.root / folder.lstrip("/")
        return shutil.disk_usage(path).free if folder and path.exists() else None

    def routes(self) -> list[Route]:
        """The IPv4 routes of the main table but the default ones. A VPN's are among them."""
        found = []
        for line in (self.read("/proc/net/route") or "").splitlines()[1:]:
            columns = line.split()
            if len(columns) < 8:
                continue
            address, mask = (
                str(ipaddress.IPv4Address(struct.pack("<I", int(columns[i], 16)))) for i in (1, 7)
            )
            if mask != "0.0.0.0":
                found.append(Route(ipaddress.ip_network(f"{address}/{mask}", strict=False), columns[0]))
        return found

    def port_taken(self, address: str, port: int, protocol: str = "TCP") -> bool:
        """Whether somebody listens on a port of this machine. A port that we may not try counts as free: the engine may."""
        kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, kind) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((address, port))
        except OSError as problem:
            return problem.errno == errno.EADDRINUSE
        return False
