"""Which images a cluster is given: digests where it has to pull, tags where they lie on its nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.errors import CannotStart, ClusterUnreachable, Denied
from labkit.cluster.images import ImageError, loaded, pinned, read, wait_ready
from labkit.cluster.images.loaded import Loaded
from labkit.cluster.paper import PaperCluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.56"
ENTRY = read().find(AGNHOST)
assert ENTRY is not None


class Somewhere:
    """A cluster as far as pinning looks: its nodes, and one ConfigMap."""

    live = True

    def __init__(
        self, *nodes: list[str], runtime: str = "containerd://2.1.3", loaded: tuple[str, ...] = ()
    ) -> None:
        self.nodes = [
            {"status": {"nodeInfo": {"containerRuntimeVersion": runtime}, "images": [{"names": names}]}}
            for names in nodes
        ]
        self.written = {name: {"origin": "stand-in", "digest": "sha256:1"} for name in loaded}

    def list(self, kind: str) -> list[dict[str, Any]]:
        assert kind == "nodes"
        return self.nodes

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        assert (kind, namespace, name) == ("ConfigMap", "kube-system", "labkit-images")
        return {"data": {"images.json": json.dumps(self.written)}} if self.written else None

    def apply(self, obj: dict[str, Any], source: str) -> None:
        self.written = json.loads(obj["data"]["images.json"])


def pod(image: str, **container: object) -> dict[str, Any]:
    return {"kind": "Pod", "spec": {"containers": [{"name": "a", "image": image, **container}]}}


def image_of(obj: dict[str, Any]) -> str:
    return str(obj["spec"]["containers"][0]["image"])


def test_what_has_to_be_pulled_is_pulled_by_digest() -> None:
    (found,) = pinned([pod(AGNHOST)], Somewhere([]))  # type: ignore[arg-type]
    assert image_of(found) == f"{AGNHOST}@{ENTRY.digest}"
    assert "imagePullPolicy" not in found["spec"]["containers"][0]


def test_what_was_loaded_keeps_its_tag_and_is_not_pulled() -> None:
    there = Somewhere([], loaded=(AGNHOST,))
    (found,) = pinned([pod(AGNHOST, imagePullPolicy="Always")], there)  # type: ignore[arg-type]
    assert found["spec"]["containers"][0] == {
        "name": "a",
        "image": AGNHOST,
        "imagePullPolicy": "IfNotPresent",
    }
    (never,) = pinned([pod(AGNHOST, imagePullPolicy="Never")], there)  # type: ignore[arg-type]
    assert never["spec"]["containers"][0]["imagePullPolicy"] == "Never"


def test_what_every_node_has_keeps_its_tag_what_one_has_does_not() -> None:
    assert image_of(pinned([pod(AGNHOST)], Somewhere([AGNHOST], [AGNHOST]))[0]) == AGNHOST  # type: ignore[arg-type]
    assert "@" in image_of(pinned([pod(AGNHOST)], Somewhere([AGNHOST], []))[0])  # type: ignore[arg-type]


def test_an_image_that_was_pulled_by_digest_stays_the_same_the_second_time() -> None:
    """The node then knows it by its digest alone, so that applying again changes nothing."""
    there = Somewhere([f"registry.k8s.io/e2e-test-images/agnhost@{ENTRY.digest}"])
    assert image_of(pinned([pod(AGNHOST)], there)[0]) == f"{AGNHOST}@{ENTRY.digest}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image", ["example.org/own:1", f"nginx:1.30.5@sha256:{'b' * 64}", "nginx:1.2.3", "nginx"]
)
def test_what_is_not_in_the_table_stays(image: str) -> None:
    assert image_of(pinned([pod(image)], Somewhere([]))[0]) == image  # type: ignore[arg-type]


@pytest.mark.parametrize("cluster", [Somewhere([], runtime="pocket://0.1.0"), PaperCluster("no machine")])
def test_where_nothing_is_pulled_nothing_changes(cluster: Any) -> None:
    assert pinned([pod(AGNHOST)], cluster) == [pod(AGNHOST)]
    assert pinned(f"image: {AGNHOST}", cluster) == f"image: {AGNHOST}"


def test_every_place_for_containers_is_seen_and_the_given_object_left_alone() -> None:
    inner = {"initContainers": [{"image": AGNHOST}], "containers": [{"image": "mysql:8.4.11"}]}
    job = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": inner}}}}}
    deployment = {"kind": "Deployment", "spec": {"template": {"spec": inner}}}
    given = {"kind": "List", "items": [deployment, job, {"kind": "Service", "spec": {"ports": []}}]}
    before = json.dumps(given)
    (found,) = pinned([given], Somewhere([]))  # type: ignore[arg-type]
    assert json.dumps(given) == before
    assert json.dumps(found).count("@sha256:") == 4


def test_a_manifests_text_keeps_its_lines() -> None:
    text = f'''
# image: {AGNHOST} in a comment stays readable too
spec:
  containers:
    - {{name: a, image: "{AGNHOST}", args: [pause]}}
    - image: {AGNHOST} # why
'''
    found = pinned(text, Somewhere([]))  # type: ignore[arg-type]
    assert found.count("\n") == text.count("\n")
    assert f'image: "{AGNHOST}@{ENTRY.digest}", args' in found
    assert f"image: {AGNHOST}@{ENTRY.digest} # why" in found


def test_who_may_not_look_gets_digests_and_who_is_not_there_is_told() -> None:
    class Closed(Somewhere):
        error: Exception = Denied("forbidden", code=403)

        def list(self, kind: str) -> list[dict[str, Any]]:
            raise self.error

        def get(self, kind: str, name: str, namespace: str) -> None:
            raise self.error

    closed = Closed([])
    assert "@sha256:" in image_of(pinned([pod(AGNHOST)], closed)[0])  # type: ignore[arg-type]
    closed.error = ClusterUnreachable("down")
    with pytest.raises(ClusterUnreachable):
        pinned([pod(AGNHOST)], closed)  # type: ignore[arg-type]


def test_without_the_folder_clusters_manifests_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_CLUSTERS", str(tmp_path))
    assert pinned([pod(AGNHOST)], Somewhere([])) == [pod(AGNHOST)]  # type: ignore[arg-type]
    (tmp_path / "components.toml").write_text("")
    (tmp_path / "images.toml").write_text("[[image]]\nreference = 'a:1'\n" * 2)
    with pytest.raises(ImageError, match="more than once"):
        pinned([pod(AGNHOST)], Somewhere([]))  # type: ignore[arg-type]


def test_what_is_written_down_is_read_again_and_added_to() -> None:
    there = Somewhere([])
    loaded.record(there, [Loaded("nginx:1", "stand-in", "sha256:a", 5)])  # type: ignore[arg-type]
    loaded.record(there, [Loaded("redis:1", "bundle", "sha256:b"), Loaded("nginx:1", "engine", "sha256:c")])  # type: ignore[arg-type]
    found = loaded.read(there)  # type: ignore[arg-type]
    assert {name: (each.origin, each.digest) for name, each in found.items()} == {
        "docker.io/library/nginx:1": ("engine", "sha256:c"),
        "docker.io/library/redis:1": ("bundle", "sha256:b"),
    }


def test_somebody_elses_config_map_of_that_name_is_none_of_ours() -> None:
    class Other(Somewhere):
        def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
            return {"data": {"images.json": "[1, 2]"}}

    assert loaded.read(Other([])) == {}  # type: ignore[arg-type]


class Offline(Somewhere):
    """A cluster without internet: what names a digest cannot start, what names a tag starts if it `lies_there`."""

    def __init__(self, *, lies_there: bool) -> None:
        super().__init__([])
        self.lies_there = lies_there
        self.by_tag = False

    def wait_ready(self, _manifest: object, *, timeout: float, progress: object) -> None:
        if not (self.by_tag and self.lies_there):
            raise CannotStart("by tag" if self.by_tag else "by digest", [])

    def start(self, manifest: object) -> None:
        def by_tag() -> None:
            self.by_tag = True

        wait_ready(self, manifest, by_tag=by_tag, progress=lambda _line: None, timeout=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("manifest", [[pod(AGNHOST)], f"containers:\n- image: {AGNHOST}\n"])
def test_an_image_that_lies_on_the_nodes_untold_is_found_by_its_tag_and_told_of_from_then_on(
    manifest: Any,
) -> None:
    cluster = Offline(lies_there=True)
    cluster.start(manifest)
    assert pinned(manifest, cluster) == manifest or image_of(pinned(manifest, cluster)[0]) == AGNHOST  # type: ignore[call-overload]
    assert cluster.written[AGNHOST]["origin"] == "engine"


def test_an_image_that_is_nowhere_fails_as_it_did_first() -> None:
    cluster = Offline(lies_there=False)
    with pytest.raises(CannotStart, match="by digest"):
        cluster.start([pod(AGNHOST)])
    assert not cluster.written


def test_what_was_not_pinned_is_not_tried_again() -> None:
    cluster = Offline(lies_there=True)
    with pytest.raises(CannotStart, match="by digest"):
        cluster.start([pod("somebody/else:1")])
    assert not cluster.by_tag
