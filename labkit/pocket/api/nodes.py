"""A schema made ready for walking: what validation, patches and field ownership go along."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Node:
    """A schema made ready for walking.

    `shape` is struct, map, list, any, string, bytes, integer, number, boolean, int-or-string, quantity or time.
    `merge_key`, `strategy`, `list_type` and `map_keys` are the x-kubernetes-* extensions of the place where it
    stands; `atomic` says that a struct or map is owned as a whole. `omitted` are a struct's fields that Go
    leaves out when they are empty; None where that is not known. `named` are those with a string type of their own.
    `optional` says that a struct's being there is itself a fact to own, as custom resources' are; `open` that it
    takes fields which it does not list.
    """

    shape: str
    type_name: str = ""
    format: str = ""
    properties: dict[str, Node] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    item: Node | None = None
    merge_key: str = ""
    strategy: tuple[str, ...] = ()
    list_type: str = ""
    map_keys: tuple[str, ...] = ()
    atomic: bool = False
    defaults: dict[str, Any] = field(default_factory=dict)
    omitted: frozenset[str] | None = None
    named: dict[str, str] = field(default_factory=dict)
    optional: bool = False
    open: bool = False
