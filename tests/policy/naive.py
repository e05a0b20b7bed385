"""The second opinion: NetworkPolicy read straight off the dicts, one pair at a time, sharing no code with
labkit.

It answers for ordinary pods and for addresses outside the cluster, and nothing else.
"""

from ipaddress import ip_address, ip_network


class Cluster:
    """The objects, sorted by kind once."""

    def __init__(self, objects):
        def of(kind):
            return [o for o in objects if o["kind"] == kind]

        self.pods = {f"{o['metadata']['namespace']}/{o['metadata']['name']}": o for o in of("Pod")}
        self.namespace_labels = {o["metadata"]["name"]: o["metadata"]["labels"] for o in of("Namespace")}
        self.policies = of("NetworkPolicy")
        self.addresses = {
            name: [ip_address(item["ip"]) for item in pod["status"].get("podIPs", [])]
            for name, pod in self.pods.items()
        }


def allowed(cluster, source, destination, port, protocol, family=4, cidr_matches_pods=True):
    """Whether policy lets `source` ("ns/pod" or an address) open this connection. None: no common family."""
    a, b = _end(cluster, source, family), _end(cluster, destination, family)
    if a["ip"] is None or b["ip"] is None:
        return None
    if source == destination:
        return True
    question = (cluster, a, b, port, protocol, cidr_matches_pods)
    return _half(*question, "Egress") and _half(*question, "Ingress")


def _end(cluster, name, family):
    if name in cluster.pods:
        ip = next((address for address in cluster.addresses[name] if address.version == family), None)
        return {"pod": cluster.pods[name], "ip": ip}
    ip = ip_address(name)
    return {"pod": None, "ip": ip if ip.version == family else None}


def _half(cluster, a, b, port, protocol, cidr_matches_pods, direction):
    subject, other = (a, b) if direction == "Egress" else (b, a)
    if subject["pod"] is None:
        return True
    isolated = False
    for policy in cluster.policies:
        spec = policy["spec"]
        if policy["metadata"]["namespace"] != subject["pod"]["metadata"]["namespace"]:
            continue
        if not _select(spec.get("podSelector"), subject["pod"]["metadata"]["labels"]):
            continue
        types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
        if direction not in types:
            continue
        isolated = True
        for rule in spec.get(direction.lower()) or []:
            peers = rule.get("from" if direction == "Ingress" else "to") or ["everyone"]
            ports = rule.get("ports") or ["every port"]
            for peer in peers:
                if not _peer(cluster, policy, peer, other, cidr_matches_pods):
                    continue
                for entry in ports:
                    by_address = direction == "Egress" and peer != "everyone" and "ipBlock" in peer
                    if _port(entry, port, protocol, None if by_address else b["pod"]):
                        return True
    return not isolated


def _select(selector, labels):
    selector = selector or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if key not in labels or labels[key] != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
        good = {
            "In": key in labels and labels[key] in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[operator]
        if not good:
            return False
    return True


def _peer(cluster, policy, peer, other, cidr_matches_pods):
    if peer == "everyone":
        return True
    if "ipBlock" in peer:
        if other["pod"] is not None and not cidr_matches_pods:
            return False
        block = peer["ipBlock"]
        inside = _inside(other["ip"], block["cidr"])
        return inside and not any(_inside(other["ip"], hole) for hole in block.get("except") or [])
    if other["pod"] is None:
        return False
    pod = other["pod"]["metadata"]
    if peer.get("namespaceSelector") is None:
        if pod["namespace"] != policy["metadata"]["namespace"]:
            return False
    else:
        labels = cluster.namespace_labels[pod["namespace"]]
        if not _select(peer["namespaceSelector"], labels):
            return False
    return peer.get("podSelector") is None or _select(peer["podSelector"], pod["labels"])


def _inside(ip, cidr):
    network = ip_network(cidr)
    return network.version == ip.version and ip in network


def _port(entry, port, protocol, named_on):
    if entry == "every port":
        return True
    if entry.get("protocol", "TCP") != protocol:
        return False
    wanted = entry.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        if named_on is None:
            return False
        return any(
            declared.get("name") == wanted
            and declared["protocol"] == protocol
            and declared["containerPort"] == port
            for container in named_on["spec"]["containers"]
            for declared in container["ports"]
        )
    return wanted <= port <= entry.get("endPort", wanted)
