import subprocess
import sys
from types import SimpleNamespace

import pytest

from labkit.widgets import CheckPanel, TrafficGraph, TruthTableView, display


def views(world):
    return [TrafficGraph(world, 80), TruthTableView(world, 80), CheckPanel("One door")]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_importing_the_widgets_loads_no_notebook_and_no_plotting_library():
    heavy = {"ipywidgets", "anywidget", "traitlets", "matplotlib", "IPython", "kubernetes", "numpy"}
    done = run(f"import sys, labkit.widgets; print(sorted({heavy!r} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_where_anywidget_and_matplotlib_are_absent_text_html_and_svg_still_work():
    done = run(
        "import sys\n"
        "for name in ('anywidget', 'ipywidgets', 'matplotlib', 'traitlets'): sys.modules[name] = None\n"
        "from labkit.policy import World\n"
        "from labkit.widgets import TrafficGraph, TruthTableView, CheckPanel, LiveUnavailable\n"
        "pod = lambda n: {'kind': 'Pod', 'metadata': {'name': n, 'namespace': 'x'}, 'spec': {}}\n"
        "world = World.from_objects([pod('a'), pod('b')])\n"
        "for view in (TrafficGraph(world, 80), TruthTableView(world, 80), CheckPanel('t')):\n"
        "    assert view.to_text() and view.to_html()\n"
        "    try: view.widget()\n"
        "    except LiveUnavailable as error: assert 'to_text()' in str(error)\n"
        "    else: raise SystemExit('a widget appeared')\n"
        "assert TrafficGraph(world, 80).to_svg().startswith('<svg')\n"
        "print('fine')\n"
    )
    assert done.stdout.strip() == "fine", done.stderr


def test_without_a_notebook_kernel_there_is_no_live_widget():
    assert display.static_only() != ""


def test_the_static_variable_wins_over_a_kernel(monkeypatch):
    monkeypatch.setenv(display.STATIC_VARIABLE, "1")
    assert "LABKIT_STATIC" in display.static_only()


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, as a notebook would get it."""
    outputs = []

    def record(item, raw=False, display_id=None):
        outputs.append(item)
        return SimpleNamespace(update=lambda new, raw: outputs.append(("update", new)))

    import IPython.display

    monkeypatch.setattr(IPython.display, "display", record)
    return outputs


def test_static_shows_the_still_alone_with_all_of_the_text(world, shown):
    for view in views(world):
        view.display()
    assert all(set(item) == {"text/plain", "text/html"} for item in shown)
    assert "43 of 72 flows allowed" in shown[0]["text/plain"]
    assert 'open=""' in shown[0]["text/html"]


def test_live_shows_the_widget_and_then_the_still_as_an_output_of_its_own(world, shown, monkeypatch):
    monkeypatch.setattr(display, "static_only", lambda: "")
    view = TrafficGraph(world, 80)
    view.display()
    assert shown[0] is view.widget()
    assert "43 of 72 flows allowed" in shown[1]["text/plain"]
    assert f'data-labkit-still="{view.widget().still}"' in shown[1]["text/html"]


def test_the_still_follows_what_the_learner_does(world, shown, monkeypatch):
    monkeypatch.setattr(display, "static_only", lambda: "")
    view = TruthTableView(world, 3306, predict=True)
    view.display()
    view.widget().predicted = {"3306/TCP": {"shop/web": {"shop/db": "allow"}}}
    kind, bundle = shown[-1]
    assert kind == "update"
    assert "Cells still blank: 71" in bundle["text/plain"]


def test_the_stills_picture_is_an_image_that_an_untrusted_notebook_shows_too(world):
    html = TrafficGraph(world, 80).still_html()
    assert (
        '<img alt="Traffic graph. 43 of 72 flows allowed on port 80." src="data:image/svg+xml;base64,' in html
    )
    assert "<svg" not in html


def test_every_asset_is_package_data_and_fetches_nothing():
    from labkit.widgets import assets

    for name in ("graph", "table", "check"):
        text = assets.module(name) + assets.style(name)
        assert "export default" in text
        assert "common.js" not in text.replace('from "./common.js"', "")
        for far in (
            "http://",
            "https://",
            "import(",
            "@import",
            "url(",
            "fetch(",
            "XMLHttpRequest",
            "WebSocket",
        ):
            assert far not in text.replace("http://www.w3.org/2000/svg", ""), (name, far)
