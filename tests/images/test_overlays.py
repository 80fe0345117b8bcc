"""Overlays: where segments, structures and doses come to lie, against positions and areas reckoned by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import pack_bits
from pydicom.uid import ExplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.layers import PALETTE, colour_of_cielab
from dicomframe.images.overlays import overlays_of
from dicomframe.images.structures import enclosed
from dicomframe.images.volume import Volume

FRAME_OF_REFERENCE = "2.25.4711"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def affine_of(
    origin: Sequence[float], spacing: Sequence[float], orientation: Sequence[float] = AXIAL
) -> NDArray[np.float64]:
    """Give slice, row, column -> mm; the spacing is that of slices, rows and columns."""
    right, down = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, 0] = np.cross(right, down) * spacing[0]
    affine[:3, 1], affine[:3, 2] = down * spacing[1], right * spacing[2]
    affine[:3, 3] = origin
    return affine


def item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def _object(sop_class: str, modality: str) -> Dataset:
    ds = item(SOPClassUID=sop_class, Modality=modality, FrameOfReferenceUID=FRAME_OF_REFERENCE)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def segmentation(
    frames: Sequence[tuple[int, Sequence[float], NDArray[Any]]],
    labels: Sequence[str] = ("Lesion",),
    *,
    spacing: Sequence[float] = (2.0, 1.0, 1.0),
    orientation: Sequence[float] = AXIAL,
    kind: str = "BINARY",
    largest: int = 255,
) -> Dataset:
    """Make a segmentation of frames (segment number, position, pixels), in the order given."""
    ds = _object("1.2.840.10008.5.1.4.1.1.66.4", "SEG")
    ds.SegmentationType = kind
    ds.SegmentSequence = [
        item(SegmentNumber=number, SegmentLabel=label) for number, label in enumerate(labels, start=1)
    ]
    ds.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=list(orientation))],
            PixelMeasuresSequence=[item(PixelSpacing=list(spacing[1:]), SpacingBetweenSlices=spacing[0])],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        item(
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)],
            PlanePositionSequence=[item(ImagePositionPatient=[float(each) for each in position])],
        )
        for number, position, _ in frames
    ]
    shown = np.stack([frame for _, _, frame in frames]).astype(np.uint8)
    bits = 1 if kind == "BINARY" else 8
    _add_pixels(ds, shown, bits)
    ds.PixelData = pack_bits(shown, pad=True) if bits == 1 else shown.tobytes() + bytes(shown.size % 2)
    if kind == "FRACTIONAL":
        ds.MaximumFractionalValue, ds.SegmentationFractionalType = largest, "PROBABILITY"
    return ds


def structure_set(*rois: tuple[str, Sequence[tuple[str, Sequence[Sequence[float]]]]]) -> Dataset:
    """Make a structure set of regions (name, contours), each contour its type and points in mm."""
    ds = _object("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")
    ds.StructureSetROISequence = [
        item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=FRAME_OF_REFERENCE)
        for number, (name, _) in enumerate(rois, start=1)
    ]
    ds.ROIContourSequence = [
        item(
            ReferencedROINumber=number,
            ContourSequence=[
                item(
                    ContourGeometricType=kind,
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{each:.6g}" for point in points for each in point],
                )
                for kind, points in contours
            ],
        )
        for number, (_, contours) in enumerate(rois, start=1)
    ]
    return ds


def dose(
    values: NDArray[Any],
    origin: Sequence[float],
    offsets: Sequence[float] | None,
    *,
    spacing: Sequence[float] = (1.0, 1.0),
    orientation: Sequence[float] = AXIAL,
    scaling: float = 0.001,
) -> Dataset:
    """Make a dose of stored values (planes, rows, columns)."""
    ds = _object("1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE")
    ds.ImagePositionPatient, ds.ImageOrientationPatient = list(origin), list(orientation)
    ds.PixelSpacing = list(spacing)
    if offsets is not None:
        ds.GridFrameOffsetVector = list(offsets)
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType, ds.DoseGridScaling = "GY", "PHYSICAL", "PLAN", scaling
    _add_pixels(ds, values, 32)
    ds.PixelData = values.astype("<u4").tobytes()
    return ds


def _add_pixels(ds: Dataset, frames: NDArray[Any], bits: int) -> None:
    ds.NumberOfFrames, ds.Rows, ds.Columns = (int(each) for each in frames.shape)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1


def make_volume(array: NDArray[Any], affine: NDArray[np.float64]) -> Volume:
    return Volume(array, affine, pd.DataFrame(), pd.DataFrame(), frame_of_reference_uid=FRAME_OF_REFERENCE)


def volume_of(
    shape: Sequence[int] = (6, 12, 16),
    origin: Sequence[float] = (-20.0, -10.0, 30.0),
    spacing: Sequence[float] = (2.0, 1.0, 1.0),
    orientation: Sequence[float] = AXIAL,
) -> Volume:
    return make_volume(np.zeros(shape, np.int16), affine_of(origin, spacing, orientation))


# -- Segmentations


def test_frames_are_placed_by_position_not_by_order() -> None:
    onto = volume_of()
    rng = np.random.default_rng(1)
    truth = rng.random((6, 12, 16)) < 0.4
    order = [3, 0, 5, 1, 4, 2]
    ds = segmentation([(1, (-20, -10, 30 + 2 * each), truth[each]) for each in order])
    found = overlays_of(ds, onto)
    assert [(each.label, each.kind, each.array.dtype) for each in found] == [("Lesion", "mask", bool)]
    assert np.array_equal(found[0].array, truth)
    assert found.problems.empty


def test_empty_frames_that_were_left_out_stay_empty() -> None:
    """Only slices 1 and 5 have frames; those between must not take from them."""
    onto = volume_of()
    frame = np.ones((12, 16), bool)
    found = overlays_of(segmentation([(1, (-20, -10, 32), frame), (1, (-20, -10, 40), frame)]), onto)
    assert found[0].array.any(axis=(1, 2)).tolist() == [False, True, False, False, False, True]


def test_segments_may_overlap_and_each_has_its_own_mask() -> None:
    one, other = np.zeros((12, 16), bool), np.zeros((12, 16), bool)
    one[2:6, 2:6], other[4:8, 4:8] = True, True
    place = (-20, -10, 34)
    found = overlays_of(segmentation([(2, place, other), (1, place, one)], ["A", "B"]), volume_of())
    assert [each.label for each in found] == ["A", "B"]
    assert np.array_equal(found[0].array[2], one)
    assert np.array_equal(found[1].array[2], other)
    assert [each.array.sum() for each in found] == [16, 16]
    assert [each.colour for each in found] == list(PALETTE[:2])


def test_a_segment_of_a_finer_grid_fills_the_voxels_it_covers() -> None:
    """A grid of 0.5 mm, moved by a whole number of its pixels: voxel middles fall on middles of its pixels."""
    fine = np.zeros((20, 24), bool)
    fine[4:12, 6:14] = True  # mm -9+2 … -9+5.5 down, -18+3 … -18+6.5 across
    ds = segmentation([(1, (-18, -9, 34), fine)], spacing=(2.0, 0.5, 0.5))
    array = overlays_of(ds, volume_of())[0].array
    want = np.zeros((6, 12, 16), bool)
    # Rows with -10 + r in [-7, -3.5], columns with -20 + c in [-15, -11.5].
    want[2, 3:7, 5:9] = True
    assert np.array_equal(array, want)


def test_an_oblique_segmentation_is_found_where_its_voxels_are() -> None:
    """A box drawn on a turned grid; each voxel of the volume is looked up in it by hand."""
    turned = Rotation.from_euler("zyx", [25, 15, -10], degrees=True).as_matrix()
    orientation = [*turned[:, 0], *turned[:, 1]]
    spacing, origin = (1.5, 0.8, 0.7), np.array([-18.0, -12.0, 31.0])
    rng = np.random.default_rng(2)
    truth = rng.random((9, 14, 18)) < 0.5
    frames = [(1, origin + turned[:, 2] * 1.5 * each, truth[each]) for each in (8, 3, 0, 1, 2, 4, 5, 7, 6)]
    onto = volume_of()
    got = overlays_of(segmentation(frames, spacing=spacing, orientation=orientation), onto)[0].array
    to_frame = np.linalg.inv(affine_of(origin, spacing, orientation)) @ onto.affine
    compared = 0
    for index in np.ndindex(*got.shape):
        place = (to_frame @ [*index, 1.0])[:3]
        if np.abs(place - np.floor(place) - 0.5).min() < 0.01:
            continue  # on the border of two voxels either is right
        nearest = np.rint(place).astype(int)
        inside = all(0 <= each < size for each, size in zip(nearest, truth.shape, strict=True))
        assert got[index] == (inside and truth[tuple(nearest)])
        compared += inside
    assert compared > 200


def test_fractions_are_kept_beside_the_mask() -> None:
    frame = np.zeros((12, 16), np.uint8)
    frame[1, 1:5] = [49, 50, 51, 100]
    ds = segmentation([(1, (-20, -10, 30), frame)], kind="FRACTIONAL", largest=100)
    overlay = overlays_of(ds, volume_of())[0]
    assert overlay.fractions is not None
    assert overlay.fractions.dtype == np.float32
    assert np.allclose(overlay.fractions[0, 1, 1:5], [0.49, 0.5, 0.51, 1.0])
    assert overlay.array[0, 1].astype(int).tolist() == [0, 0, 1, 1, 1] + [0] * 11


def test_a_label_map_has_a_segment_a_number() -> None:
    """Pixel Padding Value is the background, which some programs describe as a segment too (PS3.3 C.8.20.2)."""
    frame = np.zeros((12, 16), np.uint8)
    frame[2], frame[3], frame[4] = 1, 2, 9
    ds = segmentation([(1, (-20, -10, 30), frame)], ["A", "B", "Background"], kind="LABELMAP")
    ds.SegmentSequence[2].SegmentNumber, ds.PixelPaddingValue = 0, 0
    del ds.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence
    found = overlays_of(ds, volume_of())
    assert [each.label for each in found] == ["A", "B"]
    assert [np.flatnonzero(each.array[0].any(axis=1)).tolist() for each in found] == [[2], [3]]
    assert found.problems[["what", "where"]].to_numpy().tolist() == [["unknown segment", "frame 1"]]


def test_what_of_a_segmentation_is_not_used_is_reported() -> None:
    frame = np.ones((12, 16), bool)
    ds = segmentation(
        [
            (1, (-20, -10, 30), frame),
            (7, (-20, -10, 30), frame),
            (1, (-20, -10, 500), frame),
            (2, (0, 0, 0), frame),
        ],
        ["A", "B", "C"],
    )
    del ds.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    found = overlays_of(ds, volume_of())
    assert [each.array.any() for each in found] == [True, False, False]
    assert found.problems[["label", "what", "where"]].to_numpy().tolist() == [
        ["", "unknown segment", "frame 2"],
        ["B", "no place", "frame 4"],
        ["A", "beside the volume", "frames 3"],
        ["B", "no frames", "segment 2"],
        ["C", "no frames", "segment 3"],
    ]
    assert (found.problems.dtypes == "string").all()


def test_frames_between_the_slices_of_a_coarser_volume_are_reported_as_such() -> None:
    frame = np.ones((12, 16), bool)
    ds = segmentation(
        [(1, (-20, -10, z), frame) for z in (30.0, 30.5, 31.0, 31.5, 32.0)], spacing=(0.5, 1, 1)
    )
    found = overlays_of(ds, volume_of())
    assert found[0].array.any(axis=(1, 2)).tolist() == [True, True, False, False, False, False]
    assert found.problems[["what", "where"]].to_numpy().tolist() == [["between the slices", "frames 2, 3, 4"]]


def test_a_segment_that_the_volume_has_a_part_of_is_reported_as_cut() -> None:
    frame = np.zeros((12, 16), bool)
    frame[2:6, 3:8] = True
    aside = [(-20 - 5, -10, 30), (-20, -10 + 7, 32), (-20, -10, 34)]
    ds = segmentation([(1, place, frame) for place in aside] + [(2, aside[2], frame)], ["A", "B"])
    found = overlays_of(ds, volume_of())
    # Of columns 3 … 7 moved by -5 two lie beyond the left edge, of rows 2 … 5 moved by 7 one beyond the lower one.
    assert [int(each.array.sum()) for each in found] == [20 - 8 + 20 - 5 + 20, 20]
    assert found.problems[["label", "what", "where"]].to_numpy().tolist() == [
        ["A", "partly beside the volume", "frames 1, 2"]
    ]
    assert "13 of the 40 pixels" in found.problems["detail"][0]


@given(angles=st.tuples(*[st.floats(-180, 180)] * 3), shift=st.tuples(*[st.floats(-12, 12)] * 3))
def test_what_is_cut_of_a_turned_segment_is_counted(
    angles: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    """One frame of isotropic voxels: its pixels are counted by hand, up to those at the very edge."""
    turned = Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    orientation = [*turned[:, 0], *turned[:, 1]]
    onto = make_volume(np.zeros((12, 12, 12), np.int16), affine_of((0, 0, 0), (1, 1, 1)))
    origin = 5.5 + np.array(shift) - turned[:, :2] @ [2, 2]
    found = overlays_of(
        segmentation([(1, origin, np.ones((5, 5), bool))], spacing=(1, 1, 1), orientation=orientation), onto
    )
    places = [origin + turned[:, 0] * column + turned[:, 1] * row for row in range(5) for column in range(5)]
    index = onto.to_index(places)
    far = (index < -1.1) | (index > 12.1)
    if far.any() and found[0].array.any():
        assert "partly beside the volume" in found.problems["what"].tolist()
    if ((index > -0.49) & (index < 11.49)).all():
        assert found.problems.empty


def test_a_tilted_gantry_shifts_its_planes() -> None:
    """Positions that move down by 1 mm a slice: so do the frames, and so does the volume's affine."""
    affine = affine_of((-20, -10, 30), (2, 1, 1))
    affine[1, 0] = 1.0
    onto = make_volume(np.zeros((4, 12, 16), np.int16), affine)
    truth = np.random.default_rng(3).random((4, 12, 16)) < 0.5
    ds = segmentation([(1, (-20, -10 + each, 30 + 2 * each), truth[each]) for each in range(4)])
    assert np.array_equal(overlays_of(ds, onto)[0].array, truth)


