"""Volumes: a stack taken apart and shuffled comes back whole, and what is not regular is said, not hidden."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from scipy.spatial.transform import Rotation

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.assembly import Assembly, volume_of
from dicomframe.images.volume import Volume
from tests.images.series import AXIAL, ROOT, image, item, numbered, put, series

COLUMNS = {
    "what": "string",
    "where": "string",
    "SOPInstanceUID": "string",
    "frame": "Int64",
    "detail": "string",
}


def whats(volume: Volume) -> list[str]:
    return volume.problems["what"].tolist()


def uids(datasets: list[Dataset]) -> list[str]:
    return [str(ds.SOPInstanceUID) for ds in datasets]


# -- a regular stack ---------------------------------------------------------------------------------


@given(data=st.data())
def test_a_stack_in_any_order_and_place_comes_back_as_it_was(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 9))
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    turn = Rotation.from_euler("xyz", data.draw(st.tuples(*[st.floats(-180, 180)] * 3)), degrees=True)
    axes = turn.as_matrix()
    distances = data.draw(st.tuples(*[st.floats(0.3, 12)] * 3))
    origin = np.array(data.draw(st.tuples(*[st.floats(-500, 500)] * 3)))
    array = numbered(count, rows, columns)
    datasets = series(
        array,
        orientation=[*axes[:, 0], *axes[:, 1]],
        origin=origin,
        step=axes[:, 2] * distances[0],
        spacing=distances[1:],
    )
    volume = volume_of(data.draw(st.permutations(datasets)))
    assert np.array_equal(volume.array, array)
    assert volume.array.dtype == np.int16
    assert volume.problems.empty
    assert volume.slices["SOPInstanceUID"].tolist() == uids(datasets)
    assert np.allclose(volume.spacing, distances, rtol=1e-4, atol=1e-5)
    # Along each axis of the array, by hand.
    expected = (
        origin + 1 * axes[:, 2] * distances[0] + 2 * axes[:, 1] * distances[1] + 3 * axes[:, 0] * distances[2]
    )
    assert np.allclose(volume.to_mm([1, 2, 3]), expected, atol=1e-3)
    places = np.array(data.draw(st.lists(st.tuples(*[st.floats(-100, 100)] * 3), min_size=1, max_size=4)))
    assert np.allclose(volume.to_index(volume.to_mm(places)), places, atol=1e-6)
    assert np.allclose(
        volume.to_mm([[0, 0, 0], [count - 1, 0, 0]]), volume.slices[["x", "y", "z"]].iloc[[0, -1]]
    )


def test_neither_file_order_nor_spacing_between_slices_nor_instance_numbers_decide() -> None:
    datasets = series(numbered(5), SpacingBetweenSlices=77.0)
    for number, ds in enumerate(datasets):
        ds.InstanceNumber = 100 - number
    volume = volume_of(datasets[::-1])
    assert np.array_equal(volume.array, numbered(5))
    assert volume.spacing.tolist() == [2.0, 1.0, 1.0]


def test_the_table_of_problems_is_typed_also_when_empty() -> None:
    good, bad = volume_of(series(numbered(3))), volume_of(series(numbered(1)))
    for volume in (good, bad):
        assert {name: str(dtype) for name, dtype in volume.problems.dtypes.items()} == COLUMNS
    assert good.problems.empty
    assert whats(bad) == ["single slice"]
    assert "2 mm" in bad.problems["detail"][0]
    assert bad.spacing[0] == 2.0


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [("1", "-1024", np.int16), ("0.5", "0", np.float32), ("1", "40000", np.float32), ("2", "1", np.int16)],
)
def test_values_are_in_the_unit_of_the_modality(slope: str, intercept: str, dtype: type) -> None:
    volume = volume_of(series(numbered(3), RescaleSlope=slope, RescaleIntercept=intercept))
    assert volume.array.dtype == dtype
    assert np.array_equal(volume.array, numbered(3) * float(slope) + float(intercept))
    assert volume.unit == "HU"


def test_one_slice_with_fractions_makes_all_of_them_floats() -> None:
    datasets = series(numbered(3))
    put(datasets[1], RescaleSlope="0.25", RescaleIntercept="0")
    volume = volume_of(datasets)
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array[1], numbered(3)[1] * 0.25)
    assert np.array_equal(volume.array[[0, 2]], numbered(3)[[0, 2]])


def test_what_the_volume_knows_besides() -> None:
    datasets = series(
        numbered(3),
        WindowCenter="40",
        WindowWidth="400",
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=0,
        RescaleSlope="1",
        RescaleIntercept="-1000",
    )
    for ds in datasets:
        ds["PixelPaddingValue"].VR = "SS"
    volume = volume_of(datasets)
    assert volume.window is not None
    assert (volume.window.center, volume.window.width) == (40, 400)
    assert volume.inverted
    assert volume.padding == (-1000, -1000)
    assert (volume.modality, volume.frame_of_reference_uid) == ("CT", f"{ROOT}.9")
    assert repr(volume) == "<Volume CT 3 x 4 x 5, 2 x 1 x 1 mm, int16 in HU>"


# -- what is not regular -----------------------------------------------------------------------------


def test_a_missing_slice_is_filled_and_named() -> None:
    datasets = series(numbered(7), RescaleSlope="1", RescaleIntercept="-1024")
    volume = volume_of([*datasets[:2], *datasets[4:]])
    assert volume.shape == (7, 4, 5)
    assert whats(volume) == ["missing slices"]
    assert volume.problems["where"][0] == "slices 2 to 3"
    assert "3 spacings of 2 mm" in volume.problems["detail"][0]
    assert volume.slices["filled"].tolist() == [False, False, True, True, False, False, False]
    assert volume.slices["SOPInstanceUID"].isna().tolist() == volume.slices["filled"].tolist()
    assert (volume.array[2:4] == -1024).all()
    assert np.array_equal(volume.array[4:], numbered(7)[4:] - 1024)
    assert np.allclose(volume.to_mm([6, 0, 0]), [0, 0, 12])


def test_padding_fills_a_missing_slice_where_there_is_some() -> None:
    datasets = series(numbered(5), PixelPaddingValue=-2000)
    for ds in datasets:
        ds["PixelPaddingValue"].VR = "SS"
    volume = volume_of([*datasets[:1], *datasets[2:]])
    assert (volume.array[1] == -2000).all()


def test_every_second_slice_missing_is_a_wider_stack() -> None:
    volume = volume_of(series(numbered(9))[::2])
    assert volume.problems.empty
    assert volume.spacing[0] == 4.0


def test_one_slice_far_away_does_not_make_hundreds() -> None:
    datasets = series(numbered(4))
    datasets[3].ImagePositionPatient = [0, 0, 900]
    volume = volume_of(datasets)
    assert volume.shape[0] == 4
    assert set(whats(volume)) == {"unequal spacing", "missing slices"}
    assert "448 spacings" in volume.problems.set_index("what").loc["missing slices", "detail"]


def test_unequal_spacing_is_told_with_figures() -> None:
    datasets = series(numbered(5))
    for ds, z in zip(datasets, (0, 2, 4, 7, 9), strict=True):
        ds.ImagePositionPatient = [0, 0, z]
    volume = volume_of(datasets)
    assert whats(volume) == ["unequal spacing"]
    detail = volume.problems["detail"][0]
    assert "2 to 3 mm, median 2" in detail
    assert "2.25 mm" in detail
    assert volume.spacing[0] == 2.25
    assert volume.slices["z"].tolist() == [0, 2, 4, 7, 9]


def test_rounding_of_positions_is_no_problem() -> None:
    datasets = series(numbered(40), step=(0, 0, 0.625))
    for ds in datasets:
        ds.ImagePositionPatient = [round(float(each), 2) for each in ds.ImagePositionPatient]
    assert volume_of(datasets).problems.empty


def test_of_doubled_slices_the_first_number_is_kept_and_the_others_are_named() -> None:
    datasets = series(numbered(4))
    again, other = series(numbered(4), first=50)[1], series(numbered(4) + 7, first=60)[2]
    volume = volume_of([other, again, *datasets])
    assert np.array_equal(volume.array, numbered(4))
    assert whats(volume) == ["doubled slice"] * 2
    rows = volume.problems.set_index("where")
    assert rows.loc["slice 1", "SOPInstanceUID"] == again.SOPInstanceUID
    assert "are the same" in rows.loc["slice 1", "detail"]
    assert rows.loc["slice 2", "SOPInstanceUID"] == other.SOPInstanceUID
    assert "are others" in rows.loc["slice 2", "detail"]


SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("mixed orientations", {"ImageOrientationPatient": list(SAGITTAL)}),
        ("mixed pixel spacing", {"PixelSpacing": [2.0, 2.0]}),
        ("mixed frames of reference", {"FrameOfReferenceUID": f"{ROOT}.10"}),
        ("localizer", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
    ],
)
def test_the_largest_set_is_taken_and_the_rest_named(what: str, changes: dict[str, Any]) -> None:
    datasets = series(numbered(4))
    others = [put(ds, **changes) for ds in series(numbered(2), first=90)]
    volume = volume_of([*others, *datasets])
    assert np.array_equal(volume.array, numbered(4))
    assert whats(volume) == [what, what]
    assert volume.problems["SOPInstanceUID"].tolist() == uids(others)
    assert volume.problems["detail"].str.contains("left out").all()


def test_localizers_are_left_out_even_where_they_are_more() -> None:
    localizers = series(numbered(5), first=50, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    volume = volume_of([*localizers, *series(numbered(2))])
    assert volume.shape[0] == 2


def test_mixed_sizes() -> None:
    others = series(numbered(2, 9, 9), first=90)
    volume = volume_of([*others, *series(numbered(4))])
    assert np.array_equal(volume.array, numbered(4))
    assert whats(volume) == ["mixed sizes"] * 2
    assert "9 x 9" in volume.problems["detail"][0]


def test_a_tilted_gantry_shears_the_affine() -> None:
    tilt = np.radians(15)
    datasets = series(numbered(4), orientation=[1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)], step=(0, 0, 3))
    volume = volume_of(datasets)
    assert whats(volume) == ["gantry tilt"]
    assert "15 degrees" in volume.problems["detail"][0]
    assert np.allclose(volume.to_mm([2, 0, 0]), [0, 0, 6])
    assert np.allclose(volume.to_mm([2, 1, 0]), [0, np.cos(tilt), 6 - np.sin(tilt)])


def test_a_slice_beside_the_stack_is_named() -> None:
    datasets = series(numbered(5))
    datasets[2].ImagePositionPatient = [3, 0, 4]
    volume = volume_of(datasets)
    assert whats(volume) == ["shifted slices"]
    assert volume.problems["where"][0] == "slice 2"
    assert "3 mm" in volume.problems["detail"][0]


@pytest.mark.parametrize(
    ("changes", "lack"),
    [
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"ImagePositionPatient": ""}, "no ImagePositionPatient"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"PixelSpacing": [0, 0]}, "not above 0"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "perpendicular"),
    ],
)
def test_a_frame_without_a_place_is_left_out_and_named(changes: dict[str, Any], lack: str) -> None:
    datasets = series(numbered(5))
    put(datasets[4], **changes)
    volume = volume_of(datasets)
    assert whats(volume) == ["missing position"]
    assert lack in volume.problems["detail"][0]
    assert volume.problems["SOPInstanceUID"][0] == datasets[4].SOPInstanceUID
    with pytest.raises(DecodeError, match=lack):
        volume_of(datasets[4:])


def test_a_slice_that_cannot_be_decoded_has_its_place_and_a_reason() -> None:
    datasets = series(numbered(5))
    datasets[2].PixelData = datasets[2].PixelData[:10]
    volume = volume_of(datasets)
    assert whats(volume) == ["failed"]
    assert volume.problems["SOPInstanceUID"][0] == datasets[2].SOPInstanceUID
    assert volume.slices["filled"].tolist() == [False, False, True, False, False]
    assert np.array_equal(volume.array[3:], numbered(5)[3:])


def test_a_slice_that_cannot_be_decoded_gives_way_to_its_double() -> None:
    datasets = series(numbered(3))
    double = series(numbered(3), first=50)[1]
    datasets[1].PixelData = b""
    volume = volume_of([*datasets, double])
    assert np.array_equal(volume.array, numbered(3))
    assert set(whats(volume)) == {"failed", "doubled slice"}


def test_nothing_that_could_be_a_volume_says_why() -> None:
    with pytest.raises(DecodeError, match="there is no image"):
        volume_of([])
    colour = dcmread(str(get_testdata_file("examples_rgb_color.dcm", download=False)))
    with pytest.raises(DecodeError, match="colour"):
        volume_of([colour])


def test_colour_beside_grey_is_named() -> None:
    colour = dcmread(str(get_testdata_file("examples_rgb_color.dcm", download=False)))
    volume = volume_of([colour, *series(numbered(3))])
    assert whats(volume) == ["failed"]
    assert np.array_equal(volume.array, numbered(3))


# -- several volumes at the same positions ---------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("EchoTime", (2.3, 4.6, 6.9)),
        ("TemporalPositionIdentifier", (1, 2, 3)),
        ("DiffusionBValue", (0.0, 500.0, 1000.0)),
        (
            "ImageType",
            (["ORIGINAL", "PRIMARY", "IN"], ["ORIGINAL", "PRIMARY", "OUT"], ["ORIGINAL", "PRIMARY", "W"]),
        ),
    ],
)
def test_volumes_are_taken_apart_by_what_tells_them_apart(keyword: str, values: tuple[Any, ...]) -> None:
    datasets: list[Dataset] = []
    for number, value in enumerate(values):
        datasets += series(numbered(4) + 100 * number, first=1 + 10 * number, **{keyword: value})
        for place, ds in enumerate(datasets[-4:]):
            ds.AcquisitionTime = (
                f"1200{10 * number + place:02}"  # differs from slice to slice, so tells nothing
            )
    for stack in (None, 1, 2, 3):
        volume = volume_of(datasets[::-1], stack=stack)
        assert np.array_equal(volume.array, numbered(4) + 100 * ((stack or 1) - 1))
        assert whats(volume) == ["several volumes"] * 2
        assert volume.problems["detail"].str.contains(keyword.removesuffix("Identifier")).all()
    assert "stack=2" in volume_of(datasets).problems["detail"][0]
    with pytest.raises(QueryError, match="3 volumes lie"):
        volume_of(datasets, stack=4)


def test_two_marks_take_directions_of_one_b_value_apart() -> None:
    datasets: list[Dataset] = []
    kinds = [(0.0, None), (1000.0, [1.0, 0, 0]), (1000.0, [0, 1.0, 0])]
    for number, (b_value, direction) in enumerate(kinds):
        more = {"DiffusionBValue": b_value, "DiffusionGradientOrientation": direction}
        datasets += series(numbered(3) + 100 * number, first=1 + 10 * number, **more)
    found = {int(volume_of(datasets, stack=stack).array.min()) for stack in (1, 2, 3)}
    assert found == {0, 100, 200}


def test_where_nothing_else_tells_times_apart_the_order_does() -> None:
    datasets: list[Dataset] = []
    for time in range(3):
        datasets += series(numbered(4) + 100 * time, first=1 + 4 * time)
    for number, ds in enumerate(datasets):
        ds.AcquisitionTime = f"1200{number:02}"  # another one for each frame, so no mark of a volume
    volume = volume_of(datasets, stack=2)
    assert np.array_equal(volume.array, numbered(4) + 100)
    assert "order of instance numbers" in volume.problems["detail"][0]


def test_a_time_that_ended_early_is_no_default() -> None:
    datasets = series(numbered(4), TemporalPositionIdentifier=2)
    datasets += series(numbered(2) + 100, first=20, TemporalPositionIdentifier=1)
    assert np.array_equal(volume_of(datasets).array, numbered(4))


def test_words_of_a_file_command_no_terminal() -> None:
    datasets = series(numbered(3), StudyDescription="x")
    for value, first in (("a\x1b[2Jb", 20), ("c", 40)):
        datasets += series(numbered(3), first=first, ConvolutionKernel=value)
    for ds in datasets:
        put(ds, RescaleSlope="1", RescaleIntercept="0", RescaleType="H\x1b[31mU")
    volume = volume_of(datasets)
    assert "\x1b" not in "".join([repr(volume), volume.unit, *volume.problems["detail"]])
    assert "[2J" in "".join(volume.problems["detail"])


def test_a_mark_of_odd_kinds_still_sorts() -> None:
    datasets = series(numbered(3), AcquisitionNumber=2)
    datasets += series(numbered(3) + 100, first=20)
    datasets += series(numbered(3) + 200, first=40, AcquisitionNumber=1)
    assert volume_of(datasets, stack=1).array.min() == 200
    assert volume_of(datasets, stack=3).array.min() == 100


# -- objects of many frames --------------------------------------------------------------------------


def enhanced(array: NDArray[np.int16], **more: Any) -> Dataset:
    """Make an Enhanced object with the frames in reversed order, and every second frame of another echo."""
    frames = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 3.0 * place])],
            FrameContentSequence=[item(TemporalPositionIndex=time + 1)],
            PixelValueTransformationSequence=[
                item(RescaleSlope=1, RescaleIntercept=-10 * time, RescaleType="HU")
            ],
            FrameVOILUTSequence=[item(WindowCenter=30 + place, WindowWidth=100)],
        )
        for place in reversed(range(len(array) // 2))
        for time in range(2)
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))],
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25], SliceThickness=3, SpacingBetweenSlices=99)],
    )
    return image(
        array, PerFrameFunctionalGroupsSequence=frames, SharedFunctionalGroupsSequence=[shared], **more
    )


def test_enhanced_frames_lie_where_their_groups_say() -> None:
    array = numbered(8)
    for time in range(2):
        volume = volume_of([enhanced(array)], stack=time + 1)
        assert np.array_equal(volume.array, array[time::2][::-1] - 10 * time)
        assert volume.slices["frame"].tolist() == [7 + time, 5 + time, 3 + time, 1 + time]
        assert np.allclose(volume.spacing, [3.0, 0.5, 0.25])
        assert volume.window is not None
        assert volume.window.center == 32
        assert volume.unit == "HU"
    assert whats(volume) == ["several volumes"]


@pytest.mark.parametrize(("offsets", "z"), [((0, 2, 4, 6), -20), ((-20, -18, -16, -14), -20)])
def test_doses_by_either_kind_of_offsets(offsets: tuple[float, ...], z: float) -> None:
    dose = image(
        numbered(4).astype(np.uint16),
        Modality="RTDOSE",
        ImagePositionPatient=[-5, -6, z],
        ImageOrientationPatient=list(AXIAL),
        PixelSpacing=[2, 2],
        GridFrameOffsetVector=list(offsets),
        DoseGridScaling="0.001",
        DoseUnits="GY",
    )
    volume = volume_of([dose])
    assert volume.unit == "Gy"
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array, numbered(4) * 0.001)
    assert np.allclose(volume.to_mm([3, 0, 0]), [-5, -6, -14])
    assert volume.problems.empty


def test_offsets_go_along_the_normal_of_an_oblique_dose_and_may_descend() -> None:
    tilt = np.radians(30)
    dose = image(
        numbered(3).astype(np.uint16),
        Modality="RTDOSE",
        ImagePositionPatient=[1, 2, 3],
        ImageOrientationPatient=[1, 0, 0, 0, float(np.cos(tilt)), float(np.sin(tilt))],
        PixelSpacing=[2, 2],
        GridFrameOffsetVector=[0, -2, -4],
        DoseGridScaling="1",
        DoseUnits="GY",
    )
    volume = volume_of([dose])
    assert volume.slices["frame"].tolist() == [3, 2, 1]
    assert np.allclose(volume.to_mm([2, 0, 0]), [1, 2, 3], atol=1e-6)
    assert np.allclose(
        volume.to_mm([0, 0, 0]), np.add([1, 2, 3], np.multiply(-4, [0, -np.sin(tilt), np.cos(tilt)]))
    )
    put(dose, GridFrameOffsetVector=[5, 7, 9])
    with pytest.raises(DecodeError, match="axial"):
        volume_of([dose])
    put(dose, GridFrameOffsetVector=[0, 7])
    with pytest.raises(DecodeError, match="one number a frame"):
        volume_of([dose])


def test_reconstructed_nuclear_medicine_by_spacing_between_slices() -> None:
    detector = item(ImagePositionPatient=[0, 0, 50], ImageOrientationPatient=list(AXIAL))
    nuclear = image(
        numbered(4),
        Modality="NM",
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        DetectorInformationSequence=[detector],
        PixelSpacing=[4, 4],
        SpacingBetweenSlices="-4",
        SliceVector=[1, 2, 3, 4],
    )
    volume = volume_of([nuclear])
    assert np.array_equal(volume.array, numbered(4)[::-1])
    assert volume.slices["z"].tolist() == [38, 42, 46, 50]
    put(nuclear, ImageType=["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"])
    with pytest.raises(DecodeError, match="no ImagePositionPatient"):
        volume_of([nuclear])


def test_gated_tomograms_are_several_volumes() -> None:
    detector = item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=list(AXIAL))
    gated = image(
        numbered(6),
        Modality="NM",
        ImageType=["ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION"],
        DetectorInformationSequence=[detector],
        PixelSpacing=[4, 4],
        SpacingBetweenSlices="4",
        SliceVector=[1, 2, 3, 1, 2, 3],
        TimeSlotVector=[1, 1, 1, 2, 2, 2],
    )
    assert np.array_equal(volume_of([gated], stack=2).array, numbered(6)[3:])


def csa(**values: list[str]) -> bytes:
    """Write a CSA header of version SV10."""
    out = b"SV10\4\3\2\1" + len(values).to_bytes(4, "little") + (77).to_bytes(4, "little")
    for name, texts in values.items():
        out += name.encode().ljust(64, b"\0") + (len(texts)).to_bytes(4, "little") + b"FD\0\0"
        out += (4).to_bytes(4, "little") + len(texts).to_bytes(4, "little") + (77).to_bytes(4, "little")
        for text in texts:
            content = text.encode() + b"\0"
            out += b"".join(n.to_bytes(4, "little") for n in (len(content), len(content), 77, len(content)))
            out += content.ljust((len(content) + 3) // 4 * 4, b"\0")
    return out


def mosaic(array: NDArray[np.int16], normal: tuple[float, ...] | None, **more: Any) -> Dataset:
    """Make a mosaic of so many slices as a Siemens scanner writes it, the last tiles black."""
    count, rows, columns = array.shape
    side = int(np.ceil(np.sqrt(count)))
    whole = np.zeros((side * rows, side * columns), np.int16)
    for number, tile in enumerate(array):
        down, right = divmod(number, side)
        whole[down * rows : (down + 1) * rows, right * columns : (right + 1) * columns] = tile
    # The position is that of a picture as large as the mosaic, around the same middle as the first tile.
    corner = [-(side - 1) * columns / 2 * 3.0, -(side - 1) * rows / 2 * 2.0, 10.0]
    ds = image(
        whole,
        Modality="MR",
        ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"],
        ImagePositionPatient=corner,
        ImageOrientationPatient=list(AXIAL),
        PixelSpacing=[2, 3],
        SliceThickness=4,
        SpacingBetweenSlices=5,
        **more,
    )
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", count)
    if normal is not None:
        header = csa(SliceNormalVector=[f"{each:.8f}" for each in normal])
        ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    return ds


@pytest.mark.parametrize(("normal", "z"), [(None, 10), ((0, 0, 1), 10), ((0, 0, -1), -20)])
def test_mosaics_are_taken_apart(normal: tuple[float, ...] | None, z: float) -> None:
    array = numbered(7, 4, 6)
    volume = volume_of([mosaic(array, normal)])
    assert volume.shape == (7, 4, 6)
    assert np.array_equal(volume.array, array if z == 10 else array[::-1])
    assert np.allclose(volume.to_mm([0, 0, 0]), [0, 0, z])
    assert np.allclose(volume.spacing, [5, 2, 3])
    assert volume.problems.empty


def test_mosaics_of_a_time_series_are_several_volumes() -> None:
    datasets = [
        mosaic(
            numbered(5) + 100 * time,
            (0, 0, 1),
            SOPInstanceUID=f"{ROOT}.7.{time}",
            InstanceNumber=time,
            AcquisitionNumber=time,
        )
        for time in (1, 2, 3)
    ]
    volume = volume_of(datasets, stack=3)
    assert np.array_equal(volume.array, numbered(5) + 300)
    assert whats(volume) == ["several volumes"] * 2


def test_a_broken_private_header_is_no_header() -> None:
    ds = mosaic(numbered(5), (0, 0, -1))
    element = ds.private_block(0x0029, "SIEMENS CSA HEADER")[0x10]
    for length in range(0, len(element.value), 7):
        whole, element.value = element.value, element.value[:length]
        assert volume_of([ds]).shape[0] == 5
        element.value = whole


def test_slices_in_two_units_have_none_together() -> None:
    datasets = series(numbered(3), RescaleSlope="1", RescaleIntercept="0")
    put(datasets[1], RescaleType="OD")
    volume = volume_of(datasets)
    assert volume.unit == ""
    assert whats(volume) == ["mixed units"]


# -- memory and threads ------------------------------------------------------------------------------


def test_objects_may_come_from_several_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    datasets = series(numbered(60, 16, 16), RescaleSlope="1", RescaleIntercept="0")
    put(datasets[31], RescaleSlope="0.5", RescaleIntercept="0")
    assembly = Assembly(3)  # fewer than come
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(assembly.add, datasets[::-1]))
    expected = numbered(60, 16, 16).astype(np.float32)
    expected[31] *= 0.5
    volume = assembly.volume()
    assert np.array_equal(volume.array, expected)
    assert volume.problems.empty


# -- real objects -------------------------------------------------------------------------------------


def test_a_real_enhanced_image_is_sorted_as_by_hand() -> None:
    path = get_testdata_file("eCT_Supplemental.dcm", download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(str(path))
        stored = ds.pixel_array
    positions = [
        np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        for group in ds.PerFrameFunctionalGroupsSequence
    ]
    shared = ds.SharedFunctionalGroupsSequence[0]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    # The rows run to the patient's right, so that the normal points to the feet.
    order = np.argsort([np.cross(*directions) @ position for position in positions])
    assert order.tolist() == [1, 0]
    transform = shared.PixelValueTransformationSequence[0]
    expected = stored[order] * float(transform.RescaleSlope) + float(transform.RescaleIntercept)
    volume = volume_of([ds])
    assert np.array_equal(volume.array, expected)
    assert np.allclose(volume.slices[["x", "y", "z"]], [positions[at] for at in order])
    assert np.allclose(volume.to_mm([[0, 0, 0], [1, 0, 0]]), [positions[at] for at in order])


# -- planes and resampling ----------------------------------------------------------------------------


@given(data=st.data())
def test_planes_are_turned_as_radiologists_look_at_them(data: st.DataObject) -> None:
    """Whatever way the grid lies, a marked voxel is found at its mm in each plane."""
    order = data.draw(st.permutations(range(3)))
    signs = [data.draw(st.sampled_from([1, -1])) for _ in range(2)]
    axes = np.eye(3)[list(order)]
    row, column = axes[0] * signs[0], axes[1] * signs[1]
    array = np.zeros((4, 5, 6), np.int16)
    at = tuple(data.draw(st.integers(0, length - 1)) for length in array.shape)
    array[at] = 1
    volume = volume_of(
        series(
            array,
            orientation=[*row, *column],
            step=np.cross(row, column) * 3.0,
            spacing=(2.0, 1.5),
            origin=(7, 8, 9),
        )
    )
    mm = volume.to_mm(at)
    for name, (across, down, right, letters) in {
        "axial": (2, 1, 0, ("R", "L", "P", "A")),
        "coronal": (1, 2, 0, ("R", "L", "F", "H")),
        "sagittal": (0, 2, 1, ("A", "P", "F", "H")),
    }.items():
        planes = [volume.plane(name, index) for index in range(volume.shape[volume.axes()[across]])]  # type: ignore[arg-type]
        [found] = [plane for plane in planes if plane.array.any()]
        assert found.letters == letters
        assert np.isclose(found.position, mm[across])
        assert [plane.position for plane in planes] == sorted(plane.position for plane in planes)
        [[line, place]] = np.argwhere(found.array)
        left, to_right, bottom, top = found.extent
        lines, places = found.array.shape
        assert np.isclose(left + (place + 0.5) * (to_right - left) / places, mm[right])
        assert np.isclose(top + (line + 0.5) * (bottom - top) / lines, mm[down])
        assert left < to_right
        assert (top > bottom) == (down == 2)


def test_a_plane_that_is_not_there() -> None:
    volume = volume_of(series(numbered(3)))
    assert volume.plane("axial", -1).index == 2
    for name, index in (("axial", 3), ("axial", -4), ("axial", 1.5), ("axial", True), ("oblique", 0)):
        with pytest.raises(QueryError):
            volume.plane(name, index)  # type: ignore[arg-type]


def test_resampling_a_linear_function_is_exact() -> None:
    """Of values that are linear in mm, linear interpolation makes the same at other places."""
    wide = numbered(6, 7, 8)
    grid = np.stack(np.meshgrid(*map(np.arange, wide.shape), indexing="ij"), axis=-1)
    turn = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix()
    other = volume_of(
        series(
            wide,
            orientation=[*turn[:, 0], *turn[:, 1]],
            step=turn[:, 2] * 1.1,
            spacing=(0.7, 0.9),
            origin=(10, 11, 12),
        )
    )
    plain = volume_of(series(numbered(30, 30, 30), origin=(-5, -5, -5)))
    mm = plain.to_mm(np.stack(np.meshgrid(*map(np.arange, plain.shape), indexing="ij"), axis=-1))
    linear = replace(plain, array=mm @ [1.0, 2.0, 3.0])
    made = linear.resampled_to(other)
    assert made.shape == other.shape
    assert made.array.dtype == np.float32
    expected = other.to_mm(grid) @ [1.0, 2.0, 3.0]
    inside = np.isfinite(made.array)
    assert inside.sum() > 100
    assert np.allclose(made.array[inside], expected[inside], atol=1e-3)
    assert np.array_equal(plain.resampled_to(plain).array, plain.array)
    assert np.allclose(other.resampled_to(other).array, other.array)  # to the last voxel at the edge
    assert np.array_equal(plain.resampled_to(plain, order=0).array, plain.array)


def test_resampling_outside_and_across_frames_of_reference() -> None:
    volume, far = volume_of(series(numbered(3))), volume_of(series(numbered(3), origin=(500, 0, 0)))
    assert np.isnan(volume.resampled_to(far).array).all()
    assert (volume.resampled_to(far, fill=-1).array == -1).all()
    other = volume_of(series(numbered(3), FrameOfReferenceUID=f"{ROOT}.77"))
    with pytest.raises(QueryError, match="frames of reference"):
        volume.resampled_to(other)
    assert np.array_equal(volume.resampled_to(other, registered=True).array, volume.array)
    with pytest.raises(QueryError, match="0 to 5"):
        volume.resampled_to(volume, order=7)  # type: ignore[arg-type]
