"""Take README's picture: chapter 02, its third step solved, in a real JupyterLab on a pocket cluster, by headless Chromium."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright  # noqa: E402 - after the path, like the next

from labkit.pocket import lifecycle  # noqa: E402
from tests.browser.conftest import ARGUMENTS, LabPage, find_chromium, start_lab, stop_lab  # noqa: E402

CHAPTER = "02-and-or"
PICTURE = ROOT / "docs" / "picture.png"
# Close the file browser's neighbours, solve the step, draw helidon's own connections.
SOURCES = """([apply, text]) => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets;
    const at = cells.findIndex(w => w.model.sharedModel.getSource().includes(apply));
    cells[at].model.sharedModel.setSource(text);
    const graph = cells.findIndex((w, i) => i > at && w.model.sharedModel.getSource().includes('lab.graph()'));
    cells[graph].model.sharedModel.setSource('lab.graph(focus="helidon/helidon")');
    return at;
}"""
SCROLL = """i => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = i;
    return notebook.scrollToItem(i, 'start');
}"""


def main() -> None:
    """Write docs/picture.png."""
    executable = find_chromium()
    if executable is None:
        sys.exit(
            "No Chromium: install one (Debian: apt-get install chromium) or set LABKIT_CHROMIUM to its path."
        )
    with tempfile.TemporaryDirectory(prefix="labkit-picture-") as name:
        folder = Path(name)
        root = folder / "root"
        for part in ("notebooks", "clusters"):
            shutil.copytree(ROOT / part, root / part)
        info = lifecycle.up("picture", home=folder / "home")
        environment = {
            "LABKIT_HOME": str(folder / "home"),
            "LABKIT_ROOT": str(root),
            "LABKIT_LEARNER": "picture",
            "KUBECONFIG": str(info.kubeconfig),
        }
        server = start_lab(folder, environment)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
                page = LabPage(browser.new_page(viewport={"width": 1180, "height": 2200}), server)
                page.open(f"notebooks/{CHAPTER}/{CHAPTER}.ipynb")
                solution = (ROOT / "solutions" / CHAPTER / "mend-or.yaml").read_text()
                at = page.page.evaluate(SOURCES, ["name: helidon-callers", f"%%apply\n{solution}"])
                page.run_all(180)
                page.page.evaluate(SCROLL, at)
                page.page.wait_for_timeout(1500)
                PICTURE.parent.mkdir(exist_ok=True)
                top = page.locator(".jp-Cell.jp-mod-active").bounding_box()["y"] - 8
                graph = page.locator(".labkit-graph").last.bounding_box()
                height = graph["y"] + graph["height"] + 8 - top
                page.page.screenshot(
                    path=str(PICTURE), clip={"x": 40, "y": top, "width": 1100, "height": height}
                )
                browser.close()
        finally:
            stop_lab(server)
            lifecycle.down("picture", home=folder / "home")
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
