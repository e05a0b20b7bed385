"""This machine's own Python as a base: it runs by itself, with nothing of the machine around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.cluster.images import ImageError
from labkit.cluster.images.archives import opened
from labkit.cluster.images.building import build
from tests.pocket.running import unsupported

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an image needs a Linux Python")
Inside = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Inside:
    """Run a command in the unpacked image of httpd, as root of a user namespace whose root directory it is."""
    if why := unsupported():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("machine")
    built = build(folder / "images.tar", ["httpd:2.4.68"])
    root = folder / "root"
    with opened(built.file) as archive:
        for name in archive.images()[0].layers:
            with archive.open(name) as stream, tarfile.open(fileobj=stream) as layer:
                layer.extraction_filter = lambda member, _path: member  # our own: absolute links are meant
                layer.extractall(root)

    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--user", "--map-root-user", "--pid", "--fork", "chroot", root, *words], input=given,
            capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/local/bin:/usr/bin:/usr/sbin"},
        )  # fmt: skip

    return run


@pytest.mark.cluster
def test_python_and_its_library_are_whole(inside: Inside) -> None:
    code = "import ssl, hashlib, asyncio, http.client, sys; print(sys.prefix, sys.version_info[:2])"
    done = inside("python3", "-IS", "-c", code)
    assert (done.returncode, done.stdout.split(" ", 1)[0]) == (0, "/opt/labkit/python"), done.stderr


@pytest.mark.cluster
def test_the_tools_that_lessons_type_run(inside: Inside) -> None:
    done = inside(
        "sh", "-c", "id -u; printf 'b\\na\\n' | sort | head -1; echo x | grep -c x; echo a1 | sed s/1/2/"
    )
    assert done.stdout.split() == ["0", "a", "1", "a2"], done.stderr


@pytest.mark.cluster
def test_programs_of_ours_start_by_their_names(inside: Inside) -> None:
    assert inside("labkit-probe", "--version").stdout == "labkit-probe 1\n"
    assert inside("busybox", "--help").stdout.startswith("BusyBox (labkit's stand-in)")
    assert "Apache/2.4" in inside("httpd-foreground", "-v").stdout
    task = json.dumps({"flows": [{"id": 1, "host": "127.0.0.1", "port": 1}], "timeout": 1})
    assert json.loads(inside("labkit-probe", given=task).stdout)["outcome"] in ("refused", "unreachable")


@pytest.mark.cluster
def test_byte_code_is_there_so_that_a_start_compiles_nothing(inside: Inside) -> None:
    done = inside("python3", "-IS", "-v", "/usr/local/bin/labkit-probe", "--version")
    assert done.stdout == "labkit-probe 1\n"
    assert "/programs/__pycache__/probe." in done.stderr
    assert "wrote " not in done.stderr


def test_another_platform_needs_a_base(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="name a base image for it"):
        build(tmp_path / "x.tar", ["busybox:1"], platform="linux/s390x")


def test_home_directories_and_passwords_stay_out(tmp_path: Path) -> None:
    from labkit.cluster.images import machine

    tree = machine.tree()
    assert "root:x:0:0" in tree["/etc/passwd"].content().decode()
    assert "/etc/shadow" not in tree
    home = os.path.expanduser("~") + "/"  # noqa: PTH111 - as a string
    # A Python that somebody built for himself leaves a link where it looks for its libraries; no file lies there.
    files = [path for path, entry in tree.items() if not entry.link and not path.startswith("/usr")]
    assert not any(path.startswith((home, "/home/", "/work/")) for path in files)


def test_a_python_of_its_own_prefix_finds_its_libraries_where_it_has_moved() -> None:
    from labkit.cluster.images.machine import _placed

    found = _placed("/opt/conda/lib/python3.12/lib-dynload/../../libssl.so.3", "/opt/conda")
    assert found["/opt/labkit/python/lib/libssl.so.3"].source is not None
    assert found["/opt/conda/lib/libssl.so.3"].link == "/opt/labkit/python/lib/libssl.so.3"
    assert list(_placed("/lib/x86_64-linux-gnu/libm.so.6", "/usr")) == ["/usr/lib/x86_64-linux-gnu/libm.so.6"]


def test_where_no_program_of_the_machine_would_run_the_engine_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=r"python:3\.13-slim is neither a folder nor an archive here"):
        build(tmp_path / "x.tar", ["busybox:1"])
