"""Node, ServiceAccount and Lease: little behaviour, but a row of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.pocket.api.kinds.printing import NONE, UNKNOWN, age
from labkit.pocket.api.kinds.rules import Rules

Obj = dict[str, Any]

_ROLE = "node-role.kubernetes.io/"


def _node_fields(node: Obj) -> Mapping[str, str]:
    return {"spec.unschedulable": "true" if (node.get("spec") or {}).get("unschedulable") else "false"}


def _node_row(node: Obj) -> list[Any]:
    status = node.get("status") or {}
    ready = {item.get("type"): item.get("status") for item in status.get("conditions") or []}.get("Ready")
    state = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if (node.get("spec") or {}).get("unschedulable"):
        state.append("SchedulingDisabled")
    roles = set()
    for label, value in (node["metadata"].get("labels") or {}).items():
        if label.startswith(_ROLE) and len(label) > len(_ROLE):
            roles.add(label.removeprefix(_ROLE))
        elif label == "kubernetes.io/role" and value:
            roles.add(value)
    addresses: dict[str, str] = {}
    for item in status.get("addresses") or []:
        addresses.setdefault(item.get("type", ""), item.get("address", ""))
    info = status.get("nodeInfo") or {}
    return [
        node["metadata"]["name"],
        ",".join(state),
        ",".join(sorted(roles)) or NONE,
        age(node),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _service_account_row(account: Obj) -> list[Any]:
    return [account["metadata"]["name"], len(account.get("secrets") or []), age(account)]


def _lease_row(lease: Obj) -> list[Any]:
    return [lease["metadata"]["name"], (lease.get("spec") or {}).get("holderIdentity") or "", age(lease)]


NODE = Rules(fields=_node_fields, keeps_status=True, row=_node_row)
SERVICE_ACCOUNT = Rules(row=_service_account_row)
LEASE = Rules(row=_lease_row)
