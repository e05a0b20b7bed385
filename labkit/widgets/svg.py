"""A picture as a self-contained SVG text: no script, no font, no style sheet from elsewhere; readable on any background."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from labkit.widgets.layout import Curve, point
from labkit.widgets.marks import SIGNS, Kind
from labkit.widgets.matrix import port_label
from labkit.widgets.picture import (
    Edge,
    Picture,
    View,
    edges_to_draw,
    summary_kind,
    summary_label,
    summary_to_draw,
)

_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
LEGEND_HEIGHT = 54.0
INK, FAINT, PAPER, BOX, ISOLATED, HALO = "#1b1f24", "#57606a", "#ffffff", "#f3f5f8", "#fff3c4", "#F0E442"


def graph_svg(picture: Picture, view: View, description: str = "") -> str:
    """The graph as one view shows it, with a legend. `description` becomes the `<desc>` for screen readers."""
    width, height = picture["width"], picture["height"] + LEGEND_HEIGHT
    title = picture["title"] or "Traffic graph"
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height:g}' width='{width}' height='{height:g}' "
        f"role='img' {_FONT} font-size='12'>"
    )
    parts = [
        head,
        f"<title>{escape(title)}, port {escape(port_label(view.port))}</title>",
        f"<desc>{escape(description)}</desc>",
        f"<rect width='{width}' height='{height:g}' fill='{PAPER}'/>",
    ]
    parts += [_box_svg(picture, i, view) for i in range(len(picture["boxes"]))]
    for item in summary_to_draw(picture, view):
        route = summary_route(picture, item)
        path = as_curve(route)
        line, label = _edge_parts(path, summary_kind(item), 2.4, summary_label(item), lit=False, at=route[6])
        parts += [line, end_svg(reverse(path), summary_kind(item)) if item["both"] else "", label]
    edges = edges_to_draw(picture, view)
    crowded = is_crowded(edges)
    lines, marks = [], []
    for edge in edges:
        route = picture["routes"][f"{edge.source}:{edge.destination}"]
        at = mark_place(picture, edge, view, crowded, route[6])
        line, mark = _edge_parts(as_curve(route), edge.kind, 1.7, SIGNS[edge.kind].mark, edge.changed, at)
        lines.append(f"<g opacity='0.4'>{line}</g>" if crowded else line)
        marks.append(mark)
    touched = _touched(picture, edges, view)
    nodes = [
        _node_svg(node, i in touched, node["id"] == view.focus) for i, node in enumerate(picture["nodes"])
    ]
    parts += [*lines, *nodes, *marks] if crowded else [*lines, *marks, *nodes]
    parts.append(_legend_svg(picture, view, edges))
    parts.append("</svg>")
    return "".join(parts)


def is_crowded(edges: Sequence[Edge]) -> bool:
    """Whether so many lines are drawn that the marks must stand on the nodes, above faint lines, to be read."""
    return len(edges) > 40


def mark_place(picture: Picture, edge: Edge, view: View, crowded: bool, free: float) -> float:
    """How far along the curve the mark stands: the free place, or in a crowded picture the end that is not the focus."""
    if not crowded or view.focus is None:
        return free
    return 0.0 if picture["nodes"][edge.destination]["id"] == view.focus else 1.0


def as_curve(numbers: Sequence[float]) -> Curve:
    """The curve of a picture's route."""
    x1, y1, cx, cy, x2, y2 = numbers[:6]
    return (x1, y1, cx, cy, x2, y2)


def summary_route(picture: Picture, item: dict[str, Any]) -> Sequence[float]:
    """The route of a summary edge: a straight one when it stands for both directions."""
    route: Sequence[float] = picture["box_routes"][
        f"{item['from']}{'-' if item['both'] else ':'}{item['to']}"
    ]
    return route


def reverse(path: Curve) -> Curve:
    """The same curve the other way round."""
    x1, y1, cx, cy, x2, y2 = path
    return (x2, y2, cx, cy, x1, y1)


