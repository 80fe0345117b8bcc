"""The treatment plan over the cohort's CT: what it refers to, and that its parts agree with each other."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from dicomframe.samples import cohort, planned_study, treatment_plan


@pytest.fixture(scope="module")
def images() -> list[Dataset]:
    return sorted(cohort([planned_study()]), key=lambda ds: float(ds.ImagePositionPatient[2]))


@pytest.fixture(scope="module")
def plan() -> dict[str, Dataset]:
    found = {}
    for ds in treatment_plan():
        buffer = DicomBytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        buffer.seek(0)
        found[ds.Modality] = dcmread(buffer)
    return found


def test_it_belongs_to_its_ct(images: list[Dataset], plan: dict[str, Dataset]) -> None:
    assert list(plan) == ["SEG", "RTSTRUCT", "RTDOSE"]
    for ds in plan.values():
        for keyword in (
            "PatientID",
            "PatientName",
            "StudyInstanceUID",
            "FrameOfReferenceUID",
            "AccessionNumber",
        ):
            assert ds[keyword].value == images[0][keyword].value
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    uids = {ds.SOPInstanceUID for ds in plan.values()} | {ds.SeriesInstanceUID for ds in plan.values()}
    assert len(uids) == 6
    assert not uids & {ds.SOPInstanceUID for ds in images}


def test_frames_name_the_images_that_they_lie_on(images: list[Dataset], plan: dict[str, Dataset]) -> None:
    positions = {ds.SOPInstanceUID: [float(each) for each in ds.ImagePositionPatient] for ds in images}
    for group in plan["SEG"].PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        own = [float(each) for each in group.PlanePositionSequence[0].ImagePositionPatient]
        assert own == pytest.approx(positions[source], abs=1e-3)
    for roi in plan["RTSTRUCT"].ROIContourSequence[:-1]:
        for contour in roi.ContourSequence:
            source = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
            assert {float(each) for each in contour.ContourData[2::3]} == {positions[source][2]}


def test_the_nodule_is_bright_lung_around_it_dark(images: list[Dataset], plan: dict[str, Dataset]) -> None:
    """The masks fit the pixels of the CT: that is what they are drawn from, and what a lesson shows."""
    ds, frames = plan["SEG"], plan["SEG"].pixel_array.astype(bool)
    assert [item.SegmentLabel for item in ds.SegmentSequence] == [
        "Right lung",
        "Left lung",
        "Heart",
        "Nodule",
    ]
    heights = {float(image.ImagePositionPatient[2]): image.pixel_array.astype(int) - 1024 for image in images}
    values: dict[int, list[np.ndarray]] = {}
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        assert frame.any()
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        z = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        values.setdefault(number, []).append(heights[z][frame])
    medians = {number: float(np.median(np.concatenate(each))) for number, each in values.items()}
    assert medians[1] < -700
    assert medians[2] < -700
    assert medians[3] > 0
    assert medians[4] > -100


def test_the_target_gets_what_is_prescribed(plan: dict[str, Dataset]) -> None:
    ds = plan["RTDOSE"]
    gray = ds.pixel_array * float(ds.DoseGridScaling)
    assert 60 < gray.max() <= 66
    place = np.array(np.unravel_index(gray.argmax(), gray.shape))
    z, y, x = place * 4.0 + [float(each) for each in ds.ImagePositionPatient][::-1]
    isocentre = [
        float(each) for each in plan["RTSTRUCT"].ROIContourSequence[-1].ContourSequence[0].ContourData
    ]
    assert np.abs(np.array([x, y, z]) - isocentre).max() <= 2.0
    assert len(ds.GridFrameOffsetVector) == ds.NumberOfFrames


def test_each_run_gives_the_same(plan: dict[str, Dataset]) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from dicomframe.samples import treatment_plan\nfor ds in treatment_plan(): print(ds.to_json())",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert [json.loads(each) for each in told] == [ds.to_json_dict() for ds in treatment_plan()]
