"""The viewer from Python's side: what it accepts, tells and saves; the page is tested in tests/browser."""

import base64
import io
import json
import time

import numpy as np
import pandas as pd
import pytest

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.layers import Overlay
from dicomframe.images.volume import Volume
from dicomframe.images.windowing import Window
from dicomframe.widgets.feed import Feed
from dicomframe.widgets.painting import Slice
from dicomframe.widgets.viewer import Viewer

CT = np.random.default_rng(3).integers(-1024, 3000, (6, 12, 10)).astype(np.int16)
AFFINE = np.array([[0, 0, 2.0, -10], [0, 1.0, 0, -20], [3.0, 0, 0, -30], [0, 0, 0, 1]])


def volume(**more):
    words = {"unit": "HU", "modality": "CT"} | more
    return Volume(CT, AFFINE, pd.DataFrame(), pd.DataFrame(), **words)


@pytest.fixture
def view():
    made = Viewer(volume(), window=(40, 400))
    yield made
    made.close()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5),
        np.zeros((2, 2, 2, 2)),
        np.zeros((0, 3)),
        np.array([["a"]]),
        np.zeros((4, 4), complex),
        "CT",
        None,
        np.zeros((2, 2), "datetime64[s]"),
    ],
)
def test_what_is_no_picture(array):
    with pytest.raises(QueryError, match="A viewer shows"):
        Viewer(array)


@pytest.mark.parametrize("index", [-1, 6, 2.0, "2", True])
def test_there_is_no_such_slice(index):
    with pytest.raises(QueryError, match="index= is a whole number from 0 to 5"):
        Viewer(volume(), index=index)


@pytest.mark.parametrize("window", ["nothing", (1,), (0, 0), Window])
def test_there_is_no_such_window(window):
    with pytest.raises(QueryError, match="window"):
        Viewer(volume(), window=window)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("index", 6, "from 0 to 5"),
        ("plane", "oblique", "The planes of this viewer are axial, coronal, sagittal"),
        ("width", 0.5, "at least 1"),
        ("center", float("nan"), "finite"),
        ("cursor", [0, 12, 0], "must be inside"),
        ("cursor", [-1, 0, 0], "must be inside"),
        ("visible", [True], "There are 0 overlays"),
        ("opacities", [0.5], "There are 0 overlays"),
    ],
)
def test_what_cannot_be_set(view, name, value, says):
    before = getattr(view, name)
    with pytest.raises(QueryError, match=says):
        setattr(view, name, value)
    assert getattr(view, name) == before


def test_colour_has_no_window():
    view = Viewer(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(QueryError, match="colour has no window"):
        view.center = 5
    with pytest.raises(QueryError, match="The planes of this viewer are slices"):
        view.plane = "axial"


def test_overlays_must_fit():
    with pytest.raises(QueryError, match="in the grid of the slices"):
        Viewer(volume(), overlays=[Overlay("x", "mask", (1, 2, 3), np.zeros((1, 2, 3), bool))])


def test_the_crosshair_and_the_planes_go_together(view):
    assert view.value() is None
    view.cursor = [2, 3, 4]
    assert view.value() == CT[2, 3, 4]
    view.index = 5
    assert view.cursor == [5, 3, 4]
    view.plane = "sagittal"
    assert view.index == 4
    assert view.snapshot().shape == (6, 12, 3)
    view.cursor = None
    view.plane = "coronal"
    assert view.index == 6
    assert repr(view) == "<Viewer: CT 6 x 12 x 10, coronal 6, window 40/400 HU>"


def test_what_the_page_sets_at_once_stays_together(view):
    view.set_state({"plane": "coronal", "index": 11, "cursor": [1, 11, 2]})
    assert (view.plane, view.index, view.cursor) == ("coronal", 11, [1, 11, 2])


def test_rgb_values():
    view = Viewer(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    view.cursor = [0, 1, 2]
    assert view.value() == (18, 19, 20)


def test_the_state_that_a_notebook_saves_has_numbers_only():
    secret = "Doe^Hidden"
    overlay = Overlay(secret, "mask", (1, 2, 3), np.ones(CT.shape, bool))
    view = Viewer(volume(modality="CT"), overlays=[overlay])
    state = view.get_state()
    text = json.dumps(
        {name: value for name, value in state.items() if name not in {"_esm", "_css", "layout"}}
    )
    assert secret not in text
    assert len(text) < 1000
    assert not any(isinstance(value, bytes | memoryview) for value in state.values())


def test_a_picture_goes_with_the_live_view(view):
    from PIL import Image

    bundle, _ = view._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    assert bundle["text/plain"] == repr(view)
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    # Twelve rows of 1 mm, ten columns of 2 mm, four times as large.
    assert image.size == (80, 48)


def test_a_picture_of_512_pixels_is_saved_as_it_is():
    from PIL import Image

    view = Viewer(np.random.default_rng(1).integers(0, 4000, (512, 512)).astype(np.uint16))
    data = base64.b64decode(view._repr_mimebundle_()[0]["image/png"])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), view.snapshot()[..., 0])


