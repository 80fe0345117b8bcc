"""Tables of pictures, thumbnails, frames, bulk data and pixels, on a real (local) service."""

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.errors import NoClientError, NotBuiltError, QueryError, TableError
from dicomframe.images.pixels import pixels
from dicomframe.images.windowing import display

NAMES = ["CT_small.dcm", "MR_small.dcm", "SC_rgb_rle_2frame.dcm", "waveform_ecg.dcm", "JPEG2000.dcm"]
CT, MR, RLE, ECG, J2K = range(5)


@pytest.fixture(scope="module")
def originals():
    return [dcmread(get_testdata_file(name, download=False)) for name in NAMES]


@pytest.fixture(scope="module")
def client(originals):
    with dfr.start_local() as local:
        connected = local.connect(progress=False)
        assert connected.store(originals)["status"].isin(["stored", "warning"]).all()
        yield connected


@pytest.fixture
def table(client, originals):
    """One row for each file, in the files' order, with an index of its own."""
    uids = [ds.SOPInstanceUID for ds in originals]
    rows = client.search_instances().to_frame().set_index("SOPInstanceUID", drop=False).loc[uids]
    return rows.set_axis([f"row {number}" for number in range(len(uids))])


def with_a_ghost(table):
    """Put a row that the service does not have between the others."""
    ghost = table.iloc[[0]].assign(SOPInstanceUID="1.2.3.404").set_axis(["ghost"])
    return dfr.concat([table.iloc[:2], ghost, table.iloc[2:]])


def test_rendered(table, originals):
    made = table.dicom.rendered(media_type="image/png")
    assert made.index.tolist() == table.index.tolist()
    assert made["SOPInstanceUID"].tolist() == [ds.SOPInstanceUID for ds in originals]
    assert made["status"].tolist() == ["rendered", "rendered", "rendered", "failed", "rendered"]
    assert "no pixel data" in made["error"].iloc[ECG]
    assert made["picture"].iloc[ECG] is None
    assert made["picture"].iloc[RLE].shape == (100, 100, 3)
    assert made["source"].dropna().tolist() == ["server"] * 4
    windowed = table.iloc[[CT]].dicom.rendered(window="bone", viewport=(32, 32), media_type="image/png")
    assert windowed["picture"].iloc[0].shape == (32, 32)
    exact = table.iloc[[CT]].dicom.rendered(window="bone", media_type="image/png")["picture"].iloc[0]
    expected = display(originals[CT], window="bone")
    assert np.abs(exact.astype(int) - expected).max() <= 1


def test_a_column_of_thumbnails_joins_its_table(table):
    table["thumbnail"] = table.dicom.thumbnails()["picture"]
    assert table["thumbnail"].iloc[CT].shape == (128, 128)
    assert max(table["thumbnail"].iloc[J2K].shape) == 200
    assert table["thumbnail"].isna().tolist() == [False, False, False, True, False]


def test_frames(table, originals):
    made = table.dicom.frames()
    for ds, frames in zip(originals, made["frames"], strict=True):
        if "PixelData" in ds:
            np.testing.assert_array_equal(np.stack(frames), pixels(ds))
    assert made["status"].tolist() == ["decoded"] * 3 + ["failed", "decoded"]
    second = table.dicom.frames(2)
    assert second["status"].tolist() == ["failed", "failed", "decoded", "failed", "failed"]
    assert second["error"].iloc[CT] == "NotFoundError: 404: the image has 1 frame; there is no frame 2"
    np.testing.assert_array_equal(second["frames"].iloc[RLE][0], pixels(originals[RLE])[1])


def test_bulkdata(table, originals):
    made = table.dicom.bulkdata("WaveformData")
    ecg = made[made["status"] == "retrieved"]
    assert ecg["data"].tolist() == [item.WaveformData for item in originals[ECG].WaveformSequence]
    assert ecg["path"].tolist() == ["54000100/1/54001010", "54000100/2/54001010"]
    assert set(ecg["SOPInstanceUID"]) == {originals[ECG].SOPInstanceUID}
    assert made["status"].tolist() == ["failed"] * 3 + ["retrieved"] * 2 + ["failed"]
    assert made["error"].dropna().str.contains("no such element").all()
    one_place = table.iloc[[ECG]].dicom.bulkdata("WaveformSequence/2/WaveformData")
    assert one_place["data"].tolist() == ecg["data"].tolist()[1:]
    assert one_place["source"].tolist() == ["server"]
    whole = table.iloc[[CT]].dicom.bulkdata("PixelData")
    assert whole["data"].tolist() == [originals[CT].PixelData]


def test_pixels_in_order_and_in_the_modalitys_unit(table, originals):
    made = table.dicom.pixels()
    assert made["SOPInstanceUID"].tolist() == [ds.SOPInstanceUID for ds in originals]
    for ds, found in zip(originals, made["pixels"], strict=True):
        if "PixelData" in ds:
            np.testing.assert_array_equal(found, pixels(ds))
    assert made["status"].tolist() == ["decoded"] * 3 + ["failed", "decoded"]
    hounsfield = table.iloc[[CT]].dicom.pixels(modality_lut=True)["pixels"].iloc[0]
    np.testing.assert_array_equal(hounsfield, pixels(originals[CT], modality_lut=True))


