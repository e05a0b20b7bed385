"""Small truths about API objects: times, names, owners, and what comparing two of them means."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]

# No vowels and no 0, 1 or 3: generated names spell no words (apimachinery's util/rand).
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_random = random.SystemRandom()

MAX_GENERATED = 63 - 5


def now() -> str:
    """The time as metav1.Time writes it, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_now() -> str:
    """The time as metav1.MicroTime writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_uid() -> str:
    """A uid for a new object."""
    return str(uuid.uuid4())


def suffix(length: int = 5) -> str:
    """Random letters as generated names end with."""
    return "".join(_random.choices(_ALPHABET, k=length))


def generated_name(base: str) -> str:
    """`base` and five random letters, cut to 63 characters."""
    return base[:MAX_GENERATED] + suffix()


def key_of(obj: Obj) -> tuple[str, str]:
    """(namespace, name)."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def without(obj: Obj, *fields: str) -> Obj:
    """A shallow copy that lacks some top-level fields."""
    return {key: value for key, value in obj.items() if key not in fields}


def same_content(one: Obj, other: Obj) -> bool:
    """Whether two states of an object differ in nothing that a write would record."""
    if {**one, "metadata": None} != {**other, "metadata": None}:
        return False
    before, after = one["metadata"], other["metadata"]
    if without(before, "resourceVersion", "managedFields") != without(
        after, "resourceVersion", "managedFields"
    ):
        return False
    return _owners(before) == _owners(after)


def _owners(metadata: Obj) -> list[Obj]:
    """managedFields without their times: owning again what one owns is no change."""
    return [without(entry, "time") for entry in metadata.get("managedFields") or []]


_METADATA_ORDER = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def ordered(obj: Obj) -> Obj:
    """Fields in the order in which a real server writes them; empty labels and the like are left out."""
    metadata = obj["metadata"]
    obj["metadata"] = {
        field: metadata[field] for field in _METADATA_ORDER if metadata.get(field) not in (None, "", {}, [])
    }
    status = obj.pop("status", None)
    if status is not None:
        obj["status"] = status
    return obj
