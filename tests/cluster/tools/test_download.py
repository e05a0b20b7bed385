"""Downloads from a local web server on its bad days."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.cluster.tools import CannotDownload, CannotKeep, RemoteFile, ToolError, WrongChecksum, fetch
from labkit.cluster.tools import download as downloading
from labkit.cluster.tools.cache import Cache
from labkit.cluster.tools.download import download
from tests.cluster.tools.upstream import Served, Upstream

PROGRAM = os.urandom(3_000_000)


def remote(upstream: Upstream, path: str = "/kind-linux-amd64", **kept: str) -> RemoteFile:
    return RemoteFile("kind", "0.31.0", path.rpartition("/")[2], upstream.address + path, **kept)


def pinned(upstream: Upstream, served: Served) -> RemoteFile:
    return remote(upstream, sha256=served.sha256)


def leftovers(cache: Cache) -> list[str]:
    parts = cache.root / "parts"
    return sorted(path.name for path in parts.iterdir()) if parts.exists() else []


def test_a_good_file_is_kept_and_not_downloaded_twice(upstream: Upstream, cache: Cache) -> None:
    one = pinned(upstream, upstream.add("/kind-linux-amd64", PROGRAM))
    lines: list[str] = []
    path = fetch(one, cache, progress=lines.append)
    assert path.read_bytes() == PROGRAM
    assert fetch(one, cache) == path
    assert upstream.paths() == ["/kind-linux-amd64"]
    assert leftovers(cache) == []
    assert lines[0].startswith("kind 0.31.0: downloading http://")
    assert lines[-1] == "kind 0.31.0: 3.0 MB, checksum pinned"


def test_a_wrong_checksum_is_thrown_away_and_told(upstream: Upstream, cache: Cache) -> None:
    upstream.add("/kind-linux-amd64", PROGRAM)
    with pytest.raises(WrongChecksum, match=r"is not what it should be.*expected .pinned. is 0000") as told:
        fetch(remote(upstream, sha256="0" * 64), cache)
    assert "thrown away" in str(told.value)
    assert leftovers(cache) == []
    assert not cache.file(remote(upstream)).exists()


def test_a_truncated_file_is_never_taken_for_whole(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM, breaks=[1000] * 5, ranges=False)
    with pytest.raises(CannotDownload, match="could not be downloaded"):
        fetch(pinned(upstream, served), cache)
    assert len(upstream.asked) == 5
    assert not cache.file(remote(upstream)).exists()


def test_a_truncated_file_of_a_server_that_tells_no_length_is_known_by_its_checksum(
    upstream: Upstream, cache: Cache
) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM, breaks=[1000], length=False)
    with pytest.raises(WrongChecksum):
        fetch(pinned(upstream, served), cache)
    assert leftovers(cache) == []


def test_an_interrupted_download_goes_on_where_it_broke_off(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM, breaks=[1_000_000, 500_000])
    assert fetch(pinned(upstream, served), cache).read_bytes() == PROGRAM
    assert upstream.asked == [
        ("/kind-linux-amd64", ""),
        ("/kind-linux-amd64", "bytes=1000000-"),
        ("/kind-linux-amd64", "bytes=1500000-"),
    ]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM, breaks=[1_000_000, *[0] * 4])
    with pytest.raises(CannotDownload, match="could not be downloaded"):
        fetch(pinned(upstream, served), cache)
    upstream.asked.clear()
    assert fetch(pinned(upstream, served), cache).read_bytes() == PROGRAM
    assert upstream.asked == [("/kind-linux-amd64", "bytes=1000000-")]
    assert leftovers(cache) == []


def test_a_server_without_ranges_is_asked_for_the_whole_again(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM, breaks=[1_000_000], ranges=False)
    assert fetch(pinned(upstream, served), cache).read_bytes() == PROGRAM


@pytest.mark.parametrize("validators", [True, False])
def test_a_file_that_changes_between_two_pieces_is_fetched_anew(
    upstream: Upstream, cache: Cache, validators: bool
) -> None:
    upstream.add(
        "/kind-linux-amd64", os.urandom(2_000_000), breaks=[1_000_000, *[0] * 4], validators=validators
    )
    with pytest.raises(CannotDownload):
        fetch(remote(upstream, sha256="1" * 64), cache)
    served = upstream.add("/kind-linux-amd64", PROGRAM, validators=validators)
    assert fetch(pinned(upstream, served), cache).read_bytes() == PROGRAM


def test_a_file_that_became_shorter_is_fetched_anew(upstream: Upstream, cache: Cache) -> None:
    upstream.add("/kind-linux-amd64", PROGRAM, breaks=[2_000_000, *[0] * 4])
    with pytest.raises(CannotDownload):
        fetch(remote(upstream, sha256="1" * 64), cache)
    served = upstream.add("/kind-linux-amd64", PROGRAM[:1000], validators=False)
    assert fetch(pinned(upstream, served), cache).read_bytes() == PROGRAM[:1000]


def test_a_part_that_was_whole_when_the_line_broke_needs_no_byte_more(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.add("/file", PROGRAM)
    part = tmp_path / "part"
    download(upstream.address + "/file", part)
    part.with_name("part.json").write_text(f'{{"address": "{upstream.address}/file", "mark": ""}}')
    download(upstream.address + "/file", part)
    assert part.read_bytes() == PROGRAM
    assert upstream.asked[-1] == ("/file", "bytes=3000000-")


def test_a_missing_file_is_told_at_once(upstream: Upstream, cache: Cache) -> None:
    with pytest.raises(CannotDownload, match="the server answered 404 Not Found"):
        fetch(remote(upstream, sha256="0" * 64), cache)
    assert len(upstream.asked) == 1


def test_a_busy_server_is_asked_again(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM, statuses=[503, 429])
    assert fetch(pinned(upstream, served), cache).read_bytes() == PROGRAM


def test_redirects_are_followed(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/real", PROGRAM, breaks=[1_000_000])
    upstream.add("/kind-linux-amd64", b"", redirect=upstream.address + "/real")
    assert fetch(remote(upstream, sha256=served.sha256), cache).read_bytes() == PROGRAM
    assert upstream.paths() == ["/kind-linux-amd64", "/real"] * 2


def test_a_server_that_falls_silent_is_given_up(upstream: Upstream, tmp_path: Path) -> None:
    over = threading.Event()
    upstream.add("/file", PROGRAM, halfway=lambda: over.wait(20) and None)
    part = tmp_path / "part"
    try:
        with pytest.raises(CannotDownload, match="timed out"):
            download(upstream.address + "/file", part, silence=0.2, pauses=())
        assert part.stat().st_size > 0
    finally:
        over.set()


def test_a_slow_server_is_waited_for_and_the_bytes_are_told(upstream: Upstream, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    seen = threading.Event()
    upstream.add("/file", PROGRAM, halfway=lambda: seen.wait(20) and None)

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))
        seen.set()

    download(upstream.address + "/file", tmp_path / "part", progress=progress, silence=20)
    assert told[0][0] < len(PROGRAM)
    assert told[-1] == (len(PROGRAM), len(PROGRAM))


def test_two_at_once_download_once(upstream: Upstream, cache: Cache) -> None:
    lines: list[str] = []
    waits = threading.Event()

    def heard(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            waits.set()

    # The answer is held back until the second one says that it waits.
    served = upstream.add("/kind-linux-amd64", PROGRAM, halfway=lambda: waits.wait(20) and None)
    one = pinned(upstream, served)
    got: list[Path] = []
    both = [threading.Thread(target=lambda: got.append(fetch(one, cache, progress=heard))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [path.read_bytes() == PROGRAM for path in got] == [True, True]
    assert upstream.paths() == ["/kind-linux-amd64"]
    assert "kind 0.31.0: another program fetches it; waiting" in lines


def test_a_disk_that_has_no_room_is_told_before_the_download(
    upstream: Upstream, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(CannotKeep, match=r"3\.0 MB are to be downloaded .* 1\.0 MB are free.*LABKIT_CACHE"):
        fetch(pinned(upstream, served), cache)
    assert leftovers(cache) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_leaves_nothing(
    upstream: Upstream, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM)
    write = downloading._write

    def fills_up(part: Path, start: int, chunks: object, *rest: object) -> None:
        def until_full() -> object:
            yield next(chunks)  # type: ignore[call-overload]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        write(part, start, until_full(), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(downloading, "_write", fills_up)
    with pytest.raises(CannotKeep, match=r"No space is left in .*LABKIT_CACHE"):
        fetch(pinned(upstream, served), cache)
    assert leftovers(cache) == []


def test_a_cache_that_cannot_be_written_is_told(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be: refuses even root")
    served = upstream.add("/kind-linux-amd64", PROGRAM)
    with pytest.raises(CannotKeep, match=r"cannot be written: Not a directory.*LABKIT_CACHE"):
        fetch(pinned(upstream, served), Cache(tmp_path / "cache"))
    assert upstream.asked == []


def test_a_read_only_cache_serves_what_it_has(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM)
    one = pinned(upstream, served)
    path = fetch(one, cache)
    shutil.rmtree(cache.root / "locks")
    (cache.root / "locks").write_text("nothing can be written here now, not even by root")
    assert fetch(one, cache) == path
    with pytest.raises(CannotKeep, match="cannot be written"):
        fetch(remote(upstream, "/other"), cache)


def test_without_internet_it_is_said_where_to_put_the_file(cache: Cache) -> None:
    one = RemoteFile(
        "istioctl", "1.31.1", "istioctl.tar.gz", "http://nowhere.invalid/istioctl.tar.gz", "",
        "http://nowhere.invalid/istioctl.tar.gz.sha256",
    )  # fmt: skip
    with pytest.raises(CannotDownload) as told:
        fetch(one, cache)
    text = str(told.value)
    assert f"put it at {cache.file(one)}, and http://nowhere.invalid/istioctl.tar.gz.sha256 beside it" in text
    assert "labkit bundle load BOX" in text
    assert "HTTPConnection" not in text


def test_a_proxy_is_asked_where_the_environment_names_one(
    upstream: Upstream, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM)
    monkeypatch.setenv("http_proxy", upstream.address)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    one = RemoteFile(
        "kind", "1", "kind-linux-amd64", "http://upstream.invalid/kind-linux-amd64", served.sha256
    )
    assert fetch(one, cache).read_bytes() == PROGRAM


# ---- files whose checksum is not pinned


def test_the_publishers_checksum_is_asked_and_kept(upstream: Upstream, cache: Cache) -> None:
    served = upstream.add("/kind-linux-amd64", PROGRAM)
    upstream.add("/sums", f"{'0' * 64}  other\n{served.sha256} *kind-linux-amd64\n".encode())
    one = remote(upstream, published=upstream.address + "/sums")
    path = fetch(one, cache)
    known = cache.record(path)
    assert known is not None
    assert (known.sha256, known.checked_by) == (served.sha256, "as published")
    fetch(one, cache)
    assert upstream.paths() == ["/sums", "/kind-linux-amd64"]


def test_a_file_that_the_publishers_checksum_contradicts_is_refused(upstream: Upstream, cache: Cache) -> None:
    upstream.add("/kind-linux-amd64", PROGRAM)
    upstream.add("/sums", f"{'0' * 64}  kind-linux-amd64\n".encode())
    with pytest.raises(WrongChecksum, match="as published"):
        fetch(remote(upstream, published=upstream.address + "/sums"), cache)


def test_a_publishers_list_without_the_file_is_no_leave_to_trust_it(upstream: Upstream, cache: Cache) -> None:
    upstream.add("/kind-linux-amd64", PROGRAM)
    upstream.add("/sums", f"{'0' * 64}  other\n".encode())
    with pytest.raises(CannotDownload, match="/sums has no checksum of kind-linux-amd64"):
        fetch(remote(upstream, published=upstream.address + "/sums"), cache)
    assert upstream.paths() == ["/sums"]


def test_a_checksum_pinned_later_refuses_what_was_taken_on_trust(upstream: Upstream, cache: Cache) -> None:
    upstream.add("/kind-linux-amd64", b"not what the table will say")
    fetch(remote(upstream), cache)
    served = upstream.add("/kind-linux-amd64", PROGRAM)
    with pytest.raises(WrongChecksum, match="Remove it"):
        fetch(pinned(upstream, served), cache)


# ---- files put there by hand


def by_hand(cache: Cache, one: RemoteFile, content: bytes = PROGRAM) -> Path:
    path = cache.file(one)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_file_put_there_by_hand_is_checked_and_taken(upstream: Upstream, cache: Cache) -> None:
    one = remote(upstream, sha256=Served(PROGRAM).sha256)
    by_hand(cache, one)
    assert fetch(one, cache).read_bytes() == PROGRAM
    assert upstream.asked == []


def test_a_wrong_file_put_there_by_hand_is_refused_and_left_alone(upstream: Upstream, cache: Cache) -> None:
    one = remote(upstream, sha256=Served(PROGRAM).sha256)
    path = by_hand(cache, one, b"half of it")
    with pytest.raises(WrongChecksum, match=f"{path} is not what it should be"):
        fetch(one, cache)
    assert path.exists()


def test_the_publishers_checksum_may_lie_beside_it(cache: Cache) -> None:
    one = RemoteFile(
        "kind", "1", "kind", "http://nowhere.invalid/kind", "", "http://nowhere.invalid/kind.sha256sum"
    )
    path = by_hand(cache, one)
    with pytest.raises(ToolError, match=r"Put the publisher's checksum file, .*kind\.sha256sum, beside it"):
        fetch(one, cache)
    path.with_name("kind.sha256sum").write_text(f"{Served(PROGRAM).sha256}  kind\n")
    assert fetch(one, cache) == path