@pytest.mark.parametrize(
    ("encoded", "colour"),
    [
        ((65535, 32896, 32896), (255, 255, 255)),
        ((0, 32896, 32896), (0, 0, 0)),
        # What dcmqi 1.x writes for these colours,
        ((34886, 53484, 50172), (255, 0, 0)),
        ((16732, 45246, 42677), (128, 0, 0)),
        ((4987, 33336, 32853), (25, 22, 23)),
        # and what highdicom 0.2x does.
        ((28320, 49101, 44518), (200, 30, 30)),
        ((33025, 35682, 17894), (20, 120, 220)),
    ],
)
def test_cielab_becomes_the_colour_that_other_programs_meant(
    encoded: tuple[int, int, int], colour: tuple[int, int, int]
) -> None:
    assert np.abs(np.subtract(colour_of_cielab(encoded), colour)).max() <= 1


# -- Structure sets


@pytest.mark.parametrize(("x", "y"), [(100.0, 90.0), (100.5, 90.5), (100.21, 90.77)])
def test_a_circle_has_its_area_and_its_middle(x: float, y: float) -> None:
    """A pixel too many all around, or half a pixel of shift, would be seen."""
    column, row = np.meshgrid(np.arange(200), np.arange(180))
    angles = np.linspace(0, 2 * math.pi, 720, endpoint=False)
    points = np.stack([x + 60 * np.cos(angles), y + 60 * np.sin(angles)], axis=1)
    mask = enclosed([points], (180, 200))
    distance = np.hypot(column - x, row - y)
    assert mask[distance < 59.99].all()
    assert not mask[distance > 60.01].any()
    assert mask.sum() == pytest.approx(math.pi * 60**2, rel=0.004)
    assert column[mask].mean() == pytest.approx(x, abs=0.05)
    assert row[mask].mean() == pytest.approx(y, abs=0.05)


