"""Trying flows until the network has caught up with the policies: some need a second or two, and that is nobody's mistake."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from labkit.course.violations import REACHED, Observed
from labkit.policy import Flow, Verdict, World, decide

Prober = Callable[[Iterable[Flow]], Mapping[Flow, Observed]]

#: Seconds that a network has to do what the policies say. kindnet and Calico take one or two, a busy machine more.
PATIENCE = 8.0
_DNS_LABELS = {
    "k8s-app": "kube-dns"
}  # https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/


def contradicts(world: World, flow: Flow, seen: Observed) -> bool:
    """Whether what was seen and what the policies say cannot both be how it stays.

    That nothing listens, or that nobody could try, is no contradiction: policies say nothing about that.
    """
    decision = decide(world, flow)
    if seen.verdict is None or not decision.defined:
        return False
    if not decision.allowed:
        return seen.verdict in REACHED
    return seen.verdict is Verdict.TIMEOUT or (seen.verdict is Verdict.DNS and _may_ask_names(world, flow))


def _may_ask_names(world: World, flow: Flow) -> bool:
    servers = (
        pod
        for pod in world.pods.values()
        if pod.namespace == "kube-system" and pod.on_network and _DNS_LABELS.items() <= pod.labels.items()
    )
    answers = [decide(world, Flow(flow.source, server.key, 53, "UDP")).allowed for server in servers]
    return not answers or any(answers)


def try_flows(
    prober: Prober,
    world: World,
    choose: Callable[[World], Iterable[Flow]],
    *,
    snapshot: Callable[[], World],
    patience: float = PATIENCE,
) -> tuple[World, dict[Flow, Observed]]:
    """Try the flows that `choose` finds in the world; those that contradict the policies again, for `patience` seconds.

    Policies and pods may change meanwhile (in a terminal beside the notebook), so the world is looked at anew each time; the last
    one is given back with what was seen.
    """
    deadline = time.monotonic() + patience
    seen: dict[Flow, Observed] = {}
    left = list(choose(world))
    while left:
        seen.update(prober(left))
        if time.monotonic() >= deadline or not any(contradicts(world, flow, seen[flow]) for flow in seen):
            break
        world = snapshot()
        wanted = list(choose(world))
        left = [flow for flow in wanted if flow not in seen or contradicts(world, flow, seen[flow])]
        seen = {flow: seen[flow] for flow in wanted if flow in seen}
    return world, seen
