"""A pod's volumes: directories on the node's tmpfs, filled from the API, shown in the containers.

Supported: emptyDir, configMap, secret, downwardAPI, projected (with service-account tokens). A persistentVolumeClaim
is an empty directory that lives as long as the pod; an event says so.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.pocket.api.errors import ApiError
from labkit.pocket.node import environment
from labkit.pocket.node.context import Context
from labkit.pocket.node.spec import Bind

_Object = Mapping[str, Any]
_DEFAULT_MODE = 0o644


class VolumeError(Exception):
    """A volume cannot be made now; the text goes into the FailedMount event."""


class Volumes:
    """The volumes of one pod, below `folder`."""

    def __init__(self, context: Context, pod: _Object, folder: Path, address: str) -> None:
        self._context = context
        self._pod = pod
        self._folder = folder
        self._address = address
        self._namespace: str = pod["metadata"]["namespace"]

    def make(self) -> None:
        """Fill all of them. Raises VolumeError for the first that cannot be filled; may be called again."""
        for volume in self._pod["spec"].get("volumes") or []:
            self._make(volume)

    def uses(self, resource: str, name: str) -> bool:
        """Whether a volume shows this ConfigMap or Secret ("configmaps" or "secrets")."""
        kind = "configMap" if resource == "configmaps" else "secret"
        for volume in self._pod["spec"].get("volumes") or []:
            if kind in volume and name in (volume[kind].get("name"), volume[kind].get("secretName")):
                return True
            parts = (volume.get("projected") or {}).get("sources") or []
            if any(part.get(kind, {}).get("name") == name for part in parts):
                return True
        return False

    def binds(self, container: _Object) -> list[Bind]:
        """What a container mounts. Raises VolumeError for a mount of a volume that is not there."""
        found: list[Bind] = []
        for mount in container.get("volumeMounts") or []:
            source = self._folder / mount["name"]
            volume = next(
                (v for v in self._pod["spec"].get("volumes") or [] if v["name"] == mount["name"]), None
            )
            if volume is None:
                raise VolumeError(f'volume "{mount["name"]}" of a mount does not exist in the pod')
            sub = mount.get("subPath")
            if sub:
                source = source / sub
                if ".." in Path(sub).parts:
                    raise VolumeError(f"subPath {sub!r} must not contain '..'")
                if not source.exists():
                    source.mkdir(parents=True)
            read_only = bool(mount.get("readOnly")) or _kind(volume) in (
                "configMap",
                "secret",
                "projected",
                "downwardAPI",
            )
            found.append(Bind(str(source), mount["mountPath"], read_only))
        return found

    def _make(self, volume: _Object) -> None:
        folder = self._folder / volume["name"]
        kind = _kind(volume)
        try:
            if kind in ("emptyDir", "persistentVolumeClaim"):
                if not folder.exists():
                    folder.mkdir(parents=True)
                    folder.chmod(0o777)
                    if kind == "persistentVolumeClaim":
                        self._tell_claim(volume)
                return
            source = volume.get(kind) or {}
            mode = int(source.get("defaultMode") or _DEFAULT_MODE)
            sources = source.get("sources") or [] if kind == "projected" else [_as_projection(kind, source)]
            files: dict[str, bytes] = {}
            for part in sources:
                files.update(self._projection(part))
            self._write(folder, files, mode)
        except VolumeError as problem:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {problem}') from None

    def _tell_claim(self, volume: _Object) -> None:
        name = volume["persistentVolumeClaim"]["claimName"]
        message = (
            f'PersistentVolumeClaim "{name}" is an empty directory here: this cluster has no storage, '
            "the files are gone when the pod is"
        )
        self._context.event(self._pod, "Warning", "NoPersistentStorage", message)

    def _projection(self, part: _Object) -> dict[str, bytes]:
        lookup = self._context.lookup(self._namespace)
        for kind, resource in (("configMap", "configmaps"), ("secret", "secrets")):
            if kind in part:
                return _chosen(part[kind], resource, lookup)
        if "downwardAPI" in part:
            return {item["path"]: self._downward(item) for item in part["downwardAPI"].get("items") or []}
        if "serviceAccountToken" in part:
            account = self._pod["spec"].get("serviceAccountName") or "default"
            try:
                token = self._context.token(self._namespace, account, self._pod)
            except ApiError as problem:
                raise VolumeError(f"failed to fetch token: {problem}") from None
            return {part["serviceAccountToken"]["path"]: token.encode()}
        kind = next(iter(part), "nothing")
        raise VolumeError(f"volumes of type {kind} are not supported on this node")

    def _downward(self, item: _Object) -> bytes:
        if "fieldRef" in item:
            try:
                return environment.field(
                    self._pod, item["fieldRef"]["fieldPath"], self._address, self._context.node_address
                ).encode()
            except environment.ConfigError as problem:
                raise VolumeError(str(problem)) from None
        reference = item["resourceFieldRef"]
        name = reference.get("containerName")
        container: _Object = next((c for c in self._pod["spec"]["containers"] if c["name"] == name), {})
        return environment.resource_field(container, reference).encode()

    @staticmethod
    def _write(folder: Path, files: Mapping[str, bytes], mode: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(content)
            fresh.chmod(mode)
            fresh.replace(path)  # readers see the old or the new, never half
        for path in folder.rglob("*"):
            if path.is_file() and str(path.relative_to(folder)) not in files:
                path.unlink()

    def remove(self) -> None:
        """Delete the directories."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _kind(volume: _Object) -> str:
    return next((key for key in volume if key != "name"), "emptyDir")


def _as_projection(kind: str, source: _Object) -> dict[str, Any]:
    """A volume of its own as one source of a projected volume (a secret calls its name differently there)."""
    if kind == "secret":
        return {"secret": {**source, "name": source.get("secretName", "")}}
    return {kind: source}


def _chosen(reference: _Object, resource: str, lookup: environment.Lookup) -> dict[str, bytes]:
    found = lookup(resource, reference.get("name", ""))
    if found is None:
        if reference.get("optional"):
            return {}
        raise VolumeError(f'{resource.removesuffix("s")} "{reference.get("name", "")}" not found')
    if resource == "secrets":
        data = {key: base64.b64decode(value or "") for key, value in (found.get("data") or {}).items()}
    else:
        data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    items = reference.get("items")
    if not items:
        return data
    chosen: dict[str, bytes] = {}
    for item in items:
        if item["key"] in data:
            chosen[item["path"]] = data[item["key"]]
        elif not reference.get("optional"):
            raise VolumeError(
                f"references non-existent {'config' if resource == 'configmaps' else 'secret'} key: {item['key']}"
            )
    return chosen
