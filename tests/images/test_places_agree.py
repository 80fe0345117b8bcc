"""What lies over what: nothing is drawn beside its place, or under a unit that nobody named."""

import datetime as dt
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread, examples
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import apply_rescale, apply_voi
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomframe.errors import QueryError
from dicomframe.images.assembly import volume_of
from dicomframe.images.layers import Overlay, Overlays
from dicomframe.images.overlays import overlays_of
from dicomframe.images.planes import planes
from dicomframe.images.windowing import display
from dicomframe.service.picture import picture, warning_of
from dicomframe.service.pixels import Pixels
from dicomframe.widgets.gallery import labels_of
from dicomframe.widgets.painting import paint
from dicomframe.widgets.planes import plain_plane
from dicomframe.widgets.setup import setup_of
from dicomframe.widgets.sources import Source, VolumeSource, look_of, slice_of
from dicomframe.widgets.viewer import Viewer


def image(number, z, values=None, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = np.full((4, 5), number, np.int16) if values is None else values
    ds.SOPInstanceUID, ds.SOPClassUID, ds.Modality = f"1.2.{number}", "1.2.840.10008.5.1.4.1.1.2", "CT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *values.shape, 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = values.dtype.itemsize * 8
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(values.dtype.kind == "i")
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.FrameOfReferenceUID = [1, 1], "1.2.3"
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    for name, value in more.items():
        setattr(ds, name, value)
    ds.PixelData = values.tobytes()
    return ds


def unequal():
    heights = [*range(0, 30, 3), *(27 + 6.5 * at for at in range(1, 10))]
    return volume_of([image(number, z) for number, z in enumerate(heights)])


def test_a_volume_of_uneven_slices_takes_no_overlays_and_says_where_they_lie():
    volume = unequal()
    assert not volume.is_regular
    with pytest.raises(QueryError, match="not evenly spaced"):
        overlays_of(dcmread(examples.get_path("rt_dose")), volume, registered=True)
    words = [text.get_text() for text in planes(volume).texts]
    assert any("approximate" in text for text in words)
    source = VolumeSource(volume)
    assert list(source.planes) == ["axial"]
    assert source.affine is None
    assert source.slice(12).to_mm[2].tolist() == [0.0, 0.0, 27 + 6.5 * 3]
    assert "unevenly" in source.look(0).note


def test_an_overlay_of_another_volume_of_the_same_shape_is_refused():
    here = volume_of([image(number, 3.0 * number) for number in range(4)])
    shifted = volume_of([image(number, 500 + 3.0 * number) for number in range(4)])
    other = volume_of([image(number, 3.0 * number, FrameOfReferenceUID="9.9.9") for number in range(4)])
    mask = np.ones(here.array.shape, bool)
    laid = Overlay("A", "mask", (255, 0, 0), mask, affine=here.affine, frame_of_reference_uid="1.2.3")
    own = Overlay("B", "mask", (255, 0, 0), mask)
    assert planes(here, overlays=[laid, own]).axes
    for volume in (shifted, other):
        with pytest.raises(QueryError, match="another volume"):
            planes(volume, overlays=[laid])
        with pytest.raises(QueryError, match="another volume"):
            Viewer(volume, overlays=[laid])
        assert planes(volume, overlays=[own]).axes


def test_a_missing_slice_where_padding_fits_no_value():
    words = {"PixelPaddingValue": 65535, "RescaleIntercept": -1024}
    values = np.arange(20, dtype=np.uint16).reshape(4, 5)
    volume = volume_of([image(number, z, values, **words) for number, z in enumerate((0, 3, 9, 12))])
    assert volume.array.dtype == np.int16
    assert set(volume.array[2].ravel()) == {-1024}
    assert volume.slices["filled"].tolist() == [False, False, True, False, False]


def dose(**more):
    ds = image(1, -100.0, np.zeros((3, 4, 5), np.uint16)[0])
    ds.Modality, ds.SOPClassUID, ds.NumberOfFrames = "RTDOSE", "1.2.840.10008.5.1.4.1.1.481.2", 3
    ds.DoseGridScaling = 0.5
    ds.PixelData = np.arange(60, dtype=np.uint16).tobytes()
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def test_offsets_that_begin_elsewhere_place_no_dose():
    with pytest.raises(Exception, match="begins neither with 0 nor"):
        volume_of([dose(GridFrameOffsetVector=[2.5, 5.0, 7.5])])
    placed = volume_of([dose(GridFrameOffsetVector=[-100.0, -97.5, -95.0])])
    assert placed.slices["z"].tolist() == [-100.0, -97.5, -95.0]


@pytest.mark.parametrize(
    ("units", "unit"), [({"DoseUnits": "GY"}, "Gy"), ({"DoseUnits": "RELATIVE"}, "relative"), ({}, "")]
)
def test_a_dose_has_the_unit_that_it_names(units, unit):
    ds = dose(GridFrameOffsetVector=[0.0, 2.5, 5.0], **units)
    onto = volume_of([ds])
    assert (overlays_of(ds, onto)[0].unit, onto.unit) == (unit, unit)


def test_slices_made_uptake_by_different_factors_are_told():
    def scan(number):
        ds = image(number, 3.0 * number, Modality="PT", Units="BQML")
        ds.CorrectedImage, ds.DecayCorrection = ["ATTN", "DECY"], "START"
        ds.SeriesDate = ds.AcquisitionDate = "20240101"
        ds.SeriesTime, ds.AcquisitionTime = "100500", ("100000", "101000")[number % 2]
        ds.FrameReferenceTime, ds.ActualFrameDuration, ds.PatientWeight = 1000.0, 60_000, 70
        tracer = Dataset()
        tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = 4e8, 6586.2
        tracer.RadiopharmaceuticalStartTime = "090000"
        ds.RadiopharmaceuticalInformationSequence = [tracer]
        return ds

    problems = volume_of([scan(number) for number in range(4)], suv=True).problems
    assert "mixed uptake factors" in problems["what"].tolist()
    assert "mixed uptake factors" not in volume_of([scan(0)], suv=True).problems["what"].tolist()


def test_the_viewers_first_grey_is_that_of_the_picture():
    for values in (np.ones((4, 5), np.uint8), np.arange(20, dtype=np.uint8).reshape(4, 5)):
        ds = image(1, 0.0, values)
        if values.max() == 1:
            ds.BitsStored, ds.HighBit = 1, 0
        else:
            ds.PixelPaddingValue = 19
        made = slice_of(ds)
        look = look_of(ds, 0, made)
        assert np.array_equal(paint(made, look.window)[..., 0], display(ds))


def voi_lut(entries, first, vr="US", **more):
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries), first, 16])
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    for name, value in more.items():
        setattr(item, name, value)
    return item


