"""On a cluster that brings counterparts of its own, the same calls turn these on and off."""

from __future__ import annotations

import pytest

from labkit.cluster import Cluster, components
from labkit.cluster.components import Missing
from labkit.cluster.components.record import Record

pytestmark = pytest.mark.cluster


def test_what_is_built_in_is_turned_on_asked_and_turned_off(cluster: Cluster) -> None:
    said: list[str] = []
    [outcome] = components.ensure(cluster, ["cert-manager"], said.append)
    assert outcome.action == "turned on"
    assert "Turning on this cluster's own cert-manager" in said
    assert "Not played: ACME" in outcome.notes[0]  # what it stands in for, and what not
    assert outcome.version == components.get("cert-manager").version(cluster)
    assert all(one.ok for one in components.get("cert-manager").verify(cluster))
    assert cluster.kinds.named("certificates.cert-manager.io")
    assert (
        Record.read(cluster, "cert-manager") is None
    )  # nothing was installed that would have to be taken away

    [again] = components.ensure(cluster, ["cert-manager"])
    assert again.action == "found"

    [gone] = components.remove(cluster, "cert-manager")
    assert gone.action == "removed"
    assert components.get("cert-manager").version(cluster) is None


def test_what_is_not_built_in_is_said_to_be_missing_and_leaves_nothing(cluster: Cluster) -> None:
    with pytest.raises(Missing, match="no counterpart of Calico"):
        components.ensure(cluster, ["calico"])
    cluster.wait("components.pocket.labkit.dev", "calico", condition="gone", timeout=10)


def test_optional_parts_of_what_is_built_in_are_left_out_and_that_is_said(cluster: Cluster) -> None:
    said: list[str] = []
    with pytest.raises(Missing):
        components.ensure(cluster, ["calico+alp"], said.append)
    assert any("left out: alp" in line for line in said)
