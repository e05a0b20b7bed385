"""One version of a custom resource, ready to serve: reading, rules, conversion, columns, scale.

What reads and judges objects is imported when the first one comes: most clusters have none, and start sooner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.pocket.api.custom import columns, jsonpath
from labkit.pocket.api.custom.definitions import condition
from labkit.pocket.api.errors import bad_request, failure, forbidden
from labkit.pocket.api.errors import invalid as invalid_object
from labkit.pocket.api.fields import FieldError, invalid
from labkit.pocket.api.kinds.conversion import Conversion
from labkit.pocket.api.kinds.rules import Cluster, Rules
from labkit.pocket.api.nodes import Node
from labkit.pocket.api.request import Options, User
from labkit.pocket.api.store import clone
from labkit.pocket.api.subresources import ScalePaths

if TYPE_CHECKING:
    from labkit.pocket.api.custom.judging import Judge

Obj = dict[str, Any]


@dataclass(frozen=True)
class Names:
    """What a version is called in messages and URLs."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`lab.example.com/v1`."""
        return f"{self.group}/{self.version}"


@dataclass(frozen=True)
class Webhook:
    """Admission by whoever brings a custom resource: what its admission webhooks would do on a real cluster.

    `mutate` changes a new state in place, knowing who writes it; `validate` tells what is wrong with it.
    """

    name: str
    mutate: Callable[[Obj, Obj | None, User], None] | None = None
    validate: Callable[[Obj, Obj | None], list[FieldError]] | None = None


