"""Archives that others wrote: old `docker save`, compressed layers, whiteouts, several platforms."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.images import ImageError
from labkit.cluster.images.archives import opened
from labkit.cluster.images.building import Built, build
from labkit.cluster.images.single import fitting

from .conftest import like_a_root


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config_of(*layers: bytes, architecture: str = "amd64") -> bytes:
    return json.dumps(
        {
            "architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/opt/own:/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [sha(each) for each in layers]},
        }
    ).encode()  # fmt: skip


def old_docker_save(file: Path, *layers: bytes, packed: bool = False) -> Path:
    """What Docker before release 25 writes: manifest.json and a folder a layer."""
    config = config_of(*layers)
    files = {"abc.json": config}
    for number, layer in enumerate(layers):
        files[f"{number}/layer.tar"] = gzip.compress(layer, mtime=0) if packed else layer
    manifest = [
        {
            "Config": "abc.json",
            "RepoTags": ["example/base:1"],
            "Layers": [f"{n}/layer.tar" for n in range(len(layers))],
        }
    ]
    file.write_bytes(tar_of({**files, "manifest.json": json.dumps(manifest).encode()}))
    return file


PYTHON = {"usr/bin/python3.11": b"elf", "usr/lib/python3.11/os.py": b"", "usr/bin/curl": b"elf"}


@pytest.mark.parametrize("packed", [False, True])
def test_an_old_docker_save_is_a_base_with_its_own_layers_and_path(tmp_path: Path, packed: bool) -> None:
    first = tar_of(PYTHON, {"usr/bin/python3": "python3.11"})
    second = tar_of({"usr/bin/.wh.curl": b"", "etc/motd": b"hello"})
    base = old_docker_save(tmp_path / "base.tar", first, second, packed=packed)
    built = build(tmp_path / "out.tar", ["busybox:1.37.0"], on=str(base), platform="linux/amd64")
    assert built.base == "docker.io/example/base:1"
    with opened(built.file) as archive:
        image = archive.images()[0]
        tree = archive.tree(image)
        manifest = json.loads(archive.blob(image.digest))
    assert image.config["rootfs"]["diff_ids"][:2] == [sha(first), sha(second)]
    assert image.config["config"]["Env"][0] == "PATH=/opt/own:/usr/bin"
    kinds = [layer["mediaType"] for layer in manifest["layers"][:2]]
    assert all(kind.endswith(".tar+gzip" if packed else ".tar") for kind in kinds)
    assert "/etc/motd" in tree
    assert "/usr/bin/curl" not in tree  # the second layer took it away
    assert "/usr/local/bin/curl" in tree  # so ours stands in


def several_platforms(file: Path, *, attested: bool = True) -> tuple[Path, str]:
    """What an engine that keeps images as registries do saves: an index of platforms, one of them missing; and amd64's digest."""
    blobs: dict[str, bytes] = {}

    def keep(data: bytes) -> dict[str, Any]:
        blobs["blobs/" + sha(data).replace(":", "/")] = data
        return {"digest": sha(data), "size": len(data)}

    def manifest(architecture: str) -> dict[str, Any]:
        layer = tar_of({"hello": architecture.encode()})
        config = keep(config_of(layer, architecture=architecture))
        text = {"schemaVersion": 2, "config": config, "layers": [{**keep(layer), "mediaType": "x.tar"}]}
        kind = "application/vnd.oci.image.manifest.v1+json"
        return {
            **keep(json.dumps(text).encode()),
            "mediaType": kind,
            "platform": {"os": "linux", "architecture": architecture},
        }

    amd64, arm64 = manifest("amd64"), manifest("arm64")
    missing = {**amd64, "digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
    listed = [amd64, arm64, missing]
    if attested:
        listed.append({**amd64, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}})
    index = {**keep(json.dumps({"schemaVersion": 2, "manifests": listed}).encode())}
    top = {**index, "mediaType": "application/vnd.oci.image.index.v1+json",
           "annotations": {"io.containerd.image.name": "docker.io/library/hello:1"}}  # fmt: skip
    texts = {"index.json": json.dumps({"manifests": [top]}).encode(), "oci-layout": b"{}"}
    file.write_bytes(tar_of({**blobs, **texts}))
    return file, str(amd64["digest"])


