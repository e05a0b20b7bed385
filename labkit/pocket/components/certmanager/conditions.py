"""Conditions, events and little things that all of cert-manager's controllers have in common."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from labkit.pocket.api import Api
from labkit.pocket.api.objects import now

Obj = dict[str, Any]

GROUP = "cert-manager.io"
CERTIFICATES, REQUESTS = f"certificates.{GROUP}", f"certificaterequests.{GROUP}"
ISSUERS, CLUSTER_ISSUERS = f"issuers.{GROUP}", f"clusterissuers.{GROUP}"
NAMESPACE = "cert-manager"
"""Where the Secrets of ClusterIssuers are (cert-manager's --cluster-resource-namespace)."""


def condition(obj: Obj, kind: str) -> Obj | None:
    """A condition of an object, if it has it."""
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one["type"] == kind:
            found: Obj = one
            return found
    return None


def is_true(obj: Obj, kind: str) -> bool:
    """Whether a condition is True."""
    found = condition(obj, kind)
    return found is not None and found["status"] == "True"


def put_condition(
    obj: Obj, kind: str, status: str, reason: str, message: str, *, observed: bool = True
) -> None:
    """Set a condition in place; its transition time stays while its status does."""
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    old = condition(obj, kind)
    new: Obj = {
        "lastTransitionTime": old["lastTransitionTime"] if old and old["status"] == status else now(),
        "message": message,
        "reason": reason,
        "status": status,
        "type": kind,
    }
    if observed:
        new["observedGeneration"] = obj["metadata"].get("generation", 1)
    if not message:
        del new["message"]
    if old is not None:
        conditions[conditions.index(old)] = new
    else:
        conditions.append(new)


def drop_condition(obj: Obj, kind: str) -> None:
    """Take a condition away in place."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    conditions[:] = [one for one in conditions if one["type"] != kind]


def moment(time: datetime) -> str:
    """A time as objects have it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(text: str) -> datetime:
    """A time from an object."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def data_of(secret: Obj, key: str) -> bytes:
    """The bytes of a Secret's key; empty when it has none."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, ""))
    except ValueError:
        return b""


def issuer_of(api: Api, reference: Obj, namespace: str) -> Obj | None:
    """The issuer that an issuerRef means."""
    if (reference.get("kind") or "Issuer") == "ClusterIssuer":
        return api.find(CLUSTER_ISSUERS, reference.get("name", ""))
    return api.find(ISSUERS, reference.get("name", ""), namespace)


def is_ours(reference: Obj) -> bool:
    """Whether an issuerRef means one of cert-manager's own issuers."""
    return (reference.get("group") or GROUP) == GROUP


def secrets_namespace(issuer: Obj) -> str:
    """Where an issuer's Secrets are."""
    return str(issuer["metadata"].get("namespace") or NAMESPACE)
