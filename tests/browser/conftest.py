"""A real JupyterLab and a headless Chromium, for tests that look at what a learner sees.

Fixtures: `chromium` (a Playwright browser), `jupyter_lab` (a running server with its own configuration and an empty root folder),
`lab_page` (a page that counts every request, opens notebooks and runs them). Where there is no Chromium the tests
are skipped, and the reason says how to get one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import nbformat
import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
START_SECONDS = 60.0


def find_chromium() -> str | None:
    """LABKIT_CHROMIUM, or the first Chromium on the PATH."""
    wanted = os.environ.get("LABKIT_CHROMIUM")
    return wanted or next((found for name in NAMES if (found := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Playwright browser on the machine's own Chromium."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the dev extra has it)")
    from playwright.sync_api import sync_playwright

    executable = find_chromium()
    if executable is None:
        pytest.skip(
            "no Chromium: install one (Debian: apt-get install chromium) or set LABKIT_CHROMIUM to its path"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class LabServer:
    """A running JupyterLab: where it is, and the folder it serves."""

    url: str
    token: str
    root: Path
    settings: Path
    process: subprocess.Popen[bytes]
    log: Path

    def write_notebook(
        self, name: str, cells: Sequence[str], metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Put a notebook with these code cells into the folder; returns its name for `LabPage.open`."""
        notebook = nbformat.v4.new_notebook()
        notebook.metadata.update(
            {
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                **(metadata or {}),
            }
        )
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(notebook, self.root / name)
        return name

    def read_notebook(self, name: str) -> Any:
        """The notebook as it was saved."""
        return nbformat.read(self.root / name, as_version=4)

    def set_theme(self, theme: str) -> None:
        """ "JupyterLab Light" or "JupyterLab Dark", for pages opened from now on."""
        folder = self.settings / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "themes.jupyterlab-settings").write_text(f'{{"theme": "{theme}"}}')
        (folder / "notification.jupyterlab-settings").write_text(
            '{"fetchNews": "false", "checkForUpdates": false}'
        )


def start_lab(folder: Path, environment: Mapping[str, str] | None = None) -> LabServer:
    """Start `jupyter lab` on a free port with everything of its own below `folder`; returns when it answers."""
    root, settings = folder / "root", folder / "settings"
    for path in (root, settings, folder / "config", folder / "runtime", folder / "ipython"):
        path.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    repository = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(repository), os.environ.get("PYTHONPATH", "")])),
    }
    log = folder / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "jupyterlab",
                    "--no-browser",
                    "--allow-root",
                    "--expose-app-in-browser",
                ),
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={root}",
                f"--LabApp.user_settings_dir={settings}",
                f"--LabApp.workspaces_dir={folder / 'workspaces'}",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                "--LabApp.extension_manager=readonly",
            ],
            env={**os.environ, **own, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=root,
            start_new_session=True,
        )
    server = LabServer(f"http://127.0.0.1:{port}", token, root, settings, process, log)
    server.set_theme("JupyterLab Light")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{server.url}/api?token={token}", timeout=2):
                return server
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    stop_lab(server)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


def stop_lab(server: LabServer) -> None:
    """End the server and its kernels."""
    if server.process.poll() is None:
        server.process.terminate()
        try:
            server.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(5)


@pytest.fixture(scope="session")
def jupyter_lab(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[LabServer]:
    """A JupyterLab for the whole session (after `chromium`, so that nothing starts where no browser is)."""
    server = start_lab(tmp_path_factory.mktemp("lab"))
    yield server
    stop_lab(server)


@dataclass
class LabPage:
    """A browser page on a JupyterLab. `requests` has the address of everything it asked for, `errors` what went wrong in it."""

    page: Any
    server: LabServer
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, notebook: str) -> None:
        """Open a notebook alone in the main area and wait until its kernel is idle."""
        self.page.goto(f"{self.server.url}/lab/tree/{notebook}?token={self.server.token}&reset")
        self.page.wait_for_function(
            """name => {
                const app = window.jupyterapp; const panel = app && app.shell.currentWidget;
                return panel && panel.context && panel.context.path === name && panel.context.isReady &&
                    panel.sessionContext && panel.sessionContext.session && panel.sessionContext.session.kernel &&
                    panel.sessionContext.session.kernel.status === 'idle';
            }""",
            arg=notebook,
            timeout=60_000,
        )
        # The side bar and the footer only take room from what is to be looked at.
        self.page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); }")

    def run_all(self, seconds: float = 120) -> None:
        """Run all cells and wait until the kernel is idle again."""
        self.page.set_default_timeout(seconds * 1000)
        self.page.evaluate("() => { window.labkitDone = false; window.jupyterapp.commands.execute('notebook:run-all-cells')"
                           ".finally(() => { window.labkitDone = true; }); }")  # fmt: skip
        self.page.wait_for_function("() => window.labkitDone", timeout=seconds * 1000)
        self.wait_for_idle(seconds)

    def wait_for_idle(self, seconds: float = 60) -> None:
        """Wait until the kernel has nothing to do and the widgets on the page have been drawn."""
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle' && "
            "!document.querySelector('.jp-InputPrompt[data-labkit-busy]') && "
            "[...document.querySelectorAll('.jp-InputPrompt')].every(e => !e.textContent.includes('*'))",
            timeout=seconds * 1000,
        )
        self.page.wait_for_timeout(300)

    def save(self) -> None:
        """Save the notebook, as Ctrl-S does."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def foreign_requests(self) -> list[str]:
        """Addresses asked for that are not on this machine. Data and blob addresses never leave the page."""
        return [
            url
            for url in self.requests
            if urlparse(url).scheme not in ("data", "blob", "about")
            and urlparse(url).hostname not in LOOPBACK
        ]

    def locator(self, selector: str) -> Any:
        """Playwright's locator in the page."""
        return self.page.locator(selector)

    def screenshot(self, path: Path, selector: str | None = None) -> None:
        """A picture of the page, or of one element."""
        if selector is None:
            self.page.screenshot(path=str(path))
        else:
            self.page.locator(selector).first.screenshot(path=str(path))


OpenPage = Callable[..., LabPage]


@pytest.fixture
def lab_page(chromium: Any, jupyter_lab: LabServer) -> Iterator[OpenPage]:
    """A function that opens a page on the lab: `lab_page(server=None, width=1280, height=1400, **context options)`.

    After the test every page must have stayed on this machine and have raised no error.
    """
    contexts, pages = [], []

    def make(
        server: LabServer | None = None, *, width: int = 1280, height: int = 1400, **options: Any
    ) -> LabPage:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        found = LabPage(context.new_page(), server or jupyter_lab)
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.on("websocket", lambda channel: found.requests.append(channel.url))
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        pages.append(found)
        return found

    yield make
    for context in contexts:
        context.close()
    for found in pages:
        assert found.foreign_requests() == []
        assert found.errors == []
