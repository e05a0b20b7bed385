"""`labkit images`: the container images that the lab uses, stand-ins for them, and bringing both into a kind cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.cli.shared import DEFAULT, OUTPUT, columns, find_cluster, step

if TYPE_CHECKING:
    from labkit.cluster import Cluster
    from labkit.cluster.images import Loaded

_ARCHIVE = "labkit-images.tar"
_NAME = click.option("--name", default=None, help=f"The cluster, as labkit calls it (default: {DEFAULT}).")
_KIND_NAME = click.option(
    "--kind-name", default=None, help="A kind cluster that labkit did not make, as kind calls it."
)


@click.group()
def images() -> None:
    """Container images for real clusters: the lab's table, stand-ins, loading.

    \b
    A workshop with a poor line:
      labkit images build             stand-ins for all images, in one archive, made without an engine
      labkit images load --name lab   into the nodes of the kind cluster `lab`
    """


_BASE_HELP = "A root file system or an image that has a Python (default: this machine's own)."
_ONLY_HELP = "Only for this image; may be repeated (default: all that the table has)."


@images.command()
@click.option("--base", metavar="FOLDER|ARCHIVE|IMAGE", help=_BASE_HELP)
@click.option(
    "-o", "--file", type=click.Path(dir_okay=False, path_type=Path), default=_ARCHIVE, show_default=True
)
@click.option("--platform", metavar="OS/ARCH", help="For instance linux/arm64 (default: this machine's).")
@click.option("--image", "references", multiple=True, metavar="REFERENCE", help=_ONLY_HELP)
def build(base: str | None, file: Path, platform: str | None, references: tuple[str, ...]) -> None:
    """Pack the stand-ins and a Python into one archive of images. Needs no engine; the same input gives the same bytes."""
    from labkit.cluster import images as library

    wanted = references or library.read().with_stand_in
    built = library.build(file, wanted, on=base, platform=platform, progress=step)
    click.echo(f"Written: {built.file}. Load it with: labkit images load {built.file}")


@images.command()
@click.argument("what", nargs=-1, metavar="[ARCHIVE|IMAGE]...")
@_NAME
@_KIND_NAME
@OUTPUT
def load(what: tuple[str, ...], name: str | None, kind_name: str | None, output: str) -> None:
    """Load archives, or images of the container engine here, into every node of a kind cluster (default: labkit-images.tar)."""
    from labkit.cluster import images as library

    cluster = _kind_name(name, kind_name)
    if not what and not Path(_ARCHIVE).is_file():
        raise click.ClickException(f"There is no {_ARCHIVE} here. Make one with: labkit images build")
    progress = None if output == "json" else step
    found: list[Loaded] = []
    for one in what or (_ARCHIVE,):
        if Path(one).is_file():
            found += library.load(Path(one), cluster, progress=progress)
        else:
            found += library.load_from_engine(one, cluster, progress=progress)
    if output == "json":
        click.echo(json.dumps([_facts(each) for each in found], indent=2))
    else:
        standins = sum(each.origin == "stand-in" for each in found)
        click.echo(f"{len(found)} images are in the cluster, {standins} of them stand-ins.")


@images.command("list")
@click.argument("archive", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_NAME
@_KIND_NAME
@OUTPUT
def list_images(archive: Path | None, name: str | None, kind_name: str | None, output: str) -> None:
    """The images of the table, of an ARCHIVE, or what was loaded into a cluster (--name, --kind-name)."""
    if archive is not None:
        rows = _of_archive(archive)
    elif name or kind_name:
        rows = _of_cluster(name, kind_name)
    else:
        rows = _of_table()
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        heads = [key for key in rows[0] if key not in ("source", "note")]
        click.echo(
            columns([[head.upper() for head in heads], *([_cell(row[h]) for h in heads] for row in rows)])
        )
    else:
        click.echo("Nothing was loaded. Load with: labkit images load")


@images.command()
@click.argument("references", nargs=-1)
@click.option(
    "--check", is_flag=True, help="Only compare; exit code 1 when the table is not what the registries say."
)
@OUTPUT
def pin(references: tuple[str, ...], check: bool, output: str) -> None:
    """Ask the registries for the digests of the table's images, and renew clusters/images.toml."""
    from labkit.cluster import images as library
    from labkit.cluster.images.renewing import renew

    table = library.read()
    result = renew(table, names=references, write=not check, progress=None if output == "json" else step)
    if output == "json":
        found = {"new": result.new, "same": result.same, "other": result.other, "silent": result.silent}
        click.echo(json.dumps(found, indent=2))
    else:
        for reference, digest in result.changed.items():
            click.echo(f"{'would be' if check else 'now'} {reference}@{digest}")
        for reference, why in result.silent.items():
            click.echo(f"no answer for {reference}: {why}", err=True)
        click.echo(
            f"{len(result.same)} as they were, {len(result.changed)} changed, {len(result.silent)} without answer."
        )
    if result.silent or (check and result.changed):
        sys.exit(1)


def _of_table() -> list[dict[str, Any]]:
    from labkit.cluster import images as library

    return [
        {
            "reference": entry.reference, "digest": entry.digest, "stand-in": bool(entry.stand_in),
            "used by": list(entry.used), "source": entry.source, "note": entry.stand_in,
        }
        for entry in library.read().entries
    ]  # fmt: skip


def _of_archive(file: Path) -> list[dict[str, Any]]:
    from labkit.cluster.images.archives import opened
    from labkit.cluster.images.reference import familiar
    from labkit.cluster.images.standins import LABEL

    with opened(file) as archive:
        return [
            {
                "reference": familiar(name), "digest": image.digest, "platform": image.platform,
                "stand-in": LABEL in ((image.config.get("config") or {}).get("Labels") or {}), "bytes": image.size,
            }
            for image in archive.images()
            for name in image.references
        ]  # fmt: skip


def _of_cluster(name: str | None, kind_name: str | None) -> list[dict[str, Any]]:
    from labkit.cluster.images import loaded

    with _cluster(name, kind_name) as cluster:
        return [_facts(each) for each in loaded.read(cluster).values()]


def _facts(image: Loaded) -> dict[str, Any]:
    from labkit.cluster.images.reference import familiar

    return {
        "reference": familiar(image.reference), "digest": image.digest, "origin": image.origin, "bytes": image.size
    }  # fmt: skip


@contextmanager
def _cluster(name: str | None, kind_name: str | None) -> Iterator[Cluster]:
    from labkit.cluster import Cluster

    if kind_name:
        from labkit.cluster.images.loading import connected

        with connected(kind_name) as cluster:
            yield cluster
    else:
        found = find_cluster(name or DEFAULT, None)
        yield Cluster.connect(found.kubeconfig, found.context)


def _kind_name(name: str | None, kind_name: str | None) -> str:
    """What kind calls the cluster."""
    if name and kind_name:
        raise click.UsageError("--name and --kind-name name two clusters; give one.")
    return kind_name or f"labkit-{name or DEFAULT}"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, int):
        return f"{value / 1e6:.0f} MB"
    return str(value)[:19] if str(value).startswith("sha256:") else str(value)
