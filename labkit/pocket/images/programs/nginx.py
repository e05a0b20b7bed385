"""`nginx`: serves what its configuration says (files, `return`, `proxy_pass`), with nginx's access log on standard output."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from .console import err, out
from .console import reason as strerror
from .entrypoint import become
from .http1 import Request, Response, reason, serve
from .nginx_conf import ConfError, Directive, parse
from .service import host_port, run

_VERSION = "nginx/1.30.5"
_PID = Path("/run/nginx.pid")


def entrypoint(argv: list[str]) -> int:
    """`/docker-entrypoint.sh`: says that it is ready and becomes the command."""
    words = argv[1:]
    if words[:1] == ["nginx"]:
        out("/docker-entrypoint.sh: Configuration complete; ready for start up")
        return main(words)
    return become(words or ["nginx"])


def main(argv: list[str]) -> int:
    words, conf, signal_name = argv[1:], "/etc/nginx/nginx.conf", ""
    test = False
    while words:
        word = words.pop(0)
        if word in ("-v", "-V"):
            err(f"nginx version: {_VERSION}")
            return 0
        if word in ("-t", "-T"):
            test = True
        elif word == "-c" and words:
            conf = words.pop(0)
        elif word == "-s" and words:
            signal_name = words.pop(0)
        elif word in ("-g", "-p", "-e") and words:
            words.pop(0)
        else:
            err(f'nginx: invalid option: "{word}"')
            return 1
    if signal_name:
        return _signal(signal_name)
    try:
        servers = _servers(conf)
    except (ConfError, OSError) as problem:
        words_of = (
            problem
            if isinstance(problem, ConfError)
            else f'open() "{conf}" failed ({problem.errno}: {problem.strerror})'
        )
        err(f"nginx: [emerg] {words_of}")
        if test:
            err(f"nginx: configuration file {conf} test failed")
        return 1
    if test:
        err(
            f"nginx: the configuration file {conf} syntax is ok\nnginx: configuration file {conf} test is successful"
        )
        return 0
    return _Nginx(conf, servers).run()


def _write_pid() -> None:
    try:
        _PID.write_text(str(os.getpid()))
    except OSError:
        pass  # a read-only root: then there is no `nginx -s reload`


def _signal(name: str) -> int:
    numbers = {"reload": signal.SIGHUP, "quit": signal.SIGQUIT, "stop": signal.SIGTERM}
    try:
        os.kill(int(_PID.read_text()), numbers[name])
    except KeyError:
        err(f'nginx: invalid option: "-s {name}"')
        return 1
    except (OSError, ValueError):
        err(f'nginx: [error] open() "{_PID}" failed (2: No such file or directory)')
        return 1
    return 0


def _servers(conf: str) -> list[Directive]:
    root = parse(Path(conf).read_text(), conf)
    return [server for http in root.all("http") for server in http.all("server")]


def _ports(server: Directive) -> set[int]:
    found = {
        int(m[1])
        for item in server.all("listen")
        if item.args and (m := re.search(r"(?:^|:)(\d+)$", item.args[0]))
    }
    return found or {80}


class _Nginx:
    """A running server; SIGHUP reads the configuration again."""

    def __init__(self, conf: str, servers: list[Directive]) -> None:
        self.conf, self.servers = conf, servers
        self.listening: dict[int, asyncio.Server] = {}

    def run(self) -> int:
        async def start(done: asyncio.Future[int]) -> object:
            try:
                await self._listen()
            except OSError as problem:
                err(f"nginx: [emerg] {problem.strerror}")
                done.set_result(1)
                return self
            _write_pid()
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload()))
            stamp = time.strftime("%Y/%m/%d %H:%M:%S")
            err(f"{stamp} [notice] 1#1: {_VERSION}\n{stamp} [notice] 1#1: start worker processes")
            return self

        return run(start)

    async def _listen(self) -> None:
        wanted = {port for server in self.servers for port in _ports(server)}
        for port in wanted - self.listening.keys():
            self.listening[port] = await serve(self._answer, port, server=_VERSION)
        for port in self.listening.keys() - wanted:
            self.listening.pop(port).close()

    async def _reload(self) -> None:
        try:
            self.servers = _servers(self.conf)
            await self._listen()
        except (ConfError, OSError) as problem:
            err(f"nginx: [emerg] {problem}")

    async def _answer(self, request: Request) -> Response:
        response = await self._route(request)
        agent, referer = request.headers.get("user-agent", "-"), request.headers.get("referer", "-")
        size = len(response.body.encode() if isinstance(response.body, str) else response.body)
        out(
            f"{request.peer[0]} - - [{time.strftime('%d/%b/%Y:%H:%M:%S %z')}] "
            f'"{request.method} {request.target} {request.version}" {response.status} {size} '
            f'"{referer}" "{agent}" "{request.headers.get("x-forwarded-for", "-")}"'
        )
        return response

    async def _route(self, request: Request) -> Response:
        port, host = request.local[1], request.headers.get("host", "").partition(":")[0]
        mine = [server for server in self.servers if port in _ports(server)]
        server = next((s for s in mine if host in s.first("server_name")), mine[0])
        location = _location(server, request.path)
        chain = [location, server] if location else [server]
        for scope in chain:
            if args := scope.first("return"):
                return _return(args, request, chain)
        if location and (args := location.first("proxy_pass")):
            return await _proxy(args[0], location, request)
        return _file(chain, request)


def _location(server: Directive, path: str) -> Directive | None:
    """As nginx chooses: exact, then the longest prefix if `^~`, then regular expressions, then the longest prefix."""
    best: tuple[int, Directive] | None = None
    for item in server.all("location"):
        kind, pattern = (item.args[0], item.args[-1]) if len(item.args) > 1 else ("", item.args[0])
        if kind == "=" and path == pattern:
            return item
        if kind in ("", "^~") and path.startswith(pattern) and (best is None or len(pattern) > best[0]):
            best = len(pattern), item
    if best and best[1].args[0] == "^~":
        return best[1]
    for item in server.all("location"):
        if item.args[0] in ("~", "~*") and re.search(
            item.args[-1], path, re.I if item.args[0] == "~*" else 0
        ):
            return item
    return best[1] if best else None


def _variables(text: str, request: Request) -> str:
    known = {
        "host": request.headers.get("host", "").partition(":")[0], "request_uri": request.target, "uri": request.path,
        "remote_addr": request.peer[0], "hostname": socket.gethostname(), "request_method": request.method,
        "server_addr": request.local[0], "server_port": str(request.local[1]), "scheme": "http",
        "remote_port": str(request.peer[1]), "args": urlsplit(request.target).query,
        "http_host": request.headers.get("host", ""), "proxy_add_x_forwarded_for": request.peer[0],
    }  # fmt: skip
    return re.sub(
        r"\$\{?(\w+)\}?",
        lambda m: known.get(m[1], request.headers.get(m[1].removeprefix("http_").replace("_", "-"), "")),
        text,
    )


def _headers(chain: list[Directive], request: Request) -> dict[str, str]:
    added = next((items for scope in chain if (items := scope.all("add_header"))), [])
    return {item.args[0]: _variables(item.args[1], request) for item in added if len(item.args) > 1}


def _return(args: list[str], request: Request, chain: list[Directive]) -> Response:
    status = int(args[0]) if args[0].isdigit() else 302
    text = _variables(args[-1], request) if len(args) > 1 or not args[0].isdigit() else ""
    headers = _headers(chain, request)
    if status in (301, 302, 303, 307, 308):
        return _error(status, headers | {"Location": text})
    if not text:
        return _error(status, headers)
    kind = next(
        (scope.first("default_type")[0] for scope in chain if scope.first("default_type")),
        "application/octet-stream",
    )
    return Response(text, status, kind, headers)


def _error(status: int, headers: dict[str, str] | None = None) -> Response:
    if status in (200, 204):
        return Response("", status, headers=headers or {})
    title = f"{status} {reason(status)}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    page += f"<hr><center>{_VERSION}</center>\r\n</body>\r\n</html>\r\n"
    return Response(page, status, "text/html", headers or {})


def _file(chain: list[Directive], request: Request) -> Response:
    if request.method not in ("GET", "HEAD"):
        return _error(405)
    if os.path.normpath(request.path.lstrip("/") or ".").startswith(".."):
        return _error(400)
    location = chain[0]
    alias = location.first("alias")
    if alias:
        path = Path(alias[0] + request.path[len(location.args[-1]) :])
    else:
        root = next((scope.first("root")[0] for scope in chain if scope.first("root")), "/etc/nginx/html")
        path = Path(root + request.path)
    path = Path(os.path.normpath(path))
    if path.is_dir():
        if not request.path.endswith("/"):
            return _error(301, {"Location": f"http://{request.headers.get('host', '')}{request.path}/"})
        names = next((scope.first("index") for scope in chain if scope.first("index")), ["index.html"])
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            return _error(403)
        path = found
    try:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return Response(path.read_bytes(), 200, kind, {"Accept-Ranges": "bytes", **_headers(chain, request)})
    except PermissionError:
        return _error(403)
    except OSError:
        stamp = time.strftime("%Y/%m/%d %H:%M:%S")
        err(
            f'{stamp} [error] 1#1: *1 open() "{path}" failed (2: No such file or directory), client: {request.peer[0]}, '
            f'request: "{request.method} {request.target} {request.version}"'
        )
        return _error(404)


async def _proxy(target: str, location: Directive, request: Request) -> Response:
    parts = urlsplit(_variables(target, request))
    path = request.target
    if parts.path and location.args[-1] == request.path[: len(location.args[-1])]:
        path = parts.path + request.target[len(location.args[-1]) :]
    headers = {"Host": parts.netloc, "Connection": "close"}
    headers |= {k: v for k, v in request.headers.items() if k not in ("host", "connection", "content-length")}
    headers |= {
        i.args[0]: _variables(i.args[1], request) for i in location.all("proxy_set_header") if len(i.args) > 1
    }
    head = f"{request.method} {path} HTTP/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    head += f"Content-Length: {len(request.body)}\r\n\r\n"
    try:
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(head.encode("latin-1", "replace") + request.body)
                answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except TimeoutError:
        return _error(504)
    except OSError as problem:
        stamp = time.strftime("%Y/%m/%d %H:%M:%S")
        where = host_port((parts.hostname or "", parts.port or 80))
        err(
            f"{stamp} [error] 1#1: *1 connect() failed ({problem.errno}: {strerror(problem)}) "
            f"while connecting to upstream {where}"
        )
        return _error(502)
    lines = answer.decode("latin-1").split("\r\n")
    kept = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    kept = {
        k: v for k, v in kept.items() if k.lower() not in ("connection", "content-length", "server", "date")
    }
    return Response(body, int(lines[0].split(" ")[1]), kept.pop("Content-Type", ""), kept)
