"""wordpress: a front end that cannot live without its database."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

IMAGES = (
    Image(
        names=("wordpress",),
        entrypoint=("docker-entrypoint.sh",),
        cmd=("apache2-foreground",),
        commands={
            **TOOLBOX,
            "/usr/local/bin/docker-entrypoint.sh": Program("wordpress:entrypoint"),
            "/usr/local/bin/apache2-foreground": Program("wordpress:main"),
        },
        files={"/var/www/html/.keep": ""},
        working_dir="/var/www/html",
        exposed=("80/tcp",),
        note="wordpress: the install page on 80, after a real login to the database for each request; "
        "it gives up on a silent database after 5 s where the real one waits a minute",
    ),
)
