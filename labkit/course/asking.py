"""What a learner types into `lab.why`, `lab.observe`, `lab.predict` and the pictures, read kindly.

ValueError says what would be understood.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from labkit.course.demands import Scope
from labkit.course.steps import FlowPattern
from labkit.policy import Flow, World

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_SHOWN = 12
_WORDS = {
    "allow": True,
    "yes": True,
    "✓": True,
    "true": True,
    "deny": False,
    "no": False,
    "✗": False,
    "false": False,
}


def port_number(port: int | str) -> int:
    """8080 and "8080" are a port."""
    text = str(port).strip()
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ValueError(f"A port is a number from 1 to 65535, such as 8080, not {port!r}.")


def protocol_name(protocol: str) -> str:
    """ "udp" is UDP."""
    if str(protocol).upper() in _PROTOCOLS:
        return str(protocol).upper()
    raise ValueError(f"A protocol is one of {', '.join(_PROTOCOLS)}, not {protocol!r}.")


def ends(world: World, source: str, destination: str) -> tuple[str, str]:
    """The two ends of a flow, checked for their form; a bare name is completed where only one pod has it."""
    return _end(world, source), _end(world, destination)


def flows_between(scope: Scope, source: str, destination: str, port: int, protocol: str) -> list[Flow]:
    """The flows that two ends stand for, at least one."""
    source, destination = ends(scope.world, source, destination)
    pattern = FlowPattern((source,), (destination,), ((port, protocol_name(protocol)),))
    flows = list(scope.flows(pattern))
    if not flows:
        missing = [f"there is no {text}" for text in scope.missing(pattern)]
        reason = ", ".join(missing) or "that is one and the same pod"
        raise ValueError(f"No connection from {source} to {destination} can be tried: {reason}.")
    return flows


def predicted(scope: Scope, asked: list[Flow], said: Mapping[str, str | bool]) -> dict[Flow, bool]:
    """A prediction in words, {"a/x -> b/y": "allow"}, as flows among those asked for."""
    if not isinstance(said, Mapping):
        raise ValueError(
            'Write a prediction as {"namespace/pod -> namespace/pod": "allow", ...}, or click into the table.'
        )
    found: dict[Flow, bool] = {}
    for text, word in said.items():
        allow = _WORDS.get(str(word).strip().lower())
        flows = _asked_for(scope, asked, text)
        if allow is None:
            raise ValueError(f'A prediction is "allow" or "deny", not {word!r}.')
        found.update(dict.fromkeys(flows, allow))
    return found


def _asked_for(scope: Scope, asked: list[Flow], text: str) -> list[Flow]:
    source, arrow, destination = text.replace("→", "->").partition("->")
    if not arrow:
        raise ValueError(f'Write a prediction as "namespace/pod -> namespace/pod", not as {text!r}.')
    ports = {flow.port: None for flow in asked}
    pattern = FlowPattern((source.strip(),), (destination.strip(),), tuple((port, "TCP") for port in ports))
    found = set(scope.flows(pattern))
    if not found:
        raise ValueError(
            f"{text!r}: there are no such pods. The pods are: {words_of(pod.key for pod in scope.pods)}"
        )
    if not found & set(asked):
        known = ", ".join(dict.fromkeys(f"{flow.source} -> {flow.destination}" for flow in asked))
        raise ValueError(f"{text!r} is none of the connections asked for: {known}.")
    return [flow for flow in asked if flow in found]


def words_of(names: Iterable[str]) -> str:
    """A list that stays readable."""
    found = sorted(names)
    return ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")


def _end(world: World, text: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f'Write a pod as "namespace/pod", between quotation marks, not {text!r}.')
    if "/" in text or text == "*" or _is_address(text):
        return text
    alike = [pod.key for pod in world.pods.values() if pod.name == text]
    if len(alike) == 1:
        return alike[0]
    known = f" Is it one of {words_of(alike)}?" if alike else f" The pods are: {words_of(world.pods)}."
    raise ValueError(f'Write a pod with its namespace, as "namespace/pod", not {text!r}.{known}')


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
