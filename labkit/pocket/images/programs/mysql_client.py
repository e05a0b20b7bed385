"""`mysql` and `mysqladmin`: enough of the clients to see whether a server is there and lets one in."""

from __future__ import annotations

import asyncio
import os
import socket

from .console import err, out, read_input
from .mysqlwire import COM_PING, COM_STATISTICS, Client, MysqlError, connect

_LONG = {
    "--host": "h",
    "--user": "u",
    "--port": "P",
    "--database": "D",
    "--execute": "e",
    "--connect-timeout": "t",
    "--protocol": "x",
    "--socket": "S",
}


def _options(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    values = {
        "h": "localhost",
        "u": "root",
        "P": "3306",
        "D": "",
        "p": os.environ.get("MYSQL_PWD", ""),
        "t": "10",
    }
    rest, words = [], argv[1:]
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in _LONG:
            values[_LONG[name]] = value if equals else (words.pop(0) if words else "")
        elif name == "--password":
            values["p"] = value
        elif word.startswith("-p"):
            values["p"] = word[2:] or values["p"]
        elif word[:2] in ("-h", "-u", "-P", "-D", "-e", "-S") and not word.startswith("--"):
            values[word[1]] = word[2:] or (words.pop(0) if words else "")
        elif not word.startswith("-"):
            rest.append(word)
    return values, rest


async def _connect(values: dict[str, str]) -> Client:
    """Raises OSError or MysqlError; both with the client's words."""
    host = "127.0.0.1" if values["h"] == "localhost" else values["h"]
    try:
        async with asyncio.timeout(float(values["t"])):
            return await connect(host, int(values["P"]), values["u"], values["p"], values["D"])
    except TimeoutError:
        raise MysqlError(
            2003, f"Can't connect to MySQL server on '{values['h']}:{values['P']}' (110)"
        ) from None
    except socket.gaierror:
        raise MysqlError(2005, f"Unknown MySQL server host '{values['h']}' (-2)") from None
    except OSError as problem:
        raise MysqlError(
            2003, f"Can't connect to MySQL server on '{values['h']}:{values['P']}' ({problem.errno})"
        ) from None


def mysqladmin(argv: list[str]) -> int:
    values, commands = _options(argv)
    return asyncio.run(_admin(values, commands or ["ping"]))


async def _admin(values: dict[str, str], commands: list[str]) -> int:
    try:
        client = await _connect(values)
    except MysqlError as problem:
        if commands == ["ping"] and problem.code == 1045:
            out("mysqld is alive")  # as the real one: a server that denies access lives
            return 0
        err(f"mysqladmin: connect to server at '{values['h']}' failed\nerror: '{problem.message}'")
        if problem.code == 2003:
            err(f"Check that mysqld is running on {values['h']} and that the port is {values['P']}.")
        return 1
    for command in commands:
        if command == "ping":
            await client.command(COM_PING)
            out("mysqld is alive")
        elif command == "status":
            out((await client.command(COM_STATISTICS)).decode())
        elif command == "version":
            out(f"Server version\t\t{client.version}")
        else:
            err(f"mysqladmin: Unknown command: '{command}'")
            return 1
    client.close()
    return 0


def healthcheck(argv: list[str]) -> int:
    """MariaDB's `healthcheck.sh --connect --innodb_initialized`."""
    password = os.environ.get("MARIADB_ROOT_PASSWORD", os.environ.get("MYSQL_ROOT_PASSWORD", ""))
    return mysqladmin(["mysqladmin", f"--password={password}", "ping"])


def mysql(argv: list[str]) -> int:
    values, rest = _options(argv)
    if rest:
        values["D"] = rest[0]
    statements = values.get("e") or read_input().decode()
    return asyncio.run(_statements(values, statements))


async def _statements(values: dict[str, str], text: str) -> int:
    try:
        client = await _connect(values)
        for statement in text.split(";"):
            if statement.strip():
                columns, rows = await client.query(statement.strip())
                for row in [columns, *rows] if columns else []:
                    out("\t".join(row))
        client.close()
    except MysqlError as problem:
        err(str(problem))
        return 1
    return 0
