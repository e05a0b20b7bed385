"""Make manifests, right and broken, from a seed: `python -m tests.parity.generate [--seed 1] [--count 1000]`.

They begin as objects that are right (inputs/objects.yaml). To these come fields of the kind's OpenAPI schema with likely and
unlikely values; then mistakes of people: a typing error in a key, a wrong type, a value out of range, a level too deep; and
some lose or gain a character of their YAML. Written to inputs/generated.jsonl.gz: what is sent, where, and as what.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from labkit.pocket.api.nodes import Node
from labkit.pocket.api.schema import Schemas
from tests.parity.parts import generated, objects

Path = list[Any]
# How often a kind is chosen, beside the one time of every other: what learners write most.
WEIGHTS = {"NetworkPolicy": 8, "Pod": 6, "Deployment": 5, "Service": 5, "Namespace": 3, "ConfigMap": 3}
STRINGS = [
    "a", "web", "My_Name", "", "a b", "-a", "a.b", "a/b", "x" * 64, "x" * 254, "1", "true", "é", "TCP", "tcp", "10.0.0.0/8",
    "10.0.0.1", "fd00::/8", "300.1.1.1", "Always", "http", "80", "5s", "100m", "1Gi", "1Gb", "*", "kubernetes.io/x", "\t", "None",
]  # fmt: skip
NUMBERS: list[Any] = [0, 1, -1, 80, 30080, 65535, 65536, 2**31, 2**63, 1.5, -(2**31) - 1]
OTHERS: list[Any] = [None, True, False, [], {}, ["a"], {"a": "b"}, [{}], [[]]]
MANY = 0.12  # of the manifests have several mistakes


@dataclass(frozen=True)
class Manifest:
    """What is sent: a body, as it stands, to a path of the API."""

    name: str
    path: str
    type: str
    body: str


def manifests(seed: int, count: int) -> Iterator[Manifest]:
    """`count` manifests, the same for the same seed."""
    dice = random.Random(seed)
    starts = [
        obj for obj in objects.inputs().values() if obj["kind"] not in ("Node", "CustomResourceDefinition")
    ]
    weights = [
        WEIGHTS.get(kind, 1) / sum(other["kind"] == kind for other in starts)
        for kind in (o["kind"] for o in starts)
    ]
    for number in range(count):
        (start,) = dice.choices(starts, weights)
        obj = copy.deepcopy(start)
        kind = obj["kind"]
        path = objects.path_of(obj, generated.NAMESPACE)
        what = dice.choices(["right", "field", "mistake", "text"], [15, 25, 45, 15])[0]
        if what == "right":
            merge_another(dice, obj, starts)
        elif what == "field":
            add_field(dice, obj)
        else:
            for _ in range(dice.choice([2, 3]) if dice.random() < MANY else 1):
                dice.choice(MISTAKES)(dice, obj)
        name = f"{number:04} {what} {kind}"
        if what == "text":
            text = yaml.safe_dump(obj, sort_keys=False, allow_unicode=True)
            yield Manifest(name, path, "application/yaml", dice.choice(SLIPS)(dice, text))
        else:
            yield Manifest(name, path, "application/json", json.dumps(obj))


def places(value: Any, path: Path | None = None) -> Iterator[Path]:
    """Every place within a structure but its root."""
    path = path or []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield [*path, key]
        yield from places(item, [*path, key])


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def somewhere(
    dice: random.Random, obj: Any, wanted: Callable[[Any, Any], bool] = lambda key, value: True
) -> Path | None:
    """A place whose key and value are as wanted; seldom among the first lines, which all objects have."""
    found = [path for path in places(obj) if wanted(path[-1], at(obj, path))]
    deep = [
        path for path in found if path[0] not in ("apiVersion", "kind") and path[:2] != ["metadata", "name"]
    ]
    return dice.choice(deep if deep and dice.random() < 0.9 else found) if found else None


# What people do to a structure


def lose_a_field(dice: random.Random, obj: Any) -> None:
    if place := somewhere(dice, obj):
        del at(obj, place[:-1])[place[-1]]


def mistype_a_key(dice: random.Random, obj: Any) -> None:
    place = somewhere(dice, obj, lambda key, value: isinstance(key, str))
    if place is None:
        return
    old, parent = place[-1], at(obj, place[:-1])
    new = dice.choice(
        [
            old.lower(),
            old + "s",
            old[:-1],
            old.capitalize(),
            old[1:2] + old[:1] + old[2:],
            old + " ",
            "x" + old,
        ]
    )
    items = [(new if key == old else key, value) for key, value in parent.items()]
    parent.clear()
    parent.update(items)


def take_another_type(dice: random.Random, obj: Any) -> None:
    if place := somewhere(dice, obj):
        at(obj, place[:-1])[place[-1]] = dice.choice(
            [dice.choice(STRINGS), dice.choice(NUMBERS), dice.choice(OTHERS)]
        )


def change_a_text(dice: random.Random, obj: Any) -> None:
    if place := somewhere(dice, obj, lambda key, value: isinstance(value, str)):
        at(obj, place[:-1])[place[-1]] = dice.choice(STRINGS)


def change_a_number(dice: random.Random, obj: Any) -> None:
    if place := somewhere(dice, obj, lambda key, value: type(value) is int):
        at(obj, place[:-1])[place[-1]] = dice.choice(NUMBERS)


def quote_or_unquote(dice: random.Random, obj: Any) -> None:
    place = somewhere(dice, obj, lambda key, value: isinstance(value, int | str))
    if place:
        old = at(obj, place)
        at(obj, place[:-1])[place[-1]] = str(old) if not isinstance(old, str) else dice.choice([7, True, 1.5])


def list_or_not(dice: random.Random, obj: Any) -> None:
    """A dash too many or too few."""
    if place := somewhere(dice, obj, lambda key, value: isinstance(value, dict | list)):
        old = at(obj, place)
        at(obj, place[:-1])[place[-1]] = (old[0] if old else {}) if isinstance(old, list) else [old]


def say_twice(dice: random.Random, obj: Any) -> None:
    if place := somewhere(dice, obj, lambda key, value: isinstance(value, list) and bool(value)):
        at(obj, place).append(copy.deepcopy(dice.choice(at(obj, place))))


def slip_a_level(dice: random.Random, obj: Any) -> None:
    """A key one level too high."""
    place = somewhere(dice, obj, lambda key, value: isinstance(key, str))
    if place and len(place) > 1 and isinstance(at(obj, place[:-2]), dict):
        at(obj, place[:-2])[place[-1]] = at(obj, place[:-1]).pop(place[-1])


def sink_a_level(dice: random.Random, obj: Any) -> None:
    """A key one level too deep."""
    place = somewhere(dice, obj, lambda key, value: isinstance(value, dict))
    if place and isinstance(parent := at(obj, place[:-1]), dict):
        others = [key for key in parent if key != place[-1]]
        if others:
            moved = dice.choice(others)
            parent[place[-1]][moved] = parent.pop(moved)


def label_something(dice: random.Random, obj: Any) -> None:
    labels = {
        dice.choice(["app", "a/b", "a b", "", "x" * 64, "Upper", "a/b/c", "-x"]): dice.choice(
            [*STRINGS, 1, None, True]
        )
    }
    metadata = obj.setdefault("metadata", {})
    if isinstance(metadata, dict):
        metadata[dice.choice(["labels", "annotations", "finalizers", "labels"])] = dice.choice(
            [labels, labels, labels, [labels]]
        )


MISTAKES: list[Callable[[random.Random, Any], None]] = [
    lose_a_field, mistype_a_key, mistype_a_key, take_another_type, take_another_type, change_a_text, change_a_text,
    change_a_number, change_a_number, quote_or_unquote, list_or_not, say_twice, slip_a_level, sink_a_level, label_something,
]  # fmt: skip


# What is added from the schema


def add_field(dice: random.Random, obj: Any) -> None:
    """A field that the kind has and the object has not, with a value of its type, likely or not."""
    group, _, version = obj["apiVersion"].rpartition("/")
    node = Schemas.builtin().kind(group, version, obj["kind"])
    assert node is not None
    spots = [(node, obj), *below(node, obj)]
    spots = [(n, o) for n, o in spots if n.properties and o is not obj.get("status")]
    for _ in range(10):
        place, here = dice.choice(spots)
        absent = [
            key for key in place.properties if key not in here and key not in ("status", "managedFields")
        ]
        if absent:
            key = dice.choice(absent)
            here[key] = likely(dice, place.properties[key], 0)
            return


def below(node: Node, value: Any) -> Iterator[tuple[Node, dict[str, Any]]]:
    """The structs within an object, with their schemas."""
    if isinstance(value, dict):
        for key, item in value.items():
            child = node.item if node.shape == "map" else node.properties.get(key)
            if child is not None:
                if isinstance(item, dict) and child.properties:
                    yield child, item
                yield from below(child, item)
    elif isinstance(value, list) and node.item is not None:
        for item in value:
            if isinstance(item, dict) and node.item.properties:
                yield node.item, item
            yield from below(node.item, item)


def likely(dice: random.Random, node: Node, depth: int) -> Any:
    """A value of a schema's type."""
    match node.shape:
        case "struct":
            keys = [
                key for key in node.properties if key in node.required or dice.random() < 0.5 / (depth + 1)
            ]
            return (
                {key: likely(dice, node.properties[key], depth + 1) for key in keys[:4]} if depth < 4 else {}
            )
        case "list":
            return (
                [likely(dice, node.item, depth + 1) for _ in range(dice.choice([0, 1, 1, 2]))]
                if node.item
                else []
            )
        case "map":
            return {dice.choice(["a", "app", "A b"]): likely(dice, node.item, depth + 1)} if node.item else {}
        case "integer":
            return dice.choice([0, 1, 80, -1, 65536])
        case "number":
            return dice.choice([0.5, 1])
        case "boolean":
            return dice.choice([True, False])
        case "int-or-string":
            return dice.choice([80, "http", "25%", "", "80"])
        case "quantity":
            return dice.choice(["1", "100m", "1Gi", 5, "1GB", "-1"])
        case "time":
            return dice.choice(["2020-01-01T00:00:00Z", "yesterday", "2020-01-01"])
        case "bytes":
            return dice.choice(["YQ==", "a"])
        case "any":
            return {}
    return dice.choice(["a", "web", "ClusterFirst", "TCP", "Always", "10.0.0.1", "a b", ""])


