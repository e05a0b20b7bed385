"""What travels from the daemon to the zygote: one container or one exec, as JSON in a memory file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

_IN_ORDER = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES: tuple[str, ...] = tuple(_IN_ORDER.split())
# What containerd gives a container that asks for nothing.
_DEFAULT = """
CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP
"""
DEFAULT_CAPABILITIES = frozenset(_DEFAULT.split())


def capability_mask(names: frozenset[str]) -> int:
    """The bit mask of capabilities given by name, with or without `CAP_`; unknown names are ignored."""
    bare = {name.upper().removeprefix("CAP_") for name in names}
    return sum(1 << number for number, name in enumerate(CAPABILITIES) if name in bare or "ALL" in bare)


@dataclass(frozen=True)
class Bind:
    """Show `source` of the node (a file or a directory) at `target` in the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ProcessSpec:
    """A process to start in a container: its first (`image` and `binds` matter) or a later one (exec)."""

    argv: tuple[str, ...]
    env: dict[str, str]
    image: str
    working_dir: str = "/"
    tty: bool = False
    capabilities: int = capability_mask(DEFAULT_CAPABILITIES)
    binds: tuple[Bind, ...] = ()
    read_only_root: bool = False
    labels: dict[str, str] = field(default_factory=dict)

    def to_memory_file(self) -> int:
        """A new file descriptor holding this as JSON, to be sent and then closed by the caller."""
        fd = os.memfd_create("spec", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(json.dumps(asdict(self)).encode())
        return fd

    @classmethod
    def from_memory_file(cls, fd: int) -> ProcessSpec:
        """Read what `to_memory_file` wrote; closes the descriptor."""
        os.lseek(fd, 0, os.SEEK_SET)
        with os.fdopen(fd, "rb") as file:
            data: dict[str, Any] = json.loads(file.read())
        data["argv"] = tuple(data["argv"])
        data["binds"] = tuple(Bind(**bind) for bind in data["binds"])
        return cls(**data)
