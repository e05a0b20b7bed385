"""What a stream request asks for: its query parameters and its pod, read once. Pure functions.

Wording and rules: pkg/registry/core/pod/strategy.go (validateContainer, streamLocation),
pkg/apis/core/validation (ValidatePodLogOptions), k8s.io/kubelet/pkg/cri/streaming (Options).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from multidict import MultiMapping

from labkit.pocket.api import errors
from labkit.pocket.runtime import LogOptions

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})


@dataclass(frozen=True)
class TerminalOptions:
    """Which streams of an exec or attach the client wants."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter as Go's strconv.ParseBool reads it; ApiError (400) for anything else."""
    text = query.get(name, "")
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise errors.bad_request(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def terminal_options(query: Mapping[str, str]) -> TerminalOptions:
    """The streams asked for; a terminal has no separate stderr."""
    tty = flag(query, "tty")
    options = TerminalOptions(
        stdin=flag(query, "stdin"),
        stdout=flag(query, "stdout"),
        stderr=flag(query, "stderr") and not tty,
        tty=tty,
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise errors.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return options


def log_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """The log options of the request; ApiError (422) in the words of the API's validation."""
    tail_lines = _number(query, "tailLines")
    limit_bytes = _number(query, "limitBytes")
    since_seconds = _number(query, "sinceSeconds")
    since_time = query.get("sinceTime", "")
    wrong: list[str] = []
    if tail_lines is not None and tail_lines < 0:
        wrong.append(f"tailLines: Invalid value: {tail_lines}: must be greater than or equal to 0")
    if limit_bytes is not None and limit_bytes < 1:
        wrong.append(f"limitBytes: Invalid value: {limit_bytes}: must be greater than 0")
    if since_seconds is not None and since_time:
        wrong.append("sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
    elif since_seconds is not None and since_seconds < 1:
        wrong.append(f"sinceSeconds: Invalid value: {since_seconds}: must be greater than 0")
    if wrong:
        listed = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        raise errors.failure(422, "Invalid", f'PodLogOptions "" is invalid: {listed}')
    since = None
    if since_seconds is not None:
        since = now - timedelta(seconds=since_seconds)
    elif since_time:
        since = _moment(since_time)
    return LogOptions(
        follow=flag(query, "follow"),
        tail_lines=tail_lines,
        since=since,
        timestamps=flag(query, "timestamps"),
        previous=flag(query, "previous"),
        limit_bytes=limit_bytes,
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse'
        raise errors.bad_request(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def forwarded_ports(query: MultiMapping[str]) -> list[int]:
    """The ports of a WebSocket port-forward (`ports=80,8080` or repeated); ApiError (400) for a wrong one."""
    texts = query.getall("ports", []) or query.getall("port", [])
    if not texts:
        raise errors.bad_request('query parameter "ports" is required')
    ports = []
    for text in texts:
        if not text:
            raise errors.bad_request('query parameter "ports" cannot be empty')
        for part in text.split(","):
            if not part.isascii() or not part.isdigit() or int(part) > 65535:
                raise errors.bad_request(f'unable to parse "{text}" as a port: invalid syntax')
            if int(part) < 1:
                raise errors.bad_request(f'port "{text}" must be > 0')
            ports.append(int(part))
    return ports


def container_names(pod: Mapping[str, Any]) -> list[str]:
    """Init containers, containers and ephemeral containers, in the order upstream visits them."""
    spec = pod.get("spec") or {}
    return [
        container["name"]
        for group in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(group) or ()
    ]


def chosen_container(pod: Mapping[str, Any], asked: str) -> str:
    """The container meant: the one asked for, or a pod's only one; else ApiError (400).

    (kubectl itself chooses for a pod with several, by the annotation
    kubectl.kubernetes.io/default-container.)
    """
    name = pod["metadata"]["name"]
    names = container_names(pod)
    if asked:
        if asked not in names:
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    containers = (pod.get("spec") or {}).get("containers") or []
    if len(containers) == 1:
        return str(containers[0]["name"])
    raise errors.bad_request(
        f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    )


def require_node(pod: Mapping[str, Any]) -> None:
    """ApiError (400) when the pod is not on a node yet."""
    if not (pod.get("spec") or {}).get("nodeName"):
        raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
