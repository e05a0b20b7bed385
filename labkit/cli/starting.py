"""Starting a cluster from the command line: the options of it, its steps on the screen, and a Ctrl-C that says what is left."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labkit.cli.shared import provider_named

if TYPE_CHECKING:
    from labkit.cluster.providers import Options, ProvidedCluster

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--image", default="", help="kind: the node image (default: the pinned one)."),
    click.option(
        "--config", default="", metavar="NAME|FILE",
        help="kind: single (the default), three-nodes, calico, dual-stack, or a kind configuration of yours.",
    ),
    click.option("--retain", is_flag=True, help="kind: keep the nodes of a start that failed, to look into them."),
    click.option("--export-kubeconfig", is_flag=True, help="kind: also put the cluster into your own kubeconfig."),
    click.option("--offline", is_flag=True, help="kind: stand-ins for all images that would have to be pulled."),
    click.option(
        "--wait", type=click.FloatRange(min=0), default=None, metavar="SECONDS",
        help="kind: for the nodes to become ready (default: 300; 0: do not wait).",
    ),
)  # fmt: skip


def MAKING(command: F) -> F:  # noqa: N802 - a decorator among PROVIDER and OUTPUT
    """The options that say how a cluster is made."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_of(given: Mapping[str, Any]) -> Options:
    """The values of MAKING as the providers take them."""
    from labkit.cluster.providers import Options

    return Options(**given)


def start(name: str, provider: str | None, options: Options, *, quiet: bool = False) -> ProvidedCluster:
    """Make the cluster or find it, with its steps on the screen (unless `quiet`). Raises ClusterError.

    Interrupted, it says what is left and ends the program with the exit code that shells expect.
    """
    from labkit.cli import terminal
    from labkit.cluster.errors import Interrupted

    maker = provider_named(provider)
    try:
        if quiet:
            return maker.create(name, options=options)
        with terminal.shown() as steps:
            return maker.create(name, progress=steps, options=options)
    except Interrupted as stopped:
        click.echo(str(stopped), err=True)
        sys.exit(128 + signal.SIGINT)
