"""What a learner has done: one JSON file per learner, versioned, written whole and renamed into place, safe
to read and to delete."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.course.files import write_json

FORMAT = "labkit-progress/1"


def learner_name() -> str:
    """Who is learning: LABKIT_LEARNER, else the JupyterHub user, else the user of this machine."""
    return os.environ.get("LABKIT_LEARNER") or os.environ.get("JUPYTERHUB_USER") or getpass.getuser()


@dataclass
class Progress:
    """The progress file of one learner. A step once passed stays passed; what a later check says is kept beside it."""

    path: Path
    learner: str

    @classmethod
    def of(cls, home: Path, learner: str | None = None) -> Progress:
        """The progress of a learner (default: `learner_name()`) under the lab's home folder."""
        learner = learner or learner_name()
        return cls(home / "progress" / (re.sub(r"[^A-Za-z0-9._@-]", "_", learner) + ".json"), learner)

    def read(self) -> dict[str, Any]:
        """Everything recorded; a file that cannot be read is set aside under another name, never overwritten."""
        empty: dict[str, Any] = {"format": FORMAT, "learner": self.learner, "chapters": {}}
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return empty
        except (OSError, ValueError):
            data = None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            self.path.replace(self.path.with_suffix(f".unreadable-{_now().replace(':', '')}.json"))
            return empty
        return data

    def step(self, chapter: str, step: str) -> dict[str, Any]:
        """What is recorded of one step: passed_on, attempts, hints, last (the last result)."""
        record: Mapping[str, Any] = self.read()["chapters"].get(chapter, {}).get(step, {})
        return {"passed_on": None, "attempts": 0, "hints": 0, "last": None} | dict(record)

    def record(self, chapter: str, step: str, **changes: Any) -> dict[str, Any]:
        """Change one step's record and give it back."""
        data = self.read()
        steps = data["chapters"].setdefault(chapter, {})
        steps[step] = self.step(chapter, step) | changes
        write_json(self.path, data)
        return dict(steps[step])

    def record_result(self, chapter: str, step: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a check's outcome; one that could not be made, or was not attempted, counts as no attempt."""
        known = self.step(chapter, step)
        counts = result["status"] in ("pass", "fail")
        return self.record(
            chapter,
            step,
            attempts=known["attempts"] + counts,
            passed_on=known["passed_on"] or (_now() if result["status"] == "pass" else None),
            last=dict(result),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
