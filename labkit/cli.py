"""The command `labkit`: start and end clusters, look at them, open the lab, and find out what a machine lacks."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from labkit.cluster.providers import Finding, ProvidedCluster, Provider

DEFAULT = "lab"
OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="text for people, json for programs.",
)
PROVIDER = click.option("--provider", default=None, help="Who makes the cluster (default: the embedded one).")


class LabCommand(click.Group):
    """Shows an error that speaks for itself as one message; only our own mistakes end in a traceback."""

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


@main.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
@OUTPUT
def up(name: str, provider: str | None, output: str) -> None:
    """Start the cluster NAME (default: lab), or find it running. Its objects are as you left them."""
    quiet = output == "json"
    found = _provider(provider).create(name, progress=None if quiet else _step)
    if quiet:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        click.echo(f"Cluster {found.name} is up: {found.server}, context {found.context}.")
        click.echo(f'For kubectl in this shell:  eval "$(labkit env{_unless_default(name)})"')


@main.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
@OUTPUT
def down(name: str, provider: str | None, output: str) -> None:
    """End the cluster NAME and remove everything it has, its objects too."""
    _provider(provider).delete(name)
    click.echo(
        json.dumps({"name": name, "deleted": True}) if output == "json" else f"Cluster {name} is gone."
    )


@main.command("list")
@OUTPUT
def list_clusters(output: str) -> None:
    """List the clusters of all providers."""
    found = [cluster for provider in _providers() for cluster in provider.list()]
    if output == "json":
        click.echo(json.dumps([cluster.to_dict() for cluster in found], indent=2))
    elif found:
        rows = [("NAME", "PROVIDER", "STATUS", "CONTEXT", "SERVER")]
        rows += [(c.name, c.provider, _running(c), c.context, c.server) for c in found]
        click.echo(_columns(rows))
    else:
        click.echo("No clusters. Start one with: labkit up")


@main.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
@OUTPUT
def status(name: str, provider: str | None, output: str) -> None:
    """Say how the cluster NAME is: its process, its address, where its kubeconfig lies. Exit code 3 when it does not run."""
    found = _find(name, provider)
    if output == "json":
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        click.echo("\n".join(f"{key + ':':12} {value}" for key, value in _for_people(found.to_dict())))
    if not found.running:
        sys.exit(3)


@main.command()
@click.argument("name", default=DEFAULT)
@PROVIDER
def env(name: str, provider: str | None) -> None:
    """Print `export KUBECONFIG=...` for a shell: eval "$(labkit env NAME)"."""
    found = _find(name, provider)
    if found.kubeconfig is None:
        raise click.ClickException(
            f"Cluster {name} has no kubeconfig of its own; use: kubectl --context {found.context}"
        )
    click.echo(f"export KUBECONFIG={shlex.quote(str(found.kubeconfig))}")


@main.command()
@click.option("--fix", is_flag=True, help="Run the commands that would help, after asking about each.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@OUTPUT
def doctor(fix: bool, yes: bool, output: str) -> None:
    """Say for each kind of cluster whether this machine can run it, and what to do if not. Changes nothing unless told to."""
    reports = [(provider.name, list(provider.doctor())) for provider in _providers()]
    if output == "json":
        data = [
            {"provider": name, "ok": _all_ok(findings), "findings": [_finding(item) for item in findings]}
            for name, findings in reports
        ]
        click.echo(json.dumps(data, indent=2))
    else:
        for name, findings in reports:
            click.secho(f"{'✓' if _all_ok(findings) else '✗'} {name}", bold=True)
            for item in findings:
                click.echo(f"  {'✓' if item.ok else '✗'} {item.title}")
                if not item.ok or item.explanation:
                    click.echo(_indented(item.explanation))
                if item.remedy and not item.ok:
                    click.echo(_indented(f"What helps:\n{item.remedy}"))
    if fix:
        _run_remedies(
            [item for _, findings in reports for item in findings if not item.ok and item.remedy], yes
        )


@main.command()
@click.argument("chapter", default="00-find-your-way")
@click.option("--name", default=DEFAULT, show_default=True, help="The cluster to work on.")
@click.option("--port", type=int, default=None, help="JupyterLab's port (default: one that is free).")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@PROVIDER
def lab(chapter: str, name: str, port: int | None, no_browser: bool, provider: str | None) -> None:
    """Open JupyterLab on CHAPTER with everything set: a running cluster, and kubectl that talks to it."""
    from labkit.course.connect import PAPER
    from labkit.course.places import NotFoundError, chapter_folder, root

    try:
        notebook = (chapter_folder(chapter) / f"{chapter}.ipynb").relative_to(root())
    except NotFoundError as error:
        raise click.ClickException(str(error)) from None
    environment = {"LABKIT_ROOT": str(root()), "LABKIT_CLUSTER": name}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    why = _start_for_lab(name, provider, environment)
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
    command += [f"--config={Path(__file__).with_name('jupyterlab.json')}"]
    command += ["--ServerApp.allow_root=True"] if os.name == "posix" and os.geteuid() == 0 else []
    click.echo(
        "JupyterLab prints its address below. Ctrl-C ends it; the cluster goes on (labkit down ends that)."
    )
    os.execvpe(command[0], command, os.environ | environment)


def _start_for_lab(name: str, provider: str | None, environment: dict[str, str]) -> str:
    """Start the cluster and set KUBECONFIG; where that cannot be done, say so and give the reason as text."""
    from labkit.cluster.errors import ClusterError

    try:
        found = _provider(provider).create(name, progress=_step)
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


@main.group()
def node() -> None:
    """Look into a cluster's node, where it lets you."""


