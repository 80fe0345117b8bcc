"""A JupyterLab on loopback and Debian's Chromium, for tests of what a person sees."""

import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from lab_server import CHROMIUM, FLAGS, running  # noqa: E402 - found by the line above

ARTEFACTS = HERE / "artefacts"
DOCS_IMAGES = HERE.parents[1] / "docs" / "images"


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="module")
def chromium():
    """Start the browser; not for longer, since an event loop runs in this thread as long as Playwright does."""
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


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Run JupyterLab with a token, and with settings and data of its own."""
    with running(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab


@pytest.fixture
def page(chromium, lab):
    """Give a fresh page that reaches nothing but JupyterLab."""
    yield from watched_page(chromium, lab.url)


def watched_page(chromium, home, **more):
    """Open a page; requests to other hosts are refused and fail the test, as does an error in a script."""
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
    page.set_default_timeout(90_000)
    yield page
    context.close()
    assert foreign == []
    assert errors == []


@pytest.fixture
def screenshot(page, request):
    """Keep a picture of the page; where the documents' pictures are made, of a part of it there too."""
    return lambda name, part=None, docs=False: keep(page, name, part, docs=docs)


def keep(page, name, part=None, *, docs=False):
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    (page if part is None else part).screenshot(path=path)
    if docs and os.environ.get("DICOMFRAME_DOCS_IMAGES") == "1":
        shutil.copy(path, DOCS_IMAGES / path.name)
    return path
