"""What becomes of a path before policies see it: Envoy's normalisation, and what it refuses."""

from __future__ import annotations

import re
from functools import lru_cache

from .meshconfig import Normalization

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


@lru_cache(maxsize=4096)
def normalize(path: str, how: Normalization) -> str | None:
    """The path that is compared and passed on, with its query; None when the proxy answers 400.

    A fragment is cut off (Istio turns Envoy's refusal of it off).
    """
    path = path.partition("#")[0]
    only, question, query = path.partition("?")
    if how is not Normalization.NONE:
        if how is Normalization.DECODE_AND_MERGE_SLASHES:
            only = re.sub(r"%2f", "/", only, flags=re.IGNORECASE)
            only = re.sub(r"%5c", r"\\", only, flags=re.IGNORECASE)
        if "%00" in only:
            return None
        only = _canonical(only)
        if how is not Normalization.BASE:
            only = re.sub("/{2,}", "/", only)
    return only + question + query


def without_query(path: str) -> str:
    """PathUtil::removeQueryAndFragment: what `paths` are compared with."""
    return path.partition("?")[0].partition("#")[0]


def _canonical(path: str) -> str:
    """RFC 3986, as Envoy's canonicalPath: backslashes, needless escapes and dot segments go."""
    path = _ESCAPE.sub(_unescape, path.replace("\\", "/"))
    result: list[str] = []
    segments = path.split("/")[1:] if path.startswith("/") else path.split("/")
    for i, segment in enumerate(segments):
        last = i == len(segments) - 1
        # Since the fix of CVE-2026-73551 parameters after a semicolon do not hide a dot segment.
        plain = segment.partition(";")[0]
        if plain == "..":
            if result:
                result.pop()
            if last:
                result.append("")
        elif plain == ".":
            if last:
                result.append("")
        else:
            result.append(segment)
    return "/" + "/".join(result)


def _unescape(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if code in _UNRESERVED else match[0]
