from __future__ import annotations

from pathlib import Path

import pytest

from labkit.pocket.node import machine, rootfs
from labkit.pocket.node.spec import Bind, ProcessSpec, capability_mask


def test_a_volumes_target_cannot_lead_out_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "escape").symlink_to("../../../../etc")
    (tmp_path / "loop").symlink_to("loop")
    root = str(tmp_path)
    assert rootfs._within(root, "/var/run/secrets/token") == "/run/secrets/token"
    assert rootfs._within(root, "/escape/passwd") == "/etc/passwd"
    assert rootfs._within(root, "/a/../../b") == "/b"
    with pytest.raises(OSError, match="too many links"):
        rootfs._within(root, "/loop/x")


def test_only_outermost_trees_are_shown() -> None:
    assert machine._outermost(["/usr/lib/x", "/home/me/env/lib", "/home/me/env", "/", "/opt/py", ""]) == [
        "/home/me/env",
        "/opt/py",
    ]


def test_only_directories_that_get_a_file_of_ours_are_opened() -> None:
    views = machine.Machine("/nowhere")
    views.trees = ["/usr"]
    views.links = {"/bin": "usr/bin"}
    assert rootfs._to_open(views, ["/usr/local/bin/probe", "/agnhost"]) == {
        "/usr/local/bin",
        "/usr/local",
        "/usr",
    }
    assert views.real("/bin/sh") == "/usr/bin/sh"


def test_a_spec_survives_the_journey() -> None:
    spec = ProcessSpec(("sh", "-c", "é"), {"A": "1"}, "busybox", tty=True, binds=(Bind("/a", "/b", True),))
    assert ProcessSpec.from_memory_file(spec.to_memory_file()) == spec


def test_capabilities_are_named_as_in_a_manifest() -> None:
    assert capability_mask(frozenset({"CHOWN", "CAP_NET_ADMIN", "nonsense"})) == 1 | 1 << 12
    assert capability_mask(frozenset({"ALL"})) == (1 << 41) - 1
