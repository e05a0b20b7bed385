"""`redis-server` and `redis-cli`: the RESP protocol with the commands that tutorials use."""

from __future__ import annotations

import asyncio
import fnmatch
import os
import shlex
import socket
from collections.abc import Callable
from typing import BinaryIO

from .console import err, out
from .entrypoint import become
from .netio import addresses, connect
from .service import run

Value = str | list[str]


class _Wrong(Exception):  # noqa: N818 - the reply's own name
    """An error reply."""


def entrypoint(argv: list[str]) -> int:
    words = argv[1:] or ["redis-server"]
    if words[0].startswith("-") or words[0].endswith(".conf"):
        words = ["redis-server", *words]
    return main(words) if words[0] == "redis-server" else become(words)


def main(argv: list[str]) -> int:
    port = int(argv[argv.index("--port") + 1]) if "--port" in argv[:-1] else 6379
    password = argv[argv.index("--requirepass") + 1] if "--requirepass" in argv[:-1] else ""
    store = _Store(password)

    async def start(_: asyncio.Future[int]) -> object:
        listening = await asyncio.start_server(store.connection, None, port, backlog=256)
        out(f"1:M * Ready to accept connections tcp (port {port}, labkit's stand-in)")
        return listening

    return run(start)


class _Store:
    def __init__(self, password: str) -> None:
        self.data: dict[str, Value] = {}
        self.password = password
        self.commands: dict[str, tuple[int, Callable[..., bytes]]] = {
            "PING": (0, lambda text="": _bulk(text) if text else b"+PONG\r\n"),
            "ECHO": (1, lambda text: _bulk(text)),
            "SET": (2, self._set),
            "GET": (1, lambda key: _bulk(self._text(key))),
            "DEL": (1, lambda *keys: _number(sum(self.data.pop(key, None) is not None for key in keys))),
            "EXISTS": (1, lambda *keys: _number(sum(key in self.data for key in keys))),
            "KEYS": (1, lambda pattern: _array(sorted(fnmatch.filter(self.data, pattern)))),
            "INCR": (1, lambda key: self._add(key, 1)),
            "DECR": (1, lambda key: self._add(key, -1)),
            "INCRBY": (2, lambda key, by: self._add(key, int(by))),
            "DBSIZE": (0, lambda: _number(len(self.data))),
            "FLUSHALL": (0, lambda *_: self._flush()),
            "RPUSH": (2, self._push),
            "LRANGE": (3, self._range),
            "INFO": (0, lambda *_: _bulk("# Server\r\nredis_version:7.4.0\r\nredis_mode:standalone\r\nrole:master\r\n")),
            "COMMAND": (0, lambda *_: b"*0\r\n"),
            "CLIENT": (1, lambda *_: b"+OK\r\n"),
            "SELECT": (1, lambda _: b"+OK\r\n"),
        }  # fmt: skip

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        allowed = not self.password
        try:
            while words := await _command(reader):
                name = words[0].upper()
                if name == "QUIT":
                    writer.write(b"+OK\r\n")
                    break
                if name == "AUTH":
                    allowed = words[-1] == self.password
                    writer.write(
                        b"+OK\r\n"
                        if allowed
                        else b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                    )
                elif not allowed:
                    writer.write(b"-NOAUTH Authentication required.\r\n")
                else:
                    writer.write(self._run(name, words[1:]))
                await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass  # the client went away or spoke nonsense
        finally:
            writer.close()

    def _run(self, name: str, args: list[str]) -> bytes:
        least, function = self.commands.get(name, (0, None))
        if function is None:
            return f"-ERR unknown command '{name}' (labkit's stand-in for redis)\r\n".encode()
        try:
            if len(args) < least:
                raise TypeError
            return function(*args)
        except TypeError:
            return f"-ERR wrong number of arguments for '{name.lower()}' command\r\n".encode()
        except ValueError:
            return b"-ERR value is not an integer or out of range\r\n"
        except _Wrong as problem:
            return f"-{problem}\r\n".encode()

    def _text(self, key: str) -> str | None:
        value = self.data.get(key)
        if isinstance(value, list):
            raise _Wrong("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _set(self, key: str, value: str, *_: str) -> bytes:
        self.data[key] = value
        return b"+OK\r\n"

    def _add(self, key: str, by: int) -> bytes:
        self.data[key] = str(int(self._text(key) or "0") + by)
        return _number(int(str(self.data[key])))

    def _flush(self) -> bytes:
        self.data.clear()
        return b"+OK\r\n"

    def _push(self, key: str, *values: str) -> bytes:
        held = self.data.setdefault(key, [])
        if not isinstance(held, list):
            raise _Wrong("WRONGTYPE Operation against a key holding the wrong kind of value")
        held.extend(values)
        return _number(len(held))

    def _range(self, key: str, first: str, last: str) -> bytes:
        held = self.data.get(key, [])
        if not isinstance(held, list):
            raise _Wrong("WRONGTYPE Operation against a key holding the wrong kind of value")
        end = int(last)
        return _array(held[int(first) : None if end == -1 else end + 1])


def _bulk(text: str | None) -> bytes:
    if text is None:
        return b"$-1\r\n"
    data = text.encode("utf-8", "surrogateescape")
    return f"${len(data)}\r\n".encode() + data + b"\r\n"


def _number(value: int) -> bytes:
    return f":{value}\r\n".encode()


def _array(items: list[str]) -> bytes:
    return f"*{len(items)}\r\n".encode() + b"".join(_bulk(item) for item in items)


async def _command(reader: asyncio.StreamReader) -> list[str]:
    line = (await reader.readline()).strip()
    if not line.startswith(b"*"):
        return shlex.split(line.decode())  # an inline command, as typed into nc
    words = []
    for _ in range(int(line[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2].decode("utf-8", "surrogateescape"))
    return words


def cli(argv: list[str]) -> int:
    host, port, words = "127.0.0.1", "6379", argv[1:]
    while words[:1] and words[0] in ("-h", "-p", "-a", "-n"):
        flag, value, words = words[0], words[1], words[2:]
        host, port = (value, port) if flag == "-h" else (host, value if flag == "-p" else port)
    try:
        connection = connect(addresses(host, port), 10)
    except socket.gaierror:
        err(f"Could not connect to Redis at {host}:{port}: Name or service not known")
        return 1
    except OSError as problem:
        reason = (
            "Connection timed out" if isinstance(problem, TimeoutError) else os.strerror(problem.errno or 0)
        )
        err(f"Could not connect to Redis at {host}:{port}: {reason}")
        return 1
    with connection, connection.makefile("rb") as stream:
        connection.sendall(
            f"*{len(words)}\r\n".encode() + b"".join(_bulk(word) for word in words or ["PING"])
        )
        return _show(stream.readline().decode(), stream)


def _show(line: str, stream: BinaryIO) -> int:
    kind, text = line[:1], line[1:].rstrip("\r\n")
    if kind == "$":
        size = int(text)
        out("" if size < 0 else stream.read(size + 2)[:-2].decode("utf-8", "replace"))
    elif kind == "*":
        for _ in range(int(text)):
            _show(stream.readline().decode(), stream)
    else:
        out(f"(error) {text}" if kind == "-" else text)
    return 0
