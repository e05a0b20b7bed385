"""Running a command in a container: Kubernetes' channel protocol over a WebSocket."""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass
from typing import Any

from .client import Client
from .errors import ClusterUnreachable, ExecError, WaitTimeout

_STDIN, _STDOUT, _STDERR, _STATUS, _CLOSE = b"\x00", 1, 2, 3, 255
_PIECE = 32 * 1024


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command wrote, and its exit code."""

    stdout: str
    stderr: str
    exit_code: int

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


def execute(
    client: Client,
    namespace: str,
    pod: str,
    command: list[str],
    *,
    container: str | None,
    stdin: bytes | None,
    timeout: float,
) -> ExecResult:
    """Run a command to its end. Raises ExecError, NotFound, WaitTimeout, ClusterUnreachable."""
    query = {
        "command": command, "container": container, "stdin": stdin is not None, "stdout": True, "stderr": True, "tty": False,
    }  # fmt: skip
    socket = client.websocket(f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", query)
    output = {_STDOUT: bytearray(), _STDERR: bytearray(), _STATUS: bytearray()}
    deadline = time.monotonic() + timeout
    try:
        if stdin is not None:
            _send(socket, stdin)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _late(command, namespace, pod, timeout)
            data = _receive(socket, left)
            if data is None:
                break
            if data and data[0] in output:
                output[data[0]] += data[1:]
                if data[0] == _STATUS:
                    break  # the exit status is the last word, whatever the server still wants to close
    except TimeoutError:
        raise _late(command, namespace, pod, timeout) from None
    finally:
        socket.settimeout(0.5)
        try:
            socket.close(timeout=1)
        except Exception:  # closing is a courtesy: the answer is already here
            socket.shutdown()
    return _result(output)


def _send(socket: Any, data: bytes) -> None:
    from websocket import ABNF

    for start in range(0, len(data), _PIECE):
        socket.send(_STDIN + data[start : start + _PIECE], opcode=ABNF.OPCODE_BINARY)
    if (socket.getheaders() or {}).get("sec-websocket-protocol") == "v5.channel.k8s.io":
        socket.send(
            bytes([_CLOSE, 0]), opcode=ABNF.OPCODE_BINARY
        )  # version 4 cannot say that input has ended


def _receive(socket: Any, timeout: float) -> bytes | None:
    """The next message, None when the server has closed. Raises TimeoutError, ClusterUnreachable."""
    from websocket import (
        ABNF,
        WebSocketConnectionClosedException,
        WebSocketException,
        WebSocketTimeoutException,
    )

    socket.settimeout(timeout)
    try:
        code, frame = socket.recv_data_frame(True)
    except (WebSocketTimeoutException, TimeoutError):
        raise TimeoutError from None
    except WebSocketConnectionClosedException:
        return None
    except (WebSocketException, ssl.SSLError, OSError) as problem:
        raise ClusterUnreachable(
            f"the connection to the cluster was lost while a command ran: {problem}"
        ) from None
    if code == ABNF.OPCODE_CLOSE:
        return None
    return bytes(frame.data) if code in (ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT) else b""


def _late(command: list[str], namespace: str, pod: str, timeout: float) -> WaitTimeout:
    return WaitTimeout(f"{command[0]} in pod {namespace}/{pod} did not end within {timeout:g} s")


def _result(output: dict[int, bytearray]) -> ExecResult:
    stdout, stderr = (output[one].decode("utf-8", "replace") for one in (_STDOUT, _STDERR))
    try:
        status = json.loads(output[_STATUS] or b"{}")
    except ValueError:
        status = {"status": "Failure", "message": output[_STATUS].decode("utf-8", "replace")}
    if status.get("status", "Success") == "Success":
        return ExecResult(stdout, stderr, 0)
    causes = (status.get("details") or {}).get("causes") or []
    code = next((cause.get("message", "") for cause in causes if cause.get("reason") == "ExitCode"), "")
    if code.isdigit():
        return ExecResult(stdout, stderr, int(code))
    raise ExecError(
        status.get("message", "the command could not be run"), reason=status.get("reason", ""), status=status
    )
