"""WordPress before its installation: every page logs in to the database first, and says so when it cannot."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from . import apache
from .console import err, reason
from .entrypoint import become
from .http1 import Request, Response
from .mysqlwire import MysqlError, connect

SERVER = "Apache/2.4.65 (Debian)"
PATIENCE = 5.0  # seconds for the whole of name, connection and login
_PHP = {
    "X-Powered-By": "PHP/8.3.32",
    "Expires": "Wed, 11 Jan 1984 05:00:00 GMT",
    "Cache-Control": "no-cache, must-revalidate, max-age=0",
}


def entrypoint(argv: list[str]) -> int:
    words = argv[1:] or ["apache2-foreground"]
    if not words[0].startswith("apache2"):
        return become(words)
    err("WordPress not found in /var/www/html - copying now...\n"
        "Complete! WordPress has been successfully copied to /var/www/html")  # fmt: skip
    return main(words)


def main(argv: list[str]) -> int:
    return apache.start(_answer, 80, SERVER)


def _setting(name: str, default: str) -> str:
    """WORDPRESS_<name>, or what its _FILE twin points at, or the image's default."""
    if path := os.environ.get(f"WORDPRESS_{name}_FILE"):
        return Path(path).read_text().rstrip("\n")
    return os.environ.get(f"WORDPRESS_{name}", default)


async def _database() -> MysqlError | OSError | None:
    """None after a login to the configured database, else what went wrong."""
    host, _, port = _setting("DB_HOST", "mysql").partition(":")
    try:
        async with asyncio.timeout(PATIENCE):
            client = await connect(
                host, int(port or 3306),
                _setting("DB_USER", "example username"), _setting("DB_PASSWORD", "example password"),
            )  # fmt: skip
            try:
                name = _setting("DB_NAME", "wordpress")
                await client.command(2, name)
            finally:
                client.close()
    except TimeoutError:
        return TimeoutError(110, "Connection timed out")
    except (OSError, MysqlError) as problem:
        return problem
    return None


async def _answer(request: Request) -> Response:
    path = request.path
    if path.startswith("/wp-includes/") or path in ("/license.txt", "/readme.html"):
        return apache.error(404, "Not Found", "The requested URL was not found on this server.")
    problem = await _database()
    if problem is not None:
        words = problem.message if isinstance(problem, MysqlError) else reason(problem)
        code = problem.code if isinstance(problem, MysqlError) else 2002
        err(f"[{time.strftime('%a %b %d %H:%M:%S %Y')}] [php:warn] [pid 1] [client {request.peer[0]}:{request.peer[1]}] "
            f"PHP Warning:  mysqli_real_connect(): (HY000/{code}): {words} in /var/www/html/wp-includes/wp-db.php")  # fmt: skip
        if isinstance(problem, MysqlError) and problem.code == 1049:
            return _page("Database Error", "<h1>Can&#8217;t select database</h1>", 500)
        return _page("Database Error", "<h1>Error establishing a database connection</h1>", 500)
    if path == "/wp-admin/install.php":
        text = "<h1>Welcome</h1>\n<p>Welcome to the famous five-minute WordPress installation process! "
        text += "(labkit&#8217;s stand-in)</p>"
        return _page("WordPress &rsaquo; Installation", text, 200)
    host = request.headers.get("host", "localhost")
    return Response(
        b"",
        302,
        "text/html; charset=UTF-8",
        _PHP | {"Location": f"http://{host}/wp-admin/install.php", "X-Redirect-By": "WordPress"},
    )


def _page(title: str, text: str, status: int) -> Response:
    body = f'<!DOCTYPE html>\n<html lang="en-US">\n<head>\n<title>{title}</title>\n</head>\n<body>\n{text}\n</body>\n</html>\n'
    return Response(body, status, "text/html; charset=utf-8", _PHP)
