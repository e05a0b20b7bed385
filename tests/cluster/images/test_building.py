"""An archive of stand-ins: what is in it, and that the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from labkit.cluster.images import ImageError
from labkit.cluster.images.archives import opened
from labkit.cluster.images.building import Built, build
from labkit.cluster.images.standins import HOME, LABEL
from labkit.pocket import images as standins

from .conftest import REFERENCES, like_a_root


def test_every_reference_is_in_it_with_the_digest_of_its_manifest(built: Built) -> None:
    with opened(built.file) as archive:
        found = {name: image.digest for image in archive.images() for name in image.references}
        blobs = {image.digest: archive.blob(image.digest) for image in archive.images()}
    assert found == built.digests
    assert len(found) == len(REFERENCES)
    for digest, blob in blobs.items():
        assert digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"


def test_every_blob_is_what_its_name_says_and_named_by_somebody(built: Built) -> None:
    with tarfile.open(built.file) as tar:
        names = {member.name for member in tar if member.name.startswith("blobs/")}
        for name in names:
            stream = tar.extractfile(name)
            assert stream is not None
            assert hashlib.file_digest(stream, "sha256").hexdigest() == name.rpartition("/")[2]
        docker = tar.extractfile("manifest.json")
        assert docker is not None
        manifest = json.load(docker)
    named = {path for each in manifest for path in (each["Config"], *each["Layers"])}
    assert named < names  # besides them the OCI manifests, which manifest.json does not know


def test_the_big_layers_are_there_once_and_only_the_last_differs(built: Built) -> None:
    with opened(built.file) as archive:
        stacks = [image.layers for image in archive.images()]
    assert len({stack[:-1] for stack in stacks}) == 1
    assert len({stack[-1] for stack in stacks}) == len(stacks)


def test_the_configuration_is_the_stand_ins(built: Built) -> None:
    with opened(built.file) as archive:
        configs = {name: image.config for image in archive.images() for name in image.references}
    nginx = configs["docker.io/library/nginx:1.30.5"]
    assert nginx["config"]["Entrypoint"] == ["/docker-entrypoint.sh"]
    assert nginx["config"]["Cmd"] == ["nginx", "-g", "daemon off;"]
    assert nginx["config"]["ExposedPorts"] == {"80/tcp": {}}
    assert "NGINX_VERSION=1.30.5" in nginx["config"]["Env"]
    assert any(word.startswith("PATH=/usr/local/sbin:") for word in nginx["config"]["Env"])
    assert nginx["config"]["Labels"][LABEL].startswith("nginx: ")
    for name, config in configs.items():
        assert LABEL in config["config"]["Labels"], name
        assert config["created"].startswith("1970"), name
        assert len(config["rootfs"]["diff_ids"]) == 3


def test_each_command_of_a_stand_in_is_an_executable_of_its_own(built: Built) -> None:
    with opened(built.file) as archive:
        image = archive.chosen("mysql:8.4.11", built.platform)
        tree = archive.tree(image)
        paths = {path: number for path, (number, _) in tree.items() if path == "/usr/sbin/mysqld"}
        text = archive.read(image, paths)["/usr/sbin/mysqld"].decode()
    assert text.startswith("#!/usr/bin/python3 -IS\n")
    assert "'mysqld:main'" in text
    expected = standins.find("mysql")
    assert expected is not None
    for path in ("/usr/sbin/mysqld", "/usr/local/bin/docker-entrypoint.sh", "/usr/local/bin/labkit-probe"):
        assert tree[path][1].mode == 0o755
    assert set(expected.files) <= set(tree)
    assert f"{HOME}/labkit/pocket/images/programs/mysqld.py" in tree
    assert f"{HOME}/labkit/pocket/cluster.py" not in tree  # the programs, not the cluster


def test_a_tool_of_ours_is_there_exactly_where_the_base_lacks_it(built: Built) -> None:
    with opened(built.file) as archive:
        tree = archive.tree(archive.chosen("busybox:1.37.0", built.platform))
    assert "/usr/local/bin/curl" not in tree  # the base has one
    assert "/usr/local/bin/telnet" in tree
    assert "/usr/local/bin/wget" in tree  # always ours: it speaks as BusyBox's does


def test_the_same_input_gives_the_same_bytes(built: Built, root_folder: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "again.tar", reversed(REFERENCES), on=str(root_folder))
    assert again.digests == built.digests
    assert again.file.read_bytes() == built.file.read_bytes()


def test_nor_do_the_folders_times_or_the_hash_seed_matter(tmp_path: Path) -> None:
    """With byte code: on a base of this Python's own version."""
    digests = []
    for seed in ("1", "2"):
        root = like_a_root(tmp_path / seed, minor=sys.version_info[1])
        os.utime(root / "usr/bin/sh", (int(seed) * 1000, int(seed) * 1000))
        code = (
            "import json, sys; from pathlib import Path; from labkit.cluster.images.building import build; "
            "print(json.dumps(build(Path(sys.argv[1]), ['nginx:1.30.5'], on=sys.argv[2]).digests))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / f"{seed}.tar", root],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.append(json.loads(done.stdout))
    assert digests[0] == digests[1]
    with opened(tmp_path / "1.tar") as archive:
        tree = archive.tree(archive.images()[0])
    assert any(path.endswith(f"nginx.{sys.implementation.cache_tag}.pyc") for path in tree)


def test_another_python_gets_no_byte_code_of_this_one(built: Built) -> None:
    with opened(built.file) as archive:
        assert not any(path.endswith(".pyc") for path in archive.tree(archive.images()[0]))


def test_an_image_without_a_stand_in_is_refused_with_those_there_are(
    root_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"no stand-in for docker.io/library/postgres:17.*nginx"):
        build(tmp_path / "x.tar", ["postgres:17"], on=str(root_folder))
    assert not (tmp_path / "x.tar").exists()


def test_what_ends_early_leaves_nothing(root_folder: Path, tmp_path: Path) -> None:
    (root_folder / "usr/bin/python3").unlink()
    place = tmp_path / "out"
    with pytest.raises(ImageError, match="has no python3 in"):
        build(place / "x.tar", REFERENCES, on=str(root_folder))
    assert list(place.iterdir()) == []


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    old = like_a_root(tmp_path / "old", minor=9)
    with pytest.raises(ImageError, match=r"has Python 3\.9; the stand-ins need 3\.11"):
        build(tmp_path / "x.tar", REFERENCES, on=str(old))


def test_the_programs_need_nothing_but_what_is_packed(tmp_path: Path) -> None:
    """The files of the common layer, with the standard library alone, can import every program."""
    from labkit.cluster.images.standins import _sources

    for inside, file in _sources():
        target = tmp_path / inside.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from labkit.pocket.images import registry; registry.preload(); "
        "bad = [n for n, m in sys.modules.items() if 'site-packages' in str(getattr(m, '__file__', ''))]; print(bad)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, f"{tmp_path}{HOME}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
