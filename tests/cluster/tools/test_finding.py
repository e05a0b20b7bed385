"""Which program is taken: PATH, this Python's environment, the cache, a download."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from labkit.cluster.tools import CannotDownload, Platform, Table, ToolError, find, read, this_platform
from labkit.cluster.tools import finding as finding_module
from labkit.cluster.tools.cache import Cache
from labkit.cluster.tools.finding import here
from labkit.cluster.tools.unpack import install
from tests.cluster.tools.upstream import Served, Upstream

HERE = this_platform()


def program(version: str) -> bytes:
    return f"#!/bin/sh\necho tool v{version} go1.26\n".encode()


def table(
    folder: Path, upstream: Upstream, *, file: str = "tool", inside: str = "", sha256: str = ""
) -> Table:
    path = folder / "components.toml"
    path.write_text(f"""
[node]
image = "node"
tag = "v1"
digest = ""
[tools.labtool]
version = "2.1.0"
minimum = "2.0.0"
says = {{ with = ["version"], as = 'v(\\d+\\.\\d+\\.\\d+)' }}
wheel = "labtool-bin"
from = "{upstream.address}/v{{version}}/"
inside = "{inside}"
[tools.labtool.files]
"{HERE}" = {{ file = "{file}", sha256 = "{sha256}" }}
"plan9/mips" = {{ file = "other" }}
""")
    return read(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH, the only one that matters."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return path


def put(folder: Path, version: str) -> Path:
    path = folder / "labtool"
    path.write_bytes(program(version))
    path.chmod(0o755)
    return path


def test_a_program_on_path_that_is_new_enough_is_taken(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache
) -> None:
    path = put(folder, "2.0.0")
    assert find("labtool", table=table(tmp_path, upstream)) == path
    assert upstream.asked == []


def test_one_that_is_too_old_is_passed_over_for_the_pinned_one(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache
) -> None:
    put(folder, "1.9.9")
    served = upstream.add("/v2.1.0/tool", program("2.1.0"))
    known = table(tmp_path, upstream, sha256=served.sha256)
    found = find("labtool", table=known)
    assert found == cache.program(known.tool("labtool"), HERE)
    assert subprocess.run([found], capture_output=True, text=True, check=True).stdout.startswith(
        "tool v2.1.0"
    )
    assert find("labtool", table=known) == found
    assert upstream.paths() == ["/v2.1.0/tool"]


def test_a_program_that_cannot_run_is_not_taken(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache
) -> None:
    broken = put(folder, "2.0.0")
    broken.write_bytes(b"\x7fELF of another processor")
    with pytest.raises(CannotDownload) as told:
        find("labtool", table=table(tmp_path, upstream))
    lines = str(told.value).splitlines()
    assert lines[0] == "labtool is needed, and is not here."
    assert lines[1] == f"{broken} says version (nothing); needed is 2.0.0 or newer."
    assert "404" in lines[2]
    assert lines[-1] == "It also comes as a package: pip install labtool-bin"


def test_the_environment_of_this_python_is_searched_also_when_it_is_not_on_path(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "env" / "bin"
    environment.mkdir(parents=True)
    path = put(environment, "2.5.0")
    monkeypatch.setattr(finding_module.sys, "executable", str(environment / "python"))
    known = table(tmp_path, upstream)
    assert find("labtool", table=known) == path
    assert [one.where for one in here(known.tool("labtool"), cache)] == ["Python environment"]


def test_a_program_that_the_environment_names_is_taken_as_it_is(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = put(tmp_path, "0.0.1")
    monkeypatch.setenv("LABKIT_LABTOOL", str(mine))
    assert find("labtool", table=table(tmp_path, upstream)) == mine
    monkeypatch.setenv("LABKIT_LABTOOL", str(tmp_path / "gone"))
    with pytest.raises(ToolError, match=r"LABKIT_LABTOOL names .*gone, which is not a program"):
        find("labtool", table=table(tmp_path, upstream))


def test_another_processor_is_told_with_those_there_are(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding_module, "this_platform", lambda: Platform("linux", "riscv64"))
    with pytest.raises(ToolError, match=f"not published for linux/riscv64, only for {HERE}, plan9/mips"):
        find("labtool", table=table(tmp_path, upstream))


def test_an_unknown_tool_is_told_with_those_there_are(tmp_path: Path, upstream: Upstream) -> None:
    with pytest.raises(ToolError, match=r"has no tool 'labtol'; it has: labtool"):
        find("labtol", table=table(tmp_path, upstream))


def tar_gz(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for each, body in (("README", b"read me"), (name, content)):
            member = tarfile.TarInfo(each)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(("file", "pack"), [("tool.tar.gz", tar_gz), ("tool.zip", zipped)])
def test_the_one_program_comes_out_of_an_archive_executable(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache, file: str, pack: object
) -> None:
    served = upstream.add(f"/v2.1.0/{file}", pack(f"{HERE.os}-{HERE.arch}/labtool", program("2.1.0")))  # type: ignore[operator]
    known = table(tmp_path, upstream, file=file, inside="{os}-{arch}/labtool", sha256=served.sha256)
    found = find("labtool", table=known)
    assert found.read_bytes() == program("2.1.0")
    assert os.access(found, os.X_OK)
    assert [path.name for path in found.parent.iterdir()] == ["labtool"]


def test_an_archive_without_the_program_is_told(tmp_path: Path) -> None:
    archive = tmp_path / "tool.tar.gz"
    archive.write_bytes(tar_gz("other", b""))
    with pytest.raises(ToolError, match="has no file labtool; `inside`"):
        install(archive, "labtool", tmp_path / "out" / "labtool")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_archive_that_lies_about_its_paths_writes_nothing_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "tool.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        link = tarfile.TarInfo("labtool")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ToolError, match="has no file labtool"):
        install(file, "labtool", tmp_path / "out" / "labtool")


def test_two_processes_that_need_a_tool_fetch_it_once(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache
) -> None:
    asked = threading.Event()
    served = upstream.add("/v2.1.0/tool", program("2.1.0"), halfway=lambda: asked.wait(30) and None)
    known = table(tmp_path, upstream, sha256=served.sha256)
    code = (
        "import sys; from pathlib import Path; from labkit.cluster.tools import find, read;"
        "print(find('labtool', table=read(Path(sys.argv[1])), progress=lambda l: print(l, flush=True)))"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(known.path)],
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for _ in range(2)
    ]
    try:
        firsts = []
        for run in runs:
            assert run.stdout is not None
            firsts.append(run.stdout.readline())
        asked.set()
        rests = [run.communicate(timeout=30)[0] for run in runs]
    finally:
        asked.set()
        for run in runs:
            run.kill()
            run.wait()
    assert sorted("waiting" in line for line in firsts) == [False, True]
    assert {rest.splitlines()[-1] for rest in rests} == {str(cache.program(known.tool("labtool"), HERE))}
    assert upstream.paths() == ["/v2.1.0/tool"]


def test_a_tool_that_a_wheel_or_a_box_put_into_the_cache_needs_no_internet(
    folder: Path, tmp_path: Path, upstream: Upstream, cache: Cache
) -> None:
    content = program("2.1.0")
    known = table(tmp_path, upstream, sha256=Served(content).sha256)
    path = cache.file(known.tool("labtool").files[HERE])
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert find("labtool", table=known).read_bytes() == content
    assert upstream.asked == []
