"""A publisher on this machine: a web server whose files behave as real ones do on bad days."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file and how it is served. Numbers are of bytes of one answer; each list is used up an answer at a time."""

    content: bytes
    breaks: list[int] = field(default_factory=list)  # the connection ends after so many
    statuses: list[int] = field(default_factory=list)  # answers before the good one
    ranges: bool = True
    validators: bool = True
    length: bool = True
    redirect: str = ""
    before: Callable[[], None] = lambda: None  # called when an answer begins
    halfway: Callable[[], None] = lambda: None  # called when half of an answer has been sent

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return f'"{self.sha256[:12]}"'


class Upstream:
    """The server: `files` by path, and what was asked: (path, Range)."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are part of the game
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, path: str, content: bytes, **how: object) -> Served:
        self.files[path] = Served(content, **how)  # type: ignore[arg-type]
        return self.files[path]

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                # A proxy is asked for a whole address, a server for a path.
                path = re.sub(r"^http://[^/]+", "", self.path)
                upstream.asked.append((path, self.headers.get("Range", "")))
                one = upstream.files.get(path)
                if one is None:
                    return self._plain(404)
                if one.redirect:
                    self.send_response(302)
                    self.send_header("Location", one.redirect)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return None
                if one.statuses:
                    return self._plain(one.statuses.pop(0))
                return self._file(one)

            def _plain(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"sorry"[:4])

            def _file(self, one: Served) -> None:
                one.before()
                start = 0
                wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                same = self.headers.get("If-Range", one.etag) == one.etag
                if wanted and one.ranges and same:
                    start = int(wanted.group(1))
                    if start >= len(one.content):
                        self.send_response(416)
                        self.send_header("Content-Range", f"bytes */{len(one.content)}")
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                        return
                    self.send_response(206)
                    self.send_header(
                        "Content-Range", f"bytes {start}-{len(one.content) - 1}/{len(one.content)}"
                    )
                else:
                    self.send_response(200)
                body = one.content[start:]
                if one.length:
                    self.send_header("Content-Length", str(len(body)))
                else:
                    self.close_connection = True
                if one.validators:
                    self.send_header("ETag", one.etag)
                self.end_headers()
                sent = body[: one.breaks.pop(0)] if one.breaks else body
                self.wfile.write(sent[: len(sent) // 2])
                self.wfile.flush()
                one.halfway()
                self.wfile.write(sent[len(sent) // 2 :])
                if len(sent) < len(body):
                    self.close_connection = True

        return Handler

    def __enter__(self) -> Upstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running
