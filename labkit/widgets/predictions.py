"""What a learner predicts: words by port, source and destination. JSON, so that it can be kept and handed in.

{"80/TCP": {"shop/web": {"shop/db": "allow", "audit/web": "deny"}}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.widgets.marks import Kind, kind_of_prediction
from labkit.widgets.matrix import Matrix, Port, as_port, build, observation_key, port_key

Predictions = dict[str, dict[str, dict[str, str]]]


def read(given: Any, ports: Iterable[str]) -> Predictions:
    """Predictions in any of the forms people write, as the one form above.

    given: the form itself; {source: {destination: word}} when there is one port; {Flow or (source, destination, port): word};
    a word is "allow", "deny", True or False. Raises ValueError for anything else.
    """
    keys = list(ports)
    result: Predictions = {}
    for first, rest in (given or {}).items():
        if isinstance(rest, Mapping) and _is_port(first, keys):
            for source, row in rest.items():
                _read_row(result, port_key(first), source, row)
        elif isinstance(rest, Mapping):
            if len(keys) != 1:
                raise ValueError(
                    f"with several ports, predictions begin with the port: {{'{keys[0]}': {{'{first}': ...}}}}"
                )
            _read_row(result, keys[0], first, rest)
        else:
            port, source, destination = observation_key(first)
            _put(result, port, source, destination, rest)
    return result


def as_matrix(predictions: Predictions, like: Matrix) -> Matrix:
    """Predictions laid out like another matrix; blank cells are NONE."""

    def kind(source: str, destination: str, port: Port) -> Kind:
        return kind_of_prediction(predictions.get(port_key(port), {}).get(source, {}).get(destination))

    return build(like.sources, like.destinations, like.ports, kind)


def asked_cells(asked: Any, like: Matrix) -> dict[str, list[list[str]]] | None:
    """Which cells a learner is asked for, as {port: [[source, destination], ...]}; None means all of them.

    asked: Flows or (source, destination[, port]) tuples; without a port the cell is asked for on every port.
    """
    if asked is None:
        return None
    result: dict[str, list[list[str]]] = {}
    for item in asked:
        if isinstance(item, tuple) and len(item) == 2 and not hasattr(item, "source"):
            for port in like.ports:
                result.setdefault(port, []).append([item[0], item[1]])
        else:
            port, source, destination = observation_key(item)
            result.setdefault(port, []).append([source, destination])
    return result


def _is_port(text: Any, keys: Iterable[str]) -> bool:
    try:
        as_port(text)
    except ValueError:
        return False
    # An address is no port, though a bare number could be taken for one.
    return port_key(text) in set(keys) or isinstance(text, int | tuple) or "/" in str(text)


def _read_row(result: Predictions, port: str, source: str, row: Mapping[str, Any]) -> None:
    for destination, word in row.items():
        _put(result, port, source, destination, word)


def _put(result: Predictions, port: str, source: str, destination: str, word: Any) -> None:
    kind = kind_of_prediction(word)
    if kind is not Kind.NONE:
        text = "allow" if kind is Kind.ALLOWED else "deny"
        result.setdefault(port, {}).setdefault(source, {})[destination] = text
