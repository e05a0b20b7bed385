"""The truth table as an HTML table without scripts or classes: letters say it, colours only help."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from labkit.widgets.marks import SIGNS, Kind, compatible
from labkit.widgets.matrix import Matrix, port_label

_CELL = "border:1px solid #c3cad3;padding:3px 7px;text-align:center"
_HEAD = f"{_CELL};font-weight:600;color:#1b1f24;background:#f3f5f8"
_FILL = {Kind.ALLOWED: "#e3f0f8", Kind.DENIED: "#fbe9dc"}


def table_html(
    layers: Sequence[tuple[str, Matrix]],
    port: str,
    title: str = "",
    observed_note: str = "",
    changed: Sequence[str] | None = None,
) -> str:
    """One port. With several layers each cell holds one sign per layer, in the order of the caption; ≠ marks a contradiction.

    A cell in square brackets changed since last time.
    """
    if not layers:
        return "<p>Nothing to show.</p>"
    frame = layers[0][1]
    names = " · ".join(name for name, _ in layers)
    heading = f"{title}: port {port_label(port)}" if title else f"Port {port_label(port)}"
    head = "".join(f'<th scope="col" style="{_HEAD}">{escape(name)}</th>' for name in frame.destinations)
    rows = []
    for r, source in enumerate(frame.sources):
        cells = []
        for c in range(len(frame.destinations)):
            kinds = [Kind(matrix.cells[port][r][c]) for _, matrix in layers]
            cells.append(_cell(kinds, bool(changed) and changed is not None and changed[r][c] == "1"))
        rows.append(
            f'<tr><th scope="row" style="{_HEAD};text-align:left">{escape(source)}</th>{"".join(cells)}</tr>'
        )
    note = f"<p>Observed: nothing. {escape(observed_note)}</p>" if observed_note else ""
    return (
        f'<table style="border-collapse:collapse;color:#1b1f24;background:#fff"><caption style="text-align:left">'
        f"{escape(heading)}. Rows: from, columns: to. In each cell: {escape(names)}.</caption>"
        f'<thead><tr><td style="{_HEAD}">from ↓ to →</td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>{note}'
    )


def _cell(kinds: Sequence[Kind], is_changed: bool) -> str:
    if all(kind is Kind.SELF for kind in kinds):
        return f'<td style="{_CELL};color:#6B6B6B">#</td>'
    signs = " ".join(
        f'<span style="color:{SIGNS[kind].colour}">{SIGNS[kind].mark or "·"}</span>' for kind in kinds
    )
    differs = any(not compatible(one, other) for one, other in pairwise(kinds))
    text = f"{signs} ≠" if differs else signs
    if is_changed:
        text = f"[{text}]"
    fill = _FILL.get(kinds[-1], "#eeeeee" if kinds[-1] is Kind.UNKNOWN else "#ffffff")
    weight = ";font-weight:700" if differs or is_changed else ""
    return f'<td style="{_CELL};background:{fill}{weight}">{text}</td>'
