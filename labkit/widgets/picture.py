"""The traffic graph as one JSON dict, and which of its edges a view shows. `assets/graph.js` has the twin of `edges_to_draw`.

The *picture* (feeding the widget, the SVG writer and matplotlib alike):

    {"title", "width", "height", "compact",
     "nodes": [{"id", "title", "lines", "labels", "namespace", "x", "y", "w", "h", "in", "out", "host", "external", "services"}],
     "boxes": [{"id", "labels", "external", "x", "y", "w", "h"}],
     "ports": [{"key": "80/TCP", "label": "80"}],
     "routes": {"0:1": [x1, y1, cx, cy, x2, y2, t]}, "box_routes": {...},  # by index of node, of box; t: the mark's place
                                                                           # ("0-1" is both ways at once)
     "engine": {"80/TCP": ["#.X", ...]}, "observed": {...} or null,        # rows and columns are the nodes, in order
     "changed": {"80/TCP": ["001", ...]}, "previous": {...} or null,
     "summary": {"engine": {"80/TCP": [{"from": 0, "to": 1, "allowed": 9, "denied": 0, "unknown": 0}]}, "observed": ...},
     "observed_note", "mode": "pods" or "namespaces"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from labkit.widgets.layout import Layout, Member, arrange, outside_box, shorten
from labkit.widgets.marks import Kind
from labkit.widgets.matrix import Matrix, changed, port_label
from labkit.widgets.subjects import Subject

Picture = dict[str, Any]

FEW_EDGES = 24
"""Up to this many allowed flows are drawn one by one; above it the graph opens as a summary between namespaces."""


FEW_SUMMARIES = 9
"""Up to this many edges between namespaces are drawn at once; above it, those of one chosen namespace."""


@dataclass(frozen=True)
class View:
    """What of the picture is shown.

    `mode` ("pods", "namespaces") None is the picture's own choice; `denied` None means only around the focused node; `direction`
    ("out", "in", "both", seen from the focused node) None is both, or only outwards in a crowded picture.
    `box` is the namespace whose summary is shown.
    """

    port: str
    mode: str | None = None
    allowed: bool = True
    denied: bool | None = None
    unknown: bool = True
    focus: str | None = None
    direction: str | None = None
    changes: bool = False
    layer: str = "engine"
    box: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As the browser keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class Edge:
    """One flow to draw, by node indices."""

    source: int
    destination: int
    kind: Kind
    changed: bool


def graph_picture(
    subjects: Sequence[Subject],
    engine: Matrix,
    *,
    observed: Matrix | None = None,
    previous: Matrix | None = None,
    namespaces: Mapping[str, Mapping[str, str]] | None = None,
    title: str = "",
    observed_note: str = "",
) -> Picture:
    """Lay out the subjects and put the verdicts beside them. Matrices may cover more or fewer endpoints than `subjects`."""
    ids = tuple(subject.id for subject in subjects)
    frame = Matrix(ids, ids, {port: tuple(" " * len(ids) for _ in ids) for port in engine.ports})
    engine = engine.aligned(frame)
    layout = _lay_out(subjects, namespaces or {})
    boxes = list(layout.boxes)
    home = [boxes.index(subject.namespace or outside_box()) for subject in subjects]
    seen = observed.aligned(frame) if observed is not None else None
    picture: Picture = {
        "title": title,
        "width": layout.width,
        "height": layout.height,
        "compact": layout.compact,
        "nodes": [_node(subject, layout) for subject in subjects],
        "boxes": [_box(name, layout, namespaces or {}) for name in boxes],
        "ports": [{"key": port, "label": port_label(port)} for port in engine.ports],
        "routes": {
            f"{i}:{j}": [*(path := layout.route(a, b)), 0.5 if layout.compact else layout.mark_at(path)]
            for i, a in enumerate(ids)
            for j, b in enumerate(ids)
            if i != j
            and any(
                engine.cells[p][i][j] != " " or (seen and seen.cells[p][i][j] != " ") for p in engine.ports
            )
        },
        "box_routes": {
            f"{i}{sign}{j}": [*(path := find(a, b)), layout.mark_at(path, 34.0)]
            for sign, find in ((":", layout.box_route), ("-", layout.box_line))
            for i, a in enumerate(boxes)
            for j, b in enumerate(boxes)
            if i != j
        },
        "engine": engine.to_json(),
        "observed": seen.to_json() if seen else None,
        "changed": changed(engine, previous),
        "previous": previous.aligned(frame).to_json() if previous else None,
        "summary": {
            "engine": _summary(engine, home),
            "observed": _summary(seen, home) if seen else None,
        },
        "observed_note": observed_note,
    }
    most = max((sum(row.count(".") for row in rows) for rows in engine.cells.values()), default=0)
    picture["mode"] = "pods" if most <= FEW_EDGES else "namespaces"
    return picture


def edges_to_draw(picture: Picture, view: View) -> list[Edge]:
    """The flows that a view shows, row by row. The same function exists in graph.js; a test holds the two together."""
    rows = (picture["observed"] if view.layer == "observed" else picture["engine"]) or {}
    mode = view.mode or picture["mode"]
    focus = next((i for i, node in enumerate(picture["nodes"]) if node["id"] == view.focus), None)
    if mode == "namespaces" and focus is None and not view.changes:
        return []
    direction = view.direction or ("out" if picture["compact"] else "both")
    show_denied = view.denied if view.denied is not None else focus is not None
    flags = picture["changed"].get(view.port)
    found = []
    for i, row in enumerate(rows.get(view.port, ())):
        for j, char in enumerate(row):
            if i == j or char in " #":
                continue
            if focus is not None and not (
                (i == focus and direction != "in") or (j == focus and direction != "out")
            ):
                continue
            is_changed = bool(flags) and flags[i][j] == "1"
            if view.changes:
                wanted = is_changed
            elif char in ".R":
                wanted = view.allowed
            elif char in "XD":
                wanted = show_denied
            else:
                wanted = view.unknown
            if wanted:
                found.append(Edge(i, j, Kind(char), is_changed))
    return found


def summary_to_draw(picture: Picture, view: View) -> list[dict[str, Any]]:
    """The edges between boxes that a view shows; `both` marks one that stands for both directions, which say the same.

    Through which something passes, and the closed ones when asked for. Where there would be too many, only those of `view.box`.
    """
    mode = view.mode or picture["mode"]
    if mode != "namespaces" or view.focus is not None or view.changes:
        return []
    wanted = {Kind.ALLOWED: view.allowed, Kind.UNKNOWN: view.unknown, Kind.DENIED: bool(view.denied)}
    items = (picture["summary"].get(view.layer) or {}).get(view.port, ())
    chosen = [item for item in items if item["from"] != item["to"] and wanted[summary_kind(item)]]
    labels = {(item["from"], item["to"]): summary_label(item) for item in chosen}
    found = []
    for item in chosen:
        there, back = (item["from"], item["to"]), (item["to"], item["from"])
        both = labels.get(back) == labels[there]
        if not both or item["from"] < item["to"]:
            found.append({**item, "both": both})
    box = next((i for i, shown in enumerate(picture["boxes"]) if shown["id"] == view.box), None)
    if box is not None:
        return [item for item in found if box in (item["from"], item["to"])]
    return found if len(found) <= FEW_SUMMARIES else []


def default_view(picture: Picture, **wanted: Any) -> View:
    """The first port, nothing focused; `wanted` overrides."""
    port = picture["ports"][0]["key"] if picture["ports"] else ""
    return replace(View(port), **wanted)


def summary_kind(item: Mapping[str, Any]) -> Kind:
    """The sign of a summary edge: allowed when anything passes."""
    if item["allowed"]:
        return Kind.ALLOWED
    return Kind.UNKNOWN if item["unknown"] else Kind.DENIED


def summary_label(item: Mapping[str, Any]) -> str:
    """ "✓ all 9", "✓ 4 of 9", "✗ none of 9"."""
    total = item["allowed"] + item["denied"] + item["unknown"]
    if item["allowed"] == total:
        return f"✓ all {total}" if total > 1 else "✓"
    if item["allowed"]:
        return f"✓ {item['allowed']} of {total}"
    return f"? {item['unknown']} of {total}" if item["unknown"] else f"✗ none of {total}"


def _summary(matrix: Matrix, home: Sequence[int]) -> dict[str, list[dict[str, int]]]:
    result = {}
    for port in matrix.ports:
        counts: dict[tuple[int, int], dict[str, int]] = {}
        for i, row in enumerate(matrix.cells[port]):
            for j, char in enumerate(row):
                word = {".": "allowed", "R": "allowed", "X": "denied", "D": "denied", "?": "unknown"}.get(
                    char
                )
                if word is None or i == j:
                    continue
                key = (home[i], home[j])
                counts.setdefault(key, {"allowed": 0, "denied": 0, "unknown": 0})[word] += 1
        result[port] = [{"from": a, "to": b, **count} for (a, b), count in sorted(counts.items())]
    return result


def _lay_out(subjects: Sequence[Subject], namespaces: Iterable[str]) -> Layout:
    from labkit.widgets.layout import COMPACT_ABOVE

    compact = len(subjects) > COMPACT_ABOVE
    members = [
        Member(
            subject.id,
            subject.namespace,
            (shorten(subject.name, 16 if compact else 22), *([] if compact else _node_lines(subject))),
            chips=subject.ingress_isolated + subject.egress_isolated + subject.host_network,
        )
        for subject in subjects
    ]
    used = {subject.namespace for subject in subjects}
    return arrange(members, [name for name in namespaces if name not in used])


def _node_lines(subject: Subject) -> list[str]:
    lines = [shorten(line, 24) for line in subject.label_lines]
    return lines if len(lines) <= 2 else [lines[0], f"{lines[1]} +{len(lines) - 2}"]


def _node(subject: Subject, layout: Layout) -> dict[str, Any]:
    rect = layout.nodes[subject.id]
    return {
        "id": subject.id,
        "title": shorten(subject.name, 16 if layout.compact else 22),
        "lines": [] if layout.compact else _node_lines(subject),
        "labels": list(subject.label_lines),
        "namespace": subject.namespace,
        "x": rect.x,
        "y": rect.y,
        "w": rect.w,
        "h": rect.h,
        "in": subject.ingress_isolated,
        "out": subject.egress_isolated,
        "host": subject.host_network,
        "external": subject.namespace is None,
        "services": list(subject.services),
    }


def _box(name: str, layout: Layout, namespaces: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    rect = layout.boxes[name]
    return {
        "id": name,
        "labels": [f"{key}={value}" for key, value in sorted(namespaces.get(name, {}).items())],
        "external": name == outside_box(),
        "x": rect.x,
        "y": rect.y,
        "w": rect.w,
        "h": rect.h,
    }
