"""Chapters → demos, components → images, tools, manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.cluster.bundle import BoxError
from labkit.cluster.bundle.making import chapters_here
from labkit.cluster.bundle.rendering import component_images
from labkit.cluster.bundle.wanted import by
from labkit.cluster.images import table
from labkit.cluster.places import clusters_folder
from labkit.cluster.tools import Cache, read
from tests.cluster.bundle.world import World


def test_a_chapters_images_are_those_of_its_demo_and_of_what_the_table_knows(world: World) -> None:
    wanted = by(world.root, ["77"], table.read(), read())
    assert wanted.chapters == ("77-boxed",)
    assert wanted.images == ("web.example/web:1",)


def test_what_a_lesson_starts_by_hand_is_taken_where_the_table_knows_it(world: World) -> None:
    with (world.clusters / "images.toml").open("a") as file:
        file.write('[[image]]\nreference = "nginx:1.30.5"\nused = ["by hand"]\n')
    assert by(world.root, [], table.read(), read()).images == ("web.example/web:1", "nginx:1.30.5")


def test_what_a_lesson_requires_brings_its_tools_and_manifests(world: World) -> None:
    wanted = by(world.root, [], table.read(), read(), ["istio"])
    assert wanted.components == ("istio", "cert-manager")
    assert wanted.tools == ("kind", "istioctl")
    assert wanted.manifests == ("cert-manager",)


def test_an_image_that_a_component_uses_comes_with_it(world: World) -> None:
    with (world.clusters / "images.toml").open("a") as file:
        file.write(
            '[[image]]\nreference = "quay.io/jetstack/cert-manager-webhook:v1.21.1"\nused = ["cert-manager"]\n'
        )
        file.write('[[image]]\nreference = "istio/pilot:1.31.1"\nused = ["istio"]\n')
    images = by(world.root, [], table.read(), read()).images
    assert "quay.io/jetstack/cert-manager-webhook:v1.21.1" in images
    assert "istio/pilot:1.31.1" not in images


def test_unknown_chapters_and_components_are_told_with_those_there_are(world: World) -> None:
    with pytest.raises(BoxError, match=r"There is no chapter '78' in .*notebooks\. There are: 77-boxed"):
        by(world.root, ["78"], table.read(), read())
    with pytest.raises(BoxError, match="There is no component 'isto'; there are: cert-manager, istio"):
        by(world.root, [], table.read(), read(), ["isto"])


def test_the_real_chapters_need_what_their_demos_name() -> None:
    root = clusters_folder().parent
    wanted = by(root, ["00", "01", "02"], table.read(), read())
    assert len(wanted.chapters) == 3
    assert "registry.k8s.io/e2e-test-images/agnhost:2.56" in wanted.images
    assert any(image.startswith("mysql:") for image in wanted.images)
    assert not any("imagined" in image for image in wanted.images)
    assert [name for name in chapters_here(root) if name[:2] in ("00", "01", "02")] == list(wanted.chapters)


def test_every_image_of_the_real_chapters_is_in_the_table() -> None:
    known = table.read()
    missing = [
        image for image in by(clusters_folder().parent, [], known, read()).images if known.find(image) is None
    ]
    assert missing == []


def test_the_images_of_a_component_are_those_of_its_manifests_and_of_what_its_installer_renders(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upstream.add(
        "/cert-manager.yaml",
        b"spec: {containers: [{image: 'quay.io/jetstack/cert-manager-webhook:v1.21.1'}]}",
    )
    wanted = by(world.root, [], table.read(), read(), ["istio"])
    assert component_images(wanted, read(), Cache.default()) == [
        "quay.io/jetstack/cert-manager-webhook:v1.21.1",
        "hub.example/pilot:1.31.1",
        "hub.example/proxyv2:1.31.1",
    ]
    (world.clusters / "istio").rmdir()
    with pytest.raises(BoxError, match=r"istioctl manifest generate: no lab\.yaml here"):
        component_images(wanted, read(), Cache.default())


def test_the_real_table_names_only_what_is_there() -> None:
    known = read()
    assert {"istio", "linkerd", "calico", "cert-manager", "gateway-api"} == set(known.components)
    for needs in known.components.values():
        for command in needs.renders:
            for word in command:
                assert "{clusters}" not in word or Path(word.format(clusters=clusters_folder())).is_file()
    assert "quay.io/calico/node:v3.32.1" in known.components["calico"].images
