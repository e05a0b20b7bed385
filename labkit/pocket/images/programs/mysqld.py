"""`mysqld` and its image's entry point: logins as the real one decides them, a handful of queries, no tables."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import secrets
import time
from pathlib import Path

from .console import err, out
from .entrypoint import become
from .mysqlwire import (
    CACHING,
    COM_INIT_DB,
    COM_PING,
    COM_QUERY,
    COM_QUIT,
    COM_STATISTICS,
    NATIVE,
    Channel,
    Login,
    MysqlError,
    error,
    greeting,
    ok,
    parse_login,
    result_set,
    scramble,
)
from .service import run

VERSION = "8.4.11"
_SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")


def entrypoint(argv: list[str]) -> int:
    """`docker-entrypoint.sh`: refuses to begin without a password option, as the image does, then runs the server."""
    words = argv[1:] or ["mysqld"]
    if words[0].startswith("-"):
        words = ["mysqld", *words]
    name = words[0].rpartition("/")[2]
    if name not in ("mysqld", "mariadbd"):
        return become(words)
    brand = "MARIADB" if name == "mariadbd" else "MYSQL"
    _note(f"Entrypoint script for {'MariaDB' if brand == 'MARIADB' else 'MySQL'} Server {VERSION} started.")
    if not any(
        _setting(brand, option)
        for option in (
            "ROOT_PASSWORD",
            "ALLOW_EMPTY_PASSWORD",
            "ALLOW_EMPTY_ROOT_PASSWORD",
            "RANDOM_ROOT_PASSWORD",
        )
    ):
        allow = "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD" if brand == "MARIADB" else "MYSQL_ALLOW_EMPTY_PASSWORD"
        _note(
            "Database is uninitialized and password option is not specified\n"
            "    You need to specify one of the following as an environment variable:\n"
            f"    - {brand}_ROOT_PASSWORD\n    - {allow}\n    - {brand}_RANDOM_ROOT_PASSWORD",
            "ERROR",
        )
        return 1
    if _setting(brand, "RANDOM_ROOT_PASSWORD") and not _setting(brand, "ROOT_PASSWORD"):
        os.environ[f"{brand}_ROOT_PASSWORD"] = secrets.token_urlsafe(24)
        _note(f"GENERATED ROOT PASSWORD: {os.environ[f'{brand}_ROOT_PASSWORD']}")
    return main(words)


def _note(text: str, level: str = "Note") -> None:
    err(f"{time.strftime('%Y-%m-%d %H:%M:%S%z')} [{level}] [Entrypoint]: {text}")


def _setting(brand: str, name: str) -> str:
    """An environment variable of the image, or what its _FILE twin points at."""
    for prefix in dict.fromkeys((brand, "MYSQL")):
        if value := os.environ.get(f"{prefix}_{name}"):
            return value
        if path := os.environ.get(f"{prefix}_{name}_FILE"):
            return Path(path).read_text().strip()
    return ""


def main(argv: list[str]) -> int:
    if "--version" in argv or "-V" in argv:
        out(f"{argv[0]}  Ver {VERSION} for Linux on x86_64 (labkit's stand-in)")
        return 0
    brand = "MARIADB" if "mariadbd" in argv[0] else "MYSQL"
    port = next((int(w.partition("=")[2]) for w in argv[1:] if w.startswith("--port=")), 3306)
    users = {"root": _setting(brand, "ROOT_PASSWORD")}
    databases = [*_SYSTEM]
    if database := _setting(brand, "DATABASE"):
        databases.append(database)
    if user := _setting(brand, "USER"):
        users[user] = _setting(brand, "PASSWORD")
    server = Server(users, databases)

    async def start(_: asyncio.Future[int]) -> object:
        listening = await asyncio.start_server(server.connection, None, port, backlog=256)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        err(f"{stamp} 0 [System] [MY-010931] [Server] {argv[0]}: ready for connections. Version: '{VERSION}'  "
            f"socket: '/var/run/mysqld/mysqld.sock'  port: {port}  (labkit's stand-in).")  # fmt: skip
        return listening

    return run(start)


class Server:
    """Users with passwords, and names of databases."""

    def __init__(self, users: dict[str, str], databases: list[str]) -> None:
        self.users, self.databases = users, databases
        self.threads = itertools.count(8)
        self.began, self.questions = time.monotonic(), 0

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        try:
            peer = str(writer.get_extra_info("peername")[0])
            nonce = bytes(secrets.choice(range(1, 128)) for _ in range(20))
            channel.write(greeting(VERSION, next(self.threads), nonce))
            async with asyncio.timeout(10):  # connect_timeout
                who = await self._log_in(channel, nonce, peer)
            await self._serve(channel, who)
        except MysqlError as problem:
            channel.write(error(problem))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    async def _log_in(self, channel: Channel, nonce: bytes, peer: str) -> Login:
        who = parse_login(await channel.read())
        plugin, response = who.plugin, who.response
        if plugin not in (CACHING, NATIVE):
            channel.write(b"\xfe" + CACHING.encode() + b"\0" + nonce + b"\0")
            plugin, response = CACHING, await channel.read()
        password = self.users.get(who.user)
        if password is None or not secrets.compare_digest(response, scramble(plugin, password, nonce)):
            using = "YES" if response else "NO"
            raise MysqlError(
                1045, f"Access denied for user '{who.user}'@'{peer}' (using password: {using})", "28000"
            )
        self._must_exist(who.database)
        if plugin == CACHING and response:
            channel.write(b"\x01\x03")  # fast path: the password is known
        channel.write(ok())
        return who

    def _must_exist(self, database: str) -> None:
        if database and database not in self.databases:
            raise MysqlError(1049, f"Unknown database '{database}'", "42000")

    async def _serve(self, channel: Channel, who: Login) -> None:
        while True:
            packet = await channel.read()
            number, argument = packet[0], packet[1:].decode("utf-8", "replace")
            self.questions += 1
            try:
                if number == COM_QUIT:
                    return
                if number == COM_PING:
                    channel.write(ok())
                elif number == COM_INIT_DB:
                    self._must_exist(argument)
                    channel.write(ok())
                elif number == COM_STATISTICS:
                    uptime = int(time.monotonic() - self.began)
                    channel.write(f"Uptime: {uptime}  Threads: 2  Questions: {self.questions}".encode())
                elif number == COM_QUERY:
                    for answer in self._query(argument, who):
                        channel.write(answer)
                else:
                    raise MysqlError(1047, "Unknown command", "08S01")
            except MysqlError as problem:
                channel.write(error(problem))
            await channel.writer.drain()

    def _query(self, sql: str, who: Login) -> list[bytes]:
        text = re.sub(r"/\*.*?\*/", " ", sql, flags=re.S).strip().rstrip(";").strip()
        plain = re.sub(r"\s+", " ", text).lower()
        if plain in ("show databases", "show schemas"):
            return result_set(["Database"], [[name] for name in sorted(self.databases)])
        if match := re.fullmatch(r"create (?:database|schema)(?: if not exists)? `?(\w+)`?", plain):
            self.databases.append(match[1])
            return [ok()]
        if match := re.fullmatch(r"use `?(\w+)`?", plain):
            self._must_exist(match[1])
            return [ok()]
        if plain.startswith("set "):
            return [ok()]
        if plain == "show tables":
            return result_set(["Tables"], [])
        known = {"version()": VERSION, "@@version": VERSION, "@@version_comment": "labkit's stand-in for MySQL",
                 "user()": f"{who.user}@%", "current_user()": f"{who.user}@%", "database()": who.database or "NULL",
                 "@@hostname": os.uname().nodename, "now()": time.strftime("%Y-%m-%d %H:%M:%S")}  # fmt: skip
        if match := re.fullmatch(r"select (.+?)(?: limit 1)?", plain):
            parts = [part.strip() for part in match[1].split(",")]
            if all(part in known or re.fullmatch(r"\d+", part) for part in parts):
                return result_set(parts, [[known.get(part, part) for part in parts]])
        raise MysqlError(1064, "labkit's stand-in for MySQL has no SQL engine: it answers SELECT 1, SELECT VERSION(), "
                         f"SHOW DATABASES and CREATE DATABASE, not: {text[:80]}", "42000")  # fmt: skip