def test_an_index_of_platforms_is_read_as_far_as_it_is_there(tmp_path: Path) -> None:
    file, _ = several_platforms(tmp_path / "many.tar")
    with opened(file) as archive:
        assert [(i.references, i.platform) for i in archive.images()] == [
            (("docker.io/library/hello:1",), "linux/amd64"),
            (("docker.io/library/hello:1",), "linux/arm64"),
        ]
        with pytest.raises(ImageError, match=r"has no image .* for linux/s390x; it has .*linux/arm64"):
            archive.chosen("hello:1", "linux/s390x")


def test_what_kind_gets_is_one_platform_with_the_digest_it_had(tmp_path: Path) -> None:
    file, digest = several_platforms(tmp_path / "many.tar")
    with opened(file) as archive:
        fit = fitting(archive, "linux/amd64", tmp_path / "one.tar")
    with opened(fit) as archive:
        assert archive.plain
        (image,) = archive.images()
        assert (image.digest, image.platform) == (digest, "linux/amd64")
        assert archive.read(image, {"/hello": 0}) == {"/hello": b"amd64"}
    with tarfile.open(fit) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert json.load(manifest)[0]["RepoTags"] == ["docker.io/library/hello:1"]


def test_an_archive_of_that_form_already_is_taken_as_it_is(built: Built, tmp_path: Path) -> None:
    with opened(built.file) as archive:
        assert fitting(archive, built.platform, tmp_path / "one.tar") == built.file
        with pytest.raises(ImageError, match="has no image for linux/riscv64"):
            fitting(archive, "linux/riscv64", tmp_path / "one.tar")


def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(ImageError, match="cannot be read as an image archive"), opened(text):
        pass
    other = tmp_path / "other.tar"
    other.write_bytes(tar_of({"a": b""}))
    with opened(other) as archive, pytest.raises(ImageError, match=r"neither index\.json nor manifest\.json"):
        archive.images()


def test_an_archive_that_was_cut_off_says_what_is_missing(tmp_path: Path) -> None:
    layer = tar_of(PYTHON)
    file = old_docker_save(tmp_path / "base.tar", layer)
    config = json.dumps([{"Config": "abc.json", "RepoTags": ["a:1"], "Layers": ["gone/layer.tar"]}]).encode()
    file.write_bytes(tar_of({"abc.json": config_of(layer), "manifest.json": config}))
    with pytest.raises(ImageError, match=r"is incomplete: gone/layer\.tar"):
        build(tmp_path / "out.tar", ["busybox:1"], on=str(file), platform="linux/amd64")


def test_a_name_that_nobody_has_is_asked_of_the_engine_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no engine
    with pytest.raises(
        ImageError, match="neither a folder nor an archive here, and no container engine can be asked"
    ):
        build(tmp_path / "out.tar", ["busybox:1"], on="python:3.13-slim")


def test_an_engine_without_the_image_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\n[ $1 = info ] && { echo '{}'; exit 0; }\n"
        "echo 'Error response from daemon: No such image: python:3.13-slim' >&2; exit 1\n"
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        ImageError, match=r"No such image: python:3.13-slim\nPull it first.*docker pull python:3.13-slim"
    ):
        build(tmp_path / "out.tar", ["busybox:1"], on="python:3.13-slim")


def test_a_folder_is_told_apart_by_its_python_not_by_this_machines(tmp_path: Path) -> None:
    built = build(
        tmp_path / "out.tar", ["busybox:1"], on=str(like_a_root(tmp_path / "r", 13)), platform="linux/arm64"
    )
    with opened(built.file) as archive:
        (image,) = archive.images()
    assert image.platform == "linux/arm64"
    assert image.config["architecture"] == "arm64"
