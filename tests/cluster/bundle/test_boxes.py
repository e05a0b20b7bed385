"""Boxes without images: made from a local publisher, loaded into an empty cache, interrupted, damaged, too big."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit.cluster.bundle import BoxError, Contents, DamagedBox, NoRoom, Recipe, create, listed, load
from labkit.cluster.bundle import loading as loading_module
from labkit.cluster.bundle.contents import Part, from_json
from labkit.cluster.bundle.loading import place
from labkit.cluster.tools import Cache, Platform, ToolError, fetch, find, read
from labkit.cluster.tools import download as downloading
from tests.cluster.bundle.world import HERE, KIND, World

PLAIN = Recipe(with_images=False, wheels=False, tools=("istioctl",))


@pytest.fixture
def box(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box on another machine: an empty cache, and a publisher who must not be asked any more."""
    path = tmp_path / "box.tar"
    create(PLAIN, path)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "elsewhere"))
    world.upstream.files.clear()
    world.upstream.asked.clear()
    return path


def rewrite(box: Path, change: dict[str, bytes]) -> None:
    """The same box with other bytes for some parts."""
    with tarfile.open(box) as old:
        members = [(one, change.get(one.name, old.extractfile(one).read())) for one in old]  # type: ignore[union-attr]
    with tarfile.open(box, "w") as new:
        for member, content in members:
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))


def test_after_loading_nothing_is_asked_of_the_net(box: Path, world: World) -> None:
    done = load(box, engine=False)
    assert (done.loaded, done.skipped) == (len(done.contents.parts), 0)
    assert find("kind").read_bytes() == KIND
    assert find("istioctl").exists()
    assert fetch(read().component("cert-manager").files[0]).read_bytes().startswith(b"kind: List")
    assert world.upstream.asked == []


def test_the_list_of_contents_comes_first_and_says_all(box: Path) -> None:
    with tarfile.open(box) as tar:
        assert tar.next().name == "manifest.json"  # type: ignore[union-attr]
    contents = listed(box)
    assert contents.chapters == ("77-boxed",)
    assert contents.platform == str(HERE)
    assert {part.title: part.checked_by for part in contents.parts if part.kind == "tool"} == {
        "kind 0.31.0": "pinned",
        "istioctl 1.31.1": "as published",
        "kubectl 1.34.3": "first use",
    }
    assert box.stat().st_size > contents.size
    run = CliRunner().invoke(main, ["bundle", "list", str(box)])
    assert "kind 0.31.0" in run.output
    assert "cert-manager 1.21.1 cert-manager.yaml" in run.output
    said = json.loads(CliRunner().invoke(main, ["bundle", "list", str(box), "-o", "json"]).output)
    assert said["size"] == contents.size
    assert len(said["parts"]) == len(contents.parts)


def test_a_second_load_skips_what_is_there_and_good(box: Path) -> None:
    load(box, engine=False)
    done = load(box, engine=False)
    assert (done.loaded, done.skipped) == (0, len(done.contents.parts))
    broken = place(Cache.default(), done.contents.parts[0])
    broken.write_bytes(b"x" * broken.stat().st_size)
    done = load(box, engine=False)
    assert done.loaded == 1