@node.command()
@click.argument("pod")
@click.option("-n", "--namespace", default=None, help="The pod's namespace (default: default).")
@click.option("--name", default=DEFAULT, show_default=True, help="The cluster.")
@PROVIDER
def rules(pod: str, namespace: str | None, name: str, provider: str | None) -> None:
    """Print the packet filter rules that the node has for POD (a name, or NAMESPACE/NAME), with their counters."""
    from labkit.cluster import Cluster

    found = _find(name, provider)
    cluster = Cluster.connect(found.kubeconfig, found.context)
    if namespace is None:
        namespace, _, pod = pod.rpartition("/")
        namespace = namespace or "default"
    nodes = cluster.list("nodes")
    pod_object = cluster.get("pods", pod, namespace)
    if pod_object is None:
        alike = [p["metadata"] for p in cluster.list("pods") if p["metadata"]["name"] == pod]
        known = ", ".join(f"labkit node rules {meta['namespace']}/{pod}" for meta in alike)
        raise click.ClickException(
            f'pods "{pod}" not found in namespace {namespace}.' + (f" Try: {known}" if known else "")
        )
    on = pod_object["spec"].get("nodeName") or nodes[0]["metadata"]["name"]
    click.echo(
        cluster.client.raw("GET", f"/api/v1/nodes/{on}/proxy/rules/{namespace}/{pod}").decode(), nl=False
    )


def _providers() -> Sequence[Provider]:
    from labkit.cluster import providers

    return [providers.get(name) for name in providers.names()]


def _provider(name: str | None) -> Provider:
    from labkit.cluster import providers

    try:
        return providers.get(name or providers.names()[0])
    except KeyError as error:
        raise click.BadParameter(str(error.args[0]), param_hint="--provider") from None


def _find(name: str, provider: str | None) -> ProvidedCluster:
    searched = [_provider(provider)] if provider else _providers()
    for one in searched:
        if found := one.find(name):
            return found
    raise click.ClickException(
        f"There is no cluster called {name}. Start it with: labkit up{_unless_default(name)}"
    )


def _finding(item: Finding) -> dict[str, Any]:
    return {"title": item.title, "ok": item.ok, "explanation": item.explanation, "remedy": item.remedy}


def _all_ok(findings: Sequence[Finding]) -> bool:
    return all(item.ok for item in findings)


def _run_remedies(findings: Sequence[Finding], yes: bool) -> None:
    if not findings:
        click.echo("Nothing to fix.")
    for item in findings:
        if yes or click.confirm(f"Run this?\n{_indented(item.remedy)}\n"):
            subprocess.run(["sh", "-ec", item.remedy], check=False)


def _for_people(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts of a cluster without what only programs want; a moment as a date of this machine's clock."""
    for key, value in facts.items():
        if key == "created" or value in (None, ""):
            continue
        if key == "running":
            yield "status", "running" if value else "stopped"
        elif key == "started" and isinstance(value, int | float):
            yield key, datetime.fromtimestamp(value).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        else:
            yield key, str(value)


def _running(cluster: ProvidedCluster) -> str:
    return "running" if cluster.running else "stopped"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _indented(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.splitlines())


def _step(line: str) -> None:
    click.echo(f"  {line}")


def _unless_default(name: str) -> str:
    return "" if name == DEFAULT else f" {name}"


def _has_screen() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    main()
