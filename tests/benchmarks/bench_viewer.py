"""The viewer in JupyterLab in headless Chromium: 200 slices of 512 by 512 from the local service, moved by real input.

Times are taken in the page, from the arrival of an input event until the frame in which it is painted is made. What
the browser takes before, from the event's own time stamp until the page gets it, is a row of its own.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from pathlib import Path

from measure import Row, local_service

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))

#: Measured by hand with the same stack, mouse and browser, once, in versions that later ones may surpass.
QUOTED = (
    ("ipympl, a drag until it is painted, at best", 165.0, "ms"),
    ("ipympl, a drag until it is painted, at worst", 290.0, "ms"),
    ("ipyniivue, 100 MB opened", 50.0, "s"),
)

#: Notes when what happened, by patching what every canvas and every page has.
WATCH = """() => {
  window.seen = { frames: [], inputs: [], painted: [] };
  const put = CanvasRenderingContext2D.prototype.putImageData;
  let isPainting = false;
  CanvasRenderingContext2D.prototype.putImageData = function (...rest) {
    isPainting = true;
    return put.apply(this, rest);
  };
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (callback) => ask((now) => {
    isPainting = false;
    const began = performance.now();
    const given = callback(now);
    if (!isPainting) return given;
    window.seen.frames.push(performance.now() - began);
    // A message arrives after the frame is made.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => window.seen.painted.push(performance.now());
    port2.postMessage(null);
    return given;
  });
  const note = (event) => window.seen.inputs.push([performance.now(), event.timeStamp]);
  for (const type of ["pointermove", "wheel"]) window.addEventListener(type, note, { capture: true, passive: true });
}"""

STORE = """
import copy, sys
import numpy as np
import pandas as pd  # as notebooks do; else the cell that is timed would load it
import dicomframe as dfr
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

def slices(count, side):
    base = dcmread(get_testdata_file("CT_small.dcm", download=False))
    base.StudyInstanceUID, base.SeriesInstanceUID = generate_uid(), generate_uid()
    base.Rows = base.Columns = side
    base.ImageOrientationPatient, base.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    noise = np.random.default_rng(0).normal(0, 20, (side, side))
    for number in range(count):
        ds = copy.deepcopy(base)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.ImagePositionPatient, ds.InstanceNumber = [-180, -180, 1.5 * number], number
        body = np.where(x**2 + y**2 < 0.2 - 0.0005 * number, 1064, 24)
        ds.PixelData = (body + np.roll(noise, number)).astype("<i2").tobytes()
        yield ds
"""

OPEN = """
client = dfr.connect({url!r})
series = client.search_series(StudyInstanceUID={study!r}).to_frame()
view = series.dicom.view(window=(40, 400))
view
"""

INTERACT = """
%matplotlib inline
import matplotlib.pyplot as plt
from ipywidgets import interact
array = np.stack([ds.pixel_array for ds in slices({count}, {side})])
@interact(k=(0, len(array) - 1))
def show(k):
    plt.imshow(array[k], cmap="gray", vmin=824, vmax=1224)
    plt.show()
"""


def percentile(times, share):
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def rows(quick=False):
    """Give all rows."""
    from lab_server import CHROMIUM, FLAGS, running
    from playwright.sync_api import sync_playwright

    count, side, moves = (12, 128, 12) if quick else (200, 512, 120)
    size = f"{count} x {side} x {side} int16"
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as hidden,
        local_service() as (url, _),
        running(Path(folder), Path(hidden)) as lab,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        study = store(url, count, side)
        lab.open(page, STORE, "pass")
        page.evaluate(WATCH)
        yield from opening(lab, page, url, study, size)
        yield from moving(page, moves, size)
        page.close()
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        lab.open(page, STORE, "pass")
        page.evaluate(WATCH)
        yield from jumping(lab, page, url, study, size, min(moves, count) // 3)
        page.close()
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        yield from interacting(lab, page, size, count, side, 4 if quick else 15)
        browser.close()
    for work, figure, unit in QUOTED:
        yield Row(work, "200 x 512 x 512 int16", figure, unit, note="quoted from a trial")


def store(url, count, side):
    import dicomframe as dfr

    namespace: dict = {}
    exec(STORE, namespace)  # noqa: S102 - the same code runs in the notebook
    datasets = list(namespace["slices"](count, side))
    with dfr.connect(url, progress=False) as client:
        client.store(datasets)
    return datasets[0].StudyInstanceUID


def opened(lab, page, url, study, more=""):
    """Run the cell that opens the viewer; give the page's time when it was started."""
    page.evaluate("() => { seen.painted.length = 0; seen.frames.length = 0; }")
    cell = page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(more + OPEN.format(url=url, study=study))
    began = page.evaluate("performance.now()")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => seen.painted.length > 0", polling=20)
    return began