def test_an_interrupted_load_goes_on_where_it_was(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = loading_module._keep
    kept: list[str] = []

    def interrupted(box_: object, part: Part, *rest: object) -> None:
        if len(kept) == 2:
            raise KeyboardInterrupt
        keep(box_, part, *rest)  # type: ignore[arg-type]
        kept.append(part.path)

    monkeypatch.setattr(loading_module, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(box, engine=False)
    monkeypatch.setattr(loading_module, "_keep", keep)
    done = load(box, engine=False)
    assert (done.loaded, done.skipped) == (len(done.contents.parts) - 2, 2)
    assert find("kind").read_bytes() == KIND


def test_a_load_that_is_killed_in_the_middle_of_a_part_leaves_no_half_part(box: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from labkit.cluster.bundle import boxes, load\n"
        "copy = boxes.Box.copy\n"
        "def dies(self, part, target):\n"
        "    if part.kind == 'manifest':\n"
        "        target.write(b'half'); target.flush(); os.kill(os.getpid(), 9)\n"
        "    copy(self, part, target)\n"
        "boxes.Box.copy = dies\n"
        "load(Path(sys.argv[1]), engine=False)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(box)], check=False).returncode == -9
    manifest = next(part for part in listed(box).parts if part.kind == "manifest")
    assert not place(Cache.default(), manifest).exists()
    done = load(box, engine=False)
    assert done.skipped > 0
    assert place(Cache.default(), manifest).stat().st_size == manifest.size


def test_a_damaged_part_is_refused_by_name(box: Path) -> None:
    rewrite(box, {"files/kind/0.31.0/kind-here": KIND.replace(b"31", b"32")})
    with pytest.raises(
        DamagedBox, match=r"the part files/kind/0\.31\.0/kind-here \(kind 0\.31\.0\) is damaged"
    ):
        load(box, engine=False)
    assert not (Cache.default().root / "files" / "kind" / "0.31.0" / "kind-here").exists()


def test_a_box_that_agrees_with_itself_and_not_with_the_table_brings_no_tool(box: Path) -> None:
    other = KIND.replace(b"31", b"32")
    with tarfile.open(box) as tar:
        listing = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    for part in listing["parts"]:
        if part["path"].endswith("kind-here"):
            part["sha256"] = hashlib.sha256(other).hexdigest()
    rewrite(box, {"manifest.json": json.dumps(listing).encode(), "files/kind/0.31.0/kind-here": other})
    load(box, engine=False)
    with pytest.raises(ToolError, match="is not what it should be"):
        find("kind")


def test_a_box_that_was_not_copied_whole_is_refused_by_the_part_that_is_cut(box: Path) -> None:
    content = box.read_bytes()
    parts = listed(box).parts
    last = parts[-1]
    at = content.rindex(last.path.encode())
    box.write_bytes(content[: at + 512 + last.size // 2])
    with pytest.raises(DamagedBox, match=f"{last.path}.*(ends too early|missing)"):
        load(box, engine=False)
    box.write_bytes(content)
    assert load(box, engine=False).skipped == len(parts) - 1


def test_what_is_no_box_is_told(tmp_path: Path, world: World) -> None:
    file = tmp_path / "box.tar"
    with pytest.raises(BoxError, match="cannot be read: No such file"):
        listed(file)
    file.write_bytes(b"")
    with pytest.raises(BoxError, match="is not a box"):
        listed(file)
    file.write_bytes(b"not a tar at all" * 100)
    with pytest.raises(BoxError, match="is not a box"):
        listed(file)
    with tarfile.open(file, "w") as tar:
        tar.addfile(tarfile.TarInfo("something"), io.BytesIO())
    with pytest.raises(BoxError, match=r"does not begin with manifest\.json"):
        listed(file)
    with pytest.raises(BoxError, match="of another release of labkit"):
        from_json('{"format": "labkit-box/9"}', "box.tar")
    with pytest.raises(BoxError, match="its list of contents is damaged"):
        from_json('{"format": "labkit-box/1"}', "box.tar")


def test_too_little_room_is_told_before_anything_is_unpacked(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(NoRoom, match=r"needs .* more in .*, where 1 kB are free\. Nothing was unpacked"):
        load(box, engine=False)
    assert not (Cache.default().root / "files").exists()


def test_too_little_room_for_the_box_itself_is_told_and_leaves_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labkit.cluster.bundle import making

    monkeypatch.setattr(making, "room", lambda _: 10)
    with pytest.raises(NoRoom, match="Name a file on another disk"):
        create(PLAIN, tmp_path / "box.tar")
    assert not list(tmp_path.glob("*box.tar*"))


def test_a_box_for_other_laptops_is_refused_here(world: World, box: Path) -> None:
    with tarfile.open(box) as tar:
        listing = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    listing["platform"] = "plan9/mips"
    rewrite(box, {"manifest.json": json.dumps(listing).encode()})
    with pytest.raises(BoxError, match=f"made for plan9/mips, and this machine is {HERE}.*--platform {HERE}"):
        load(box, engine=False)


def test_a_tool_that_is_not_published_for_those_laptops_is_told(world: World, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"kind 0\.31\.0 is not published for linux/riscv64"):
        create(Recipe(platform=Platform("linux", "riscv64"), with_images=False), tmp_path / "box.tar")


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "files/../../x", "files//x", "a\\..\\b"])
def test_a_part_that_leads_out_of_the_cache_is_not_written(path: str, world: World) -> None:
    with pytest.raises(BoxError, match="leads out of its folder"):
        place(Cache.default(), Part(path, 1, "0" * 64, "tool", "bad"))


def test_the_notebooks_go_where_the_learner_says_and_overwrite_nothing(box: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    run = CliRunner().invoke(main, ["bundle", "load", str(box), "--lab", str(lab), "--no-engine"])
    assert run.exit_code == 0, run.output
    assert (lab / "notebooks" / "77-boxed" / "steps.yaml").is_file()
    assert (lab / "clusters" / "components.toml").is_file()
    assert f"The notebooks are in {lab}." in run.output
    with pytest.raises(BoxError, match="notebooks is there already"):
        load(box, lab=lab, engine=False)


def test_a_box_cannot_be_written_where_no_folder_is(world: World, tmp_path: Path) -> None:
    with pytest.raises(BoxError, match="name a file in a folder that exists"):
        create(PLAIN, tmp_path / "no" / "box.tar")


def test_contents_survive_json(box: Path) -> None:
    contents = listed(box)
    assert from_json(contents.to_json(), "again") == Contents(
        contents.created,
        contents.made_by,
        contents.platform,
        contents.chapters,
        contents.parts,
        contents.images,
    )
