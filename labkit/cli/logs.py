"""`labkit logs`: what a cluster has written about itself, for whoever has to find out what is the matter with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labkit.cli.shared import PROVIDER, all_providers, provider_named

if TYPE_CHECKING:
    from labkit.cluster.providers import Provider


@click.group()
def logs() -> None:
    """What a cluster has written about itself."""


@logs.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@PROVIDER
def export(name: str, folder: Path, provider: str | None) -> None:
    """Put the logs of the cluster NAME (of its nodes, containers and pods) into FOLDER."""
    one = provider_named(provider) if provider else _owner(name)
    where = one.export_logs(name, folder)
    files = sum(1 for path in where.rglob("*") if path.is_file())
    click.echo(f"{files} files in {where}")


def _owner(name: str) -> Provider:
    for one in all_providers():
        if one.find(name) is not None:
            return one
    raise click.ClickException(f"There is no cluster called {name}. Those there are: labkit list")
