"""Overlays and planes through a service: found, laid over their CT, drawn; and what of a table is none says so."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom import Dataset

import dicomframe as dfr
from dicomframe.client.client import Client
from dicomframe.errors import DecodeError, NotFoundError, QueryError, TableError
from dicomframe.images.volume import Volume
from dicomframe.samples import cohort, planned_study, studies, treatment_plan

LABELS = {
    "SEG": ["Right lung", "Left lung", "Heart", "Nodule"],
    "RTSTRUCT": ["Body", "Right lung", "Left lung", "Heart", "Nodule", "PTV"],
    "RTDOSE": ["Dose PLAN"],
}


@pytest.fixture(scope="module")
def other() -> str:
    """Another CT, in a frame of reference of its own."""
    return next(study for study in studies() if study.protocol == "ct-head").uid


@pytest.fixture(scope="module")
def client(other: str) -> Iterator[Client]:
    with dfr.start_local() as local, local.connect(progress=False) as client:
        wanted = [planned_study(), *(study for study in studies() if study.uid == other)]
        outcome = client.store([*cohort(wanted), *treatment_plan()])
        assert set(outcome["status"]) == {"stored"}
        yield client


@pytest.fixture(scope="module")
def series(client: Client) -> pd.DataFrame:
    return client.search_series(planned_study().uid).to_frame()


@pytest.fixture(scope="module")
def volume(series: pd.DataFrame) -> Volume:
    return series[series["Modality"] == "CT"].dicom.volume()


def of(series: pd.DataFrame, *modalities: str) -> pd.DataFrame:
    return series[series["Modality"].isin(modalities)]


@pytest.mark.parametrize("modality", LABELS)
def test_a_series_lies_over_its_ct(
    client: Client, series: pd.DataFrame, volume: Volume, modality: str
) -> None:
    row = of(series, modality).iloc[0]
    found = client.retrieve_overlays(row["StudyInstanceUID"], row["SeriesInstanceUID"], onto=volume)
    assert [each.label for each in found] == LABELS[modality]
    assert all(each.array.shape == volume.array.shape for each in found)


def test_of_a_study_all_its_overlays_are_taken(client: Client, volume: Volume) -> None:
    found = client.retrieve_overlays(planned_study().uid, onto=volume)
    assert sorted(each.label for each in found) == sorted(chain(*LABELS.values()))
    assert found.problems[["label", "what"]].to_numpy().tolist() == [["Isocentre", "point"]]


def test_masks_of_segments_and_of_contours_are_the_same(series: pd.DataFrame, volume: Volume) -> None:
    """Both were drawn from the same pixels, one written as bits, the other as outlines."""
    bits = {each.label: each.array for each in of(series, "SEG").dicom.overlays(volume)}
    outlines = {each.label: each.array for each in of(series, "RTSTRUCT").dicom.overlays(volume)}
    for label, array in bits.items():
        assert np.array_equal(outlines[label], array), label
    lungs = bits["Right lung"] | bits["Left lung"]
    assert np.median(volume.array[lungs]) < -700


def test_the_target_has_its_dose(series: pd.DataFrame, volume: Volume) -> None:
    found = {each.label: each for each in of(series, "RTSTRUCT", "RTDOSE").dicom.overlays(volume)}
    dose = found["Dose PLAN"]
    assert dose.unit == "Gy"
    assert 50 < dose.array[found["PTV"].array].min() < dose.array[found["Nodule"].array].min()
    assert np.nanmax(dose.array[found["Left lung"].array]) < 15


def test_rows_that_are_no_overlays_are_reported(client: Client, series: pd.DataFrame, volume: Volume) -> None:
    both = of(series, "CT", "RTDOSE")
    found = both.dicom.overlays(volume)
    assert [each.label for each in found] == ["Dose PLAN"]
    assert set(found.problems["what"]) == {"not usable"}
    assert len(found.problems) == volume.array.shape[0]
    missing = of(series, "RTDOSE")[["StudyInstanceUID", "SeriesInstanceUID"]]
    missing = pd.concat([missing, missing.assign(SeriesInstanceUID="2.25.404")]).dicom.use(client)
    found = missing.dicom.overlays(volume)
    assert [each.label for each in found] == ["Dose PLAN"]
    assert found.problems[["what", "where"]].to_numpy().tolist() == [["not retrieved", "2.25.404"]]


def test_if_nothing_is_of_use_the_first_reason_is_raised(
    client: Client, series: pd.DataFrame, volume: Volume, other: str
) -> None:
    with pytest.raises(DecodeError, match="no segmentation"):
        of(series, "CT").dicom.overlays(volume)
    with pytest.raises(NotFoundError):
        client.retrieve_overlays("2.25.404", onto=volume)
    head = client.search_series(other).to_frame().dicom.volume()
    with pytest.raises(QueryError, match="another frame of reference"):
        of(series, "SEG").dicom.overlays(head)
    assert len(of(series, "SEG").dicom.overlays(head, registered=True)) == 4


@pytest.mark.parametrize("onto", [None, "CT", Dataset()])
def test_what_is_no_volume_is_refused(series: pd.DataFrame, onto: object) -> None:
    with pytest.raises(QueryError, match="onto a volume"):
        of(series, "SEG").dicom.overlays(onto)


def test_planes_of_a_table_with_a_table_over_it(series: pd.DataFrame) -> None:
    figure = of(series, "CT").dicom.planes(
        overlays=of(series, "RTSTRUCT", "RTDOSE"), isodoses=[20, 54], title="Plan"
    )
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "Axial, z = -22.0 mm", "Coronal, y = 29.7 mm", "Sagittal, x = -80.2 mm",
    ]  # fmt: skip
    written = [
        each.get_text() for axes in figure.axes if axes.get_legend() for each in axes.get_legend().get_texts()
    ]
    assert written[:3] == ["54 Gy (82 %)", "20 Gy (30 %)", "Body"]
    assert "1 part of the overlays could not be used" in " ".join(each.get_text() for each in figure.texts)


def test_planes_take_overlays_as_they_are(series: pd.DataFrame, volume: Volume) -> None:
    images = of(series, "CT")
    found = of(series, "SEG").dicom.overlays(volume)
    figure = images.dicom.planes((0, 0, 8), overlays=[each for each in found if each.label == "Heart"])
    assert figure.axes[0].get_title(loc="left") == "Axial, z = 8.0 mm"
    assert len(images.dicom.planes().axes) == 4
    for wrong in ("SEG", ["a"], [1]):
        with pytest.raises(TableError, match="Overlays are a table"):
            images.dicom.planes(overlays=wrong)


@pytest.mark.skipif(
    not os.environ.get("DICOMFRAME_DOCS_IMAGES"), reason="DICOMFRAME_DOCS_IMAGES=1 draws the docs"
)
def test_pictures_of_the_docs(series: pd.DataFrame, volume: Volume) -> None:
    images = of(series, "CT")
    found = of(series, "RTSTRUCT", "RTDOSE").dicom.overlays(volume)
    shown = [each for each in found if each.label in {"Dose PLAN", "Nodule", "PTV"}]
    for name, figure in (
        ("planes-segments", images.dicom.planes(overlays=of(series, "SEG"))),
        ("planes-dose", images.dicom.planes(overlays=shown)),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=92)
        file = Path(__file__).parents[2] / "docs" / "images" / f"{name}.png"
        Image.open(buffer).convert("RGB").quantize(256, kmeans=2).save(file, optimize=True)
        assert file.stat().st_size < 150_000
