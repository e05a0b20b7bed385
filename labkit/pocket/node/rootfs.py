"""A container's root file system: a tmpfs of its own over read-only views of this machine's programs.

`build` runs in each container's first process, in its own mount namespace, and ends with the new root as `/`. The views
of the machine's programs are made once (`machine.Machine.prepare`). A stand-in's files and commands are put in place;
the machine's home directories, /etc and the cluster's state are not there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from labkit.pocket.node import linux
from labkit.pocket.node.machine import ETC_FILES, Machine
from labkit.pocket.node.spec import Bind

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_EMPTY_DIRECTORIES = (
    "home",
    "media",
    "mnt",
    "opt",
    "root",
    "run",
    "srv",
    "sys",
    "var/cache",
    "var/lib",
    "var/log",
    "var/spool",
)
_BIND_AT_MOST = (
    40  # a directory with more entries than this is opened up with symbolic links, which are cheaper
)
_MACHINE = "/.machine"  # where those links lead


def build(
    machine: Machine,
    root: str,
    files: Mapping[str, tuple[int, bytes]],
    binds: Iterable[Bind],
    *,
    read_only: bool = False,
) -> None:
    """Make the file system at the directory `root` and move into it.

    `files`: absolute path → (mode, content), the stand-in's own; `binds`: volumes and the pod's /etc files.
    Call in a new mount namespace, in the first process of a new PID namespace (for /proc).
    """
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NODEV | linux.MS_NOSUID, "mode=0755,size=1g")
    own = {machine.real(path): entry for path, entry in files.items()}
    _directories(root)
    _programs(machine, root, own)
    _etc(machine, root)
    _devices(root)
    for path, (mode, content) in own.items():
        _write(root + path, mode, content)
    for volume in sorted(binds, key=lambda volume: volume.target.count("/")):
        _bind_volume(root, volume)
    _proc(root)
    os.chdir(root)
    linux.pivot_root(".", ".")  # both at one place: no directory for the old root is needed
    linux.umount(".")
    os.chdir("/")
    if read_only:
        linux.mount(
            "none",
            "/",
            flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NODEV | linux.MS_NOSUID,
        )


def _directories(root: str) -> None:
    for name in _EMPTY_DIRECTORIES:
        Path(root, name).mkdir(parents=True, exist_ok=True)
    Path(root, "root").chmod(0o700)
    for name in ("tmp", "var/tmp"):
        Path(root, name).mkdir()
        Path(root, name).chmod(0o1777)
    Path(root, "var/run").symlink_to("/run")


def _programs(machine: Machine, root: str, files: Mapping[str, object]) -> None:
    for link, target in machine.links.items():
        Path(root + link).parent.mkdir(parents=True, exist_ok=True)
        Path(root + link).symlink_to(target)
    opened = _to_open(machine, files)
    for tree in machine.trees:
        if any(path == tree or path.startswith(tree + "/") for path in opened):
            _open(machine, root, tree, opened, files)
        else:
            _bind_view(machine, root, tree)


def _to_open(machine: Machine, files: Iterable[str]) -> set[str]:
    """The machine's directories that must be made anew because a file of ours goes in there."""
    opened: set[str] = set()
    for path in files:
        tree = machine.tree_of(path)
        parent = path.rpartition("/")[0]
        while tree is not None and len(parent) >= len(tree):
            opened.add(parent)
            parent = parent.rpartition("/")[0]
    return opened


def _bind_view(machine: Machine, root: str, path: str) -> None:
    target = Path(root + path)
    if Path(machine.base + path).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    linux.bind(machine.base + path, str(target), read_only=False)  # the view is read-only, so is its copy


def _open(machine: Machine, root: str, directory: str, opened: set[str], files: Mapping[str, object]) -> None:
    """Make `directory` a writable one whose entries are the machine's, except for those in `files`."""
    Path(root + directory).mkdir(parents=True, exist_ok=True)
    try:
        entries = list(os.scandir(machine.base + directory))
    except (FileNotFoundError, NotADirectoryError):
        return  # ours alone
    few = len(entries) <= _BIND_AT_MOST
    for entry in entries:
        path = f"{directory}/{entry.name}"
        if path in files:
            continue
        if path in opened and entry.is_dir():
            _open(machine, root, path, opened, files)
        elif entry.is_symlink():
            Path(root + path).symlink_to(Path(entry.path).readlink())
        elif few and entry.is_dir():
            _bind_view(machine, root, path)
        else:
            Path(root + path).symlink_to(_MACHINE + path)
            _show_machine(machine, root)


def _show_machine(machine: Machine, root: str) -> None:
    if not Path(root + _MACHINE).exists():
        Path(root + _MACHINE).mkdir()
        linux.bind(machine.base, root + _MACHINE, read_only=True)


def _etc(machine: Machine, root: str) -> None:
    etc = Path(root, "etc")
    etc.mkdir(exist_ok=True)
    for name in ETC_FILES:
        source = Path(machine.base, "etc", name)
        if source.exists():
            shutil.copyfile(source, etc / name)
    (etc / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    )
    (etc / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (etc / "nsswitch.conf").write_text(
        "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
    )


def _devices(root: str) -> None:
    dev = root + "/dev"
    Path(dev).mkdir()
    linux.mount("tmpfs", dev, "tmpfs", linux.MS_NOSUID, "mode=0755,size=64k")
    for name in _DEVICES:
        Path(dev, name).touch()
        linux.mount("/dev/" + name, f"{dev}/{name}", flags=linux.MS_BIND)
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("ptmx", "pts/ptmx"),
        *((n, f"/proc/self/fd/{i}") for i, n in enumerate(("stdin", "stdout", "stderr"))),
    ):
        Path(dev, name).symlink_to(target)
    Path(dev, "pts").mkdir()
    linux.mount(
        "devpts",
        dev + "/pts",
        "devpts",
        linux.MS_NOSUID | linux.MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=0620",
    )
    Path(dev, "shm").mkdir()
    linux.mount("tmpfs", dev + "/shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777,size=64m")


def _proc(root: str) -> None:
    Path(root, "proc").mkdir()
    try:
        linux.mount("proc", root + "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    except OSError:
        # Inside another container the kernel refuses a new one (parts of the outer are hidden): show the outer.
        linux.bind("/proc", root + "/proc", read_only=True)
    try:
        linux.mount(
            "sysfs",
            root + "/sys",
            "sysfs",
            linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC | linux.MS_RDONLY,
        )
    except OSError:
        pass  # the same refusal; little in a container reads it


def _write(path: str, mode: int, content: bytes) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(mode)


def _bind_volume(root: str, volume: Bind) -> None:
    target = root + os.path.normpath("/" + volume.target)
    # A link in the image must not lead the mount out of the container (it is still the machine's root here).
    target = root + _within(root, target[len(root) :])
    if Path(volume.source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    elif not Path(target).exists():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    linux.bind(volume.source, target, read_only=volume.read_only)


def _within(root: str, path: str) -> str:
    """Follow the links of `path` as if `root` were the root directory."""
    done = ""
    rest = [part for part in path.split("/") if part]
    for _ in range(200):
        if not rest:
            return done
        part = rest.pop(0)
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{done}/{part}"
        if Path(root + here).is_symlink():
            link = str(Path(root + here).readlink())
            done = "" if link.startswith("/") else done
            rest = [piece for piece in link.split("/") if piece and piece != "."] + rest
        else:
            done = here
    raise OSError(40, f"too many links: {path}")
