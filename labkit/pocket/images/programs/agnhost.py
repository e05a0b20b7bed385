"""`/agnhost`: picks the subcommand, and has the small ones. Rule: kubernetes/test/images/agnhost."""

from __future__ import annotations

import importlib
import os
import signal
import time

from .console import err, out
from .goflags import Duration, parse

_SUBCOMMANDS = {
    "connect": "agnhost_connect:main",
    "netexec": "agnhost_netexec:main",
    "porter": "agnhost_serve:porter",
    "serve-hostname": "agnhost_serve:serve_hostname",
    "pause": "agnhost:pause",
    "dns-suffix": "agnhost:dns_suffix",
    "dns-server-list": "agnhost:dns_server_list",
    "etc-hosts": "agnhost:etc_hosts",
    "liveness": "agnhost:liveness",
    "logs-generator": "agnhost:logs_generator",
    "test-webserver": "agnhost:test_webserver",
    "help": "agnhost:show_help",
    "--help": "agnhost:show_help",
    "--version": "agnhost:version",
}


def main(argv: list[str]) -> int:
    name = argv[1] if len(argv) > 1 else "help"
    if name == "entrypoint-tester":
        out(f"[{' '.join(argv)}]")
        return 0
    target = _SUBCOMMANDS.get(name)
    if target is None:
        err(f'Error: unknown command "{name}" for "app"')
        return 1
    module, _, function = target.partition(":")
    return int(getattr(importlib.import_module(f"{__package__}.{module}"), function)(argv[1:]))


def pause(argv: list[str]) -> int:
    """Sleep until a signal comes; say which (also in the termination message) and exit with 2 for SIGTERM, 1 for SIGINT."""
    out("Paused")
    came = _wait_for_signal("Signals registered")
    message = f'exiting because of signal "{"terminated" if came == signal.SIGTERM else "interrupt"}"\n'
    try:
        with open(os.environ.get("TERMINATION_MESSAGE_PATH") or "/dev/termination-log", "w") as file:  # noqa: PTH123
            file.write(message)
    except OSError:
        pass  # upstream does not mind either
    out(message, end="")
    return 2 if came == signal.SIGTERM else 1


def pause_container(argv: list[str]) -> int:
    """The pause image's `/pause`: ends with 0."""
    came = _wait_for_signal("")
    err(f"Shutting down, got signal: {signal.strsignal(came)}")
    return 0


def _wait_for_signal(say: str) -> int:
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(
        signal.SIG_BLOCK, ends
    )  # also when we are process 1, where a default action is none
    if say:
        out(say)
    return signal.sigwait(ends)


def dns_suffix(argv: list[str]) -> int:
    out(",".join(_resolv_conf("search")), end="")
    return 0


def dns_server_list(argv: list[str]) -> int:
    out(",".join(_resolv_conf("nameserver")), end="")
    return 0


def _resolv_conf(keyword: str) -> list[str]:
    with open("/etc/resolv.conf") as lines:  # noqa: PTH123
        return [word for line in lines if line.split()[:1] == [keyword] for word in line.split()[1:]]


def etc_hosts(argv: list[str]) -> int:
    with open("/etc/hosts", "rb") as file:  # noqa: PTH123
        out(file.read())
    return 0


def liveness(argv: list[str]) -> int:
    """Healthy (200) for ten seconds, 500 afterwards, on port 8080."""
    from .http1 import Request, Response, serve
    from .service import run

    began = time.monotonic()

    async def answer(request: Request) -> Response:
        age = time.monotonic() - began
        if request.path == "/started":
            return Response(f"{age:.9f}s")
        return Response(f"error: {age}", 500) if age > 10 else Response("ok")

    return run(lambda _done: serve(answer, 8080))


def logs_generator(argv: list[str]) -> int:
    """Write so many lines, evenly, in so long a time."""
    flags = {"log-lines-total": 0, "run-duration": Duration(0)}
    values, _ = parse(
        argv[1:],
        flags,
        command="app logs-generator",
        shorthands={"t": "log-lines-total", "d": "run-duration"},
    )
    total, duration = int(values["log-lines-total"]), float(values["run-duration"])
    if total <= 0 or duration <= 0:
        err("Invalid total number of lines or duration: both must be positive")
        return 1
    verbs, pause_between = ("GET", "PUT", "POST"), duration / total
    for line in range(total):
        stamp = time.strftime("%m%d %H:%M:%S")
        out(
            f"I{stamp}.000000       1 logs_generator.go:76] {line} {verbs[line % 3]} /api/v1/namespaces/ns/pods/{line:x} 200"
        )
        time.sleep(pause_between)
    return 0


def test_webserver(argv: list[str]) -> int:
    """Serve the files of the container's root on a port (80)."""
    from .http1 import Request, Response, serve
    from .service import run

    values, _ = parse(argv[1:], {"port": 80}, command="app test-webserver")

    async def answer(request: Request) -> Response:
        try:
            with open("/" + request.path.lstrip("/"), "rb") as file:  # noqa: ASYNC230, PTH123
                return Response(file.read(), content_type="application/octet-stream")
        except IsADirectoryError:
            return Response("<pre>\n</pre>\n", content_type="text/html; charset=utf-8")
        except OSError:
            return Response("404 page not found\n", 404)

    return run(lambda _done: serve(answer, int(values["port"])))


def show_help(argv: list[str]) -> int:
    names = "\n".join(f"  {name}" for name in sorted(_SUBCOMMANDS) if not name.startswith("-"))
    out(f"Usage:\n  app [command]\n\nAvailable Commands (of this stand-in):\n{names}")
    return 0


def version(argv: list[str]) -> int:
    out("app version 2.56")
    return 0
