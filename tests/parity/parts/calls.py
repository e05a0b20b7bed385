"""kubectl as learners type it, and raw requests: sessions in calls/*.yaml, each in a namespace of its own.

A call is a command line, or a mapping:

    call: kubectl apply -f -     what is typed
    stdin: text                  what is typed after it
    editor: a shell command      what `kubectl edit` starts
    lines: regex                 only such lines of the output count, as behind a grep
    sorted: true                 the order of lines does not count (Go's maps have none)
    until: regex                 ask again until the output has it (20 s); the last answer counts
    quiet: true                  it must succeed, and what it says does not count
    http: METHOD /path           a raw request, with body, type and accept
"""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from tests.parity.asked import Asked
from tests.parity.recording import HERE
from tests.parity.settling import of_response, settle

NAME = "calls"
AT_ONCE = 4
PATIENCE = 20.0


@dataclass(frozen=True)
class Call:
    """One line of a session."""

    case: str
    call: str = ""
    stdin: str | None = None
    editor: str = ""
    lines: str = ""
    sorted: bool = False
    until: str = ""
    quiet: bool = False
    http: str = ""
    body: Any = None
    type: str = "application/json"
    accept: str = "application/json"


@dataclass(frozen=True)
class Session:
    """What somebody does one after the other, in a namespace and a folder of files."""

    namespace: str
    files: dict[str, str] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()


@cache
def sessions() -> tuple[Session, ...]:
    """All sessions."""
    return tuple(
        _read(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in sorted(HERE.glob("calls/*.yaml"))
    )


def _read(document: dict[str, Any]) -> Session:
    seen: Counter[str] = Counter()
    calls = []
    for entry in document["calls"]:
        given = {"call": entry} if isinstance(entry, str) else dict(entry)
        what = f"{document['namespace']}: {given.get('call') or given['http']}"
        seen[what] += 1
        calls.append(Call(what if seen[what] == 1 else f"{what} #{seen[what]}", **given))
    return Session(document["namespace"], document.get("files") or {}, tuple(calls))


def ask(cluster: Asked) -> dict[str, Any]:
    """Case -> [exit code, output, errors], or what a raw request was answered."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda session: dict(_hold(session, cluster)), sessions()))
    return {case: answer for each in answers for case, answer in each.items()}


def _hold(session: Session, cluster: Asked) -> Iterator[tuple[str, Any]]:
    place = cluster.within(session.namespace, cluster.folder / session.namespace)
    for name, text in session.files.items():
        (place.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (place.folder / name).write_text(text, encoding="utf-8")
    cluster.http("POST", "/api/v1/namespaces", {"metadata": {"name": session.namespace}})
    try:
        for call in session.calls:
            answer = _made(call, place)
            if not call.quiet:
                yield call.case, answer
            elif answer[0]:
                raise AssertionError(f"{call.case}: {answer}")
    finally:
        cluster.http("DELETE", f"/api/v1/namespaces/{session.namespace}")


def _made(call: Call, place: Asked) -> list[Any]:
    if call.http:
        method, _, path = call.http.partition(" ")
        answer = place.http(method, path, call.body, content_type=call.type, accept=call.accept)
        return list(of_response(*answer))
    words = shlex.split(call.call)
    assert words[0] == "kubectl", call.case
    environment = {"KUBE_EDITOR": call.editor} if call.editor else {}
    end = time.monotonic() + PATIENCE
    while True:
        code, out, err = place.kubectl(*words[1:], stdin=call.stdin, **environment)
        out, err = (text.replace(str(place.folder), "FOLDER") for text in (out, err))
        if not call.until or re.search(call.until, out + err, re.M) or time.monotonic() > end:
            break
        time.sleep(0.2)
    if call.lines:
        out = "".join(line + "\n" for line in out.splitlines() if re.search(call.lines, line))
    out = settle(out)
    if call.sorted:
        out = "".join(sorted(out.splitlines(keepends=True)))
    return [code, out, settle(err)]
