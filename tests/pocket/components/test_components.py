from __future__ import annotations

import asyncio
from pathlib import Path

from labkit.pocket.api.api import Api
from labkit.pocket.api.store import Store
from labkit.pocket.components import controller, resource
from labkit.pocket.components.resource import RESOURCE
from labkit.pocket.controllers import run_all
from tests.pocket.components.lab import CERTIFICATES, Lab, condition

CRDS = "customresourcedefinitions.apiextensions.k8s.io"


async def test_a_component_says_what_it_stands_in_for(lab: Lab) -> None:
    component = await lab.turn_on("cert-manager")
    assert component["status"]["version"] == "v1.21.1"
    assert "ACME" in component["status"]["standsInFor"]
    assert condition(component)["reason"] == "Running"


async def test_an_unknown_component_is_told_which_there_are(lab: Lab) -> None:
    lab.api.create(RESOURCE, {"metadata": {"name": "istoi"}})
    found = await lab.until(lambda: condition(lab.api.get(RESOURCE, "istoi")))
    assert (found["status"], found["reason"]) == ("False", "Unknown")
    assert "cert-manager" in found["message"]
    lab.api.delete(RESOURCE, "istoi")
    assert lab.api.find(RESOURCE, "istoi") is None


async def test_turned_off_nothing_of_it_remains(certs: Lab) -> None:
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self")
    await certs.issued("web")
    certs.api.delete(RESOURCE, "cert-manager")
    await certs.until(lambda: certs.api.find(RESOURCE, "cert-manager") is None)
    assert certs.api.list(CRDS) == []
    assert certs.api.find("namespaces", "cert-manager") is None
    assert not [bucket for bucket in certs.api.store.buckets() if "cert-manager" in bucket]
    # as upstream: what was issued stays, whoever uses it goes on
    assert certs.api.find("secrets", "web-tls", "default")


async def test_turned_off_and_on_it_works_again(certs: Lab) -> None:
    certs.api.delete(RESOURCE, "cert-manager")
    await certs.until(lambda: certs.api.find(RESOURCE, "cert-manager") is None)
    await certs.turn_on("cert-manager")
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self")
    await certs.issued("web")


async def test_a_deleted_definition_comes_back_while_the_component_is_on(certs: Lab) -> None:
    certs.api.delete(CRDS, CERTIFICATES)
    await certs.until(lambda: certs.api.find(CRDS, CERTIFICATES) is None)
    await certs.until(lambda: condition(certs.api.get(CRDS, CERTIFICATES), "Established"))
    certs.issuer("self", selfSigned={})
    certs.certificate("web", "self")
    await certs.issued("web")


async def test_after_a_restart_it_goes_on(tmp_path: Path) -> None:
    for round_ in (1, 2):
        api = Api(Store(tmp_path / "state.db"))
        resource.serve(api)
        tasks = [asyncio.create_task(run_all(api)), asyncio.create_task(controller.run(api))]
        lab = Lab(api)
        if round_ == 1:
            await lab.turn_on("cert-manager")
            lab.issuer("self", selfSigned={})
        else:
            assert lab.ready(RESOURCE, "cert-manager", None)
        lab.certificate(f"web-{round_}", "self")
        await lab.issued(f"web-{round_}")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        api.store.close()
