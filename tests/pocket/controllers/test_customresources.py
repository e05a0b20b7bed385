"""Custom resources and the controllers: established, collected, gone with their namespace and their definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.pocket.api.api import Api
from labkit.pocket.api.errors import ApiError
from labkit.pocket.api.store import Store
from tests.pocket.controllers.lab_cluster import LabCluster

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
WIDGETS = "widgets.lab.example.com"


def definition(**version: Any) -> dict[str, Any]:
    one = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "widgets", "kind": "Widget"}
    return {
        "metadata": {"name": WIDGETS},
        "spec": {
            "group": "lab.example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [{**one, **version}],
        },
    }


def widget(name: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "lab.example.com/v1", "kind": "Widget", "metadata": {"name": name, **metadata}}


def is_served(api: Api) -> bool:
    return api.registry.at("lab.example.com", "v1", "widgets") is not None


@pytest.fixture
async def widgets(cluster: LabCluster) -> LabCluster:
    cluster.api.create(CRDS, definition())
    await cluster.until(lambda: is_served(cluster.api))
    return cluster


async def test_a_definition_is_served_when_it_is_established_and_no_longer_than_it_is(
    widgets: LabCluster,
) -> None:
    api = widgets.api
    api.create(WIDGETS, widget("one"), "default")
    api.delete(CRDS, WIDGETS)
    await widgets.until(lambda: api.find(CRDS, WIDGETS) is None)
    assert not is_served(api)
    with pytest.raises(ApiError):
        api.list(WIDGETS)
    # and again: what was there is forgotten
    api.create(CRDS, definition())
    await widgets.until(lambda: is_served(api))
    assert api.list(WIDGETS) == []


async def test_they_go_with_their_namespace(widgets: LabCluster) -> None:
    api = widgets.api
    api.create("namespaces", {"metadata": {"name": "shop"}})
    api.create(WIDGETS, widget("one"), "shop")
    api.delete("namespaces", "shop")
    await widgets.until(lambda: api.find("namespaces", "shop") is None)
    assert api.list(WIDGETS) == []


async def test_a_namespace_waits_for_one_with_a_finalizer(widgets: LabCluster) -> None:
    api = widgets.api
    api.create("namespaces", {"metadata": {"name": "shop"}})
    api.create(WIDGETS, widget("one", finalizers=["lab.example.com/hold"]), "shop")
    api.delete("namespaces", "shop")

    def words() -> str:
        conditions = api.get("namespaces", "shop")["status"].get("conditions") or ()
        return " ".join(one["message"] for one in conditions)

    await widgets.until(lambda: "widgets.lab.example.com has 1 resource instances" in words())
    widgets.change(WIDGETS, "one", lambda obj: obj["metadata"].pop("finalizers"), "shop")
    await widgets.until(lambda: api.find("namespaces", "shop") is None)


async def test_owners_and_dependents_are_collected(widgets: LabCluster) -> None:
    api = widgets.api
    owner = api.create(WIDGETS, widget("owner"), "default")
    reference = {
        "apiVersion": "lab.example.com/v1",
        "kind": "Widget",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    api.create("configmaps", owned, "default")
    api.create(WIDGETS, widget("owned", ownerReferences=[reference]), "default")
    api.delete(WIDGETS, "owner", "default")
    await widgets.until(lambda: api.find("configmaps", "owned", "default") is None)
    await widgets.until(lambda: api.list(WIDGETS) == [])


async def test_a_name_that_is_taken_is_not_accepted_until_it_is_free(widgets: LabCluster) -> None:
    api = widgets.api
    other = definition()
    other["metadata"]["name"] = "wigs.lab.example.com"
    other["spec"]["names"] = {"plural": "wigs", "kind": "Widget"}
    api.create(CRDS, other)

    def accepted() -> str:
        conditions = api.get(CRDS, "wigs.lab.example.com")["status"].get("conditions") or ()
        return next((one["status"] for one in conditions if one["type"] == "NamesAccepted"), "")

    await widgets.until(lambda: accepted() == "False")
    assert api.registry.at("lab.example.com", "v1", "wigs") is None
    api.delete(CRDS, WIDGETS)
    await widgets.until(lambda: accepted() == "True")
    await widgets.until(lambda: api.registry.at("lab.example.com", "v1", "wigs"))


async def test_a_new_schema_holds_for_what_comes_and_for_how_the_old_is_read(widgets: LabCluster) -> None:
    api = widgets.api
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }

    def set_schema(obj: dict[str, Any]) -> None:
        obj["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": schema}

    widgets.change(CRDS, WIDGETS, set_schema, "")
    api.create(WIDGETS, {**widget("one"), "spec": {"a": "x", "b": "y"}}, "default")
    assert api.get(WIDGETS, "one", "default")["spec"] == {"a": "x"}
    schema["properties"]["spec"]["properties"]["c"] = {"type": "string", "default": "new"}  # type: ignore[index]
    widgets.change(CRDS, WIDGETS, set_schema, "")
    assert api.get(WIDGETS, "one", "default")["spec"] == {"a": "x", "c": "new"}
    assert api.list(WIDGETS)[0]["spec"]["c"] == "new"


async def test_definitions_and_objects_survive_a_restart(tmp_path: Path) -> None:
    crd = definition()
    crd["status"] = {}
    first = Api(Store(tmp_path / "state.db"))
    first.create("namespaces", {"metadata": {"name": "default"}})
    first.create(CRDS, crd)

    def establish(obj: dict[str, Any]) -> dict[str, Any]:
        obj["status"]["acceptedNames"] = obj["spec"]["names"]
        obj["status"]["conditions"] = [{"type": "Established", "status": "True"}]
        return obj

    first.modify(CRDS, WIDGETS, None, establish, subresource="status")
    first.create(WIDGETS, widget("one"), "default")
    first.store.close()
    second = Api(Store(tmp_path / "state.db"))
    assert second.get(WIDGETS, "one", "default")["kind"] == "Widget"
    second.store.close()
