"""Can this machine run a pocket cluster? Each requirement is really tried, and an answer comes with what to do.

`checks()` is what `labkit doctor` shows. Nothing here changes the machine: a fix is text, to be run by whoever wants to.
`python -m labkit.pocket.preflight` is the trial itself, in a process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.pocket.errors import StartFailed
from labkit.pocket.places import default_home

_TRIAL_SECONDS = 20
_BROKEN = "trial"


@dataclass(frozen=True)
class Check:
    """One requirement. `why` says what was seen and what it is for; `fix_command` is for a shell, or None."""

    id: str
    ok: bool
    what: str
    why: str
    fix_command: str | None = None


@dataclass(frozen=True)
class Trial:
    """How far a process got: `stage` is where the machine refused (`""`: all worked), `message` its words."""

    stage: str
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether all worked."""
        return not self.stage


Read = Callable[[str], str | None]


def read_file(path: str) -> str | None:
    """A small file's text without the end of line; None when it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def checks(home: Path | None = None) -> list[Check]:
    """All of them, in the order in which to read them. Later ones are left out where an earlier one decides."""
    found = [_linux()]
    if not found[0].ok:
        return found
    trial = try_it()
    if trial.stage == _BROKEN:
        why = f"It did not come to an end, which says nothing about the machine: {trial.message}"
        return [*found, Check("trial", False, "the trial of this machine", why)]
    found.append(_namespaces(trial, read_file))
    if trial.ok or trial.stage == "network":
        found.append(_nftables(trial))
    found.append(_writable(home or default_home()))
    return found


def explain(stage: str, message: str, read: Read = read_file) -> Check:
    """Why a stage of the start was refused, and what to do: the same words as in `labkit doctor`."""
    trial = Trial(stage, message)
    return _nftables(trial) if stage == "network" else _namespaces(trial, read)


def try_it() -> Trial:
    """Make the namespaces, a mount, packet rules and a link in a process of its own, and let them go again."""
    source = str(Path(__file__).resolve().parents[2])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "labkit.pocket.preflight"],
            capture_output=True, timeout=_TRIAL_SECONDS, check=False, text=True, cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Trial(_BROKEN, str(problem))
    if done.returncode:
        return Trial(_BROKEN, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    answer = json.loads(done.stdout)
    return Trial(answer["stage"], answer["message"])


def _linux() -> Check:
    system = platform.system()
    what = "Linux"
    if system == "Darwin":
        why = (
            "This is macOS. A pocket cluster is made of Linux namespaces: run the lab in a Linux container or a small Linux VM, "
            "or use the kind provider with Docker."
        )
        return Check(
            "linux",
            False,
            what,
            why,
            "brew install lima && limactl start --name=lab template://ubuntu-lts && limactl shell lab",
        )
    if system == "Windows":
        why = "This is Windows. A pocket cluster is made of Linux namespaces: run the lab in WSL 2."
        return Check("linux", False, what, why, "wsl --install")
    if system != "Linux":
        return Check("linux", False, what, f"This is {system}; a pocket cluster is made of Linux namespaces.")
    release = platform.release()
    if "microsoft" in release.lower() and "wsl2" not in release.lower():
        why = "This is WSL 1, which has no Linux kernel and so no namespaces. WSL 2 has one."
        return Check(
            "linux",
            False,
            what,
            why,
            "wsl --set-version Ubuntu 2   # in a Windows terminal; the name is in: wsl --list",
        )
    where = " in WSL 2" if "microsoft" in release.lower() else ""
    return Check("linux", True, what, f"Kernel {release}{where}.")


def _namespaces(trial: Trial, read: Read) -> Check:
    what = "user, network, mount and PID namespaces for an ordinary user"
    if trial.ok or trial.stage == "network":
        return Check("namespaces", True, what, "They were made and used.")
    for reason in (_apparmor, _switched_off, _none_allowed, _seccomp, _not_built):
        check = reason(trial, read)
        if check is not None:
            return Check("namespaces", False, what, *check)
    why = (
        f"The kernel refused ({trial.stage}: {trial.message}), and nothing that usually forbids it was found."
    )
    return Check("namespaces", False, what, why)


_Reason = tuple[str, str | None]


def _apparmor(trial: Trial, read: Read) -> _Reason | None:
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") != "1" or os.geteuid() == 0:
        return None
    why = (
        "AppArmor on this machine (Ubuntu 23.10 and later) takes the capabilities of an ordinary user's namespaces away "
        f"(kernel.apparmor_restrict_unprivileged_userns is 1; refused: {trial.stage}). Either allow it for this lab's Python "
        "alone (first command), or for every program until the next restart of the machine (second)."
    )
    return why, apparmor_profile(os.path.realpath(sys.executable)) + (
        "\n\n# or, for every program:\nsudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    )


def apparmor_profile(python: str) -> str:
    """The command that allows user namespaces to one program."""
    return (
        "sudo tee /etc/apparmor.d/labkit-python >/dev/null <<'EOF'\n"
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n"
        f'profile labkit-python "{python}" flags=(unconfined) {{\n'
        "  userns,\n"
        "}\n"
        "EOF\n"
        "sudo apparmor_parser -r /etc/apparmor.d/labkit-python"
    )


def _switched_off(_trial: Trial, read: Read) -> _Reason | None:
    if read("/proc/sys/kernel/unprivileged_userns_clone") != "0" or os.geteuid() == 0:
        return None
    why = "User namespaces are switched off for ordinary users (kernel.unprivileged_userns_clone is 0, a setting of Debian's)."
    return why, _sysctl("kernel.unprivileged_userns_clone=1")


def _none_allowed(trial: Trial, read: Read) -> _Reason | None:
    for name in ("user", "net", "mnt", "pid", "uts", "ipc"):
        if read(f"/proc/sys/user/max_{name}_namespaces") == "0":
            why = f"This machine allows no {name} namespaces at all (user.max_{name}_namespaces is 0)."
            return why, _sysctl(f"user.max_{name}_namespaces=15000")
    if "No space left" in trial.message or "[Errno 28]" in trial.message:
        limit = read("/proc/sys/user/max_user_namespaces")
        why = f"All namespaces that this machine allows are in use (user.max_user_namespaces is {limit}), or too many are nested."
        return why, _sysctl("user.max_user_namespaces=60000")
    return None


def _seccomp(trial: Trial, read: Read) -> _Reason | None:
    if "not permitted" not in trial.message and "ermission denied" not in trial.message:
        return None
    status = read("/proc/self/status") or ""
    filtered = any(line.split() == ["Seccomp:", "2"] for line in status.splitlines())
    if not filtered and not in_container(read):
        return None
    why = (
        "This is a container whose seccomp or AppArmor profile forbids namespaces, as Docker's default does. Start the container "
        "with these options (they loosen the container's own walls; everything in it is still an ordinary user's)."
    )
    return why, (
        "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
        "--security-opt systempaths=unconfined ..."
    )


def in_container(read: Read = read_file) -> bool:
    """Whether this process seems to be in a container of some engine."""
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    return any(word in (read("/proc/1/cgroup") or "") for word in ("docker", "kubepods", "containerd", "lxc"))


def _not_built(trial: Trial, read: Read) -> _Reason | None:
    missing = [
        name
        for name in ("user", "net", "mnt", "pid", "uts", "ipc")
        if read(f"/proc/sys/user/max_{name}_namespaces") is None
    ]
    if not missing or trial.stage != "unshare":
        return None
    return f"This kernel is built without {', '.join(missing)} namespaces.", None


def _sysctl(setting: str) -> str:
    return f"sudo sysctl -w {setting}\necho {setting} | sudo tee /etc/sysctl.d/90-labkit.conf   # to keep it after a restart"


def _nftables(trial: Trial) -> Check:
    what = "nftables, connection tracking and virtual links in the kernel"
    if trial.ok:
        return Check("nftables", True, what, "They were tried in a namespace, and work.")
    why = (
        f"The kernel here cannot do all of it: {trial.message}. Its modules may not be loaded: an ordinary user's namespace "
        "does not load them on every machine."
    )
    return Check("nftables", False, what, why, "sudo modprobe -a veth nf_tables nft_ct nft_nat nft_chain_nat")


def _writable(home: Path) -> Check:
    what = f"a directory for clusters ({home})"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=home) as file:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        why = f"It cannot be written, or files in it cannot be locked: {problem.strerror or problem}."
        return Check("state-directory", False, what, why, "export LABKIT_HOME=/tmp/labkit-$USER")
    return Check("state-directory", True, what, "It can be written.")


def _enter() -> Trial:
    """The namespaces and a mount, for this process (of no use afterwards) and its children."""
    from labkit.pocket import daemon
    from labkit.pocket.node import linux

    try:
        daemon.enter_namespaces()
        with tempfile.TemporaryDirectory() as folder:
            linux.mount("tmpfs", folder, "tmpfs")
            linux.umount(folder)
    except StartFailed as problem:
        return Trial(problem.stage, str(problem))
    except OSError as problem:
        return Trial("mount", str(problem))
    return Trial("")


def _network() -> Trial:
    """Links and packet rules, each tried by itself; in a process that is inside."""
    from labkit.pocket.node.network import missing_features

    missing = missing_features()
    return Trial("network", "it lacks " + ", ".join(missing)) if missing else Trial("")


def main() -> None:
    """Run the trial and print how far it came."""
    trial = _enter()
    if trial.ok:
        child = os.fork()  # the first process of the PID namespace
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        trial = _network()
    sys.stdout.write(json.dumps({"stage": trial.stage, "message": trial.message}))


if __name__ == "__main__":
    main()
