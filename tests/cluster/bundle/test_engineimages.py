"""Images taken apart from archives as engines save them, and put together again for kind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.cluster.bundle import BoxError, DamagedBox, NoRoom, loading
from labkit.cluster.bundle.contents import BoxedImage, BoxedLayer, Contents, Part
from labkit.cluster.bundle.engineimages import packed, take_apart
from labkit.cluster.bundle.imagearchives import is_whole, write_archive
from labkit.cluster.images.archives import opened
from labkit.cluster.images.errors import ImageError
from labkit.cluster.tools import Cache
from labkit.cluster.tools import download as downloading
from labkit.cluster.tools.cache import sweep

Json = dict[str, Any]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(text: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return file.getvalue()


def write(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def config(architecture: str, *layers: bytes) -> Json:
    return {
        "os": "linux", "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]},
    }  # fmt: skip


def docker_archive(path: Path, *layers: bytes, said: Json | None = None) -> Path:
    """As `docker save` wrote it before release 25."""
    files = {f"{number}/layer.tar": content for number, content in enumerate(layers)}
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": list(files)}]
    text = json.dumps(said or config("amd64", *layers)).encode()
    return write(path, {**files, "config.json": text, "manifest.json": json.dumps(manifest).encode()})


def oci_archive(path: Path, whole: str, others: tuple[str, ...]) -> Path:
    """As an engine with the containerd store writes it: an index of all platforms, the blobs of one, an attestation."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes | Json, keep: bool = True) -> Json:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        if keep:
            blobs["blobs/" + digest(data).replace(":", "/")] = data
        return {"digest": digest(data), "size": len(data)}

    entries = []
    for architecture in (whole, *others):
        content = layer(architecture)
        mine = architecture == whole
        manifest = {
            "schemaVersion": 2,
            "config": blob(config(architecture, content), mine),
            "layers": [
                blob(gzip.compress(content), mine)
                | {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}
            ],
        }
        entries.append(
            blob(manifest, mine)
            | {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
    attestation = blob({"schemaVersion": 2, "config": blob({}), "layers": []})
    attestation |= {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    index = "application/vnd.oci.image.index.v1+json"
    inner = blob({"schemaVersion": 2, "mediaType": index, "manifests": [*entries, attestation]})
    outer = {"schemaVersion": 2, "manifests": [inner | {"mediaType": index}]}
    return write(path, {**blobs, "index.json": json.dumps(outer).encode(), "oci-layout": b"{}"})


def test_layers_are_kept_compressed_under_the_digest_of_what_is_in_them(tmp_path: Path) -> None:
    content = layer("one")
    text, (only,) = take_apart(docker_archive(tmp_path / "a.tar", content), "linux/amd64", tmp_path)
    assert json.loads(text)["architecture"] == "amd64"
    assert only.path.name == f"{digest(content).partition(':')[2]}.tar.gz"
    assert gzip.decompress(only.path.read_bytes()) == content


def test_the_same_layer_always_gives_the_same_bytes(tmp_path: Path) -> None:
    content = layer("one")
    got = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _, (only,) = take_apart(
            docker_archive(tmp_path / f"{name}.tar", content), "linux/amd64", tmp_path / name
        )
        got.append(only.path.read_bytes())
    assert got[0] == got[1]


def test_of_an_index_of_many_platforms_the_one_that_is_whole_is_taken(tmp_path: Path) -> None:
    archive = oci_archive(tmp_path / "a.tar", "arm64", ("amd64", "s390x"))
    text, (only,) = take_apart(archive, "linux/arm64", tmp_path)
    assert json.loads(text)["architecture"] == "arm64"
    assert gzip.decompress(only.path.read_bytes()) == layer("arm64")
    with pytest.raises(ImageError, match=r"has no image .* for linux/amd64"):
        take_apart(archive, "linux/amd64", tmp_path)


def test_a_layer_that_is_not_what_the_configuration_says_is_refused(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "a.tar", layer("one"), said=config("amd64", layer("two")))
    with pytest.raises(BoxError, match=r"the engine gave a layer that is sha256:.* and should be sha256:"):
        take_apart(archive, "linux/amd64", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.fixture
def boxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BoxedImage:
    """An image whose parts are in the cache, as after loading."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    layers = tmp_path / "cache" / "layers"
    layers.mkdir(parents=True)
    text, (only,) = take_apart(docker_archive(tmp_path / "a.tar", layer("one")), "linux/amd64", layers)
    (layers / "config.json").write_bytes(text)
    parts = (BoxedLayer(f"layers/{only.path.name}", only.diff_id, only.media_type),)
    return BoxedImage(("docker.io/library/one:1",), "", "engine", "images/config.json", parts)


def test_what_was_taken_apart_is_put_together_as_one_platform_with_docker_and_oci_lists(
    boxed: BoxedImage, tmp_path: Path
) -> None:
    assert is_whole(boxed, Cache.default())
    write_archive([boxed], Cache.default(), tmp_path / "out.tar")
    with opened(tmp_path / "out.tar") as archive:
        assert archive.plain
        (image,) = archive.images()
        assert (image.references, image.platform) == (("docker.io/library/one:1",), "linux/amd64")
        assert packed(image.config) == (tmp_path / "cache" / "layers" / "config.json").read_bytes()
    with tarfile.open(tmp_path / "out.tar") as tar:
        (docker,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert docker["RepoTags"] == ["docker.io/library/one:1"]


def test_a_layer_that_somebody_removed_is_named(boxed: BoxedImage, tmp_path: Path) -> None:
    (tmp_path / "cache" / boxed.layers[0].part).unlink()
    assert not is_whole(boxed, Cache.default())
    with pytest.raises(
        DamagedBox, match=r"is gone, which docker\.io/library/one:1 needs\. Load the box again"
    ):
        write_archive([boxed], Cache.default(), tmp_path / "out.tar")


def test_an_engine_whose_disk_is_too_small_is_told_before_the_image_goes_there(
    boxed: BoxedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(boxed.layers[0].part, 1_000_000_000, "0" * 64, "layer", "node")
    contents = Contents("", {}, "linux/amd64", (), (part,), (boxed,))
    engine = SimpleNamespace(name="docker", local=True, folder=str(tmp_path / "var" / "lib" / "docker"))
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000_000))
    with pytest.raises(
        NoRoom, match=r"needs about 3\.0 GB in docker's own folder, .*, where 2\.0 GB are free"
    ):
        loading._room_in(engine, [boxed], contents)  # type: ignore[arg-type]
    engine.local = False
    loading._room_in(engine, [boxed], contents)  # type: ignore[arg-type]


def test_what_killed_programs_left_is_swept_up_once_it_is_old(tmp_path: Path) -> None:
    old = ("parts/box-abc/wheels/one.whl", "files/kind/1/.kind-12345678", "wheels/.one.whl-12345678")
    for name in (*old, "wheels/one.whl", "mine/.config-12345678"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert (tmp_path / "parts" / "box-abc").exists()
    long_ago = time.time() - 100_000
    for path in (tmp_path / "parts" / "box-abc", *tmp_path.rglob(".*-12345678")):
        os.utime(path, (long_ago, long_ago))
    sweep(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"wheels/one.whl", "mine/.config-12345678"}