def opening(lab, page, url, study, size):
    began = opened(lab, page, url, study)
    first = page.evaluate("seen.painted[0]") - began
    page.wait_for_function("() => document.querySelector('.dfv-loaded').textContent === ''", polling=50)
    whole = page.evaluate("performance.now()") - began
    yield Row("viewer: first slice, from running the cell until it is painted", size, first / 1000, "s", 1)
    yield Row("viewer: all slices behind it", size, whole / 1000, "s", 10)


def moving(page, moves, size):
    page.locator(".dfv").scroll_into_view_if_needed()
    box = page.locator(".dfv-pane").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)

    def clear():
        page.wait_for_timeout(300)
        page.evaluate("() => { for (const list of Object.values(seen)) list.length = 0; }")

    page.mouse.down()
    page.mouse.move(x + 9, y)  # nearer, it would be a click
    clear()
    for number in range(moves):
        page.mouse.move(x + 10 + number, y + number % 40)
        page.wait_for_timeout(20)
    page.mouse.up()
    drags, before_drags = latencies(page)
    frames = page.evaluate("seen.frames")
    clear()
    for number in range(moves):
        page.mouse.wheel(0, 100 if number % 60 < 30 else -100)
        page.wait_for_timeout(20)
    wheels, before_wheels = latencies(page)
    yield Row("viewer: paint, median", size, statistics.median(frames), "ms", 5)
    yield Row("viewer: drag, pointer move to painted, 95th of 100", size, percentile(drags, 0.95), "ms", 20)
    yield Row("viewer: scroll to a slice that is here, 95th of 100", size, percentile(wheels, 0.95), "ms", 25)
    for what, times in (("pointer move", before_drags), ("wheel", before_wheels)):
        note = "the browser's own"
        yield Row(f"{what} until the page gets it, 95th of 100", "", percentile(times, 0.95), "ms", note=note)


def latencies(page):
    """Give for each input how long it took until the next frame was made, and how long it was under way before."""
    page.wait_for_timeout(200)
    seen = page.evaluate("seen")
    found = []
    for moment, _ in seen["inputs"]:
        after = [painted for painted in seen["painted"] if painted >= moment]
        if after:
            found.append(after[0] - moment)
    return found, [arrived - stamped for arrived, stamped in seen["inputs"]]


def jumping(lab, page, url, study, size, jumps):
    """Jump to slices that neither the page nor the kernel has: the stack is held back to a few slices."""
    opened(lab, page, url, study, "import dicomframe.widgets.setup as s\ns.HELD_BYTES = 4 * 512 * 512\n")
    page.wait_for_timeout(1000)
    slider = page.locator(".dfv-slider")
    count = int(slider.get_attribute("max")) + 1
    places = random.Random(0).sample([at for at in range(count) if at != count // 2], jumps)
    times = []
    for place in places:
        # Only a frame with a picture is painted by putImageData; an empty one is cleared.
        began = page.evaluate(
            "([each, value]) => { seen.painted.length = 0; each.value = value;"
            " const now = performance.now(); each.dispatchEvent(new Event('input')); return now; }",
            [slider.element_handle(), str(place)],
        )
        page.wait_for_function("() => seen.painted.length > 0", polling=5)
        times.append(page.evaluate("seen.painted[0]") - began)
        page.wait_for_timeout(150)
    yield Row(
        "viewer: jump to a slice that is not here, 95th of 100", size, percentile(times, 0.95), "ms", 150
    )


def interacting(lab, page, size, count, side, steps):
    """Draw the same slices by matplotlib, as notebooks do without a viewer."""
    lab.open(page, STORE, INTERACT.format(count=count, side=side))
    page.locator(".widget-output img").wait_for()
    handle = page.locator(".widget-slider .noUi-handle, .widget-slider [role=slider]").first
    handle.focus()
    times = []
    for _ in range(steps):
        page.wait_for_timeout(300)
        times.append(
            page.evaluate("""() => new Promise((done) => {
              const before = document.querySelector(".widget-output img").src;
              const began = performance.now();
              const look = () => {
                const image = document.querySelector(".widget-output img");
                if (image && image.src !== before && image.complete) done(performance.now() - began);
                else setTimeout(look, 2);
              };
              const key = { key: "ArrowRight", code: "ArrowRight", keyCode: 39, bubbles: true };
              document.activeElement.dispatchEvent(new KeyboardEvent("keydown", key));
              look();
            })""")
        )
    yield Row("matplotlib with interact, a slice, median", size, statistics.median(times), "ms", note="peer")
