"""Truth tables: what becomes of every source × destination × port, and what an edit changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from .bits import mask_of
from .decide import decide
from .decision import Decision
from .flow import PROTOCOLS, Direction, Family, Flow, Verdict
from .matrix import MaskBook, Matrix
from .meshed import decide_mesh
from .model import Address, WorldError, parse_address
from .profile import KINDNET, Profile
from .request import HttpRequest
from .rules import PortMatch
from .world import World

Port = tuple[int, str]
Side = Literal["combined", "ingress", "egress"]
MARKS = {"allowed": ".", "denied": "X", "self": "#", "undefined": "?", "none": " "}


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer for one flow, without its reasons. When not `defined`, do not show a plain yes or no."""

    verdict: Verdict
    defined: bool = True
    egress: bool = True
    ingress: bool = True
    itself: bool = False

    @property
    def allowed(self) -> bool:
        """Whether policy lets the flow through."""
        return self.verdict is Verdict.OK


# The handful of cells that nearly every question is answered with.
_PLAIN = {
    (egress, ingress): Cell(
        Verdict.OK if egress and ingress else Verdict.TIMEOUT, egress=egress, ingress=ingress
    )
    for egress in (False, True)
    for ingress in (False, True)
}
_ITSELF = Cell(Verdict.OK, itself=True)


