"""The way into a kind cluster: a file of its own; and, when asked for, an entry in the learner's own kubeconfig."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from labkit.cluster.errors import ClusterError
from labkit.cluster.providers.engine import Engine

from .binary import Kind
from .places import Places


def write_own(where: Places, kind: Kind, engine: Engine) -> None:
    """Write the cluster's own kubeconfig anew, for its owner alone. Raises ClusterError."""
    _kind(kind, engine.environment, "export", "kubeconfig", where, where.kubeconfig)
    where.kubeconfig.chmod(0o600)


def put_in(where: Places, kind: Kind, engine: Engine) -> Path:
    """Merge the cluster into the learner's own kubeconfig, as `kind export kubeconfig` does; there it becomes the current one.

    Returns the file. Raises ClusterError.
    """
    path = learners_own(where)
    _kind(kind, engine.environment, "export", "kubeconfig", where, path)
    where.remember(exported=str(path))
    return path


def take_out(where: Places, path: Path) -> None:
    """Remove the cluster's entries from a kubeconfig that `put_in` changed; the rest of it stays."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return
    if not isinstance(data, dict):
        return
    for section in ("clusters", "contexts", "users"):
        entries = data.get(section)
        if isinstance(entries, list):
            data[section] = [one for one in entries if one.get("name") != where.context]
    if data.get("current-context") == where.context:
        data["current-context"] = ""
    fresh = path.with_name(path.name + ".labkit-new")
    fresh.touch(mode=path.stat().st_mode & 0o777)
    fresh.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    fresh.replace(path)


def learners_own(where: Places) -> Path:
    """The file that kubectl uses when nobody says which: $KUBECONFIG's first that is not the lab's, or ~/.kube/config."""
    for part in os.environ.get("KUBECONFIG", "").split(os.pathsep):
        if part and not Path(part).absolute().is_relative_to(where.home):
            return Path(part).absolute()
    return Path.home() / ".kube" / "config"


def _kind(kind: Kind, environment: dict[str, str], verb: str, what: str, where: Places, path: Path) -> None:
    command = [str(kind.path), verb, what, "--name", where.kind_name, "--kubeconfig", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ClusterError(f"kind {verb} {what}: {said[-1] if said else done.returncode}")
