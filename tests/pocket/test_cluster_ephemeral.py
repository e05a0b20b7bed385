"""Ephemeral containers on a running cluster: kubectl debug."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pocket.running import Room

pytestmark = pytest.mark.cluster


def visitor(pod: dict[str, Any], name: str) -> dict[str, Any]:
    found = pod.get("status", {}).get("ephemeralContainerStatuses") or []
    return next((one["state"] for one in found if one["name"] == name), {})


def running(name: str) -> Any:
    return lambda pod: "running" in visitor(pod, name)


def ended(name: str) -> Any:
    return lambda pod: "terminated" in visitor(pod, name)


def test_a_visitor_shares_the_pods_network_and_its_targets_processes(room: Room) -> None:
    room.pod("web", {"image": "nginx"})
    room.ready("web")
    debug = ("debug", "web", "--image=busybox", "-c", "visitor", "--target=c", "--", "sleep", "300")
    room.kubectl(*debug)
    pod = room.until("web", running("visitor"))
    assert "Welcome to nginx!" in room.out(
        "exec", "web", "-c", "visitor", "--", "wget", "-qO-", "http://127.0.0.1/"
    )
    seen = room.out(
        "exec", "web", "-c", "visitor", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    )
    assert "nginx -g daemon off" in seen
    assert room.out("exec", "web", "-c", "visitor", "--", "hostname").strip() == "web"
    status = pod["status"]["ephemeralContainerStatuses"][0]
    assert (status["ready"], status["restartCount"], "started" in status) == (False, 0, False)
    assert ("Started", "Started container visitor") in room.events("web")


def test_without_a_target_it_sees_only_itself(room: Room) -> None:
    room.pod("web")
    room.ready("web")
    script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo done"
    room.kubectl("debug", "web", "--image=busybox", "-c", "alone", "--", "sh", "-c", script)
    room.until("web", ended("alone"))
    seen = room.out("logs", "web", "-c", "alone")
    assert seen.endswith("done\n")
    assert "pause" not in seen


def test_its_end_is_told_and_ends_nothing_else(room: Room) -> None:
    room.pod("web")
    room.ready("web")
    room.kubectl("debug", "web", "--image=busybox", "-c", "short", "--", "sh", "-c", "echo so long; exit 3")
    pod = room.until("web", ended("short"))
    assert visitor(pod, "short")["terminated"]["exitCode"] == 3
    assert pod["status"]["phase"] == "Running"
    assert room.out("logs", "web", "-c", "short") == "so long\n"
    # what has been cannot be changed or taken back
    again = room.kubectl("debug", "web", "--image=busybox", "-c", "short", "--", "true", check=False)
    assert again.returncode != 0


def test_it_ends_with_its_target_and_the_pod_with_both(room: Room) -> None:
    room.pod("web", {"image": "busybox", "command": ["sleep", "300"]}, restartPolicy="Never")
    room.ready("web")
    room.kubectl("debug", "web", "--image=busybox", "-c", "visitor", "--target=c", "--", "sleep", "300")
    room.until("web", running("visitor"))
    room.kubectl("exec", "web", "-c", "visitor", "--", "sh", "-c", "kill -9 2")
    pod = room.until("web", ended("visitor"))
    assert visitor(pod, "visitor")["terminated"]["exitCode"] == 137
    room.kubectl("delete", "pod", "web", "--timeout=10s")


def test_an_image_that_is_not_there_is_said(room: Room) -> None:
    room.pod("web")
    room.ready("web")
    room.kubectl("debug", "web", "--image=nosuch:1", "-c", "lost", "--", "true")
    pod = room.until("web", lambda found: "waiting" in visitor(found, "lost"))
    assert visitor(pod, "lost")["waiting"]["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert pod["status"]["phase"] == "Running"
