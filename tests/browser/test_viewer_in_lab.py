"""The viewer in JupyterLab: what Python sees, what the saved notebook shows, both themes."""

import base64
import io
import json
import os
import subprocess
import sys

import numpy as np
from lab_server import until
from PIL import Image

ARRAY = """
import numpy as np
import dicomframe as dfr
from dicomframe.widgets.viewer import Viewer
array = np.random.default_rng(5).integers(-1000, 3000, (20, 512, 512)).astype("int16")
view = Viewer(array, window=(40, 400))
view
"""

COHORT = """
import dicomframe as dfr
from dicomframe.samples import cohort, planned_study, treatment_plan
local = dfr.start_local()
client = local.connect(progress=False)
study = planned_study()
stored = client.store([*cohort([study]), *treatment_plan()])
series = client.search_series(study.uid).to_frame()
ct, plan = series[series["Modality"] == "CT"], series[series["Modality"] != "CT"]
"""

PIXELS = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
  return [canvas.height, canvas.width, btoa(text)];
}"""


def pixels(page, number=0):
    rows, columns, data = page.locator(".dfv-canvas").nth(number).evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows, columns, 4)[..., :3]


def wait_for_pixels(page, expected, number=0):
    """Wait until a grey picture is on the canvas."""
    until(page, lambda: np.array_equal(pixels(page, number)[..., 0], expected))


def grey_of(values, center, width):
    """PS3.3 C.11.2.1.2.1."""
    linear = np.clip(((values - (center - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)
    return np.floor(linear + 0.5)


def kept(page):
    """Give the picture for other readers, which the page has but does not show."""
    source = page.locator(".jp-OutputArea-child img").first.get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def wait_for_picture(page, number=0):
    """Wait until the viewer has all its slices and has painted."""
    pane = page.locator(".dfv").nth(number)
    pane.locator(".dfv-where").filter(has_text="/").wait_for()
    page.wait_for_function(
        "(at) => [...document.querySelectorAll('.dfv')][at].querySelector('.dfv-loaded').textContent === ''",
        arg=number,
    )
    until(page, lambda: pixels(page, number).any())


def middle(page):
    box = page.locator(".dfv-pane").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def picture_in(notebook):
    """Give the one picture that a saved notebook holds, and the text of everything else in it."""
    outputs = [output for cell in notebook["cells"] for output in cell["outputs"]]
    found = [output["data"].pop("image/png") for output in outputs if "image/png" in output.get("data", {})]
    assert len(found) == 1
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0])))), json.dumps(notebook)


def test_python_sees_and_sets_and_the_notebook_keeps_a_picture(lab, page):
    path = lab.open(page, ARRAY, "pass")
    wait_for_picture(page)
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.wheel(0, 100)
    page.mouse.down()
    page.mouse.move(x + 40, y + 10)
    page.mouse.move(x + 80, y + 20)
    page.mouse.up()
    page.mouse.click(x, y)
    page.keyboard.press("ArrowDown")  # JupyterLab would take it for itself
    page.locator(".dfv-where").filter(has_text="13 / 20").wait_for()
    asked = "print(view.index, view.center, view.width, view.cursor, view.value(), array[12, 256, 256])"
    said = []

    def has_heard():
        said[:] = lab.run(page, asked)
        return said[0].startswith("12 ")  # what was done last

    until(page, has_heard)
    index, center, width, cursor = said[0].split(maxsplit=3)
    assert (index, cursor.startswith("[12, 256, 256]")) == ("12", True)
    assert cursor.split("] ")[1].split()[0] == f"{float(cursor.split()[-1])}"
    assert (float(center), float(width)) == (60, 480)
    assert page.locator(".jp-Notebook-cell.jp-mod-selected").count() == 1

    lab.run(page, "view.index, view.center, view.width = 3, 500, 2000")
    array = np.random.default_rng(5).integers(-1000, 3000, (20, 512, 512)).astype("int16")
    expected = grey_of(array[3], 500, 2000)
    wait_for_pixels(page, expected)

    # Live, the picture for other readers is hidden; in the file it is there, renewed once the view had rested.
    assert not page.locator(".jp-OutputArea-child img").first.is_visible()
    until(page, lambda: np.array_equal(kept(page), expected))
    picture, rest = picture_in(lab.save(page, path))
    np.testing.assert_array_equal(picture, expected)
    assert len(rest) < 6000
    assert "widget-state" not in rest

    # Static renderers show it, and so does JupyterLab when the kernel is gone.
    html = path.with_suffix(".html")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output", html.name, path.name]
    subprocess.run(command, cwd=lab.folder, check=True, capture_output=True, timeout=300, env=quiet(lab))
    static = page.context.new_page()
    static.set_content(html.read_text().replace("<script", "<template").replace("</script", "</template"))
    image = static.locator("img[src^='data:image/png']")
    size = "each => [each.naturalWidth, each.naturalHeight]"
    until(page, lambda: image.evaluate(size) == [512, 512])
    static.close()
    lab.run(page, "import IPython; IPython.get_ipython().kernel.do_shutdown(False)")


def quiet(lab):
    return os.environ | {
        "JUPYTER_CONFIG_DIR": str(lab.folder / "none"),
        "JUPYTER_DATA_DIR": str(lab.folder / "none"),
    }


def test_without_a_kernel_the_picture_is_shown(lab, page):
    png = base64.b64encode(_png()).decode()
    view = {
        "application/vnd.jupyter.widget-view+json": {
            "model_id": "gone",
            "version_major": 2,
            "version_minor": 0,
        }
    }
    from_cell = [
        {"output_type": "display_data", "data": data, "metadata": {}} for data in (view, {"image/png": png})
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "view", "execution_count": 1}
    notebook["cells"] = [cell | {"outputs": from_cell}]
    path = lab.folder / "without-kernel.ipynb"
    path.write_text(json.dumps(notebook))
    lab.show(page, path)
    page.locator(".jp-OutputArea-child img").wait_for()


def _png():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_series_with_a_plan(lab, page, screenshot):
    lab.open(page, COHORT, 'view = ct.dicom.view(overlays=plan, window="mediastinum")\nview')
    wait_for_picture(page)
    x, y = middle(page)
    page.mouse.click(x - 80, y - 2)
    page.mouse.move(x - 80, y - 1)
    viewer = page.locator(".dfv")
    viewer.locator(".dfv-value").filter(has_text="HU").wait_for()
    viewer.locator(".dfv-missing").filter(has_text="Not shown: 1 part (point); see problems.").wait_for()
    page.wait_for_timeout(300)
    viewer.scroll_into_view_if_needed()
    screenshot("viewer-overlays", viewer, docs=True)
    for name in ("coronal", "sagittal"):
        viewer.locator(f"[data-plane={name}]").click()
        page.wait_for_timeout(200)
        screenshot(f"viewer-{name}", viewer)
    viewer.locator(".dfv-pane").press("?")
    page.wait_for_timeout(100)
    screenshot("viewer-keys", viewer, docs=True)
    viewer.get_by_role("button", name="Close the list").click()
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.get_by_text("Theme", exact=True).click()  # resting on it opens it only if the menu is there by then
    page.get_by_text("JupyterLab Dark", exact=True).click()
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    viewer.locator("[data-plane=axial]").click()
    page.wait_for_timeout(300)
    screenshot("viewer-dark", viewer, docs=True)
    back = "getComputedStyle(document.querySelector('.dfv')).backgroundColor"
    page.wait_for_function(f"() => Math.max(...{back}.match(/\\d+/g).slice(0, 3)) < 60")


def test_two_viewers_and_one_shown_twice(lab, page):
    two = """
