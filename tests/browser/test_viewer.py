"""The viewer's page against what Python and the standard make of the same numbers, without JupyterLab."""

from dataclasses import replace

import numpy as np
import pandas as pd
import plain_page
import pytest

from dicomframe.images.layers import Overlay
from dicomframe.images.voi_luts import VoiLut
from dicomframe.images.volume import Volume
from dicomframe.images.windowing import Window, apply_window
from dicomframe.widgets.sources import VolumeSource
from dicomframe.widgets.viewer import Viewer

RANDOM = np.random.default_rng(7)


def linear(values, center, width):
    """PS3.3 C.11.2.1.2.1, as it is written there."""
    shown = np.empty(values.shape)
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    shown[values <= low], shown[values > high] = 0, 255
    between = (values > low) & (values <= high)
    shown[between] = ((values[between] - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.floor(shown + 0.5).astype(np.uint8)


def volume(array, **more):
    """Give an axial volume: slices 3 mm apart, pixels of 1 by 2 mm."""
    affine = np.array([[0, 0, 2.0, -10], [0, 1.0, 0, -20], [3.0, 0, 0, -30], [0, 0, 0, 1]])
    words = {"unit": "HU", "modality": "CT", "window": None, "inverted": False} | more
    return Volume(array, affine, pd.DataFrame(), pd.DataFrame(), **words)


CT = RANDOM.integers(-1024, 3000, (9, 40, 50)).astype(np.int16)


@pytest.fixture
def show(chromium):
    """Show a viewer in a plain page; none of its scripts may fail."""
    context = chromium.new_context(viewport={"width": 960, "height": 660})
    errors, views = [], []

    def shown(view, **more):
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request", lambda request: errors.append(request.url) if request.url.startswith("http") else None
        )
        views.append(view)
        return plain_page.Plain(page, view, **more)

    yield shown
    for view in views:
        view.close()
    context.close()
    assert errors == []


def drag(page, across, down, **more):
    box = page.locator(".dfv-pane").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(**more)
    page.mouse.move(x + across / 2, y + down / 2)
    page.mouse.move(x + across, y + down)
    page.mouse.up(**more)


def test_three_planes_are_the_standards_before_and_after_a_drag(show):
    plain = show(Viewer(volume(CT), window=(40, 400)))
    view = plain.view
    expected = {
        "axial": lambda at: CT[at],
        "coronal": lambda at: CT[::-1, at],
        "sagittal": lambda at: CT[::-1, :, at],
    }
    assert list(expected) == [
        button.inner_text().lower() for button in plain.page.locator("[data-plane]").all()
    ]
    for name, of in expected.items():
        plain.page.locator(f"[data-plane={name}]").click()
        plain.settle()
        assert view.plane == name
        values = of(view.index).astype(float)
        np.testing.assert_array_equal(plain.pixels()[..., 0], linear(values, view.center, view.width))
        before = view.center, view.width
        drag(plain.page, 60, -40)
        plain.settle()
        assert view.width > before[1]
        assert view.center < before[0]
        shown = plain.pixels()
        np.testing.assert_array_equal(shown[..., 0], linear(values, view.center, view.width))
        np.testing.assert_array_equal(shown, view.snapshot())


CASES = {
    "uint8": RANDOM.integers(0, 255, (3, 20, 30)).astype(np.uint8),
    "int8": RANDOM.integers(-128, 127, (3, 20, 30)).astype(np.int8),
    "uint16": RANDOM.integers(0, 65_535, (3, 20, 30)).astype(np.uint16),
    "int32": RANDOM.integers(-(2**31), 2**31, (3, 20, 30)).astype(np.int32),
    "uint32": RANDOM.integers(0, 2**32, (3, 20, 30)).astype(np.uint32),
    "float32": RANDOM.normal(0, 1e-3, (3, 20, 30)).astype(np.float32),
    "float64": RANDOM.normal(0, 1e9, (3, 20, 30)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_type_of_number(show, name):
    array = CASES[name].copy()
    if array.dtype.kind == "f":
        array[1, 0, :3] = [np.nan, np.inf, -np.inf]
    plain = show(Viewer(array))
    view = plain.view
    drag(plain.page, 30, 20)
    plain.settle()
    sent = array[1].astype(np.float32) if array.dtype.kind == "f" else array[1]
    grey = apply_window(sent, view.center, view.width, function=view.function)
    np.testing.assert_array_equal(plain.pixels()[..., 2], np.floor(grey + 0.5).astype(np.uint8))


def test_monochrome1_rgb_and_sigmoid(show):
    plain = show(Viewer(VolumeSource(volume(CT, inverted=True)), window=Window(100, 900, "SIGMOID")))
    grey = np.floor(apply_window(CT[4], 100, 900, function="SIGMOID") + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(plain.pixels()[..., 0], 255 - grey)
    plain.page.locator(".dfv-pane").press("i")
    np.testing.assert_array_equal(plain.pixels()[..., 0], grey)
    colours = RANDOM.integers(0, 255, (4, 30, 20, 3)).astype(np.uint8)
    plain = show(Viewer(colours))
    drag(plain.page, 50, 50)
    np.testing.assert_array_equal(plain.pixels(), colours[2])
    assert not plain.page.locator(".dfv-number").first.is_visible()
    assert plain.view.center is None


class Tabled(VolumeSource):
    """A volume whose images name no window but two VOI LUTs, one that begins below 0 and is no ramp."""

    def look(self, index):
        luts = [
            VoiLut("CONTRAST", -500, RANDOM.integers(0, 256, 2000).astype(np.uint8)),
            VoiLut("VOI <b>2</b>", 40, np.array([0, 255, 7], np.uint8)),
        ]
        return replace(super().look(index), luts=luts, begins_with_lut=True)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_voi_lut_is_applied_listed_and_left_by_a_drag(show, kind):
    view = Viewer(Tabled(volume(CT.astype(kind))))
    plain = show(view)
    luts = view._look.luts
    assert view.lut == 0
    np.testing.assert_array_equal(plain.pixels()[..., 0], luts[0](CT[4]))
    chosen = plain.page.locator("select[aria-label=Window]")
    assert chosen.locator("option").all_inner_texts()[:3] == ["CONTRAST", "VOI <b>2</b>", "full range"]
    assert plain.page.locator(".dfv-window").inner_text() == "CONTRAST"
    chosen.select_option("1")
    plain.settle()
    assert view.lut == 1
    np.testing.assert_array_equal(plain.pixels()[..., 0], luts[1](CT[4]))
    np.testing.assert_array_equal(plain.pixels(), view.snapshot())
    plain.page.locator("[data-plane=coronal]").click()
    plain.settle()
    np.testing.assert_array_equal(plain.pixels(), view.snapshot())
    drag(plain.page, 40, 20)
    plain.settle()
    assert view.lut is None
    np.testing.assert_array_equal(plain.pixels(), view.snapshot())
    assert chosen.input_value() == "-1"
    plain.page.locator(".dfv-pane").press("r")
    plain.settle()
    assert view.lut == 0
    view.inverted = True
    np.testing.assert_array_equal(plain.pixels(), view.snapshot())


def test_a_person_finds_a_slice_windows_it_and_reads_a_value(show):
    plain = show(Viewer(volume(CT), window="lung"))
    view, page = plain.view, plain.page
    drag(page, 0, 0)  # a click in the middle
    plain.settle()
    assert view.cursor == [4, 20, 25]
    for _ in range(2):
        page.mouse.wheel(0, 100)
    plain.settle()
    assert (view.index, view.cursor) == (6, [6, 20, 25])
    x, y, z = (view._source.affine @ [6, 20, 25, 1])[:3]
    assert view.value() == CT[6, 20, 25]
    said = page.locator(".dfv-value").inner_text().splitlines()
    assert said == [f"{CT[6, 20, 25]} HU", "row 20, column 25", f"x {x:.1f}, y {y:.1f}, z {z:.1f} mm"]
    assert page.locator(".dfv-where").inner_text() == "Axial 7 / 9"
    # Across, the place stays the same.
    page.locator("[data-plane=sagittal]").click()
    plain.settle()
    assert (view.plane, view.index) == ("sagittal", 25)
    assert page.locator(".dfv-value").inner_text().splitlines()[0] == f"{CT[6, 20, 25]} HU"
    assert page.locator(".dfv-value").inner_text().splitlines()[-1] == said[-1]
    # The pointer alone reads too; beside the picture there is nothing to read.
    box = page.locator(".dfv-canvas").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"] / 40, box["y"] + 0.5 * box["height"] / 9)
    plain.settle()
    assert page.locator(".dfv-value").inner_text().splitlines()[0] == f"{CT[8, 0, 25]} HU"


def test_keys(show):
    plain = show(Viewer(volume(CT), window=(40, 400)))
    view, page = plain.view, plain.page
    pane = page.locator(".dfv-pane")

    def after(*keys):
        for key in keys:
            pane.press(key)
        plain.settle()

    after("ArrowDown", "ArrowRight", "ArrowUp")
    assert view.index == 5
    after("Home")
    assert view.index == 0
    after("End", "PageUp", "ArrowDown")
    assert view.index == 1
    after("Shift+ArrowRight")
    assert view.cursor == [1, 20, 25]
    after("Shift+ArrowRight", "Shift+ArrowUp")
    assert view.cursor == [1, 19, 26]
    after("Escape")
    assert view.cursor is None
    after("w")
    assert view.width > 400
    after("r", "l")
    assert (view.center > 40, view.width) == (True, 400)
    after("3")
    assert (view.center, view.width) == (50, 400)  # abdomen, the first of the CT's presets
    after("i")
    assert view.inverted
    after("+", "+", "Alt+ArrowRight")
    assert view.zoom == pytest.approx(1.5625)
    assert view.pan[0] > 0
    after("r")
    assert (view.center, view.width, view.inverted, view.zoom, view.pan) == (40, 400, False, 1, [0, 0])
    after("s")
    assert view.plane == "sagittal"
    after("c", "a")
    assert view.plane == "axial"
    after("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Enter")  # on its button, which has the focus
    plain.settle()
    assert not page.get_by_role("dialog").is_visible()


def test_zoom_and_pan_keep_the_place_under_the_pointer(show):
    plain = show(Viewer(volume(CT)))
    page = plain.page
    box = page.locator(".dfv-pane").bounding_box()
    x, y = box["x"] + 300, box["y"] + 200
    page.mouse.move(x, y)
    plain.settle()
    read = page.locator(".dfv-value").inner_text()
    page.keyboard.down("Control")
    for _ in range(3):
        page.mouse.wheel(0, -200)
        plain.settle(0.1)
    page.keyboard.up("Control")
    assert plain.view.zoom > 3
    page.mouse.move(x + 1, y)
    page.mouse.move(x, y)
    plain.settle()
    assert page.locator(".dfv-value").inner_text() == read
    before = list(plain.view.pan)
    drag(page, 40, 30, button="middle")
    plain.settle()
    assert plain.view.pan[0] < before[0]
    assert plain.view.pan[1] < before[1]
    zoom = plain.view.zoom
    drag(page, 0, 60, button="right")
    plain.settle()
    assert plain.view.zoom < zoom


def test_python_sets_what_is_shown(show):
    plain = show(Viewer(volume(CT), window=(40, 400)))
    view = plain.view
    view.index, view.center, view.width = 2, 100, 50
    np.testing.assert_array_equal(plain.pixels()[..., 0], linear(CT[2].astype(float), 100, 50))
    view.cursor = [2, 5, 6]
    view.plane = "coronal"
    assert view.index == 5
    np.testing.assert_array_equal(plain.pixels(), view.snapshot())
    assert plain.page.locator(".dfv-number").first.input_value() == "100"
    view.playing = True
    view.rate = 30
    plain.until(lambda: view.index != 5)
    view.playing = False


def test_the_controls_are_the_same_state(show):
    plain = show(Viewer(volume(CT), window=(40, 400)))
    view, page = plain.view, plain.page
    page.get_by_label("Window", exact=True).get_by_role("combobox").select_option(label="bone")
    plain.settle()
    assert (view.center, view.width, view.function) == (400, 1500, "LINEAR")
    page.get_by_label("Window center").fill("12.5")
    page.get_by_label("Window center").press("Enter")
    page.get_by_label("Window width").fill("-3")
    page.get_by_label("Window width").press("Enter")
    page.get_by_label("Slice", exact=True).fill("8")
    plain.settle()
    assert (view.center, view.width, view.index) == (12.5, 1, 8)
    np.testing.assert_array_equal(plain.pixels(), view.snapshot())


def overlays():
    mask = np.zeros(CT.shape, bool)
    mask[3:6, 10:30, 5:25] = True
    dose = np.linspace(0, 60, CT.size, dtype=np.float32).reshape(CT.shape)
    dose[:, 0, :] = np.nan
    square = np.array([[5, 10], [24, 10], [24, 29], [5, 29], [5, 10]], float)
    return [
        Overlay("Tumour", "mask", (230, 159, 0), mask),
        Overlay("Plan", "dose", (0, 0, 0), dose, "Gy"),
        Overlay("PTV", "mask", (0, 158, 115), mask, contours={at: [square] for at in (3, 4, 5)}),
    ]


def test_overlays(show):
    plain = show(Viewer(volume(CT), window=(40, 400), overlays=overlays()))
    view, page = plain.view, plain.page
    # On the slices, contours are lines of the page, not pixels.
    assert page.locator(".dfv-contour").count() == 1
    page.locator("[data-visible='2']").uncheck()
    plain.settle()
    assert page.locator(".dfv-contour").count() == 0
    assert view.visible == [True, True, False]
    with_both = plain.pixels()
    np.testing.assert_array_equal(with_both, view.snapshot())
    page.locator("[data-opacity='0']").fill("0.75")
    page.locator("[data-visible='1']").uncheck()
    plain.settle()
    assert view.opacities[0] == 0.75
    grey = linear(CT[4].astype(float), 40, 400).astype(float)
    expected = np.repeat(grey[..., np.newaxis], 3, axis=2)
    inside = (slice(10, 30), slice(5, 25))
    expected[inside] += (np.array([230, 159, 0]) - expected[inside]) * 0.75
    np.testing.assert_array_equal(plain.pixels(), np.floor(expected + 0.5).astype(np.uint8))
    view.visible = [True, True, True]
    for name in ("coronal", "sagittal"):
        view.plane = name
        np.testing.assert_array_equal(plain.pixels(), view.snapshot())
    assert (view.snapshot() != Viewer(volume(CT), window=(40, 400)).snapshot().mean()).any()
    view.plane = "axial"
    view.cursor = [4, 12, 8]
    plain.settle()
    said = page.locator(".dfv-value").inner_text().splitlines()
    assert said[1:4] == ["Tumour", f"Plan {view._overlays[1].array[4, 12, 8]:.2f} Gy", "PTV"]
    page.locator(".dfv-pane").press("o")
    np.testing.assert_array_equal(plain.pixels()[..., 0], linear(CT[4].astype(float), 40, 400))


def test_the_asked_slice_comes_first_and_never_more_than_a_few_megabytes_at_once(show):
    view = Viewer(np.zeros((24, 512, 512), np.int16), index=18)
    log = []
    heard = view._hear

    def hear(widget, content, buffers):
        if content.get("kind") == "ask":
            log.append(len(content["slices"]))
        heard(widget, content, buffers)

    view._hear = hear
    plain = show(view, log=lambda content: log.append(-len(content.get("slices", []))))
    sent = [content for content, _ in plain.sent if content["kind"] == "slices"]
    order = [each["index"] for content in sent for each in content["slices"]]
    assert order[0] == 18
    assert set(order) == set(range(24))
    distances = [abs(index - 18) for index in order]
    assert max(distances[:8]) <= 8
    assert distances[-1] >= 12
    # Half a megabyte each; the first is sent before it is asked for.
    assert 4 <= np.cumsum(log).max() <= 8
    assert all(size <= 600 * 1024 for _, size in plain.sent)


def test_a_stack_past_the_budget_keeps_what_is_near_and_has_planes_cut(show, monkeypatch):
    monkeypatch.setattr("dicomframe.widgets.setup.HELD_BYTES", 5 * CT[0].nbytes)
    view = Viewer(volume(CT), window=(40, 400))
    plain = show(view)
    asked = {
        each["index"]
        for content, _ in plain.sent
        if content["kind"] == "slices"
        for each in content["slices"]
    }
    assert asked == {2, 3, 4, 5, 6}
    view.index = 0
    np.testing.assert_array_equal(plain.pixels()[..., 0], linear(CT[0].astype(float), 40, 400))
    plain.page.locator("[data-plane=coronal]").click()
    plain.settle()
    assert view.plane == "coronal"
    np.testing.assert_array_equal(plain.pixels(), view.snapshot())
    assert any(content["kind"] == "plane" for content, _ in plain.sent)


def test_a_slice_that_fails_says_why_and_the_others_are_shown(show):
    from dicomframe.errors import DecodeError

    class Broken(VolumeSource):
        def _make(self, index):
            if index == 5:
                raise DecodeError("<b>The pixel data</b> is cut off.")
            return super()._make(index)

    plain = show(Viewer(Broken(volume(CT)), window=(40, 400)))
    plain.page.locator(".dfv-pane").press("ArrowDown")
    plain.settle()
    said = "This slice cannot be shown: <b>The pixel data</b> is cut off."
    assert plain.page.locator(".dfv-notice").inner_text() == said
    assert not plain.pixels().any()
    plain.page.locator(".dfv-pane").press("ArrowDown")
    np.testing.assert_array_equal(plain.pixels(), plain.view.snapshot())
    assert plain.page.locator(".dfv-notice").inner_text() == ""


HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    '"\' onmouseover="window.hacked = 1" \u202e\x1b[31m javascript:window.hacked=1 `${window.hacked = 1}`'
)


def test_hostile_texts_run_nothing(show):
    from dataclasses import replace

    class Hostile(VolumeSource):
        def look(self, index):
            return replace(super().look(index), title=HOSTILE, unit=HOSTILE, note=HOSTILE)

    laid = [replace(each, label=HOSTILE, unit=HOSTILE) for each in overlays()]
    plain = show(Viewer(Hostile(volume(CT)), overlays=laid))
    page = plain.page
    drag(page, 0, 0)
    plain.until(lambda: "<img src=x" in page.locator(".dfv-status").inner_text())  # it is read out
    plain.settle()
    for place in (".dfv-what", ".dfv-value", ".dfv-side", ".dfv-status"):
        assert "<img src=x" in page.locator(place).inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator(".dfv script, .dfv img").count() == 0


def test_what_is_read_out(show):
    plain = show(Viewer(volume(CT), window=(40, 400)))
    page = plain.page
    page.locator(".dfv-pane").press("ArrowDown")
    page.locator(".dfv-pane").press("Shift+ArrowLeft")
    status = page.get_by_role("status")
    assert status.get_attribute("aria-live") == "polite"
    read = f"Axial 6 of 9, window 40, 400. {CT[5, 20, 25]} HU at row 20, column 25"
    plain.until(lambda: status.inner_text().startswith(read))
    # Every control has a name, and keeps its keys from JupyterLab.
    for control in page.locator(".dfv button, .dfv input, .dfv select, .dfv-pane").all():
        assert control.get_attribute("data-lm-suppress-shortcuts") is not None
        assert control.get_attribute("aria-label") or control.evaluate("each => each.labels?.length > 0")
    assert page.get_by_role("slider", name="Slice").get_attribute("aria-valuetext") == "6 of 9"


def test_touch(chromium):
    context = chromium.new_context(viewport={"width": 500, "height": 800}, has_touch=True)
    view = Viewer(volume(CT), window=(40, 400))
    plain = plain_page.Plain(context.new_page(), view)
    session = context.new_cdp_session(plain.page)

    def touch(kind, *points):
        places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    box = plain.page.locator(".dfv-pane").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch("touchStart", (x, y))
    touch("touchMove", (x + 50, y))
    touch("touchEnd")
    plain.settle()
    assert view.width > 400
    touch("touchStart", (x - 20, y), (x + 20, y))
    touch("touchMove", (x - 60, y), (x + 60, y))
    touch("touchEnd")
    plain.settle()
    assert view.zoom == pytest.approx(3, rel=0.3)
    context.close()
    view.close()
