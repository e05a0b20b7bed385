"""CustomResourceDefinition: defaults, what is refused, and how its deletion begins.

Upstream: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/{v1/defaults.go,validation} and
pkg/registry/customresourcedefinition. Whether a schema is structural is in `schemarules`.
"""

from __future__ import annotations

from typing import Any

from labkit.pocket.api import names
from labkit.pocket.api.fields import FieldError, immutable, invalid, not_supported, required
from labkit.pocket.api.kinds.rules import Rules
from labkit.pocket.api.objects import now

Obj = dict[str, Any]

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_APPROVAL = "api-approved.kubernetes.io"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")


def condition(crd: Obj, kind: str) -> str:
    """The status of a condition: True, False, or nothing when it is not there."""
    for one in (crd.get("status") or {}).get("conditions") or ():
        if one.get("type") == kind:
            return str(one.get("status"))
    return ""


def with_condition(crd: Obj, kind: str, status: str, reason: str, message: str) -> None:
    """Set a condition in place; its transition time stays while its status does."""
    conditions = crd.setdefault("status", {}).get("conditions") or []
    crd["status"]["conditions"] = conditions
    new = {
        "type": kind,
        "status": status,
        "lastTransitionTime": now(),
        "reason": reason,
        "message": message,
    }
    for index, old in enumerate(conditions):
        if old["type"] == kind:
            if old["status"] == status:
                new["lastTransitionTime"] = old["lastTransitionTime"]
            conditions[index] = new
            return
    conditions.append(new)


def _default(crd: Obj) -> None:
    spec = crd.setdefault("spec", {})
    if not (spec.get("conversion") or {}).get("strategy"):
        spec["conversion"] = {**(spec.get("conversion") or {}), "strategy": "None"}
    given = spec.get("names")
    wanted = given if isinstance(given, dict) else {}
    spec["names"] = wanted
    if wanted.get("kind"):
        if not wanted.get("singular"):
            wanted["singular"] = str(wanted["kind"]).lower()
        if not wanted.get("listKind"):
            wanted["listKind"] = f"{wanted['kind']}List"


def _prepare(crd: Obj, old: Obj | None) -> None:
    if old is None:
        crd["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}}
        stored: list[str] = []
    else:
        stored = list((crd.get("status") or {}).get("storedVersions") or [])
    for version in crd["spec"].get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version["name"])
            break
    if stored:
        crd.setdefault("status", {})["storedVersions"] = stored


def _go_version(version: Obj) -> Obj:
    """A version as the real server's messages show its internal structure (all schemas alike, and hoisted)."""
    return {
        "Name": version.get("name", ""),
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": None,
        "Subresources": None,
        "AdditionalPrinterColumns": None,
        "SelectableFields": None,
    }


