"""httpd: the Apache web server with its one sentence."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

IMAGES = (
    Image(
        names=("httpd",),
        cmd=("httpd-foreground",),
        commands={
            **TOOLBOX,
            "/usr/local/bin/httpd-foreground": Program("apache:main"),
            "/usr/local/apache2/bin/httpd": Program("apache:main"),
        },
        files={"/usr/local/apache2/htdocs/index.html": "<html><body><h1>It works!</h1></body></html>\n"},
        env={"HTTPD_PREFIX": "/usr/local/apache2"},
        working_dir="/usr/local/apache2",
        exposed=("80/tcp",),
        note="httpd: serves the files below /usr/local/apache2/htdocs on port 80",
    ),
)
