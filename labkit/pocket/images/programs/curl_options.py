"""curl's command line: which options there are, and the request that they describe."""

from __future__ import annotations

import base64
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult

from .console import read_input

HELP = """Usage: curl [options...] <url>
 -d, --data <data>           HTTP POST data
 -f, --fail                  Fail fast with no output on HTTP errors
 -H, --header <header>       Pass custom header to server
 -i, --show-headers          Show response headers in output
 -I, --head                  Show document info only
 -k, --insecure              Allow insecure server connections
 -L, --location              Follow redirects
 -m, --max-time <seconds>    Maximum time allowed for transfer
     --connect-timeout <s>   Maximum time allowed to connect
 -o, --output <file>         Write to file instead of stdout
 -s, --silent                Silent mode
 -S, --show-error            Show error even when -s is used
 -v, --verbose               Make the operation more talkative
 -w, --write-out <format>    Output FORMAT after completion
 -X, --request <method>      Specify request method to use
This is labkit's stand-in for curl."""

_SHORT = {
    "s": "silent", "S": "show-error", "v": "verbose", "i": "show-headers", "I": "head", "k": "insecure", "L": "location",
    "f": "fail", "G": "get", "g": "globoff", "N": "no-buffer", "V": "version", "h": "help", "4": "ipv4", "6": "ipv6",
    "O": "remote-name", "q": "disable", "n": "netrc", "#": "progress-bar", "Z": "parallel", "0": "http1.0",
    "m": "max-time", "o": "output", "w": "write-out", "X": "request", "H": "header", "d": "data", "A": "user-agent",
    "u": "user", "e": "referer", "E": "cert", "x": "proxy", "b": "cookie", "c": "cookie-jar", "F": "form", "T": "upload-file",
}  # fmt: skip
_SWITCHES = {
    "silent", "show-error", "verbose", "show-headers", "include", "head", "insecure", "location", "fail", "get", "globoff",
    "no-buffer", "version", "help", "ipv4", "ipv6", "remote-name", "disable", "netrc", "progress-bar", "parallel", "http1.0",
    "http1.1", "http2", "http2-prior-knowledge", "fail-with-body", "compressed", "no-progress-meter", "retry-connrefused",
    "parallel-immediate", "no-keepalive", "path-as-is", "retry-all-errors", "tcp-nodelay", "fail-early",
}  # fmt: skip
_VALUES = {
    "max-time", "output", "write-out", "request", "header", "data", "data-raw", "data-binary", "data-urlencode", "json",
    "user-agent", "user", "referer", "cert", "key", "cacert", "proxy", "noproxy", "cookie", "cookie-jar", "connect-timeout",
    "resolve", "connect-to", "retry", "retry-delay", "retry-max-time", "max-redirs", "url", "oauth2-bearer", "limit-rate",
    "parallel-max", "interface", "dns-servers", "keepalive-time", "capath", "stderr",
}  # fmt: skip


class WrongOption(ValueError):  # noqa: N818 - what curl says of a command line
    """An option that curl does not have, or one without its value."""


