from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labkit.pocket.node import logs
from labkit.pocket.node.logs import LogFile
from labkit.pocket.runtime import LogOptions


async def text(path: Path, writer: LogFile | None = None, **options: object) -> str:
    return b"".join([chunk async for chunk in logs.read(path, writer, LogOptions(**options))]).decode()  # type: ignore[arg-type]


def written(folder: Path, *chunks: bytes) -> LogFile:
    log = LogFile(folder, 0)
    for chunk in chunks:
        log.write("stdout", chunk)
    return log


async def test_lines_are_kept_with_time_and_stream(tmp_path: Path) -> None:
    log = written(tmp_path, b"one\ntw", b"o\n")
    log.write("stderr", b"oops\n")

    lines = [line.split(" ", 3) for line in log.path.read_text().splitlines()]

    assert [line[1:] for line in lines] == [
        ["stdout", "F", "one"],
        ["stdout", "F", "two"],
        ["stderr", "F", "oops"],
    ]
    assert all(line[0].endswith("Z") and len(line[0]) == 30 for line in lines)
    assert await text(log.path) == "one\ntwo\noops\n"


async def test_a_last_line_without_an_end_is_not_lost(tmp_path: Path) -> None:
    log = written(tmp_path, b"done\nno newline")
    log.close()
    assert await text(log.path) == "done\nno newline"


async def test_long_lines_are_cut_in_the_file_and_whole_for_the_reader(tmp_path: Path) -> None:
    log = written(tmp_path, b"x" * 40_000 + b"\nshort\n")
    assert await text(log.path) == "x" * 40_000 + "\nshort\n"
    assert await text(log.path, tail_lines=2) == "x" * 40_000 + "\nshort\n"
    assert await text(log.path, tail_lines=1) == "short\n"
    assert (await text(log.path, timestamps=True)).count("Z ") == 2


async def test_tail_since_limit_and_timestamps(tmp_path: Path) -> None:
    log = written(tmp_path, b"one\ntwo\nthree\n")
    assert await text(log.path, tail_lines=0) == ""
    assert await text(log.path, tail_lines=2) == "two\nthree\n"
    assert await text(log.path, tail_lines=9) == "one\ntwo\nthree\n"
    assert await text(log.path, limit_bytes=5) == "one\nt"
    assert await text(log.path, since=datetime.now(UTC) + timedelta(hours=1)) == ""
    assert await text(log.path, since=datetime.now(UTC) - timedelta(hours=1), tail_lines=1) == "three\n"


async def test_followers_see_every_line_and_the_end(tmp_path: Path) -> None:
    log = written(tmp_path, b"before\n")
    followers = [asyncio.create_task(text(log.path, log, follow=True)) for _ in range(2)]
    for number in range(3):
        await asyncio.sleep(0.01)
        log.write("stdout", f"line {number}\n".encode())
    await asyncio.sleep(0.01)
    log.close()
    async with asyncio.timeout(2):
        assert await asyncio.gather(*followers) == ["before\nline 0\nline 1\nline 2\n"] * 2


def test_only_the_previous_log_is_kept(tmp_path: Path) -> None:
    for number in range(4):
        LogFile(tmp_path, number).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.log", "3.log"]


async def test_a_line_without_an_end_is_known_although_readers_do_not_see_it_yet(tmp_path: Path) -> None:
    log = written(tmp_path, b"whole\n/ # ")
    assert (await logs.read_now(log.path, LogOptions()), log.unfinished()) == (b"whole\n", b"/ # ")
    log.close()
    assert (await logs.read_now(log.path, LogOptions()), log.unfinished()) == (b"whole\n/ # ", b"")
