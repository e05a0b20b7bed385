"""nginx reads its configuration; httpd and redis answer."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.pocket.images import find
from labkit.pocket.images.programs.nginx_conf import ConfError, parse
from tests.pocket.images.conftest import Run, Start


def get(port: int, path: str = "/", host: str = "localhost") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


class TestConfiguration:
    def test_blocks_words_quotes_and_comments(self) -> None:
        root = parse(
            'http { # all\n server { listen 80; location = /x { return 200 "a \\"b\\" ${host}\\n"; } } }',
            "nginx.conf",
        )
        (server,) = root.all("http")[0].all("server")
        assert server.first("listen") == ["80"]
        assert server.all("location")[0].args == ["=", "/x"]
        assert server.all("location")[0].first("return") == ["200", 'a "b" ${host}\n']

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("http { server {", 'unexpected end of file, expecting "}" in c:1'),
            ("events\n}", 'unexpected "}" in c:2'),
            ("listen 80", 'unexpected end of file, expecting ";" in c:1'),
            ("include /no/such/file;", 'open() "/no/such/file" failed (2: No such file or directory) in c'),
        ],
    )
    def test_mistakes_are_told_with_their_line(self, text: str, message: str) -> None:
        with pytest.raises(ConfError) as wrong:
            parse(text, "c")
        assert str(wrong.value) == message

    def test_the_configuration_of_the_image_can_be_read(self) -> None:
        image = find("nginx")
        assert image is not None
        text = str(image.files["/etc/nginx/conf.d/default.conf"])
        assert parse(text, "default.conf").all("server")[0].first("listen") == ["80"]


class TestNginx:
    @pytest.fixture
    def site(self, tmp_path: Path, start: Start, free_port: Callable[[], int]):
        (tmp_path / "html").mkdir()
        (tmp_path / "html" / "index.html").write_text("front page")
        (tmp_path / "html" / "empty").mkdir()
        port, other = free_port(), free_port()
        start("agnhost:main", "/agnhost", "netexec", f"--http-port={other}", "--udp-port=-1", port=other)
        (tmp_path / "nginx.conf").write_text(f"""
            events {{ }}
            http {{
              server {{
                listen {port};
                root {tmp_path}/html;
                location /hello {{ default_type text/plain; return 200 "hi from $host\\n"; }}
                location = /gone {{ return 410; }}
                location ~ \\.php$ {{ return 403; }}
                location /api/ {{ proxy_pass http://127.0.0.1:{other}/; }}
                location /down/ {{ proxy_pass http://127.0.0.1:{free_port()}; }}
              }}
              server {{ listen {port}; server_name other.example; return 200 other; }}
            }}
        """)
        conf = str(tmp_path / "nginx.conf")
        process = start(
            "nginx:entrypoint", "/docker-entrypoint.sh", "nginx", "-g", "daemon off;", "-c", conf, port=port
        )
        return port, process

    def test_it_serves_what_it_is_told_to(self, site) -> None:
        port, process = site
        assert get(port) == (200, "front page")
        assert get(port, "/hello/you", host="web.shop:80") == (200, "hi from web.shop\n")
        assert get(port, "/gone")[0] == 410
        assert get(port, "/x.php")[0] == 403
        assert get(port, "/empty/")[0] == 403
        assert get(port, "/nope")[0] == 404
        assert get(port, "/../../etc/passwd")[0] == 400
        assert get(port, "/api/echo?msg=through") == (200, "through")
        assert get(port, "/down/")[0] == 502
        assert get(port, host="other.example") == (200, "other")
        process.terminate()
        log = process.communicate(timeout=5)[0]
        assert '"GET /hello/you HTTP/1.1" 200 17 "-"' in log

    def test_dash_t_tests_the_configuration(self, run: Run, tmp_path: Path) -> None:
        conf = tmp_path / "nginx.conf"
        conf.write_text("http { server { listen 80 } }")
        done = run("nginx:main", "nginx", "-t", "-c", str(conf))
        assert done.code == 1
        assert (
            done.err
            == f'nginx: [emerg] unexpected "}}" in {conf}:1\nnginx: configuration file {conf} test failed\n'
        )
        conf.write_text("http { }")
        assert run("nginx:main", "nginx", "-t", "-c", str(conf)).code == 0


def test_redis_keeps_counts_and_lists(start: Start, run: Run, free_port: Callable[[], int]) -> None:
    port = free_port()
    start("redis:entrypoint", "docker-entrypoint.sh", "redis-server", "--port", str(port), port=port)

    def cli(*words: str) -> str:
        return run("redis:cli", "redis-cli", "-p", str(port), *words).out

    assert cli("PING") == "PONG\n"
    assert cli("SET", "a", "5") == "OK\n"
    assert cli("INCR", "a") == "6\n"
    assert cli("GET", "a") == "6\n"
    assert cli("RPUSH", "l", "x", "y") == "2\n"
    assert cli("LRANGE", "l", "0", "-1") == "x\ny\n"
    assert cli("LLEN", "l").startswith("(error) ERR unknown command 'LLEN'")
    assert cli("GET", "l").startswith("(error) WRONGTYPE")
