"""Uptake values against the formula written out, for each way in which the tags allow them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from scipy.integrate import trapezoid

from dicomframe.errors import DecodeError
from dicomframe.images.assembly import volume_of
from dicomframe.images.pixels import pixels
from dicomframe.images.suv import suv_factor
from tests.images.series import item, numbered, put, series

HALF_LIFE = 6586.2
WEIGHT, DOSE = 80.0, 4e8


def tracer(**more: Any) -> Dataset:
    found = {
        "RadiopharmaceuticalStartTime": "090000",
        "RadionuclideTotalDose": str(int(DOSE)),
        "RadionuclideHalfLife": str(HALF_LIFE),
    }
    return item(**found | more)


def pet(about: dict[str, Any] | None = None, **more: Any) -> Dataset:
    found: dict[str, Any] = {
        "Modality": "PT",
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["ATTN", "DECY", "SCAT"],
        "PatientWeight": str(WEIGHT),
        "SeriesDate": "20240115",
        "SeriesTime": "100000",
        "AcquisitionDate": "20240115",
        "AcquisitionTime": "100230",
        "RadiopharmaceuticalInformationSequence": [tracer(**about or {})],
    }
    return series(numbered(1), **found | more)[0]


def expected(seconds: float) -> float:
    return WEIGHT * 1000 / (DOSE * math.exp(-math.log(2) * seconds / HALF_LIFE))


def test_activity_corrected_to_the_start_of_the_series() -> None:
    assert suv_factor(pet()) == pytest.approx(expected(3600))


def test_activity_corrected_to_the_injection() -> None:
    assert suv_factor(pet(DecayCorrection="ADMIN")) == pytest.approx(WEIGHT * 1000 / DOSE)
    assert suv_factor(pet({"RadionuclideHalfLife": None}, DecayCorrection="ADMIN")) == WEIGHT * 1000 / DOSE


def test_activity_that_is_not_corrected_holds_for_the_mean_of_the_frame() -> None:
    ds = pet(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration="600000")
    # By integration: the moment at which the decaying activity is the mean over ten minutes.
    times = np.linspace(0, 600, 200_001)
    mean = trapezoid(np.exp(-math.log(2) * times / HALF_LIFE), times) / 600
    moment = -math.log(mean) * HALF_LIFE / math.log(2)
    assert suv_factor(ds) == pytest.approx(expected(3600 + 150 + moment), rel=1e-7)


@pytest.mark.parametrize(
    ("about", "seconds"),
    [
        ({"RadiopharmaceuticalStartTime": "233000"}, 1800),  # on the day before
        ({"RadiopharmaceuticalStartDateTime": "20240114233000.00"}, 1800),
        ({"RadiopharmaceuticalStartDateTime": "20240114223000+0000"}, 1800),
        ({"RadiopharmaceuticalStartDateTime": "20240113233000"}, 86400 + 1800),
    ],
)
def test_an_injection_before_midnight(about: dict[str, str], seconds: float) -> None:
    ds = pet(about, SeriesTime="000000", AcquisitionTime="000000", TimezoneOffsetFromUTC="+0100")
    assert suv_factor(ds) == pytest.approx(expected(seconds))


def test_a_series_time_of_a_later_reconstruction_is_not_the_start() -> None:
    ds = pet(SeriesTime="180000", FrameReferenceTime="450000", ActualFrameDuration="1000")
    assert suv_factor(ds) == pytest.approx(expected(3600 + 150 - 450 + 0.5), rel=1e-6)
    with pytest.raises(DecodeError, match="FrameReferenceTime"):
        suv_factor(pet(SeriesTime="180000"))
    ge = pet(SeriesTime="180000")
    ge.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20240115100000")
    assert suv_factor(ge) == pytest.approx(expected(3600))


def test_counts_by_the_factors_of_philips() -> None:
    ds = pet(Units="CNTS")
    with pytest.raises(DecodeError, match="7053,1000"):
        suv_factor(ds)
    block = ds.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x09, "DS", "2.5")
    assert suv_factor(ds) == pytest.approx(2.5 * expected(3600))
    block.add_new(0x00, "UN", b"0.0004 ")
    assert suv_factor(ds) == pytest.approx(0.0004)


def test_uptake_values_stay_as_they_are() -> None:
    assert suv_factor(pet(Units="GML")) == 1.0
    with pytest.raises(DecodeError, match="LBM"):
        suv_factor(pet(Units="GML", SUVType="LBM"))


@pytest.mark.parametrize(
    ("about", "changes", "named"),
    [
        ({}, {"PatientWeight": None}, ["PatientWeight (0010,1030)"]),
        ({}, {"PatientWeight": "0"}, ["PatientWeight (0010,1030)"]),
        (
            {"RadionuclideTotalDose": None},
            {"PatientWeight": None},
            ["PatientWeight", "RadionuclideTotalDose (0018,1074)"],
        ),
        ({"RadionuclideHalfLife": None}, {}, ["RadionuclideHalfLife (0018,1075)"]),
        ({"RadiopharmaceuticalStartTime": None}, {}, ["RadiopharmaceuticalStartTime (0018,1072)"]),
        ({"RadiopharmaceuticalStartTime": ""}, {}, ["RadiopharmaceuticalStartTime (0018,1072)"]),
        ({}, {"DecayCorrection": None}, ["DecayCorrection (0054,1102)"]),
        ({}, {"DecayCorrection": "WHEN"}, ["START, ADMIN or NONE"]),
        ({}, {"CorrectedImage": ["DECY"]}, ["lacks ATTN"]),
        ({}, {"CorrectedImage": None}, ["CorrectedImage (0028,0051)"]),
        ({}, {"Units": None}, ["Units (0054,1001)"]),
        ({}, {"Units": "PROPCPS"}, ["PROPCPS"]),
        ({}, {"Modality": "CT"}, ["PET"]),
        ({}, {"SeriesTime": None, "AcquisitionTime": None}, ["SeriesTime"]),
        ({}, {"DecayCorrection": "NONE"}, ["ActualFrameDuration (0018,1242)"]),
        ({}, {"RadiopharmaceuticalInformationSequence": None}, ["RadionuclideTotalDose (0018,1074)"]),
        ({"RadiopharmaceuticalStartDateTime": "20240116120000"}, {}, ["later than the scan"]),
    ],
)
def test_what_is_missing_is_named(about: dict[str, Any], changes: dict[str, Any], named: list[str]) -> None:
    ds = put(pet(about), **changes)
    with pytest.raises(DecodeError) as raised:
        suv_factor(ds)
    assert all(name in str(raised.value) for name in named)
    with pytest.raises(DecodeError):
        volume_of([ds], suv=True)


def test_pixels_and_volumes_in_uptake_values() -> None:
    datasets = [pet(RescaleSlope=str(slope), RescaleIntercept="0") for slope in (1, 3)]
    for number, ds in enumerate(datasets):
        put(ds, SOPInstanceUID=f"1.2.{number}", ImagePositionPatient=[0, 0, number])
    volume = volume_of(datasets, suv=True)
    assert volume.unit == "g/ml"
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array[1], numbered(1)[0] * 3 * expected(3600))
    assert np.allclose(pixels(datasets[1], suv=True), volume.array[1])
    assert volume_of(datasets).unit == "Bq/ml"


def test_one_slice_that_lacks_a_tag_is_named() -> None:
    datasets = [pet(), pet(PatientWeight=None)]
    put(datasets[1], SOPInstanceUID="1.2.3", ImagePositionPatient=[0, 0, 1])
    volume = volume_of(datasets, suv=True)
    assert "failed" in volume.problems["what"].tolist()
    assert volume.problems["detail"].str.contains("PatientWeight").any()
