"""Histograms and waveforms of a table's rows, on a real (local) service; and the pictures of the docs."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DecodeError, QueryError, TableError
from dicomframe.images.pixels import pixels

NAMES = ["CT_small.dcm", "MR_small.dcm", "SC_rgb_rle_2frame.dcm", "waveform_ecg.dcm"]
CT, MR, RGB, ECG = range(4)


@pytest.fixture(scope="module")
def originals():
    return [dcmread(get_testdata_file(name, download=False)) for name in NAMES]


@pytest.fixture(scope="module")
def client(originals):
    with dfr.start_local() as local:
        connected = local.connect(progress=False)
        assert connected.store(originals)["status"].isin(["stored", "warning"]).all()
        yield connected


@pytest.fixture(params=["study", "instance"])
def table(client, originals, request):
    """One row for each file, in the files' order."""
    own = {"study": "StudyInstanceUID", "instance": "SOPInstanceUID"}[request.param]
    found = (client.search_studies() if request.param == "study" else client.search_instances()).to_frame()
    return (
        found.set_index(own, drop=False).loc[[str(ds[own].value) for ds in originals]].reset_index(drop=True)
    )


def said(figure):
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_a_histogram_counts_all_and_tells_what_it_leaves_out(table, originals):
    figure = table.dicom.histogram()
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "pixel value, HU",
        "pixel value (the images tell no unit)",
    ]
    for axes, ds in zip(figure.axes, originals, strict=False):
        [line] = axes.patches
        values = pixels(ds, modality_lut=True)
        counts, edges = line.get_data()[:2]
        assert counts.sum() == values.size
        assert counts.tolist() == np.histogram(values, np.append(edges[:-1], edges[-1] + 1))[0].tolist()
        assert line.get_label().startswith(f"{ds.Modality}\n1 image")
    assert "1 colour image not counted" in said(figure)
    assert "1 not counted: DecodeError" in said(figure)


def test_a_row_that_is_not_there_does_not_stop_the_others(table, originals):
    ghost = table.iloc[[CT]].assign(StudyInstanceUID="1.2.3.404")
    figure = pd.concat([ghost, table.iloc[[CT, CT]]]).dicom.use(table.dicom._client).dicom.histogram()
    assert figure.axes[0].patches[0].get_data()[0].sum() == originals[CT].pixel_array.size
    assert "NotFoundError" in said(figure)
    assert "404" in said(figure)
    assert "1.2.3.404" not in said(figure)


def test_counts_by_series_are_those_of_each(client, originals):
    paths = [ResourcePath(ds.StudyInstanceUID) for ds in originals]
    counts, _ = client.collect_pixel_counts(paths, "series")
    assert {count.label.split()[0] for count in counts} == {"CT", "MR"}
    with pytest.raises(QueryError, match="'modality' or 'series'"):
        client.collect_pixel_counts(paths, "patient")


def test_many_images_of_one_modality_are_one_line():
    with dfr.start_local(samples=True) as local:
        client = local.connect(progress=False)
        series = client.search_series(Modality="CT", limit=1).to_frame()
        [count] = client.collect_pixel_counts([ResourcePath(*series.iloc[0, :2])])[0]
        expected = np.concatenate([each.ravel() for each in series.dicom.pixels(modality_lut=True)["pixels"]])
    assert count.images > 1
    assert count.pixels + count.padding == expected.size
    numbers, amounts = np.unique(expected, return_counts=True)
    kept = count.tally.counts > 0
    assert count.padding or count.tally.counts[kept].tolist() == amounts.tolist()
    assert count.padding or count.tally.edges[:-1][kept].tolist() == numbers.tolist()


def test_waveforms(table, originals):
    found = table.dicom.waveforms()
    assert found["status"].tolist() == ["failed"] * 3 + ["decoded"] * 2
    assert "no waveforms" in found["error"].iloc[CT]
    good = found[found["status"] == "decoded"]
    assert good["label"].tolist() == ["RHYTHM", "MEDIAN BEAT"]
    assert found[["group", "channels", "samples"]].dtypes.tolist() == [pd.Int64Dtype()] * 3
    assert found[["frequency", "duration"]].dtypes.tolist() == [pd.Float64Dtype()] * 2
    assert good[["group", "channels", "samples", "frequency", "duration"]].to_numpy().tolist() == [
        [1, 12, 10000, 1000.0, 10.0],
        [2, 12, 1200, 1000.0, 1.2],
    ]
    for number, wave in enumerate(good["waveform"]):
        np.testing.assert_array_equal(wave.samples, originals[ECG].waveform_array(number))
    assert found["waveform"].iloc[CT] is None


