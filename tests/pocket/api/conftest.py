"""An API server of one's own: in this process for the Api, on loopback for kubectl and the Python client."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from labkit.pocket.api import Api, Store
from labkit.pocket.api.server import Server, serve
from labkit.pocket.pki import Pki, write_kubeconfig

KUBECTL = shutil.which(
    "kubectl", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
)

NAMESPACES = ("default", "kube-system", "shop")


def new_api(path: Path | str = ":memory:") -> Api:
    """An Api with a few namespaces."""
    api = Api(Store(path))
    for name in NAMESPACES:
        if api.find("namespaces", name) is None:
            api.create("namespaces", {"metadata": {"name": name}})
    return api


@pytest.fixture
def api() -> Iterator[Api]:
    """An empty cluster's Api, in memory."""
    api = new_api()
    yield api
    api.store.close()


@dataclass(frozen=True)
class Answer:
    """What came back from a plain HTTPS request."""

    code: int
    body: Any
    headers: dict[str, str]
    pairs: tuple[tuple[str, str], ...] = ()

    def all_headers(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key.lower() == name.lower()]


@dataclass
class Served:
    """A server in a thread of its own."""

    api: Api
    pki: Pki
    url: str
    kubeconfig: Path
    server: Server
    loop: asyncio.AbstractEventLoop
    cache: Path
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run something on the server's loop, where the Api may be touched."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def kubectl(
        self, *arguments: str, stdin: str | None = None, fails: bool = False, **environment: str
    ) -> str:
        """What kubectl prints. Unless it shall fail, it must not; if it shall, what it says on stderr."""
        assert KUBECTL
        done = subprocess.run(
            [KUBECTL, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, **environment},
        )
        assert (done.returncode != 0) == fails, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def tls(self, *, certificate: bool = True) -> ssl.SSLContext:
        """A client's TLS, with the learner's certificate or without."""
        context = ssl.create_default_context(cadata=self.pki.ca.decode())
        if certificate:
            context.load_cert_chain(self.pki.directory / "client.crt", self.pki.directory / "client.key")
        return context

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        token: str = "",
        certificate: bool = True,
    ) -> Answer:
        """One request; JSON is parsed, other bodies come as text."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Accept", accept)
        request.add_header("Content-Type", content_type)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(
                request, context=self.tls(certificate=certificate), timeout=10
            ) as answer:
                code, text, pairs = answer.status, answer.read().decode(), answer.headers.items()
        except urllib.error.HTTPError as error:
            with error:
                code, text, pairs = error.code, error.read().decode(), error.headers.items()
        try:
            return Answer(code, json.loads(text), dict(pairs), tuple(pairs))
        except ValueError:
            return Answer(code, text, dict(pairs), tuple(pairs))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on a free port of loopback, without a node."""
    directory = tmp_path_factory.mktemp("api")
    pki = Pki.load_or_create(directory / "pki")
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    kubeconfig = directory / "kubeconfig"
    write_kubeconfig(kubeconfig, "test", url, pki)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[Api, Server]:
        api = new_api(directory / "state.db")
        return api, await serve(api, None, pki, [listening])

    api, server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    yield Served(api, pki, url, kubeconfig, server, loop, directory / "cache")
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(20)
    loop.call_soon_threadsafe(api.store.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def pod(name: str, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    """A small Pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **({"labels": labels} if labels else {})},
        "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
    }


def deployment(name: str, namespace: str = "shop", replicas: int = 1) -> dict[str, Any]:
    """A small Deployment."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
            },
        },
    }
