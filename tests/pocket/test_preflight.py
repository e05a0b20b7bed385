"""The advice for machines that this one is not: decided from a trial's outcome and a few files of /proc."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.pocket import preflight
from labkit.pocket.preflight import Check, Trial

EPERM = "[Errno 1] unshare: Operation not permitted"
LIMITS = {
    f"/proc/sys/user/max_{name}_namespaces": "15000" for name in ("user", "net", "mnt", "pid", "uts", "ipc")
}
NO_FILTER = {"/proc/self/status": "Name:\tpython\nSeccomp:\t0\n", "/proc/1/cgroup": "0::/init.scope"}


@pytest.fixture(autouse=True)
def an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def files_of(**files: str) -> Callable[[str], str | None]:
    named = {
        "apparmor": "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "clone": "/proc/sys/kernel/unprivileged_userns_clone",
        "user": "/proc/sys/user/max_user_namespaces",
        "status": "/proc/self/status",
        "cgroup": "/proc/1/cgroup",
    }
    content = {**LIMITS, **NO_FILTER, **{named[name]: text for name, text in files.items()}}
    return content.get


def namespaces(stage: str, message: str, read: Callable[[str], str | None]) -> Check:
    check = preflight.explain(stage, message, read)
    assert (check.id, check.ok) == ("namespaces", False)
    return check


@pytest.mark.parametrize("stage", ["id-map", "capabilities"])
def test_ubuntus_apparmor_has_two_remedies(stage: str) -> None:
    check = namespaces(stage, EPERM, files_of(apparmor="1"))

    assert check.fix_command is not None
    assert "kernel.apparmor_restrict_unprivileged_userns is 1" in check.why
    assert "sudo apparmor_parser -r /etc/apparmor.d/labkit-python" in check.fix_command
    assert "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in check.fix_command


def test_the_apparmor_profile_is_for_this_python_and_is_one_command() -> None:
    text = preflight.apparmor_profile("/opt/my env/bin/python3.12")

    assert 'profile labkit-python "/opt/my env/bin/python3.12" flags=(unconfined) {' in text
    assert "userns," in text
    assert text.startswith("sudo tee ")


def test_debians_switch_is_found() -> None:
    check = namespaces("unshare", EPERM, files_of(clone="0"))
    assert check.fix_command is not None
    assert check.fix_command.startswith("sudo sysctl -w kernel.unprivileged_userns_clone=1\n")


def test_a_limit_of_none_is_found() -> None:
    check = namespaces("unshare", "[Errno 28] unshare: No space left on device", files_of(user="0"))
    assert "user.max_user_namespaces is 0" in check.why
    assert "sudo sysctl -w user.max_user_namespaces=15000" in (check.fix_command or "")


def test_a_used_up_limit_is_found() -> None:
    check = namespaces("unshare", "[Errno 28] unshare: No space left on device", files_of(user="5"))
    assert "in use" in check.why


def test_a_containers_seccomp_filter_is_found() -> None:
    check = namespaces("unshare", EPERM, files_of(status="Name:\tpython\nSeccomp:\t2\n"))
    assert "seccomp=unconfined" in (check.fix_command or "")
    assert "container" in check.why


def test_what_nothing_explains_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "in_container", lambda read: False)
    check = namespaces("unshare", EPERM, files_of())
    assert EPERM in check.why
    assert check.fix_command is None


def test_a_kernel_without_nftables_is_told_apart() -> None:
    check = preflight.explain("network", "make table inet policy: Protocol not supported")
    assert (check.id, check.ok) == ("nftables", False)
    assert check.fix_command == "sudo modprobe -a veth nf_tables nft_ct nft_nat nft_chain_nat"


@pytest.mark.parametrize(
    ("system", "release", "word"),
    [
        ("Darwin", "25.0", "macOS"),
        ("Windows", "11", "wsl --install"),
        ("Linux", "4.4.0-19041-Microsoft", "wsl --set-version"),
        ("FreeBSD", "14", "FreeBSD"),
    ],
)
def test_other_systems_are_told_where_a_cluster_can_run(
    monkeypatch: pytest.MonkeyPatch, system: str, release: str, word: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.release", lambda: release)

    (check,) = preflight.checks()

    assert not check.ok
    assert word in check.why + (check.fix_command or "")


def test_wsl_2_is_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.release", lambda: "5.15.153.1-microsoft-standard-WSL2")
    assert preflight._linux().ok


def test_a_home_that_cannot_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "try_it", lambda: Trial(""))
    (tmp_path / "file").write_text("")

    found = {check.id: check for check in preflight.checks(tmp_path / "file" / "home")}

    assert found["namespaces"].ok
    assert not found["state-directory"].ok
    assert "LABKIT_HOME" in (found["state-directory"].fix_command or "")


def test_a_broken_trial_is_not_taken_for_a_machine_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "try_it", lambda: Trial("trial", "ModuleNotFoundError: no"))
    assert [check.id for check in preflight.checks()] == ["linux", "trial"]


@pytest.mark.cluster
def test_the_trial_really_tries(machine: None) -> None:
    assert preflight.try_it().ok
