"""The engine's answers behind a picture: the table, and the reason of any flow when somebody asks for it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.policy import KINDNET, ObjectKey, Profile, TruthTable, World, WorldError, truth_table
from labkit.widgets.matrix import Matrix, as_port, from_truth_table, observation_key, port_key
from labkit.widgets.reasons import Reason, reason_record

log = logging.getLogger(__name__)

FEW = 200
"""Up to this many flows, all reasons travel with the picture: they can then be read after the kernel has gone."""


class Answers:
    """Truth table and reasons of one world. `ports` None takes the ports that pods declare."""

    def __init__(
        self,
        world: World,
        ports: Any,
        sources: Iterable[str] | None,
        destinations: Iterable[str] | None,
        observations: Mapping[Any, Any] | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.world = world
        self.table = truth_table(world, port_list(ports), sources, destinations, profile=profile or KINDNET)
        self._observed = {observation_key(flow): seen for flow, seen in (observations or {}).items()}
        self._sources = policy_sources(world)

    def reason(self, source: str, destination: str, port: Any) -> Reason:
        """Who decides this flow, and why. Raises WorldError for a name that is not in the world."""
        number, protocol = as_port(port)
        return reason_record(
            self.table.decide(source, destination, number, protocol),
            source=source,
            destination=destination,
            port=(number, protocol),
            observation=self._observed.get((port_key(port), source, destination)),
            sources=self._sources,
        )

    def few_reasons(self) -> dict[str, Reason]:
        """All reasons by "port|source|destination", or none when there are many."""
        table = self.table
        if len(table.ports) * len(table.sources) * len(table.destinations) > FEW:
            return {}
        return {
            f"{port_key(port)}|{source}|{destination}": self.reason(source, destination, port)
            for port in table.ports
            for source in table.sources
            for destination in table.destinations
            if source != destination and table.has(source, destination)
        }

    def on_message(self, widget: Any, message: Mapping[str, Any]) -> None:
        """Answer a browser's {"type": "explain", "port", "source", "destination"} with {"type": "reason", "key", "reason"}."""
        if message.get("type") != "explain":
            return
        port, source, destination = str(message["port"]), str(message["source"]), str(message["destination"])
        try:
            reason = self.reason(source, destination, port)
        except (WorldError, ValueError) as error:
            log.info("a reason was asked for that there is none for: %s", error)
            return
        widget.send({"type": "reason", "key": f"{port}|{source}|{destination}", "reason": reason})


def port_list(ports: Any) -> list[tuple[int, str]] | None:
    """Ports in any form that `as_port` reads, one or several; None stays None."""
    if ports is None:
        return None
    if isinstance(ports, int | str) or (
        isinstance(ports, tuple) and len(ports) == 2 and isinstance(ports[1], str)
    ):
        return [as_port(ports)]
    return [as_port(port) for port in ports]


def policy_sources(world: World) -> dict[ObjectKey, Any]:
    """The SourceMap of every policy that has one."""
    return {policy.key: policy.source for policy in world.policies.values() if policy.source is not None}


def as_matrix(previous: Any, like: Matrix, profile: Profile | None = None) -> Matrix | None:
    """Whatever holds earlier verdicts, as a Matrix: a Matrix, a TruthTable, a World, or a view with an `engine`."""
    if previous is None or isinstance(previous, Matrix):
        return previous
    if isinstance(previous, TruthTable):
        return from_truth_table(previous)
    if isinstance(previous, World):
        known = [name for name in like.sources if name not in previous.pods and "/" not in name]
        here = [key for key, pod in previous.pods.items() if pod.on_network]
        ends = [*here, *known]
        ports = [as_port(port) for port in like.ports]
        return from_truth_table(truth_table(previous, ports, ends, ends, profile=profile or KINDNET))
    engine = getattr(previous, "engine", None)
    if isinstance(engine, Matrix):
        return engine
    raise TypeError(f"previous is a graph, a table or a World, not {type(previous).__name__}")
