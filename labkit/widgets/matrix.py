"""Verdicts as characters: rows are sources, columns are destinations, one table per port.

Takes truth tables and observations; gives `Matrix`, the only form in which widgets, SVG, matplotlib and text read verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.widgets.marks import Kind, kind_of_verdict, verdict_name

Port = tuple[int, str]


def as_port(port: Any) -> Port:
    """80, "80", "80/TCP", (80, "TCP") and an enum protocol all name one port; without a protocol it is TCP.

    Raises ValueError for anything else.
    """
    if isinstance(port, tuple) and len(port) == 2:
        return int(port[0]), verdict_name(port[1])
    if isinstance(port, int) and not isinstance(port, bool):
        return port, "TCP"
    if isinstance(port, str):
        number, _, protocol = port.partition("/")
        if number.strip().isdigit():
            return int(number), (protocol.strip() or "TCP").upper()
    raise ValueError(f'a port is 80, "80/TCP" or (80, "TCP"), not {port!r}')


def port_key(port: Any) -> str:
    """The port's name in JSON: "80/TCP"."""
    number, protocol = as_port(port)
    return f"{number}/{protocol}"


def port_label(key: str) -> str:
    """The port's name for people: TCP goes without saying."""
    return key.removesuffix("/TCP")


@dataclass(frozen=True)
class Matrix:
    """Characters of `Kind` by port key, source row and destination column; `Kind.NONE` where nothing is known or was tried."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    cells: Mapping[str, tuple[str, ...]]
    verdicts: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """For layers that were measured: the exact verdict's name by (port key, source, destination)."""

    @property
    def ports(self) -> tuple[str, ...]:
        """Port keys, in the order they were asked for."""
        return tuple(self.cells)

    def kind(self, port: str, source: str, destination: str) -> Kind:
        """The cell, or NONE for an endpoint or port that the matrix does not have."""
        try:
            row = self.cells[port][self.sources.index(source)]
            return Kind(row[self.destinations.index(destination)])
        except (KeyError, ValueError, IndexError):
            return Kind.NONE

    def aligned(self, like: Matrix) -> Matrix:
        """The same knowledge in the rows, columns and ports of `like`; what is not known is NONE."""
        rows = {name: number for number, name in enumerate(self.sources)}
        columns = {name: number for number, name in enumerate(self.destinations)}
        cells: dict[str, tuple[str, ...]] = {}
        for port in like.ports:
            mine = self.cells.get(port)
            cells[port] = tuple(
                "".join(
                    mine[rows[s]][columns[d]] if mine and s in rows and d in columns else Kind.NONE.value
                    for d in like.destinations
                )
                for s in like.sources
            )
        return Matrix(like.sources, like.destinations, cells, self.verdicts)

    def to_json(self) -> dict[str, list[str]]:
        """The cells alone, as the browser reads them."""
        return {port: list(rows) for port, rows in self.cells.items()}

    def flows(self, port: str) -> Iterable[tuple[str, str, Kind]]:
        """Every (source, destination, kind) of a port, row by row."""
        for source, row in zip(self.sources, self.cells.get(port, ()), strict=False):
            for destination, char in zip(self.destinations, row, strict=True):
                yield source, destination, Kind(char)


def build(
    sources: Iterable[str],
    destinations: Iterable[str],
    ports: Iterable[Any],
    kind: Callable[[str, str, Port], Kind],
) -> Matrix:
    """Ask `kind` for every cell. A pod's flow to itself is always SELF: it never leaves the pod, no policy decides it."""
    rows, columns = tuple(sources), tuple(destinations)
    cells = {
        port_key(port): tuple(
            "".join((Kind.SELF if s == d else kind(s, d, as_port(port))).value for d in columns) for s in rows
        )
        for port in ports
    }
    return Matrix(rows, columns, cells)


def from_truth_table(table: Any) -> Matrix:
    """A `labkit.policy.TruthTable` as a Matrix. A cell that is not defined is UNKNOWN, whatever its verdict says."""

    def kind(source: str, destination: str, port: Port) -> Kind:
        if not table.has(source, destination):
            return Kind.NONE
        cell = table.cell(source, destination, port[0], port[1])
        return kind_of_decision(cell)

    return build(table.sources, table.destinations, table.ports, kind)


def kind_of_decision(decision: Any) -> Kind:
    """The Kind of a Decision or of a truth table's cell (anything with `defined`, and `verdict` or `allowed`)."""
    if not getattr(decision, "defined", True):
        return Kind.UNKNOWN
    verdict = getattr(decision, "verdict", None)
    if verdict is not None:
        return kind_of_verdict(verdict)
    return Kind.ALLOWED if decision.allowed else Kind.DENIED


def from_observations(observations: Mapping[Any, Any] | None, like: Matrix) -> Matrix:
    """Measured verdicts laid out like another matrix; flows that were not tried are NONE.

    Keys are Flows (anything with source, destination, port, protocol) or such 4-tuples; values have `.verdict`.
    """
    known: dict[tuple[str, str, str], Any] = {}
    for flow, observation in (observations or {}).items():
        known[observation_key(flow)] = observation

    def kind(source: str, destination: str, port: Port) -> Kind:
        observation = known.get((port_key(port), source, destination))
        return Kind.NONE if observation is None else kind_of_verdict(observation.verdict)

    blank = build(like.sources, like.destinations, like.ports, kind)
    verdicts = {key: verdict_name(observation.verdict) for key, observation in known.items()}
    return Matrix(blank.sources, blank.destinations, blank.cells, verdicts)


def observation_key(flow: Any) -> tuple[str, str, str]:
    """(port key, source, destination) of a Flow or of a tuple (source, destination, port[, protocol])."""
    if isinstance(flow, tuple) and not hasattr(flow, "source"):
        source, destination, port, *rest = flow
        return port_key((port, rest[0]) if rest else port), source, destination
    return port_key((flow.port, getattr(flow, "protocol", "TCP"))), flow.source, flow.destination


def changed(now: Matrix, before: Matrix | None) -> dict[str, list[str]]:
    """Per port, rows of "1" where the verdict is not what it was, else "0"; a pair that did not exist before is no change."""
    if before is None:
        return {}
    old = before.aligned(now)
    return {
        port: [
            "".join(
                "1" if was not in (is_, Kind.NONE.value) else "0"
                for is_, was in zip(new_row, old_row, strict=True)
            )
            for new_row, old_row in zip(now.cells[port], old.cells[port], strict=True)
        ]
        for port in now.ports
    }
