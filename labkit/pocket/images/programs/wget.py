"""`wget` as BusyBox has it: its options, its messages, exit code 1 for every failure."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from .console import err
from .netio import NameTimeout, addresses, connect

if TYPE_CHECKING:
    from http.client import HTTPResponse

_WITH_VALUE = {
    "-O": "output-document", "-o": "output-file", "-T": "timeout", "-t": "tries", "-U": "user-agent", "-P": "directory-prefix",
    "-Y": "proxy", "--output-document": "output-document", "--output-file": "output-file", "--timeout": "timeout",
    "--tries": "tries", "--user-agent": "user-agent", "--directory-prefix": "directory-prefix", "--header": "header",
    "--post-data": "post-data", "--proxy": "proxy", "--connect-timeout": "timeout", "--read-timeout": "timeout",
    "--dns-timeout": "timeout", "--waitretry": "tries", "--method": "method", "--body-data": "post-data",
}  # fmt: skip
_SWITCHES = {
    "-q": "quiet", "-S": "server-response", "-c": "continue", "--quiet": "quiet", "--server-response": "server-response",
    "--spider": "spider", "--no-check-certificate": "insecure", "--no-verbose": "quiet", "--no-proxy": "no-proxy",
    "-4": "v4", "-6": "v6",
}  # fmt: skip
_USAGE = """BusyBox (labkit's stand-in) multi-call binary.

Usage: wget [-cqS] [--spider] [-O FILE] [--header STR] [--post-data STR | --method M]
\t[--no-check-certificate] [-T SEC] [-U AGENT] [-P DIR] URL...

Retrieve files via HTTP

\t--spider\tOnly check URL existence: $? is 0 if exists
\t-q\t\tQuiet
\t-S\t\tShow server response
\t-O FILE\t\tSave to FILE ('-' for stdout)
\t-T SEC\t\tNetwork read timeout is SEC seconds
\t-U STR\t\tUse STR for User-Agent header"""


class _Failed(Exception):  # noqa: N818 - ends the program
    """Ends the program with `wget: MESSAGE` and status 1."""


def main(argv: list[str]) -> int:
    options: dict[str, str] = {}
    headers: list[str] = []
    urls: list[str] = []
    words = argv[1:]
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word in _SWITCHES:
            options[_SWITCHES[word]] = "1"
        elif name in _WITH_VALUE and (equals or words):
            value = value if equals else words.pop(0)
            if _WITH_VALUE[name] == "header":
                headers.append(value)
            else:
                options[_WITH_VALUE[name]] = value
        elif word.startswith("-") and not word.startswith("--") and len(word) > 2:
            # -qO- and -qT2: split the first letter off
            words[:0] = [word[:2], "-" + word[2:]] if word[:2] in _SWITCHES else [word[:2], word[2:]]
            if word[:2] not in _SWITCHES and word[:2] not in _WITH_VALUE:
                err(f"wget: unrecognized option: {word[1]}\n{_USAGE}")
                return 1
        elif word.startswith("-") and word != "-":
            err(f"wget: unrecognized option: {word.lstrip('-')}\n{_USAGE}")
            return 1
        else:
            urls.append(word)
    if not urls:
        err(_USAGE)
        return 1
    try:
        for url in urls:
            _Fetch(options, headers).run(url)
    except _Failed as problem:
        err(f"wget: {problem}")
        return 1
    return 0


class _Fetch:
    """One URL, with its redirects."""

    def __init__(self, options: dict[str, str], headers: list[str]) -> None:
        self.options, self.headers = options, headers
        self.quiet = "quiet" in options
        try:
            self.timeout = float(options.get("timeout", "900"))
        except ValueError:
            raise _Failed(f"invalid number '{options['timeout']}'") from None

    def say(self, text: str) -> None:
        if not self.quiet:
            err(text)

    def run(self, url: str) -> None:
        for _ in range(20):
            if "://" not in url:
                url = f"http://{url}"
            response, connection = self._request(url)
            with connection:
                if response.status in (301, 302, 303, 307, 308) and response.getheader("Location"):
                    url = urljoin(url, response.getheader("Location") or "")
                    continue
                if not 200 <= response.status < 300:
                    reason = f"HTTP/1.{response.version % 10} {response.status} {response.reason}".rstrip()
                    raise _Failed(f"server returned error: {reason}")
                if "spider" in self.options:
                    self.say("remote file exists")
                else:
                    self._save(url, response)
            return
        raise _Failed("too many redirections")

    def _request(self, url: str) -> tuple[HTTPResponse, socket.socket]:
        from http.client import HTTPException, HTTPResponse

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise _Failed(f"not an http or ftp url: {url}")
        host = parts.hostname or ""
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise _Failed(f"bad port spec '{parts.netloc}'") from None
        family = socket.AF_INET6 if "v6" in self.options else socket.AF_INET if "v4" in self.options else 0
        try:
            where = addresses(host, port, family=family, timeout=self.timeout)
        except NameTimeout:
            raise _Failed("download timed out") from None
        except OSError:
            raise _Failed(f"bad address '{host}'") from None
        peer = where[0][1][0]
        self.say(
            f"Connecting to {parts.netloc.rpartition('@')[2] if parts.port is None else host}"
            f"{f':{port}' if parts.port else ''} ({peer}:{port})"
        )
        try:
            connection = connect(where, self.timeout)
            connection.settimeout(self.timeout)
            if parts.scheme == "https":
                context = ssl.create_default_context()
                if "insecure" in self.options:
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                connection = context.wrap_socket(connection, server_hostname=host)
        except TimeoutError:
            raise _Failed("download timed out") from None
        except ssl.SSLError as problem:
            raise _Failed(f"error getting response: {problem.reason}") from None
        except OSError as problem:
            raise _Failed(
                f"can't connect to remote host ({peer}): {os.strerror(problem.errno or 0)}"
            ) from None
        data = self.options.get("post-data")
        method = self.options.get("method") or (
            "POST" if data is not None else "HEAD" if "spider" in self.options else "GET"
        )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            f"User-Agent: {self.options.get('user-agent', 'Wget')}",
            "Connection: close",
            *self.headers,
        ]
        if data is not None:
            lines += [
                "Content-Type: application/x-www-form-urlencoded",
                f"Content-Length: {len(data.encode())}",
            ]
        try:
            connection.sendall("\r\n".join([*lines, "", data or ""]).encode())
            response = HTTPResponse(connection, method=method)
            response.begin()
        except TimeoutError:
            raise _Failed("download timed out") from None
        except (OSError, HTTPException):
            raise _Failed("error getting response") from None
        if "server-response" in self.options:
            err(f"  HTTP/1.{response.version % 10} {response.status} {response.reason}")
            for name, value in response.getheaders():
                err(f"  {name}: {value}")
        return response, connection

    def _save(self, url: str, response: HTTPResponse) -> None:
        target = self.options.get("output-document")
        name = target or urlsplit(url).path.rpartition("/")[2] or "index.html"
        if target is None and "directory-prefix" in self.options:
            name = f"{self.options['directory-prefix']}/{name}"
        if target is None and os.path.exists(name):  # noqa: PTH110
            raise _Failed(f"can't open '{name}': File exists")
        self.say("writing to stdout" if target == "-" else f"saving to '{name}'")
        try:
            fd = 1 if target == "-" else os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as problem:
            raise _Failed(f"can't open '{name}': {problem.strerror}") from None
        size = 0
        try:
            while chunk := response.read(65536):
                size += len(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
        except TimeoutError:
            raise _Failed("download timed out") from None
        except OSError as problem:
            raise _Failed(f"error getting response: {problem.strerror}") from None
        finally:
            if fd != 1:
                os.close(fd)
        self.say(f"{name[-20:]:<20} 100% |{'*' * 32}| {size:>5}  0:00:00 ETA")
        self.say("written to stdout" if target == "-" else f"'{name}' saved")
