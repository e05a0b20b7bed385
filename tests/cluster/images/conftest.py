"""A base that costs nothing to pack: a folder that looks like a root file system with a Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from labkit.cluster.images.building import Built, build

REFERENCES = (
    "nginx:1.30.5",
    "registry.k8s.io/e2e-test-images/agnhost:2.56",
    "mysql:8.4.11",
    "busybox:1.37.0",
)


def like_a_root(folder: Path, minor: int = 1 + sys.version_info[1]) -> Path:
    """A root file system as far as a base is looked at: python3, its library, a shell, a link, a tool."""
    library = folder / f"usr/lib/python3.{minor}"
    for path in (
        library / "os.py",
        folder / f"usr/bin/python3.{minor}",
        folder / "usr/bin/sh",
        folder / "usr/bin/curl",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {path.name}\n")
        path.chmod(0o755)
    (folder / "usr/bin/python3").symlink_to(f"python3.{minor}")
    (folder / "bin").symlink_to("usr/bin")
    return folder


@pytest.fixture
def root_folder(tmp_path: Path) -> Path:
    return like_a_root(tmp_path / "root")


@pytest.fixture
def built(root_folder: Path, tmp_path: Path) -> Built:
    """An archive of four stand-ins on that base."""
    return build(tmp_path / "images.tar", REFERENCES, on=str(root_folder))