class TruthTable:
    """Answers for every source, destination and port. Computed when asked, a whole port at a time."""

    def __init__(
        self,
        world: World,
        sources: Sequence[str],
        destinations: Sequence[str],
        ports: Sequence[Port],
        profile: Profile = KINDNET,
        family: Family | None = None,
        request: HttpRequest | None = None,
    ) -> None:
        self.world = world
        self.request = request
        self._meshed = world.mesh.active
        self.sources = tuple(sources)
        self.destinations = tuple(destinations)
        self.ports = tuple(ports)
        self.profile = profile
        self.family = family
        ends = dict.fromkeys((*self.sources, *self.destinations))
        self._externals = tuple(
            ip for end in ends if (ip := parse_address(end)) is not None and _is_external(world, ip)
        )
        self._number = {key: i for key, i in world.index.number.items() if not world.pods[key].host_network}
        above = len(world.index.pods)
        self._number_outside = {str(ip): above + i for i, ip in enumerate(self._externals)}
        self._policies = tuple(world.policies.values())
        self._matrices: dict[tuple[int, str, Family], Matrix] = {}
        self._decided: dict[Flow, Cell] = {}

    def cell(self, source: str, destination: str, port: int, protocol: str = "TCP") -> Cell:
        """The answer for one flow; it need not be among `sources`, `destinations` and `ports`."""
        plain = self._plain(source, destination, port, protocol)
        if plain is not None and not (self._meshed and plain.allowed and protocol == "TCP"):
            return plain
        flow = Flow(source, destination, port, protocol, self.family, self.request)
        if plain is not None:
            return plain if plain.itself else self._through_proxies(plain, flow)
        cell = self._decided.get(flow)
        if cell is None:
            decision = decide(self.world, flow, self.profile)
            cell = Cell(decision.verdict, decision.defined, decision.egress.allowed, decision.ingress.allowed)
            if source == destination:
                cell = replace(cell, itself=True)
            self._decided[flow] = cell
        return cell

    def decide(self, source: str, destination: str, port: int, protocol: str = "TCP") -> Decision:
        """The same answer with its reasons."""
        flow = Flow(source, destination, port, protocol, self.family, self.request)
        return decide(self.world, flow, self.profile)

    def cells(self) -> Iterator[tuple[Flow, Cell]]:
        """Every flow of the table with its answer; two addresses outside the cluster have none."""
        for port, protocol in self.ports:
            for source in self.sources:
                for destination in self.destinations:
                    if self.has(source, destination):
                        flow = Flow(source, destination, port, protocol, self.family, self.request)
                        yield flow, self.cell(source, destination, port, protocol)

    def count(self, port: int, protocol: str = "TCP") -> int:
        """How many flows of the table to this port are plainly allowed; a pod's flows to itself are among them."""
        destinations = [name for name in self.destinations if name not in self._number]
        chosen = mask_of(self._number[name] for name in self.destinations if name in self._number)
        total = 0
        for source in self.sources:
            one_by_one: Sequence[str] = self.destinations
            start = self._number.get(source)
            plain = self._one_family is not None and protocol in PROTOCOLS
            if start is not None and plain and not (self._meshed and protocol == "TCP"):
                assert self._one_family is not None
                matrix = self._matrix(port, protocol, self._one_family)
                total += ((matrix.allowed[start] | 1 << start) & chosen).bit_count()
                one_by_one = destinations
            for destination in one_by_one:
                if self.has(source, destination):
                    cell = self.cell(source, destination, port, protocol)
                    total += cell.defined and cell.allowed
        return total

    @cached_property
    def _one_family(self) -> Family | None:
        """The family of all pods, when they have but one and the table asks for no other."""
        families = {pod.families for pod in self.world.index.pods}
        if len(families) != 1:
            return None
        (only,) = families
        return only[0] if len(only) == 1 and self.family in (None, only[0]) else None

    def has(self, source: str, destination: str) -> bool:
        """Whether the table answers for this pair: one end at least must be a pod or a Service."""
        return source not in self._number_outside or destination not in self._number_outside

    def to_text(self, port: int | None = None, protocol: str = "TCP", side: Side = "combined") -> str:
        """The table for one port (None: the first): `.` allowed, `X` denied, `#` itself, `?` not defined.

        `side` shows one half alone, which tells who blocks.
        """
        if port is None:
            port, protocol = self.ports[0]
        rows = [
            [_mark(self, source, destination, port, protocol, side) for destination in self.destinations]
            for source in self.sources
        ]
        title = f"port {port}/{protocol}" if side == "combined" else f"port {port}/{protocol}, {side} alone"
        legend = "rows: from, columns: to.   . allowed   X denied   # itself   ? left to the implementation"
        return "\n".join((title, *grid(self.sources, self.destinations, rows), legend))

    def _through_proxies(self, plain: Cell, flow: Flow) -> Cell:
        """What NetworkPolicy allows still meets the proxies of a mesh."""
        outcome = decide_mesh(self.world, flow)
        if outcome.verdict is Verdict.OK and not outcome.open:
            return plain
        return Cell(outcome.verdict, defined=not outcome.open)

    def _plain(self, source: str, destination: str, port: int, protocol: str) -> Cell | None:
        start, start_outside = self._number.get(source), self._number_outside.get(source)
        end, end_outside = self._number.get(destination), self._number_outside.get(destination)
        if protocol not in PROTOCOLS or (start is None) == (start_outside is None):
            return None
        if (end is None) == (end_outside is None) or (start is None and end is None):
            return None
        pods = self.world.index.pods
        theirs = pods[end].families if end is not None else (self._family_outside(end_outside),)
        ours = pods[start].families if start is not None else (self._family_outside(start_outside),)
        family = next((f for f in theirs if f in ours and self.family in (None, f)), None)
        if family is None:
            return None
        if start is not None and start == end:
            return _ITSELF
        matrix = self._matrix(port, protocol, family)
        egress = ingress = True
        if start is not None:
            egress = bool(matrix.egress[start] >> (end if end is not None else end_outside or 0) & 1)
        if end is not None:
            ingress = bool(matrix.ingress[end] >> (start if start is not None else start_outside or 0) & 1)
        return _PLAIN[egress, ingress]

    def _family_outside(self, number: int | None) -> Family:
        assert number is not None
        return Family.of(self._externals[number - len(self.world.index.pods)].version)

    def _matrix(self, port: int, protocol: str, family: Family) -> Matrix:
        key = (port, protocol, family)
        matrix = self._matrices.get(key)
        if matrix is None:
            book = self.world.index.book(family, self.profile, self._externals, MaskBook)
            matrix = self._matrices[key] = Matrix(book, self._policies, port, protocol)
        return matrix


