"""Python's own complaints about a reply without quotation marks, in a learner's words: `lab.answer("step", [shop/front])`.

Such a cell fails before the lab is asked anything, so this is the one place where it looks at what IPython reports.
"""

from __future__ import annotations

import linecache
import re
import traceback
from types import TracebackType
from typing import Any

from labkit.course.learner_errors import LearnerError

_CALL = re.compile(r"\.(answer|predict)\s*\(")


def advice(cell: str, error: BaseException | None) -> str:
    """What to say about an error of a cell; "" where it is none of ours."""
    asks = _CALL.search(cell)
    if asks is None or not isinstance(error, (NameError, SyntaxError)):
        return ""
    form = (
        'lab.answer("...", "shop/front"), or a list: lab.answer("...", ["shop/front", "office/laptop"])'
        if asks[1] == "answer"
        else 'lab.predict("...", {"shop/front -> office/laptop": "allow"})'
    )
    if isinstance(error, NameError):
        if error.name == "lab":
            return ""  # the first cell was not run: Python says that well enough
        begin = f"Python does not know the name {error.name}."
    else:
        begin = "Python cannot read this cell."
    return f"{begin} Write names, addresses and words between quotation marks: {form}."


def watch(shell: Any) -> None:
    """Give this advice in an IPython shell: instead of a NameError's traceback, and below a SyntaxError's few lines."""

    def name_error(
        self: Any,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType,
        tb_offset: int | None = None,
    ) -> list[str]:
        told = advice(_cell_of(trace), error)
        if told:
            self.showtraceback((LearnerError, LearnerError(told), trace))
        else:
            self.showtraceback((kind, error, trace), tb_offset=tb_offset)
        return []

    def syntax_error(result: Any) -> None:
        error = result.error_before_exec
        if isinstance(error, SyntaxError) and (told := advice(result.info.raw_cell or "", error)):
            shell.showtraceback((LearnerError, LearnerError(told), None))

    shell.set_custom_exc((NameError,), name_error)
    shell.events.register("post_run_cell", syntax_error)


def _cell_of(trace: TracebackType) -> str:
    """The text of the cell in which a NameError was raised; "" for one that was raised in a function elsewhere."""
    frames = traceback.extract_tb(trace)
    return "".join(linecache.getlines(frames[-1].filename)) if frames else ""
