"""The same pictures by matplotlib, for slides, papers and PDF; it is imported when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from labkit.widgets.layout import Curve, point
from labkit.widgets.marks import SIGNS, Kind, compatible
from labkit.widgets.matrix import Matrix, port_label
from labkit.widgets.picture import (
    Picture,
    View,
    edges_to_draw,
    summary_kind,
    summary_label,
    summary_to_draw,
)
from labkit.widgets.svg import (
    BOX,
    FAINT,
    HALO,
    INK,
    ISOLATED,
    PAPER,
    as_curve,
    end_points,
    is_crowded,
    mark_place,
    reverse,
    summary_route,
)

_DASHES = {Kind.DENIED: (0, (5, 3)), Kind.UNKNOWN: (0, (1, 2)), Kind.REACHED: (0, (6, 2, 1, 2))}
_DPI = 100.0


def draw_graph(picture: Picture, view: View, ax: Any = None) -> Any:
    """Draw the graph of svg.graph_svg into `ax` (a new figure when None); returns the axes."""
    axes = ax if ax is not None else _axes(picture["width"], picture["height"])
    from matplotlib.patches import FancyBboxPatch

    axes.set_xlim(0, picture["width"])
    axes.set_ylim(picture["height"], 0)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(f"{picture['title'] or 'Traffic graph'}, port {port_label(view.port)}", fontsize=11)

    def box(item: Any, fill: str, edge: str, width: float, style: str, order: float) -> None:
        corner = (item["x"] - item["w"] / 2, item["y"] - item["h"] / 2)
        axes.add_patch(
            FancyBboxPatch(
                corner, item["w"], item["h"], boxstyle="round,pad=0,rounding_size=7",
                facecolor=fill, edgecolor=edge, linewidth=width, linestyle=style, zorder=order,
            )
        )  # fmt: skip

    for item in picture["boxes"]:
        box(item, BOX, "#c3cad3", 0.8, "--" if item["external"] else "-", 0)
        label = item["id"] + (f"   {', '.join(item['labels'])}" if item["labels"] else "")
        axes.text(
            item["x"] - item["w"] / 2 + 14,
            item["y"] - item["h"] / 2 + 20,
            label,
            fontsize=8,
            weight="bold",
            color=INK,
        )
    for item in summary_to_draw(picture, view):
        route = summary_route(picture, item)
        _edge(axes, as_curve(route), summary_kind(item), 1.8, summary_label(item), route[6], order=1)
        if item["both"]:
            _end(axes, reverse(as_curve(route)), summary_kind(item), order=1)
    edges = edges_to_draw(picture, view)
    crowded = is_crowded(edges)
    for edge in edges:
        route = picture["routes"][f"{edge.source}:{edge.destination}"]
        at = mark_place(picture, edge, view, crowded, route[6])
        _edge(
            axes, as_curve(route), edge.kind, 0.9 if crowded else 1.3, SIGNS[edge.kind].mark, at,
            order=1, lit=edge.changed, faint=crowded,
        )  # fmt: skip
    for node in picture["nodes"]:
        isolated = node["in"] or node["out"]
        dashed = "--" if node["external"] or node["host"] else "-"
        strong = 2.2 if node["id"] == view.focus else 1.3 if isolated else 0.9
        box(node, ISOLATED if isolated else PAPER, INK if isolated else "#8c959f", strong, dashed, 3)
        top = node["y"] - node["h"] / 2
        left = node["x"] - node["w"] / 2 + 10
        base = top + 18 if node["lines"] else node["y"] + 4
        chips = " ".join(
            word for word, on in (("in", node["in"]), ("out", node["out"]), ("host", node["host"])) if on
        )
        axes.text(left, base, node["title"], fontsize=7.5, weight="bold", color=INK, zorder=4)
        if chips:
            axes.text(
                node["x"] + node["w"] / 2 - 6, base, chips, fontsize=6, color=PAPER, ha="right", zorder=4,
                bbox={"boxstyle": "round,pad=0.2", "facecolor": INK, "edgecolor": "none"},
            )  # fmt: skip
        for number, text in enumerate(node["lines"], 1):
            axes.text(left, base + 15 * number, text, fontsize=6.5, color=FAINT, zorder=4)
    legend = "✓ solid, arrow: allowed    ✗ dashed, bar: denied    ? dotted: unknown    shaded: isolated"
    axes.text(14, picture["height"] + 12, legend, fontsize=7, color=INK, va="top")
    return axes


def draw_table(layers: Sequence[tuple[str, Matrix]], port: str, title: str = "", ax: Any = None) -> Any:
    """Draw the table of table_html.table_html into `ax` (a new figure when None); returns the axes."""
    frame = layers[0][1]
    rows, columns = len(frame.sources), len(frame.destinations)
    axes = ax if ax is not None else _axes(max(420, 150 + 62 * columns), max(220, 120 + 28 * rows))
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.xaxis.tick_top()
    axes.set_xticks([c + 0.5 for c in range(columns)], frame.destinations, rotation=45, ha="left", fontsize=7)
    axes.set_yticks([r + 0.5 for r in range(rows)], frame.sources, fontsize=7)
    axes.tick_params(length=0)
    names = " · ".join(name for name, _ in layers)
    axes.set_xlabel(f"port {port_label(port)}; rows: from, columns: to; in each cell: {names}", fontsize=7)
    if title:
        axes.set_title(title, fontsize=11)
    fills = {Kind.ALLOWED: "#e3f0f8", Kind.DENIED: "#fbe9dc", Kind.UNKNOWN: "#e6e6e6"}
    for r in range(rows):
        for c in range(columns):
            kinds = [Kind(matrix.cells[port][r][c]) for _, matrix in layers]
            axes.add_patch(
                Rectangle(
                    (c, r), 1, 1, facecolor=fills.get(kinds[-1], PAPER), edgecolor="#c3cad3", linewidth=0.6
                )
            )
            if kinds[0] is Kind.SELF:
                axes.text(c + 0.5, r + 0.5, "#", ha="center", va="center", fontsize=8, color=FAINT)
                continue
            for number, kind in enumerate(kinds, 1):
                axes.text(
                    c + number / (len(kinds) + 1), r + 0.5, SIGNS[kind].mark or "·", ha="center", va="center",
                    fontsize=8, weight="bold", color=SIGNS[kind].colour,
                )  # fmt: skip
            if any(not compatible(one, other) for one, other in pairwise(kinds)):
                axes.add_patch(
                    Rectangle((c + 0.03, r + 0.05), 0.94, 0.9, fill=False, edgecolor=INK, linewidth=1.6)
                )
                axes.text(c + 0.95, r + 0.3, "≠", ha="right", va="center", fontsize=7, color=INK)
    return axes


def _axes(width: float, height: float) -> Any:
    """Axes of their own figure, which belongs to no window and no notebook: whoever gets it shows it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
    return figure.add_subplot()


