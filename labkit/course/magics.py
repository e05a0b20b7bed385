"""The cell magic `%%apply`: the YAML of a cell goes to the cluster as `kubectl apply -f -` would send it."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from labkit.course import slips


def apply_cell(line: str, cell: str, *, source: str) -> None:
    """Apply a cell's text with the options of the magic's line (`-n NAMESPACE`); a cell of comments only does nothing."""
    from labkit.course import display
    from labkit.course.lab import Lab
    from labkit.course.learner_errors import LearnerError

    parser = argparse.ArgumentParser(prog="%%apply", add_help=False, exit_on_error=False)
    parser.add_argument("-n", "--namespace", default="default")
    try:
        options, unknown = parser.parse_known_args(shlex.split(line))
    except (argparse.ArgumentError, ValueError) as error:
        raise LearnerError(f"%%apply: {error}") from None
    if unknown:
        raise LearnerError(f"%%apply knows -n NAMESPACE, but not {' '.join(unknown)}.")
    if all(not row.strip() or row.lstrip().startswith("#") for row in cell.splitlines()):
        display.say("Nothing to apply: the cell holds no YAML yet, only comments.")
        return
    if Lab.current is None:
        raise LearnerError(
            'Which cluster? Run the first cell of the notebook, the one with lab = Lab("..."), then this cell again.'
        )
    Lab.current.apply(cell, source=source, namespace=options.namespace)


def load(shell: Any) -> None:
    """Register the magics in an IPython shell; `%load_ext labkit` calls this."""

    def apply(line: str, cell: str) -> None:
        apply_cell(line, cell, source=f"cell [{shell.execution_count}]")

    shell.register_magic_function(apply, magic_kind="cell", magic_name="apply")
    slips.watch(shell)
