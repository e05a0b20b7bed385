"""The doctor's question for a container engine is put to a real program, here one that we write."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.cluster.providers.engine import container_engine


def engine(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    return tmp_path


def test_no_engine_is_told_with_the_command_that_installs_one(path: Path) -> None:
    found = container_engine()
    assert not found.ok
    assert "docker" in found.remedy


def test_an_engine_that_does_not_answer_is_quoted(path: Path) -> None:
    engine(path, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    found = container_engine()
    assert not found.ok
    assert "docker: Cannot connect to the Docker daemon" in found.explanation
    assert "docker" in found.remedy


def test_the_second_engine_will_do(path: Path) -> None:
    engine(path, "docker", "exit 1")
    engine(path, "podman", "echo fine")
    found = container_engine()
    assert found.ok
    assert "podman" in found.explanation
