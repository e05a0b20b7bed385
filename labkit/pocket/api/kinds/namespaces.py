"""Namespace: the name label, phases, the finalizer that waits until it is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import FieldError
from labkit.pocket.api.kinds.printing import age
from labkit.pocket.api.kinds.rules import Rules

Obj = dict[str, Any]

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
_UNDYING = ("default", "kube-system", "kube-public")


def _default(namespace: Obj) -> None:
    metadata = namespace["metadata"]
    if metadata.get("name"):
        metadata.setdefault("labels", {})[NAME_LABEL] = metadata["name"]


def _prepare(namespace: Obj, old: Obj | None) -> None:
    if old is None:
        namespace["status"] = {"phase": "Active"}
        finalizers = namespace.setdefault("spec", {}).setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
    else:
        # They are only changed through the finalize subresource.
        namespace["spec"] = dict(old.get("spec") or {})


def _check_name(name: str) -> list[str]:
    return ["must not contain dots"] if "." in name else names.is_dns_label(name)


def _validate(namespace: Obj) -> list[FieldError]:
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    return names.finalizer_names(finalizers, "spec.finalizers")


def _refuse_delete(namespace: Obj) -> str:
    return "this namespace may not be deleted" if namespace["metadata"]["name"] in _UNDYING else ""


def _mark_deleted(namespace: Obj) -> None:
    namespace.setdefault("status", {})["phase"] = "Terminating"
    namespace["metadata"].pop("deletionGracePeriodSeconds", None)


def _holds_back(namespace: Obj) -> bool:
    return bool((namespace.get("spec") or {}).get("finalizers"))


def _fields(namespace: Obj) -> Mapping[str, str]:
    return {
        "name": namespace["metadata"].get("name", ""),
        "status.phase": (namespace.get("status") or {}).get("phase", ""),
    }


def _row(namespace: Obj) -> list[Any]:
    return [namespace["metadata"]["name"], (namespace.get("status") or {}).get("phase", ""), age(namespace)]


RULES = Rules(
    default=_default,
    prepare=_prepare,
    check_name=_check_name,
    validate=_validate,
    refuse_delete=_refuse_delete,
    mark_deleted=_mark_deleted,
    holds_back=_holds_back,
    fields=_fields,
    row=_row,
)
