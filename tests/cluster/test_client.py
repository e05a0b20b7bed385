"""How the client answers a server that is busy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from labkit.cluster.client import Client
from labkit.cluster.errors import ClusterError

#: (status, Retry-After) of the answers to come; after them 200.
Answers = list[tuple[int, str]]


@pytest.fixture
def answers() -> Answers:
    return []


@pytest.fixture
def client(answers: Answers, tmp_path: Path) -> Iterator[Client]:
    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, again = answers.pop(0) if answers else (200, "")
            body = json.dumps(
                {"kind": "Status", "message": "storage is (re)initializing", "code": status}
            ).encode()
            self.send_response(status)
            if again:
                self.send_header("Retry-After", again)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield Client(path)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_wants_to_be_asked_again_is_asked_again(
    method: str, client: Client, answers: Answers
) -> None:
    answers += [(429, "0"), (503, "0")]
    assert client.request(method, "/version")["code"] == 200


def test_a_refusal_without_that_wish_is_an_error_at_once(client: Client, answers: Answers) -> None:
    answers += [(503, ""), (200, "")]
    with pytest.raises(ClusterError, match="initializing"):
        client.request("GET", "/version")
    assert len(answers) == 1


def test_it_is_not_asked_for_ever(client: Client, answers: Answers) -> None:
    answers += [(429, "0")] * 100
    with pytest.raises(ClusterError, match="initializing") as caught:
        client.request("GET", "/version")
    assert caught.value.code == 429
    assert len(answers) == 100 - 11
