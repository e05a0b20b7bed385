"""WordPress answers for its database: each page is a real login over MySQL's own protocol."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from labkit.pocket.images.programs import apache, mysqlwire, wordpress
from labkit.pocket.images.programs.http1 import serve
from tests.pocket.images.conftest import Run, Start

ENV = {
    "MYSQL_ROOT_PASSWORD": "root-pw",
    "MYSQL_DATABASE": "wordpress",
    "MYSQL_USER": "wordpress",
    "MYSQL_PASSWORD": "wp-pw",
}


@pytest.fixture
def mysql(start: Start, free_port: Callable[[], int]) -> int:
    port = free_port()
    start("mysqld:entrypoint", "docker-entrypoint.sh", "mysqld", f"--port={port}", env=ENV, port=port)
    return port


class TestMysql:
    def test_without_a_password_option_it_refuses_to_begin(self, run: Run) -> None:
        done = run("mysqld:entrypoint", "docker-entrypoint.sh", "mysqld")
        assert done.code == 1
        assert (
            "[ERROR] [Entrypoint]: Database is uninitialized and password option is not specified" in done.err
        )
        assert "    - MYSQL_ROOT_PASSWORD" in done.err

    def test_mariadb_asks_for_its_own_variables(self, run: Run) -> None:
        done = run("mysqld:entrypoint", "docker-entrypoint.sh", "mariadbd")
        assert done.code == 1
        assert "    - MARIADB_ROOT_PASSWORD" in done.err

    @pytest.mark.parametrize("plugin", [mysqlwire.CACHING, mysqlwire.NATIVE])
    async def test_both_ways_to_log_in_work(
        self, mysql: int, plugin: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = mysqlwire.parse_greeting
        monkeypatch.setattr(mysqlwire, "parse_greeting", lambda packet: (*real(packet)[:2], plugin))
        client = await mysqlwire.connect("127.0.0.1", mysql, "root", "root-pw", "wordpress")
        assert client.version == "8.4.11"
        assert await client.query("SELECT 1") == (["1"], [["1"]])
        client.close()

    @pytest.mark.parametrize(
        ("user", "password", "database", "code"),
        [
            ("root", "wrong", "", 1045),
            ("nobody", "root-pw", "", 1045),
            ("root", "", "", 1045),
            ("root", "root-pw", "x", 1049),
        ],
    )
    async def test_who_may_not_in_is_told_the_real_error(
        self, mysql: int, user: str, password: str, database: str, code: int
    ) -> None:
        with pytest.raises(mysqlwire.MysqlError) as refused:
            await mysqlwire.connect("127.0.0.1", mysql, user, password, database)
        assert refused.value.code == code

    async def test_nonsense_from_a_client_ends_only_that_connection(self, mysql: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", mysql)
        writer.write(b"GET / HTTP/1.1\r\n\r\n" * 20)
        await asyncio.wait_for(reader.read(), 15)
        writer.close()
        (await mysqlwire.connect("127.0.0.1", mysql, "wordpress", "wp-pw")).close()

    def test_mysqladmin_ping_is_alive_even_when_access_is_denied(self, mysql: int, run: Run) -> None:
        done = run(
            "mysql_client:mysqladmin", "mysqladmin", "ping", "-h", "127.0.0.1", "-P", str(mysql), "-pwrong"
        )
        assert (done.code, done.out) == (0, "mysqld is alive\n")

    def test_mysqladmin_says_why_it_cannot_connect(self, run: Run, free_port: Callable[[], int]) -> None:
        port = free_port()
        done = run("mysql_client:mysqladmin", "mysqladmin", "ping", "-h", "127.0.0.1", "-P", str(port))
        assert done.code == 1
        assert f"error: 'Can't connect to MySQL server on '127.0.0.1:{port}' (111)'" in done.err

    def test_the_client_shows_databases_and_real_errors(self, mysql: int, run: Run) -> None:
        done = run(
            "mysql_client:mysql", "mysql", "-h127.0.0.1", f"-P{mysql}", "-proot-pw", "-e", "SHOW DATABASES"
        )
        assert "wordpress" in done.out.splitlines()
        denied = run("mysql_client:mysql", "mysql", "-h127.0.0.1", f"-P{mysql}", "-pno", "-e", "SELECT 1")
        assert (
            denied.err
            == "ERROR 1045 (28000): Access denied for user 'root'@'127.0.0.1' (using password: YES)\n"
        )


class TestWordpress:
    @pytest.fixture
    def page(self, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch):
        """Ask the page of a WordPress whose database is at a given port."""

        async def ask(database_port: int, path: str = "/", password: str = "wp-pw") -> tuple[int, str, str]:
            monkeypatch.setenv("WORDPRESS_DB_HOST", f"127.0.0.1:{database_port}")
            monkeypatch.setenv("WORDPRESS_DB_USER", "wordpress")
            monkeypatch.setenv("WORDPRESS_DB_PASSWORD", password)
            monkeypatch.setattr(wordpress, "PATIENCE", 0.5)
            port = free_port()
            server = await serve(wordpress._answer, port, server=wordpress.SERVER)
            try:
                return await asyncio.to_thread(_get, port, path)
            finally:
                server.close()

        return ask

    async def test_with_its_database_it_leads_to_the_installation(self, mysql: int, page) -> None:
        status, location, _ = await page(mysql)
        assert status == 302
        assert location.endswith("/wp-admin/install.php")
        status, _, body = await page(mysql, "/wp-admin/install.php")
        assert status == 200
        assert "WordPress" in body

    async def test_without_its_database_it_says_so(self, free_port: Callable[[], int], page) -> None:
        status, _, body = await page(free_port())
        assert status == 500
        assert "Error establishing a database connection" in body

    async def test_a_database_behind_a_wall_is_the_same_to_a_visitor(self, silent_port: int, page) -> None:
        assert (await page(silent_port))[::2][0] == 500

    async def test_the_wrong_password_is_no_connection(self, mysql: int, page) -> None:
        assert (await page(mysql, password="guess"))[0] == 500


def _get(port: int, path: str) -> tuple[int, str, str]:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: object) -> None:
            return None

    try:
        with urllib.request.build_opener(Stay).open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as other:
        return other.code, other.headers.get("Location", ""), other.read().decode()


def test_apache_has_its_own_error_page() -> None:
    assert "<title>404 Not Found</title>" in str(apache.error(404, "Not Found", "x").body)
