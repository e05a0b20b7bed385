"""`labkit bundle`: a workshop in a box. Make it where there is internet, list it, load it where there is none."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labkit.cli.shared import OUTPUT, columns, step

if TYPE_CHECKING:
    from labkit.cluster.bundle import Contents, Loading

_FILE = click.Path(path_type=Path)
_KINDS = {
    "tool": "programs", "manifest": "manifests of components", "image": "images' configurations", "layer": "images' layers",
    "wheel": "Python packages", "lab": "notebooks", "install": "installation",
}  # fmt: skip


def _names(_ctx: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.group()
def bundle() -> None:
    """A workshop in a box: all that chapters need in one file, for rooms without wifi."""


@bundle.command()
@click.option("--chapters", default="", callback=_names, help="For example 00,01,02 (default: all).")
@click.option(
    "-o", "--output", "box", type=_FILE, required=True, help="The file to write, for example box.tar."
)
@click.option(
    "--platform",
    default="",
    help="The laptops: linux/amd64, linux/arm64, darwin/arm64 (default: as this one).",
)
@click.option("--python", default="", help="Their Python, for the packages: 3.12 (default: as this one).")
@click.option("--tools", default="", callback=_names, help="More programs: istioctl,linkerd,helm,...")
@click.option(
    "--components", default="", callback=_names, help="More components: istio,linkerd,calico,cert-manager."
)
@click.option("--images", default="", callback=_names, help="More images, by reference.")
@click.option("--node-image", default="", help="Another node image than the table's.")
@click.option(
    "--local",
    is_flag=True,
    help="Take images as this machine's engine has them under their tag (stand-ins, say).",
)
@click.option("--without-images", is_flag=True, help="No images: for laptops that use the embedded cluster.")
@click.option("--without-wheels", is_flag=True, help="No Python packages.")
@click.option("--without-lab", is_flag=True, help="No notebooks.")
def create(
    chapters: tuple[str, ...], box: Path, platform: str, python: str, tools: tuple[str, ...],
    components: tuple[str, ...], images: tuple[str, ...], node_image: str, local: bool,
    without_images: bool, without_wheels: bool, without_lab: bool,
) -> None:  # fmt: skip
    """Make a box on a machine with internet."""
    from labkit.cluster import bundle as boxes
    from labkit.cluster.tools import Platform, this_platform

    try:
        wanted = Platform.parse(platform) if platform else this_platform()
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--platform") from None
    recipe = boxes.Recipe(
        chapters, wanted, tools, components, images, node_image, not without_wheels, not without_lab,
        not without_images, local, python,
    )  # fmt: skip
    contents = boxes.create(recipe, box, progress=step)
    click.echo(_summary(contents, box))
    if unchecked := [i.references[0] for i in contents.images if i.origin == "engine" and not i.digest]:
        click.echo(
            f"Taken as this machine's engine has them, without a digest to check: {', '.join(unchecked)}"
        )
    click.echo(f"On a laptop without internet:  labkit bundle load {box.name}")
    if not without_wheels:
        click.echo(
            f"One that has nothing of the lab:  tar xf {box.name} install.py && python3 install.py {box.name} lab"
        )


@bundle.command("list")
@click.argument("box", type=_FILE)
@OUTPUT
def list_box(box: Path, output: str) -> None:
    """List what is in BOX: its size, and each of its parts."""
    from labkit.cluster import bundle as boxes
    from labkit.cluster.tools.sizes import in_words

    contents = boxes.listed(box)
    if output == "json":
        click.echo(json.dumps(dataclasses.asdict(contents) | {"size": contents.size}, indent=2))
        return
    click.echo(_summary(contents, box))
    rows = [("SIZE", "CHECKED", "WHAT")]
    rows += [
        (in_words(part.size), part.checked_by or "-", part.title)
        for part in contents.parts
        if part.kind not in ("layer", "image", "wheel")
    ]
    if wheels := [part.size for part in contents.parts if part.kind == "wheel"]:
        what = f"{len(wheels)} Python packages" + (
            f" for Python {contents.python}" if contents.python else ""
        )
        rows.append((in_words(sum(wheels)), "lock", what))
    sizes = {part.path: part.size for part in contents.parts}
    for image in contents.images:
        size = sum(sizes.get(layer.part, 0) for layer in image.layers)
        how = "digest" if image.digest else f"tag ({image.origin})"
        rows.append((in_words(size), how, f"{'node ' if image.node else ''}image {image.references[0]}"))
    click.echo(columns(rows))


@bundle.command()
@click.argument("box", type=_FILE)
@click.option("--lab", type=_FILE, default=None, help="A new folder for the box's notebooks and manifests.")
@click.option(
    "--no-engine", is_flag=True, help="Leave the container engine alone: keep images in the cache only."
)
def load(box: Path, lab: Path | None, no_engine: bool) -> None:
    """Load BOX on a machine without internet. Run it again after an interruption: it goes on where it was."""
    from labkit.cluster import bundle as boxes

    done = boxes.load(box, lab=lab, engine=not no_engine, progress=step)
    click.echo(_summary(done.contents, box))
    click.echo(f"{done.loaded} parts loaded, {done.skipped} were there and good.")
    for line in [*done.warnings, *_next(done)]:
        click.echo(line)


def _summary(contents: Contents, box: Path) -> str:
    from labkit.cluster.tools.sizes import in_words

    sizes: Counter[str] = Counter()
    for part in contents.parts:
        sizes[_KINDS.get(part.kind, part.kind)] += part.size
    what = ", ".join(f"{name} {in_words(size)}" for name, size in sizes.most_common())
    chapters = ", ".join(contents.chapters) or "none"
    return (
        f"{box}: {in_words(contents.size)} for {contents.platform}, made {contents.created}"
        f" by labkit {contents.made_by.get('labkit', '?')}\n  chapters {chapters}\n  {what}"
    )


def _next(done: Loading) -> list[str]:
    from labkit.cluster.bundle.wheels import install_commands

    lines = []
    if done.wheels:
        lines += ["Python packages, for an environment that has not the lab yet:"]
        lines += [f"  {command}" for command in install_commands(done.wheels)]
    if done.lab:
        lines.append(f"The notebooks are in {done.lab}.")
    if done.node:
        lines.append(f"A cluster, with no internet:  labkit up --provider kind    ({done.node})")
    return lines
