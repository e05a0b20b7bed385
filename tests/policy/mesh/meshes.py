"""Small meshes for tests: namespaces foo and bar in the mesh, legacy outside, and policies as YAML."""

import textwrap

from labkit.policy import Flow, HttpRequest, World, decide, load

BASE = """
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bar, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: legacy}
"""


def pod(path, ip, *, ports=(), sidecar=None, labels=None, annotations=None, **spec):
    """A pod that runs; in foo and bar with a sidecar, unless told otherwise."""
    space, name = path.split("/")
    containers = [{"name": "main", "ports": [{"containerPort": port} for port in ports]}]
    if sidecar if sidecar is not None else space != "legacy":
        containers.append({"name": "istio-proxy"})
    metadata = {
        "namespace": space,
        "name": name,
        "labels": labels or {"app": name},
        "annotations": annotations or {},
    }
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
    spec = {"serviceAccountName": name, "containers": containers, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def service(path, *ports, **spec):
    """A Service for pods with the label app of its name; ports are (name, port, target)."""
    space, name = path.split("/")
    entries = [{"name": n, "port": p, "targetPort": t} for n, p, t in ports]
    body = {"selector": {"app": name}, "ports": entries, "clusterIP": "10.96.0.9", **spec}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": space, "name": name},
        "spec": body,
    }


OBJECTS = [
    pod("foo/web", "10.244.0.10", ports=[8080, 9000]),
    pod("foo/curl", "10.244.0.11"),
    pod("bar/curl", "10.244.0.12"),
    pod("legacy/curl", "10.244.0.13"),
    service("foo/web", ("http", 8000, 8080), ("tcp", 9000, 9000)),
]


def mesh(text="", *more):
    """The base with these policies: full YAML documents, of which apiVersion may be left out."""
    policies = []
    for item in load(textwrap.dedent(text)):
        group = (
            "networking"
            if item.object["kind"] in ("DestinationRule", "VirtualService", "Gateway")
            else "security"
        )
        item.object.setdefault("apiVersion", f"{group}.istio.io/v1")
        policies.append(item)
    return World.from_objects([*load(BASE), *OBJECTS, *more, *policies])


def ask(world, source="bar/curl", to="service:foo/web", port=8000, *, facts=None, **request):
    """The decision for one request: GET /get if nothing else is said; tcp=True for bytes."""
    tcp = request.pop("tcp", False)
    http = None if tcp else HttpRequest.of(**{"path": "/get", **request})
    return decide(world, Flow(source, to, port, request=http), facts=facts)
