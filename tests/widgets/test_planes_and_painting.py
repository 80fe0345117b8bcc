"""Windows, planes and overlays as Python paints them, against the standard's formulas and places reckoned by hand."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomframe.images.volume import Volume
from dicomframe.images.windowing import Window
from dicomframe.widgets.painting import LEAST_DOSE, Layer, Slice, compact, cut, lay_over, line_pixels, paint
from dicomframe.widgets.planes import planes_of
from dicomframe.widgets.viewer import Viewer


def linear(x, center, width):
    """PS3.3 C.11.2.1.2.1, word for word, for one value."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0
    if x > center - 0.5 + (width - 1) / 2:
        return 255
    return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255


@given(
    values=st.lists(st.integers(-32768, 32767), min_size=1, max_size=30),
    center=st.integers(-2000, 2000),
    width=st.integers(2, 4000),
    slope=st.sampled_from([1.0, 0.5, 2.0]),
    intercept=st.sampled_from([0.0, -1024.0]),
    inverted=st.booleans(),
)
def test_grey_is_the_standards(values, center, width, slope, intercept, inverted):
    made = Slice(np.array([values], np.int16), slope, intercept)
    shown = paint(made, Window(center, width), inverted=inverted)
    expected = [linear(value * slope + intercept, center, width) for value in values]
    expected = [
        255 - int(np.floor(each + 0.5)) if inverted else int(np.floor(each + 0.5)) for each in expected
    ]
    assert shown.shape == (1, len(values), 3)
    assert shown[0, :, 0].tolist() == shown[0, :, 2].tolist() == expected


def test_what_is_no_number_is_black():
    values = np.array([[np.nan, np.inf, -np.inf, 0.5]], np.float32)
    assert paint(Slice(values), Window(0.5, 1, "LINEAR_EXACT"))[0, :, 0].tolist() == [0, 255, 0, 128]


def test_colour_is_left_alone():
    values = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(paint(Slice(values), None), values)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ([0, 1], "uint8"),
        ([False, True], "uint8"),
        ([-5, 2**31 - 1], "int32"),
        ([0, 2**32 - 1], "uint32"),
        ([-5, 2**32], "float32"),
        ([0.5, 1.5], "float32"),
    ],
)
def test_wide_numbers_become_narrow(given_, expected):
    kind = np.uint8 if given_ == [0, 1] else None
    array = np.array(given_, kind)
    assert compact(array).dtype.name == expected
    np.testing.assert_allclose(compact(array).astype(float), array.astype(float), rtol=1e-7)


ORIENTATIONS = [(axes, signs) for axes in permutations(range(3)) for signs in product([1, -1], repeat=3)]


