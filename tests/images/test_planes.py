"""Three planes: which voxel is where, which way is left, what is written, what is never interpreted."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from dicomframe.errors import QueryError
from dicomframe.images.layers import Overlay, Overlays
from dicomframe.images.planes import planes
from dicomframe.images.views import views
from dicomframe.images.volume import Volume

#: Slices from the feet up, rows to the back, columns to the left: what most CTs are.
USUAL = np.array([[0, 0, 1.0, -16], [0, 1.0, 0, -12], [3.0, 0, 0, 30], [0, 0, 0, 1]])
SHAPE = (10, 24, 32)


def volume(array: NDArray[Any] | None = None, affine: NDArray[np.float64] = USUAL, **more: Any) -> Volume:
    array = np.zeros(SHAPE, np.int16) if array is None else array
    return replace(Volume(array, affine, pd.DataFrame(), pd.DataFrame(), "HU", "CT"), **more)


def mask(
    label: str = "Nodule", box: tuple[slice, slice, slice] = np.s_[2:5, 4:9, 20:28], **more: Any
) -> Overlay:
    array = np.zeros(SHAPE, bool)
    array[box] = True
    return Overlay(label, "mask", (230, 159, 0), array, **more)


def dose(largest: float = 60.0) -> Overlay:
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    values = largest * np.exp(-(((index - [6, 15, 10]) / [2, 5, 5]) ** 2).sum(axis=-1))
    values[0] = np.nan
    return Overlay("Dose PLAN", "dose", (230, 159, 0), values.astype(np.float32), "Gy")


def texts(figure: Figure) -> list[str]:
    found = [each.get_text() for each in figure.texts]
    for axes in figure.axes:
        found += [each.get_text() for each in axes.texts]
        found += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        found += [each.get_text() for each in axes.get_legend().get_texts()] if axes.get_legend() else []
    return [each for each in found if each]


def drawn(figure: Figure) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


# -- Views


def random_volume(affine: NDArray[np.float64], shape: tuple[int, ...]) -> Volume:
    return volume(np.random.default_rng(4).integers(-1000, 1000, shape, dtype=np.int16), affine)


AXIAL, CORONAL, SAGITTAL, PRONE = (
    USUAL,
    # Slices to the front, rows to the feet; slices to the right, rows to the feet, columns to the front;
    np.array([[0, 0, 1.0, -16], [-3.0, 0, 0, 12], [0, -1.0, 0, 30], [0, 0, 0, 1]]),
    np.array([[-3.0, 0, 0, 16], [0, 0, -1.0, 12], [0, -1.0, 0, 30], [0, 0, 0, 1]]),
    # and a table turned over: rows to the front, columns to the right, slices to the feet.
    np.array([[0, 0, -1.0, 16], [0, -1.0, 0, 12], [-3.0, 0, 0, 30], [0, 0, 0, 1]]),
)


@pytest.mark.parametrize(
    "affine", [AXIAL, CORONAL, SAGITTAL, PRONE], ids=["axial", "coronal", "sagittal", "prone"]
)
def test_each_pixel_is_the_voxel_at_its_millimetres(affine: NDArray[np.float64]) -> None:
    """Whatever way the grid runs: the extent and the affine must agree for each pixel of each plane."""
    whole = random_volume(affine, SHAPE)
    to_index = np.linalg.inv(affine)
    at = (affine @ [4, 7, 21, 1])[:3]
    seen = {view.name: view for view in views(whole, at)}
    for name, fixed, across, down in (("axial", 2, 0, 1), ("coronal", 1, 0, 2), ("sagittal", 0, 1, 2)):
        view = seen[name]
        assert view.straight
        assert view.position == pytest.approx(at[fixed])
        assert view.cross == pytest.approx((at[across], at[down]))
        shown = view.of(whole.array)
        left, right, bottom, top = view.extent
        assert left < right
        assert (bottom > top) == (name == "axial")
        for row in range(shown.shape[0]):
            for column in range(shown.shape[1]):
                place = np.array([at[0], at[1], at[2], 1.0])
                place[across] = left + (column + 0.5) * (right - left) / shown.shape[1]
                place[down] = top + (row + 0.5) * (bottom - top) / shown.shape[0]
                index = tuple(np.rint(to_index @ place).astype(int)[:3])
                assert shown[row, column] == whole.array[index]


@pytest.mark.parametrize("affine", [AXIAL, CORONAL, SAGITTAL, PRONE])
def test_the_patient_is_looked_at_from_the_feet_the_front_and_the_left(affine: NDArray[np.float64]) -> None:
    letters = {view.name: view.letters for view in views(volume(affine=affine))}
    assert letters == {
        "axial": ("R", "L", "P", "A"),
        "coronal": ("R", "L", "F", "H"),
        "sagittal": ("A", "P", "F", "H"),
    }


def test_an_oblique_volume_says_so() -> None:
    affine = USUAL.copy()
    affine[:3, :3] = Rotation.from_euler("x", 30, degrees=True).as_matrix() @ USUAL[:3, :3]
    axial, coronal, _ = views(volume(affine=affine))
    assert axial.letters == ("R", "L", "PH", "AF")
    assert coronal.axis_names == ("y'", "z'", "x'")
    assert "x' (mm)" in texts(planes(volume(affine=affine)))


@pytest.mark.parametrize("at", [(0, 0), (0, 0, 900), (0, float("nan"), 40), "here", (None, 1, 2), 5])
def test_a_place_outside_is_refused(at: Any) -> None:
    with pytest.raises(QueryError, match=r"three numbers|outside the volume"):
        planes(volume(), at=at)


# -- The figure


def test_planes_have_one_scale_and_their_true_proportions() -> None:
    figure = planes(volume())
    scales = []
    for axes in figure.axes[:3]:
        box = axes.get_position()
        width, height = figure.get_size_inches() * [box.width, box.height]
        left, right = axes.get_xlim()
        bottom, top = axes.get_ylim()
        scales += [width / abs(right - left), height / abs(top - bottom)]
    assert np.allclose(scales, scales[0], rtol=1e-6)
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "Axial, z = 42.0 mm", "Coronal, y = 0.0 mm", "Sagittal, x = 0.0 mm",
    ]  # fmt: skip
    assert {"x (mm)", "y (mm)", "z (mm)", "CT (HU)"} <= set(texts(figure))


def test_the_window_and_monochrome1_count() -> None:
    array = np.full(SHAPE, 100, np.int16)
    bright = planes(volume(array), window=(0, 400)).axes[0].images[0].get_array()
    dark = planes(volume(array, inverted=True), window=(0, 400)).axes[0].images[0].get_array()
    assert bright[0, 0] == pytest.approx((100 + 0.5) / 399 * 255 + 127.5)
    assert bright[0, 0] + dark[0, 0] == 255


def test_masks_are_shaded_where_they_are_and_named() -> None:
    figure = planes(volume(), overlays=[mask(), mask("Elsewhere", np.s_[9:10, 23:24, 0:1])], at=(7.5, -6, 39))
    axial = figure.axes[0]
    shade = axial.images[1].get_array()
    want = np.zeros(SHAPE[1:], bool)
    want[4:9, 20:28] = True
    assert np.array_equal(shade[..., 3] > 0, want)
    assert np.allclose(shade[5, 21, :3], np.array([230, 159, 0]) / 255)
    assert {"Nodule", "Elsewhere (not in these planes)"} <= set(texts(figure))


def test_planes_go_through_the_smallest_mask_unless_told() -> None:
    large, small = mask("Lung", np.s_[:, 2:20, 2:15]), mask("Nodule", np.s_[7:8, 3:4, 30:31])
    titles = [axes.get_title(loc="left") for axes in planes(volume(), overlays=[large, small]).axes[:3]]
    assert titles == ["Axial, z = 51.0 mm", "Coronal, y = -9.0 mm", "Sagittal, x = 14.0 mm"]
    titles = [axes.get_title(loc="left") for axes in planes(volume(), overlays=[dose()]).axes[:3]]
    assert titles == ["Axial, z = 48.0 mm", "Coronal, y = 3.0 mm", "Sagittal, x = -6.0 mm"]


def test_isodoses_enclose_what_has_that_dose() -> None:
    """The contour of 30 Gy, as matplotlib drew it, against the values: inside more, outside less."""
    over = dose()
    figure = planes(volume(), overlays=[over], isodoses=[30])
    assert "30 Gy (50 %)" in texts(figure)
    axial = figure.axes[0]
    lines = [each for each in axial.collections if len(each.get_paths())]
    assert len(lines) == 1
    path = lines[0].get_paths()[0]
    for row, column in np.ndindex(SHAPE[1:]):
        value = over.array[6, row, column]
        if abs(value - 30) > 3:
            assert path.contains_point((column - 16, row - 12)) == (value > 30)
    wash = axial.images[1].get_array()
    assert np.array_equal(~np.ma.getmaskarray(wash), over.array[6] >= 30)


def test_by_default_isodoses_are_percents_of_the_largest() -> None:
    names = texts(planes(volume(), overlays=[dose(60.0)]))
    assert [each for each in names if "%" in each] == [
        "57 Gy (95 %)",
        "48 Gy (80 %)",
        "30 Gy (50 %)",
        "12 Gy (20 %)",
    ]
    assert "Dose PLAN (Gy)" in names


@pytest.mark.parametrize("isodoses", [[0], [-5, 20], [float("nan")], []])
def test_impossible_isodoses_are_refused(isodoses: list[float]) -> None:
    with pytest.raises(QueryError, match="positive numbers in Gy"):
        planes(volume(), overlays=[dose()], isodoses=isodoses)


def test_isodoses_without_a_dose_are_refused() -> None:
    with pytest.raises(QueryError, match="none of the overlays is a dose"):
        planes(volume(), overlays=[mask()], isodoses=[20])


def test_an_overlay_of_another_grid_is_refused() -> None:
    with pytest.raises(QueryError, match="not in the grid"):
        planes(volume(), overlays=[replace(mask(), array=np.zeros((3, 3, 3), bool))])


@pytest.mark.parametrize("empty", [np.nan, 0.0])
def test_a_dose_that_is_nowhere_is_no_error(empty: float) -> None:
    nothing = replace(dose(), array=np.full(SHAPE, empty, np.float32))
    drawn(planes(volume(), overlays=[nothing, mask()]))
    drawn(planes(volume(), overlays=[nothing], isodoses=[20.0]))


def test_what_is_not_drawn_is_said_on_the_page() -> None:
    overlays = Overlays([dose(), dose()])
    overlays.report("Isocentre", "point", "ROI 3", "It encloses nothing.")
    said = " ".join(texts(planes(volume(), overlays=overlays)))
    assert "Only the first of 2 doses is drawn." in said
    assert "overlays.problems tells why" in said
    many = [mask(f"Segment {number}") for number in range(20)]
    assert "and 6 more" in texts(planes(volume(), overlays=many))


HOSTILE = [
    "$\\frac{1}{0}$",
    "$x",
    "_hidden",
    "<script>alert(1)</script>",
    "\x1b[31mred\u202etxt",
    "a\nb" * 40,
    "肺",
    "",
]


@pytest.mark.parametrize("label", HOSTILE)
def test_text_of_files_is_shown_and_not_interpreted(label: str) -> None:
    figure = planes(
        replace(volume(), unit="$HU"),
        overlays=[mask(label), replace(dose(), label=label, unit="$y$")],
        title=label,
    )
    drawn(figure)
    for text in texts(figure):
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert text.replace("\\$", "").count("$") == 0
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    assert len(legend.get_texts()) == 5


def test_thin_and_small_volumes_are_drawn() -> None:
    for shape in ((1, 24, 32), (10, 1, 32), (1, 1, 1), (300, 2, 2)):
        array = np.zeros(shape, np.int16)
        over = Overlay("A", "mask", (0, 0, 0), np.ones(shape, bool))
        wash = Overlay("D", "dose", (0, 0, 0), np.ones(shape, np.float32), "Gy")
        drawn(planes(volume(array), overlays=[over, wash]))


def test_lines_are_told_apart_without_colour() -> None:
    """Four masks and four isodoses: four ways of dashing each."""
    figure = planes(volume(), overlays=[*(mask(f"M{number}") for number in range(4)), dose()])
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    handles = legend.legend_handles
    assert len({str(each._dash_pattern) for each in handles[:4]}) == 4
    assert len({str(each._dash_pattern) for each in handles[4:]}) == 4


def test_the_picture_is_not_empty() -> None:
    array = np.zeros(SHAPE, np.int16)
    array[:, 6:18, 8:24] = 200
    picture = drawn(planes(volume(array), window=(100, 200), overlays=[mask()]))
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
