"""`labkit install` and `labkit uninstall`: components of a cluster, such as Istio."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.cli.shared import OUTPUT, find_cluster

if TYPE_CHECKING:
    from labkit.cluster import Cluster
    from labkit.cluster.steps import Steps

_CLUSTER = click.option(
    "--cluster", "name", default=None, help="On which cluster (default: KUBECONFIG's, or the one that runs)."
)
_PROVIDER = click.option("--provider", default=None, help="Who made that cluster.")


@click.command()
@click.argument("components", nargs=-1, metavar="COMPONENT...")
@_CLUSTER
@_PROVIDER
@click.option("--with", "extras", multiple=True, metavar="PART", help="An optional part, such as ambient.")
@click.option(
    "--overlay",
    "overlays",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings over the lab's own, in the tool's format.",
)
@click.option("--hub", default="", help="Another registry for the images.")
@click.option("--tag", default="", help="Another version of the images.")
@OUTPUT
def install(
    components: tuple[str, ...],
    name: str | None,
    provider: str | None,
    extras: tuple[str, ...],
    overlays: tuple[Path, ...],
    hub: str,
    tag: str,
    output: str,
) -> None:
    """Install COMPONENTs where they are missing: calico, cert-manager, gateway-api, istio, linkerd.

    What is there and works is left alone. Without a COMPONENT: say what there is, and what the cluster has.
    """
    from labkit.cluster import components as parts

    cluster = _cluster(name, provider)
    if not components:
        _show(cluster, output)
        return
    options = {}
    for one in components:
        base = parts.Options.of_environment(parts.split(one)[0])
        options[parts.split(one)[0]] = parts.Options(
            overlays or base.overlays, hub or base.hub, tag or base.tag, base.extras | set(extras)
        )
    hint = f"labkit install {' '.join(components)} goes on from here, labkit uninstall NAME takes it all away again"
    with _steps(output, hint) as steps:
        done = parts.ensure(cluster, components, steps, options)
    _tell(done, output)


@click.command()
@click.argument("component")
@_CLUSTER
@_PROVIDER
@OUTPUT
def uninstall(component: str, name: str | None, provider: str | None, output: str) -> None:
    """Remove COMPONENT and everything that it brought. What others installed is left alone."""
    from labkit.cluster import components as parts

    cluster = _cluster(name, provider)
    with _steps(output, f"labkit uninstall {component} goes on from here") as steps:
        done = parts.remove(cluster, component, steps)
    _tell(done, output)


@contextlib.contextmanager
def _steps(output: str, hint: str) -> Iterator[Steps | None]:
    """Steps on the screen, none for programs; a Ctrl-C says how to go on."""
    from labkit.cli import terminal

    try:
        if output == "json":
            yield None
        else:
            with terminal.shown() as steps, steps.whole():
                yield steps
    except KeyboardInterrupt:
        click.echo(f"Interrupted. What was brought is written down in the cluster: {hint}.", err=True)
        sys.exit(128 + signal.SIGINT)


def _cluster(name: str | None, provider: str | None) -> Cluster:
    """The cluster that was named, else the one that a notebook would work on. Raises ClickException, ClusterError."""
    from labkit.cluster import Cluster

    if name is None and provider is None:
        from labkit.course.connect import connect

        chosen: Cluster = connect()
        if not chosen.live:
            raise click.ClickException(f"There is no cluster to install anything on. {chosen.why}".rstrip())
        return chosen
    from labkit.cli.shared import DEFAULT

    found = find_cluster(name or DEFAULT, provider)
    return Cluster.connect(found.kubeconfig, found.context)


def _show(cluster: Cluster, output: str) -> None:
    from labkit.cli.shared import columns
    from labkit.cluster import components as parts

    rows = []
    for name in parts.names():
        component = parts.get(name)
        rows.append((name, component.version(cluster) or "", component.extras))
    if output == "json":
        listed = [{"name": name, "version": version or None, "extras": dict(e)} for name, version, e in rows]
        click.echo(json.dumps(listed, indent=2))
        return
    cells = [("COMPONENT", "IN THIS CLUSTER", "OPTIONAL PARTS")]
    cells += [(name, version or "-", ", ".join(extras) or "-") for name, version, extras in rows]
    click.echo(columns(cells))


def _tell(done: list[Any], output: str) -> None:
    if output == "json":
        listed = [
            {"name": one.name, "version": one.version, "action": one.action, "notes": list(one.notes)}
            for one in done
        ]
        click.echo(json.dumps(listed, indent=2))
        return
    for one in done:
        click.echo(str(one))
        for note in one.notes:
            click.echo(f"  {note}")
