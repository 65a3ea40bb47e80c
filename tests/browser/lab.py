"""JupyterLab in a real browser: open a notebook, run it, press what a student presses, and see what a student sees."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Error, expect, sync_playwright

from edakit.brokers.processes import free_ports

ROOT = Path(__file__).parents[2]
VIEWPORT = {"width": 1300, "height": 1500}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells outside of the window are there too
    "docmanager-extension/plugin": {"autosave": False},
}

# What JupyterLab itself writes to the console as an error when all is well: by name, what it says.
ALLOWED: dict[str, re.Pattern[str]] = {}

OPEN = """path => {
  const open = async app => {
    await app.restored;
    const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
    await panel.context.ready;
    await panel.sessionContext.ready;
    window.opened = panel;
  };
  open(window.jupyterapp);
}"""
RUN = """() => {
  const run = async () => {
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    return true;
  };
  window.ran = null;
  run().catch(String).then(ended => { window.ran = ended; });
}"""
# A reply may overtake what its cell shows; when the empty request after it is done, all of that has come.
SETTLE = """async () => {
  await window.opened.sessionContext.session.kernel.requestExecute({code: '', silent: true, store_history: false}).done;
}"""
CELLS = """() => window.opened.content.widgets.map(cell => {
  const model = cell.model.sharedModel;
  return {source: model.source, kind: model.cell_type, tags: model.metadata.tags || [], count: model.execution_count ?? null,
          outputs: model.cell_type === 'code' ? model.outputs : []};
})"""
OUTERMOST = """all => all.filter(each => !each.parentElement.closest("[class*='edakit-']"))
  .map(each => [...each.classList].find(name => name.startsWith('edakit-')))"""
SCROLLED = "[...document.querySelectorAll('.jp-WindowedPanel-outer, .jp-Notebook')]"
# What a picture consists of: the numbers on a slider's own label are not part of it.
PICTURE = """element => [
  ...[...element.querySelectorAll('img')].map(each => each.src),
  ...[...element.querySelectorAll('canvas')].map(each => each.toDataURL()),
  ...[...element.querySelectorAll('svg')].map(each => each.outerHTML),
  ...[...element.querySelectorAll('table, pre, output, [role=status], .jp-OutputArea-output')].map(each => each.innerText),
].join('\\n')"""


class Notebook:
    """One notebook that is open in the browser.

    Attributes:
        path: Where it is, relative to the root of the server.
        page: Playwright's page.
        errors: What was written to the console as an error, and is not on the list of Lab's own.
    """

    def __init__(self, path, page, errors):
        self.path, self.page, self.errors = path, page, errors

    def run_all(self, seconds=120):
        """Run all cells, and wait until the kernel has nothing left to do."""
        self.page.evaluate(RUN)
        self.page.wait_for_function("() => window.ran", timeout=seconds * 1000)
        ran = self.page.evaluate("() => window.ran")
        assert ran is True, ran
        self.settle()

    def settle(self):
        """Wait until the kernel has done what it was asked for, and all of that is shown."""
        self.page.evaluate(SETTLE)

    def cells(self):
        """Return what each cell holds: source, kind, tags, count, outputs."""
        return self.page.evaluate(CELLS)

    def failures(self):
        """Return the errors in cells that are not tagged raises-exception, and the cells that did not run."""
        code = [cell for cell in self.cells() if cell["kind"] == "code" and cell["source"].strip()]
        errors = [
            f"{output['ename']}: {output['evalue']}, in {cell['source'][:60]!r}"
            for cell in code
            if "raises-exception" not in cell["tags"]
            for output in cell["outputs"]
            if output["output_type"] == "error"
        ]
        return errors + [f"did not run: {cell['source'][:60]!r}" for cell in code if cell["count"] is None]

    def cell(self, begin):
        """Return the element of the first cell whose source begins with *begin*."""
        index = next(index for index, cell in enumerate(self.cells()) if cell["source"].startswith(begin))
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def widgets(self):
        """Return the outermost elements of the course's widgets by class, predictions aside."""
        found = self.page.locator(".jp-OutputArea-output [class*='edakit-']").evaluate_all(OUTERMOST)
        return {name: self.page.locator(f".jp-OutputArea-output .{name}").first for name in dict.fromkeys(found) if not name.startswith("edakit-predict")}

    def sliders(self, widget):
        """Return the handles in *widget*: those of ipywidgets and the browser's own."""
        return widget.locator(".noUi-handle, input[type=range]").all()

    def picture(self, widget):
        """Return what the picture of *widget* consists of, as one text."""
        return widget.evaluate(PICTURE)

    def changes(self, widget, act, seconds=60):
        """Do *act*, and wait until the picture of *widget* has become another one, and all of that is shown; fail if it stays as it was."""
        before = self.picture(widget)
        act()
        deadline = time.monotonic() + seconds
        while self.picture(widget) == before:
            assert time.monotonic() < deadline, "the picture did not change"
            self.page.wait_for_timeout(50)
        self.settle()

    def move(self, handle):
        """Move the slider of *handle* by one step, up if that is possible; return the key that takes it back."""
        handle.scroll_into_view_if_needed()
        at_first = _value(handle)
        for key, back in (("ArrowRight", "ArrowLeft"), ("ArrowLeft", "ArrowRight")):
            handle.focus()
            handle.press(key)
            if _value(handle) != at_first:
                return back
        raise AssertionError(f"the slider stays at {at_first}")

    def screenshot(self, name):
        """Save a picture of the page to the folder $EDAKIT_SCREENSHOTS, if that is set."""
        if folder := os.environ.get("EDAKIT_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png")

    def photograph(self, name, begin=None):
        """Save a picture of the whole notebook, or of the cell that begins with *begin*, to $EDAKIT_SCREENSHOTS, if that is set."""
        if os.environ.get("EDAKIT_SCREENSHOTS"):
            height = self.page.evaluate(f"() => Math.max(...{SCROLLED}.map(each => each.scrollHeight))")
            self.page.set_viewport_size({"width": VIEWPORT["width"], "height": min(height + 150, 16000)})
            # After Run All it stands at the last cell, also when there is room for all.
            self.page.evaluate(f"() => {SCROLLED}.forEach(each => {{ each.scrollTop = 0; }})")
            self.page.wait_for_timeout(500)
            if begin is None:
                self.screenshot(name)
            else:
                self.cell(begin).screenshot(path=Path(os.environ["EDAKIT_SCREENSHOTS"]) / f"{name}.png")
            self.page.set_viewport_size(VIEWPORT)


