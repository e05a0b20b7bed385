"""`labkit node`: a look into a cluster's node."""

from __future__ import annotations

import click

from labkit.cli.shared import DEFAULT, PROVIDER, find_cluster


@click.group()
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

    found = find_cluster(name, provider)
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
