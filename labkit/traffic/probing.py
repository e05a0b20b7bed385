"""Trying many flows on a running cluster, from the source pods themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from labkit.cluster import Cluster, ClusterError, ClusterUnreachable
from labkit.policy import Flow

from .ephemeral import companion
from .observation import Observation, Reading, observation, untried
from .targets import Attempt, Pods, Source, Untriable
from .tools import HttpRequest, Manner, NoTool, with_probe, with_shell

_PODS_AT_ONCE = 32
# (server, image) known to have no labkit-probe, and known to have no tool at all: they are not asked again.
_MISSING: set[tuple[str, str]] = set()
_BARE: set[tuple[str, str]] = set()
_LOCK = threading.Lock()


def probe(
    cluster: Cluster,
    flows: Iterable[Flow],
    *,
    timeout: float = 1.0,
    http: HttpRequest | None = None,
    equal: int = 2,
    most: int = 5,
    interval: float = 0.3,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Flow, Observation]:
    """Try every flow and say what became of it. All pods probe at the same time, and each tries all its flows at once.

    timeout: seconds until silence counts as TIMEOUT. equal: a flow is read until this many readings in a row agree, at
    most `most` times, `interval` seconds apart. http: make TCP flows an HTTP request, so that 401, 403 and 404 are told
    apart; otherwise a connection is enough. progress: called with (pods done, pods in all).

    A pod whose image has no tool is tried from an ephemeral container beside it (`ephemeral`). A flow that cannot be tried (a
    source outside the cluster, a cluster that allows no such container) has verdict None and a reason.
    Raises ClusterUnreachable when the cluster does not answer.
    """
    wanted = list(dict.fromkeys(flows))
    manner = Manner(timeout, equal, max(most, equal), interval, http)
    pods = Pods(cluster.list("pods"))
    found: dict[Flow, Observation] = {}
    groups: dict[Source, list[Attempt]] = {}
    for flow in wanted:
        try:
            groups.setdefault(pods.source(flow), []).append(pods.attempt(flow))
        except Untriable as why:
            found[flow] = untried(flow, str(why))
    done = 0
    lock = threading.Lock()

    def one(group: tuple[Source, list[Attempt]]) -> list[Observation]:
        nonlocal done
        result = _from_pod(cluster, *group, manner)
        if progress is not None:
            with lock:
                done += 1
                progress(done, len(groups))
        return result

    if groups:
        with ThreadPoolExecutor(min(_PODS_AT_ONCE, len(groups))) as pool:
            for observations in pool.map(one, groups.items()):
                found.update((each.flow, each) for each in observations)
    return {flow: found[flow] for flow in wanted}


def observe_table(
    cluster: Cluster,
    pods: Sequence[str],
    ports: Iterable[tuple[int, str]],
    *,
    destinations: Sequence[str] | None = None,
    timeout: float = 1.0,
) -> dict[Flow, Observation]:
    """Try a whole table: every pod ("namespace/name") to every destination (default: the same pods) on every port.

    A pod's flow to itself is left out.
    """
    ports = list(ports)
    flows = [
        Flow(source, destination, port, protocol)
        for source in pods
        for destination in (pods if destinations is None else destinations)
        for port, protocol in ports
        if source != destination
    ]
    return probe(cluster, flows, timeout=timeout)


def _from_pod(cluster: Cluster, source: Source, attempts: list[Attempt], manner: Manner) -> list[Observation]:
    try:
        readings = _readings(cluster, source, attempts, manner)
    except NoTool as why:
        return [untried(attempt.flow, str(why)) for attempt in attempts]
    except ClusterUnreachable:
        raise
    except ClusterError as problem:  # the pod went away, or its answer did not come: its cells stay empty
        return [untried(attempt.flow, str(problem)) for attempt in attempts]
    return [observation(attempt.flow, seen) for attempt, seen in zip(attempts, readings, strict=True)]


def _readings(
    cluster: Cluster, source: Source, attempts: list[Attempt], manner: Manner
) -> list[list[Reading]]:
    """With the tools of the pod's own container; what it has no tool for, from an ephemeral container beside it."""
    known = cluster.client.server, source.image
    lacking = list(range(len(attempts)))
    readings: list[list[Reading]] = [[] for _ in attempts]
    why = f"the container {source.container} of pod {source.namespace}/{source.pod} has no tool to try anything with"
    if known not in _BARE:
        try:
            readings = _with_its_own_tools(cluster, source, attempts, manner)
            lacking = [number for number, seen in enumerate(readings) if _without_tool(seen)]
        except NoTool as none:
            why = str(none)
            with _LOCK:
                _BARE.add(known)
    if not lacking:
        return readings
    try:
        beside = companion(cluster, source)
    except NoTool as refused:
        if len(lacking) < len(attempts) or any(readings):
            return readings  # each reading says what its container lacks
        raise NoTool(f"{why}, and {refused}") from None
    borrowed = _with_its_own_tools(cluster, beside, [attempts[number] for number in lacking], manner)
    for number, seen in zip(lacking, borrowed, strict=True):
        readings[number] = [
            Reading(one.outcome, {**one.evidence, "through": f"ephemeral container {beside.container}"})
            for one in seen
        ]
    return readings


def _without_tool(readings: list[Reading]) -> bool:
    return bool(readings) and readings[-1].evidence.get("tool") == "missing"


def _with_its_own_tools(
    cluster: Cluster, source: Source, attempts: list[Attempt], manner: Manner
) -> list[list[Reading]]:
    known = cluster.client.server, source.image
    if known not in _MISSING:
        try:
            return with_probe(cluster, source, attempts, manner)
        except NoTool:
            with _LOCK:
                _MISSING.add(known)
    readings: list[list[Reading]] = [[] for _ in attempts]
    left = list(range(len(attempts)))
    for _ in range(manner.most):
        for number, reading in zip(
            left, with_shell(cluster, source, [attempts[n] for n in left], manner), strict=True
        ):
            readings[number].append(reading)
        left = [n for n in left if not _agree(readings[n], manner.equal)]
        if not left:
            break
    return readings


def _agree(readings: list[Reading], equal: int) -> bool:
    return len(readings) >= equal and len({reading.verdict for reading in readings[-equal:]}) == 1
