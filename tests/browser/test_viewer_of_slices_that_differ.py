"""Slices that differ in slope, type and unit: each plane of the page shows and tells what each slice's own say."""

import numpy as np
import plain_page
import pytest

from dicomframe.images.windowing import Window
from dicomframe.widgets.painting import Slice
from dicomframe.widgets.planes import planes_of
from dicomframe.widgets.sources import Look, Source
from dicomframe.widgets.viewer import Viewer

SHAPE = (5, 20, 24)
VALUES = np.random.default_rng(3).integers(0, 200, SHAPE)
SLOPES = [1.0, 0.5, 1 / 3, 2.0, 1e-3]
TYPES = ["uint8", "int16", "uint16", "int32", "uint32"]
UNITS = ["Bq/ml", "Bq/ml", "counts", "", "g/ml"]


class Differing(Source):
    """Axial slices, 3 mm apart, each with scale, type and unit of its own."""

    def __init__(self):
        super().__init__()
        self.affine = np.array([[0, 0, 2.0, 0], [0, 1.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
        self.planes = planes_of(SHAPE, self.affine)

    def _make(self, index):
        stored = VALUES[index].astype(TYPES[index])
        return Slice(stored, SLOPES[index], 0.0, units=(UNITS[index],))

    def look(self, index):
        return Look(unit=UNITS[index], window=Window(60, 120), high=200.0)


@pytest.fixture
def show(chromium):
    context = chromium.new_context(viewport={"width": 960, "height": 660})
    errors, views = [], []

    def shown(view):
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        views.append(view)
        return plain_page.Plain(page, view)

    yield shown
    for view in views:
        view.close()
    context.close()
    assert errors == []


@pytest.mark.parametrize("held", [None, 700])
def test_other_planes_of_slices_that_differ(show, monkeypatch, held):
    if held:  # less than all slices: then Python cuts the planes
        monkeypatch.setattr("dicomframe.widgets.setup.HELD_BYTES", held)
    plain = show(Viewer(Differing()))
    view = plain.view
    for name, rows in (("coronal", np.moveaxis(VALUES, 1, 0)), ("sagittal", np.moveaxis(VALUES, 2, 0))):
        plain.page.locator(f"[data-plane={name}]").click()
        plain.settle()
        at = view.index
        in_unit = (rows[at] * np.asarray(SLOPES)[:, None])[::-1]
        expected = np.floor(np.clip((in_unit - 59.5) / 119 + 0.5, 0, 1) * 255 + 0.5)
        np.testing.assert_array_equal(view.snapshot()[..., 0], expected)
        np.testing.assert_array_equal(plain.pixels(), view.snapshot())


@pytest.mark.parametrize("held", [None, 700])
def test_each_value_is_told_in_the_unit_of_its_own_slice(show, monkeypatch, held):
    if held:
        monkeypatch.setattr("dicomframe.widgets.setup.HELD_BYTES", held)
    plain = show(Viewer(Differing()))
    view, told = plain.view, plain.page.locator(".dfv-value")
    for name in ("axial", "sagittal"):
        for number, unit in enumerate(UNITS):
            view.plane = "axial"
            view.index = number
            view.cursor = [number, 7, 9]
            view.plane = name
            plain.settle()
            value = told.inner_text().splitlines()[0]
            assert float(value.split()[0]) == pytest.approx(VALUES[number, 7, 9] * SLOPES[number], rel=1e-3)
            assert " ".join(value.split()[1:]) == unit


def test_a_plane_through_grey_and_colour_is_none(show):
    class Mixed(Differing):
        def _make(self, index):
            colour = np.zeros((*SHAPE[1:], 3), np.uint8)
            return Slice(colour) if index == 4 else super()._make(index)

    plain = show(Viewer(Mixed()))
    plain.page.locator("[data-plane=coronal]").click()
    plain.settle()
    notice = plain.page.locator(".dfv-notice").inner_text()
    assert "the slices make no plane" in notice
    assert not plain.pixels().any()
