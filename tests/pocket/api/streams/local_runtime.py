"""A double of the node for the stream tests: "containers" are real processes of this machine, terminals
real ptys."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import shutil
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit.pocket.runtime import ContainerNotFound, LogOptions, RuntimeFailure


class LocalSession:
    def __init__(self, process: asyncio.subprocess.Process, terminal: int | None) -> None:
        self.process = process
        self.terminal = terminal
        self.sizes: list[tuple[int, int]] = []

    async def write_stdin(self, data: bytes) -> None:
        if self.terminal is not None:
            await asyncio.get_running_loop().run_in_executor(None, os.write, self.terminal, data)
        elif self.process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self.process.stdin.write(data)
                await self.process.stdin.drain()

    def close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    async def read_stdout(self) -> bytes:
        if self.terminal is None:
            assert self.process.stdout is not None
            return await self.process.stdout.read(65536)
        try:
            return await asyncio.get_running_loop().run_in_executor(None, os.read, self.terminal, 65536)
        except OSError:  # Linux answers EIO when the last process has closed the terminal
            return b""

    async def read_stderr(self) -> bytes:
        if self.terminal is not None:
            return b""
        assert self.process.stderr is not None
        return await self.process.stderr.read(65536)

    def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))
        if self.terminal is not None:
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        code = await self.process.wait()
        return 128 - code if code < 0 else code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class LocalRuntime:
    """Every container of every pod "runs", except one called `crashed`."""

    def __init__(self) -> None:
        self.sessions: list[LocalSession] = []
        self.log_requests: list[LogOptions] = []
        self.log_lines: list[bytes] = [b"one\n", b"two\n", b"three\n"]
        self.log_open = asyncio.Event()
        self.log_closed = asyncio.Event()

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> LocalSession:
        if container == "crashed":
            raise ContainerNotFound(container)
        pipe = asyncio.subprocess.PIPE
        terminal = None
        try:
            if tty:
                terminal, child = pty.openpty()
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=child, stdout=child, stderr=child, start_new_session=True
                )
                os.close(child)
            else:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=pipe if stdin else asyncio.subprocess.DEVNULL,
                    stdout=pipe,
                    stderr=pipe,
                    start_new_session=True,
                )
        except (
            FileNotFoundError,
            PermissionError,
        ) as error:  # the latter for a PATH that an ordinary user may not read
            raise RuntimeFailure(
                f'exec: "{command[0]}": executable file not found in $PATH: unknown'
            ) from error
        session = LocalSession(process, terminal)
        self.sessions.append(session)
        return session

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, tty: bool
    ) -> LocalSession:
        return await self.exec(
            namespace, pod, container, ["sh", "-c", "read line; echo got $line; exit 3"], stdin=stdin, tty=tty
        )

    async def logs(
        self, namespace: str, pod: str, container: str, options: LogOptions
    ) -> AsyncIterator[bytes]:
        if options.previous:
            raise RuntimeFailure(
                f'previous terminated container "{container}" in pod "{pod}" not found', code=400
            )
        self.log_requests.append(options)

        async def lines() -> AsyncIterator[bytes]:
            try:
                for line in self.log_lines:
                    yield line
                if options.follow:
                    await self.log_open.wait()
                    yield b"last\n"
            finally:
                self.log_closed.set()

        return lines()

    async def dial(
        self, namespace: str, pod: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async def proxy(self, path: str) -> tuple[int, str, bytes]:
        return 200, "text/plain", f"asked for {path}".encode()

    async def close(self) -> None:
        for session in self.sessions:
            session.kill()
            await session.process.wait()
            if session.terminal is not None:
                os.close(session.terminal)


@dataclass
class Lab:
    runtime: LocalRuntime
    url: str
    kubeconfig: Path

    def kubectl_command(self, *arguments: str) -> list[str]:
        beside = Path(sys.executable).parent / "kubectl"
        kubectl = str(beside) if beside.exists() else shutil.which("kubectl")
        if kubectl is None:
            pytest.skip("no kubectl here")
        return [
            kubectl,
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.kubeconfig.parent}",
            *arguments,
        ]

    async def start(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **options}
        return await asyncio.create_subprocess_exec(*self.kubectl_command(*arguments), **options)

    async def kubectl(self, *arguments: str, stdin: bytes | None = None) -> tuple[int, str, str]:
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(stdin), 20)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()