def everywhere(ds, folder):
    """Give an image as each place shows it: still, local service, viewer; checked to be the same."""
    path = folder / "image.dcm"
    ds.save_as(path, enforce_file_format=True, overwrite=True)
    read = dcmread(path)
    made = slice_of(read)
    look = look_of(read, 0, made)
    begins_with = look.luts[0] if look.begins_with_lut else look.window
    still = display(read)
    shown = paint(made, begins_with, inverted=look.inverted)[..., 0]
    assert np.array_equal(shown, still)
    assert np.abs(picture(Pixels.open(path), 0).astype(int) - still).max() <= (0 if look.luts else 1)
    return still


def grey_of_oracle(ds, lut):
    """What pydicom makes of values in the modality's unit, the greatest entry being white."""
    values = np.floor(apply_rescale(ds.pixel_array, ds)).astype(np.int64)
    mapped = apply_voi(values, ds).astype(float)
    return np.floor(mapped * 255 / max(int(np.max(lut)), 1) + 0.5).astype(np.uint8)


@settings(max_examples=40)
@given(
    entries=st.lists(st.integers(0, 65_535), min_size=2, max_size=40),
    offset=st.integers(-20, 40),
    slope=st.sampled_from([1, 0.5, 3]),
    intercept=st.sampled_from([0, -1024, 10]),
    signed=st.booleans(),
    more=st.sampled_from(
        [{}, {"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}]
    ),
)
@example(entries=[0, 10, 500, 3, 900], offset=4, slope=1, intercept=-1024, signed=False, more={})
def test_a_voi_lut_is_the_oracles_everywhere(
    tmp_path_factory, entries, offset, slope, intercept, signed, more
):
    start = -10 if signed else 1000
    values = (np.arange(20).reshape(4, 5) + start).astype(np.int16 if signed else np.uint16)
    first = int(start * slope + intercept) + offset
    vr = "SS" if signed else "US"
    ds = image(1, 0.0, values, RescaleSlope=slope, RescaleIntercept=intercept, **more)
    ds.VOILUTSequence = [voi_lut(entries, first if signed else first % 65536, vr)]
    shown = everywhere(ds, tmp_path_factory.mktemp("voi"))
    ds.VOILUTSequence = [voi_lut(entries, first, "SS")]  # the oracle takes the first value as it is written
    expected = grey_of_oracle(ds, entries)
    assert np.array_equal(shown, 255 - expected if more else expected)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("start", "slope", "intercept", "modality", "first"),
    [
        pytest.param(
            -10, 1, 0, [40_000 + 3 * step for step in range(20)], 40_010, id="behind a Modality LUT"
        ),
        pytest.param(-10, 1, 40_000, None, 39_995, id="signed, and all values above 0"),
        pytest.param(5, -2, 0, None, -40, id="a negative slope"),
        pytest.param(-10, 1, 0, None, -5, id="signed"),
    ],
)
def test_the_first_value_of_a_voi_lut_is_as_signed_as_what_it_maps(
    tmp_path, start, slope, intercept, modality, first, implicit
):
    values = np.arange(start, start + 20).reshape(4, 5).astype(np.int16 if start < 0 else np.uint16)
    ds = image(1, 0.0, values, RescaleSlope=slope, RescaleIntercept=intercept)
    if implicit:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.BitsStored = 15 if intercept else ds.BitsStored
    ds.HighBit = ds.BitsStored - 1
    if modality:
        del ds.RescaleSlope, ds.RescaleIntercept
        ds.ModalityLUTSequence = [voi_lut(modality, start % 65536)]
    entries = list(range(0, 3000, 100))
    ds.VOILUTSequence = [voi_lut(entries, first % 65536)]
    mapped = np.asarray(modality).reshape(4, 5) if modality else values.astype(np.int64) * slope + intercept
    ds.VOILUTSequence[0].LUTDescriptor[1] = first
    expected = np.floor(apply_voi(mapped, ds).astype(float) * 255 / max(entries) + 0.5)
    ds.VOILUTSequence[0].LUTDescriptor[1] = first % 65536
    assert len(set(expected.ravel())) > 2
    assert np.array_equal(everywhere(ds, tmp_path), expected)


BROKEN = {
    "an empty item": Dataset(),
    "a descriptor of two numbers": voi_lut([0, 9], 3),
    "too few entries": voi_lut([0, 9], 3),
    "no data": voi_lut([0, 9], 3),
}
BROKEN["a descriptor of two numbers"].LUTDescriptor = [2, 3]
BROKEN["too few entries"].LUTDescriptor = [9, 3, 16]
del BROKEN["no data"].LUTData


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_voi_lut_that_cannot_be_read_is_passed_over_everywhere(tmp_path, caplog, kind, others, implicit):
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    ds = image(1, 0.0, values, VOILUTSequence=[BROKEN[kind], *[voi_lut([0, 10, 5, 20], 3)] * others])
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    shown = everywhere(ds, tmp_path)
    expected = np.interp(values, [3, 4, 5, 6], [0, 127.5, 63.75, 255]) if others else values / 19 * 255
    assert np.array_equal(shown, np.floor(expected + 0.5))
    told = "VOI LUT 1 of the image cannot be read."
    assert told in caplog.text
    assert warning_of(Pixels.open(tmp_path / "image.dcm"), 0) == told
    read = dcmread(tmp_path / "image.dcm")
    assert look_of(read, 0, slice_of(read)).note == told
    read.WindowCenter, read.WindowWidth = 5, 10
    caplog.clear()
    everywhere(read, tmp_path)
    assert (warning_of(Pixels.open(tmp_path / "image.dcm"), 0), caplog.text) == ("", "")


def test_entries_of_eight_bits_are_packed_in_words_of_any_vr(tmp_path):
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for vr in ("US", "OW"):
        table = voi_lut([0x6400, 0xFFC8], 3)
        table.LUTDescriptor = [4, 3, 8]
        if vr == "OW":
            table.add_new("LUTData", "OW", bytes([0, 100, 200, 255]))
        shown = everywhere(image(1, 0.0, values, VOILUTSequence=[table]), tmp_path)
        assert shown.ravel()[2:8].tolist() == [0, 0, 100, 200, 255, 255]


def test_a_frames_own_voi_lut_goes_before_the_images(tmp_path):
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    ds = image(1, 0.0, values, VOILUTSequence=[voi_lut([0, 1], 3)])
    group, own = Dataset(), Dataset()
    own.VOILUTSequence = [voi_lut([0, 1], 9)]
    group.FrameVOILUTSequence = [own]
    ds.SharedFunctionalGroupsSequence = [group]
    assert np.array_equal(everywhere(ds, tmp_path), np.where(values > 9, 255, 0))


def test_what_inverts_does_so_once_everywhere(tmp_path):
    words = {"WindowCenter": 10, "WindowWidth": 20}
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    plain = everywhere(image(1, 0.0, values, **words), tmp_path)
    for photometric, shape, is_inverted in (
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ):
        ds = image(1, 0.0, values, PhotometricInterpretation=photometric, **words)
        if shape:
            ds.PresentationLUTShape = shape
        assert np.array_equal(everywhere(ds, tmp_path), 255 - plain if is_inverted else plain)
        volume = volume_of([ds])
        assert volume.inverted == is_inverted


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", "NONE_SUCH", None])
@pytest.mark.parametrize("width", [0.25, 1, 2, 300.5])
def test_each_voi_function_is_one_everywhere(tmp_path, function, width):
    ds = image(1, 0.0, np.arange(-200, 200, 20, dtype=np.int16).reshape(4, 5), RescaleSlope=0.5)
    ds.WindowCenter, ds.WindowWidth = 7.5, width
    if function:
        ds.VOILUTFunction = function
    shown = everywhere(ds, tmp_path)
    x = apply_rescale(ds.pixel_array, ds)
    if function == "SIGMOID":
        expected = 255 / (1 + np.exp(np.minimum(-4 * (x - 7.5) / width, 700)))
    elif function == "LINEAR_EXACT":
        expected = np.clip(((x - 7.5) / width + 0.5) * 255, 0, 255)
    elif width < 1:  # no window: from the least to the greatest value
        expected = (x - x.min()) / np.ptp(x) * 255
    elif width == 1:
        expected = np.where(x <= 7.0, 0, 255)
    else:
        expected = np.clip(((x - 7.0) / (width - 1) + 0.5) * 255, 0, 255)
    assert np.abs(shown - expected).max() <= 0.5 + 1e-9


def test_the_viewer_lists_windows_and_tables_and_setting_a_window_takes_the_table_off():
    ds = image(1, 0.0, np.arange(20, dtype=np.uint8).reshape(4, 5))
    ds.WindowCenter, ds.WindowWidth = [10, 5, 3], [20, 0, 4]
    ds.WindowCenterWidthExplanation = ["WIDE", "BROKEN", "FINE"]
    table = voi_lut([0, 100, 50], 7, LUTExplanation="CONTRAST")
    ds.VOILUTSequence = [table, voi_lut([0, 1], 0), Dataset()]

    class One(Source):
        planes: ClassVar = plain_plane((1, 4, 5))

        def _make(self, index):
            return slice_of(ds)

        def look(self, index):
            return look_of(ds, 0, self.slice(index))

    def listed(view):
        setup, buffers = setup_of(view._source, view._look, view._begins_with, Overlays(), 20)
        assert [bytes(each) for each in buffers] == [bytes([0, 255, 128]), bytes([0, 255])]
        assert setup["luts"] == [{"first": 7}, {"first": 0}]
        assert "cannot be read" in setup["note"]
        return [(preset["name"], preset["lut"]) for preset in setup["presets"]]

    view = Viewer(One())
    assert view.lut is None
    assert listed(view)[:5] == [
        ("default", None), ("FINE", None), ("CONTRAST", 0), ("VOI LUT 2", 1), ("full range", None)
    ]  # fmt: skip
    assert np.array_equal(view.snapshot()[..., 0], display(ds))
    view.lut = 0
    assert view.snapshot()[1, 2:4, 0].tolist() == [0, 255]
    assert "VOI LUT 0" in repr(view)
    view.width = 4
    assert view.lut is None
    for bad in (2, -1):
        with pytest.raises(QueryError, match="it has 2"):
            view.lut = bad
    del ds.WindowCenter
    view = Viewer(One())
    assert view.lut == 0
    assert listed(view)[:3] == [("CONTRAST", 0), ("VOI LUT 2", 1), ("full range", None)]
    assert np.array_equal(view.snapshot()[..., 0], display(ds))
    assert Viewer(One(), window=(1, 2)).lut is None


def test_rows_are_not_named_after_people():
    table = pd.DataFrame(
        {"Modality": ["CT", "MR"]}, index=pd.Index(["DOE^JANE", "ROE^R"], name="PatientName")
    )
    assert labels_of(table) == ["0", "1"]
    assert labels_of(table.reset_index(drop=True).iloc[1:]) == ["1"]


def test_dates_as_whole_numbers_are_days():
    table = pd.DataFrame({"Modality": ["CT", "CT"], "StudyDate": [20240131, 20230101]})
    browser = table.dicom.browse()
    browser.choose(dates=(dt.date(2024, 1, 1), None))
    assert browser.selected.index.tolist() == [0]


def test_a_volume_tells_how_its_slices_are_to_be_shown_and_changes_no_value():
    datasets = [image(number, 3.0 * number) for number in range(3)]
    table = voi_lut([0, 100, 50], 0)
    for ds, attributes in zip(
        datasets,
        (
            {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 2},
            {"VOILUTSequence": [table], "RescaleIntercept": 5},
            {"WindowCenter": [1, 2], "WindowWidth": [0, 8], "VOILUTSequence": [table]},
        ),
        strict=True,
    ):
        for name, value in attributes.items():
            setattr(ds, name, value)
    volume = volume_of(datasets)
    assert volume.array[:, 0, 0].tolist() == [0, 6, 2]
    assert volume.slices["center"].tolist() == [40, pd.NA, 2]
    assert volume.slices["width"].tolist() == [400, pd.NA, 8]
    [problem] = volume.problems.to_dict("records")
    assert problem["what"] == "VOI LUT"
    assert problem["detail"].startswith("1 of 3 slices are to be shown by a VOI LUT and")
    for other, told in ((table, "a VOI LUT"), (voi_lut([0, 100, 51], 0), "2 different VOI LUTs")):
        del datasets[0].WindowCenter
        datasets[0].VOILUTSequence = [other]
        detail = volume_of(datasets).problems["detail"][0]
        assert detail.startswith(f"2 of 3 slices are to be shown by {told} and")
        datasets[0].WindowCenter = 40
    for ds, photometric in zip(datasets, ("MONOCHROME1", "MONOCHROME2", "MONOCHROME1"), strict=True):
        ds.PhotometricInterpretation = photometric
    assert "mixed inversion" in volume_of(datasets).problems["what"].tolist()
