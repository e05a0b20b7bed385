"""The second opinion: NetworkPolicy read straight off the dicts, one pair at a time, sharing no code with
labkit.

It answers for ordinary pods and for addresses outside the cluster, and nothing else.
"""

from ipaddress import ip_address, ip_network


def allowed(objects, source, destination, port, protocol, family=4, cidr_matches_pods=True):
    """Whether policy lets `source` ("ns/pod" or an address) open this connection. None: no common family."""
    pods = {f"{o['metadata']['namespace']}/{o['metadata']['name']}": o for o in objects if o["kind"] == "Pod"}
    a, b = _end(pods, source, family), _end(pods, destination, family)
    if a["ip"] is None or b["ip"] is None:
        return None
    if source == destination:
        return True
    question = (objects, a, b, port, protocol, cidr_matches_pods)
    return _half(*question, "Egress") and _half(*question, "Ingress")


def _end(pods, name, family):
    if name in pods:
        addresses = [ip_address(item["ip"]) for item in pods[name]["status"].get("podIPs", [])]
        ip = next((address for address in addresses if address.version == family), None)
        return {"pod": pods[name], "ip": ip}
    ip = ip_address(name)
    return {"pod": None, "ip": ip if ip.version == family else None}


def _half(objects, a, b, port, protocol, cidr_matches_pods, direction):
    subject, other = (a, b) if direction == "Egress" else (b, a)
    if subject["pod"] is None:
        return True
    isolated = False
    for policy in objects:
        if policy["kind"] != "NetworkPolicy":
            continue
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
                if not _peer(objects, policy, peer, other, cidr_matches_pods):
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


def _peer(objects, policy, peer, other, cidr_matches_pods):
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
        labels = next(
            o["metadata"]["labels"]
            for o in objects
            if o["kind"] == "Namespace" and o["metadata"]["name"] == pod["namespace"]
        )
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
