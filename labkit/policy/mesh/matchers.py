"""The closed set of value tests that a policy is made of, each as Envoy has it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from labkit.policy.model import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")
# pchar of RFC 3986, as Envoy's uri_template matcher has it.
_SEGMENT = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]"


class Form(StrEnum):
    """How a text is compared; REGEX is a full match, PRESENT asks only whether a header is there."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    REGEX = "regex"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class StringMatch:
    """A test of a text. A text that is not there (None) passes none."""

    form: Form
    text: str = ""
    ignore_case: bool = False

    def matches(self, value: str | None) -> bool:
        """Whether the value passes."""
        if value is None:
            return False
        if self.form is Form.PRESENT:
            return True
        if self.form is Form.REGEX:
            return _compiled(self.text).fullmatch(value) is not None
        text = self.text
        if self.ignore_case:
            text, value = text.lower(), value.lower()
        if self.form is Form.EXACT:
            return value == text
        return value.startswith(text) if self.form is Form.PREFIX else value.endswith(text)


@dataclass(frozen=True, slots=True)
class NetworkMatch:
    """Addresses of a block; one address is a block of one."""

    network: Network

    def matches(self, value: Address | None) -> bool:
        """Whether the address is in the block."""
        return value is not None and value in self.network


@dataclass(frozen=True, slots=True)
class PortNumber:
    """One port: of the workload, never of a Service."""

    port: int

    def matches(self, value: int | None) -> bool:
        """Whether it is this port."""
        return value == self.port


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path with `{*}` (one segment) or `{**}` (any rest); `template` is Envoy's spelling of it."""

    template: str

    def matches(self, value: str | None) -> bool:
        """Whether the path fits."""
        return value is not None and _template(self.template).fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class IssuerAndSubject:
    """A requestPrincipal: a test of `iss` and one of `sub`."""

    issuer: StringMatch
    subject: StringMatch

    def matches(self, value: tuple[str | None, str | None] | None) -> bool:
        """Whether the token's issuer and subject pass."""
        return value is not None and self.issuer.matches(value[0]) and self.subject.matches(value[1])


@dataclass(frozen=True, slots=True)
class ClaimMatch:
    """A claim: a string that passes, or a list with a member that does. Numbers and booleans never pass."""

    text: StringMatch

    def matches(self, value: str | tuple[str, ...] | None) -> bool:
        """Whether the claim, or one member of it, passes."""
        if isinstance(value, tuple):
            return any(self.text.matches(item) for item in value)
        return self.text.matches(value)


ValueMatch = StringMatch | NetworkMatch | PortNumber | PathTemplate | IssuerAndSubject | ClaimMatch

ANYTHING = StringMatch(Form.REGEX, ".+")


def string_match(value: str, prefix: str = "", *, ignore_case: bool = False) -> StringMatch:
    """Istio's reading of a value (matcher.StringMatcherWithPrefix): `*`, `*suffix`, `prefix*`, else exact."""
    if value == "*":
        return ANYTHING
    if value.startswith("*"):
        if not prefix:
            return StringMatch(Form.SUFFIX, value[1:], ignore_case)
        return StringMatch(Form.REGEX, f"{prefix}.*{quote(value[1:])}")
    if value.endswith("*"):
        return StringMatch(Form.PREFIX, prefix + value[:-1], ignore_case)
    return StringMatch(Form.EXACT, prefix + value, ignore_case)


def header_match(value: str, *, ignore_case: bool = False) -> StringMatch:
    """The same for headers, where `*` asks only that the header is there (matcher.HeaderMatcher)."""
    return StringMatch(Form.PRESENT) if value == "*" else string_match(value, ignore_case=ignore_case)


def quote(text: str) -> str:
    """regexp.QuoteMeta."""
    return _SPECIAL.sub(r"\\\1", text)


def is_template(path: str) -> bool:
    """Whether a path has one of Istio's operators (security.ContainsPathTemplate)."""
    return "{*}" in path or "{**}" in path


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@lru_cache(maxsize=4096)
def _template(template: str) -> re.Pattern[str]:
    """Envoy's uri_template_lib: `*` is one segment that is not empty, `**` any rest, an empty one included."""
    parts = []
    for part in re.split(r"(\*\*|\*)", template):
        if part == "**":
            parts.append(rf"(?:{_SEGMENT}|/)*")
        elif part == "*":
            parts.append(rf"{_SEGMENT}+")
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts))