def test_pixels_of_studies_are_those_of_all_their_instances(cohort_client):
    series = cohort_client.search_series(Modality="CT", limit=1).to_frame()
    numbers = series.dicom.instances()["SOPInstanceUID"].tolist()
    made = series.dicom.pixels()
    assert made["SOPInstanceUID"].tolist() == numbers
    assert (made["status"] == "decoded").all()


def test_one_row_that_fails_stops_no_other(table):
    rows = with_a_ghost(table.iloc[:3])
    for method in (rows.dicom.rendered, rows.dicom.thumbnails, rows.dicom.frames, rows.dicom.pixels):
        made = method()
        assert (made["status"] == "failed").tolist() == [False, False, True, False], method
        assert made["SOPInstanceUID"].iloc[2] == "1.2.3.404"
        assert made["error"].iloc[2].startswith("NotFoundError: 404")
    made = rows.dicom.bulkdata("PixelData")
    assert (made["status"] == "failed").tolist() == [False, False, True, False]


def test_studies_and_series_are_shown_by_their_representative(cohort_client):
    studies = cohort_client.search_studies(ModalitiesInStudy="CT", limit=2).to_frame()
    ghost = studies.iloc[[0]].assign(StudyInstanceUID="1.2.3.404")
    made = dfr.concat([studies, ghost]).dicom.thumbnails()
    assert made["status"].tolist() == ["rendered", "rendered", "failed"]
    assert made["SOPInstanceUID"].notna().tolist() == [True, True, False]
    assert made["StudyInstanceUID"].tolist() == [*studies["StudyInstanceUID"], "1.2.3.404"]
    assert "no instances" in made["error"].iloc[2]


def test_rows_that_are_named_twice_have_two_rows(table):
    twice = pd.concat([table.iloc[[CT]], table.iloc[[MR]], table.iloc[[CT]]])
    twice.attrs = table.attrs
    made = twice.dicom.rendered()
    assert made["SOPInstanceUID"].tolist() == twice["SOPInstanceUID"].tolist()
    assert made["picture"].iloc[0] is made["picture"].iloc[2]


def verbs(table):
    return (
        table.dicom.rendered,
        table.dicom.thumbnails,
        table.dicom.frames,
        table.dicom.pixels,
        lambda: table.dicom.bulkdata("PixelData"),
    )


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (pd.DataFrame({"x": [1]}), TableError, "StudyInstanceUID"),
        (pd.DataFrame({"StudyInstanceUID": ["1.2", None]}), TableError, "dropna"),
        (pd.DataFrame({"StudyInstanceUID": ["../x"]}), QueryError, "characters"),
    ],
)
def test_tables_that_lack_something(client, rows, error, words):
    rows.dicom.use(client)
    for verb in verbs(rows):
        with pytest.raises(error, match=words):
            verb()


def test_an_empty_table_gives_typed_empty_tables(client):
    nobody = client.search_studies(PatientID="nobody").to_frame()
    for verb in verbs(nobody):
        made = verb()
        assert made.empty
        assert str(made.dtypes["status"]) == "string"
        assert made.attrs["dicom"]["service"] == client.url


def test_tables_without_a_client(table):
    stray = table.copy()
    stray.attrs = {}
    for verb in verbs(stray):
        with pytest.raises(NoClientError):
            verb()


def test_arguments_are_checked_before_anything_is_sent(table):
    for options in ({"window": "brian"}, {"viewport": 5}, {"quality": 0}, {"media_type": "image/gif"}):
        with pytest.raises(QueryError):
            table.dicom.rendered(**options)
    with pytest.raises(QueryError):
        table.dicom.frames(0)
    with pytest.raises(QueryError):
        table.dicom.bulkdata("PixlData")


def test_a_stopped_server(originals):
    with dfr.start_local() as local:
        client = local.connect(progress=False, retries=0)
        client.store([originals[CT]])
        table = client.search_studies().to_frame()
    for verb in verbs(table):
        made = verb()
        assert made["status"].tolist() == ["failed"]
        assert made["error"].str.contains("ConnectionFailed").all()


@pytest.mark.covers("fact 26")
def test_a_strict_service_is_made_up_for_as_the_cloud_service_is(originals):
    """It has no thumbnails, bulk data or WADO-URI, and ignores window and viewport."""
    ct = originals[CT]
    uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
    with dfr.start_local(strict=True) as local:
        client = local.connect(progress=False)
        client.store([ct])
        for options in ({"window": "bone"}, {"viewport": (64, 64)}, {"window": "bone", "viewport": (64, 64)}):
            picture = client.retrieve_rendered(*uids, **options)
            assert picture.source == "local"
            expected = display(ct, window=options.get("window"))
            if "viewport" in options:
                assert picture.shape == (64, 64)
            else:
                np.testing.assert_array_equal(picture, expected)
        thumbnail = client.retrieve_thumbnail(*uids)
        assert (thumbnail.source, thumbnail.shape) == ("server", (128, 128))
        assert "thumbnail" in thumbnail.reason
        data = client.retrieve_bulkdata(*uids, "PixelData")
        assert (data, data.source) == (ct.PixelData, "local")
        np.testing.assert_array_equal(client.retrieve_frames(*uids)[0], pixels(ct)[0])
        with pytest.raises(NotBuiltError):
            client.retrieve_uri(*uids)