@given(st.lists(st.tuples(st.floats(-3, 14), st.floats(-3, 12)), min_size=3, max_size=9))
def test_what_is_enclosed_agrees_with_matplotlib(corners: list[tuple[float, float]]) -> None:
    """Where no pixel's middle is near an edge, two implementations of the even-odd rule agree for simple outlines."""
    points = np.array(sorted(corners, key=lambda each: math.atan2(each[1] - 4.37, each[0] - 5.41)))
    centred = points - [5.41, 4.37]
    turns = np.diff(np.unwrap(np.arctan2(centred[:, 1], centred[:, 0]), axis=0))
    outline = np.concatenate([points, points[:1]])
    mask = enclosed([points], (9, 11))
    column, row = np.meshgrid(np.arange(11), np.arange(9))
    middles = np.stack([column.ravel(), row.ravel()], axis=1)
    near = np.zeros(len(middles), bool)
    for start, end in itertools.pairwise(outline):
        along = end - start
        length = float(along @ along)
        share = (
            np.clip((middles - start) @ along / length, 0, 1) if length > 1e-12 else np.zeros(len(middles))
        )
        near |= np.hypot(*(middles - start - share[:, None] * along).T) < 1e-6
    if (turns > math.pi - 1e-6).any():
        return  # the middle is outside, so that the outline may cross itself
    want = Outline(outline, closed=True).contains_points(middles)
    assert np.array_equal(mask.ravel()[~near], want[~near])


