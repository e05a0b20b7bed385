"""Asking a registry for the digest of a tag: its HTTP API (github.com/opencontainers/distribution-spec), with token login."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from .errors import ImageError
from .layers import sha256
from .reference import Reference

_SECONDS = 20.0
_KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_HOSTS = {"docker.io": "registry-1.docker.io"}
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MOST = 8 << 20  # bytes of a manifest that we are ready to read

Opener = Callable[[urllib.request.Request], Any]


def digest(reference: str, *, open_url: Opener | None = None) -> str:
    """The digest that the registry gives for a tag: that of the index where the image is for several platforms.

    Anonymously; over HTTP where the registry is this machine, else over HTTPS. Raises ImageError with what the registry said.
    """
    wanted = Reference.parse(reference)
    opener = open_url or (lambda request: urllib.request.urlopen(request, timeout=_SECONDS))
    host = _HOSTS.get(wanted.registry, wanted.registry)
    address = f"{_scheme(host)}://{host}/v2/{wanted.path}/manifests/{wanted.tag}"
    headers = {"Accept": ", ".join(_KINDS), "User-Agent": "labkit"}
    try:
        try:
            body, said = _get(opener, address, headers)
        except urllib.error.HTTPError as problem:
            token = _token(opener, problem, wanted) if problem.code == 401 else ""
            if not token:
                raise
            body, said = _get(opener, address, {**headers, "Authorization": f"Bearer {token}"})
    except urllib.error.HTTPError as problem:
        raise ImageError(f"{reference}: {host} answered {problem.code}{_words(problem)}") from None
    except (OSError, ValueError) as problem:
        why = getattr(problem, "reason", None) or problem
        raise ImageError(f"{reference}: {host} cannot be asked: {why}") from None
    found = sha256(body)
    if said and said != found:
        raise ImageError(f"{reference}: {host} gives the digest {said}, but what it sent has {found}")
    return found


def _get(opener: Opener, address: str, headers: dict[str, str]) -> tuple[bytes, str]:
    with opener(urllib.request.Request(address, headers=headers)) as answer:
        body: bytes = answer.read(_MOST)
        return body, str(answer.headers.get("Docker-Content-Digest") or "")


def _token(opener: Opener, refused: urllib.error.HTTPError, wanted: Reference) -> str:
    """A token for pulling, from where the refusal says that one is given; "" when it does not say."""
    challenge = refused.headers.get("WWW-Authenticate", "")
    facts = dict(_CHALLENGE.findall(challenge))
    if not challenge.lower().startswith("bearer") or "realm" not in facts:
        return ""
    query = {
        "service": facts.get("service", ""),
        "scope": facts.get("scope") or f"repository:{wanted.path}:pull",
    }
    body, _ = _get(opener, f"{facts['realm']}?{urlencode(query)}", {"User-Agent": "labkit"})
    answer = json.loads(body)
    return str(answer.get("token") or answer.get("access_token") or "")


def _scheme(host: str) -> str:
    """Plain HTTP for a registry on this machine, as engines do."""
    name = urlsplit(f"//{host}").hostname or ""
    return "http" if name in ("localhost", "::1") or name.startswith("127.") else "https"


def _words(problem: urllib.error.HTTPError) -> str:
    try:
        errors = json.loads(problem.read(65536))["errors"]
        return ": " + "; ".join(str(each.get("message") or each.get("code")) for each in errors)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return f" ({problem.reason})"
