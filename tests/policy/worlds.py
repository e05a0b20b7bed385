"""Small worlds for tests: namespaces and pods in one line each, policies as YAML."""

import textwrap

from labkit.policy import Flow, ObjectKey, World, decide, load


def namespace(name, **labels):
    return {"kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(
    path,
    ip=None,
    *,
    labels=None,
    ports=(),
    init_ports=(),
    node="",
    host_network=False,
    phase="Running",
    ips=None,
):
    """A pod "namespace/name"; ports are (number, protocol, name). Without ip it has no status at all."""
    space, name = path.split("/")
    containers = [{"ports": [{"containerPort": n, "protocol": p, "name": label} for n, p, label in ports]}]
    obj = {
        "kind": "Pod",
        "metadata": {"namespace": space, "name": name, "labels": labels or {"pod": name}},
        "spec": {"containers": containers, "nodeName": node, "hostNetwork": host_network},
    }
    if init_ports:
        entries = [{"containerPort": n, "protocol": p, "name": label} for n, p, label in init_ports]
        obj["spec"]["initContainers"] = [{"ports": entries}]
    addresses = ips if ips is not None else [ip] if ip else None
    if addresses is not None:
        obj["status"] = {"phase": phase, "podIPs": [{"ip": address} for address in addresses]}
    return obj


def service(path, cluster_ip, selector, *ports, **spec):
    """A Service "namespace/name"; ports are (port, target port)."""
    space, name = path.split("/")
    entries = [{"port": port, "targetPort": target} for port, target in ports]
    return {
        "kind": "Service",
        "metadata": {"namespace": space, "name": name},
        "spec": {"clusterIP": cluster_ip, "selector": selector, "ports": entries, **spec},
    }


def node(name, ip):
    addresses = [{"type": "InternalIP", "address": ip}]
    return {"kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses}}


def policies(text):
    """NetworkPolicies from YAML: each document is `name: ns/name` and a spec."""
    result = []
    for item in load(textwrap.dedent(text)):
        space, name = item.object["name"].split("/")
        metadata = {"namespace": space, "name": name}
        result.append({"kind": "NetworkPolicy", "metadata": metadata, "spec": item.object.get("spec")})
    return result


PODS = [
    namespace("x", team="red"),
    namespace("y", team="blue"),
    pod("x/a", "10.244.0.11", ports=[(80, "TCP", "web"), (53, "UDP", "dns"), (80, "SCTP", "")]),
    pod("x/b", "10.244.0.12", ports=[(81, "TCP", "web")]),
    pod("y/a", "10.244.0.21", ports=[(80, "TCP", "http")]),
    pod("y/b", "10.244.0.22"),
]
OUTSIDE = "203.0.113.7"


def world(text="", *more):
    """Namespaces x (team=red) and y (team=blue) with pods a and b (pod=a, pod=b), and these policies."""
    return World.from_objects([*PODS, *more, *policies(text)], externals=[OUTSIDE])


def ask(where, source, destination, port=80, protocol="TCP", **options):
    """ "allow", "deny" or "undefined"."""
    profile = options.pop("profile", None)
    flow = Flow(source, destination, port, protocol, **options)
    decision = decide(where, flow, profile) if profile else decide(where, flow)
    return "undefined" if not decision.defined else "allow" if decision.allowed else "deny"


def key(kind, path):
    space, name = path.split("/")
    return ObjectKey(kind, space, name)