def test_without_a_notebook_it_is_a_line(view, capsys):
    view._ipython_display_()
    assert capsys.readouterr().out == f"{view!r}\n"


def test_words_of_the_page_that_make_no_sense_are_passed_over(view):
    told = []
    view._tell = lambda content, buffers: told.append(content)
    for content in (
        None,
        "ready",
        [],
        {},
        {"kind": "ask"},
        {"kind": "ask", "slices": [-1, 6, "2", None, True, 2.0]},
        {"kind": "ask", "slices": "12"},
        {"kind": "ask_plane", "plane": "oblique", "index": 0},
        {"kind": "ask_plane", "plane": "coronal", "index": 12},
        {"kind": "ask_plane", "plane": ["coronal"], "index": 1},
    ):
        view._hear(view, content, [])
    time.sleep(0.05)
    assert told == []


def collect(feed_of, asked):
    """Have a feed of in-memory slices send what was asked for; give the messages."""
    messages = []
    feed = feed_of(lambda content, buffers: messages.append(content))
    for indices, first in asked:
        feed.ask(indices, first=first)
    wanted = {index for indices, _ in asked for index in indices}
    until = time.monotonic() + 60
    while time.monotonic() < until:
        here = {each["index"] for content in messages for each in content.get("slices", [content])}
        if here == wanted:
            break
        time.sleep(0.005)
    feed.close()
    return messages


def test_the_feed_sends_small_slices_together_and_large_ones_alone():
    small = Slice(np.zeros((16, 16), np.uint8))
    messages = collect(lambda send: Feed(lambda index: small, send, 256), [(range(500), False)])
    assert sum(len(content["slices"]) for content in messages) == 500
    assert len(messages) <= 6
    large = Slice(np.zeros((1024, 1024), np.uint8))
    messages = collect(lambda send: Feed(lambda index: large, send, 1024 * 1024), [(range(5), False)])
    assert [len(content["slices"]) for content in messages] == [1] * 5


def test_the_feed_prefers_what_is_looked_at():
    from threading import Event

    gate, made = Event(), []

    def give(index):
        gate.wait(60)
        made.append(index)
        return Slice(np.zeros((1024, 1024), np.uint8))

    feed = Feed(give, lambda content, buffers: None, 1024 * 1024)
    feed.ask(range(20), first=False)
    time.sleep(0.1)  # each thread has taken one
    feed.ask([99], first=True)
    gate.set()
    until = time.monotonic() + 60
    while len(made) < 21 and time.monotonic() < until:
        time.sleep(0.01)
    feed.close()
    assert len(made) == 21
    assert made.index(99) <= 7


def test_the_feed_says_what_fails_and_goes_on():
    def give(index):
        if index == 1:
            raise DecodeError("It is cut off.")
        if index == 2:
            raise ZeroDivisionError
        return Slice(np.zeros((4, 4), np.uint8))

    messages = collect(lambda send: Feed(give, send, 16), [([0, 1, 2, 3], False)])
    failed = {content["index"]: content["reason"] for content in messages if content["kind"] == "failed"}
    assert failed == {1: "It is cut off.", 2: "an unexpected error; see the log"}
    assert {each["index"] for content in messages for each in content.get("slices", [])} == {0, 3}
