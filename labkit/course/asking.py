"""What a learner types into `lab.why`, `lab.observe` and the pictures, read kindly. ValueError says what would be understood."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from labkit.policy import World

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_SHOWN = 12


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
