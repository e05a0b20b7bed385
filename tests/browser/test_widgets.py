"""The widgets in a real JupyterLab: drawn, reachable by keyboard, legible in both themes, and nothing leaves the machine."""

from __future__ import annotations

import re
from typing import Any

import pytest

WORLD = """
import time
from types import SimpleNamespace as Record
from labkit.policy import Flow, World, decide, load
from labkit.widgets import CheckPanel, TrafficGraph, TruthTableView

POLICY = '''
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db-only-web, namespace: shop}
spec:
  podSelector:
    matchLabels: {app: db}
  ingress:
  - from:
    - podSelector:
        matchLabels: {app: web}
'''

def pod(namespace, name, app):
    return {"kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}

before = World.from_objects([pod(ns, app, app) for ns in ("shop", "mail", "audit") for app in ("web", "db", "api")])
world = before.replace(*load(POLICY, "answer.yaml"))
"""
GRAPH = "graph = TrafficGraph(world, [80, 81], previous=before, title='The shop'); graph"
TABLE = """
view = TruthTableView(world, 80, predict=True, observed={Flow("shop/web", "shop/db", 80): Record(verdict="TIMEOUT", evidence={})})
view
"""
CHECK = """
def run(report):
    report("Reading the policies", 0.2)
    time.sleep(1.5)
    report("Trying 12 connections", 0.6)
    time.sleep(1.5)
    flow = Flow("mail/web", "shop/db", 80)
    return {"status": "fail", "message": "One of two holds.", "checks": [
        {"title": "web reaches db", "status": "pass", "message": ""},
        {"title": "mail/web reaches db", "status": "fail", "message": "It timed out.", "evidence": [
            {"source": flow.source, "destination": flow.destination, "port": 80, "must": "work",
             "decision": decide(world, flow).to_dict()}]}]}

panel = CheckPanel("One door", on_check=run, hints=["Think of `from`.", "Look at line 9."],
                   on_reset=lambda: "Back at the start.", world=world)
panel
"""
CROWD = """
big = World.from_objects([pod(f"team-{n}", f"web-{i}-7d9f8b6c5-x{i:03}", "web") for n in range(6) for i in range(10)])
TrafficGraph(big, 80)
"""

CONTRAST = """
([selector, text, behind]) => {
    const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number).slice(0, 3);
    const light = (rgb) => {
        const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const root = document.querySelector(selector);
    const style = (where) => getComputedStyle(root.querySelector(where));
    const a = light(parse(style(text)[text.includes("line") ? "stroke" : "fill"]));
    const b = light(parse(style(behind).fill));
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
"""


@pytest.fixture
def notebook(lab_page: Any, jupyter_lab: Any, request: pytest.FixtureRequest) -> Any:
    """A function that runs these cells in a fresh notebook and gives its page."""

    def make(*cells: str, theme: str = "JupyterLab Light", **options: Any) -> Any:
        jupyter_lab.set_theme(theme)
        name = re.sub(r"\W+", "-", request.node.name) + ".ipynb"
        page = lab_page(**options)
        page.open(jupyter_lab.write_notebook(name, [WORLD, *cells]))
        page.run_all()
        jupyter_lab.set_theme("JupyterLab Light")
        return page

    return make


def test_the_graph_is_walked_and_asked_by_keyboard_alone(notebook):
    page = notebook(GRAPH)
    graph = page.locator(".labkit-graph")
    assert graph.locator(".lk-node").count() == 9
    assert graph.locator(".lk-stage [tabindex='0']").count() == 1
    graph.locator(".lk-stage [tabindex='0']").focus()
    keyboard = page.page.keyboard
    for key in ["ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"] * 10:
        if page.page.evaluate("document.activeElement.dataset.node") == "shop/db":
            break
        keyboard.press(key)
    assert page.page.evaluate("document.activeElement.dataset.node") == "shop/db"
    keyboard.press("Enter")
    assert graph.locator("[data-node='shop/db']").get_attribute("aria-pressed") == "true"
    assert graph.locator(".lk-edge[tabindex]").count() == 16
    for _ in range(16):
        keyboard.press("ArrowDown")
        if page.page.evaluate("document.activeElement.dataset.flow") == "mail/web>shop/db":
            break
    assert page.page.evaluate("document.activeElement.dataset.flow") == "mail/web>shop/db"
    keyboard.press("Enter")
    why = graph.locator(".lk-panel")
    why.get_by_text("shop/db-only-web").first.wait_for()
    assert "matchLabels: {app: web}" in why.locator(".lk-hit").all_inner_texts()[-1]
    page.page.wait_for_function(
        "document.querySelector('.labkit-graph .lk-live').textContent.includes('Denied')"
    )
    keyboard.press("Escape")
    assert why.is_hidden()
    assert page.page.evaluate("document.activeElement.dataset.flow") == "mail/web>shop/db"
    keyboard.press("p")
    assert graph.locator("[data-id='port-81/TCP']").get_attribute("aria-pressed") == "true"
    assert graph.locator(".lk-stage [tabindex='0']").count() == 1