def test_neighbours_share_no_pixel_and_leave_none_out() -> None:
    left = np.array([(1, 1), (4, 1), (6, 7), (1, 7)], float)
    right = np.array([(4, 1), (9, 1), (9, 7), (6, 7)], float)
    both = np.array([(1, 1), (9, 1), (9, 7), (1, 7)], float)
    one, other, joined = (enclosed([each], (9, 11)) for each in (left, right, both))
    assert not (one & other).any()
    assert np.array_equal(one | other, joined)


def test_outlines_beyond_the_picture_are_cut() -> None:
    mask = enclosed([np.array([(-50, -50), (3.5, -50), (3.5, 50), (-50, 50)], float)], (4, 6))
    assert mask.astype(int).tolist() == [[1, 1, 1, 1, 0, 0]] * 4


SQUARE = [(-18, -8, 34), (-10, -8, 34), (-10, 0, 34), (-18, 0, 34)]
HOLE = [(-16, -6, 34), (-12, -6, 34), (-12, -2, 34), (-16, -2, 34)]
KEYHOLE = [
    *SQUARE, SQUARE[0], HOLE[0], HOLE[3], HOLE[2], HOLE[1], HOLE[0],
]  # fmt: skip


@pytest.mark.parametrize(
    "contours", [[("CLOSED_PLANAR", SQUARE), ("CLOSED_PLANAR", HOLE)], [("CLOSED_PLANAR", KEYHOLE)]]
)
def test_holes_are_left_open(contours: list[Any]) -> None:
    overlay = overlays_of(structure_set(("Shell", contours)), volume_of())[0]
    want = np.zeros((6, 12, 16), bool)
    want[2, 2:10, 2:10] = True
    want[2, 4:8, 4:8] = False
    assert np.array_equal(overlay.array, want)


