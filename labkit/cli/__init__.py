"""The command `labkit`: start and end clusters, look at them, open the lab, and find out what a machine lacks.

One module a command or group of commands; what is not asked for is not imported.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

# Where each command is: module and attribute.
_COMMANDS = {
    "up": "clusters:up",
    "down": "clusters:down",
    "list": "clusters:list_clusters",
    "status": "clusters:status",
    "env": "clusters:env",
    "doctor": "doctor:doctor",
    "lab": "lab:lab",
    "logs": "logs:logs",
    "node": "node:node",
    "components": "components:components",
    "install": "install:install",
    "uninstall": "install:uninstall",
    "bundle": "bundle:bundle",
    "images": "images:images",
}


class LabCommand(click.Group):
    """Finds a command when it is asked for; shows an error that speaks for itself as one message, not as a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All commands, in the order that people meet them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module now."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a cluster's or the lab's error becomes a message on standard error and exit code 1."""
        from labkit.cluster.errors import ClusterError

        try:
            return super().invoke(ctx)
        except ClusterError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=LabCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labkit")
def main() -> None:
    """A lab for learning zero-trust networking in Kubernetes.

    \b
    First steps:
      labkit lab              open JupyterLab with a running cluster
      labkit up               only start a cluster
      eval "$(labkit env)"    let this shell's kubectl talk to it
      labkit down             end it; nothing is left behind
    """
