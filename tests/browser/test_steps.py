"""The steps of long work in a real JupyterLab: live while the cell runs, honest when the kernel has gone, readable afterwards."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

WORK = """
import time
from pathlib import Path
from labkit.widgets import StepsView

go_on = Path("go-on")
view = StepsView("Starting the cluster lab")
with view.showing() as steps:
    steps.begin("Preparing nodes")
    steps.begin("Starting control-plane", "an image that is not here yet is downloaded now")
    steps.warn("memory for 1 node: docker has 2.1 GB. The policy chapters fit; a service mesh wants 4 GB.")
    while not go_on.exists():
        time.sleep(0.05)
    steps.begin("Waiting for cluster DNS")
    steps.fail("no answer")
"""


def test_it_counts_while_the_cell_runs_and_tells_the_end(
    lab_page: Any, jupyter_lab: Any, tmp_path: Path
) -> None:
    page = lab_page()
    page.open(jupyter_lab.write_notebook("steps.ipynb", [WORK]))
    page.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    view = page.locator(".labkit-steps")
    running = view.locator("[aria-current=step]")
    running.get_by_text("Starting control-plane").wait_for()
    assert view.locator(".lk-step").count() == 2
    assert view.get_attribute("aria-busy") == "true"
    page.page.wait_for_function(
        "parseFloat(document.querySelector('.labkit-steps [aria-current=step] .lk-time').textContent) > 1"
    )
    assert "downloaded now" in running.inner_text()
    if folder := os.environ.get("LABKIT_PICTURES"):
        page.screenshot(Path(folder) / "steps-running.png", ".labkit-steps")
    (jupyter_lab.root / "go-on").touch()
    view.get_by_text("in all").wait_for()
    page.wait_for_idle()
    assert [mark.strip() for mark in view.locator(".lk-stepmark").all_inner_texts()] == ["✓", "✓", "✗"]
    assert "no answer" in view.locator(".lk-s-failed").inner_text()
    assert "The policy chapters fit" in view.locator(".lk-warnings").inner_text()
    assert view.get_attribute("aria-busy") == "false"
    still = page.locator("details[data-labkit-still]")
    assert still.get_attribute("open") is None
    assert re.search(r"✗ Waiting for cluster DNS\s+0\.\d s \(no answer\)", still.text_content())
    if folder := os.environ.get("LABKIT_PICTURES"):
        page.screenshot(Path(folder) / "steps-done.png", ".labkit-steps")


def test_a_kernel_that_has_died_is_told_instead_of_counted_on(lab_page: Any, jupyter_lab: Any) -> None:
    page = lab_page()
    dying = WORK.replace("time.sleep(0.05)", "time.sleep(0.5); os.kill(os.getpid(), signal.SIGKILL)")
    page.open(
        jupyter_lab.write_notebook(
            "steps-lost.ipynb", [f"import os, signal{dying}".replace('"go-on"', '"never"')]
        )
    )
    page.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.locator(".labkit-steps [aria-current=step]").get_by_text("Starting control-plane").wait_for()
    lost = page.locator(".labkit-steps .lk-warn")
    lost.wait_for(timeout=60_000)
    assert "No word from the kernel" in lost.inner_text()
    time = page.locator(".labkit-steps [aria-current=step] .lk-time")
    stands = time.inner_text()
    page.page.wait_for_timeout(1000)
    assert time.inner_text() == stands
    if folder := os.environ.get("LABKIT_PICTURES"):
        page.screenshot(Path(folder) / "steps-lost.png", ".labkit-steps")