def test_contours_are_in_pixels_of_their_slice_and_closed() -> None:
    overlay = overlays_of(structure_set(("Box", [("CLOSED_PLANAR", SQUARE)])), volume_of())[0]
    assert list(overlay.contours) == [2]
    assert overlay.contours[2][0].tolist() == [[2, 2], [10, 2], [10, 10], [2, 10], [2, 2]]


def test_contours_farther_apart_than_slices_fill_those_between() -> None:
    """Contours every 4 mm over slices of 2 mm: each holds for 2 mm to both sides."""
    contours = [("CLOSED_PLANAR", [(x, y, z) for x, y, _ in SQUARE]) for z in (32, 36)]
    overlay = overlays_of(structure_set(("Box", contours)), volume_of())[0]
    assert overlay.array.any(axis=(1, 2)).tolist() == [False, True, True, True, True, False]


def test_what_of_a_structure_set_is_not_used_is_reported() -> None:
    across = [(-18, -8, 30), (-10, -8, 30), (-10, -8, 38)]
    ds = structure_set(
        ("Good", [("CLOSED_PLANAR", SQUARE), ("CLOSED_PLANAR", SQUARE), ("POINT", [(0, 0, 0)])]),
        ("Isocentre", [("POINT", [(-10, -5, 34)])]),
        ("Wire", [("OPEN_PLANAR", SQUARE), ("OPEN_NONPLANAR", across), ("CLOSED_PLANAR", across)]),
        ("Far", [("CLOSED_PLANAR", [(x, y, 900) for x, y, _ in SQUARE])]),
        ("Line", [("CLOSED_PLANAR", SQUARE[:2])]),
        ("Nothing", []),
    )
    found = overlays_of(ds, volume_of())
    assert [(each.label, each.array.sum()) for each in found] == [("Good", 64), ("Far", 0)]
    assert found.problems[["label", "what"]].to_numpy().tolist() == [
        ["Good", "point"],
        ["Good", "drawn twice"],
        ["Isocentre", "point"],
        ["Wire", "not closed"],
        ["Wire", "not closed"],
        ["Wire", "across the slices"],
        ["Far", "beside the slices"],
        ["Line", "malformed contour"],
        ["Nothing", "no contours"],
    ]


