"""What containers see of this machine: read-only views of its programs and of the Python that the stand-ins run in."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from labkit.pocket.node import linux

# Shown as they are where the machine has them. /nix/store: on NixOS every program lives there.
_PROGRAM_TREES = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC_TREES = (
    "ssl",
    "pki",
    "ca-certificates",
    "crypto-policies",
    "alternatives",
    "ld.so.conf.d",
    "terminfo",
    "mime.types",
)
ETC_FILES = ("ld.so.cache", "ld.so.conf", "localtime", "protocols", "services", "os-release", "gai.conf")


def python_trees() -> list[str]:
    """The directories besides /usr that this Python needs to run the stand-ins."""
    package = str(Path(__file__).resolve().parents[2])
    found = [sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_path("stdlib"), package]
    found += [
        entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages", "lib-dynload")
    ]
    found.append(str(Path(sys.executable).resolve().parent.parent))
    return [path for path in _outermost(found) if Path(path).is_dir()]


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without those that lie within another (or within /usr), and never `/` itself."""
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths if path}):
        if path != "/" and not any(
            path == outer or path.startswith(outer + "/") for outer in ("/usr", *kept)
        ):
            kept.append(path)
    return kept


class Machine:
    """The read-only views of this machine, made once beneath `base` by `prepare`."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.links: dict[str, str] = {}  # "/bin" -> "usr/bin"
        self.trees: list[str] = []

    def prepare(self) -> None:
        """Make the views. The mounts belong to the calling process' mount namespace and go away with it."""
        for path in (*_PROGRAM_TREES, *python_trees(), *(f"/etc/{name}" for name in _ETC_TREES)):
            if Path(path).is_symlink():
                self.links[path] = str(Path(path).readlink())
            elif Path(path).exists() and not any(path.startswith(tree + "/") for tree in self.trees):
                self._view(path)
        for name in ETC_FILES:
            if Path("/etc", name).exists():
                shutil.copyfile(Path("/etc", name), self._made(f"/etc/{name}", directory=False))

    def _view(self, path: str) -> None:
        view = self._made(path, directory=Path(path).is_dir())
        linux.bind(path, view, read_only=True)
        self.trees.append(path)

    def _made(self, path: str, *, directory: bool) -> str:
        view = Path(self.base + path)
        (view if directory else view.parent).mkdir(parents=True, exist_ok=True)
        if not directory:
            view.touch()
        return str(view)

    def real(self, path: str) -> str:
        """`path` with the machine's own top-level links followed: /bin/sh is /usr/bin/sh on a merged machine."""
        path = os.path.normpath(path)
        for link, target in self.links.items():
            if path == link or path.startswith(link + "/"):
                return os.path.normpath(str(Path(link).parent / target) + path[len(link) :])
        return path

    def tree_of(self, path: str) -> str | None:
        """The read-only tree that `path` would lie in."""
        return next((tree for tree in self.trees if path == tree or path.startswith(tree + "/")), None)