def _edge(
    axes: Any,
    path: Curve,
    kind: Kind,
    width: float,
    mark: str,
    at: float,
    *,
    order: float,
    lit: bool = False,
    faint: bool = False,
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    x1, y1, cx, cy, x2, y2 = path
    curve = Path([(x1, y1), (cx, cy), (x2, y2)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    colour = SIGNS[kind].colour
    alpha = 0.4 if faint else 1.0
    if lit:
        axes.add_patch(
            PathPatch(curve, fill=False, edgecolor=HALO, linewidth=5, zorder=order, capstyle="round")
        )
    style = _DASHES.get(kind, "-")
    axes.add_patch(
        PathPatch(
            curve, fill=False, edgecolor=colour, linewidth=width, linestyle=style, alpha=alpha, zorder=order
        )
    )
    _end(axes, path, kind, order=order, alpha=alpha)
    x, y, _, _ = point(path, at)
    axes.text(
        x, y, mark, fontsize=6.5, weight="bold", color=colour, ha="center", va="center", zorder=order + (3 if faint else 1),
        bbox={"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": colour, "linewidth": 0.7},
    )  # fmt: skip


def _end(axes: Any, path: Curve, kind: Kind, *, order: float, alpha: float = 1.0) -> None:
    from matplotlib.patches import Polygon

    colour = SIGNS[kind].colour
    corners = end_points(path, kind)
    if kind in (Kind.ALLOWED, Kind.REACHED):
        axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="none", alpha=alpha, zorder=order))
    else:
        axes.plot(*zip(*corners, strict=True), color=colour, linewidth=2.2, alpha=alpha, zorder=order)
