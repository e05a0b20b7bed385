"""Questions that are answered and not stored: who am I, may I, whose token is this, a token please.

Everybody who is let in may do everything in this cluster: it is one learner's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import bad_request, invalid, not_found
from labkit.pocket.api.fields import invalid as invalid_field
from labkit.pocket.api.objects import now
from labkit.pocket.api.request import User
from labkit.pocket.api.tokens import DEFAULT_SECONDS, ISSUER, MINIMUM_SECONDS, InvalidToken, Tokens

Obj = dict[str, Any]


def user_info(user: User) -> Obj:
    """authentication.k8s.io/v1 UserInfo."""
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = user.extra
    return info


def _self_subject_review(_api: Api, _tokens: Tokens, user: User, review: Obj) -> Obj:
    return {**review, "metadata": {"creationTimestamp": now()}, "status": {"userInfo": user_info(user)}}


def _access_review(_api: Api, _tokens: Tokens, _user: User, review: Obj) -> Obj:
    return {**review, "status": {"allowed": True}}


def _rules_review(_api: Api, _tokens: Tokens, _user: User, review: Obj) -> Obj:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    return {
        **review,
        "status": {
            "resourceRules": [everything],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        },
    }


def _token_review(api: Api, tokens: Tokens, _user: User, review: Obj) -> Obj:
    spec = review.get("spec") or {}
    audiences = spec.get("audiences") or [ISSUER]
    try:
        found = tokens.authenticate(spec.get("token", ""), api.find, audiences[0])
    except InvalidToken:
        status: Obj = {"user": {}, "error": "[invalid bearer token]"}
    else:
        status = {"authenticated": True, "user": user_info(found), "audiences": audiences}
    return {**review, "status": status}


REVIEWS: dict[str, Callable[[Api, Tokens, User, Obj], Obj]] = {
    "selfsubjectreviews": _self_subject_review,
    "selfsubjectaccessreviews": _access_review,
    "localsubjectaccessreviews": _access_review,
    "subjectaccessreviews": _access_review,
    "selfsubjectrulesreviews": _rules_review,
    "tokenreviews": _token_review,
}


def token_request(api: Api, tokens: Tokens, namespace: str, name: str, request: Obj) -> Obj:
    """Answer a TokenRequest (serviceaccounts/NAME/token). Raises ApiError."""
    account = api.get("serviceaccounts", name, namespace)
    spec = request.get("spec") or {}
    seconds = spec.get("expirationSeconds", DEFAULT_SECONDS)
    if seconds < MINIMUM_SECONDS:
        problem = invalid_field(
            "spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
        )
        raise invalid("authentication.k8s.io", "TokenRequest", "", [problem])
    reference = spec.get("boundObjectRef")
    pod = None
    if reference:
        if reference.get("kind") != "Pod":
            raise bad_request(f"cannot bind token for serviceaccount to kind {reference.get('kind')}")
        pod = api.get("pods", reference.get("name", ""), namespace)
        if reference.get("uid") and reference["uid"] != pod["metadata"]["uid"]:
            raise not_found("", "pods", reference["name"])
    token, expires = tokens.issue(account, audiences=spec.get("audiences") or (), seconds=seconds, pod=pod)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": now()},
        "spec": {
            "audiences": spec.get("audiences") or [ISSUER],
            "expirationSeconds": seconds,
            "boundObjectRef": reference,
        },
        "status": {"token": token, "expirationTimestamp": moment},
    }
