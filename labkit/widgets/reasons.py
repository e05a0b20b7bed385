"""Who decided, and in which line: a Decision as data for a panel, as plain text and as HTML.

Takes a `labkit.policy.Decision` (or its `to_dict()`) and what was measured; gives the *reason record*, a JSON dict:

    {"source", "destination", "port": "80/TCP", "kind": ".", "mark": "✓", "headline", "note", "text", "halves": [half, half],
     "observed": {"kind", "mark", "verdict", "words", "evidence"} or null, "disagrees": bool}
    half:    {"direction", "title", "subject", "isolated", "allowed", "summary", "policies": [policy],
              "unselected": [{"name", "reason"}]}
    policy:  {"name", "selected_by", "summary", "rules": [rule], "traps": [texts], "file",
              "yaml": [{"n": 12, "text": "  - from:", "hit": true}]}
    rule:    {"path", "line", "matched", "reason", "steps": [the same for each peer and port entry that did not match]}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from labkit.policy import ObjectKey
from labkit.widgets.marks import SIGNS, VERDICT_WORDS, Kind, compatible, kind_of_verdict, verdict_name
from labkit.widgets.matrix import kind_of_decision, port_key, port_label

Reason = dict[str, Any]

_MAX_YAML_LINES = 40


def reason_record(
    decision: Any,
    *,
    source: str,
    destination: str,
    port: Any,
    observation: Any = None,
    sources: Mapping[Any, Any] | None = None,
) -> Reason:
    """Everything the who-decided panel says about one flow.

    decision: a Decision, or what its `to_dict()` gave. sources: a policy's key to its SourceMap, for its YAML lines.
    """
    if isinstance(decision, Mapping):
        decision = _revived(decision)
    kind = kind_of_decision(decision)
    halves = [
        _half(half, sources or {}, source, destination)
        for half in (getattr(decision, "egress", None), getattr(decision, "ingress", None))
        if half is not None
    ]
    observed = observed_record(observation)
    seen = Kind(observed["kind"]) if observed else Kind.NONE
    explain = getattr(decision, "explain", None)
    return {
        "source": source,
        "destination": destination,
        "port": port_key(port),
        "kind": kind.value,
        "mark": SIGNS[kind].mark,
        "headline": _headline(kind, source, destination, port_key(port)),
        "note": str(getattr(decision, "note", "") or ""),
        "text": explain() if callable(explain) else "",
        "halves": halves,
        "observed": observed,
        "disagrees": not compatible(kind, seen),
    }


def observed_record(observation: Any) -> dict[str, Any] | None:
    """A measured verdict with its evidence in words; None when the flow was not tried."""
    if observation is None:
        return None
    name = verdict_name(observation.verdict)
    kind = kind_of_verdict(name)
    evidence = getattr(observation, "evidence", None) or {}
    if isinstance(evidence, Mapping):
        items = list(evidence.items())
    else:
        items = [(key, getattr(evidence, key, None)) for key in ("status", "body", "error", "seconds")]
    words = []
    for key, value in items:
        if value in (None, "", [], {}):
            continue
        shown = f"{value:.3f} s" if key == "seconds" and isinstance(value, float) else str(value)
        words.append(f"{key}: {shown if len(shown) <= 160 else shown[:157] + '…'}")
    return {
        "kind": kind.value,
        "mark": SIGNS[kind].mark,
        "verdict": name,
        "words": VERDICT_WORDS.get(name, name.lower()),
        "evidence": "; ".join(words),
    }


def reason_text(reason: Reason) -> str:
    """The panel as plain text, several lines, nothing left out but the YAML lines that did not decide."""
    lines = [reason["headline"]]
    if reason["note"]:
        lines.append(f"Note: {reason['note']}")
    for half in reason["halves"]:
        lines.append(f"{half['title']}: {half['summary']}")
        for policy in half["policies"]:
            where = f" ({policy['file']})" if policy["file"] else ""
            lines.append(f"  {policy['name']}{where}: {policy['summary']}")
            for rule in policy["rules"]:
                sign = "✓" if rule["matched"] else "✗"
                at = f", line {rule['line']}" if rule["line"] else ""
                lines.append(f"    {sign} {rule['path']}{at}: {rule['reason']}")
                for tried in rule["steps"]:
                    at = f", line {tried['line']}" if tried["line"] else ""
                    lines.append(f"        ✗ {tried['path']}{at}: {tried['reason']}")
            lines += [f"    Note: {trap}" for trap in policy["traps"]]
            lines += [f"      {line['n']:>4} | {line['text']}" for line in policy["yaml"] if line["hit"]]
        lines += [f"  {other['name']} does not count here: {other['reason']}" for other in half["unselected"]]
    observed = reason["observed"]
    if observed:
        evidence = f" ({observed['evidence']})" if observed["evidence"] else ""
        lines.append(f"Observed: {observed['mark']} {observed['words']}{evidence}")
        if reason["disagrees"]:
            lines.append("The cluster does not do what the policies say.")
    return "\n".join(lines)


def _headline(kind: Kind, source: str, destination: str, port: str) -> str:
    flow = f"{source} → {destination}, port {port_label(port)}"
    if kind is Kind.UNKNOWN:
        return f"? Left to implementations: {flow}"
    return f"{SIGNS[kind].mark} {SIGNS[kind].word.capitalize()}: {flow}"


def _half(half: Any, sources: Mapping[Any, Any], source: str, destination: str) -> dict[str, Any]:
    direction = str(getattr(half.direction, "value", half.direction)).lower()
    leaving = direction == "egress"
    subject = str(getattr(half, "subject", "") or (source if leaving else destination))
    policies = [_policy(step, sources, direction) for step in (getattr(half, "policies", None) or ())]
    isolated, allowed = bool(half.isolated), bool(half.allowed)
    return {
        "direction": direction,
        "title": f"Leaving {subject} (egress)" if leaving else f"Entering {subject} (ingress)",
        "subject": subject,
        "isolated": isolated,
        "allowed": allowed,
        "summary": _half_summary(half, direction, isolated, allowed, policies),
        "policies": policies,
        "unselected": [
            {"name": key_text(other.key), "reason": str(other.reason)}
            for other in getattr(half, "unselected", ())
        ],
    }


def _half_summary(
    half: Any, direction: str, isolated: bool, allowed: bool, policies: list[dict[str, Any]]
) -> str:
    exempt = str(getattr(half, "exempt", "") or "")
    if exempt:
        return f"{'✓' if allowed else '✗'} Policy is not asked: {exempt}"
    if not isolated and not allowed:
        return f"✗ Not allowed for {direction}."
    if not isolated:
        return f"✓ Not isolated for {direction}: no policy selects it for this direction, so everything may pass."
    if allowed:
        admitting = [
            policy["name"] for policy in policies if any(rule["matched"] for rule in policy["rules"])
        ]
        by = f" by {_and(admitting)}" if admitting else ""
        return f"✓ Isolated for {direction}, and admitted{by}."
    return f"✗ Isolated for {direction}, and no rule of {_and([p['name'] for p in policies]) or 'any policy'} admits this flow."


def _policy(step: Any, sources: Mapping[Any, Any], direction: str) -> dict[str, Any]:
    rules = [
        {
            "path": str(rule.path),
            "line": rule.line,
            "matched": bool(rule.matched),
            "reason": str(rule.reason or ""),
            "steps": _tried(rule),
        }
        for rule in (getattr(step, "rules", None) or ())
    ]
    selected = str(getattr(step, "selected_by", "") or "")
    traps = [str(getattr(trap, "text", trap)) for trap in (getattr(step, "traps", None) or ())]
    if any(rule["matched"] for rule in rules):
        outcome = "a rule admits the flow"
    elif rules:
        outcome = "no rule admits the flow"
    else:
        outcome = f"it has no {direction} rule, so it admits nothing"
    source = sources.get(step.key)
    return {
        "name": key_text(step.key),
        "selected_by": selected,
        "summary": f"{selected.rstrip('.')}; {outcome}" if selected else outcome,
        "rules": rules,
        "traps": traps,
        "file": str(getattr(source, "name", "") or "") if source is not None else "",
        "yaml": _yaml_lines(source, rules, direction),
    }


def _revived(value: Any) -> Any:
    """A dict of `Decision.to_dict()` with attributes again; an object's key becomes one that can be looked up."""
    if isinstance(value, Mapping):
        if set(value) == {"kind", "namespace", "name"}:
            return ObjectKey(value["kind"], value["namespace"], value["name"])
        return SimpleNamespace(**{str(key): _revived(item) for key, item in value.items()})
    return [_revived(item) for item in value] if isinstance(value, list | tuple) else value