def merge_another(dice: random.Random, obj: Any, starts: list[Any]) -> None:
    """Parts of two right objects of a kind."""
    other = copy.deepcopy(dice.choice([one for one in starts if one["kind"] == obj["kind"]]))
    parent, theirs = (obj.setdefault("spec", {}), other.get("spec")) if dice.random() < 0.7 else (obj, other)
    if isinstance(parent, dict) and isinstance(theirs, dict):
        for key in theirs:
            if key not in ("apiVersion", "kind", "metadata", "spec") and dice.random() < 0.6:
                parent[key] = theirs[key]


# What people do to a text


def slip_of_a_key(dice: random.Random, text: str) -> str:
    """One character more, less, or another."""
    where = dice.randrange(len(text))
    return (
        text[:where]
        + dice.choice(["", "", " ", "\t", ":", "-", "'", '"', "{", "x", "\n", "#", "&", "*", "@", "%"])
        + text[where + dice.choice([0, 1]) :]
    )


def slip_of_a_line(dice: random.Random, text: str) -> str:
    """A line lost, doubled, moved, or at another indentation."""
    lines = text.splitlines()
    where = dice.randrange(len(lines))
    match dice.choice(["lose", "double", "in", "out", "tab", "swap", "dash"]):
        case "lose":
            del lines[where]
        case "double":
            lines.insert(where, lines[where])
        case "in":
            lines[where] = "  " + lines[where]
        case "out":
            lines[where] = lines[where].removeprefix("  ")
        case "tab":
            lines[where] = "\t" + lines[where].lstrip()
        case "swap":
            other = dice.randrange(len(lines))
            lines[where], lines[other] = lines[other], lines[where]
        case "dash":
            lines[where] = lines[where].replace("- ", "", 1) if "- " in lines[where] else "- " + lines[where]
    return "\n".join(lines) + "\n"


SLIPS = [slip_of_a_key, slip_of_a_line]


def main() -> None:
    """Write the manifests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    rows = [json.dumps(vars(manifest)) + "\n" for manifest in manifests(given.seed, given.count)]
    generated.FILE.write_bytes(gzip.compress("".join(rows).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
