"""From the readings of a flow to one Decision."""

from __future__ import annotations

from collections.abc import Sequence

from .decision import Decision, Half, Why
from .flow import PROTOCOLS, Direction, Flow, Verdict
from .match import half
from .profile import Profile
from .readings import Reading
from .world import World

_ADDRESS_STEPS = (Why.ADDRESS_MATCHES, Why.OUTSIDE_BLOCK, Why.EXCEPTED)


def judge(world: World, profile: Profile, flow: Flow, readings: Sequence[Reading]) -> Decision:
    """Evaluate every reading.

    The first one gives verdict and reasons; another outcome makes it not defined.
    """
    outcomes = [_halves(world, profile, reading) for reading in readings]
    egress, ingress = outcomes[0]
    allowed = egress.allowed and ingress.allowed
    open_questions = dict.fromkeys(
        reading.because
        for reading, (out, into) in zip(readings, outcomes, strict=True)
        if (out.allowed and into.allowed) != allowed
    )
    if flow.protocol not in PROTOCOLS and (egress.isolated or ingress.isolated):
        reason = f"NetworkPolicy is about TCP, UDP and SCTP; what an isolated pod may do with {flow.protocol}"
        open_questions[f"{reason} is left to the implementation"] = None
    notes = [*open_questions, *_assumptions(readings[0], egress, ingress)]
    verdict = Verdict.OK if allowed else Verdict.TIMEOUT
    return Decision(flow, verdict, not open_questions, "; ".join(notes), egress, ingress)


def undefined(flow: Flow, verdict: Verdict, note: str) -> Decision:
    """A decision for a flow about which policy cannot be asked."""
    return Decision(flow, verdict, False, note, *exempt_halves(flow.source, flow.destination, note))


def exempt_halves(source: str, destination: str, reason: str) -> tuple[Half, Half]:
    """Two halves that were not asked, and why."""
    return (
        Half(Direction.EGRESS, source, destination, isolated=False, allowed=True, exempt=reason),
        Half(Direction.INGRESS, destination, source, isolated=False, allowed=True, exempt=reason),
    )


def _halves(world: World, profile: Profile, reading: Reading) -> tuple[Half, Half]:
    return (
        half(world, profile, Direction.EGRESS, reading.egress, reading.egress_exempt),
        half(world, profile, Direction.INGRESS, reading.ingress, reading.ingress_exempt),
    )


def _assumptions(reading: Reading, egress: Half, ingress: Half) -> list[str]:
    """A note for each made-up address that an ipBlock was compared with."""
    notes = []
    for party, asked in ((reading.egress.destination, egress), (reading.ingress.source, ingress)):
        if party.pod is not None and party.pod.assumed and _looked_at_address(asked):
            notes.append(
                f"{party.name} has no address yet: {party.address} was assumed, and an ipBlock looked at it"
            )
    return notes


def _looked_at_address(asked: Half) -> bool:
    return any(
        step.why in _ADDRESS_STEPS
        for policy in asked.policies
        for rule in policy.rules
        for step in rule.peers
    )