def data_uri(svg: str) -> str:
    """The SVG for an `<img>`, the one way a picture survives in a notebook that is not trusted."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _touched(picture: Picture, edges: Iterable[Edge], view: View) -> set[int]:
    """Nodes to draw at full strength: with a focus, the focused one and those it has edges with."""
    everyone = set(range(len(picture["nodes"])))
    if view.focus is None:
        return everyone
    ends = {i for edge in edges for i in (edge.source, edge.destination)}
    return ends | {i for i in everyone if picture["nodes"][i]["id"] == view.focus}


def _box_svg(picture: Picture, index: int, view: View) -> str:
    box = picture["boxes"][index]
    x, y = box["x"] - box["w"] / 2, box["y"] - box["h"] / 2
    dash = " stroke-dasharray='6 4'" if box["external"] else ""
    labels = f"<tspan dx='8' font-weight='400' font-size='11' fill='{FAINT}'>{escape(', '.join(box['labels']))}</tspan>"
    text = (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{box['w']}' height='{box['h']}' rx='10' fill='{BOX}' "
        f"stroke='#c3cad3'{dash}/><text x='{x + 14:.1f}' y='{y + 22:.1f}' font-weight='600' fill='{INK}'>"
        f"{escape(box['id'])}{labels}</text>"
    )
    mode = view.mode or picture["mode"]
    if mode == "namespaces" and view.focus is None and not view.changes:
        for item in (picture["summary"].get(view.layer) or {}).get(view.port, ()):
            if item["from"] == item["to"] == index:
                colour = SIGNS[summary_kind(item)].colour
                text += (
                    f"<text x='{x + box['w'] - 12:.1f}' y='{y + 22:.1f}' text-anchor='end' font-size='11' "
                    f"fill='{colour}'>inside {escape(summary_label(item))}</text>"
                )
    return text


def _node_svg(node: dict[str, Any], strong: bool, focused: bool = False) -> str:
    x, y = node["x"] - node["w"] / 2, node["y"] - node["h"] / 2
    isolated = node["in"] or node["out"]
    fill = ISOLATED if isolated else PAPER
    stroke, width = (INK, 1.8) if isolated else ("#8c959f", 1.2)
    if focused:
        stroke, width = INK, 3.2
    dash = " stroke-dasharray='5 3'" if node["external"] or node["host"] else ""
    frame = (
        f"<g opacity='{1 if strong else 0.45}'><rect x='{x:.1f}' y='{y:.1f}' width='{node['w']}' height='{node['h']}' "
        f"rx='7' fill='{fill}' stroke='{stroke}' stroke-width='{width}'{dash}/>"
    )
    parts = [frame]
    chips = [word for word, on in (("in", node["in"]), ("out", node["out"]), ("host", node["host"])) if on]
    base = node["y"] + 4 if not node["lines"] else y + 18
    parts.append(
        f"<text x='{x + 10:.1f}' y='{base:.1f}' font-weight='600' fill='{INK}'>{escape(node['title'])}</text>"
    )
    right = x + node["w"] - 5
    for chip in reversed(chips):
        wide = 7.0 * len(chip) + 6
        parts.append(
            f"<rect x='{right - wide:.1f}' y='{base - 10:.1f}' width='{wide}' height='14' rx='4' fill='{INK}'/>"
            f"<text x='{right - wide / 2:.1f}' y='{base + 0.5:.1f}' font-size='10' text-anchor='middle' fill='{PAPER}'>"
            f"{chip}</text>"
        )
        right -= wide + 3
    for number, line in enumerate(node["lines"]):
        parts.append(
            f"<text x='{x + 10:.1f}' y='{base + 15 * (number + 1):.1f}' font-size='11' fill='{FAINT}'>{escape(line)}</text>"
        )
    return "".join([*parts, "</g>"])


def _edge_parts(path: Curve, kind: Kind, width: float, mark: str, lit: bool, at: float) -> tuple[str, str]:
    sign = SIGNS[kind]
    x1, y1, cx, cy, x2, y2 = path
    d = f"M{x1} {y1}Q{cx} {cy} {x2} {y2}"
    dash = f" stroke-dasharray='{sign.dash}'" if sign.dash else ""
    halo = (
        f"<path d='{d}' fill='none' stroke='{HALO}' stroke-width='8' stroke-linecap='round'/>" if lit else ""
    )
    x, y, _, _ = point(path, at)
    wide = 9.0 if len(mark) == 1 else 3.4 * len(mark) + 7
    line = f"{halo}<path d='{d}' fill='none' stroke='{sign.colour}' stroke-width='{width}'{dash}/>{end_svg(path, kind)}"
    label = (
        f"<rect x='{x - wide:.1f}' y='{y - 9:.1f}' width='{2 * wide:.1f}' height='18' rx='9' "
        f"fill='{PAPER}' stroke='{sign.colour}'/><text x='{x:.1f}' y='{y + 4:.1f}' text-anchor='middle' "
        f"font-weight='700' font-size='11' fill='{sign.colour}'>{escape(mark)}</text>"
    )
    return line, label


def end_points(path: Curve, kind: Kind) -> list[tuple[float, float]]:
    """The corners of what stands at the end: an arrow head (three corners) for what arrives, a bar (two) for what does not."""
    x, y, dx, dy = point(path, 1.0)
    if kind in (Kind.ALLOWED, Kind.REACHED):
        return [
            (x, y),
            (x - 9 * dx + 4.5 * dy, y - 9 * dy - 4.5 * dx),
            (x - 9 * dx - 4.5 * dy, y - 9 * dy + 4.5 * dx),
        ]
    return [(x + 6 * dy, y - 6 * dx), (x - 6 * dy, y + 6 * dx)]


def end_svg(path: Curve, kind: Kind) -> str:
    """The arrow head or the bar as SVG."""
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in end_points(path, kind))
    colour = SIGNS[kind].colour
    if kind in (Kind.ALLOWED, Kind.REACHED):
        return f"<polygon points='{corners}' fill='{colour}'/>"
    return f"<polyline points='{corners}' fill='none' stroke='{colour}' stroke-width='3'/>"


def _legend_svg(picture: Picture, view: View, edges: list[Edge]) -> str:
    y = picture["height"] + 14
    parts = [f"<g font-size='11' fill='{INK}'>"]
    x = 16.0
    layer = "the engine says" if view.layer == "engine" else "observed in the cluster"
    items = [
        (Kind.ALLOWED, "allowed"),
        (Kind.DENIED, "denied"),
        (Kind.UNKNOWN, "unknown or left to implementations"),
    ]
    if any(edge.kind is Kind.REACHED for edge in edges):
        items.append((Kind.REACHED, "reached, nothing listens"))
    for kind, word in items:
        path: Curve = (x, y, x + 17, y, x + 34, y)
        dash = f" stroke-dasharray='{SIGNS[kind].dash}'" if SIGNS[kind].dash else ""
        parts.append(
            f"<path d='M{x} {y}h34' stroke='{SIGNS[kind].colour}' stroke-width='2'{dash}/>{end_svg(path, kind)}"
            f"<text x='{x + 42}' y='{y + 4}'>{SIGNS[kind].mark} {word}</text>"
        )
        x += 66 + 6.3 * len(word)
    parts.append(
        f"<text x='16' y='{y + 26}' fill='{FAINT}'>Port {escape(port_label(view.port))}, {layer}. "
        "Shaded pod: isolated; in = for ingress, out = for egress. Yellow band: changed since last time.</text></g>"
    )
    return "".join(parts)
