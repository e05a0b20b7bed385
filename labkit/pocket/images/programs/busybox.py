"""`busybox APPLET ...`, and the few applets that a machine may lack: hostname, telnet, httpd."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import socket
from pathlib import Path

from .console import err, out
from .entrypoint import become
from .http1 import Request, Response, serve
from .netio import addresses, connect, relay
from .service import run


def main(argv: list[str]) -> int:
    if len(argv) < 2 or argv[1] in ("--help", "--list"):
        out("BusyBox (labkit's stand-in) multi-call binary.\n\nUsage: busybox [function [arguments]...]")
        return 0
    return applet([argv[1], *argv[2:]])


def applet(argv: list[str]) -> int:
    """Run the applet that argv[0] names: ours, or the machine's tool of that name."""
    from . import dig, nc, ping, wget

    ours = {
        "wget": wget.main, "nc": nc.main, "ping": ping.main, "nslookup": dig.nslookup,
        "hostname": hostname, "telnet": telnet, "httpd": httpd,
    }  # fmt: skip
    name = argv[0].rpartition("/")[2]
    if name in ours:
        return ours[name](argv)
    if any(os.access(f"{place}/{name}", os.X_OK) for place in ("/bin", "/usr/bin", "/sbin", "/usr/sbin")):
        return become([name, *argv[1:]])
    err(f"{name}: applet not found")
    return 127


def hostname(argv: list[str]) -> int:
    if "-i" in argv[1:]:
        out(
            " ".join(
                dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None))
            )
        )
    else:
        out(socket.gethostname())
    return 0


def telnet(argv: list[str]) -> int:
    places = [word for word in argv[1:] if not word.startswith("-")]
    if not places:
        err("Usage: telnet [-a] [-l USER] HOST [PORT]")
        return 1
    port = places[1] if len(places) > 1 else "23"
    try:
        where = addresses(places[0], port)
    except OSError:
        err(f"telnet: bad address '{places[0]}'")
        return 1
    try:
        connection = connect(where, None)
    except OSError as problem:
        err(f"telnet: can't connect to remote host ({where[0][1][0]}): {os.strerror(problem.errno or 0)}")
        return 1
    err(f"Connected to {places[0]}")
    with connection:
        relay(connection)
    err("Connection closed by foreign host")
    return 1


def httpd(argv: list[str]) -> int:
    """`httpd -f -p [ADDR:]PORT -h HOME`: serve files."""
    values, words = {"p": "80", "h": "."}, argv[1:]
    foreground = False
    while words:
        word = words.pop(0)
        if word[:2] in ("-p", "-h"):
            values[word[1]] = word[2:] or (words.pop(0) if words else "")
        foreground = foreground or (word.startswith("-") and "f" in word)
    host, _, port = values["p"].rpartition(":")
    home = Path(values["h"]).resolve()
    if not foreground and os.fork():
        return 0  # as a daemon does, the parent ends

    async def answer(request: Request) -> Response:
        path = (home / request.path.lstrip("/")).resolve()
        if path.is_dir():
            path /= "index.html"
        if not path.is_relative_to(home) or not path.is_file():
            return Response("<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD>\n<BODY><H1>404 Not Found</H1>\n"
                            "The requested URL was not found\n</BODY></HTML>\n", 404, "text/html")  # fmt: skip
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return Response(path.read_bytes(), content_type=kind)

    async def start(_: asyncio.Future[int]) -> object:
        return await serve(answer, int(port), host=host or None)

    return run(start)
