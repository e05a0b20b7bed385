"""The flows that do not do what a step demands: by the model, by what the cluster did, or by both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.course.demands import Demanded
from labkit.policy import Decision, Flow, Verdict, World, decide

# The packet arrived, whatever the application then said: policy let it through.
REACHED = {
    Verdict.OK,
    Verdict.REFUSED,
    Verdict.RESET,
    Verdict.FORBIDDEN,
    Verdict.UNAUTHENTICATED,
    Verdict.NOT_FOUND,
}


class Observed(Protocol):
    """What a probe of the cluster gives for a flow (`labkit.traffic.Observation`)."""

    @property
    def verdict(self) -> Verdict | None:
        """What was seen; None where nothing could be tried."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What it rests on."""

    @property
    def reason(self) -> str:
        """Why nothing could be tried, where nothing could."""


@dataclass(frozen=True)
class Violation:
    """A flow that does not do what the step demands. `modelled`: by the model's decision; `observed`: by what the cluster did."""

    demanded: Demanded
    decision: Decision
    observation: Observed | None
    modelled: bool
    observed: bool

    @property
    def flow(self) -> Flow:
        """The flow in question."""
        return self.demanded.flow

    @property
    def unenforced(self) -> bool:
        """The policies stop it, and the cluster lets it through: whoever wrote them did nothing wrong."""
        return self.observed and not self.modelled and not self.demanded.allow

    @property
    def unanswered(self) -> bool:
        """It must work, no policy stops it, and nothing is there to answer: a Service none of whose pods is ready."""
        nobody = self.flow.destination.startswith("service:") and not self.decision.endpoints
        return (
            self.modelled and self.demanded.allow and nobody and all(h.allowed for h in self.decision.halves)
        )

    @property
    def own(self) -> bool:
        """Whether it is the policies' doing, as far as one can tell."""
        return not (self.unenforced or self.unanswered)


def violations(
    world: World, flows: Iterable[Demanded], observations: Mapping[Flow, Observed]
) -> list[Violation]:
    """The flows that do not do what is demanded. What Kubernetes leaves to implementations is never held against anybody."""
    found = []
    for item in flows:
        decision = decide(world, item.flow)
        if not decision.defined:
            continue
        seen = observations.get(item.flow)
        modelled = decision.allowed != item.allow
        observed = seen is not None and seen.verdict is not None and not _as_demanded(item, seen.verdict)
        if modelled or observed:
            found.append(Violation(item, decision, seen, modelled, observed))
    return found


def _as_demanded(item: Demanded, verdict: Verdict) -> bool:
    if item.allow:
        return verdict is Verdict.OK
    return verdict not in REACHED
