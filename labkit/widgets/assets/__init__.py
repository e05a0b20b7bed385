"""The widgets' JavaScript and style sheets, as package data. Nothing is fetched from anywhere, nothing is built."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# The browser gets each widget's module as one text, in which a relative import cannot be resolved. So the one line that imports
# the shared module is replaced by the shared module itself; Node's tests import both files as they are.
_IMPORT_START, _IMPORT_END = "import {", '} from "./common.js";'


@cache
def module(name: str) -> str:
    """The ES module of a widget ("graph", "table", "check", "steps"), whole."""
    text = _read(f"{name}.js")
    start = text.index(_IMPORT_START)
    end = text.index(_IMPORT_END, start) + len(_IMPORT_END)
    return text[:start] + _read("common.js") + text[end:]


@cache
def style(name: str) -> str:
    """The style sheet of a widget, whole."""
    return _read("common.css") + _read(f"{name}.css")


def _read(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8")
