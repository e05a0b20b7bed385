"""What a kind may say of itself beyond its schema; every entry has a harmless default.

A kind's module makes one `Rules` with plain functions. `Cluster` is the little a rule may ask of the rest of the
cluster (does this ServiceAccount exist? which addresses are taken?).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.pocket.api import names
from labkit.pocket.api.fields import FieldError

Obj = dict[str, Any]


class Cluster(Protocol):
    """What admission may look at and do: reads of the store, and the objects that creation implies."""

    service_cidr: str
    dry_run: bool

    def find(self, resource: str, name: str, namespace: str | None = None) -> Obj | None:
        """The object, or None."""

    def all(self, resource: str, namespace: str | None = None) -> list[Obj]:
        """All objects of a resource."""

    def ensure_service_account(self, namespace: str, name: str) -> Obj | None:
        """The ServiceAccount; the default one of an active namespace is made when it is not there yet."""


def _nothing(_obj: Obj) -> None:
    pass


def _nothing_to_prepare(_obj: Obj, _old: Obj | None) -> None:
    pass


def _no_errors(_obj: Obj) -> list[FieldError]:
    return []


def _no_update_errors(_obj: Obj, _old: Obj) -> list[FieldError]:
    return []


def _admit_all(_cluster: Cluster, _obj: Obj, _old: Obj | None) -> None:
    pass


def _no_fields(_obj: Obj) -> Mapping[str, str]:
    return {}


def _no_grace(_obj: Obj, _wanted: int | None) -> int:
    return 0


def _no_refusal(_obj: Obj) -> str:
    return ""


def _never(_obj: Obj) -> bool:
    return False


def _no_warnings(_obj: Obj, _old: Obj | None) -> list[str]:
    return []


@dataclass(frozen=True)
class Rules:
    """The behaviour of one kind in the API server (upstream: a registry strategy, its defaults and its printer).

    default        fill in what is left out; runs on every write, before everything else
    prepare        what the server itself sets or forgets; `old` is None at creation
    admit          admission: may look at other objects, may raise ApiError
    validate       rules for the whole object, at creation and update
    validate_update  rules for a change (immutable fields)
    change_first   whether an update's wrong changes are told before what is wrong with the whole object
    validate_part  errors of a change through one of the special subresources (pods/ephemeralcontainers)
    check_name     the syntax of metadata.name
    fields         further fields for ?fieldSelector= (metadata.name and .namespace are there for all)
    generation     whether metadata.generation counts changes (of everything but metadata and status)
    keeps_status   status may be given at creation
    grace_period   how long a deletion waits, in seconds, given what the request wants
    ends_gracefully  whether the end of that wait is a change of its own, which watchers see before the deletion
    refuse_delete  why an object may not be deleted; empty when it may
    mark_deleted   what else a beginning deletion changes in the object
    holds_back     whether something besides metadata.finalizers keeps a deleted object
    unconditional  whether an update may leave out metadata.resourceVersion
    row            the cells of `kubectl get`, one for each column of columns.json.gz
    warnings       sentences for the client's Warning headers
    """

    default: Callable[[Obj], None] = _nothing
    prepare: Callable[[Obj, Obj | None], None] = _nothing_to_prepare
    admit: Callable[[Cluster, Obj, Obj | None], None] = _admit_all
    validate: Callable[[Obj], list[FieldError]] = _no_errors
    validate_update: Callable[[Obj, Obj], list[FieldError]] = _no_update_errors
    change_first: bool = False
    validate_status: Callable[[Obj, Obj], list[FieldError]] = _no_update_errors
    validate_part: Callable[[Obj, Obj], list[FieldError]] = _no_update_errors
    check_name: Callable[[str], list[str]] = names.is_dns_subdomain
    fields: Callable[[Obj], Mapping[str, str]] = _no_fields
    generation: bool = False
    unconditional: bool = True
    keeps_status: bool = False
    grace_period: Callable[[Obj, int | None], int] = _no_grace
    ends_gracefully: bool = False
    refuse_delete: Callable[[Obj], str] = _no_refusal
    mark_deleted: Callable[[Obj], None] = _nothing
    holds_back: Callable[[Obj], bool] = _never
    row: Callable[[Obj], list[Any]] | None = None
    warnings: Callable[[Obj, Obj | None], list[str]] = _no_warnings
