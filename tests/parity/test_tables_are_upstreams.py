"""The columns and the cells that `kubectl get` prints, for recorded objects in many states."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.pocket.api.kinds import rules_for
from tests.parity.conftest import Asked
from tests.parity.recording import assert_same, recording, settle

TABLES = {table["resource"]: table for table in recording("tables")}
CELLS = {
    f"{resource}/{row['object']['metadata'].get('name')}/{i}": (resource, row)
    for resource, table in TABLES.items()
    for i, row in enumerate(table["rows"])
}


@pytest.mark.cluster
@pytest.mark.parametrize("resource", TABLES)
def test_the_columns_are_those_of_a_real_server_for(resource: str, cluster: Asked) -> None:
    name, _, group = resource.partition(".")
    path = f"/apis/{group}/v1/{name}" if group else f"/api/v1/{name}"
    code, table = cluster.http("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert code == 200
    assert_same("columns", resource, TABLES[resource]["columns"], table["columnDefinitions"])


def settled(cells: list[Any]) -> list[Any]:
    return [settle(cell) if isinstance(cell, str) else cell for cell in cells]


@pytest.mark.parametrize("case", CELLS)
def test_the_cells_are_those_of_a_real_server_for(case: str) -> None:
    resource, row = CELLS[case]
    make = rules_for(resource).row
    assert make is not None
    assert_same("cells", case, settled(row["cells"]), settled(make(row["object"])))
