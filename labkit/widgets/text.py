"""Verdicts as plain text: what a screen reader reads, what a terminal shows, what stays in a saved notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from labkit.policy.table import grid
from labkit.widgets.marks import SIGNS, Kind, compatible
from labkit.widgets.matrix import Matrix, port_label

_SIGNS_IN_TEXT = {
    Kind.ALLOWED: "allowed",
    Kind.DENIED: "denied",
    Kind.SELF: "itself",
    Kind.UNKNOWN: "unknown or left to the implementation",
    Kind.REACHED: "reached, but nothing listens",
    Kind.NAME: "the name did not resolve",
}
_MANY = 40
_WIDE = 160


def matrix_text(matrix: Matrix, port: str, title: str) -> str:
    """One port of a matrix as a grid of characters. Where the names of the columns would not fit, columns are numbered."""
    rows = [list(row) for row in matrix.cells[port]]
    if sum(len(name) + 2 for name in matrix.destinations) <= _WIDE:
        return "\n".join((title, *grid(matrix.sources, matrix.destinations, rows), _legend(rows)))
    numbers = {name: str(number) for number, name in enumerate(matrix.destinations, 1)}
    columns = "columns: " + ", ".join(f"{number} {name}" for name, number in numbers.items())
    names = [f"{numbers[name]} {name}" if name in numbers else name for name in matrix.sources]
    return "\n".join((title, *grid(names, list(numbers.values()), rows), columns, _legend(rows)))


def _legend(rows: Sequence[Sequence[str]]) -> str:
    """What the characters that occur mean."""
    used = {char for row in rows for char in row}
    words = [f"{kind.value} {word}" for kind, word in _SIGNS_IN_TEXT.items() if kind.value in used]
    return "   ".join(["rows: from, columns: to.", *words])


def count_text(matrix: Matrix, port: str) -> str:
    """ "12 of 72 flows allowed", without a pod's flows to itself."""
    kinds = [kind for _, _, kind in matrix.flows(port) if kind not in (Kind.SELF, Kind.NONE)]
    allowed = sum(kind is Kind.ALLOWED for kind in kinds)
    unknown = sum(kind is Kind.UNKNOWN for kind in kinds)
    text = f"{allowed} of {len(kinds)} flows allowed on port {port_label(port)}"
    return f"{text}, {unknown} unknown" if unknown else text


def differences(left: Matrix, right: Matrix, port: str) -> list[tuple[str, str, Kind, Kind]]:
    """Flows on which two layers contradict each other: (source, destination, left, right)."""
    found = []
    for source, destination, kind in left.flows(port):
        other = right.kind(port, source, destination)
        if not compatible(kind, other):
            found.append((source, destination, kind, other))
    return found


def difference_lines(
    found: Sequence[tuple[str, str, Kind, Kind]], port: str, left: str, right: str
) -> Iterable[str]:
    """ "x/a → x/b, port 80: you said ✓ allowed, the engine says ✗ denied", at most forty."""
    for source, destination, one, other in found[:_MANY]:
        yield (
            f"  {source} → {destination}, port {port_label(port)}: {left} {SIGNS[one].mark} {SIGNS[one].word}, "
            f"{right} {SIGNS[other].mark} {SIGNS[other].word}"
        )
    if len(found) > _MANY:
        yield f"  and {len(found) - _MANY} more"


def change_lines(now: Matrix, before: Matrix, port: str) -> list[str]:
    """Who is new, who is gone, and every flow whose verdict is not what it was."""
    old = before.aligned(now)
    here, there = (dict.fromkeys((*one.sources, *one.destinations)) for one in (now, before))
    lines = [f"  {name} is new" for name in here if name not in there]
    lines += [f"  {name} is gone" for name in there if name not in here]
    for source, destination, kind in now.flows(port):
        was = old.kind(port, source, destination)
        if was not in (kind, Kind.NONE):
            lines.append(
                f"  {source} → {destination}, port {port_label(port)}: was {SIGNS[was].mark} {SIGNS[was].word}, "
                f"now {SIGNS[kind].mark} {SIGNS[kind].word}"
            )
    return lines if len(lines) <= _MANY else [*lines[:_MANY], f"  and {len(lines) - _MANY} more"]
