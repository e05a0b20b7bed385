"""What is told of a cluster that did not come up: the line that matters, what to try, where the rest is, how to look inside."""

from __future__ import annotations

from labkit.cluster.errors import ClusterError, WaitTimeout
from labkit.cluster.providers.engine import Engine

from . import failures, nodes
from .failures import Diagnosis
from .places import Places

_TAIL = 400  # lines of a node's own log that are looked at
_SECONDS = 20.0


def failure(where: Places, engine: Engine, image: str, said: str) -> ClusterError:
    """Of a `kind create cluster` that failed; `said` is all that kind printed. Its log is completed by the nodes' own."""
    of_nodes = _boot_logs(where, engine)
    where.log.write_text(said + of_nodes, encoding="utf-8")
    found = failures.diagnose(said + of_nodes)
    lines = [f"kind could not make the cluster {where.name}" + (f": {found.what}." if found.what else ".")]
    lines += [*_matters(found, where, image), f"All that was said: {where.log}"]
    if of_nodes:
        again = f"labkit up {where.name} --provider kind --retain"
        lines += [f"To look inside: {again}, then labkit logs export {where.name} FOLDER"]
    return ClusterError("\n".join(lines))


def too_late(where: Places, engine: Engine, late: WaitTimeout) -> WaitTimeout:
    """Of a cluster that runs and is not ready in time: with the kubelets' word for it, where they have one that is known."""
    journals = _kubelets(where, engine)
    with where.log.open("a", encoding="utf-8") as log:
        log.write(journals)
    found = failures.diagnose(journals)
    lines = [str(late)]
    if found.what:
        lines += [f"The nodes say why: {found.what}.", *_matters(found, where)]
    return WaitTimeout("\n".join([*lines, f"All that was said: {where.log}"]), late.last)


def _matters(found: Diagnosis, where: Places, image: str = "") -> list[str]:
    lines = [f"The line that matters: {found.line}"]
    if found.remedy:
        remedy = found.remedy.replace(" NAME ", f" {where.name} ").replace(" IMAGE", f" {image or 'IMAGE'}")
        lines += ["What to try:", *(f"  {line}" for line in remedy.splitlines())]
    return lines


def _boot_logs(where: Places, engine: Engine) -> str:
    """The last lines of each node's own log, which often have the cause; "" when there is no node."""
    parts = []
    try:
        for node in nodes.nodes(engine, where.kind_name):
            done = engine.run("logs", "--tail", str(_TAIL), node.name, check=False, seconds=_SECONDS)
            parts.append(f"\n---- the log of node {node.name}\n{done.stdout}{done.stderr}")
            if not node.running:
                state = engine.run("inspect", "--format", "{{json .State}}", node.name, check=False).stdout
                parts.append(
                    f"---- its state: {state}" if '"OOMKilled":true' in state else "---- it has ended\n"
                )
    except ClusterError as problem:
        parts.append(f"\n---- the nodes' logs cannot be read: {problem}\n")
    return "".join(parts)


def _kubelets(where: Places, engine: Engine) -> str:
    """The last lines of each node's kubelet."""
    parts = []
    journal = ("journalctl", "--unit", "kubelet", "--no-pager", "--output", "cat", "--lines", str(_TAIL))
    try:
        for node in nodes.nodes(engine, where.kind_name):
            done = engine.run("exec", node.name, *journal, check=False, seconds=_SECONDS)
            parts.append(f"\n---- the kubelet of node {node.name}\n{done.stdout}{done.stderr}")
    except ClusterError as problem:
        parts.append(f"\n---- the kubelets' words cannot be read: {problem}\n")
    return "".join(parts)
