from __future__ import annotations

import importlib
import subprocess
from pathlib import Path

import pytest

from labkit.pocket.images import find, images, known, preload, repository, shims


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("nginx", "nginx"),
        ("docker.io/library/nginx:1.27-alpine", "nginx"),
        ("localhost:5000/nginx", "nginx"),
        ("mirror.example:5000/team/nginx@sha256:0123", "nginx"),
        ("registry.k8s.io/e2e-test-images/agnhost:2.56", "agnhost"),
        ("registry.k8s.io/coredns/coredns:v1.12.1", "coredns/coredns"),
        ("curlimages/curl:8.8.0", "curlimages/curl"),
        ("nicolaka/netshoot", "nicolaka/netshoot"),
        ("registry.k8s.io/pause:3.10", "pause"),
        ("mysql:8.4.11", "mysql"),
        ("wordpress:7.0.1-apache", "wordpress"),
    ],
)
def test_an_image_is_found_by_its_repository_whatever_registry_and_tag(reference: str, name: str) -> None:
    image = find(reference)
    assert image is not None
    assert image.name == name


@pytest.mark.parametrize("reference", ["", "nginxx", "example.com/my-nginx:1", "nginx/app", "postgres:16"])
def test_an_image_without_a_stand_in_is_unknown(reference: str) -> None:
    assert find(reference) is None


def test_the_tag_and_the_port_of_a_registry_are_told_apart() -> None:
    assert repository("localhost:5000/a/b:v1") == "localhost:5000/a/b"
    assert repository("localhost:5000/a/b") == "localhost:5000/a/b"


def test_known_names_are_sorted_and_each_is_found() -> None:
    assert known() == sorted(known())
    assert all(find(name) is not None for name in known())


@pytest.mark.parametrize("image", images(), ids=lambda image: image.name)
def test_every_stand_in_is_whole(image) -> None:
    assert image.note
    assert "/usr/local/bin/labkit-probe" in image.commands
    for path, program in image.commands.items():
        assert path.startswith("/")
        function = program.target.partition(":")[2]
        assert callable(getattr(importlib.import_module(program.module), function)), program.target
    first = (image.entrypoint or image.cmd)[0]
    machine = [first] if first.startswith("/") else [f"{place}/{first}" for place in ("/bin", "/usr/bin")]
    commands = {path.rpartition("/")[2] for path in image.commands} | set(image.commands)
    assert first in commands or any(Path(path).exists() for path in machine), f"nothing runs {first}"


def test_all_programs_can_be_loaded_before_a_fork() -> None:
    preload()


def test_a_script_runs_the_program_without_an_environment_of_our_own(tmp_path: Path) -> None:
    image = find("agnhost")
    assert image is not None
    script = tmp_path / "agnhost"
    script.write_text(shims(image)["/agnhost"])
    script.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", "./agnhost connect 127.0.0.1:1 --timeout=1s; echo $?; ./agnhost entrypoint-tester 'a b' c"],
        cwd=tmp_path, env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "1\n[./agnhost entrypoint-tester a b c]\n"
    assert done.stderr == "REFUSED\n"


def test_a_script_takes_the_interpreter_and_the_path_of_the_container() -> None:
    image = find("pause")
    assert image is not None
    text = shims(image, python="/opt/py thon/bin/python3", path=["/opt/lab"])["/pause"]
    assert text.startswith("#!/bin/sh\nexec '/opt/py thon/bin/python3' -I -S -c ")
    assert "['/opt/lab']" in text.replace("'\"'\"'", "'")
