"""What lifecycle says and does where no cluster starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.pocket import lifecycle
from labkit.pocket.errors import NoSuchCluster, NotSupported, PocketError
from labkit.pocket.places import Places, default_home


@pytest.mark.parametrize("name", ["", "Lab", "a b", "-a", "a-", "../x", "a/b", "x" * 41, "a\n"])
def test_names_that_cannot_be_directories_or_contexts_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PocketError, match="cannot be a cluster's name"):
        Places(name, tmp_path)


def test_the_home_is_the_environments_or_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HOME", "/somewhere/else")
    assert default_home() == Path("/somewhere/else")
    monkeypatch.delenv("LABKIT_HOME")
    assert default_home().name == "labkit"


def test_no_cluster_is_an_empty_list_and_a_clear_error(tmp_path: Path) -> None:
    assert lifecycle.list_clusters(tmp_path) == []
    for call in (lifecycle.status, lifecycle.down, lifecycle.stop):
        with pytest.raises(NoSuchCluster, match="labkit up lab"):
            call("lab", home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_does_not_run_is_listed_as_such(tmp_path: Path) -> None:
    places = Places("lab", tmp_path)
    places.directory.mkdir(parents=True)
    places.info.write_text(
        json.dumps({"pid": 1, "init": 2, "server": "https://127.0.0.1:1", "port": 1, "started": 3})
    )

    info = lifecycle.status("lab", tmp_path)

    # Process 1 is alive, and is not its daemon: the lock tells.
    assert (info.running, info.server, info.context) == (False, "https://127.0.0.1:1", "labkit-lab")
    assert json.loads(json.dumps(info.to_dict()))["running"] is False


def test_a_start_that_the_machine_refuses_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    answer = json.dumps({"error": "unshare", "message": "Operation not permitted"})
    script.write_text(f"#!/bin/sh\necho '{answer}' > /dev/fd/$5\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))

    with pytest.raises(NotSupported, match="namespaces"):
        lifecycle.up("lab", home=tmp_path / "home")

    assert not (tmp_path / "home/clusters/lab").exists()


def test_a_daemon_that_dies_is_reported_with_the_last_line_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho starting >&2\necho out of paper >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))

    with pytest.raises(PocketError) as caught:
        lifecycle.up("lab", home=tmp_path / "home")

    assert caught.value.why == "Its daemon says: out of paper"
    assert Path(caught.value.fix.removeprefix("Its log: ")).read_text() == "starting\nout of paper\n"


def test_a_home_that_cannot_be_made_is_the_users_to_choose(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PocketError, match="LABKIT_HOME"):
        lifecycle.up("lab", home=tmp_path / "file")
