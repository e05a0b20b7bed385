"""From a stand-in (`labkit.pocket.images.Image`) to the layers and the configuration of an image that runs anywhere.

On a pocket cluster the node forks a program from a process that has imported it already. In an image each command is an
executable script of its own that a fresh Python runs, so the image holds labkit's programs, and they are compiled.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from importlib.util import MAGIC_NUMBER, find_spec, source_hash
from pathlib import Path
from typing import Any

from labkit.pocket.images import Image
from labkit.pocket.images.registry import Program
from labkit.pocket.images.toolbox import IF_MISSING

from .base import Base
from .layers import Entry, Layer

LABEL = "org.labkit.stand-in"  # in an image's configuration: what it stands in for, and how far
HOME = "/opt/labkit/lib"
_SCRIPT = """\
#!{python} -IS
# labkit's stand-in for a program of a container image
import sys
sys.path.insert(0, {home!r})
from labkit.pocket.images.shim import main
sys.exit(main({target!r}, sys.argv))
"""
# Run by a Python of its own, so that the bytes depend on the source alone and not on what this process has done before.
_LIST_MODULES = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from labkit.pocket.images import registry
registry.preload()
print(json.dumps([[name, module.__file__] for name, module in sys.modules.items() if getattr(module, "__file__", None)]))
"""
_COMPILE = """
import base64, json, marshal, sys
for line in sys.stdin:
    path, source = json.loads(line)
    code = compile(base64.b64decode(source), path, "exec", dont_inherit=True, optimize=0)
    print(json.dumps([path, base64.b64encode(marshal.dumps(code)).decode()]))
"""


def common_tree(base: Base) -> dict[str, Entry]:
    """What every stand-in has beyond the base: the programs, and what speeds up their start."""
    sources = {path: file.read_bytes() for path, file in _sources()}
    tree = {path: Entry(data=data) for path, data in sources.items()}
    if base.version == sys.version_info[:2]:  # else this Python's byte code means nothing to that one
        needed = {**{p: s for p, s in sources.items() if p.endswith(".py")}, **_library_sources(base)}
        tree |= {_cached(path): Entry(data=code) for path, code in _compiled(needed).items()}
    return tree


def image_tree(image: Image, base: Base) -> dict[str, Entry]:
    """What one stand-in has on top: its commands as executable scripts, and its files."""
    tree = {
        path: Entry(0o755, data=_script(program, base).encode())
        for path, program in commands(image, base).items()
    }
    tree |= {
        path: Entry(data=content.encode() if isinstance(content, str) else content)
        for path, content in image.files.items()
    }
    if image.working_dir not in ("", "/"):
        tree[image.working_dir] = Entry(0o777 if image.user else 0o755, directory=True)
    return tree


def commands(image: Image, base: Base) -> dict[str, Program]:
    """The image's commands in this base: its own tools, and those of ours that the base lacks."""
    fallbacks = {f"/usr/local/bin/{name}": program for name, program in IF_MISSING.items()}
    own = {path: program for path, program in image.commands.items() if fallbacks.get(path) != program}
    lacking = {f"/usr/local/bin/{name}": p for name, p in IF_MISSING.items() if not base.has(name)}
    return own | lacking


def config(image: Image, base: Base, layers: Iterable[Layer]) -> dict[str, Any]:
    """The image's configuration (the OCI image specification's config.md), with the label that says what it is."""
    system, architecture, *_ = base.platform.split("/")
    inner: dict[str, Any] = {
        "Env": [f"PATH={base.search}", *(f"{name}={value}" for name, value in image.env.items())],
        "Labels": {LABEL: image.note or image.name, "org.opencontainers.image.title": f"{image.name} (stand-in)"},
        "WorkingDir": image.working_dir or "/",
    }  # fmt: skip
    if image.entrypoint:
        inner["Entrypoint"] = list(image.entrypoint)
    if image.cmd:
        inner["Cmd"] = list(image.cmd)
    if image.user:
        inner["User"] = image.user
    if image.exposed:
        inner["ExposedPorts"] = {port: {} for port in image.exposed}
    return {
        "created": "1970-01-01T00:00:00Z",  # no time of building: the same input gives the same image
        "architecture": architecture,
        "os": system,
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }


def _script(program: Program, base: Base) -> str:
    return _SCRIPT.format(python=base.python, home=HOME, target=program.target)


def _sources() -> Iterable[tuple[str, Path]]:
    """Path in the image and file here, of labkit's programs and of the one library that they use."""
    root = Path(__file__).parents[3]
    package = [root / "labkit" / "__init__.py", root / "labkit" / "pocket" / "__init__.py"]
    package += sorted((root / "labkit" / "pocket" / "images").rglob("*.py"))
    for file in package:
        yield f"{HOME}/{file.relative_to(root).as_posix()}", file
    spec = find_spec("dnslib")
    folder = Path(str(spec.origin)).parent if spec and spec.origin else None
    if folder is None:
        raise ModuleNotFoundError("dnslib is missing: pip install 'labkit[pocket]'")
    for file in sorted(folder.glob("*.py")):
        if not file.name.startswith("test_"):
            yield f"{HOME}/dnslib/{file.name}", file
    for notice in metadata.files("dnslib") or []:
        if "LICEN" in notice.name.upper():
            yield f"{HOME}/dnslib/LICENSE", Path(str(notice.locate()))


def _library_sources(base: Base) -> dict[str, bytes]:
    """The modules of the base's standard library that the programs import, with their sources."""
    own = str(Path(json.__file__).parents[1])
    here = [str(Path(__file__).parents[3]), *(p for p in sys.path if p.endswith("site-packages"))]
    done = _python([_LIST_MODULES, json.dumps(here)], "")
    files = (file for _, file in json.loads(done) if file.startswith(f"{own}/") and file.endswith(".py"))
    inside = (f"{base.library}/{file[len(own) + 1 :]}" for file in files if "-packages/" not in file)
    return dict(base.read(sorted(inside)))


def _compiled(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Path → .pyc that is taken without looking at the source's time (PEP 552: hash-based, unchecked)."""
    import base64

    lines = "".join(json.dumps([p, base64.b64encode(s).decode()]) + "\n" for p, s in sorted(sources.items()))
    found = {}
    for line in _python([_COMPILE], lines).splitlines():
        path, code = json.loads(line)
        head = MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(sources[path])
        found[path] = head + base64.b64decode(code)
    return found


def _cached(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"


def _python(words: list[str], text: str) -> str:
    command = [sys.executable, "-I", "-S", "-c", *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