def _tried(rule: Any) -> list[dict[str, Any]]:
    """Each peer and port entry of a rule that did not match, when the rule's own reason speaks of several at once."""
    if rule.matched:
        return []
    tried = [*(getattr(rule, "peers", None) or ()), *(getattr(rule, "ports", None) or ())]
    missed = [step for step in tried if not step.matched and step.path != rule.path]
    return [{"path": str(s.path), "line": s.line, "matched": False, "reason": str(s.reason)} for s in missed]


def key_text(key: Any) -> str:
    """ObjectKey(kind, namespace, name) as "NetworkPolicy ns/name"; a string stays as it is."""
    if isinstance(key, str):
        return key
    kind, namespace, name = getattr(key, "kind", ""), getattr(key, "namespace", ""), getattr(key, "name", "")
    return f"{kind} {namespace}/{name}".strip() if namespace else f"{kind} {name}".strip()


def _yaml_lines(source: Any, rules: Iterable[Mapping[str, Any]], direction: str) -> list[dict[str, Any]]:
    """The policy's spec as it was written; lines that decided are hits. Empty when the text is not known."""
    text = str(getattr(source, "text", "") or "")
    if not text:
        return []
    spec = source.span("spec")
    if spec is None:
        return []
    decided: set[int] = set()
    listed = list(rules)
    for rule in listed:
        span = source.span(rule["path"])
        if span and (rule["matched"] or not any(other["matched"] for other in listed)):
            decided.update(range(span[0], span[1] + 1))
    if not listed:
        # Nothing to match: what decided is the selection, and the empty or missing list of rules.
        for path in ("spec.podSelector", f"spec.{direction}", "spec.policyTypes"):
            span = source.span(path)
            if span:
                decided.update(range(span[0], span[1] + 1))
    lines = text.splitlines()
    first, last = spec[0], min(spec[1], len(lines))
    if last - first >= _MAX_YAML_LINES:
        part = source.span(f"spec.{direction}") or spec
        first, last = part[0], min(part[1], part[0] + _MAX_YAML_LINES, len(lines))
    while last > first and not lines[last - 1].strip():
        last -= 1
    return [{"n": n, "text": lines[n - 1], "hit": n in decided} for n in range(first, last + 1)]


def _and(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
