"""The registry of stand-ins: which container image is played by which of our programs, and under which paths.

`find` matches an image by the last components of its repository name, whatever registry, tag or digest it has, so that
`nginx`, `docker.io/library/nginx:1.27` and `mirror.example/nginx@sha256:...` are the same stand-in.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Program:
    """A command of a container image, written in Python and imported when it is first run.

    `target` is "package.module:function" (relative to this package's `programs`); the function takes argv with argv[0]
    and returns an exit code. It runs as the container's own process: it reads os.environ, fd 0, and writes fd 1 and 2.
    """

    target: str

    @property
    def module(self) -> str:
        return f"{__package__}.programs.{self.target.partition(':')[0]}"

    def __call__(self, argv: list[str]) -> int:
        from .programs.console import flush  # late: programs import nothing before one of them runs

        function = getattr(importlib.import_module(self.module), self.target.partition(":")[2])
        try:
            return int(function(list(argv)))
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            return 141  # as if killed by SIGPIPE, which Python ignores
        finally:
            flush()


@dataclass(frozen=True, slots=True)
class Image:
    """A stand-in for a container image.

    `names`: repository names it answers to, matched from the end ("nginx", "curlimages/curl").
    `entrypoint`, `cmd`, `env`, `working_dir`, `user`: as in an image's configuration (a pocket cluster has one user only).
    `commands`: absolute path in the container to the `Program` behind it (the toolbox included).
    `files`: absolute path to the text or bytes of further files. `exposed`: ports it listens on, as "80/tcp".
    `note`: one sentence for the learner: what it stands in for.
    """

    names: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Program] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    working_dir: str = "/"
    user: str = ""
    exposed: tuple[str, ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        return self.names[0]


#: Modules of this package that each define `IMAGES: tuple[Image, ...]`.
MODULES = (
    "agnhost",
    "pause",
    "toolbox",
    "nginx",
    "httpd",
    "wordpress",
    "mysql",
    "coredns",
    "redis",
    "certmanager",
)

_by_name: dict[str, Image] = {}


def _table() -> dict[str, Image]:
    if not _by_name:
        found: dict[str, Image] = {}
        for module in MODULES:
            for image in importlib.import_module(f"{__package__}.{module}").IMAGES:
                found.update(dict.fromkeys(image.names, image))
        _by_name.update(found)
    return _by_name


def repository(image_ref: str) -> str:
    """The repository part of an image reference: no tag, no digest ("host:5000/a/b:v1@sha256:..." -> "host:5000/a/b")."""
    path = image_ref.partition("@")[0]
    slash = path.rfind("/")
    colon = path.rfind(":")
    return path[:colon] if colon > slash else path


def find(image_ref: str) -> Image | None:
    """The stand-in for an image reference, or None when there is none (the node then says ErrImagePull)."""
    parts = repository(image_ref.strip()).split("/")
    table = _table()
    for start in range(len(parts)):
        image = table.get("/".join(parts[start:]))
        if image is not None:
            return image
    return None


def known() -> list[str]:
    """The repository names that have a stand-in, sorted, for messages to the learner."""
    return sorted(_table())


def images() -> list[Image]:
    """Every stand-in once, in the order of the registry."""
    return list({id(image): image for image in _table().values()}.values())


def preload() -> None:
    """Import every program and what it needs, so that a process forked later starts at once and needs no file."""
    import asyncio  # noqa: F401
    import encodings.idna  # noqa: F401
    import http.client  # noqa: F401
    import ssl  # noqa: F401

    for image in images():
        for program in image.commands.values():
            importlib.import_module(program.module)