def _value(handle):
    return handle.evaluate("each => each.getAttribute('aria-valuetext') ?? each.getAttribute('aria-valuenow') ?? each.value")


class Lab:
    """A server of JupyterLab, and a browser that is connected to it."""

    def __init__(self, root, address, token, context):
        self.root, self.address, self.token, self.context = root, address, token, context

    @contextmanager
    def open(self, path):
        """Open the notebook at *path*, relative to the root; end its kernel afterwards."""
        page = self.context.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" and not _allowed(message.text) else None)
        # A workspace of its own: Lab sends a second window of one workspace to another address, in the middle of what it does.
        page.goto(f"{self.address}/lab/workspaces/{secrets.token_hex(4)}?token={self.token}")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate(OPEN, str(path))
        page.wait_for_function("() => window.opened")
        notebook = Notebook(path, page, errors)
        try:
            yield notebook
        except BaseException:
            notebook.screenshot(f"failed-{Path(path).stem}")
            raise
        finally:
            _close(page)


def _allowed(text):
    return any(pattern.fullmatch(text) for pattern in ALLOWED.values())


def _close(page):
    try:
        page.evaluate("async () => { await window.opened?.sessionContext.shutdown(); }")
    except Error:  # the page has gone already, and its kernels end with the server
        return
    page.close()


@contextmanager
def running_lab(root, private):
    """Serve the folder *root*, with settings of its own in the folder *private*, and open a browser."""
    # Not Lab's usual port: two test runs that begin at the same time would both find it free.
    token, [port] = secrets.token_hex(16), free_ports(1)
    with _server(root, private, token, port) as address, sync_playwright() as playwright:
        expect.set_options(timeout=60_000)
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=FLAGS)
        context = browser.new_context(viewport=VIEWPORT)
        context.set_default_timeout(120_000)  # JupyterLab on a busy machine
        yield Lab(root, address, token, context)
        browser.close()


def chromium():
    """Return the path of the system's Chromium; None where there is none."""
    return next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


@contextmanager
def _server(root, private, token, port):
    for name, settings in SETTINGS.items():
        file = private / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings), encoding="utf-8")
    names = {"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR"}
    inherited = {name: value for name, value in os.environ.items() if name not in {"MPLBACKEND", "EDAKIT_PREDICTIONS", "EDAKIT_BROKER"}}
    # The kernels import the edakit that is tested, wherever the environment has another one from.
    inherited["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = inherited | {name: str(private / name) for name in names} | {"JUPYTERLAB_SETTINGS_DIR": str(private / "settings"), "JUPYTER_TOKEN": token}
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.root_dir": root,
        "KernelManager.transport_encryption": "auto",
        "LabApp.expose_app_in_browser": True,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (private / "lab.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, f"{address}/api/status?token={token}", private / "lab.log")
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(process, address, log, seconds=120):
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2):  # noqa: S310 (our own server)
                return
        except OSError:
            said = log.read_text(encoding="utf-8")[-2000:]
            assert process.poll() is None, f"JupyterLab ended at once: {said}"
            assert time.monotonic() < deadline, f"JupyterLab does not answer: {said}"
            time.sleep(0.1)
