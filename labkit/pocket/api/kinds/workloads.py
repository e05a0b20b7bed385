"""Deployment and ReplicaSet: defaults, validation, immutable selectors, rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import FieldError, forbidden, immutable, invalid, not_supported, required
from labkit.pocket.api.kinds import poddefaults, podrules
from labkit.pocket.api.kinds.containerrules import NOT_NEGATIVE
from labkit.pocket.api.kinds.printing import age, container_cells, selector_text
from labkit.pocket.api.kinds.rules import Rules
from labkit.pocket.api.kinds.selectorrules import label_selector
from labkit.policy.labels import Selector, SelectorError

Obj = dict[str, Any]

_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_WORDS = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used "
    "for validation is '[0-9]+%')"
)


def _default_template(spec: Obj) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    poddefaults.pod_spec(template.setdefault("spec", {}))


def default_deployment(deployment: Obj) -> None:
    """Defaults of apps/v1 Deployment."""
    spec = deployment.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    _default_template(spec)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def default_replica_set(replica_set: Obj) -> None:
    """Defaults of apps/v1 ReplicaSet."""
    spec = replica_set.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    _default_template(spec)


def _prepare_deployment(deployment: Obj, old: Obj | None) -> None:
    if old is None:
        deployment["status"] = {}


def _prepare_replica_set(replica_set: Obj, old: Obj | None) -> None:
    if old is None:
        replica_set["status"] = {"replicas": 0}


def _not_negative(spec: Obj, name: str) -> list[FieldError]:
    value = spec.get(name)
    return [invalid(f"spec.{name}", value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def _selector(spec: Obj) -> tuple[Selector | None, list[FieldError]]:
    selector = spec.get("selector")
    errors: list[FieldError] = []
    parsed: Selector | None = None
    if selector is None:
        errors.append(required("spec.selector"))
    else:
        errors += label_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            errors.append(invalid("spec.selector", {}, "empty selector is invalid for deployment"))
        try:
            parsed = Selector.from_object(selector)
        except SelectorError:
            errors.append(invalid("spec.selector", selector, "invalid label selector"))
        return parsed, errors
    return Selector(), errors


def _template(spec: Obj, selector: Selector | None) -> list[FieldError]:
    template = spec.get("template") or {}
    metadata = template.get("metadata") or {}
    labels = metadata.get("labels") or {}
    errors: list[FieldError] = []
    missing_selector = spec.get("selector") is None
    if selector is not None and (
        missing_selector or (not selector.is_empty and not selector.matches(labels))
    ):
        errors.append(
            invalid(
                "spec.template.metadata.labels", labels or None, "`selector` does not match template `labels`"
            )
        )
    errors += names.label_map(labels, "spec.template.metadata.labels")
    errors += names.annotation_map(metadata.get("annotations"), "spec.template.annotations")  # so upstream
    errors += podrules.pod_spec(
        template.get("spec") or {}, "spec.template.spec", restart_policies=("Always",)
    )
    return errors


def validate_deployment(deployment: Obj) -> list[FieldError]:
    """Rules for a Deployment (ValidateDeploymentSpec)."""
    spec = deployment["spec"]
    errors = _not_negative(spec, "replicas")
    selector, problems = _selector(spec)
    errors += problems
    errors += _template(spec, selector)
    errors += _strategy(spec.get("strategy") or {}, "spec.strategy")
    errors += _not_negative(spec, "minReadySeconds")
    errors += _not_negative(spec, "revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        errors += _not_negative(spec, "progressDeadlineSeconds")
        if deadline <= spec.get("minReadySeconds", 0):
            errors.append(
                invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
            )
    return errors


def _strategy(strategy: Obj, field: str) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            return [
                forbidden(f"{field}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
            ]
        return []
    if kind != "RollingUpdate":
        # Upstream shows its own struct here.
        parts = {
            name: (rolling or {}).get(name[0].lower() + name[1:], 0)
            for name in ("MaxUnavailable", "MaxSurge")
        }
        shown = {"Type": kind, "RollingUpdate": None if rolling is None else parts}
        return [not_supported(field, shown, ("Recreate", "RollingUpdate"))]
    rolling = rolling or {}
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    at = f"{field}.rollingUpdate"
    errors = _amount(unavailable, f"{at}.maxUnavailable") + _amount(surge, f"{at}.maxSurge")
    if _number(unavailable) == 0 and _number(surge) == 0:
        errors.append(invalid(f"{at}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    if isinstance(unavailable, str) and _PERCENT.fullmatch(unavailable) and int(unavailable[:-1]) > 100:
        errors.append(invalid(f"{at}.maxUnavailable", unavailable, "must not be greater than 100%"))
    return errors


def _amount(value: Any, field: str) -> list[FieldError]:
    if isinstance(value, str):
        return [] if _PERCENT.fullmatch(value) else [invalid(field, value, _PERCENT_WORDS)]
    return [invalid(field, value, NOT_NEGATIVE)] if value < 0 else []


def _number(value: Any) -> int | None:
    if isinstance(value, int):
        return value
    return int(value[:-1]) if _PERCENT.fullmatch(value) else None


def validate_replica_set(replica_set: Obj) -> list[FieldError]:
    """Rules for a ReplicaSet (ValidateReplicaSetSpec)."""
    spec = replica_set["spec"]
    errors = _not_negative(spec, "replicas") + _not_negative(spec, "minReadySeconds")
    selector, problems = _selector(spec)
    return errors + problems + _template(spec, selector)


def same_selector(new: Obj, old: Obj) -> list[FieldError]:
    """The selector never changes."""
    return immutable(new["spec"].get("selector"), old["spec"].get("selector"), "spec.selector")


def _deployment_row(deployment: Obj) -> list[Any]:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    return [
        deployment["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(deployment),
        *container_cells((spec.get("template") or {}).get("spec") or {}),
        selector_text(spec.get("selector")),
    ]


def _replica_set_row(replica_set: Obj) -> list[Any]:
    spec, status = replica_set.get("spec") or {}, replica_set.get("status") or {}
    return [
        replica_set["metadata"]["name"],
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(replica_set),
        *container_cells((spec.get("template") or {}).get("spec") or {}),
        selector_text(spec.get("selector")),
    ]


def _replica_set_fields(replica_set: Obj) -> Mapping[str, str]:
    return {"status.replicas": str((replica_set.get("status") or {}).get("replicas", 0))}


DEPLOYMENT = Rules(
    default=default_deployment,
    prepare=_prepare_deployment,
    validate=validate_deployment,
    validate_update=same_selector,
    generation=True,
    row=_deployment_row,
)
REPLICA_SET = Rules(
    default=default_replica_set,
    prepare=_prepare_replica_set,
    validate=validate_replica_set,
    validate_update=same_selector,
    fields=_replica_set_fields,
    generation=True,
    row=_replica_set_row,
)
