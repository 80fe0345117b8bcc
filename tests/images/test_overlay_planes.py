"""Overlay planes against the bits that were written."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from dicomframe.errors import DecodeError
from dicomframe.images.overlay_planes import overlay_planes
from tests.images.series import image, numbered


def with_overlay(bits: np.ndarray, origin: tuple[int, int], frames: int | None = None) -> Dataset:
    ds = image(numbered(1)[0])
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    for element, vr, value in (
        (0x0010, "US", bits.shape[-2]),
        (0x0011, "US", bits.shape[-1]),
        (0x0040, "CS", "R"),
        (0x0050, "SS", list(origin)),
        (0x0100, "US", 1),
        (0x0102, "US", 0),
        (0x1500, "LO", "a lesion"),
        (0x3000, "OW", packed + bytes(len(packed) % 2)),
    ):
        ds.add_new((0x6002, element), vr, value)
    if frames:
        ds.add_new((0x6002, 0x0015), "IS", frames)
    return ds


@pytest.mark.parametrize("origin", [(1, 1), (2, 3), (0, -1), (-9, 1), (9, 9)])
def test_an_overlay_lies_at_its_origin(origin: tuple[int, int]) -> None:
    bits = np.array([[1, 0, 1], [0, 1, 1]], bool)
    [plane] = overlay_planes(with_overlay(bits, origin))
    expected = np.zeros((1, 4, 5), bool)
    for row, column in np.argwhere(bits):
        down, right = row + origin[0] - 1, column + origin[1] - 1
        if 0 <= down < 4 and 0 <= right < 5:
            expected[0, down, right] = True
    assert plane.array.dtype == bool
    assert np.array_equal(plane.array, expected)
    assert (plane.group, plane.kind, plane.label, plane.first_frame) == (0x6002, "R", "a lesion", 1)


def test_overlays_of_several_frames() -> None:
    bits = np.random.default_rng(3).random((3, 4, 5)) > 0.5
    [plane] = overlay_planes(with_overlay(bits, (1, 1), frames=3))
    assert np.array_equal(plane.array, bits)


def test_a_real_overlay() -> None:
    ds = dcmread(str(get_testdata_file("MR-SIEMENS-DICOM-WithOverlays.dcm", download=False)))
    planes = overlay_planes(ds)
    assert len(planes) > 0
    for plane in planes:
        assert plane.array.shape == (1, ds.Rows, ds.Columns)
        assert np.array_equal(plane.array[0], ds.overlay_array(plane.group).astype(bool))
    assert any(plane.array.any() for plane in planes)


def test_an_overlay_that_is_cut_off_or_elsewhere() -> None:
    ds = with_overlay(np.ones((4, 5), bool), (1, 1))
    ds[0x6002, 0x3000].value = b"\0\0"
    with pytest.raises(DecodeError):
        overlay_planes(ds)
    del ds[0x6002, 0x3000]
    with pytest.raises(DecodeError, match="6002"):
        overlay_planes(ds)
