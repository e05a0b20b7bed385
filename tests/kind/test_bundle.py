"""A workshop in a box with a real engine, a real registry and a real kind: made, carried elsewhere, loaded, and used."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.cluster.bundle import BoxError, Recipe, create, listed, load, load_into, loaded_images
from labkit.cluster.bundle.imagearchives import write_archive
from labkit.cluster.bundle.loading import load_into_engine
from labkit.cluster.images.archives import opened
from labkit.cluster.places import clusters_folder
from labkit.cluster.providers import Options
from labkit.cluster.providers.engine import Engine
from labkit.cluster.providers.kind import KindProvider
from labkit.cluster.tools import Cache
from tests.cluster.bundle.world import World, build
from tests.cluster.tools.upstream import Upstream

from .conftest import made

BASE = "offline.lab/base:1"  # has a static busybox, which is all that our images need
REGISTRY = shutil.which("docker-registry") or shutil.which("registry")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def names(engine: Engine) -> Iterator[list[str]]:
    """References to remove from the engine afterwards; of our own making, so that nobody else misses them."""
    made: list[str] = []
    yield made
    engine.run("rmi", "-f", *made, check=False)


@pytest.fixture(scope="module")
def busybox(engine: Engine) -> bytes:
    if engine.run("image", "inspect", BASE, check=False).returncode:
        pytest.skip(f"needs the image {BASE} in the engine")
    container = engine.run("create", BASE, "true").stdout.strip()
    try:
        copied = subprocess.run(
            engine.command("cp", f"{container}:/bin/busybox", "-"),
            capture_output=True,
            check=True,
            env=engine.environment,
        )
    finally:
        engine.run("rm", container)
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as tar:
        return tar.extractfile("busybox").read()  # type: ignore[union-attr]


def make_image(engine: Engine, reference: str, busybox: bytes, says: str) -> None:
    """An image that serves a page over HTTP on port 8080."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in (("bin/busybox", busybox), ("www/index.html", says.encode())):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    command = 'CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]'
    subprocess.run(
        engine.command("import", "--change", command, "-", reference),
        input=file.getvalue(), check=True, capture_output=True, env=engine.environment,
    )  # fmt: skip


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """HOST:PORT of a real registry on this machine."""
    if REGISTRY is None:
        pytest.skip("needs a registry: apt-get install docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    running = subprocess.Popen(
        [REGISTRY, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert running.poll() is None
            time.sleep(0.05)  # until it listens: it says so nowhere else
        yield f"127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def published(engine: Engine, host: str, busybox: bytes, names: list[str]) -> tuple[str, str]:
    """An image in the registry and no longer in the engine: its reference and digest."""
    reference = f"{host}/demo/web:1"
    names.append(reference)
    make_image(engine, reference, busybox, "from the box")
    engine.run("push", reference)
    digests = json.loads(
        engine.run("image", "inspect", "--format", "{{json .RepoDigests}}", reference).stdout
    )
    digest = digests[0].partition("@")[2]
    engine.run("rmi", reference, f"{host}/demo/web@{digest}", check=False)
    assert engine.run("image", "inspect", reference, check=False).returncode
    return reference, digest


def settle(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    """Be on one machine or another: its own cache, the same checkout."""
    monkeypatch.setenv("LABKIT_CLUSTERS", str(world.clusters))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / machine))


def test_images_come_from_the_registry_by_digest_and_leave_the_box_as_one_platform(
    engine: Engine,
    busybox: bytes,
    names: list[str],
    upstream: Upstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = f"node-{uuid.uuid4().hex[:6]}.example/node"
    names.append(f"{node}:v1")
    make_image(engine, f"{node}:v1", busybox, "not really a node")
    with registry(tmp_path) as host:
        reference, digest = published(engine, host, busybox, names)
        world = build(tmp_path / "checkout", upstream, image=reference, digest=digest, node=node)
        settle(world, tmp_path, monkeypatch, "here")
        told: list[str] = []
        contents = create(Recipe(wheels=False, local=True), tmp_path / "box.tar", progress=told.append)
        assert f"pulling {reference}" in told
        web = next(image for image in contents.images if not image.node)
        assert (web.digest, web.origin, web.references) == (digest, "registry", (reference,))
        # The two images share the layer with busybox only if it is byte for byte the same; each layer is in the box once.
        assert len({part.path for part in contents.parts}) == len(contents.parts)
        told.clear()
        create(Recipe(wheels=False, local=True), tmp_path / "box.tar", progress=told.append)
        assert f"pulling {reference}" not in told
    upstream.files.clear()
    engine.run("rmi", "-f", f"{node}:v1", reference, f"{reference.rpartition(':')[0]}@{digest}", check=False)

    settle(world, tmp_path, monkeypatch, "elsewhere")
    done = load(tmp_path / "box.tar")
    assert done.node == f"{node}:v1"
    assert engine.run("image", "inspect", f"{node}:v1", check=False).returncode == 0
    (image,) = loaded_images()
    assert image.references == (reference,)
    archive = tmp_path / "one.tar"
    write_archive([image], Cache.default(), archive)
    with opened(archive) as read:
        assert read.plain
        assert [found.references for found in read.images()] == [(reference,)]
    load_into_engine(engine, [image], Cache.default())
    ran = engine.run("run", "--rm", reference, "/bin/busybox", "cat", "/www/index.html")
    assert ran.stdout == "from the box"


def test_an_image_that_cannot_be_pulled_is_told_with_what_may_be_done(
    engine: Engine,
    upstream: Upstream,
    busybox: bytes,
    names: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = f"127.0.0.1:1/web-{uuid.uuid4().hex[:6]}:1"
    names.append(reference)
    make_image(engine, reference, busybox, "local")
    world = build(
        tmp_path / "checkout", upstream, image=reference, digest=f"sha256:{'0' * 64}", node=reference[:-2]
    )
    (world.clusters / "components.toml").write_text(
        (world.clusters / "components.toml").read_text().replace('tag = "v1"', 'tag = "1"')
    )
    settle(world, tmp_path, monkeypatch, "here")
    with pytest.raises(BoxError, match=f"{reference} cannot be pulled: .*\n.*--local"):
        create(Recipe(wheels=False), tmp_path / "box.tar")
    assert not (tmp_path / "box.tar").exists()
    create(Recipe(wheels=False, local=True), tmp_path / "box.tar")
    assert {image.origin for image in listed(tmp_path / "box.tar").images} == {"engine"}


def test_after_the_box_is_loaded_a_cluster_is_made_and_runs_its_images_without_a_registry(
    engine: Engine,
    kind_image: str,
    busybox: bytes,
    names: list[str],
    upstream: Upstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not kind_image:
        pytest.skip("needs a node image in the engine: a box is made of it")
    # Another name for the node image, so that the one that others use stays.
    node = f"node-{uuid.uuid4().hex[:6]}.example/node"
    names.append(f"{node}:v1")
    engine.run("tag", kind_image, f"{node}:v1")
    kind = Path(shutil.which("kind") or "").resolve()
    image = f"web-{uuid.uuid4().hex[:6]}.example/web:1"
    names.append(image)
    make_image(engine, image, busybox, "from the box")
    world = build(tmp_path / "checkout", upstream, image=image, node=node, kind=kind.read_bytes())
    shutil.copytree(clusters_folder() / "kind", world.clusters / "kind")
    settle(world, tmp_path, monkeypatch, "here")
    create(Recipe(wheels=False, local=True), tmp_path / "box.tar")
    engine.run("rmi", image, f"{node}:v1")
    upstream.files.clear()

    settle(world, tmp_path, monkeypatch, "elsewhere")
    monkeypatch.setenv("PATH", os.pathsep.join(_without_kind(os.environ["PATH"])))
    load(tmp_path / "box.tar")
    upstream.asked.clear()
    with made(f"box-{uuid.uuid4().hex[:6]}", tmp_path / "home", Options()) as cluster:
        cluster.kubectl("apply", "-f", str(world.clusters / "demos" / "small" / "small.yaml"))
        cluster.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        page = cluster.kubectl("exec", "web", "--", "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8080/")
        assert page.stdout == "from the box"
        known = cluster.cluster.get("ConfigMap", "labkit-images", "kube-system")
        assert json.loads(known["data"]["images.json"])[image]["origin"] == "bundle"
        # A box that comes when the cluster is there already: `labkit up` again brings what is missing, and only that.
        assert load_into(cluster.kind_name) == []
        node = f"{cluster.kind_name}-control-plane"
        engine.run("exec", node, "ctr", "-n", "k8s.io", "images", "rm", image)
        cluster.cluster.delete("configmaps", "labkit-images", "kube-system", wait=None)
        told: list[str] = []
        KindProvider(tmp_path / "home").create(cluster.name, progress=told.append, options=Options())
        assert any("images of the box" in line for line in told)
        assert image in engine.run("exec", node, "ctr", "-n", "k8s.io", "images", "ls", "-q").stdout.split()
    assert upstream.asked == []


def _without_kind(path: str) -> list[str]:
    return [folder for folder in path.split(os.pathsep) if not (Path(folder) / "kind").exists()]
