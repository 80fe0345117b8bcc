"""The viewer's order, grid and doubts are the volume's: one judgement, seen from both sides."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from dicomframe.errors import DecodeError
from dicomframe.images.assembly import volume_of
from dicomframe.images.geometry import ROW_KEYWORDS, plane_of_row, planes_of
from dicomframe.images.reading import reading
from dicomframe.samples import real_files
from dicomframe.widgets.arrangement import arranged, steps_of
from tests.images.series import image


def row_of(ds):
    """A table's row of a single-frame image: missing values as tables have them."""
    row = {name: ds.get(name) for name in ("SOPInstanceUID", *ROW_KEYWORDS)}
    row |= {name: pd.NA for name, value in row.items() if value is None or value == ""}
    return row | {name: np.asarray(value) for name, value in row.items() if hasattr(value, "append")}


def a_slice(number, x, z, **more):
    return image(
        np.full((3, 4), number, np.int16),
        SOPInstanceUID=f"1.2.3.{number}",
        InstanceNumber=number,
        ImagePositionPatient=[x, -5, z],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[0.5, 0.25],
        **more,
    )


@given(data=st.data())
def test_viewer_and_volume_agree(data):
    count = data.draw(st.integers(2, 8))
    heights = [3.0 * at for at in range(count)]
    for at in range(count):
        heights[at] += data.draw(st.sampled_from([0, 0, 0, 0, 0.01, 0.05, 0.2, 3.0]))
    aside = data.draw(st.sampled_from([0, 0, 0.5]))
    sizes = data.draw(st.sampled_from([{}, {}, {"PixelSpacing": [0.5, 0.3]}, {"FrameOfReferenceUID": "9.9"}]))
    datasets = [a_slice(at, aside * (at == 1), heights[at]) for at in range(count)]
    for name, value in sizes.items():
        setattr(datasets[0], name, value)
    datasets = data.draw(st.permutations(datasets))
    volume = volume_of(datasets)
    frames = [plane_of_row(row_of(ds)) for ds in datasets]
    made = arranged(frames)
    assert sorted(made.order) == list(range(count))
    doubts = set(volume.problems["what"]) - {"gantry tilt"}
    assert bool(doubts) == bool(made.note)
    assert (made.affine is None) == bool(doubts)
    if not sizes and "doubled slice" not in doubts:
        present = volume.slices["SOPInstanceUID"].dropna().tolist()
        assert [frames[at].uid for at in made.order] == present
    if made.affine is not None:
        np.testing.assert_array_equal(made.affine, volume.affine)


def test_a_row_places_a_frame_as_its_object_does():
    compared = 0
    for path in real_files():
        try:
            with reading("the file"):
                ds = dcmread(path, force=True, stop_before_pixels=True)
                row = row_of(ds)
            planes = planes_of(ds)
        except DecodeError:
            continue
        if len(planes) != 1 or "SharedFunctionalGroupsSequence" in ds:
            continue
        found, expected = plane_of_row(row), planes[0]
        assert (found.position is None) == (expected.position is None)
        assert (found.size, found.number, found.is_localizer) == (
            expected.size,
            expected.number,
            expected.is_localizer,
        )
        assert found.marks == expected.marks or "DiffusionBValue" in expected.marks
        if expected.position is not None:
            np.testing.assert_array_equal(steps_of(found), steps_of(expected))
            compared += 1
    assert compared >= 10


@pytest.mark.parametrize(
    "broken",
    [
        {"PixelSpacing": [0, 1]},
        {"ImagePositionPatient": [1, 2]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImagePositionPatient": pd.NA},
        {"ImagePositionPatient": ["a", 2, 3]},
    ],
)
def test_a_row_that_makes_no_sense_has_no_place(broken):
    row = row_of(a_slice(1, 0, 0)) | broken
    assert plane_of_row(row).position is None
    made = arranged([plane_of_row(row), plane_of_row(row_of(a_slice(2, 0, 0)))])
    assert list(made.planes) == ["slices"]
    assert "no place" in made.note
