"""Chapter 02 as a stranger meets it: run it, predict a cell, mend the policy, press Check, ask who decided."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import LabPage, LabServer, start_lab, stop_lab

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "02-and-or"
MENDED = (ROOT / "solutions" / CHAPTER / "mend-or.yaml").read_text()


@dataclass
class Classroom:
    server: LabServer
    home: Path

    def record(self, step: str) -> dict[str, Any]:
        data = json.loads((self.home / "progress" / "browser.json").read_text())
        return data["chapters"][CHAPTER][step]


@pytest.fixture(scope="module")
def classroom(machine: None, tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Classroom]:
    from labkit.pocket import lifecycle

    folder = tmp_path_factory.mktemp("chapter")
    home = folder / "home"
    info = lifecycle.up("browser", home=home)
    root = folder / "root"
    for part in ("notebooks", "clusters"):
        shutil.copytree(ROOT / part, root / part)
    environment = {
        "LABKIT_HOME": str(home),
        "LABKIT_ROOT": str(root),
        "LABKIT_LEARNER": "browser",
        "KUBECONFIG": str(info.kubeconfig),
    }
    server = start_lab(folder, environment)
    try:
        yield Classroom(server, home)
    finally:
        stop_lab(server)
        lifecycle.down("browser", home=home)


def cell_index(page: LabPage, text: str) -> int:
    found: int = page.page.evaluate(
        "text => window.jupyterapp.shell.currentWidget.content.widgets"
        ".findIndex(w => w.model.type === 'code' && w.model.sharedModel.getSource().includes(text))",
        text,
    )
    assert found >= 0, text
    return found


def show(page: LabPage, index: int) -> Any:
    """Scroll a cell into sight and give its place in the page."""
    page.page.evaluate(
        "i => { const c = window.jupyterapp.shell.currentWidget.content; c.activeCellIndex = i;"
        " return c.scrollToItem(i, 'start'); }",
        index,
    )
    page.page.wait_for_timeout(500)
    return page.locator(".jp-Cell.jp-mod-active")


def test_a_stranger_finishes_a_step_of_the_and_or_chapter(
    classroom: Classroom, lab_page: Any, tmp_path: Path
) -> None:
    page: LabPage = lab_page(classroom.server, width=1280, height=1500)
    page.open(f"notebooks/{CHAPTER}/{CHAPTER}.ipynb")
    page.run_all(180)
    assert classroom.record("mend-or")["last"]["status"] == "not_attempted"

    # Predict one cell by clicking it: once for ✓.
    table = show(page, cell_index(page, 'lab.predict("predict-or")'))
    blank = table.locator(".labkit-table [data-flow='other/stranger>helidon/helidon']").first
    blank.click()
    page.page.wait_for_timeout(300)
    assert "✓" in blank.inner_text()

    # Mend the policy in its cell, run the cell, press Check in the panel below.
    apply = cell_index(page, "name: helidon-callers")
    page.page.evaluate(
        "([i, text]) => window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.setSource(text)",
        [apply, "%%apply\n" + MENDED],
    )
    show(page, apply)
    page.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    page.wait_for_idle()
    panel = show(page, cell_index(page, 'lab.check("mend-or")'))
    panel.get_by_role("button", name="Check again").click()
    panel.get_by_text("passed · 3 of 3 points").wait_for(timeout=20_000)
    assert classroom.record("mend-or")["passed_on"]

    # The truth table, live: click a cell and read who decided.
    live = show(page, cell_index(page, "lab.table(port=8080)"))
    page.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    page.wait_for_idle()
    live.locator(".labkit-table [data-flow='other/stranger>helidon/helidon']").first.click()
    live.locator(".lk-panel .lk-policy", has_text="helidon-callers").first.wait_for(timeout=10_000)

    picture = tmp_path / "chapter.png"
    page.screenshot(picture)
    assert picture.stat().st_size > 50_000