def test_waveforms_of_no_rows_are_typed(table):
    found = table.iloc[:0].dicom.waveforms()
    assert found["group"].dtype == pd.Int64Dtype()
    assert list(found.columns[3:]) == [
        *("group", "label", "channels", "samples", "frequency", "duration", "waveform", "status", "error")
    ]


def test_a_figure_of_waveforms_is_of_one_instance(table):
    assert len(table.iloc[[ECG]].dicom.plot_waveforms(2).axes[0].texts) == 12
    with pytest.raises(TableError, match="names 4"):
        table.dicom.plot_waveforms()
    with pytest.raises(DecodeError, match="no waveforms"):
        table.iloc[[CT]].dicom.plot_waveforms()
    for wrong in (0, 3, True, "1"):
        with pytest.raises(QueryError, match="from 1 to 2"):
            table.iloc[[ECG]].dicom.plot_waveforms(wrong)


@pytest.mark.parametrize("wrong", [{"most": 0}, {"limits": (3, 1)}, {"by": "patient"}])
def test_arguments_are_judged_before_anything_is_retrieved(wrong):
    table = pd.DataFrame({"StudyInstanceUID": ["1.2.3"]}, dtype="string")
    with dfr.start_local() as local:
        table.dicom.use(local.connect())
    with pytest.raises(QueryError):
        table.dicom.histogram(**wrong)


@pytest.mark.skipif(
    not os.environ.get("DICOMFRAME_DOCS_IMAGES"), reason="DICOMFRAME_DOCS_IMAGES=1 draws the docs"
)
def test_pictures_of_the_docs(originals):
    with dfr.start_local(samples=True) as local:
        client = local.connect(progress=False)
        client.store([originals[ECG]])
        studies = client.search_studies(fields=["ModalitiesInStudy"]).to_frame()
        series = client.search_series(fields=["Manufacturer", "ManufacturerModelName"]).to_frame()
        some = series[series["Modality"].isin(["CT", "PT"])].groupby("Modality").head(2)
        ecg = client.search_series(Modality="ECG").to_frame()
        figures = {
            "counts-scanner": series.dicom.counts("scanner"),
            "timeline": studies[studies["PatientID"].str.startswith("DF")].dicom.timeline(most=15),
            "missing": with_gaps(client).dicom.missing(),
            "histogram": some.dicom.use(client).dicom.histogram(log=True),
            "electrocardiogram": ecg.dicom.plot_waveforms(),
        }
    for name, figure in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=96)
        file = Path(__file__).parents[2] / "docs" / "images" / f"{name}.png"
        Image.open(buffer).convert("RGB").quantize(256).save(file, optimize=True)
        assert file.stat().st_size < 150_000


def with_gaps(client):
    """Give studies of the cohort as a less tidy archive would."""
    rows = client.search_studies().to_frame().dicom.to_json()
    for number, row in enumerate(rows):
        if number % 3 == 0 or 40 < number < 75:
            row.pop("00080090", None)
        if number % 7 == 0:
            row.pop("00081030", None)
        if number in {30, 110}:
            row["00080020"] = {"vr": "DA", "Value": ["unknown"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dfr.errors.IssuesWarning)
        return dfr.from_json(rows)


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        ("plot", {"columns": "a"}, "columns= is a whole number from 1 on"),
        ("plot", {"columns": 0}, "columns= is"),
        ("plot", {"columns": True}, "columns= is"),
        ("plot", {"most": "a"}, "most= is a whole number from 1 on"),
        ("plot", {"titles": 5}, "titles= is a list of texts"),
        ("plot", {"titles": ["one"]}, "1 titles were given for 2"),
        ("counts", {"by": 5}, "name is needed, a text; not int"),
        ("counts", {"by": ["Modality"]}, "not list"),
        ("counts", {"by": None}, "not NoneType"),
        ("missing", {"columns": 5}, "columns= is a list of columns' names, not int"),
        ("missing", {"columns": "Modality"}, "not str"),
        ("missing", {"columns": [["Modality"]]}, "not list"),
        ("timeline", {"labels": 5}, "not int"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused_before_anything_is_retrieved(verb, arguments, words):
    rows = [
        {
            "0020000D": {"vr": "UI", "Value": [uid]},
            "00080020": {"vr": "DA", "Value": ["20240115"]},
            "00080060": {"vr": "CS", "Value": ["CT"]},
        }
        for uid in ("1.2", "1.3")
    ]
    # It knows no service: a request would be another error.
    with pytest.raises(QueryError, match=words):
        getattr(dfr.from_json(rows).dicom, verb)(**arguments)


def test_a_column_may_be_called_by_a_number():
    table = dfr.from_json([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]).assign(arm="a")
    [axes] = table.rename(columns={"arm": 5}).dicom.counts(5).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a"]
