"""Where everything stands: namespaces as boxes, pods in them, flows as curves. Deterministic, and computed here only.

Takes names and text sizes; gives `Layout`, in pixels with y downwards, which widget, SVG and matplotlib all draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

COMPACT_ABOVE = 24
"""With more nodes than this, labels move from the nodes to the panel and nodes become small."""

TARGET_WIDTH = 980.0  # what a JupyterLab output has on a laptop
_PADDING, _HEADER, _MARGIN = 22.0, 40.0, 14.0
_OUTSIDE = "outside the cluster"


@dataclass(frozen=True)
class Member:
    """What is to be placed. `group`: a namespace, or None outside the cluster; `lines`: the texts in the node."""

    id: str
    group: str | None
    lines: tuple[str, ...]
    chips: int = 0


@dataclass(frozen=True)
class Rect:
    """A box by its centre and its whole width and height."""

    x: float
    y: float
    w: float
    h: float


Curve = tuple[float, float, float, float, float, float]
"""A quadratic Bézier curve: start, control point, end."""


@dataclass(frozen=True)
class Layout:
    """Rectangles of nodes and boxes, and the curve of every ordered pair, by id."""

    width: float
    height: float
    compact: bool
    nodes: Mapping[str, Rect]
    boxes: Mapping[str, Rect]

    def route(self, source: str, destination: str) -> Curve:
        """The curve from one node to another; there and back bend to different sides, so that they do not cover each other."""
        return curve(self.nodes[source], self.nodes[destination], 0.13)

    def mark_at(self, path: Curve, half: float = 9.0) -> float:
        """How far along a curve its mark (`half` its width) is not covered by a node; 0.5 where every place is."""
        for t in (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82):
            x, y, _, _ = point(path, t)
            if all(abs(x - r.x) > r.w / 2 + half or abs(y - r.y) > r.h / 2 + 9 for r in self.nodes.values()):
                return t
        return 0.5

    def box_route(self, source: str, destination: str) -> Curve:
        """The same between two boxes, for the summary by namespace."""
        return curve(self.boxes[source], self.boxes[destination], 0.16)

    def box_line(self, source: str, destination: str) -> Curve:
        """A nearly straight line between two boxes that say the same to each other in both directions."""
        return curve(self.boxes[source], self.boxes[destination], 0.02)


def arrange(members: Iterable[Member], empty_groups: Iterable[str] = ()) -> Layout:
    """Place members in boxes and boxes in rows. Groups and members come in the order given; the caller sorts."""
    everyone = list(members)
    compact = len(everyone) > COMPACT_ABOVE
    groups: dict[str, list[Member]] = {}
    outside = [member for member in everyone if member.group is None]
    for member in everyone:
        if member.group is not None:
            groups.setdefault(member.group, []).append(member)
    for name in empty_groups:
        groups.setdefault(name, [])

    inner = {name: _fill_box(name, found, compact) for name, found in groups.items()}
    top = _MARGIN
    nodes: dict[str, Rect] = {}
    boxes: dict[str, Rect] = {}
    gap_x, gap_y = (96.0, 60.0) if compact else (92.0, 76.0)
    rows, width = _choose_rows([size for size, _ in inner.values()], gap_x, gap_y)
    if outside:
        size, places = _fill_box(_OUTSIDE, outside, compact, columns=max(1, int((width - 60) // 190)))
        width = max(width, size[0] + 2 * _MARGIN)
        _stand(_OUTSIDE, (width - size[0]) / 2, top, size, places, nodes, boxes)
        top += size[1] + gap_y
    names = list(inner)
    for row in rows:
        row_width = sum(inner[names[i]][0][0] for i in row) + gap_x * (len(row) - 1)
        row_height = max(inner[names[i]][0][1] for i in row)
        left = (width - row_width) / 2
        for i in row:
            size, places = inner[names[i]]
            _stand(names[i], left, top + (row_height - size[1]) / 2, size, places, nodes, boxes)
            left += size[0] + gap_x
        top += row_height + gap_y
    height = top - gap_y + _MARGIN if boxes else 60.0
    return Layout(round(width), round(height), compact, nodes, boxes)


def outside_box() -> str:
    """The id of the box that holds addresses outside the cluster."""
    return _OUTSIDE


def curve(a: Rect, b: Rect, bend: float) -> Curve:
    """A curve between the borders of two rectangles, bent to the right of its direction."""
    dx, dy = b.x - a.x, b.y - a.y
    length = math.hypot(dx, dy) or 1.0
    offset = bend * length + 6.0
    cx = (a.x + b.x) / 2 - dy / length * offset
    cy = (a.y + b.y) / 2 + dx / length * offset
    x1, y1 = _border(a, cx, cy, 1.0)
    x2, y2 = _border(b, cx, cy, 5.0)
    return (round(x1, 1), round(y1, 1), round(cx, 1), round(cy, 1), round(x2, 1), round(y2, 1))


def point(path: Curve, t: float) -> tuple[float, float, float, float]:
    """A place on the curve (x, y) and the unit direction of travel there (dx, dy), for marks and arrow heads."""
    x1, y1, cx, cy, x2, y2 = path
    x = (1 - t) ** 2 * x1 + 2 * (1 - t) * t * cx + t**2 * x2
    y = (1 - t) ** 2 * y1 + 2 * (1 - t) * t * cy + t**2 * y2
    dx = 2 * (1 - t) * (cx - x1) + 2 * t * (x2 - cx)
    dy = 2 * (1 - t) * (cy - y1) + 2 * t * (y2 - cy)
    norm = math.hypot(dx, dy) or 1.0
    return x, y, dx / norm, dy / norm


def shorten(text: str, limit: int) -> str:
    """Cut the middle out of a long name; the end of a pod's name is what tells replicas apart."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 3
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"


