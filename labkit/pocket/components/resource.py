"""The kind Component (`components.pocket.labkit.dev/v1`, cluster-scoped): served by every pocket cluster from its start.

It is described as a CustomResourceDefinition would, so that `kubectl explain`, tables and validation come with it, but
there is no such object: a learner's `kubectl get crd` shows a cluster as empty as any.
"""

from __future__ import annotations

from typing import Any

from labkit.pocket.api import Api

Obj = dict[str, Any]

GROUP = "pocket.labkit.dev"
RESOURCE = f"components.{GROUP}"

_TEXT: Obj = {"type": "string"}
_NAMES: Obj = {
    "plural": "components",
    "singular": "component",
    "kind": "Component",
    "listKind": "ComponentList",
}

_CONDITION: Obj = {
    "type": "object",
    "required": ["type", "status"],
    "properties": {
        "type": _TEXT,
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": _TEXT,
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer", "format": "int64"},
    },
}

_SCHEMA: Obj = {
    "type": "object",
    "description": "Component turns the embedded counterpart of something that is installed into clusters on; "
    "its name says which. Deleting it turns the counterpart off.",
    "properties": {
        "spec": {"type": "object", "description": "Nothing to say yet: the name is all."},
        "status": {
            "type": "object",
            "description": "What runs, and what it stands in for.",
            "properties": {
                "version": {
                    "type": "string",
                    "description": "The release whose API and behaviour the counterpart follows.",
                },
                "standsInFor": {
                    "type": "string",
                    "description": "What is played here, and what is not.",
                },
                "conditions": {
                    "type": "array",
                    "items": _CONDITION,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                },
            },
        },
    },
}

_COLUMNS: list[Obj] = [
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Stands in for", "type": "string", "jsonPath": ".status.standsInFor", "priority": 1},
    {
        "name": "Status",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].message',
        "priority": 1,
    },
]

_DEFINITION: Obj = {
    "metadata": {"name": RESOURCE},
    "spec": {
        "group": GROUP,
        "scope": "Cluster",
        "names": _NAMES,
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": _COLUMNS,
                "schema": {"openAPIV3Schema": _SCHEMA},
            }
        ],
    },
    "status": {"acceptedNames": _NAMES, "conditions": [{"type": "Established", "status": "True"}]},
}


def serve(api: Api) -> None:
    """Have an Api serve the kind."""
    api.custom.serve(_DEFINITION)
