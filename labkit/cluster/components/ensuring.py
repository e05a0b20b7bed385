"""What chapters and commands ask for: that components are there and work, whatever was there before."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.cluster.providers import Finding, Progress
from labkit.cluster.steps import Steps, of

from .record import Record
from .shape import Component, ComponentError, Missing, Options


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one component: `action` is "found", "installed", "turned on", "extended", "repaired" or
    "removed"."""

    name: str
    title: str
    version: str
    action: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One sentence, for a learner."""
        version = f"{self.title} {self.version}" if self.version not in ("", "unknown") else self.title
        return {
            "found": f"{version} is there and works.",
            "installed": f"{version} was installed and works.",
            "turned on": f"This cluster's own counterpart of {version} was turned on, and works.",
            "extended": f"{version} was there; what was missing of it was installed, and it works.",
            "repaired": f"{version} was there and did not work; it was installed again, and works.",
            "removed": f"{self.title} is gone.",
        }[self.action]


def ensure(
    cluster: Any,
    names: Iterable[str],
    progress: Progress | None = None,
    options: Mapping[str, Options] | None = None,
) -> list[Outcome]:
    """See to it that these components, and what they need, are in the cluster and work; what is there already is left alone.

    names: "istio", or with optional parts "istio+ambient".
    options: for each name; by default those of the environment. Raises Missing on a cluster on paper, Refused where versions
    fail together, ComponentError with the pods and events that matter where one does not come up.
    """
    from . import get, split

    asked = [split(name) for name in dict.fromkeys(names)]
    wanted = {name: get(name) for name, _ in asked}
    if not cluster.live:
        titles = ", ".join(one.title for one in wanted.values())
        raise Missing(f"This needs {titles}, and a cluster on paper has none. {cluster.why}".strip())
    steps = of(progress)
    done: list[Outcome] = []
    for component in _with_needs(cluster, wanted.values()):
        name = component.name
        chosen = (options or {}).get(name) or Options.of_environment(name)
        extras = chosen.extras.union(*(extras for one, extras in asked if one == name))
        _known_extras(component, extras)
        outcome = _ensure_one(cluster, component, steps, dataclasses.replace(chosen, extras=extras))
        if name not in wanted and outcome.action == "installed":
            _note(cluster, name, automatic=True)
        done.append(outcome)
    return done


def remove(cluster: Cluster, name: str, progress: Progress | None = None) -> list[Outcome]:
    """Take a component away, and what had come along for it and nobody else needs. Raises ComponentError."""
    from . import get

    component = get(name)
    needed = component.needs(cluster)
    version = component.version(cluster) or ""
    steps = of(progress)
    if not version and Record.read(cluster, component.name) is None and not component.embedded(cluster):
        raise ComponentError(f"{component.title} is not installed.")
    notes = component.uninstall(cluster, steps)
    done = [Outcome(component.name, component.title, version, "removed", tuple(notes))]
    others = {need for one in _installed(cluster) for need in one.needs(cluster)}
    for need in needed:
        record = Record.read(cluster, need)
        if record is not None and record.automatic and need not in others:
            done += remove(cluster, need, steps)
    return done


def _installed(cluster: Cluster) -> list[Component]:
    from . import get

    return [get(record.name) for record in Record.all(cluster)]


def _with_needs(cluster: Cluster, wanted: Iterable[Component]) -> list[Component]:
    """The components with what they need before them, each once."""
    from . import get

    ordered: dict[str, Component] = {}
    for component in wanted:
        for need in component.needs(cluster):
            ordered.setdefault(need, get(need))
        ordered.setdefault(component.name, component)
    return list(ordered.values())


def _ensure_one(cluster: Cluster, component: Component, steps: Steps, options: Options) -> Outcome:
    version = component.version(cluster)
    record = Record.read(cluster, component.name)
    there = record.extras if record else frozenset()
    action = "turned on" if component.embedded(cluster) else "installed"
    if version is not None:
        findings = component.verify(cluster)
        works = all(one.ok for one in findings)
        if works and (record is None or options.extras <= there):
            return Outcome(component.name, component.title, version, "found")
        if record is None:  # somebody else's: not ours to overwrite
            raise ComponentError(
                f"{component.title} {version} is in this cluster but does not work, and labkit did not install it:\n"
                + told(findings)
            )
        action = "extended" if works else "repaired"
    wanted = dataclasses.replace(options, extras=options.extras | there)
    component.install(cluster, steps, wanted)
    _note(cluster, component.name, extras=wanted.extras)
    component.wait(cluster, steps, wanted)
    steps.begin(f"Asking whether {component.title} works")
    findings = component.verify(cluster)
    if not all(one.ok for one in findings):
        raise ComponentError(f"{component.title} was installed and does not work:\n{told(findings)}")
    steps.end()
    remarks = tuple(component.remarks(cluster))
    return Outcome(component.name, component.title, component.version(cluster) or "", action, remarks)


def _known_extras(component: Component, extras: frozenset[str]) -> None:
    if unknown := extras - set(component.extras):
        known = ", ".join(component.extras) or "none"
        raise ComponentError(
            f"{component.title} has no optional part {', '.join(sorted(unknown))}; it has: {known}."
        )


def told(findings: Sequence[Finding]) -> str:
    """Findings as lines: what was asked, what came of it, what would help."""
    lines = []
    for one in findings:
        lines.append(
            f"  {'✓' if one.ok else '✗'} {one.title}" + (f": {one.explanation}" if one.explanation else "")
        )
        if not one.ok and one.remedy:
            lines.append(f"      try: {one.remedy}")
    return "\n".join(lines)


def _note(cluster: Cluster, name: str, **what: Any) -> None:
    """Add to a component's record, where it has one: what is built in has none."""
    record = Record.read(cluster, name)
    if record is not None:
        dataclasses.replace(record, **what).write(cluster)