def truth_table(
    world: World,
    ports: Iterable[Port] | None = None,
    sources: Iterable[str] | None = None,
    destinations: Iterable[str] | None = None,
    *,
    profile: Profile = KINDNET,
    family: Family | None = None,
    request: HttpRequest | None = None,
) -> TruthTable:
    """The table of a world.

    ports: (number, protocol) pairs; None takes the ports that pods declare. sources and destinations: pods,
    addresses, and for destinations "service:namespace/name"; None takes every pod that is on the network,
    then the world's externals. request: what is asked in each flow, where a mesh looks at it. Raises WorldError for a
    name that is not in the world.
    """
    everything = [pod.key for pod in world.index.pods] + list(world.externals)
    table = TruthTable(
        world,
        everything if sources is None else list(sources),
        everything if destinations is None else list(destinations),
        declared_ports(world) if ports is None else list(ports),
        profile,
        family,
        request,
    )
    for name in dict.fromkeys((*table.sources, *table.destinations)):
        if name.startswith("service:"):
            known = name.removeprefix("service:") in world.services
        else:
            known = name in world.pods or parse_address(name) is not None
        if not known:
            raise WorldError(f"there is no {name} in this world")
    return table


def declared_ports(world: World) -> list[Port]:
    """The ports that pods declare, or 80/TCP when none does."""
    found = {(port.port, port.protocol) for pod in world.pods.values() for port in pod.ports}
    return sorted(found, key=lambda port: (port[1] != "TCP", port[1], port[0])) or [(80, "TCP")]


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports that no policy of the world tells apart (both ends included)."""

    protocol: str
    first: int
    last: int


def atomic_ports(world: World) -> list[PortRange]:
    """All ports of TCP, UDP and SCTP, cut so that every policy treats each piece as one.

    A table for the first port of each piece is therefore a table for every port there is.
    """
    cuts: dict[str, set[int]] = {protocol: {1} for protocol in PROTOCOLS}
    names: set[tuple[str, str]] = set()
    for entry in _entries(world):
        if entry.name is not None:
            names.add((entry.name, entry.protocol))
        elif entry.port is not None:
            cuts[entry.protocol] |= {entry.port, (entry.end_port or entry.port) + 1}
    for pod in world.pods.values():
        for port in pod.ports:
            if (port.name, port.protocol) in names:
                cuts[port.protocol] |= {port.port, port.port + 1}
    result = []
    for protocol in PROTOCOLS:
        starts = sorted(cut for cut in cuts[protocol] if cut <= 65535)
        result += [
            PortRange(protocol, first, following - 1)
            for first, following in zip(starts, [*starts[1:], 65536], strict=True)
        ]
    return result


def _entries(world: World) -> Iterator[PortMatch]:
    for policy in world.policies.values():
        for direction in Direction:
            for rule in policy.rules(direction):
                yield from rule.ports or ()


def grid(rows: Sequence[str], columns: Sequence[str], marks: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table with a column for each destination, aligned for a fixed-width font."""
    left = max((len(name) for name in rows), default=0)
    widths = [max(len(name), 1) for name in columns]
    yield " " * left + "  " + "  ".join(columns)
    for name, line in zip(rows, marks, strict=True):
        cells = (mark.center(width) for mark, width in zip(line, widths, strict=True))
        yield (name.ljust(left) + "  " + "  ".join(cells)).rstrip()


def _mark(table: TruthTable, source: str, destination: str, port: int, protocol: str, side: Side) -> str:
    if not table.has(source, destination):
        return MARKS["none"]
    cell = table.cell(source, destination, port, protocol)
    if not cell.defined:
        return MARKS["undefined"]
    if cell.itself:
        return MARKS["self"]
    allowed = {"combined": cell.allowed, "ingress": cell.ingress, "egress": cell.egress}[side]
    return MARKS["allowed" if allowed else "denied"]


def _is_external(world: World, address: Address) -> bool:
    """Whether an address is plainly outside: no pod's, no node's, no Service's."""
    return (
        world.pod_at(address) is None
        and world.node_at(address) is None
        and world.service_at(address) is None
        and not any(address in service.external_ips for service in world.services.values())
        and not any(pod.host_network and address in pod.ips for pod in world.pods.values())
    )