@dataclass(slots=True)
class Options:
    """A command line, read."""

    urls: list[str] = field(default_factory=list)
    outputs: list[str | None] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    switches: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    hosts: dict[tuple[str, int], str] = field(default_factory=dict)
    json: bool = False

    def on(self, switch: str) -> bool:
        """Whether a switch was given ("silent", "fail-with-body")."""
        return switch in self.switches

    @property
    def include(self) -> bool:
        return bool(self.switches & {"show-headers", "include", "head"})

    @property
    def follow(self) -> bool:
        return "location" in self.switches

    @property
    def retry_refused(self) -> bool:
        return bool(self.switches & {"retry-connrefused", "retry-all-errors"})

    @property
    def family(self) -> int:
        return socket.AF_INET if self.on("ipv4") else socket.AF_INET6 if self.on("ipv6") else 0

    def _seconds(self, name: str) -> float | None:
        return float(self.values[name]) if name in self.values else None

    @property
    def max_time(self) -> float | None:
        return self._seconds("max-time")

    @property
    def connect_timeout(self) -> float | None:
        return self._seconds("connect-timeout")

    @property
    def retry(self) -> int:
        return int(self.values.get("retry", "0"))

    @property
    def retry_delay(self) -> float:
        return float(self.values.get("retry-delay", "0"))

    @property
    def max_redirects(self) -> int:
        return int(self.values.get("max-redirs", "50"))

    @property
    def write_out(self) -> str:
        return self.values.get("write-out", "")

    @property
    def cacert(self) -> str | None:
        return self.values.get("cacert")

    @property
    def cert(self) -> str | None:
        return self.values.get("cert")

    @property
    def key(self) -> str | None:
        return self.values.get("key")

    def body(self) -> bytes | None:
        """What to send, None for nothing."""
        return b"&".join(self.data) if self.data and "get" not in self.switches else None

    @property
    def method(self) -> str:
        default = "HEAD" if "head" in self.switches else "POST" if self.body() is not None else "GET"
        return self.values.get("request", default)

    def resolved(self, host: str, port: int) -> tuple[str, int]:
        """Where to connect for a host, after --resolve."""
        return self.hosts.get((host.lower(), port), host), port

    def head(self, method: str, url: SplitResult, data: bytes | None) -> list[str]:
        """The lines of the request's head."""
        query = "&".join(
            filter(None, [url.query, *(one.decode() for one in self.data if "get" in self.switches)])
        )
        default = {
            "host": ("Host", url.netloc.rpartition("@")[2]),
            "user-agent": ("User-Agent", self.values.get("user-agent", "curl/8.14.1")),
            "accept": ("Accept", "application/json" if self.json else "*/*"),
        }
        login = self.values.get("user") or url.netloc.rpartition("@")[0]
        if login:
            default["authorization"] = ("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
        if "oauth2-bearer" in self.values:
            default["authorization"] = ("Authorization", f"Bearer {self.values['oauth2-bearer']}")
        for option, name in (("referer", "Referer"), ("cookie", "Cookie")):
            if option in self.values:
                default[option] = (name, self.values[option])
        if data is not None:
            kind = "application/json" if self.json else "application/x-www-form-urlencoded"
            default |= {
                "content-length": ("Content-Length", str(len(data))),
                "content-type": ("Content-Type", kind),
            }
        own = []
        for header in self.headers:
            name, colon, value = header.partition(":")
            default.pop(name.strip().lower().rstrip(";"), None)
            if colon and value.strip():
                own.append(f"{name.strip()}: {value.strip()}")
        path = (url.path or "/") + (f"?{query}" if query else "")
        first = f"{method} {path} HTTP/{'1.0' if 'http1.0' in self.switches else '1.1'}"
        return [first, *(f"{name}: {value}" for name, value in default.values()), *own]


def parse(words: list[str]) -> Options:
    """Read a command line. Raises WrongOption in curl's words."""
    options = Options()
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--next" or word == "-:":
            continue
        if not word.startswith("-") or word == "-":
            options.urls.append(word)
        elif word.startswith("--"):
            _long(options, word, words)
        else:
            _letters(options, word, words)
    return options


def _long(options: Options, word: str, words: list[str]) -> None:
    name = word[2:]
    if name in _SWITCHES:
        _switch(options, name)
    elif name.startswith("no-") and name[3:] in _SWITCHES:
        options.switches.discard(name[3:])
    elif name in _VALUES:
        if not words:
            raise WrongOption(f"option {word}: requires parameter")
        _value(options, name, words.pop(0), word)
    else:
        raise WrongOption(f"option {word}: is unknown")


def _letters(options: Options, word: str, words: list[str]) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = _SHORT.get(letter)
        if name is None:
            raise WrongOption(f"option {word}: is unknown")
        if name in _SWITCHES:
            _switch(options, name)
            continue
        if not letters and not words:
            raise WrongOption(f"option {word}: requires parameter")
        value, letters = letters or words.pop(0), ""
        _value(options, name, value, f"-{letter}")


def _switch(options: Options, name: str) -> None:
    options.switches.add(name)
    if name == "remote-name":
        options.outputs.append("")


def _value(options: Options, name: str, value: str, word: str) -> None:
    if name == "url":
        options.urls.append(value)
    elif name == "output":
        options.outputs.append(value)
    elif name == "header":
        options.headers.append(value)
    elif name == "resolve":
        host, port, address = value.lstrip("+").split(":", 2)
        options.hosts[host.lower(), int(port)] = address.strip("[]")
    elif name in ("data", "data-raw", "data-binary", "data-urlencode", "json"):
        options.json = options.json or name == "json"
        options.data.append(_data(name, value))
    else:
        if name in ("max-time", "connect-timeout", "retry", "max-redirs"):
            try:
                float(value)
            except ValueError:
                raise WrongOption(f"option {word}: expected a proper numerical parameter") from None
        options.values[name] = value


def _data(name: str, value: str) -> bytes:
    if value.startswith("@") and name != "data-raw":
        content = read_input() if value == "@-" else Path(value[1:]).read_bytes()
        return content.replace(b"\r", b"").replace(b"\n", b"") if name == "data" else content
    if name == "data-urlencode":
        from urllib.parse import quote

        key, equals, text = value.partition("=")
        return (f"{key}={quote(text)}" if equals else quote(value)).encode()
    return value.encode()
