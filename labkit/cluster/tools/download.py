"""One file over HTTP into a part file: streamed, resumed where it broke off, never taken for whole when it is not.

With `requests`: it comes with the Kubernetes client anyway, keeps connections alive, follows redirects, and honours HTTPS_PROXY,
NO_PROXY and a company's certificates (REQUESTS_CA_BUNDLE).
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CannotDownload, CannotKeep
from .sizes import in_words

if TYPE_CHECKING:
    import requests

# Bytes so far, and of how many; None when the server does not say.
Bytes = Callable[[int, int | None], None]

CONNECT_SECONDS = 10.0
# How long a server may send nothing at all. A slow line that sends a little now and then is no reason to give up.
SILENCE_SECONDS = 30.0
# Waits before a further try. They begin anew whenever a try brought some bytes.
PAUSES = (0.5, 1.0, 2.0, 4.0)
_CHUNK = 256 * 1024
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _BrokeOff(Exception):  # noqa: N818 - a happening, not a fault of ours
    """The connection ended, or the server is busy: worth another try. The text is for people."""


def download(
    address: str,
    part: Path,
    *,
    progress: Bytes | None = None,
    silence: float = SILENCE_SECONDS,
    pauses: tuple[float, ...] | None = None,
) -> bool:
    """Fetch `address` into the file `part`, going on where an earlier try broke off. Returns whether it was pieced together.

    A part file stays when this raises CannotDownload, so that the next call goes on from there. On CannotKeep it is removed.
    """
    pauses = PAUSES if pauses is None else pauses
    left = list(pauses)
    pieces = _size(part) > 0
    while True:
        had = _size(part)
        try:
            _once(address, part, progress, silence)
        except _BrokeOff as why:
            if _size(part) > had:
                left = list(pauses)
                pieces = True
            if not left:
                raise CannotDownload(f"{address} could not be downloaded: {why}") from None
            time.sleep(left.pop(0))
        else:
            _notes(part).unlink(missing_ok=True)
            return pieces


def text(address: str, *, silence: float = SILENCE_SECONDS, limit: int = 1 << 20) -> str:
    """A small text, such as a publisher's checksums. Raises CannotDownload."""
    import requests
    import urllib3

    try:
        with _session().get(address, timeout=(CONNECT_SECONDS, silence), stream=True) as answer:
            if answer.status_code != 200:
                raise CannotDownload(f"{address} could not be read: {_status(answer)}")
            body: bytes = answer.raw.read(limit, decode_content=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as problem:
        raise CannotDownload(f"{address} could not be read: {words(problem)}") from None
    return body.decode("utf-8", "replace")


def forget(part: Path) -> None:
    """Throw a part file away."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _once(address: str, part: Path, progress: Bytes | None, silence: float) -> None:
    """One request. Raises _BrokeOff when another may do better."""
    import requests
    import urllib3

    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | _resuming(part, address, have)
    try:
        with _session().get(
            address, headers=headers, timeout=(CONNECT_SECONDS, silence), stream=True
        ) as answer:
            if answer.status_code == 416 and _whole(answer) == have:
                return
            if answer.status_code == 416:
                forget(part)
                raise _BrokeOff("the file on the server is another one by now")
            if answer.status_code in _MAY_PASS:
                raise _BrokeOff(_status(answer))
            if answer.status_code not in (200, 206):
                raise CannotDownload(f"{address} could not be downloaded: {_status(answer)}")
            start = _start(answer) if answer.status_code == 206 else 0
            if start not in (0, have):
                forget(part)
                raise _BrokeOff("the server sent another part than was asked for")
            total = _whole(answer)
            _keep(part, address, answer, total)
            _room(part, total, start)
            _write(part, start, answer.raw.stream(_CHUNK, decode_content=False), total, progress)
            if total is not None and _size(part) != total:
                raise _BrokeOff(
                    f"it ended after {in_words(_size(part))} of {in_words(total)}"
                )  # a server of HTTP/1.0
    except (requests.RequestException, urllib3.exceptions.HTTPError) as problem:
        raise _BrokeOff(words(problem)) from None


def _write(
    part: Path, start: int, chunks: Iterator[bytes], total: int | None, progress: Bytes | None
) -> None:
    done = start
    try:
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            for chunk in chunks:
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
    except OSError as problem:
        if problem.errno not in _FULL:
            raise
        forget(part)
        raise CannotKeep(
            f"No space is left in {part.parent} after {in_words(done)}; what was there of the download has been removed."
            " Make room, or let LABKIT_CACHE name a folder on another disk."
        ) from None


def room(folder: Path) -> int:
    """Free bytes for a folder that may not exist yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


def _room(part: Path, total: int | None, start: int) -> None:
    """Say before the download that it will not fit."""
    free = room(part.parent)
    if total is not None and total - start > free:
        forget(part)
        raise CannotKeep(
            f"{in_words(total)} are to be downloaded to {part.parent}, where {in_words(free)} are free."
            " Make room, or let LABKIT_CACHE name a folder on another disk."
        )


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _keep(part: Path, address: str, answer: requests.Response, total: int | None) -> None:
    """Note what the part is a part of, so that it is never continued with another file's bytes."""
    mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    _notes(part).write_text(json.dumps({"address": address, "mark": mark, "total": total}))


def _resuming(part: Path, address: str, have: int) -> dict[str, str]:
    """The headers that ask for the rest; without notes of the same address, the part is worth nothing."""
    if not have:
        return {}
    try:
        notes: dict[str, Any] = json.loads(_notes(part).read_text())
    except (OSError, ValueError):
        notes = {}
    if notes.get("address") != address:
        forget(part)
        return {}
    headers = {"Range": f"bytes={have}-"}
    # A weak ETag may not be used with If-Range (RFC 9110, 13.1.5).
    if (mark := str(notes.get("mark", ""))) and not mark.startswith("W/"):
        headers["If-Range"] = mark
    return headers


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _start(answer: requests.Response) -> int:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found.group(1)) if found else -1


def _whole(answer: requests.Response) -> int | None:
    """The size of the whole file, where the answer tells it."""
    if answer.status_code in (206, 416):
        _, _, total = answer.headers.get("Content-Range", "").partition("/")
        return int(total) if total.isdigit() else None
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _status(answer: requests.Response) -> str:
    return f"the server answered {answer.status_code} {answer.reason or ''}".rstrip()


def words(problem: BaseException) -> str:
    """What a failed request says, without the names of Python's objects."""
    inner: object = problem
    while args := getattr(inner, "args", None):
        nearer = getattr(args[0], "reason", None) or (args[0] if isinstance(args[0], BaseException) else None)
        if nearer is None:
            break
        inner = nearer
    said = str(inner)
    return (
        re.sub(r"^.*?(?:object at 0x[0-9a-f]+>|(?:Pool|Connection)\([^)]*\)):\s*", "", said)
        or type(problem).__name__
    )


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    """One for the process, so that a connection to a host is used again."""
    import requests

    session = requests.Session()
    session.headers["User-Agent"] = "labkit"
    return session
