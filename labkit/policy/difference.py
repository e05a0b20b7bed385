"""What an edit changed: two truth tables, and the cells that differ."""

from __future__ import annotations

from dataclasses import dataclass

from .flow import Flow
from .table import MARKS, Cell, TruthTable, grid


@dataclass(frozen=True, slots=True)
class Change:
    """One flow whose answer is another one now; None where the flow does not exist on that side."""

    flow: Flow
    before: Cell | None
    after: Cell | None

    @property
    def opened(self) -> bool:
        """Plainly allowed now, and not before."""
        return _plainly(self.after, True) and not _plainly(self.before, True)

    @property
    def closed(self) -> bool:
        """Plainly denied now, and not before."""
        return _plainly(self.after, False) and not _plainly(self.before, False)

    def __str__(self) -> str:
        return f"{self.flow}: {_word(self.before)} before, {_word(self.after)} now"


@dataclass(frozen=True)
class TableDifference:
    """Two tables, and the flows that they answer differently."""

    before: TruthTable
    after: TruthTable
    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.changes)

    def to_text(self, port: int | None = None, protocol: str = "TCP") -> str:
        """The newer table for one port, with only the changed cells filled in.

        A pair of marks is before and after, in the signs of `TruthTable.to_text` (`X.` was denied, is allowed).
        """
        if port is None:
            port, protocol = self.after.ports[0]
        changed = {
            (change.flow.source, change.flow.destination): _mark(change.before) + _mark(change.after)
            for change in self.changes
            if (change.flow.port, change.flow.protocol) == (port, protocol)
        }
        table = self.after
        rows = [[changed.get((s, d), "·") for d in table.destinations] for s in table.sources]
        legend = "before and after; rows: from, columns: to.   . allowed   X denied   ? open   · no change"
        count = f"{len(changed)} change{'' if len(changed) == 1 else 's'}"
        return "\n".join(
            (
                f"port {port}/{protocol}: {count}",
                *grid(table.sources, table.destinations, rows),
                legend,
            )
        )


def difference(before: TruthTable, after: TruthTable) -> TableDifference:
    """Compare two tables: every flow of either, by its ends, port and protocol."""
    old, new = dict(before.cells()), dict(after.cells())
    changes = [
        Change(flow, old.get(flow), new.get(flow))
        for flow in dict.fromkeys((*old, *new))
        if _answer(old.get(flow)) != _answer(new.get(flow))
    ]
    return TableDifference(before, after, tuple(changes))


def _answer(cell: Cell | None) -> tuple[object, ...] | None:
    if cell is None:
        return None
    return (cell.verdict, True) if cell.defined else (None, False)


def _plainly(cell: Cell | None, allowed: bool) -> bool:
    return cell is not None and cell.defined and cell.allowed is allowed


def _mark(cell: Cell | None) -> str:
    if cell is None:
        return MARKS["none"]
    if not cell.defined:
        return MARKS["undefined"]
    return MARKS["allowed" if cell.allowed else "denied"]


def _word(cell: Cell | None) -> str:
    if cell is None:
        return "not there"
    return str(cell.verdict) if cell.defined else "left to the implementation"
