"""How a view gets into a notebook: the live widget, and beside it a still picture with a text that needs nothing to be read.

The still is open where no widget runs (a saved notebook, an export, a grader's screen); a living widget folds it.
"""

from __future__ import annotations

import logging
import os
import uuid
from abc import ABC, abstractmethod
from html import escape
from typing import Any

log = logging.getLogger(__name__)

STATIC_VARIABLE = "LABKIT_STATIC"
"""Set to 1: no widgets, only pictures and texts (exports, grading, documentation)."""


class LiveUnavailable(RuntimeError):  # noqa: N818 - it says a state, and the message says what to do
    """A widget was asked for where none can run; the message says why."""


def static_only() -> str:
    """Why no widget can run here ("" when one can): LABKIT_STATIC, no notebook kernel, or no anywidget."""
    if os.environ.get(STATIC_VARIABLE, "") not in ("", "0"):
        return f"{STATIC_VARIABLE} is set"
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return "IPython is not installed"
    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return "this is not a notebook kernel"
    try:
        import anywidget  # noqa: F401 - only whether it is there
    except ImportError:
        return "anywidget is not installed: pip install 'labkit[widgets]'"
    return ""


class Viewable(ABC):
    """Something that can be looked at in three ways: as a widget, as a still picture, as text.

    In a notebook, `view` as the last expression of a cell, or `display(view)`, shows it. `widget()` gives the live widget for use
    in layouts of your own.
    """

    def __init__(self) -> None:
        self.still_id = uuid.uuid4().hex[:12]
        self._live: Any = None
        self._still_handle: Any = None

    @abstractmethod
    def to_text(self) -> str:
        """Everything the view says, as plain text."""

    @abstractmethod
    def to_html(self) -> str:
        """The still view as one HTML fragment without scripts."""

    @abstractmethod
    def _make_widget(self) -> Any:
        """Build the live widget; anywidget may be imported here."""

    def widget(self) -> Any:
        """The live widget, made when first asked for. Raises LiveUnavailable where anywidget is missing."""
        if self._live is None:
            try:
                self._live = self._make_widget()
            except ImportError as error:
                raise LiveUnavailable(
                    f"no widget here ({error}); to_text() and to_html() work everywhere"
                ) from error
        return self._live

    def bundle(self) -> dict[str, str]:
        """The still as a MIME bundle. The plain text says all, for readers to whom HTML is not shown."""
        return {"text/plain": self.to_text(), "text/html": self.still_html()}

    def still_html(self) -> str:
        """The still in a fold that is open until a live widget beside it closes it."""
        return (
            f'<details class="labkit-still" data-labkit-still="{self.still_id}" open="">'
            f"<summary>Still picture and text</summary>{self.to_html()}</details>"
        )

    def display(self) -> None:
        """Show the view in the notebook: the widget where it can run, and always the still."""
        from IPython.display import display

        why = static_only()
        if why:
            log.debug("no live widget: %s", why)
            display(self.bundle(), raw=True)
            return
        display(self.widget())
        self._still_handle = display(self.bundle(), raw=True, display_id=True)

    def _ipython_display_(self) -> None:
        self.display()

    def _refresh_still(self) -> None:
        """After a change: the still in the notebook follows, so that what is saved is what was seen."""
        if self._still_handle is not None:
            self._still_handle.update(self.bundle(), raw=True)


def pre(text: str) -> str:
    """Text as it stands, for HTML."""
    return f'<pre style="overflow-x:auto">{escape(text)}</pre>'
