"""A JupyterLab on loopback and what drives it: for the tests of this folder, and for benchmarks."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Seconds within which a machine with much else to do runs a cell, opens a page or saves a notebook.
PATIENCE = 90
ROOT = Path(__file__).parents[2]
SETTINGS = {
    # It would ask whether to fetch news, over what is to be looked at.
    "apputils-extension/notification": '{"fetchNews": "false"}',
    # Cells out of sight would not be there.
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path
    count: int = 0

    def open(self, page, *cells, run=True):
        """Open a notebook of these cells, run them all and wait until they are done; give its path."""
        self.count += 1
        path = self.folder / f"notebook-{self.count}.ipynb"
        path.write_text(json.dumps(notebook_of(cells)))
        self.show(page, path)
        if run:
            page.locator(".jp-Notebook-cell").first.click()
            page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=PATIENCE * 1000)
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_text("Run All Cells", exact=True).click()
            for at in range(len(cells)):
                prompt = page.locator(".jp-CodeCell .jp-InputPrompt").nth(at)
                prompt.filter(has_text=f"[{at + 1}]:").wait_for(timeout=PATIENCE * 1000)
        return path

    def show(self, page, path):
        page.goto(f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{path.name}?token={self.token}")
        page.locator(".jp-Notebook-cell").first.wait_for(timeout=PATIENCE * 1000)

    def run(self, page, code):
        """Run code in the notebook's last cell, and give what it prints."""
        cell = page.locator(".jp-CodeCell").last
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        # A cell is done before its text has been painted, which waits for the browser to have time.
        mark = f"done-{secrets.token_hex(4)}"
        page.keyboard.insert_text(f"{code}\nprint({mark!r})")
        before = cell.locator(".jp-InputPrompt").inner_text()
        page.keyboard.press("Control+Enter")
        handle = cell.locator(".jp-InputPrompt").element_handle()
        page.wait_for_function(
            "([prompt, before]) => /\\[\\d+\\]/.test(prompt.innerText) && prompt.innerText !== before",
            arg=[handle, before],
            timeout=PATIENCE * 1000,
        )
        outputs = cell.locator(".jp-OutputArea-output")
        outputs.filter(has_text=mark).wait_for(state="attached", timeout=PATIENCE * 1000)
        texts = [text.replace(f"{mark}\n", "") for text in outputs.all_inner_texts()]
        return [text for text in texts if text]

    def save(self, page, path):
        """Save the notebook and read it back."""
        before = path.stat().st_mtime_ns
        page.keyboard.press("Control+s")
        until(page, lambda: path.stat().st_mtime_ns != before and is_whole(path))
        return json.loads(path.read_text())


def until(page, is_so):
    """Ask again until something is so."""
    latest = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < latest, "it did not come to be so"
        page.wait_for_timeout(50)


def is_whole(path):
    """Say whether a notebook has been written to its end."""
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def notebook_of(cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(cells)
        ],
    }


@contextmanager
def running(folder, hidden):
    """Run JupyterLab with a token, on notebooks in one folder, with settings and data of its own in another."""
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    environment = os.environ | {name: str(hidden / place) for name, place in places.items()}
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    for name, text in SETTINGS.items():
        place = hidden / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True)
        place.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
        *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = (hidden / "log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(900):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=10).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        else:
            raise RuntimeError(f"JupyterLab did not start: {(hidden / 'log').read_text()[-2000:]}")
        yield Lab(url, token, folder)
    finally:
        process.terminate()
        process.wait(timeout=300)
        log.close()