_Place = tuple[Member, float, float, float, float]


def _fill_box(
    name: str, members: Sequence[Member], compact: bool, columns: int | None = None
) -> tuple[tuple[float, float], list[_Place]]:
    """Members in rows, every second row shifted or shorter, so that few straight lines between two run through a third."""
    count = len(members)
    if columns is None:
        columns = 1 if count <= 1 else 2 if count <= 6 else 3 if count <= 12 else 4
    gap_x, gap_y = (30.0, 24.0) if compact else (62.0, 60.0)
    w = max([_text_width(member, compact) for member in members], default=60.0)
    h = 26.0 if compact else max([16.0 + 15.0 * len(member.lines) for member in members], default=30.0)
    rows: list[list[Member]] = []
    first = count % columns or columns
    if count:
        rows.append(list(members[:first]))
        rows += [list(members[i : i + columns]) for i in range(first, count, columns)]
    inner_width = columns * w + (columns - 1) * gap_x
    width = max(inner_width + 2 * _PADDING, 8.2 * len(name) + 110.0)
    places: list[_Place] = []
    for number, row in enumerate(rows):
        row_width = len(row) * w + (len(row) - 1) * gap_x
        left = (width - row_width) / 2
        for column, member in enumerate(row):
            x = left + column * (w + gap_x) + w / 2
            places.append((member, x, _HEADER + number * (h + gap_y) + h / 2, w, h))
    height = _HEADER + max(1, len(rows)) * (h + gap_y) - gap_y + _PADDING
    return (width, height), places


def _text_width(member: Member, compact: bool) -> float:
    title, *rest = member.lines or ("",)
    widest = 7.9 * len(title) + 20.0 + 24.0 * member.chips
    if not compact:
        widest = max([widest, *(6.2 * len(line) + 22.0 for line in rest)])
    return max(64.0 if compact else 88.0, widest)


def _choose_rows(
    sizes: Sequence[tuple[float, float]], gap_x: float, gap_y: float
) -> tuple[list[list[int]], float]:
    """How many boxes stand beside each other: a low picture that fits a page, with few boxes between others."""
    best: tuple[float, list[list[int]], float] | None = None
    for columns in range(1, len(sizes) + 1):
        rows = [list(range(i, min(i + columns, len(sizes)))) for i in range(0, len(sizes), columns)]
        width = max(sum(sizes[i][0] for i in row) + gap_x * (len(row) - 1) for row in rows) + 2 * _MARGIN
        height = sum(max(sizes[i][1] for i in row) + gap_y for row in rows)
        # A box between two others in a row is in the way of what they say to each other.
        between = sum(max(0, len(row) - 2) for row in rows)
        cost = height + 4 * max(0.0, width - TARGET_WIDTH) + 380 * between
        if best is None or cost < best[0]:
            best = (cost, rows, width)
    return (best[1], max(best[2], 360.0)) if best else ([], 360.0)


def _stand(
    name: str,
    left: float,
    top: float,
    size: tuple[float, float],
    places: Sequence[_Place],
    nodes: dict[str, Rect],
    boxes: dict[str, Rect],
) -> None:
    boxes[name] = Rect(
        round(left + size[0] / 2, 1), round(top + size[1] / 2, 1), round(size[0], 1), round(size[1], 1)
    )
    for member, x, y, w, h in places:
        nodes[member.id] = Rect(round(left + x, 1), round(top + y, 1), round(w, 1), round(h, 1))


def _border(rect: Rect, towards_x: float, towards_y: float, distance: float) -> tuple[float, float]:
    """Where the line from the centre leaves the rectangle, `distance` pixels further out."""
    dx, dy = towards_x - rect.x, towards_y - rect.y
    scale_x = (rect.w / 2 + distance) / abs(dx) if dx else math.inf
    scale_y = (rect.h / 2 + distance) / abs(dy) if dy else math.inf
    scale = min(scale_x, scale_y, 1.0)
    return rect.x + dx * scale, rect.y + dy * scale
