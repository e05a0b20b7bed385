"""The seam over the official `kubernetes` client: raw JSON in and out, the same for its releases 33 to 37.

From the package come what is hard and stays the same: reading a kubeconfig with every way to log in, TLS, proxies, the
WebSocket. Its model classes and `call_api`, which change from release to release, are not used. Imported at first use.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from .errors import ClusterUnreachable, NoSuchContext, from_response

Query = Mapping[str, str | int | bool | list[str] | None]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
_RETRIES = 10  # client-go's number
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Context:
    """A context of a kubeconfig: what it is called and where it leads."""

    name: str
    cluster: str
    namespace: str
    server: str


def read_context(kubeconfig: str | Path | None = None, context: str | None = None) -> Context:
    """The named context of a kubeconfig (default: $KUBECONFIG or ~/.kube/config, and its current context).

    Raises NoSuchContext.
    """
    from kubernetes import config

    path = _kubeconfig(kubeconfig)
    try:
        contexts, current = config.list_kube_config_contexts(path)
    except (
        Exception
    ) as problem:  # ConfigException, YAML errors, OSError: all mean that there is nothing to read
        raise NoSuchContext(f"cannot read the kubeconfig {path or '~/.kube/config'}: {problem}") from None
    wanted = context or (current or {}).get("name", "")
    found = next((item for item in contexts if item["name"] == wanted), None)
    if found is None:
        names = ", ".join(item["name"] for item in contexts) or "none"
        raise NoSuchContext(f'the kubeconfig has no context "{wanted}"; it has: {names}')
    detail = found.get("context") or {}
    cluster = detail.get("cluster", "")
    return Context(wanted, cluster, detail.get("namespace") or "default", _server(path, cluster))


def _server(path: str | None, cluster: str) -> str:
    """The address of a cluster in the kubeconfig, without logging in anywhere: a context's login may be a program."""
    from kubernetes.config import kube_config

    try:
        merged = kube_config.KubeConfigMerger(path or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
        return str(merged["clusters"].get_with_name(cluster)["cluster"]["server"])
    except Exception as problem:  # ConfigException and whatever a broken file brings
        raise NoSuchContext(f'the kubeconfig has no server for the cluster "{cluster}": {problem}') from None


def _kubeconfig(kubeconfig: str | Path | None) -> str | None:
    return None if kubeconfig is None else str(Path(kubeconfig).expanduser())


def _configuration(path: str | None, context: str | None) -> Any:
    from kubernetes import client, config

    configuration = type.__call__(
        client.Configuration
    )  # not the process-wide default that others may have set
    configuration.connection_pool_maxsize = 32
    try:
        config.load_kube_config(path, context, client_configuration=configuration, persist_config=False)
    except Exception as problem:
        raise NoSuchContext(f"cannot use the kubeconfig {path or '~/.kube/config'}: {problem}") from None
    return configuration


def _asked_to_come_back(response: Any) -> float | None:
    """Seconds after which a server that is busy, or not ready for this kind yet, wants to be asked again; as client-go does it.

    A definition that was changed a moment ago answers so ("storage is (re)initializing"). Nothing has been done then.
    """
    said = str(response.headers.get("Retry-After", ""))
    if (response.status == 429 or response.status >= 500) and said.isdigit():
        return min(float(said), _LONGEST_PAUSE)
    return None


class Client:
    """Requests to one API server. Thread-safe."""

    def __init__(self, kubeconfig: str | Path | None = None, context: str | None = None) -> None:
        from kubernetes.client.rest import RESTClientObject

        self.context = read_context(kubeconfig, context)
        self.kubeconfig = _kubeconfig(kubeconfig)  # None: where kubectl looks
        self._configuration = _configuration(self.kubeconfig, self.context.name)
        self._configuration.retries = False
        self._pool = RESTClientObject(self._configuration).pool_manager

    @property
    def server(self) -> str:
        return self.context.server

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = READ_SECONDS,
    ) -> Any:
        """Send a request and return the parsed answer. Raises the ClusterError for any status of 400 and above."""
        return json.loads(
            self.raw(method, path, query=query, body=body, content_type=content_type, timeout=timeout)
        )

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = READ_SECONDS,
    ) -> bytes:
        """Like `request`, for answers that are not JSON."""
        for tries_left in range(_RETRIES, -1, -1):
            response = self._send(method, path, query, body, content_type, timeout)
            try:
                data: bytes = response.read()
            except self._network_errors() as problem:
                raise self._unreachable(problem) from None
            finally:
                response.release_conn()
            pause = _asked_to_come_back(response)
            if pause is None or not tries_left:
                break
            time.sleep(pause)
        if response.status >= 400:
            raise from_response(response.status, data)
        return data

    def lines(
        self, path: str, *, query: Query | None = None, timeout: float = READ_SECONDS
    ) -> Iterator[bytes]:
        """The lines of a streamed answer as they come (a watch, a log); ends quietly when `timeout` seconds are silent."""
        response = self._send("GET", path, query, None, JSON, timeout)
        if response.status >= 400:
            data = response.read()
            response.release_conn()
            raise from_response(response.status, data)
        rest = b""
        try:
            for chunk in response.stream(65536, decode_content=True):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
            if rest:
                yield rest
        except self._network_errors():
            return  # the connection was cut or went silent: the reader lists again
        finally:
            response.close()

    def websocket(self, path: str, query: Query | None = None) -> Any:
        """An open WebSocket that speaks Kubernetes' channel protocol (a `websocket.WebSocket`).

        Raises the ClusterError of the server's answer when it refuses.
        """
        from kubernetes.stream import ws_client
        from websocket import WebSocketBadStatusException, WebSocketException

        headers = {**self._auth(), "sec-websocket-protocol": "v5.channel.k8s.io, v4.channel.k8s.io"}
        url = ws_client.get_websocket_url(self._url(path, query), None)
        try:
            return ws_client.create_websocket(self._configuration, url, headers)
        except WebSocketBadStatusException as refused:
            raise from_response(refused.status_code, refused.resp_body or str(refused)) from None
        except (WebSocketException, OSError) as problem:
            raise self._unreachable(problem) from None

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def _send(self, method: str, path: str, query: Query | None, body: Any, kind: str, timeout: float) -> Any:
        from urllib3 import Timeout

        headers = {**self._auth(), "Accept": JSON, "User-Agent": "labkit"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body), kind
        limit = Timeout(connect=min(CONNECT_SECONDS, timeout), read=timeout)
        try:
            return self._pool.request(
                method, self._url(path, query), body=data, headers=headers, timeout=limit, preload_content=False,
                retries=False,
            )  # fmt: skip
        except self._network_errors() as problem:
            raise self._unreachable(problem) from None

    def _auth(self) -> dict[str, str]:
        """Headers that log in; asked for each time, because tokens are renewed."""
        settings = self._configuration.auth_settings()
        return {
            one["key"]: one["value"]
            for one in settings.values()
            if one.get("in") == "header" and one.get("value")
        }

    def _url(self, path: str, query: Query | None) -> str:
        words = [
            (name, str(one).lower() if isinstance(one, bool) else str(one))
            for name, value in (query or {}).items()
            for one in (value if isinstance(value, list) else [value])
            if one is not None and one != ""
        ]
        host = str(self._configuration.host).rstrip("/")
        return f"{host}{path}?{urlencode(words)}" if words else host + path

    @staticmethod
    def _network_errors() -> tuple[type[BaseException], ...]:
        from urllib3.exceptions import HTTPError

        return (HTTPError, OSError)

    def _unreachable(self, problem: BaseException) -> ClusterUnreachable:
        words = str(getattr(problem, "reason", None) or problem)
        if "Connection refused" in words:
            why = "connection refused: nothing listens there, so the cluster is probably not running"
        elif "CERTIFICATE_VERIFY_FAILED" in words:
            why = "its certificate is not the one in the kubeconfig: the cluster was probably created anew"
        elif "timed out" in words:
            why = "no answer in time"
        else:
            why = words
        return ClusterUnreachable(
            f'cannot reach the cluster of context "{self.context.name}" at {self.server}: {why}'
        )
