"""`labkit lab`: JupyterLab on a running cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.cli.shared import DEFAULT, PROVIDER
from labkit.cli.starting import MAKING, options_of, start

if TYPE_CHECKING:
    from labkit.cluster.providers import Options


@click.command()
@click.argument("chapter", default="00-find-your-way")
@click.option("--name", default=DEFAULT, show_default=True, help="The cluster to work on.")
@click.option("--port", type=int, default=None, help="JupyterLab's port (default: one that is free).")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@PROVIDER
@MAKING
def lab(
    chapter: str, name: str, port: int | None, no_browser: bool, provider: str | None, **making: Any
) -> None:
    """Open JupyterLab on CHAPTER with everything set: a running cluster, and kubectl that talks to it."""
    from labkit.course.connect import PAPER
    from labkit.course.places import NotFoundError, chapter_folder, root

    try:
        notebook = (chapter_folder(chapter) / f"{chapter}.ipynb").relative_to(root())
    except NotFoundError as error:
        raise click.ClickException(str(error)) from None
    environment = {"LABKIT_ROOT": str(root()), "LABKIT_CLUSTER": name}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    why = _start_for_lab(name, provider, options_of(making), environment)
    if why:
        environment[PAPER] = why
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root()}",
        f"--LabApp.default_url=/lab/tree/{notebook}",
    ]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"] if port else []
    command += ["--no-browser"] if no_browser or not _has_screen() else []
    # No news and no plugins over the network; a shell that keeps this PATH, where a login shell would set its own.
    command += [f"--config={Path(__file__).parent.with_name('jupyterlab.json')}"]
    command += ["--ServerApp.allow_root=True"] if os.name == "posix" and os.geteuid() == 0 else []
    click.echo(
        "JupyterLab prints its address below. Ctrl-C ends it; the cluster goes on (labkit down ends that)."
    )
    os.execvpe(command[0], command, os.environ | environment)


def _start_for_lab(name: str, provider: str | None, options: Options, environment: dict[str, str]) -> str:
    """Start the cluster and set KUBECONFIG; where that cannot be done, say so and give the reason as text."""
    from labkit.cluster.errors import ClusterError

    try:
        found = start(name, provider, options)
    except ClusterError as error:
        why = (
            f"{error}\nSo the lab works by the model alone: the column of what the cluster did stays empty."
            " `labkit doctor` says what would fill it."
        )
        click.secho(why, fg="yellow", err=True)
        return why
    click.echo(f"Cluster {found.name} is up: {found.server}, context {found.context}.")
    if found.kubeconfig is not None:
        environment["KUBECONFIG"] = str(found.kubeconfig)
    return ""


def _has_screen() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
