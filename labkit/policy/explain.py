"""A Decision in plain English: what happens, which half decided, which policy, rule, peer and line, and the trap."""

from __future__ import annotations

from collections.abc import Iterator

from .decision import Decision, Half, PolicyStep, RuleStep, Step, Unselected
from .flow import Direction, Verdict
from .mesh.decision import MeshDecision, Reason

_WHAT_HAPPENS = {
    Verdict.OK: "allowed",
    Verdict.TIMEOUT: "denied: the packets are dropped, so the client waits until its own time limit (TIMEOUT)",
    Verdict.REFUSED: "refused: nothing is there to answer",
    Verdict.RESET: "broken off: the connection is reset (RESET)",
    Verdict.CLOSED: "ended without an answer: the proxy takes the connection and closes it (CLOSED)",
    Verdict.FORBIDDEN: "forbidden: a proxy answers in the application's place (FORBIDDEN)",
    Verdict.UNAUTHENTICATED: "refused for its token: a proxy answers in the application's place (UNAUTHENTICATED)",
    Verdict.UNAVAILABLE: "not served: the client's own proxy answers in the application's place (UNAVAILABLE)",
    Verdict.BAD_REQUEST: "not understood: a proxy answers in the application's place (BAD_REQUEST)",
    Verdict.DNS: "fails before it starts: the name does not resolve",
}

_CURL = {
    52: "(52) Empty reply from server",
    56: "(56) Recv failure: Connection reset by peer",
}


def explain(decision: Decision) -> str:
    """The reasons of a decision for a learner, several lines; the first line is the answer alone."""
    return "\n".join(_lines(decision))


def _lines(decision: Decision) -> Iterator[str]:
    what = _WHAT_HAPPENS.get(decision.verdict, str(decision.verdict))
    if decision.defined:
        yield (
            f"{decision.flow} is {what}."
            if decision.verdict is not Verdict.DNS
            else f"{decision.flow} {what}."
        )
        if decision.note:
            yield f"Note: {decision.note}."
    else:
        yield f"{decision.flow} has no defined answer."
        yield f"Why: {decision.note}."
        if decision.verdict in (Verdict.OK, Verdict.TIMEOUT) and decision.mesh is None:
            tendency = "let it through" if decision.allowed else "block it"
            yield f"Read word by word the policies {tendency}, but clusters differ: do not build on it."
    if decision.endpoints:
        yield from _endpoints(decision)
        return
    if decision.status:
        yield f"The client sees HTTP {decision.status}" + (f': "{decision.body}".' if decision.body else ".")
    if decision.mesh and decision.mesh.curl[0] in _CURL:
        yield f"curl says: {_CURL[decision.mesh.curl[0]]}."
    exempt = {half.exempt for half in decision.halves}
    if len(exempt) == 1 and "" not in exempt:
        if decision.defined:
            yield f"Reason: {exempt.pop()}."
        return
    for half in decision.halves:
        yield ""
        yield from _half(half)
    if decision.mesh:
        yield ""
        yield from _mesh(decision.mesh)
    traps = decision.traps
    if traps:
        yield ""
        for key, trap in traps:
            where = f", line {trap.line}" if trap.line else ""
            yield f"Watch out ({key.path}{where}): {trap.text}"


def _endpoints(decision: Decision) -> Iterator[str]:
    count = len(decision.endpoints)
    behind = "One pod stands" if count == 1 else f"{count} pods stand"
    yield f"{behind} behind {decision.flow.destination}; policy is asked about the pod and its own port."
    for inner in decision.endpoints:
        yield ""
        yield from _lines(inner)


def _half(half: Half) -> Iterator[str]:
    leaving = half.direction is Direction.EGRESS
    title = (
        f"Leaving {half.subject} ({half.direction.lower()})"
        if leaving
        else f"Entering {half.subject} (ingress)"
    )
    if half.exempt:
        yield f"{title}: not policed. {_sentence(half.exempt)}"
        return
    if not half.isolated:
        yield f"{title}: allowed. No policy selects {half.subject} for {half.direction}, so everything is allowed."
        yield from _unselected(half)
        return
    policies = ", ".join(step.key.path for step in half.policies)
    if half.allowed:
        yield f"{title}: allowed. {half.subject} is isolated by {policies}, and a rule admits the flow."
    else:
        yield (
            f"{title}: denied. {half.subject} is isolated by {policies}, so only what a rule admits may pass, "
            "and no rule admits this."
        )
    for step in half.policies:
        yield from _policy(step, half)
    yield from _unselected(half)


def _mesh(mesh: MeshDecision) -> Iterator[str]:
    """The proxies' layers; the one that stops a request tells all it looked at, the others what decided."""
    yield "In the mesh, after NetworkPolicy:"
    for layer in mesh.layers:
        told = next(
            (reason for reason in layer.reasons if reason.line and reason.text in layer.summary), None
        )
        where = _at(told) if told else ""
        word = "passed" if layer.passed else "stopped here"
        yield f"  - {layer.name}: {word}. {_sentence(layer.summary)[:-1]}{where}."
        for reason in layer.reasons:
            if reason.text not in layer.summary and (reason.matched or not layer.passed):
                yield f"      · {_sentence(reason.text)[:-1]}{_at(reason)}."
    if mesh.matched_policy:
        yield f"  Envoy's access log names: {mesh.matched_policy}."
    for note in (mesh.audited and f"audited by {mesh.audited}", *mesh.dry_run):
        if note:
            yield f"  Without effect: {note}."


def _unselected(half: Half) -> Iterator[str]:
    for item in half.unselected:
        yield f"  - {item.key.path} does not apply{_at(item)}: {item.reason}."


def _policy(step: PolicyStep, half: Half) -> Iterator[str]:
    yield f"  - {step.key.path} applies{_at(step)}: {step.selected_by}."
    field = half.direction.lower()
    if not step.rules:
        yield f"      It has no {field} rules, so it admits nothing."
        return
    if half.allowed and not step.allowed:
        # Policies add up: what this one does not admit, another one does.
        yield f"      None of its {field} rules admits the flow, but another policy does, and one is enough."
        return
    for rule in step.rules:
        if rule.matched or not step.allowed:
            yield from _rule(rule)


def _rule(rule: RuleStep) -> Iterator[str]:
    word = "admits the flow" if rule.matched else "does not admit it"
    yield f"      {rule.rule} {word}{_at(rule)}: {rule.reason}."
    if rule.matched:
        return
    # A single peer or port is already in the rule's own reason.
    if not rule.peers_matched and len(rule.peers) > 1:
        yield from (_try(step) for step in rule.peers)
    elif rule.peers_matched and not rule.ports_matched and len(rule.ports) > 1:
        yield from (_try(step) for step in rule.ports)


def _try(step: Step) -> str:
    return f"        · {step.path}{_at(step)}: {step.reason}."


def _at(item: PolicyStep | RuleStep | Step | Unselected | Reason) -> str:
    return f" (line {item.line})" if item.line else ""


def _sentence(text: str) -> str:
    # The name of an object stays as it is.
    first = text.split(" ", 1)[0]
    return text + "." if "/" in first or "[" in first else text[:1].upper() + text[1:] + "."
