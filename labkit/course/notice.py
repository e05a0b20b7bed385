"""Something that a learner must not miss, in a frame of its own."""

from __future__ import annotations

import html
from itertools import groupby

from labkit.course.display import Page, say


def show_notice(title: str, text: str) -> None:
    """Show a notice. Paragraphs stand between empty lines; lines that begin with spaces keep their form, as commands do."""
    page = Page(f"{title}\n\n{text}", _html(title, text))
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        say(page.text)
        return
    if get_ipython() is None:
        say(page.text)
    else:
        display(page)


def _html(title: str, text: str) -> str:
    parts = [f"<strong>? {html.escape(title)}</strong>"]
    for paragraph in text.split("\n\n"):
        for kept, lines in groupby(paragraph.splitlines(), key=lambda line: line.startswith("  ")):
            if kept:
                parts.append(f"<pre>{html.escape(chr(10).join(lines))}</pre>")
            else:
                parts.append(f"<p>{html.escape(' '.join(lines))}</p>")
    # Grey and a question mark, as everywhere for what is not known; no verdict, so neither blue nor vermillion.
    return f'<div style="border:1px solid #888;border-left:6px solid #888;padding:.4em 1em">{"".join(parts)}</div>'
