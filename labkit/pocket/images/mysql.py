"""mysql and mariadb: a server that speaks the real handshake on 3306, with users, passwords and databases but no SQL engine."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX


def _image(names: tuple[str, ...], server: str, client: str) -> Image:
    return Image(
        names=names,
        entrypoint=("docker-entrypoint.sh",),
        cmd=(server,),
        commands={
            **TOOLBOX,
            "/usr/local/bin/docker-entrypoint.sh": Program("mysqld:entrypoint"),
            f"/usr/sbin/{server}": Program("mysqld:main"),
            f"/usr/bin/{client}": Program("mysql_client:mysql"),
            f"/usr/bin/{'mysqladmin' if client == 'mysql' else 'mariadb-admin'}": Program(
                "mysql_client:mysqladmin"
            ),
            **(
                {"/usr/local/bin/healthcheck.sh": Program("mysql_client:healthcheck")}
                if client == "mariadb"
                else {}
            ),
        },
        files={"/var/lib/mysql/.keep": ""},
        exposed=("3306/tcp",),
        note="mysql: the real handshake and login on 3306; it keeps no tables and answers only the simplest queries",
    )


IMAGES = (
    _image(("mysql", "mysql/mysql-server"), "mysqld", "mysql"),
    _image(("mariadb",), "mariadbd", "mariadb"),
)