def placed(axes, signs, shape=(4, 5, 6)):
    """Make a grid along the patient's axes in any of the 48 ways, whose voxels hold their own place in mm."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (patient, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[patient, axis] = sign * (2.0, 3.0, 5.0)[axis]
    affine[:3, 3] = (-7, 11, 13)
    index = np.stack([*np.meshgrid(*map(np.arange, shape), indexing="ij"), np.ones(shape)])
    return affine, np.einsum("ij,j...->i...", affine, index)[:3]


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_planes_are_seen_as_radiologists_see_them(axes, signs):
    affine, mm = placed(axes, signs)
    planes = planes_of((4, 5, 6), affine)
    assert next(iter(planes)) == ("sagittal", "coronal", "axial")[axes[0]]
    # Each picture of x, y and z must rise to the patient's left or back, and to the back or fall to the feet.
    ways = {"axial": ((0, 1), (1, 1)), "coronal": ((0, 1), (2, -1)), "sagittal": ((1, 1), (2, -1))}
    letters = (("R", "L"), ("A", "P"), ("F", "H"))
    for name, plane in list(planes.items())[1:]:
        pictures = [cut([Slice(each) for each in part], plane, 1).stored for part in mm]
        assert pictures[0].shape == (plane.rows, plane.columns)
        (across, right), (down, below) = ways[name]
        assert (np.sign(np.diff(pictures[across], axis=1)) == right).all()
        assert (np.sign(np.diff(pictures[down], axis=0)) == below).all()
        (normal,) = {0, 1, 2} - {across, down}
        assert np.ptp(pictures[normal]) == 0
        assert plane.letters["right"] == letters[across][right > 0]
        assert plane.letters["top"] == letters[down][below < 0]
        np.testing.assert_allclose(np.abs(np.diff(pictures[down], axis=0)), plane.spacing[0])
        np.testing.assert_allclose(np.abs(np.diff(pictures[across], axis=1)), plane.spacing[1])


def test_a_tilted_stack_has_its_three_planes():
    turn = np.deg2rad(20)
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.array([[0, 0, 0.5], [0, 0.5, 0], [3.0, 0, 0]])
    planes = planes_of((10, 20, 30), affine)
    assert {name: plane.axis for name, plane in planes.items()} == {"axial": 0, "coronal": 1, "sagittal": 2}
    assert planes["sagittal"].spacing == pytest.approx((3.0, 0.5))


def test_slices_of_different_scales_are_cut_in_their_unit():
    affine, _ = placed((2, 1, 0), (1, 1, 1), (3, 2, 2))
    slices = [Slice(np.full((2, 2), 10, np.uint16), slope, 1.0) for slope in (1.0, 2.0, 3.0)]
    made = cut(slices, planes_of((3, 2, 2), affine)["coronal"], 0)
    assert made.slope == 1.0
    assert made.stored[:, 0].tolist() == [31.0, 21.0, 11.0]


def test_slices_of_different_types_are_cut_in_a_type_that_the_page_has():
    affine, _ = placed((2, 1, 0), (1, 1, 1), (3, 2, 2))
    great = [2**32 - 1, -(2**31), 7]
    kinds = [np.uint32, np.int32, np.float32]
    slices = [Slice(np.full((2, 2), each, kind)) for each, kind in zip(great, kinds, strict=True)]
    made = cut(slices, planes_of((3, 2, 2), affine)["coronal"], 0)
    assert made.stored.dtype == np.float64
    assert made.stored[:, 0].tolist() == great[::-1]
    with pytest.raises(ValueError, match="one size"):
        cut([*slices[:2], Slice(np.zeros((2, 2, 3), np.uint8))], planes_of((3, 2, 2), affine)["coronal"], 0)


def test_masks_and_doses_are_mixed_by_their_opacity():
    below = np.full((1, 3, 3), 100, np.uint8)
    mask = Layer(0, bits=np.array([[True, False, True]]))
    assert lay_over(below, mask, (200, 0, 101), None, 0.5)[0].tolist() == [
        [150, 50, 101],
        [100] * 3,
        [150, 50, 101],
    ]
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)
    dose = Layer(0, dose=np.array([[0, LEAST_DOSE * 256 - 1, 65_535]], np.uint16))
    assert lay_over(below, dose, (0, 0, 0), table, 1.0)[0, :, 0].tolist() == [100, 100, 255]


def test_structures_are_lines():
    square = np.array([[1, 1], [4, 1], [4, 4], [1, 4]], np.float32)
    outline = np.zeros((6, 6), bool)
    outline[1:5, 1:5] = True
    mask = outline.copy()
    outline[2:4, 2:4] = False
    np.testing.assert_array_equal(line_pixels(Layer(0, bits=mask, contours=[square]), (6, 6)).bits, outline)
    # Cut across the slices there are no contours: then it is the edge of the mask, also at the edge of the picture.
    np.testing.assert_array_equal(line_pixels(Layer(0, bits=mask), (6, 6)).bits, outline)
    everything = line_pixels(Layer(0, bits=np.ones((4, 5), bool)), (4, 5)).bits
    assert everything.sum() == 4 * 5 - 2 * 3


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS[::5])
def test_the_planes_of_a_volume_are_its_own(axes, signs):
    affine, mm = placed(axes, signs)
    table = pd.DataFrame()
    volume = Volume(
        array=(mm[0] + 10 * mm[1] + 100 * mm[2]).astype(np.int16), affine=affine, problems=table, slices=table
    )
    view = Viewer(volume, window=(0, 8000))
    for name in list(view._source.planes)[1:]:
        view.plane = name
        plane = view._source.planes[name]
        # Theirs counts from the foot, the front or the right, the viewer's along the array.
        rises = affine[:3, plane.axis].sum() > 0
        theirs = volume.plane(name, view.index if rises else plane.count - 1 - view.index)
        np.testing.assert_array_equal(view._picture(name, view.index).stored, theirs.array)
        letters = view._source.planes[name].letters
        assert (letters["left"], letters["right"], letters["bottom"], letters["top"]) == theirs.letters
    view.close()
