"""Make the package data of the embedded API server from what a real Kubernetes API server says of itself.

    python scripts/update_schemas.py DIRECTORY                 # a dump made earlier
    python scripts/update_schemas.py --kubeconfig FILE [--context NAME]   # ask a running cluster (needs kubectl)

    ... --protobuf        # also the numbers of the fields, for kubectl's protobuf bodies (needs Go)

Only the kinds in SERVED are kept. The result is written to labkit/pocket/api/schemas/: discovery.json.gz (what is
served, in aggregated form), columns.json.gz (of the tables of `kubectl get`), definitions.json.gz (the schemas of
all kinds, merged) and paths.json.gz (the operations of each group version, for OpenAPI).

A dump holds `discovery/{api,apis}.aggregated.json`, `openapi/v3/NAME.json` with NAME the group version's path with
"/" written "__" (api__v1, apis__apps__v1), `tables/PLURAL.GROUP/list.table.json` (a Table of each
resource) and `version.json`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SERVED: dict[str, set[str]] = {
    "api/v1": {
        "bindings",
        "configmaps",
        "endpoints",
        "events",
        "namespaces",
        "nodes",
        "pods",
        "secrets",
        "serviceaccounts",
        "services",
    },
    "apis/apiextensions.k8s.io/v1": {"customresourcedefinitions"},
    "apis/apps/v1": {"deployments", "replicasets"},
    "apis/authentication.k8s.io/v1": {"selfsubjectreviews", "tokenreviews"},
    "apis/authorization.k8s.io/v1": {
        "localsubjectaccessreviews",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "subjectaccessreviews",
    },
    "apis/coordination.k8s.io/v1": {"leases"},
    "apis/discovery.k8s.io/v1": {"endpointslices"},
    "apis/events.k8s.io/v1": {"events"},
    "apis/networking.k8s.io/v1": {"networkpolicies"},
}

# What the embedded cluster has no machinery for; asking for it gives the answer of a server without it.
UNSERVED_SUBRESOURCES = {"pods/checkpoint", "services/proxy", "pods/proxy"}

TARGET = Path(__file__).resolve().parent.parent / "labkit/pocket/api/schemas"
TABLE = "application/json;g=meta.k8s.io;v=v1;as=Table"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

Read = Callable[[str], Any]


def from_directory(directory: Path) -> Read:
    """Read a dump's files by the path they had on the server."""

    def read(path: str) -> Any:
        name = path.strip("/")
        if name.startswith("table/"):
            group, _, plural = name.split("/")[1:]
            resource = f"{plural}.{group}" if group != "-" else plural
            file = directory / "tables" / resource / "list.table.json"
        elif name in ("api", "apis"):
            file = directory / "discovery" / f"{name}.aggregated.json"
        elif name.startswith("openapi/v3/"):
            file = directory / "openapi/v3" / (name.removeprefix("openapi/v3/").replace("/", "__") + ".json")
        else:
            file = directory / f"{name}.json"
        return json.loads(file.read_text())

    return read


