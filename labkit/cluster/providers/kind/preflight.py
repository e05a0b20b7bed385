"""Before minutes are lost: what this machine lacks for a kind cluster, each with what would help.

`checked` is for a creation: it refuses what is certain to fail, and returns the rest as warnings. `findings` is for the doctor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from labkit.cluster.errors import ClusterError
from labkit.cluster.providers import Finding
from labkit.cluster.providers.engine import Engine, NoEngine, described, find_engine

from . import binary, checks, config, nodes, subnets
from .binary import Kind
from .config import KindConfig
from .machine import Machine

IMAGE_VARIABLE = "LABKIT_KIND_IMAGE"
"""The node image to take when nobody asks for another, in place of the pinned one."""
LENIENT_VARIABLE = "LABKIT_PREFLIGHT"
"""Set to "warn": what is thought certain to fail is a warning too."""


class PreflightFailed(ClusterError):  # noqa: N818 - it says what happened
    """This machine cannot run the cluster that was asked for; `findings` are the reasons."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        lines = ["A kind cluster would not come up on this machine:"]
        for one in findings:
            lines += [f"✗ {one.title}", *(f"  {line}" for line in one.explanation.splitlines())]
            if one.remedy:
                lines += ["  What helps:", *(f"    {line}" for line in one.remedy.splitlines())]
        lines.append(f"If you know better: {LENIENT_VARIABLE}=warn labkit up ...   More: labkit doctor")
        super().__init__("\n".join(lines))
        self.findings = tuple(findings)


def default_image(engine: Engine, chosen: KindConfig) -> str:
    """The node image where none was asked for: LABKIT_KIND_IMAGE, the configuration's own (""), or the pinned one.

    The pinned one is named by its digest to be pulled, and by its tag where it was loaded from a file, which keeps no digest.
    """
    from labkit.cluster import tools

    if given := os.environ.get(IMAGE_VARIABLE):
        return given
    if all(chosen.images):
        return ""
    pinned = tools.node_image()
    return pinned.tagged if has_image(engine, pinned.tagged) else pinned.pinned


def has_image(engine: Engine, image: str) -> bool:
    """Whether the engine has an image already."""
    return engine.run("image", "inspect", "--format", "{{.Id}}", image, check=False).returncode == 0


def checked(
    engine: Engine, kind: Kind, chosen: KindConfig, image: str, machine: Machine | None = None
) -> list[Finding]:
    """What is worth a warning before this cluster is made. Raises PreflightFailed with what is certain to fail."""
    found = [one for one in _all(machine or Machine(), engine, kind, chosen, image) if not one.ok]
    certain = [one for one in found if not one.advice]
    if certain and os.environ.get(LENIENT_VARIABLE) != "warn":
        raise PreflightFailed(certain)
    return found


def findings(machine: Machine | None = None) -> list[Finding]:
    """Everything about a cluster of the default configuration, what is well too. Nothing is downloaded for it."""
    try:
        engine = find_engine()
    except NoEngine as problem:
        return [problem.finding, _kind_here()[0]]
    about_kind, kind = _kind_here()
    chosen = config.read()
    try:
        image = default_image(engine, chosen)
    except ClusterError as problem:
        return [Finding("the table of versions", False, str(problem)), about_kind]
    rest = _all(machine or Machine(), engine, kind, chosen, image)
    return [
        Finding("a container engine", True, described(engine)),
        about_kind,
        *(one for one in rest if one.title != about_kind.title),
    ]


def _all(
    machine: Machine, engine: Engine, kind: Kind | None, chosen: KindConfig, image: str
) -> list[Finding]:
    images = [image] if image else list(chosen.images)
    found = [
        _version(kind) if kind else None,
        checks.cgroups(machine, engine, images),
        checks.rootless(engine),
        checks.modules(machine, engine),
        checks.inotify(machine, engine, chosen, nodes.nodes(engine)),
        checks.memory(machine, engine, chosen),
        checks.disk(machine, engine),
        checks.ports(machine, engine, chosen),
        *subnets.findings(machine, engine, chosen),
        *checks.system(machine, engine),
        _image(engine, image) if image else None,
    ]
    return [one for one in found if one is not None]


_KIND = "kind, version 0.24 or newer"


def _version(kind: Kind) -> Finding:
    if why := binary.too_old(kind):
        return Finding(
            _KIND,
            False,
            why,
            "conda install -c conda-forge kubernetes-kind   # or remove it: labkit fetches its own",
        )
    return Finding(_KIND, True, f"{kind.path}, version {kind.version}.")


def _kind_here() -> tuple[Finding, Kind | None]:
    """About the kind that would be taken, and that kind where it is on this machine already."""
    from labkit.cluster import tools
    from labkit.cluster.tools.cache import Cache
    from labkit.cluster.tools.finding import here

    try:
        tool = tools.read().tool("kind")
        on_machine = list(here(tool, Cache.default()))
        path = next((one.path for one in on_machine if one.good), None)
        if path is not None:
            kind = binary.ask(Path(path))
            return _version(kind), kind
    except ClusterError as problem:
        return Finding(_KIND, False, str(problem)), None
    why = f"It is fetched when it is first needed (version {tool.version}, checked against its published checksum)."
    return Finding(_KIND, True, why), None


def _image(engine: Engine, image: str) -> Finding:
    title = "the node image"
    if has_image(engine, image):
        return Finding(title, True, f"{image} is here.")
    why = f"{image} is not here yet: about 400 MB are downloaded when the first cluster is made."
    return Finding(title, True, why)
