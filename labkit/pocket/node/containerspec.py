"""From a container of a Pod to the process to start: command, environment, mounts, rights; and its last words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.pocket.images import Image
from labkit.pocket.node import environment
from labkit.pocket.node.context import Context
from labkit.pocket.node.process import DEFAULT_PATH
from labkit.pocket.node.spec import DEFAULT_CAPABILITIES, Bind, ProcessSpec, capability_mask
from labkit.pocket.node.volumes import Volumes

_Object = Mapping[str, Any]
_MESSAGE_AT_MOST = 4096  # bytes, as in pkg/kubelet/container
_FALLBACK_AT_MOST = 2048
_FALLBACK_LINES = 80


@dataclass(frozen=True)
class Place:
    """Where a pod's containers are: its directory on the node, its volumes, files in /etc, host name and address."""

    folder: Path
    volumes: Volumes
    etc: tuple[Bind, ...]
    hostname: str
    address: str


def process(context: Context, pod: _Object, spec: _Object, image: Image, place: Place) -> ProcessSpec:
    """What to start for a container. Raises ConfigError or VolumeError while something it names is missing."""
    namespace = pod["metadata"]["namespace"]
    links = pod["spec"].get("enableServiceLinks") is not False
    services = environment.service_variables(context.api.list("services"), namespace, links=links)
    given = environment.environment(
        spec, pod, context.lookup(namespace), services, place.address, context.node_address
    )
    base = {"PATH": DEFAULT_PATH, "HOME": "/root", "HOSTNAME": place.hostname, **image.env}
    if spec.get("tty"):
        base["TERM"] = "xterm"
    argv = environment.command_line(spec, image.entrypoint, image.cmd, given)
    if not argv:
        raise environment.ConfigError("no command specified")
    security = spec.get("securityContext") or {}
    mounted = {mount["mountPath"].rstrip("/") for mount in spec.get("volumeMounts") or []}
    etc = tuple(bind for bind in place.etc if bind.target not in mounted)
    return ProcessSpec(
        argv=argv,
        env={**base, **given},
        image=spec.get("image", ""),
        working_dir=spec.get("workingDir") or image.working_dir or "/",
        tty=bool(spec.get("tty")),
        capabilities=_capabilities(security),
        binds=(*etc, *place.volumes.binds(spec), _termination_file(spec, place)),
        read_only_root=bool(security.get("readOnlyRootFilesystem")),
    )


def _termination_path(spec: _Object, place: Place) -> Path:
    return place.folder / "containers" / str(spec["name"])


def _termination_file(spec: _Object, place: Place) -> Bind:
    file = _termination_path(spec, place)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    return Bind(str(file), spec.get("terminationMessagePath") or "/dev/termination-log")


def termination_message(spec: _Object, place: Place, code: int, log: Path | None) -> str:
    """What an ended container left in its termination file, or, where asked for, the end of its log."""
    try:
        raw = _termination_path(spec, place).read_bytes()
    except OSError:
        raw = b""
    message = raw[:_MESSAGE_AT_MOST].decode("utf-8", "replace")
    wants_log = spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    if message or not code or not wants_log or log is None:
        return message
    lines = log.read_text(errors="replace").splitlines()[-_FALLBACK_LINES:]
    return "\n".join(line.split(" ", 3)[-1] for line in lines)[-_FALLBACK_AT_MOST:]


def _capabilities(security: _Object) -> int:
    if security.get("privileged"):
        return capability_mask(frozenset({"ALL"}))
    wanted = security.get("capabilities") or {}
    dropped = {name.upper().removeprefix("CAP_") for name in wanted.get("drop") or []}
    kept = set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES) - dropped
    return capability_mask(frozenset(kept | set(wanted.get("add") or [])))
