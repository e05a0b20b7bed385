"""The daemon's first steps, before it leaves the machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.pocket import daemon
from labkit.pocket.errors import StartFailed
from labkit.pocket.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places("lab", tmp_path)
    places.directory.mkdir(parents=True)
    return places


def test_the_port_is_the_same_after_a_restart(places: Places) -> None:
    first, port = daemon._listen(places)
    places.info.write_text(json.dumps({"port": port}))
    first.close()

    second, again = daemon._listen(places)

    assert again == port
    assert second.getsockname() == ("127.0.0.1", port)
    second.close()


def test_a_port_that_somebody_else_has_is_replaced(places: Places) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        places.info.write_text(json.dumps({"port": port}))

        ours, other = daemon._listen(places)

        assert other != port
        ours.close()


def test_a_damaged_note_of_the_port_does_no_harm(places: Places) -> None:
    places.info.write_text("{")
    ours, port = daemon._listen(places)
    assert port > 0
    ours.close()


def test_only_one_daemon_holds_a_cluster(places: Places) -> None:
    code = (
        "import sys, pathlib; from labkit.pocket import daemon, places;"
        "daemon._hold(places.Places('lab', pathlib.Path(sys.argv[1]))); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(places.home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(StartFailed) as caught:
        daemon._hold(places)
    assert caught.value.stage == "running"

    other.kill()
    other.wait()
    other.stdout.close()

    daemon._hold(places)


def test_a_process_knows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert daemon.machine_pid() == os.getpid()