def _validate(crd: Obj) -> list[FieldError]:
    spec, status = crd.get("spec") or {}, crd.get("status") or {}
    wanted = spec.get("names") or {}
    versions: list[Obj] = spec.get("versions") or []
    errors: list[FieldError] = []
    expected = f"{wanted.get('plural', '')}.{spec.get('group', '')}"
    name = crd["metadata"].get("name", "")
    if name != expected and not crd["metadata"].get("resourceVersion"):  # said of new ones only
        errors.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    errors += _group_errors(crd, spec.get("group", ""))
    scope = spec.get("scope", "")
    if not scope:
        errors.append(required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        errors.append(not_supported("spec.scope", scope, ["Cluster", "Namespaced"]))
    if spec.get("preserveUnknownFields"):
        words = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(invalid("spec.preserveUnknownFields", True, words))
    errors += _version_errors(spec, versions)
    errors += _name_errors(wanted)
    errors += _conversion_errors(spec.get("conversion") or {})
    stored = status.get("storedVersions")
    storage = [version["name"] for version in versions if version.get("storage")]
    if not stored:
        errors.append(invalid("status.storedVersions", stored, "must have at least one stored version"))
    elif len(storage) != 1 or storage[0] not in stored:
        words = f"must have the storage version {storage[-1] if storage else ''}"
        errors.append(invalid("status.storedVersions", stored, words))
    return errors


def _group_errors(crd: Obj, group: str) -> list[FieldError]:
    if not group:
        return [required("spec.group")]
    errors = [invalid("spec.group", group, problem) for problem in names.is_dns_subdomain(group)]
    if not errors and "." not in group:
        errors.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    annotations = crd["metadata"].get("annotations") or {}
    if group.endswith((".k8s.io", ".kubernetes.io")) and not annotations.get(_APPROVAL):
        errors.append(
            required(
                f"metadata.annotations[{_APPROVAL}]",
                f'protected groups must have approval annotation "{_APPROVAL}", '
                "see https://github.com/kubernetes/enhancements/pull/1111",
            )
        )
    return errors


def _version_errors(spec: Obj, versions: list[Obj]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, version in enumerate(versions):
        name = version.get("name", "")
        problems = names.is_dns1035_label(name)
        errors += [invalid(f"spec.versions[{index}].name", name, problem) for problem in problems]
        if index == 0:
            errors += [invalid("spec.version", name, problem) for problem in problems]
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors.append(required(f"spec.versions[{index}].schema.openAPIV3Schema"))
    shown = [_go_version(version) for version in versions] if versions else spec.get("versions")
    called = [version.get("name") for version in versions]
    if len(set(called)) < len(called):
        errors.append(invalid("spec.versions", shown, "must contain unique version names"))
    if sum(1 for version in versions if version.get("storage")) != 1:
        words = "must have exactly one version marked as storage version"
        errors.append(invalid("spec.versions", shown, words))
    from labkit.pocket.api.custom.schemarules import schema_errors  # with CEL; most clusters define nothing

    # What all versions have alike is shown as belonging to all of them.
    schemas = [version.get("schema") for version in versions]
    alike = all(schema == schemas[0] for schema in schemas)
    for index, version in enumerate(versions[:1] if alike else versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if isinstance(schema, dict):
            field = "spec.validation" if alike else f"spec.versions[{index}].schema"
            errors += schema_errors(schema, f"{field}.openAPIV3Schema")
    columns = [version.get("additionalPrinterColumns") for version in versions]
    alike = all(column == columns[0] for column in columns)
    for index, version in enumerate(versions[:1] if alike else versions):
        field = "spec" if alike else f"spec.versions[{index}]"
        for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
            errors += _column_errors(column, f"{field}.additionalPrinterColumns[{number}]")
    return errors


def _column_errors(column: Obj, field: str) -> list[FieldError]:
    errors = []
    if not column.get("name"):
        errors.append(required(f"{field}.name"))
    kind, path = column.get("type", ""), column.get("jsonPath", "")
    if not kind:
        errors.append(required(f"{field}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
    elif kind not in _COLUMN_TYPES:
        errors.append(invalid(f"{field}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}"))
    if not path:
        errors.append(required(f"{field}.JSONPath"))
    elif not path.startswith("."):
        errors.append(invalid(f"{field}.JSONPath", path, "must be a simple json path starting with ."))
    return errors


def _name_errors(wanted: Obj) -> list[FieldError]:
    errors = [
        required(f"spec.names.{field}")
        for field in ("plural", "singular", "kind", "listKind")
        if not wanted.get(field)
    ]
    for field in ("plural", "singular"):
        text = wanted.get(field, "")
        if text:
            errors += [invalid(f"spec.names.{field}", text, words) for words in names.is_dns1035_label(text)]
    for field in ("kind", "listKind"):
        text = wanted.get(field, "")
        problems = names.is_dns1035_label(text.lower()) if text else []
        may = "may have mixed case, but should otherwise match: "
        errors += [invalid(f"spec.names.{field}", text, may + words) for words in problems]
    for field in ("shortNames", "categories"):
        for index, text in enumerate(wanted.get(field) or ()):
            problems = names.is_dns1035_label(text)
            errors += [invalid(f"spec.names.{field}[{index}]", text, words) for words in problems]
    if wanted.get("kind") and wanted.get("kind") == wanted.get("listKind"):
        words = "kind and listKind may not be the same"
        errors.append(invalid("spec.names.listKind", wanted["listKind"], words))
    return errors


def _conversion_errors(conversion: Obj) -> list[FieldError]:
    strategy = conversion.get("strategy", "")
    webhook = conversion.get("webhook") or {}
    if strategy not in ("None", "Webhook"):
        return [not_supported("spec.conversion.strategy", strategy, ["None", "Webhook"])]
    errors = []
    if strategy == "Webhook":
        if not webhook.get("clientConfig"):
            words = "required when strategy is set to Webhook"
            errors.append(required("spec.conversion.webhookClientConfig", words))
        if not webhook.get("conversionReviewVersions"):
            errors.append(required("spec.conversion.conversionReviewVersions"))
    return errors


def _validate_update(crd: Obj, old: Obj) -> list[FieldError]:
    spec, before = crd["spec"], old["spec"]
    errors: list[FieldError] = []
    if condition(old, "Established") == "True":
        errors += immutable(spec.get("scope"), before.get("scope"), "spec.scope")
        errors += immutable(spec["names"].get("kind"), before["names"].get("kind"), "spec.names.kind")
    errors += immutable(spec.get("group"), before.get("group"), "spec.group")
    errors += immutable(spec["names"].get("plural"), before["names"].get("plural"), "spec.names.plural")
    served = {version.get("name") for version in spec.get("versions") or ()}
    for index, stored in enumerate((crd.get("status") or {}).get("storedVersions") or ()):
        if stored not in served:
            words = (
                f"missing from spec.versions; {stored} was previously a storage version, and must remain in "
                "spec.versions until a storage migration ensures no data remains persisted in "
                f"{stored} and removes {stored} from status.storedVersions"
            )
            errors.append(invalid(f"status.storedVersions[{index}]", stored, words))
    return errors


def _mark_deleted(crd: Obj) -> None:
    """It waits until its objects are gone: REST.Delete of pkg/registry/customresourcedefinition."""
    metadata = crd["metadata"]
    metadata.pop("deletionGracePeriodSeconds", None)
    finalizers = metadata.setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    if condition(crd, "Terminating") != "True":
        if metadata.get("generation", 1) > 1:
            metadata["generation"] -= 1
        with_condition(
            crd,
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        )


RULES = Rules(
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    mark_deleted=_mark_deleted,
    generation=True,
    unconditional=False,
    row=lambda crd: [crd["metadata"]["name"], crd["metadata"].get("creationTimestamp", "")],
)
