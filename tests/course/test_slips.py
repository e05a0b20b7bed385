"""A reply without quotation marks is told in a learner's words; every other error stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output


@pytest.fixture
def shell() -> Iterator[Any]:
    from labkit import load_ipython_extension

    shell = InteractiveShell()
    shell.run_cell("class lab:\n    answer = predict = staticmethod(print)")
    load_ipython_extension(shell)
    yield shell
    shell.history_manager.end_session()


def run(shell: Any, cell: str) -> str:
    with capture_output() as seen:
        shell.run_cell(cell, store_history=True)
    return str(seen.stdout + seen.stderr)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ('lab.answer("read-and", [myproject/frontend, helidon/batch])', "myproject"),
        ('lab.answer("what-broke", ingress)', "ingress"),
        ('lab.answer("read-and", [\n    # the names\n    kube-system/coredns,\n])', "kube"),
        ('lab.predict("predict-or", {helidon: "allow"})', "helidon"),
    ],
)
def test_a_name_without_quotation_marks_is_one_message_without_a_traceback(
    shell: Any, cell: str, name: str
) -> None:
    seen = run(shell, cell)
    assert f"✗ Python does not know the name {name}." in seen
    assert "between quotation marks: lab." in seen
    assert "Traceback" not in seen


@pytest.mark.parametrize(
    "cell", ['lab.answer("find-address", 10.244.0.5)', 'lab.answer("read-and", ["a/b" "c/d" e])']
)
def test_what_python_cannot_read_gets_the_same_advice(shell: Any, cell: str) -> None:
    seen = run(shell, cell)
    assert "SyntaxError" in seen
    assert "✗ Python cannot read this cell. Write names, addresses and words between quotation marks" in seen


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("print(myproject)", "NameError"),
        ("def f():\n    return nothing\nf()", "NameError"),
        ("1 +", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ('del lab\nlab.answer("x", "y")', "NameError"),
    ],
)
def test_other_errors_stay_what_they_are(shell: Any, cell: str, told: str) -> None:
    seen = run(shell, cell)
    assert told in seen
    assert "quotation marks" not in seen
