"""What a chapter needs in the cluster before its demo: components, installed where they are missing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def require(cluster: Any, names: Iterable[str], say: Callable[[str], None]) -> bool:
    """See to it that components work on the cluster; shows each step, and tells in a sentence for each what was done.

    Gives whether the cluster has another network now. names: as of `labkit.cluster.components`, with optional parts behind a
    plus: "istio", "istio+ambient". On a cluster on paper it says what is missing, and no more: what goes by the model goes on.
    Raises ClusterError with what fails together, or the pods and events that matter.
    """
    from labkit.cluster import components
    from labkit.cluster.steps import seconds

    titles = ", ".join(components.title_of(name) for name in names)
    if not cluster.live:
        if titles:
            say(
                f"This needs {titles}, which a cluster on paper does not have: what they would do cannot be tried here."
            )
        return False
    began = time.monotonic()
    with _shown(f"Bringing in {titles}", say) as progress:
        done = components.ensure(cluster, names, progress)
    for outcome in done:
        say(str(outcome))
        for note in outcome.notes:
            say(f"  {note}")
    if any(outcome.action != "found" for outcome in done):
        say(f"That took {seconds(time.monotonic() - began)}.")
    return any(outcome.name == "calico" and outcome.action != "found" for outcome in done)


@contextlib.contextmanager
def _shown(title: str, say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """The steps of what is done: live in a notebook, as lines where no widget can run."""
    from labkit.widgets import display

    if display.static_only():
        yield lambda line: say(f"  {line} ...")
        return
    from labkit.widgets.steps import StepsView

    with StepsView(title).showing() as steps:
        yield steps