def test_a_region_that_reaches_beyond_the_volume_is_reported_as_cut() -> None:
    def square(left: float, z: float) -> tuple[str, list[list[float]]]:
        return "CLOSED_PLANAR", [[left, -8, z], [left + 6, -8, z], [left + 6, -4, z], [left, -4, z]]

    ds = structure_set(("A", [square(-23, 30), square(-18, 32)]), ("B", [square(-20.5, 30)]))
    found = overlays_of(ds, volume_of())
    assert found.problems[["label", "what", "where"]].to_numpy().tolist() == [
        ["A", "partly beside the volume", "ROI 1, slice 0 first"]
    ]


def test_a_region_of_another_frame_of_reference_is_left_out() -> None:
    ds = structure_set(("Here", [("CLOSED_PLANAR", SQUARE)]), ("There", [("CLOSED_PLANAR", SQUARE)]))
    ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "2.25.1"
    found = overlays_of(ds, volume_of())
    assert [each.label for each in found] == ["Here"]
    assert found.problems["what"].tolist() == ["other frame of reference"]
    assert len(overlays_of(ds, volume_of(), registered=True)) == 2


def test_a_malformed_region_does_not_spoil_the_others() -> None:
    box = ("CLOSED_PLANAR", SQUARE)
    ds = structure_set(("A", [box]), ("B", [box]), ("C", [box]))
    del ds.ROIContourSequence[0].ReferencedROINumber
    ds.ROIContourSequence[1].ContourSequence[0]["ContourData"]._value = ["x", "y", "z"] * 3
    found = overlays_of(ds, volume_of())
    assert [each.label for each in found] == ["C"]
    assert found.problems["what"].tolist() == ["malformed region", "malformed region", "no contours"]


# -- Doses


def linear_dose(points: NDArray[Any]) -> NDArray[Any]:
    """A dose that is linear in mm, so that linear interpolation must give it back exactly."""
    return 40.0 + points @ np.array([0.3, -0.2, 0.5])


