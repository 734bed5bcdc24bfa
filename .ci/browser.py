"""Run the notebooks in JupyterLab, in a headless Chromium, by its menu, and take screenshots.

    python .ci/browser.py                        the notebook of the router
    python .ci/browser.py 01_quickstart ...      others
    python .ci/browser.py all

It needs JupyterLab and Selenium (the group `browser` of pyproject.toml), Chromium and its driver
(Debian: chromium, chromium-driver). The notebooks run on a copy without outputs, in an environment
whose proxy leads nowhere. The screenshots are below build/screenshots: look at them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
SCREENSHOTS = ROOT / "build" / "screenshots"
DEFAULT = "04_router"
NOWHERE = "http://127.0.0.1:9"
START_SECONDS = 90
RUN_SECONDS = 400
WIDTH, HEIGHT, MARGIN = 1100, 1000, 250
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    f"--window-size={WIDTH},{HEIGHT}",
)
# All cells stay in the page, so that what is off the screen is looked at too.
SETTINGS = {"@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"}}
# It would look for news at another host.
DISABLED = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
READY = "return !!document.querySelector('.jp-NotebookPanel .jp-CodeCell')"
IDLE = "return document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status"
PROMPTS = """return [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
    .map(one => one.textContent.trim())"""
WRONG = """return [...document.querySelectorAll(
    '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type="application/vnd.jupyter.stderr"]'
)].map(one => one.textContent)"""
PICTURES = """return [...document.querySelectorAll('.jp-OutputArea-output img')]
    .map(one => [one.naturalWidth, one.naturalHeight])"""
LENGTH = """const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
    return cells.at(-1).getBoundingClientRect().bottom - cells[0].getBoundingClientRect().top"""
TOP = "document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer').scrollTop = 0"


def main(names: list[str]) -> None:
    """Run the named notebooks; exits with 1 where one fails."""
    if names == ["all"]:
        names = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory() as folder, laboratory(Path(folder)) as address, browser() as page:
        for name in names or [DEFAULT]:
            begun = time.monotonic()
            wrong = looked_at(page, address.format(name), name)
            print(f"{name}: {wrong or 'passed'} ({time.monotonic() - begun:.0f} s)", flush=True)
            failed += [name] if wrong else []
    sys.exit(1 if failed else 0)


def looked_at(page: webdriver.Chrome, address: str, name: str) -> str:
    """Run one notebook and return what is wrong with it, "" for nothing."""
    code, drawn = expected(name)
    page.set_window_size(WIDTH, HEIGHT)
    page.get(address)
    WebDriverWait(page, START_SECONDS).until(
        lambda one: one.execute_script(READY), "The notebook does not open."
    )
    run_all(page)  # what is run waits for the kernel
    prompts = [f"[{number}]:" for number in range(1, code + 1)]
    WebDriverWait(page, RUN_SECONDS, poll_frequency=0.5).until(
        lambda one: one.execute_script(IDLE) == "idle" and one.execute_script(PROMPTS) == prompts,
        "The cells do not come to an end.",
    )
    page.switch_to.active_element.send_keys(Keys.CONTROL, "b")  # without the list of files
    for _ in range(2):  # a wider page is a shorter one
        time.sleep(0.5)  # nothing depends on it but the screenshot's look
        page.set_window_size(WIDTH, MARGIN + page.execute_script(LENGTH))
    page.execute_script(TOP)
    page.save_screenshot(str(SCREENSHOTS / f"{name}.png"))
    if wrong := page.execute_script(WRONG):
        return f"FAILED: {wrong[0][:500]}"
    pictures = page.execute_script(PICTURES)
    if len(pictures) != drawn or not all(width and height for width, height in pictures):
        return f"FAILED: {drawn} pictures are due, and there are {pictures}"
    return ""


def expected(name: str) -> tuple[int, int]:
    """Return how many cells of code a notebook has, and how many pictures, as it is committed."""
    cells = [cell for cell in committed(name).cells if cell.cell_type == "code"]
    return len(cells), sum("image/png" in out.get("data", {}) for cell in cells for out in cell.outputs)


def committed(name: str) -> nbformat.NotebookNode:
    """Return a notebook as it is in the repository."""
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def run_all(page: webdriver.Chrome) -> None:
    """Choose "Run All Cells" of the menu "Run"."""
    for place, words in ((".lm-MenuBar-itemLabel", "Run"), (".lm-Menu-itemLabel", "Run All Cells")):
        items = WebDriverWait(page, START_SECONDS).until(
            lambda one, place=place, words=words: [
                item for item in one.find_elements(By.CSS_SELECTOR, place) if item.text == words
            ],
            f"There is no {words!r} in the menu.",
        )
        items[0].click()


@contextmanager
def laboratory(folder: Path) -> Iterator[str]:
    """Start JupyterLab over a copy of the notebooks; yields the address of one, with a place for its name."""
    work = folder / "notebooks"
    shutil.copytree(NOTEBOOKS / "data", work / "data")
    for path in NOTEBOOKS.glob("*.ipynb"):
        notebook = committed(path.stem)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, work / path.name)
    for plugin, settings in SETTINGS.items():
        write(folder / "settings" / f"{plugin}.jupyterlab-settings", settings)
    write(folder / "config" / "labconfig" / "page_config.json", DISABLED)
    token = secrets.token_hex()
    variables = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    variables |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    variables |= {
        "NO_PROXY": "127.0.0.1",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_TOKEN": token,
        "FREEPROVIDERS_STATE": str(folder / "state"),
    }
    options = (
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={work}",
        "--LabApp.extension_manager=readonly",
    )
    with (folder / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=variables, stdout=log, stderr=log, cwd=work
        )
    try:
        root = server_address(server, folder)
        yield f"{root}lab/tree/{{}}.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)


def server_address(server: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until the server listens, and return where; exits where it ends before that."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        for file in (folder / "runtime").glob("jpserver-*.json"):
            try:
                return str(json.loads(file.read_text(encoding="utf-8"))["url"])
            except ValueError:
                pass  # it is being written
        time.sleep(0.2)
    log = (folder / "log").read_text(encoding="utf-8")
    raise SystemExit(f"JupyterLab does not start:\n{log[-2000:]}")


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Start Chromium with a profile of its own."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        raise SystemExit(
            "Chromium and its driver are needed: on Debian, the packages chromium and chromium-driver."
        )
    options = webdriver.ChromeOptions()
    options.binary_location = program
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        page = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield page
        finally:
            page.quit()


def write(path: Path, data: object) -> None:
    """Write a file of JSON, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
