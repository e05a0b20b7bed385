"""Comparing version numbers as components write them: v1.31.4, 1.31-alpha.1, edge-25.10.7."""

from __future__ import annotations

import re
from dataclasses import dataclass

Numbers = tuple[int, ...]


def numbers(version: str) -> Numbers:
    """The numbers of a version, without what follows a hyphen; () for text that has none."""
    text = version.removeprefix("edge-").removeprefix("stable-").lstrip("vV")
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


@dataclass(frozen=True, slots=True)
class Range:
    """Versions from `low` to `high`, both included; an end that is "" is open. "3.31" as the high end includes 3.31.7."""

    low: str = ""
    high: str = ""

    def __contains__(self, version: object) -> bool:
        found = numbers(str(version))
        if not found:
            return False
        low, high = numbers(self.low), numbers(self.high)
        return (not low or found >= low) and (not high or found[: len(high)] <= high)

    def below(self, version: str) -> bool:
        """Whether the version is older than all of these."""
        return bool(self.low) and bool(numbers(version)) and numbers(version) < numbers(self.low)

    def __str__(self) -> str:
        if self.low and self.high:
            return f"{self.low} to {self.high}" if self.low != self.high else self.low
        return f"{self.low} or later" if self.low else f"up to {self.high}" if self.high else "any"
