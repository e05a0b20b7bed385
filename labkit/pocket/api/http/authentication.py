"""Who asks: a client certificate of the cluster's CA, or a service account's token as Bearer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import unauthorized
from labkit.pocket.api.request import User
from labkit.pocket.api.tokens import InvalidToken, Tokens

AUTHENTICATED = "system:authenticated"


class Authenticator:
    """Finds the user of a request."""

    def __init__(self, api: Api, tokens: Tokens) -> None:
        self._api = api
        self._tokens = tokens

    def user(self, request: web.Request) -> User:
        """Raises ApiError (401) when there is no credential or a wrong one."""
        user = self._certificate(request) or self._bearer(request)
        if user is None:
            raise unauthorized()
        return self._impersonated(request, user)

    def _certificate(self, request: web.Request) -> User | None:
        certificate = request.get_extra_info("peercert")
        if not certificate:
            return None
        # The handshake has checked it against the CA.
        subject = _subject(certificate)
        name = subject.get("commonName", [""])[0]
        if not name:
            return None
        return User(name, (*subject.get("organizationName", []), AUTHENTICATED))

    def _bearer(self, request: web.Request) -> User | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        try:
            return self._tokens.authenticate(token.strip(), self._api.find)
        except InvalidToken:
            return None

    @staticmethod
    def _impersonated(request: web.Request, user: User) -> User:
        """kubectl --as: here everybody may be everybody."""
        name = request.headers.get("Impersonate-User")
        if not name:
            return user
        groups = request.headers.getall("Impersonate-Group", [])
        return User(name, (*groups, AUTHENTICATED), request.headers.get("Impersonate-Uid", ""))


def _subject(certificate: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for relative in certificate.get("subject", ()):
        for field, value in relative:
            found.setdefault(field, []).append(value)
    return found
