"""The Python packages of the lab as wheels for another machine: the locked versions, of what a learner needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.tools.machine import Platform, this_platform

from .errors import BoxError

# Packages are named in the lock by lines that begin in the first column; what belongs to one is set in under it.
_PINNED = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)
REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock: its lines, without what only says when it is needed."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def lines(self) -> str:
        """As pip reads it."""
        return " \\\n    ".join([f"{self.name}=={self.version}", *self.hashes]) + "\n"


def read_lock(path: Path) -> list[Locked]:
    """All packages of `requirements.lock`. Raises BoxError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise BoxError(
            f"{path} cannot be read, and wheels come from it: {problem.strerror}. Or: --without-wheels"
        ) from None
    found: list[Locked] = []
    for line in text.splitlines():
        if head := _PINNED.match(line):
            found.append(Locked(head["name"], head["version"], (head["marker"] or "").strip(), ()))
        elif found and (hashed := re.search(r"--hash=\S+", line)):
            last = found[-1]
            found[-1] = Locked(last.name, last.version, last.marker, (*last.hashes, hashed.group()))
    return found


def for_learners(
    locked: Iterable[Locked], platform: Platform, python: str, extra: str = "lab"
) -> list[Locked]:
    """Those of the lock that `labkit[lab]` needs on such a machine. What the installed packages say of their needs decides."""
    from packaging.markers import Marker

    environment = _environment(platform, python)
    there = [one for one in locked if not one.marker or Marker(one.marker).evaluate(environment)]
    needed = set(_closure("labkit", extra, environment))
    return [one for one in there if _canonical(one.name) in needed]


def download(
    lock: Path, folder: Path, platform: Platform | None = None, python: str | None = None
) -> list[Path]:
    """Fetch the wheels into a folder, checked by the lock's hashes, with a requirements.txt that installs just them.

    Raises BoxError.
    """
    platform = platform or this_platform()
    python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = for_learners(read_lock(lock), platform, python)
    folder.mkdir(parents=True, exist_ok=True)
    requirements = folder / REQUIREMENTS
    requirements.write_text("".join(one.lines() for one in wanted), encoding="utf-8")
    command = [
        *pip(lock.parent), "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
        "--dest", str(folder), "--requirement", str(requirements), *_target(platform, python),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise BoxError(
            f"The wheels for {platform}, Python {python}, could not be fetched; pip says:\n{said}\nOr: --without-wheels"
        )
    return sorted(folder.glob("*.whl"))


def own_wheel(root: Path, folder: Path) -> Path:
    """labkit itself as a wheel, built from the checkout. Raises BoxError."""
    command = [*pip(root), "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    built = sorted(folder.glob("labkit-*.whl"))
    if done.returncode or not built:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise BoxError(f"labkit's own wheel could not be built; pip says:\n{said}\nOr: --without-wheels")
    return built[0]


def pip(root: Path) -> list[str]:
    """pip of this Python, or the one that the repository brings for Pythons that have none. Raises BoxError."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    for wheel in sorted((root / "scripts" / "vendor").glob("pip-*.whl")):
        return [sys.executable, str(wheel / "pip"), "--disable-pip-version-check"]
    raise BoxError(
        "This Python has no pip to fetch wheels with. Install it, or leave them out: --without-wheels"
    )


def _closure(name: str, extra: str, environment: dict[str, str]) -> Iterator[str]:
    """The names of all that a package needs with an extra, as the packages installed here say."""
    from packaging.requirements import InvalidRequirement, Requirement

    seen: set[tuple[str, str]] = set()
    waiting = [(_canonical(name), extra)]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        yield here[0]
        try:
            needs = importlib.metadata.requires(here[0]) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # needed on another platform alone, and has no needs of its own that we could know
        for text in needs:
            try:
                one = Requirement(text)
            except InvalidRequirement:
                continue
            if one.marker is None or one.marker.evaluate({**environment, "extra": here[1]}):
                waiting += [(_canonical(one.name), more) for more in ("", *one.extras)]


def _environment(platform: Platform, python: str) -> dict[str, str]:
    """What markers ask of a machine: of its Python's first release, since what runs on that runs on the later ones too."""
    machine = {"amd64": "x86_64", "arm64": "arm64" if platform.os == "darwin" else "aarch64"}
    return {
        "os_name": "posix", "sys_platform": platform.os, "platform_machine": machine.get(platform.arch, platform.arch),
        "platform_system": platform.os.capitalize(), "platform_python_implementation": "CPython",
        "implementation_name": "cpython", "python_version": python, "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0", "platform_release": "", "platform_version": "", "extra": "",
    }  # fmt: skip


def _target(platform: Platform, python: str) -> list[str]:
    """pip's options for wheels of a machine that is not this one; none for this one, whose own tags are the right ones."""
    if platform == this_platform() and python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return []
    if platform.os == "darwin":
        arch = "arm64" if platform.arch == "arm64" else "x86_64"
        tags = [f"macosx_14_0_{arch}"]  # pip adds the older ones
    else:
        arch = "aarch64" if platform.arch == "arm64" else "x86_64"
        # glibc 2.28 is that of Debian 10 and RHEL 8; pip adds none of these by itself.
        tags = [f"manylinux_2_{minor}_{arch}" for minor in range(28, 4, -1)]
        tags += [f"manylinux2014_{arch}", f"manylinux1_{arch}", f"linux_{arch}"]
    options = [word for tag in tags for word in ("--platform", tag)]
    return [*options, "--python-version", python, "--implementation", "cp"]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def install_commands(folder: Path, environment: dict[str, str] | None = None) -> list[str]:
    """What to type to install from the folder without internet."""
    uv = "uv pip install --offline" if (environment or os.environ).get("VIRTUAL_ENV") else ""
    pip_ = f"pip install --no-index --find-links {folder} --require-hashes -r {folder / REQUIREMENTS}"
    ours = f"pip install --no-index --find-links {folder} --no-deps labkit"
    return [pip_, ours, *([f"{uv} --no-index --find-links {folder} labkit[lab]"] if uv else [])]