class CustomKind:
    """What the API needs to know of a version of a custom resource; follows its definition through `follow`.

    The one object stays while the definition does, whatever changes in it.
    """

    def __init__(self, crd: Obj, name: str, metadata: Node, webhooks: Mapping[str, Webhook]) -> None:
        self._webhooks = webhooks
        self._metadata = metadata
        self._version = name
        self._known: dict[str, tuple[str, Obj]] = {}
        self.rules = Rules(
            default=self._default,
            admit=self._admit,
            validate=self._validate,
            validate_update=self._validate_update,
            validate_status=self._validate_status,
            fields=self._fields,
            generation=True,
            unconditional=False,
            row=lambda obj: columns.row(self._columns, obj),
        )
        self.follow(crd)

    def follow(self, crd: Obj) -> None:
        """The definition has changed."""
        spec = crd["spec"]
        accepted = (crd.get("status") or {}).get("acceptedNames") or {}
        versions = {version["name"]: version for version in spec["versions"]}
        self._spec: Obj = versions.get(self._version) or {"name": self._version}
        self.names = Names(spec["group"], self._version, spec["names"]["plural"], accepted.get("kind", ""))
        self.terminating = condition(crd, "Terminating") == "True"
        self.storage = next(name for name, version in versions.items() if version.get("storage"))
        self._columns = self._spec.get("additionalPrinterColumns") or []
        self.column_definitions = columns.definitions(self._columns)
        subresources = self._spec.get("subresources") or {}
        self.has_status = subresources.get("status") is not None
        scale = subresources.get("scale")
        self.scale = None if not scale else ScalePaths.of(scale)
        self.selectable = tuple(field["jsonPath"] for field in self._spec.get("selectableFields") or ())
        self._stored_raw: Obj = (versions[self.storage].get("schema") or {}).get("openAPIV3Schema") or {}
        self._judges: dict[str, Judge] = {}
        self._node: Node | None = None
        self._known.clear()
        self.warning = self._deprecation(versions)
        bucket = f"{self.names.plural}.{self.names.group}"
        # Objects that were stored under this very schema need no second look when they are read.
        if len(versions) == 1 and crd["metadata"].get("generation", 1) == 1:
            self.conversion = Conversion(bucket)
        else:
            self.conversion = Conversion(bucket, write=self._write, read=self._read)

    def _deprecation(self, versions: Mapping[str, Obj]) -> str:
        if not self._spec.get("deprecated"):
            return ""
        if self._spec.get("deprecationWarning") is not None:
            return str(self._spec["deprecationWarning"])
        words = f"{self.names.api_version} {self.names.kind} is deprecated"
        better = [name for name, one in versions.items() if one.get("served") and not one.get("deprecated")]
        newer = sorted(better, key=version_order)
        if newer and version_order(newer[0]) < version_order(self._version):
            words += f"; use {self.names.group}/{newer[0]} {self.names.kind}"
        return words

    @property
    def raw_schema(self) -> Obj:
        """openAPIV3Schema as it was written."""
        schema: Obj = (self._spec.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
        return schema

    def _judge(self, stored: bool = False) -> Judge:
        """The schema at work (this version's, or that of the stored one), compiled when it is first needed."""
        from labkit.pocket.api.custom.judging import Judge

        version = self.storage if stored else self._version
        if version not in self._judges:
            self._judges[version] = Judge(self._stored_raw if stored else self.raw_schema, self._metadata)
        return self._judges[version]

    @property
    def node(self) -> Node:
        """The schema as ownership and server-side apply go along it."""
        if self._node is None:
            self._node = self._judge().node(self.names.kind)
        return self._node

    # Reading

    def check_kind(self, obj: Obj) -> None:
        """The object must say that it is of this kind and version. Raises ApiError (400, 422)."""
        api_version, kind = obj.get("apiVersion"), obj.get("kind")
        if api_version != self.names.api_version:
            raise bad_request(
                f"the API version in the data ({api_version or ''}) does not match the expected API version "
                f"({self.names.api_version})"
            )
        if kind != self.names.kind:
            metadata = obj.get("metadata")
            name = metadata.get("name", "") if isinstance(metadata, dict) else ""
            problem = invalid("kind", kind, f"must be {self.names.kind}")
            raise invalid_object(self.names.group, str(kind), name, [problem])

    def read(self, obj: Obj) -> tuple[Obj, list[str]]:
        """A pruned copy, and the paths of what the schema does not have. Raises ApiError (400)."""
        from labkit.pocket.api.custom.conforming import BadMetadata

        try:
            return self._judge().prune(obj)
        except BadMetadata as error:
            raise self._unreadable(str(error)) from None

    def decode(self, obj: Obj, options: Options) -> Obj:
        """`read`, with what fieldValidation makes of unknown fields. Raises ApiError (400)."""
        from labkit.pocket.api.schema import complain  # it knows this module

        read, unknown = self.read(obj)
        problem = complain(unknown, options)
        if problem:
            raise self._unreadable(problem)
        return read

    def _unreadable(self, why: str) -> Exception:
        kind = self.names.kind
        return bad_request(f'{kind} in version "{self.names.version}" cannot be handled as a {kind}: {why}')

    # Rules

    def _default(self, obj: Obj) -> None:
        self._judge().fill_in(obj)

    def _admit(self, _cluster: Cluster, obj: Obj, old: Obj | None) -> None:
        if old is None and self.terminating:
            raise forbidden(
                self.names.group,
                self.names.plural,
                obj["metadata"].get("name", ""),
                "create not allowed while custom resource definition is terminating",
            )

    def _validate(self, obj: Obj) -> list[FieldError]:
        return self._judge().errors(obj, self._scale_errors(obj, "spec", "status"))

    def _validate_update(self, obj: Obj, old: Obj) -> list[FieldError]:
        return self._judge().change_errors(obj, old)

    def _validate_status(self, obj: Obj, _old: Obj) -> list[FieldError]:
        self._default(obj)
        if "status" not in obj:
            return []
        return self._judge().status_errors(obj["status"]) + self._scale_errors(obj, "status")

    def _scale_errors(self, obj: Obj, *parts: str) -> list[FieldError]:
        """The numbers that scale shows must be such (ValidateScaleSpec and ValidateScaleStatus)."""
        errors: list[FieldError] = []
        if self.scale is None:
            return errors
        for part, path in (("spec", self.scale.spec_replicas), ("status", self.scale.status_replicas)):
            if part not in parts:
                continue
            problem = _accessor_problem(path, obj)
            if problem:
                errors.append(invalid(path, 0, f"{path} accessor error: {problem}"))
                continue
            found = jsonpath.value(path, obj)
            if found is None:
                continue
            if found < 0:
                errors.append(invalid(path, found, "should be a non-negative integer"))
            elif found > 2**31 - 1:
                errors.append(invalid(path, found, "should be less than or equal to 2147483647"))
        return errors

    def _fields(self, obj: Obj) -> Mapping[str, str]:
        values = {}
        for path in self.selectable:
            found = jsonpath.value(path, obj)
            shown = {True: "true", False: "false"}.get(found, found) if isinstance(found, bool) else found
            values[path.lstrip(".")] = "" if shown is None else str(shown)
        return values

    # Admission webhooks

    @property
    def _webhook(self) -> Webhook | None:
        return self._webhooks.get(f"{self.names.plural}.{self.names.group}")

    def mutate(self, obj: Obj, old: Obj | None, user: User) -> None:
        """Let the webhook change a state that is about to be checked."""
        webhook = self._webhook
        if webhook is not None and webhook.mutate is not None:
            webhook.mutate(obj, old, user)

    def review(self, obj: Obj, old: Obj | None) -> None:
        """Let the webhook judge a state that is right otherwise. Raises ApiError (403)."""
        webhook = self._webhook
        errors = webhook.validate(obj, old) if webhook is not None and webhook.validate is not None else []
        if errors:
            texts = [str(error) for error in errors]
            text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
            assert webhook is not None
            raise failure(403, "Forbidden", f'admission webhook "{webhook.name}" denied the request: {text}')

    # Versions

    def _write(self, obj: Obj) -> Obj:
        """In the stored version, which may not have all fields of this one."""
        content, _ = self._judge(stored=True).prune(_without_metadata(obj))
        api_version = f"{self.names.group}/{self.storage}"
        return {**content, "apiVersion": api_version, "kind": self.names.kind, "metadata": obj["metadata"]}

    def _read(self, stored: Obj) -> Obj:
        metadata = stored["metadata"]
        key, revision = metadata.get("uid", ""), metadata.get("resourceVersion", "")
        known = self._known.get(key)
        if known is not None and known[0] == revision:
            return known[1]
        read, _ = self._judge().prune(_without_metadata(stored))
        obj: Obj = {"apiVersion": self.names.api_version, "kind": self.names.kind, "metadata": metadata}
        obj |= {name: value for name, value in read.items() if name not in obj}
        self._judge().fill_in(obj)
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[key] = (revision, obj)
        return obj


def _without_metadata(obj: Obj) -> Obj:
    return {key: value for key, value in obj.items() if key != "metadata"}


def _accessor_problem(path: str, obj: Obj) -> str:
    """unstructured.NestedInt64's complaint about what stands on the way, or nothing."""
    place: Any = obj
    parts = path.strip(".").split(".")
    for part in parts:
        if place is None:
            return ""
        if not isinstance(place, dict):
            return f"{_go_text(place)} is of the type {_go_type(place)}, expected map[string]interface{{}}"
        if part not in place:
            return ""
        place = place[part]
    if place is None or (isinstance(place, int) and not isinstance(place, bool)):
        return ""
    return f"{_go_text(place)} is of the type {_go_type(place)}, expected int64"


def _go_type(value: Any) -> str:
    names = {bool: "bool", int: "int64", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")


def _go_text(value: Any) -> str:
    from labkit.pocket.api.patch import go_text  # it knows the Api

    return go_text(clone(value))


_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


def version_order(name: str) -> tuple[int, int, int, str]:
    """For sorting versions as Kubernetes does: v2, v1, v1beta2, v1beta1, v1alpha1, then what is named otherwise."""
    match = _VERSION.fullmatch(name)
    if match is None:
        return (3, 0, 0, name)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), name)