import numpy as np
from dicomframe.widgets.viewer import Viewer
a = Viewer(np.full((3, 8, 8), 10, "uint8"), window=(11, 21))
b = Viewer(np.full((4, 8, 8), 15, "uint8"), window=(11, 21))
display(a, b, a)
"""
    lab.open(page, two, "pass")
    for number in range(3):
        wait_for_picture(page, number)
    assert [int(pixels(page, number)[0, 0, 0]) for number in range(3)] == [121, 185, 121]
    page.locator(".dfv-pane").nth(2).press("Home")
    where = ["Slice 1 / 3", "Slice 3 / 4", "Slice 1 / 3"]
    until(page, lambda: page.locator(".dfv-where").all_inner_texts() == where)
    assert lab.run(page, "print(a.index, b.index)") == ["0 2\n"]


def test_the_page_is_loaded_again(lab, page):
    path = lab.open(page, ARRAY, "pass")
    wait_for_picture(page)
    page.locator(".dfv-pane").press("Home")
    array = np.random.default_rng(5).integers(-1000, 3000, (20, 512, 512)).astype("int16")
    expected = grey_of(array[0], 40, 400)
    wait_for_pixels(page, expected)
    until(page, lambda: np.array_equal(kept(page), expected))  # Python has heard it
    lab.save(page, path)  # by Ctrl + S, with the focus in the viewer
    page.reload()
    page.locator(".dfv-canvas").first.wait_for()
    wait_for_picture(page)
    wait_for_pixels(page, expected)
