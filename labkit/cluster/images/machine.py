"""This machine's own Python and tools as the root file system of an image: nothing needs to be pulled for it.

Taken are this Python and its standard library, a list of common tools, and the shared libraries that they load (as
`ldd` finds them). Home directories and the machine's own configuration stay where they are.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import ImageError
from .layers import Entry

HOME = "/opt/labkit/python"  # where the interpreter lies in the image
_PLACES = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_TOOLS = """
sh bash cat ls cp mv rm mkdir rmdir ln chmod chown touch echo printf env id whoami date sleep true false test [ head tail
wc sort uniq cut paste tr tee seq tac nl od yes expr stat du df mktemp readlink realpath basename dirname uname nproc tty
dd sync timeout nohup nice base64 md5sum sha256sum join comm split fold fmt expand factor install logname pwd
grep egrep fgrep sed awk find xargs diff cmp gzip gunzip zcat tar less more hexdump getent which hostname
ps top free kill pgrep pkill watch uptime pidof mount umount ip ss netstat tcpdump curl openssl ssh-keygen socat nft
""".split()  # noqa: SIM905 - a list to read
_LOADED_BY_NAME = (
    "libnss_files.so.2",
    "libnss_dns.so.2",
    "libresolv.so.2",
)  # by glibc, which links to none of them
_LEFT_OUT = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "distutils", "venv",
    "site-packages", "dist-packages", "__pycache__", "turtle.py",
}  # fmt: skip
_ETC = (
    "protocols",
    "services",
    "os-release",
    "mime.types",
    "ssl/certs/ca-certificates.crt",
    "pki/tls/cert.pem",
)
_FOLDERS = (
    "dev", "proc", "sys", "run", "home", "mnt", "opt", "srv", "usr/local/bin", "usr/local/sbin",
    "var/lib", "var/log", "var/cache", "var/spool",
)  # fmt: skip


def is_linux() -> bool:
    """Whether programs of this machine run in containers."""
    return platform.system() == "Linux"


def tree() -> dict[str, Entry]:
    """The root file system. Raises ImageError where this machine, a Linux, cannot give one."""
    whole: dict[str, Entry] = {f"/{name}": Entry(0o755, directory=True) for name in _FOLDERS}
    whole |= {f"/{name}": Entry(0o1777, directory=True) for name in ("tmp", "var/tmp")}
    whole["/root"] = Entry(0o700, directory=True)
    whole["/var/run"] = Entry(link="/run")
    whole |= {f"/{name}": Entry(link=f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")}
    whole |= _python()
    whole |= _tools()
    needing = [entry.source for entry in whole.values() if entry.source is not None]
    whole |= _libraries(path for path in needing if _is_elf(path))
    whole |= _etc()
    if any(path.startswith("/root/") for path in whole):
        # Root built this Python for himself: whoever runs it passes through to its libraries, and sees nothing else there.
        whole["/root"] = Entry(0o711, directory=True)
    return whole


def _python() -> dict[str, Entry]:
    library = Path(sysconfig.get_path("stdlib"))
    inside = f"{HOME}/{sys.platlibdir}/python{sys.version_info[0]}.{sys.version_info[1]}"
    interpreter = Path(os.path.realpath(sys.executable))
    found = {
        f"{HOME}/bin/python3": Entry(0o755, source=interpreter),
        "/usr/bin/python3": Entry(link=f"{HOME}/bin/python3"),
    }
    for path in _modules(library):
        mode = 0o755 if path.suffix == ".so" else 0o644
        found[f"{inside}/{path.relative_to(library).as_posix()}"] = Entry(mode, source=path.resolve())
    return found


def _modules(folder: Path) -> Iterator[Path]:
    """The standard library without what only developers use."""
    for entry in sorted(folder.iterdir()):
        if entry.name in _LEFT_OUT or entry.name.startswith("config-") or entry.suffix in (".a", ".pyc"):
            continue
        if entry.is_dir():
            yield from _modules(entry)
        elif entry.is_file():
            yield entry


def _tools() -> dict[str, Entry]:
    found = {}
    for name in _TOOLS:
        path = shutil.which(name, path=_PLACES)
        real = Path(os.path.realpath(path)) if path else None
        if real is not None and (_is_elf(real) or _is_shell(real)):
            folder = "sbin" if "/sbin/" in str(path) else "bin"
            found[f"/usr/{folder}/{name}"] = Entry(0o755, source=real)
    return found


def _libraries(programs: Iterable[Path]) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for path in sorted(_ldd(sorted(set(programs)))):
        found |= _placed(path, sys.base_prefix)
    for path in list(found):
        if Path(path).name.startswith("libc.so"):
            for name in _LOADED_BY_NAME:
                beside = Path(path).with_name(name)
                if beside.exists():
                    found[str(beside)] = Entry(0o755, source=Path(os.path.realpath(beside)))
    return found


def _placed(path: str, prefix: str) -> dict[str, Entry]:
    """A library where programs of the image look for it: at its own place, and beside the interpreter that has moved.

    A Python of its own prefix (conda, pyenv) finds its libraries by the place of its files, or by that prefix.
    """
    own, entry = os.path.normpath(path), Entry(0o755, source=Path(os.path.realpath(path)))
    if prefix in ("/usr", "/usr/local", "/") or not own.startswith(prefix + "/"):
        return {_merged_usr(own): entry}
    moved = HOME + own[len(prefix) :]
    return {moved: entry, own: Entry(link=moved)}


def _ldd(files: list[Path]) -> set[str]:
    """Paths of the shared libraries that these files load, the dynamic linker too."""
    try:
        done = subprocess.run(
            ["ldd", *map(str, files)], capture_output=True, text=True, check=False, env={"PATH": _PLACES}
        )
    except OSError as problem:
        raise ImageError(
            f"This machine's Python cannot be packed, since ldd does not run ({problem.strerror}). "
            "Name an image that has a Python instead: labkit images build --base python:3.13-slim"
        ) from None
    return set(re.findall(r"(?:=>\s+|^\s+)(/\S+) \(0x", done.stdout, re.M))


def _merged_usr(path: str) -> str:
    """Where a path lies in an image whose /bin and /lib are links into /usr."""
    first = path.split("/", 2)[1]
    return f"/usr{path}" if first in ("bin", "sbin", "lib", "lib64") else path


def _is_elf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(64).strip() in (b"#!/bin/sh", b"#! /bin/sh", b"#!/bin/bash", b"#!/usr/bin/sh")


def _etc() -> dict[str, Entry]:
    found = {
        f"/etc/{name}": Entry(0o644, source=Path(os.path.realpath(f"/etc/{name}")))
        for name in _ETC
        if os.access(f"/etc/{name}", os.R_OK)
    }
    texts = {
        "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
        "group": "root:x:0:\nnogroup:x:65534:\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    }
    return found | {f"/etc/{name}": Entry(0o644, data=text.encode()) for name, text in texts.items()}
