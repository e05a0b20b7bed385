"""nginx: a web server with its default page, which reads its configuration as far as lessons need it."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

_NGINX = Program("nginx:main")

_CONF = """\
worker_processes  auto;
error_log  /var/log/nginx/error.log notice;
pid        /run/nginx.pid;

http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;
    include /etc/nginx/conf.d/*.conf;
}
"""

_DEFAULT = """\
server {
    listen       80;
    listen  [::]:80;
    server_name  localhost;

    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }
}
"""

_PAGE = """\
<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>If you see this page, the web server answers. (It is labkit's stand-in for nginx.)</p>
</body>
</html>
"""


def _image(names: tuple[str, ...], port: int, user: str = "") -> Image:
    return Image(
        names=names,
        entrypoint=("/docker-entrypoint.sh",),
        cmd=("nginx", "-g", "daemon off;"),
        commands={**TOOLBOX, "/docker-entrypoint.sh": Program("nginx:entrypoint"), "/usr/sbin/nginx": _NGINX},
        files={
            "/etc/nginx/nginx.conf": _CONF,
            "/etc/nginx/mime.types": "types { }\n",
            "/etc/nginx/conf.d/default.conf": _DEFAULT.replace("80;", f"{port};"),
            "/usr/share/nginx/html/index.html": _PAGE,
        },
        env={"NGINX_VERSION": "1.30.5"},
        user=user,
        exposed=(f"{port}/tcp",),
        note="nginx: serves files, `return` and `proxy_pass` from its configuration; other directives are ignored",
    )


IMAGES = (
    _image(("nginx",), 80),
    _image(("nginxinc/nginx-unprivileged", "nginx-unprivileged"), 8080, user="101"),
)
