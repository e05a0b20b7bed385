"""`labkit up`, `down`, `list`, `status` and `env`: clusters, whoever provides them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from labkit.cli.shared import (
    DEFAULT,
    OUTPUT,
    PROVIDER,
    all_providers,
    columns,
    find_cluster,
    owner,
    unless_default,
)
from labkit.cli.starting import MAKING, options_of, start

if TYPE_CHECKING:
    from labkit.cluster.providers import ProvidedCluster


@click.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
@MAKING
@OUTPUT
def up(name: str, provider: str | None, output: str, **making: Any) -> None:
    """Start the cluster NAME (default: lab), or find it running. Its objects are as you left them.

    \b
    The embedded cluster is there in a second and needs nothing:   labkit up
    Real Kubernetes, in containers (docker, podman or nerdctl):    labkit up --provider kind
    """
    found = start(name, provider, options_of(making), quiet=output == "json")
    if output == "json":
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        click.echo(f"Cluster {found.name} is up: {found.server}, context {found.context}.")
        click.echo(f'For kubectl in this shell:  eval "$(labkit env{unless_default(name)})"')


@click.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
@OUTPUT
def down(name: str, provider: str | None, output: str) -> None:
    """End the cluster NAME and remove everything it has, its objects too."""
    owner(name, provider).delete(name)
    click.echo(
        json.dumps({"name": name, "deleted": True}) if output == "json" else f"Cluster {name} is gone."
    )


@click.command("list")
@OUTPUT
def list_clusters(output: str) -> None:
    """List the clusters of all providers."""
    found = [cluster for provider in all_providers() for cluster in provider.list()]
    if output == "json":
        click.echo(json.dumps([cluster.to_dict() for cluster in found], indent=2))
    elif found:
        rows = [("NAME", "PROVIDER", "STATUS", "CONTEXT", "SERVER")]
        rows += [(c.name, c.provider, _running(c), c.context, c.server) for c in found]
        click.echo(columns(rows))
    else:
        click.echo("No clusters. Start one with: labkit up")


@click.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
@OUTPUT
def status(name: str, provider: str | None, output: str) -> None:
    """Say how the cluster NAME is: its process, its address, where its kubeconfig lies. Exit code 3 when it does not run."""
    found = find_cluster(name, provider)
    if output == "json":
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        click.echo("\n".join(f"{key + ':':12} {value}" for key, value in _for_people(found.to_dict())))
    if not found.running:
        sys.exit(3)


@click.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
def env(name: str, provider: str | None) -> None:
    """Print `export KUBECONFIG=...` for a shell: eval "$(labkit env NAME)"."""
    found = find_cluster(name, provider)
    if found.kubeconfig is None:
        raise click.ClickException(
            f"Cluster {name} has no kubeconfig of its own; use: kubectl --context {found.context}"
        )
    click.echo(f"export KUBECONFIG={shlex.quote(str(found.kubeconfig))}")


def _for_people(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts of a cluster without what only programs want; a moment as a date of this machine's clock."""
    for key, value in facts.items():
        if key == "created" or value in (None, "", []):
            continue
        if key == "running":
            yield "status", "running" if value else "stopped"
        elif key == "started" and isinstance(value, int | float):
            yield key, datetime.fromtimestamp(value).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        else:
            yield key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _running(cluster: ProvidedCluster) -> str:
    return "running" if cluster.running else "stopped"