@pytest.mark.parametrize("form", ["from the first", "patient z", "falling", "uneven"])
def test_a_dose_is_interpolated_in_gray(form: str) -> None:
    offsets = np.array({"falling": [0, -3, -6, -9], "uneven": [0, 2, 5, 9]}.get(form, [0, 3, 6, 9]), float)
    origin = np.array([-19.0, -9.5, 40.0 if form == "falling" else 31.0])
    row, column = np.meshgrid(np.arange(5) * 2.5, np.arange(6) * 2.0, indexing="ij")
    grid = np.stack([np.stack([column, row, np.full_like(row, each)], axis=-1) for each in offsets]) + origin
    stored = np.rint(linear_dose(grid) / 0.001)
    given_offsets = offsets + origin[2] if form == "patient z" else offsets
    ds = dose(stored, origin.tolist(), given_offsets.tolist(), spacing=(2.5, 2.0))
    overlay = overlays_of(ds, volume_of())[0]
    assert (overlay.kind, overlay.unit, overlay.label) == ("dose", "Gy", "Dose PLAN")
    assert overlay.array.dtype == np.float32
    index = np.stack(np.meshgrid(*map(np.arange, overlay.array.shape), indexing="ij"), axis=-1)
    points = index @ volume_of().affine[:3, :3].T + volume_of().affine[:3, 3]
    low, high = grid.reshape(-1, 3).min(axis=0), grid.reshape(-1, 3).max(axis=0)
    inside = ((points >= low) & (points <= high)).all(axis=-1)
    assert np.array_equal(~np.isnan(overlay.array), inside)
    assert inside.sum() > 100
    assert np.allclose(overlay.array[inside], linear_dose(points)[inside], atol=0.002)


@pytest.mark.parametrize("z", [(31.0, 34.0, 37.0), (39.0, 36.0, 33.0)])
def test_a_dose_of_a_prone_patient_has_its_planes_at_their_z(z: tuple[float, ...]) -> None:
    """Rows run to the front, so that the normal points to the feet; z given by itself is the patient's all the same."""
    prone = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    stored = np.stack([np.full((12, 16), 1000 * each) for each in z])
    ds = dose(stored, (-20, 1, z[0]), z, orientation=prone)
    array = overlays_of(ds, volume_of())[0].array
    heights = 30 + 2.0 * np.arange(6)
    inside = (heights >= min(z)) & (heights <= max(z))
    assert np.array_equal(~np.isnan(array).any(axis=(1, 2)), inside)
    assert np.allclose(array[inside], heights[inside][:, None, None])


def test_an_oblique_dose_is_interpolated_too() -> None:
    turned = Rotation.from_euler("zyx", [30, -12, 8], degrees=True).as_matrix()
    orientation, origin = [*turned[:, 0], *turned[:, 1]], np.array([-24.0, -16.0, 26.0])
    affine = affine_of(origin, (2.5, 2.0, 2.0), orientation)
    index = np.stack(np.meshgrid(np.arange(10), np.arange(14), np.arange(14), indexing="ij"), axis=-1)
    stored = np.rint(linear_dose(index @ affine[:3, :3].T + affine[:3, 3]) / 0.0001)
    ds = dose(stored, origin.tolist(), (2.5 * np.arange(10)).tolist(), spacing=(2.0, 2.0),
              orientation=orientation, scaling=0.0001)  # fmt: skip
    array = overlays_of(ds, volume_of())[0].array
    voxels = np.stack(np.meshgrid(*map(np.arange, array.shape), indexing="ij"), axis=-1)
    points = voxels @ volume_of().affine[:3, :3].T + volume_of().affine[:3, 3]
    known = ~np.isnan(array)
    assert known.mean() > 0.5
    assert np.allclose(array[known], linear_dose(points)[known], atol=0.001)


def test_a_single_plane_of_dose_holds_for_its_slice() -> None:
    ds = dose(np.full((1, 12, 16), 2000), (-20, -10, 34), None)
    array = overlays_of(ds, volume_of())[0].array
    assert np.nonzero((array == 2).all(axis=(1, 2)))[0].tolist() == [2]
    assert np.isnan(array[[0, 1, 3, 4, 5]]).all()


