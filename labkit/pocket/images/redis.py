"""redis: a key-value store in memory."""

from __future__ import annotations

from .registry import Image, Program
from .toolbox import TOOLBOX

IMAGES = (
    Image(
        names=("redis",),
        entrypoint=("docker-entrypoint.sh",),
        cmd=("redis-server",),
        commands={
            **TOOLBOX,
            "/usr/local/bin/docker-entrypoint.sh": Program("redis:entrypoint"),
            "/usr/local/bin/redis-server": Program("redis:main"),
            "/usr/local/bin/redis-cli": Program("redis:cli"),
        },
        working_dir="/data",
        exposed=("6379/tcp",),
        note="redis: strings, counters and lists in memory on 6379",
    ),
)
