"""What lies over what: nothing is drawn beside its place, or under a unit that nobody named."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from pydicom import Dataset, dcmread, examples
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomframe.errors import QueryError
from dicomframe.images.assembly import volume_of
from dicomframe.images.layers import Overlay
from dicomframe.images.overlays import overlays_of
from dicomframe.images.planes import planes
from dicomframe.images.windowing import display
from dicomframe.widgets.gallery import labels_of
from dicomframe.widgets.painting import paint
from dicomframe.widgets.sources import VolumeSource, look_of, slice_of
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
