"""Apache's `httpd`: serves a directory, with the common log on standard output; wordpress is built on it."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import time
from pathlib import Path

from .console import err, out
from .http1 import Answer, Request, Response, serve
from .service import run

SERVER = "Apache/2.4.65 (Unix)"
_HOME = Path("/usr/local/apache2/htdocs")


def main(argv: list[str]) -> int:
    if argv[1:2] in (["-v"], ["-V"]):
        out(f"Server version: {SERVER}")
        return 0
    return start(_files, 80, SERVER)


def start(answer: Answer, port: int, server: str) -> int:
    """Serve with Apache's log lines until SIGTERM (or SIGWINCH's friend SIGQUIT)."""

    async def logged(request: Request) -> Response:
        response = await answer(request)
        size = len(response.body.encode() if isinstance(response.body, str) else response.body)
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        line = f"{request.method} {request.target} {request.version}"
        out(f'{request.peer[0]} - - [{stamp}] "{line}" {response.status} {size or "-"}')
        return response

    async def begin(_: asyncio.Future[int]) -> object:
        listening = await serve(logged, port, server=server)
        stamp = time.strftime("%a %b %d %H:%M:%S.000000 %Y")
        err(
            f"[{stamp}] [mpm_event:notice] [pid 1] AH00489: {server} configured -- resuming normal operations"
        )
        return listening

    return run(begin)


def error(status: int, title: str, text: str) -> Response:
    """Apache's error page."""
    page = '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n'
    page += (
        f"<title>{status} {title}</title>\n</head><body>\n<h1>{title}</h1>\n<p>{text}</p>\n</body></html>\n"
    )
    return Response(page, status, "text/html; charset=iso-8859-1")


async def _files(request: Request) -> Response:
    return _file(request.path)


def _file(asked: str) -> Response:
    path = Path(os.path.normpath(f"{_HOME}{asked}"))
    if path.is_dir():
        path /= "index.html"
    if not path.is_relative_to(_HOME) or not path.is_file():
        return error(404, "Not Found", "The requested URL was not found on this server.")
    return Response(path.read_bytes(), content_type=mimetypes.guess_type(path.name)[0] or "text/plain")
