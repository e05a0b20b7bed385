"""Quantities (`250m`, `64Mi`) as numbers, so that they can be compared."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

PATTERN = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_PARTS = re.compile(PATTERN)
_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def parse(text: str) -> Decimal | None:
    """The value of a quantity, or None when it is not one."""
    match = _PARTS.match(text)
    if match is None:
        return None
    number, suffix = match.groups()
    try:
        if suffix in _SUFFIXES:
            return Decimal(number) * _SUFFIXES[suffix]
        if suffix[:1] in ("e", "E"):
            return Decimal(number + suffix)
    except InvalidOperation:
        pass
    return None


def canonical(text: str) -> str | None:
    """The form that a server stores: no fraction, the largest suffix of the same family; None when it is none."""
    value = parse(text)
    if value is None:
        return None
    match = _PARTS.match(text)
    suffix = match[2] if match else ""
    if value == 0:
        return "0"
    if suffix in _BINARY and abs(value) >= 1 and value == value.to_integral_value():
        families: tuple[str, ...] = _BINARY
    elif suffix[:1] in ("e", "E") and suffix not in _SUFFIXES:
        return text
    else:
        families = _DECIMAL
    for name in families:
        amount = value / _SUFFIXES[name]
        if amount == amount.to_integral_value():
            return f"{int(amount)}{name}"
    return text


_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_DECIMAL = ("E", "P", "T", "G", "M", "k", "", "m", "u", "n")
