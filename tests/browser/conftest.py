"""A JupyterLab on loopback and Debian's Chromium, for tests of what a person sees."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

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
HERE = Path(__file__).parent
ARTEFACTS = HERE / "artefacts"
DOCS_IMAGES = HERE.parents[1] / "docs" / "images"


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def chromium():
    """Start the browser."""
    if not Path(CHROMIUM).exists():
        reason = "chromium is not installed: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


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
            page.wait_for_function(
                "() => document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
            )
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_text("Run All Cells", exact=True).click()
            for at in range(len(cells)):
                prompt = page.locator(".jp-CodeCell .jp-InputPrompt").nth(at)
                prompt.filter(has_text=f"[{at + 1}]:").wait_for(timeout=30_000)
        return path

    def show(self, page, path):
        page.goto(f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{path.name}?token={self.token}")
        page.locator(".jp-Notebook-cell").first.wait_for(timeout=30_000)

    def run(self, page, code):
        """Run code in the notebook's last cell, and give what it prints."""
        cell = page.locator(".jp-CodeCell").last
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(code)
        before = cell.locator(".jp-InputPrompt").inner_text()
        page.keyboard.press("Control+Enter")
        handle = cell.locator(".jp-InputPrompt").element_handle()
        page.wait_for_function(
            "([prompt, before]) => /\\[\\d+\\]/.test(prompt.innerText) && prompt.innerText !== before",
            arg=[handle, before],
        )
        return cell.locator(".jp-OutputArea-output").all_inner_texts()

    def save(self, page, path):
        """Save the notebook and read it back."""
        before = path.stat().st_mtime_ns
        page.keyboard.press("Control+s")
        for _ in range(100):
            if path.stat().st_mtime_ns != before:
                break
            page.wait_for_timeout(50)
        page.wait_for_timeout(100)
        return json.loads(path.read_text())


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


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Run JupyterLab with a token, and with settings and data of its own."""
    folder = tmp_path_factory.mktemp("lab")
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    hidden = tmp_path_factory.mktemp("jupyter")
    environment = os.environ | {name: str(hidden / place) for name, place in places.items()}
    environment["PYTHONPATH"] = f"{HERE.parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"),
        *("--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"),
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = (hidden / "log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=1).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        else:
            pytest.fail(f"JupyterLab did not start: {(hidden / 'log').read_text()[-2000:]}")
        yield Lab(url, token, folder)
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


@pytest.fixture
def page(chromium, lab):
    """Give a fresh page that reaches nothing but JupyterLab."""
    yield from watched_page(chromium, lab.url)


def watched_page(chromium, home, **more):
    """Open a page; requests to other hosts are refused, and one of them fails the test, as does an error in a script."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, **more)
    foreign, errors = [], []

    def judge(route):
        url = route.request.url
        if url.startswith((f"{home}/", "data:", "blob:", "about:")):
            route.continue_()
        else:
            foreign.append(url)
            route.abort()

    context.route("**/*", judge)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(15_000)
    yield page
    context.close()
    assert foreign == []
    assert errors == []


@pytest.fixture
def screenshot(page, request):
    """Keep a picture of the page; where the documents' pictures are made, of a part of it there too."""
    yield lambda name, part=None, docs=False: keep(page, name, part, docs=docs)


def keep(page, name, part=None, *, docs=False):
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    (page if part is None else part).screenshot(path=path)
    if docs and os.environ.get("DICOMFRAME_DOCS_IMAGES") == "1":
        shutil.copy(path, DOCS_IMAGES / path.name)
    return path
