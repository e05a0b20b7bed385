"""`labkit images` from the outside, where no cluster is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit.cluster.images import read


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["images", *words])
    return done.exit_code, done.output


def test_the_table_is_listed_for_people_and_for_programs() -> None:
    code, text = run("list")
    assert code == 0
    assert "registry.k8s.io/e2e-test-images/agnhost:2.56   sha256:352a05038007   yes" in text
    code, text = run("list", "-o", "json")
    assert {each["reference"]: each["digest"] for each in json.loads(text)} == {
        entry.reference: entry.digest for entry in read().entries
    }


def test_an_archive_is_built_and_listed(root_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.tar"
    code, text = run("build", "--base", str(root_folder), "-o", str(file), "--platform", "linux/arm64")
    assert (code, f"labkit images load {file}" in text) == (0, True), text
    code, text = run("list", str(file), "-o", "json")
    found = json.loads(text)
    assert {each["reference"] for each in found} == set(read().with_stand_in)
    assert all(each["stand-in"] and each["platform"] == "linux/arm64" for each in found)


def test_what_cannot_be_is_one_sentence_and_exit_code_1(root_folder: Path, tmp_path: Path) -> None:
    code, text = run("build", "--base", str(root_folder), "-o", str(tmp_path / "x"), "--image", "postgres:17")
    assert (code, "There is no stand-in for docker.io/library/postgres:17" in text) == (1, True)
    assert "Traceback" not in text


def test_two_names_for_a_cluster_are_one_too_many() -> None:
    code, text = run("load", "--name", "lab", "--kind-name", "dev")
    assert (code, "give one" in text) == (2, True)


def test_nothing_to_load_says_how_to_make_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = run("load")
    assert (code, "labkit images build" in text) == (1, True)