def test_a_large_clusters_reasons_are_asked_of_the_kernel(notebook):
    page = notebook(CROWD)
    graph = page.locator(".labkit-graph")
    assert graph.locator(".lk-node").count() == 60
    assert graph.locator(".lk-stage .lk-edge").count() == 0  # default allow: no web of lines
    outside = page.page.evaluate(
        """() => [...document.querySelectorAll('.labkit-graph .lk-node')].filter((node) => {
            const box = node.querySelector('rect').getBBox(); const name = node.querySelector('.lk-name').getBBox();
            return name.x < box.x || name.x + name.width > box.x + box.width;
        }).length"""
    )
    assert outside == 0
    graph.locator("[data-node^='team-2/web-3']").click()
    assert graph.locator(".lk-edge[tabindex]").count() == 59
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")
    graph.locator(".lk-panel .lk-half").first.wait_for()
    assert "Not isolated" in graph.locator(".lk-panel").inner_text()


def test_predictions_travel_to_python_and_the_answer_comes_only_with_the_reveal(notebook):
    page = notebook(TABLE)
    table = page.locator(".labkit-table")
    cell = table.locator("[data-flow='shop/web>shop/db']")
    assert table.locator("[role=grid] [tabindex='0']").count() == 1
    assert table.locator("[data-layer=engine]").count() == 0
    cell.click()
    cell.click()
    assert cell.locator("[data-layer=predicted]").inner_text() == "✗"
    page.page.keyboard.press("y")
    assert "you say allowed" in cell.get_attribute("aria-label")
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("n")
    table.locator("[data-id=reveal]").click()
    cell.locator("[data-layer=observed]").wait_for()
    assert cell.locator(".lk-sign").all_inner_texts() == ["✓", "✓", "✗"]
    assert cell.locator(".lk-neq").count() == 1
    cell.click()
    table.locator(".lk-panel .lk-half").first.wait_for()
    assert "The cluster does not do what the policies say" in table.locator(".lk-panel").inner_text()
    page.page.keyboard.press("Escape")
    assert table.locator(".lk-panel").is_hidden()
    page.wait_for_idle()
    still = page.locator("details[data-labkit-still]").text_content()
    assert "shop/web → shop/api, port 80: you said ✗ denied, the engine says ✓ allowed" in still


def test_a_check_shows_its_phases_then_reasons_and_hints_come_one_at_a_time(notebook):
    page = notebook(CHECK)
    panel = page.locator(".labkit-check")
    panel.get_by_role("button", name="Check").click()
    panel.get_by_text("… Trying 12 connections").wait_for()
    assert panel.get_by_text("✓ Reading the policies").count() == 1
    panel.locator(".lk-v-fail").wait_for()
    assert panel.locator(".lk-checks > li").count() == 2
    panel.locator("summary").click()
    assert "shop/db-only-web" in panel.locator(".lk-policy").first.inner_text()
    assert "podSelector" in panel.locator(".lk-hit").first.inner_text()
    hint = panel.get_by_role("button", name=re.compile("hint", re.IGNORECASE))
    hint.click()
    panel.locator(".lk-hint").first.wait_for()
    assert panel.locator(".lk-hint").count() == 1
    assert "Look at line 9" not in panel.inner_text()
    panel.get_by_role("button", name="Reset this step").click()
    assert panel.get_by_role("alertdialog").is_visible()
    page.page.keyboard.press("Escape")
    assert panel.get_by_role("alertdialog").is_hidden()
    assert panel.locator(".lk-v-fail").count() == 1
    panel.get_by_role("button", name="Reset this step").click()
    panel.get_by_role("button", name="Yes, reset").click()
    panel.get_by_text("Back at the start.", exact=True).first.wait_for()
    assert panel.locator(".lk-v-fail").count() == 0


def test_the_still_is_folded_while_the_widget_lives_and_open_when_the_notebook_is_read_later(
    notebook, lab_page, jupyter_lab
):
    page = notebook(GRAPH)
    still = page.locator("details[data-labkit-still]")
    assert still.count() == 1
    assert still.get_attribute("open") is None
    name = page.page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
    page.save()
    page.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    saved = jupyter_lab.read_notebook(name)
    outputs = saved.cells[1].outputs
    assert "application/vnd.jupyter.widget-view+json" in outputs[0].data
    assert "65 of 72 flows allowed on port 80" in outputs[1].data["text/plain"]
    page.page.close()
    later = lab_page()
    later.open(name)
    found = later.locator("details")
    found.first.wait_for()
    assert found.first.get_attribute("open") is not None
    assert found.locator("img").evaluate("(image) => image.complete && image.naturalWidth > 100")
    assert "65 of 72 flows allowed" in found.first.inner_text()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_text_and_lines_keep_their_contrast_in_both_themes(notebook, theme):
    page = notebook("TrafficGraph(world, 80, focus='shop/db')", theme=theme)
    evaluate = page.page.evaluate
    graph = ".labkit-graph"
    assert evaluate(CONTRAST, [graph, ".lk-node .lk-name", ".lk-node > rect"]) >= 4.5
    assert evaluate(CONTRAST, [graph, ".lk-isolated .lk-small", ".lk-isolated > rect"]) >= 4.5
    for kind in ("allowed", "denied"):
        assert evaluate(CONTRAST, [graph, f".lk-e-{kind} .lk-line", ".lk-box rect"]) >= 3
    dark = evaluate("getComputedStyle(document.querySelector('.labkit')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (theme == "JupyterLab Dark")


def test_nothing_moves_for_those_who_asked_for_stillness(notebook):
    page = notebook("TrafficGraph(world, 80, previous=before, focus='shop/db')", reduced_motion="reduce")
    halo = page.locator(".labkit-graph .lk-halo").first
    assert halo.evaluate("(line) => getComputedStyle(line).animationName") == "none"
