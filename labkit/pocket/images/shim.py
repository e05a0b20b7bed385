"""Executable scripts for the programs of an image, so that a shell in the container finds them too (`sh -c "/agnhost ..."`).

The node runs a program directly in a process it forks, without these; a script is the same program at the price of
an interpreter's start.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .registry import Image, Program

_CODE = (
    "import sys; sys.path[:0] = {path!r}; from labkit.pocket.images.shim import main; "
    "sys.exit(main({target!r}, sys.argv[1:]))"
)


def shims(image: Image, python: str | None = None, path: Sequence[str] | None = None) -> Mapping[str, str]:
    """Path in the container to the text of an executable script, for every command of the image.

    `python` and `path` are the interpreter and the import path as the container sees them; default: this process's own.
    """
    interpreter = python or sys.executable
    search = list(import_path() if path is None else path)
    return {name: _script(program, interpreter, search) for name, program in image.commands.items()}


def import_path() -> list[str]:
    """Where this process imports from, labkit's own place first (an editable install has none in sys.path)."""
    home = str(Path(__file__).parents[3])
    return [
        home,
        *(entry for entry in sys.path if entry and entry != home and not entry.startswith("__editable__")),
    ]


def _script(program: Program, python: str, path: list[str]) -> str:
    # -I: the container's environment variables are the learner's, not for our interpreter; -S: no .pth files to read.
    code = _CODE.format(path=path, target=program.target)
    return f'#!/bin/sh\nexec {shlex.quote(python)} -I -S -c {shlex.quote(code)} "$0" "$@"\n'


def main(target: str, argv: list[str]) -> int:
    """Run one program in this (fresh) interpreter: what a script does."""
    return Program(target)(argv)
