"""The table of images: whole, honest about its sources, and complete for what the lab's manifests name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.cluster.images import ImageError, read
from labkit.cluster.images.reference import canonical
from labkit.policy import yamlseam

ROOT = Path(__file__).parents[3]
_NAMED = re.compile(r"^[# ]*(?:- )?(?:\{.*)?\bimage: *[\"']?([\w./:-]+:[\w.-]+)", re.M)


def test_every_image_of_the_demos_and_chapters_is_in_the_table() -> None:
    table = read()
    files = [
        *ROOT.glob("clusters/demos/**/*.yaml"),
        *ROOT.glob("notebooks/*/*.py"),
        *ROOT.glob("notebooks/*/*.yaml"),
    ]
    named = {match: file for file in files for match in _NAMED.findall(file.read_text())}
    assert len(named) >= 3
    assert {name: file.name for name, file in named.items() if table.find(name) is None} == {}


def test_each_has_a_digest_a_source_and_somebody_who_uses_it() -> None:
    for entry in read().entries:
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", entry.digest), entry.reference
        assert entry.source, entry.reference
        assert entry.used, entry.reference
        assert not entry.reference.endswith(":latest"), "kubelet would pull it every time"


def test_all_that_demos_use_can_be_played_without_a_line() -> None:
    table = read()
    assert {canonical(name) for name in table.with_stand_in} == {
        canonical(e.reference) for e in table.entries
    }


def test_a_demo_names_only_demos_that_are_there() -> None:
    demos = {path.parent.name for path in ROOT.glob("clusters/demos/*/*.yaml")}
    chapters = {path.parent.name for path in ROOT.glob("notebooks/*/steps.yaml")}
    for entry in read().entries:
        assert set(entry.used) <= demos | chapters | {"probes", "by hand"}, entry.reference


def test_no_demo_pod_asks_for_what_only_one_cluster_has() -> None:
    """No volume claims (a kind node without internet has no provisioner), no host paths, no load balancers, no pull policy."""
    for path in ROOT.glob("clusters/demos/*/*.yaml"):
        text = path.read_text()
        kinds = {obj["kind"] for obj in yamlseam.load_plain(text)}
        assert "PersistentVolumeClaim" not in kinds, path
        assert not re.search(r"hostPath|LoadBalancer|NodePort|imagePullPolicy|:latest", text), path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[image]]\nreference = "nginx"', "needs a reference with a tag"),
        ('[[image]]\nreference = "nginx:1@sha256:0"', "needs a reference with a tag"),
        ('[[image]]\nreference = "nginx:1"\ndigest = "sha256:123"', "no sha256: and 64"),
        ('[[image]]\nreference = "nginx:1"\nport = 80', "has port, which nobody reads"),
        (
            '[[image]]\nreference = "nginx:1"\n[[image]]\nreference = "docker.io/library/nginx:1"',
            "more than once",
        ),
        ("image = ", "cannot be read"),
    ],
)
def test_a_table_that_is_wrong_is_told_with_its_file(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "images.toml"
    file.write_text(text)
    with pytest.raises(ImageError, match=complaint) as caught:
        read(file)
    assert str(file) in str(caught.value)
