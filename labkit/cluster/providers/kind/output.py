"""What kind says while it makes a cluster, read as steps: " • Preparing nodes 📦  ..." begins one, " ✓ Preparing nodes" ends it.

The lines are those of kind's status object where its output is no terminal (pkg/internal/cli/status.go); others are passed over.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from dataclasses import dataclass

from labkit.cluster.steps import Steps

_LINE = re.compile(r"\s*(?P<mark>[•✓✗])\s+(?P<title>.*?)\s*(?P<dots>\.\.\.)?\s*\Z")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Mark(enum.Enum):
    """What a line says of its step."""

    BEGUN = "•"
    DONE = "✓"
    FAILED = "✗"


@dataclass(frozen=True, slots=True)
class Line:
    """One line about a step, without kind's pictures."""

    mark: Mark
    title: str


def read(line: str) -> Line | None:
    """A line of kind's as what it says of a step; None when it says nothing of one."""
    found = _LINE.match(_COLOURS.sub("", line))
    if found is None:
        return None
    mark = Mark(found["mark"])
    if mark is Mark.BEGUN and not found["dots"]:
        return None  # " • Ready after 11s 💚": a remark
    return Line(mark, _plain(found["title"]))


def tell(line: str, steps: Steps, *, pulls: bool = False) -> None:
    """Let the steps follow a line of kind's. `pulls`: the node image is not on this machine yet."""
    said = read(line)
    if said is None:
        return
    running = steps.running
    if said.mark is Mark.BEGUN:
        steps.begin(said.title, _PULL if pulls and said.title.startswith("Ensuring node image") else "")
    elif running is not None and running.title == said.title:
        steps.end() if said.mark is Mark.DONE else steps.fail()


_PULL = "it is not here yet: about 400 MB are downloaded"


def _plain(title: str) -> str:
    """Without pictures (category So) and what belongs to them (variation selectors, joiners)."""
    kept = (letter for letter in title if unicodedata.category(letter) not in ("So", "Mn", "Cf"))
    return " ".join("".join(kept).split())
