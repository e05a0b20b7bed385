"""Digests asked of a registry, and the table renewed: against Debian's docker-registry, and against answers of our own making."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit.cluster.images import ImageError, read, registry
from labkit.cluster.images.archives import opened
from labkit.cluster.images.building import Built
from labkit.cluster.images.layers import sha256
from labkit.cluster.images.renewing import renew

INDEX = b'{"schemaVersion": 2, "manifests": []}'


@pytest.fixture
def real_registry(tmp_path: Path) -> Iterator[str]:
    """A real registry on loopback, empty; gives its address. Skips where none is installed (Debian: docker-registry)."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("no registry here (apt-get install docker-registry)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'store'}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    process = subprocess.Popen(
        [program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, "the registry ended"
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def push(address: str, repository: str, tag: str, built: Built, reference: str) -> str:
    """Put an image of an archive into a registry with its HTTP API; gives its digest."""
    with opened(built.file) as archive:
        image = archive.chosen(reference, built.platform)
        manifest = archive.blob(image.digest)
        config = json.loads(manifest)["config"]["digest"]
        for digest in (config, *(name.removeprefix("blobs/").replace("/", ":") for name in image.layers)):
            with urllib.request.urlopen(
                _request(f"http://{address}/v2/{repository}/blobs/uploads/", "POST")
            ) as answer:
                place = answer.headers["Location"]
            joint = "&" if "?" in place else "?"
            with urllib.request.urlopen(
                _request(f"{place}{joint}digest={digest}", "PUT", archive.blob(digest))
            ):
                pass
        where = f"http://{address}/v2/{repository}/manifests/{tag}"
        with urllib.request.urlopen(_request(where, "PUT", manifest, image.media_type)):
            pass
        return image.digest


def _request(
    address: str, method: str, body: bytes = b"", kind: str = "application/octet-stream"
) -> urllib.request.Request:
    return urllib.request.Request(address, body, {"Content-Type": kind}, method=method)


def test_a_real_registry_gives_the_digest_of_what_was_pushed(real_registry: str, built: Built) -> None:
    pushed = push(real_registry, "library/nginx", "1.30.5", built, "nginx:1.30.5")
    assert pushed == built.digests["docker.io/library/nginx:1.30.5"]
    assert registry.digest(f"{real_registry}/library/nginx:1.30.5") == pushed
    with pytest.raises(
        ImageError, match=r"library/nginx:nope: 127\.0\.0\.1:\d+ answered 404: manifest unknown"
    ):
        registry.digest(f"{real_registry}/library/nginx:nope")


def test_the_table_is_renewed_from_a_real_registry(
    real_registry: str, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = push(real_registry, "library/nginx", "1.30.5", built, "nginx:1.30.5")
    (tmp_path / "components.toml").write_text("")
    file = tmp_path / "images.toml"
    file.write_text(f'# kept\n[[image]]\nreference = "{real_registry}/library/nginx:1.30.5"\nused = ["x"]\n')
    monkeypatch.setenv("LABKIT_CLUSTERS", str(tmp_path))
    checked = CliRunner().invoke(main, ["images", "pin", "--check"])
    assert checked.exit_code == 1
    assert "would be" in checked.output
    assert "digest" not in file.read_text()
    done = CliRunner().invoke(main, ["images", "pin"])
    assert (done.exit_code, "1 changed" in done.output) == (0, True), done.output
    assert file.read_text().startswith("# kept\n")
    assert read(file).entries[0].digest == pushed
    assert read(file).entries[0].source == "the registry"
    again = CliRunner().invoke(main, ["images", "pin", "--check"])
    assert (again.exit_code, "1 as they were" in again.output) == (0, True)


# Answers that no real registry here would give: a login, a lie, a limit.


@pytest.fixture
def answering() -> Iterator[Callable[..., str]]:
    """A server of ours that answers as told: serve(function of the request) → its address."""
    with contextlib.ExitStack() as stack:

        def serve(
            answer: Callable[[http.server.BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]],
        ) -> str:
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    code, headers, body = answer(self)
                    self.send_response(code)
                    for name, value in {**headers, "Content-Length": str(len(body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: object) -> None:
                    pass

            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            return f"127.0.0.1:{server.server_address[1]}"

        yield serve


def test_a_registry_that_wants_a_token_gets_the_one_that_it_gives(answering: Callable[..., str]) -> None:
    asked: list[str] = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        asked.append(request.path)
        if request.path.startswith("/token"):
            return 200, {}, b'{"token": "abc"}'
        if request.headers.get("Authorization") == "Bearer abc":
            assert "image.index" in request.headers["Accept"]
            return 200, {"Docker-Content-Digest": sha256(INDEX)}, INDEX
        host = request.headers["Host"]
        return (
            401,
            {
                "WWW-Authenticate": f'Bearer realm="http://{host}/token",service="reg",scope="repository:a/b:pull"'
            },
            b"",
        )

    address = answering(answer)
    assert registry.digest(f"{address}/a/b:1") == sha256(INDEX)
    assert asked == [
        "/v2/a/b/manifests/1",
        "/token?service=reg&scope=repository%3Aa%2Fb%3Apull",
        "/v2/a/b/manifests/1",
    ]


def test_a_digest_that_is_not_that_of_the_answer_is_not_believed(answering: Callable[..., str]) -> None:
    address = answering(lambda _: (200, {"Docker-Content-Digest": f"sha256:{'0' * 64}"}, INDEX))
    with pytest.raises(ImageError, match="but what it sent has sha256:"):
        registry.digest(f"{address}/a:1")


def test_a_registry_that_has_had_enough_is_quoted(answering: Callable[..., str]) -> None:
    body = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}'
    address = answering(lambda _: (429, {}, body))
    with pytest.raises(ImageError, match="answered 429: You have reached your pull rate limit"):
        registry.digest(f"{address}/a:1")


def test_a_login_without_a_way_in_and_a_silent_host_are_said(answering: Callable[..., str]) -> None:
    address = answering(lambda _: (401, {"WWW-Authenticate": 'Basic realm="x"'}, b""))
    with pytest.raises(ImageError, match="answered 401"):
        registry.digest(f"{address}/a:1")
    with pytest.raises(ImageError, match=r"cannot be asked: .*refused"):
        registry.digest("127.0.0.1:1/a:1")


TABLE = """\
# A comment.

[[image]]
reference = "one:1" # why one
digest = "sha256:{a}"
source = "somewhere"
used = ["x"]

[[image]]
reference = "two:2"
used = ["x"]
""".format(a="a" * 64)


def test_only_what_changed_is_written_and_the_rest_of_the_text_stays(tmp_path: Path) -> None:
    file = tmp_path / "images.toml"
    file.write_text(TABLE)
    digests = {"one:1": f"sha256:{'a' * 64}", "two:2": f"sha256:{'b' * 64}"}
    result = renew(read(file), ask=digests.__getitem__)
    assert (result.same, result.new, result.other) == (["one:1"], {"two:2": digests["two:2"]}, {})
    lines = file.read_text().splitlines()
    assert lines[:7] == TABLE.splitlines()[:7]
    assert f'digest = "{digests["two:2"]}"' in lines
    assert os.listdir(tmp_path) == ["images.toml"]  # noqa: PTH208 - nothing beside it


def test_a_digest_that_moved_is_told_apart_and_silence_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "images.toml"
    file.write_text(TABLE)

    def ask(reference: str) -> str:
        if reference == "two:2":
            raise ImageError("no line")
        return f"sha256:{'c' * 64}"

    result = renew(read(file), ask=ask)
    assert result.other == {"one:1": f"sha256:{'c' * 64}"}
    assert result.silent == {"two:2": "no line"}
    assert [entry.digest[7:8] for entry in read(file).entries] == ["c", ""]
    with pytest.raises(ImageError, match=r"has no docker.io/library/three:3; it has: one:1, two:2"):
        renew(read(file), names=["three:3"], ask=ask)