def test_a_dose_elsewhere_is_reported() -> None:
    found = overlays_of(dose(np.ones((2, 4, 4)), (500, 500, 500), [0, 1]), volume_of())
    assert found.problems["what"].tolist() == ["beside the volume"]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"DoseGridScaling": None}, "no Dose Grid Scaling"),
        ({"GridFrameOffsetVector": [5.0, 6.0]}, "begin neither"),
        ({"GridFrameOffsetVector": [0.0, 0.0]}, "at the same place"),
        ({"GridFrameOffsetVector": [0.0, 1.0, 2.0]}, "2 frames, but places for 3"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "right angle"),
        ({"PixelSpacing": [0, 1]}, "malformed"),
        ({"PixelData": b"12"}, "pixel data"),
    ],
)
def test_a_broken_dose_says_what_is_wrong(broken: dict[str, Any], says: str) -> None:
    ds = dose(np.ones((2, 4, 4)), (0, 0, 30), [0, 1])
    for keyword, value in broken.items():
        setattr(ds, keyword, value)
    with pytest.raises(DecodeError, match=says):
        overlays_of(ds, volume_of())


# -- Registration


def anything() -> list[Dataset]:
    return [
        segmentation([(1, (-20, -10, 30), np.ones((12, 16), bool))]),
        structure_set(("Box", [("CLOSED_PLANAR", SQUARE)])),
        dose(np.ones((2, 4, 4)), (-20, -10, 30), [0, 2]),
    ]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    ("reference", "says"), [("2.25.99", "another frame of reference"), ("", "names no frame of reference")]
)
def test_another_frame_of_reference_is_refused(number: int, reference: str, says: str) -> None:
    onto = replace(volume_of(), frame_of_reference_uid=reference)
    ds = anything()[number]
    with pytest.raises(QueryError, match=says) as refused:
        overlays_of(ds, onto)
    assert "registered=True" in str(refused.value)
    assert FRAME_OF_REFERENCE not in str(refused.value)
    assert len(overlays_of(ds, onto, registered=True)) == 1


@pytest.mark.parametrize("ds", [Dataset(), dcmread(str(get_testdata_file("CT_small.dcm")))])
def test_what_is_no_overlay_is_refused(ds: Dataset) -> None:
    with pytest.raises(DecodeError, match="no segmentation"):
        overlays_of(ds, volume_of())


def test_a_segmentation_without_pixels_or_segments_is_refused() -> None:
    ds = anything()[0]
    del ds.PixelData
    with pytest.raises(DecodeError, match="no pixel data"):
        overlays_of(ds, volume_of())
    ds.SegmentSequence = []
    with pytest.raises(DecodeError, match="no segments"):
        overlays_of(ds, volume_of())


# -- Files of other programs


def test_the_dose_of_a_planning_system() -> None:
    """pydicom's example: planes of 10 by 10 at 10 mm, every value times its scaling."""
    ds = dcmread(str(get_testdata_file("rtdose.dcm")))
    stored = ds.pixel_array
    affine = affine_of([float(each) for each in ds.ImagePositionPatient],
                       [5.0, *(float(each) for each in ds.PixelSpacing)])  # fmt: skip
    onto = replace(
        make_volume(np.zeros(stored.shape, np.int16), affine), frame_of_reference_uid=ds.FrameOfReferenceUID
    )
    got = overlays_of(ds, onto)[0].array
    assert np.allclose(got, stored * float(ds.DoseGridScaling), rtol=1e-6)


def test_the_segmentation_of_another_program() -> None:
    """pydicom's example of three frames of a liver."""
    ds = dcmread(str(get_testdata_file("liver.dcm")))
    groups = ds.PerFrameFunctionalGroupsSequence
    z = [float(group.PlanePositionSequence[0].ImagePositionPatient[2]) for group in groups]
    shared = ds.SharedFunctionalGroupsSequence[0]
    spacing = [float(each) for each in shared.PixelMeasuresSequence[0].PixelSpacing]
    origin = [float(each) for each in groups[0].PlanePositionSequence[0].ImagePositionPatient]
    order = np.argsort(z)
    affine = affine_of([*origin[:2], min(z)], [abs(z[1] - z[0]), *spacing])
    frames = ds.pixel_array.astype(bool)
    onto = replace(
        make_volume(np.zeros(frames.shape, np.int16), affine), frame_of_reference_uid=ds.FrameOfReferenceUID
    )
    found = overlays_of(ds, onto)
    assert found[0].label == "Liver"
    assert frames.any()
    assert np.array_equal(found[0].array, frames[order])
