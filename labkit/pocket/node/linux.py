"""The kernel calls the node needs and Python 3.11 has no name for, through the C library.

Every function raises OSError as the `os` module would. Nothing here keeps state.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_DUMPABLE = 4

_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_SYS_MOUNT_SETATTR = 442  # the same on every architecture: it was added after the tables were unified
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_CAPABILITY_VERSION_3 = 0x20080522


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` (CLONE_NEW...) for new ones; with CLONE_NEWPID the children do."""
    _check(_libc().unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, flags: int) -> None:
    """Enter the namespace that `fd` refers to; with CLONE_NEWPID the children will."""
    _check(_libc().setns(ctypes.c_int(fd), ctypes.c_int(flags)), "setns")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc().mount(
        source.encode(),
        target.encode(),
        fstype.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(result, f"mount {source} on {target}")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2), by default lazily."""
    _check(_libc().umount2(target.encode(), ctypes.c_int(flags)), f"umount {target}")


def bind(source: str, target: str, *, read_only: bool) -> None:
    """Show `source`, with all that is mounted beneath it, at `target` as well."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        make_read_only(target)


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def make_read_only(target: str) -> None:
    """Make the mount at `target` and the mounts beneath it read-only.

    Before Linux 5.12 there is no call for the whole tree; then only the top becomes read-only, which is enough
    where nothing is mounted below.
    """
    attr = _MountAttr(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = _libc().syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(-100), target.encode(), ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attr), ctypes.c_size_t(ctypes.sizeof(attr)),
    )  # fmt: skip
    if result == 0:
        return
    # In a user namespace the flags a mount came with are locked: a remount must repeat them.
    kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048)
    mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace."""
    number = _SYS_PIVOT_ROOT[platform.machine()]
    _check(_libc().syscall(ctypes.c_long(number), new_root.encode(), put_old.encode()), "pivot_root")


def sethostname(name: str) -> None:
    """Name this UTS namespace."""
    raw = name.encode()
    _check(_libc().sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")


def prctl(option: int, argument: int | bytes = 0) -> None:
    """prctl(2) with one argument."""
    value = argument if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    _check(_libc().prctl(ctypes.c_int(option), value, 0, 0, 0), f"prctl {option}")


def set_name(name: str) -> None:
    """The name that `ps` and `top` show for this process (15 bytes)."""
    prctl(PR_SET_NAME, name.encode()[:15] + b"\0")


def set_command_line(words: Sequence[str]) -> None:
    """What `ps` shows as this process' command line, as far as there is room for it.

    The words are written over those the process was started with, as setproctitle does; without /proc nothing is done.
    """
    try:
        # The fields after the name in parentheses, which may hold spaces itself; arg_start and arg_end are 48 and 49.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return
    start, end = int(fields[48 - 3]), int(fields[49 - 3])
    room = end - start
    if start and room > 0:
        text = b"\0".join(os.fsencode(word) for word in words)[: room - 1]
        ctypes.memmove(start, text + bytes(room - len(text)), room)


def keep_capabilities(mask: int) -> None:
    """Give up every capability that is not in `mask` (bit N is capability N), for this process and what it runs."""
    libc = _libc()
    for number in range(64):
        if (
            not mask >> number & 1
            and libc.prctl(ctypes.c_int(PR_CAPBSET_DROP), ctypes.c_ulong(number), 0, 0, 0) < 0
        ):
            break  # past the last capability this kernel knows
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    current = (ctypes.c_uint32 * 6)()
    _check(libc.capget(header, current), "capget")
    for word, shift in ((0, 0), (3, 32)):
        part = mask >> shift & 0xFFFF_FFFF
        for index in range(word, word + 3):
            current[index] &= part
        current[word + 2] = 0  # inheritable: a container has none
    _check(libc.capset(header, current), "capset")
