"""What the commands share: options, the way to providers and clusters, and text in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from labkit.cluster.providers import ProvidedCluster, Provider

DEFAULT = "lab"
OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="text for people, json for programs.",
)
PROVIDER = click.option("--provider", default=None, help="Who makes the cluster (default: the embedded one).")


def all_providers() -> Sequence[Provider]:
    """Every provider there is, the default first."""
    from labkit.cluster import providers

    return [providers.get(name) for name in providers.names()]


def provider_named(name: str | None) -> Provider:
    """The provider of that name, or the default one. Raises BadParameter."""
    from labkit.cluster import providers

    try:
        return providers.get(name or providers.names()[0])
    except KeyError as error:
        raise click.BadParameter(str(error.args[0]), param_hint="--provider") from None


def find_cluster(name: str, provider: str | None) -> ProvidedCluster:
    """The cluster of that name, of that provider or any. Raises ClickException."""
    searched = [provider_named(provider)] if provider else all_providers()
    for one in searched:
        if found := one.find(name):
            return found
    raise click.ClickException(
        f"There is no cluster called {name}. Start it with: labkit up{unless_default(name)}"
    )


def owner(name: str, provider: str | None) -> Provider:
    """The provider of a cluster: the one named, or the one that has a cluster of that name, or the default one."""
    if provider:
        return provider_named(provider)
    return next((one for one in all_providers() if one.find(name)), provider_named(None))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def indented(text: str) -> str:
    """Lines set in under the one they explain."""
    return "\n".join(f"      {line}" for line in text.splitlines())


def step(line: str) -> None:
    """Print one step of something that takes a while."""
    click.echo(f"  {line}")


def unless_default(name: str) -> str:
    """The cluster's name as an argument to repeat, where one must be given."""
    return "" if name == DEFAULT else f" {name}"