def from_cluster(kubeconfig: str, context: str | None) -> Read:
    """Ask a cluster through a `kubectl proxy`, which lives as long as this process."""
    import atexit
    import urllib.request

    command = ["kubectl", "--kubeconfig", kubeconfig, *(["--context", context] if context else [])]
    proxy = subprocess.Popen([*command, "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
    atexit.register(proxy.terminate)
    assert proxy.stdout is not None
    match = re.search(r"127\.0\.0\.1:\d+", proxy.stdout.readline())
    if match is None:
        sys.exit("kubectl proxy did not start")
    base = f"http://{match[0]}"

    def read(path: str) -> Any:
        accept = AGGREGATED if path.strip("/") in ("api", "apis") else "application/json"
        if path.startswith("table/"):
            group, version, plural = path.split("/")[1:]
            path = f"api/{version}/{plural}" if group == "-" else f"apis/{group}/{version}/{plural}"
            accept = TABLE
        request = urllib.request.Request(f"{base}/{path.strip('/')}", headers={"Accept": accept})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    return read


def served(root: str, listing: dict[str, Any]) -> dict[str, Any]:
    """The aggregated discovery list with only what SERVED names."""
    groups = []
    for group in listing["items"]:
        name = group["metadata"].get("name", "")
        versions = []
        for version in group["versions"]:
            wanted = SERVED.get("/".join(part for part in (root, name, version["version"]) if part), set())
            resources = []
            for resource in version["resources"]:
                if resource["resource"] not in wanted:
                    continue
                if "subresources" in resource:
                    resource["subresources"] = [
                        sub
                        for sub in resource["subresources"]
                        if f"{resource['resource']}/{sub['subresource']}" not in UNSERVED_SUBRESOURCES
                    ]
                resources.append(resource)
            if resources:
                versions.append({**version, "resources": resources})
        if versions:
            groups.append({"metadata": {"name": name} if name else {}, "versions": versions})
    return {**listing, "metadata": {}, "items": groups}


def kept_paths(group_version: str, document: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """The operations on the wanted resources; the deprecated /watch/ paths are left out."""
    kept = {}
    for path, item in document["paths"].items():
        rest = path.removeprefix(f"/{group_version}").strip("/")
        if rest.startswith("watch/"):
            continue
        parts = [part for part in rest.split("/") if part]
        if (
            len(parts) > 2
            and parts[0] == "namespaces"
            and f"{parts[0]}/{parts[2]}"
            not in (
                "namespaces/status",
                "namespaces/finalize",
            )
        ):
            parts = parts[2:]
        if parts and parts[0] not in wanted:
            continue
        if len(parts) > 2 and f"{parts[0]}/{parts[2]}" in UNSERVED_SUBRESOURCES:
            continue
        kept[path] = item
    return kept


def references(value: Any) -> Iterator[str]:
    """The names of all schemas that a piece of a document refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def write(name: str, value: Any) -> None:
    """Write one data file; equal input gives equal bytes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    file = TARGET / f"{name}.json.gz"
    file.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{file.name}: {len(text):,} bytes of JSON, {file.stat().st_size:,} packed")


def columns(read: Read, discovery: dict[str, Any]) -> dict[str, Any]:
    """The columns of each stored resource's table, by `plural.group`."""
    found = {}
    for listing in discovery.values():
        for group in listing["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                for resource in version["resources"]:
                    if "list" in resource["verbs"]:
                        plural = resource["resource"]
                        table = read(f"table/{name or '-'}/{version['version']}/{plural}")
                        found[f"{plural}.{name}" if name else plural] = table["columnDefinitions"]
    return found


def field_numbers(discovery: dict[str, Any]) -> Any:
    """What scripts/protobuf_fields says of the kinds in the discovery data and of their subresources."""
    lines = {
        "- v1 DeleteOptions",
        "meta.k8s.io v1 DeleteOptions",
        "autoscaling v1 Scale",
        "policy v1 Eviction",
    }
    for listing in discovery.values():
        for group in listing["items"]:
            name = group["metadata"].get("name", "-")
            for version in group["versions"]:
                for resource in version["resources"]:
                    for entry in (resource, *resource.get("subresources", ())):
                        kind = entry.get("responseKind") or {}
                        if kind.get("version"):
                            lines.add(f"{kind['group'] or '-'} {kind['version']} {kind['kind']}")
                        elif kind:
                            lines.add(f"{name} {version['version']} {kind['kind']}")
    folder = Path(__file__).resolve().parent / "protobuf_fields"
    done = subprocess.run(
        ["go", "run", "."],
        cwd=folder,
        input="\n".join(sorted(lines)),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    """Read, trim, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--kubeconfig")
    parser.add_argument("--context")
    parser.add_argument("--protobuf", action="store_true", help="renew protobuf.json.gz too (needs Go)")
    arguments = parser.parse_args()
    if (arguments.directory is None) == (arguments.kubeconfig is None):
        parser.error("give either a directory or --kubeconfig")
    if arguments.directory is not None:
        read = from_directory(arguments.directory)
    else:
        read = from_cluster(arguments.kubeconfig, arguments.context)

    discovery = {root: served(root, read(root)) for root in ("api", "apis")}
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for group_version, wanted in SERVED.items():
        document = read(f"openapi/v3/{group_version}")
        paths[group_version] = kept_paths(group_version, document, wanted)
        components = document["components"]["schemas"]
        needed = set(references(paths[group_version]))
        queue = list(needed)
        while queue:
            for name in references(components[queue.pop()]):
                if name not in needed:
                    needed.add(name)
                    queue.append(name)
        for name in needed:
            if schemas.setdefault(name, components[name]) != components[name]:
                sys.exit(f"{group_version} describes {name} otherwise than another group version does")
    TARGET.mkdir(exist_ok=True)
    write("discovery", discovery)
    write("definitions", {name: schemas[name] for name in sorted(schemas)})
    write("paths", paths)
    write("columns", columns(read, discovery))
    if arguments.protobuf:
        write("protobuf", field_numbers(discovery))
    version = read("version")
    print(f"from Kubernetes {version['gitVersion']}")


if __name__ == "__main__":
    main()
