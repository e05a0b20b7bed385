"""What the API server asks of the node: run in, talk to and read from containers.

The node implements `Runtime`; the API's stream handlers (`labkit.pocket.api.streams`) speak to it and
know nothing of processes or namespaces. A kubelet's streaming server has the same seam.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class RuntimeFailure(Exception):  # noqa: N818 - not always an error of ours: often the learner's answer
    """The node could not do what was asked; `message` is in the words the learner will read.

    Raised by `Runtime.exec` for a command that cannot be started it reaches the client on the error
    channel, as a kubelet's does (`error executing command in container: ...`); for logs and dials it becomes
    the answer's Status. `code` is the HTTP status to answer with where the connection is not upgraded yet.
    """

    def __init__(self, message: str, code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ContainerNotFound(RuntimeFailure):
    """No such running container to exec into or attach to (a kubelet's `container not found ("x")`)."""

    def __init__(self, container: str, message: str = "") -> None:
        super().__init__(message or f'container not found ("{container}")', code=404)
        self.container = container


@dataclass(frozen=True)
class LogOptions:
    """What part of a container's log to read, and how: the query of `GET .../pods/NAME/log`.

    `since` is the earliest moment wanted (sinceSeconds is already turned into it); it is timezone-aware.
    `tail_lines` counts lines from the end; `limit_bytes` ends the stream after so many bytes. With
    `timestamps` each line begins with its RFC 3339 time with nanoseconds and one space. `previous` reads the
    last ended instance of the container. With `follow` the iterator goes on until the container ends.
    """

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    previous: bool = False
    limit_bytes: int | None = None


class ExecSession(Protocol):
    """A process one can talk to: a new one (exec) or a container's own (attach)."""

    async def write_stdin(self, data: bytes) -> None:
        """Hand bytes to the process; returns when it has room for more.

        Bytes for a process that has ended, or has no standard input, are dropped silently.
        """

    def close_stdin(self) -> None:
        """End of input. With a terminal nothing happens, as on a real node (the client sends ^D itself)."""

    async def read_stdout(self) -> bytes:
        """The next bytes as they come; `b""` at the end. With a terminal everything arrives here."""

    async def read_stderr(self) -> bytes:
        """The next bytes as they come; `b""` at the end, and at once when the process has a terminal."""

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size; nothing happens without a terminal."""

    async def wait(self) -> int:
        """The exit code; 128 + N when signal N ended it. May be called more than once."""

    def kill(self) -> None:
        """The client has gone: let go of the process.

        What `exec` started is ended (as closing its terminal would); an attached container goes on unharmed.
        Harmless when the process has ended, and when called again.
        """


class Runtime(Protocol):
    """The node's side of exec, attach, logs, port-forward and the node proxy.

    The caller has checked that the Pod exists and that the container is one of its (init, ephemeral)
    containers, and chosen the default container; the runtime finds out whether it runs.
    """

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        """Start `command` in the container.

        Raises ContainerNotFound, or RuntimeFailure when it cannot start (`failed to exec in container: ...
        exec: "nosuch": executable file not found in $PATH`).
        """

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, tty: bool
    ) -> ExecSession:
        """Join the container's own process: its output from now on, and its input if it has one.

        Several may attach at once. Raises ContainerNotFound when it does not run.
        """

    async def logs(
        self, namespace: str, pod: str, container: str, options: LogOptions
    ) -> AsyncIterator[bytes]:
        """The log as chunks ready to send.

        Raises RuntimeFailure before the first chunk, with code 400: `container "x" in pod "y" is waiting to
        start: ContainerCreating`, `previous terminated container "x" in pod "y" not found`.
        """

    async def dial(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection to 127.0.0.1:port inside the pod's network namespace.

        Raises ConnectionRefusedError, or RuntimeFailure when the pod has no sandbox.
        """

    async def proxy(self, path: str) -> tuple[int, str, bytes]:
        """GET /api/v1/nodes/NODE/proxy/`path` (no leading slash, with its query): status, type, body."""
