"""The formats of strings that a real server checks (k8s.io/kube-openapi's strfmt); others say nothing."""

from __future__ import annotations

import base64
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date
from urllib.parse import urlsplit

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")
_DURATION = re.compile(r"-?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*|0")
_WORDED_DURATION = re.compile(
    r"((\d+)\s*(h|hr|hour|m|min|minute|s|sec|second|ms|milli|us|micro|ns|nano|d|day|w|wk|week)s?\s*)+"
)
_HOSTNAME = re.compile(
    r"(?=.{1,255}$)([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?"
)
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONG = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:  # binascii's error is one
            return False
        return True

    return check


def _uri(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme) or text.startswith("/")


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


CHECKS: dict[str, Callable[[str], bool]] = {
    "date-time": _matches(_DATE_TIME),
    "date": _parses(date.fromisoformat),
    "duration": lambda text: bool(_DURATION.fullmatch(text) or _WORDED_DURATION.fullmatch(text)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _parses(lambda t: ipaddress.ip_network(t, strict=False))(text),
    "mac": _matches(_MAC),
    "hostname": _matches(_HOSTNAME),
    "email": _matches(_EMAIL),
    "uri": _parses(_uri),
    "uuid": _parses(uuid.UUID),
    "uuid3": _parses(uuid.UUID),
    "uuid4": _parses(uuid.UUID),
    "uuid5": _parses(uuid.UUID),
    "byte": _parses(_base64),
    "k8s-short-name": _matches(_LABEL),
    "k8s-long-name": _matches(_LONG),
}


def fits(format_name: str, text: str) -> bool:
    """Whether a string has the format; what is not known fits."""
    check = CHECKS.get(format_name)
    return check is None or check(text)
