"""What people do wrong on their first day, and what they are told: what was wrong, what is accepted, what to do."""

import subprocess
import sys

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe import samples
from dicomframe.cli import main
from dicomframe.errors import AuthenticationError, ConnectionFailed, DecodeError, QueryError, TableError


@pytest.fixture(scope="module")
def client():
    with dfr.start_local() as local, local.connect(progress=False) as client:
        client.store(samples.treatment_plan())
        client.store([get_testdata_file("waveform_ecg.dcm", download=False)])
        client.store([get_testdata_file("reportsi.dcm", download=False)])
        yield client


def one(client, modality):
    return client.search_series(Modality=modality, limit=1).to_frame()


# -- connecting ------------------------------------------------------------------------------------------------------


def test_a_local_service_for_its_url():
    with dfr.start_local() as local, pytest.raises(QueryError, match=r"local\.connect\(\)"):
        dfr.connect(local)


def test_https_where_plain_http_is_spoken():
    with dfr.start_local() as local:
        client = dfr.connect(local.url.replace("http:", "https:"), retries=0)
        with pytest.raises(ConnectionFailed, match=r"does not speak TLS.*starts with http://"):
            client.search_studies().to_frame()


def test_no_token_and_a_wrong_one():
    with dfr.start_local(token="right") as local:
        with pytest.raises(AuthenticationError, match="No token was sent: give one as credential="):
            dfr.connect(local.url).search_studies().to_frame()
        with pytest.raises(AuthenticationError, match="Give a fresh token as credential=") as caught:
            dfr.connect(local.url, "wrong-one").search_studies().to_frame()
    assert "wrong-one" not in str(caught.value)


def test_sign_in_failures_are_told_once():
    """In the error, not by Python's last resort for loggers, too."""
    code = (
        "import logging; from dicomframe.client.auth import _default_credential; _default_credential();"
        "logging.getLogger('azure.identity._internal.decorators').warning('a wall of words')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stderr == ""


# -- searching -------------------------------------------------------------------------------------------------------


def test_a_search_is_no_table_yet(client):
    search = client.search_studies()
    with pytest.raises(AttributeError, match=r"no attribute 'head'.*search\.to_frame\(\)"):
        search.head()
    for use in (lambda: search["PatientID"], lambda: list(search)):
        with pytest.raises(TypeError, match=r"search\.to_frame\(\)"):
            use()
    assert not hasattr(search, "_repr_html_")


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"StudyDate": 20240131}, "for an int; give a date, or text like '2024-01-15'"),
        ({"StudyDate": "2024"}, r"a range \('2024-01-01', '2024-12-31'\)"),
        ({"limit": 0}, "leave it out to have all rows"),
        ({"StudyInstanceUID": 1.2}, r"not a float\. A number has lost digits of it.*dtype=str"),
        ({"StudyInstanceUID": "1 2"}, "not this text of 3 characters"),
    ],
)
def test_values_of_another_kind(client, filters, says):
    with pytest.raises(QueryError, match=says):
        client.search_studies(**filters)


def test_a_whole_row_for_a_uid(client):
    with pytest.raises(QueryError, match=r"not a Series\. Give one UID"):
        client.retrieve_metadata(client.search_studies(limit=1).to_frame().iloc[0])


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["series", "plot", "volume", "metadata"])
def test_any_table(name):
    with pytest.raises(TableError, match=r"no UID column.*search_studies"):
        getattr(pd.DataFrame({"a": [1]}).dicom, name)()


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("names", {}, r"no column 'PatientName'\. Ask the search for it"),
        ("names", {"keyword": "ReferringName"}, "Did you mean 'ReferringPhysicianName'"),
        ("counts", {"by": "scaner"}, r"Did you mean 'scanner'\?"),
        ("plot", {"titles": "modalty"}, r"Did you mean 'Modality'\?"),
        ("plot", {"titles": "what"}, "may also be a list of texts"),
        ("gallery", {"columns": ["modalty"]}, r"Did you mean 'Modality'\?"),
        ("latest", {}, "lacks the columns 'sequence' and 'SOPInstanceUID'"),
    ],
)
def test_a_column_that_is_not_there(client, name, arguments, says):
    table = one(client, "SEG")[["StudyInstanceUID", "SeriesInstanceUID", "Modality"]].copy()
    if "keyword" in arguments:
        table["ReferringPhysicianName"] = "A^B"
    with pytest.raises(TableError, match=says):
        getattr(table.dicom, name)(**arguments)


@pytest.mark.parametrize("name", ["volume", "view", "plot_waveforms", "planes"])
def test_a_search_that_found_nothing(client, name):
    with pytest.raises(TableError, match=r"has no rows.*Did the search find anything\?"):
        getattr(one(client, "XA").dicom, name)()


# -- what has no pixels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modality", "advice"),
    [
        ("RTSTRUCT", r"planes\(overlays=\.\.\.\)"),
        ("SR", r"client\.retrieve_instance"),
        ("ECG", r"df\.dicom\.plot_waveforms\(\)"),
    ],
)
def test_what_has_no_pixels_says_what_to_do_with_it(client, modality, advice):
    series = one(client, modality)
    for name in ("volume", "view"):
        with pytest.raises(DecodeError, match=advice):
            getattr(series.dicom, name)()
    frames = series.dicom.instances().dicom.frames()
    assert frames["error"].str.contains(advice).all()


def test_a_figure_of_what_has_no_pixels_says_so_within_its_edges(client):
    figure = one(client, "RTSTRUCT").dicom.histogram()
    (text,) = figure.texts
    assert "no pixel data" in " ".join(text.get_text().split())
    box = text.get_window_extent(figure.canvas.get_renderer())
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_a_reason_in_a_gallery_is_no_wider_than_it_has_to_be(client):
    html = one(client, "RTSTRUCT").dicom.gallery()._repr_html_()
    (reason,) = [part for part in html.split("<span")[1:] if "no pixel data" in part]
    assert "white-space:normal" in reason.split(">", 1)[0]


def test_they_are_read_from_the_object_where_no_modality_is_named():
    ds = dcmread(get_testdata_file("reportsi.dcm", download=False))
    del ds.Modality
    with dfr.start_local() as local, local.connect(progress=False) as client:
        client.store([ds])
        with pytest.raises(DecodeError, match=r"There is no pixel data in this object\.$"):
            client.search_series().to_frame().dicom.volume()


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["serve", "demo", "lab", "sync", "doctor"])
def test_help_says_what_a_command_does(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out.split("\n\n")
    assert said[0].startswith(f"usage: dicomframe {command}")
    assert said[1].endswith(".")


def test_a_feed_out_of_reach_says_why(caplog):
    with dfr.start_local() as local:
        client = dfr.connect(local.url, retries=0)
        following = client.follow_changes(interval=0.01, patience=0.2)
    with pytest.raises(ConnectionFailed):
        next(following)
    assert "asking again. ConnectionFailed: Nobody answers at http://127.0.0.1" in caplog.text


# -- what a cell shows when its last line is an object ---------------------------------------------------------------


def test_objects_say_in_a_line_what_they_are(client):
    series = client.search_series(limit=3).to_frame()
    assert repr(series.dicom) == (
        f"<df.dicom: 3 series of {client.url}; help(df.dicom) tells what it can do>"
    )
    assert repr(pd.DataFrame({"a": [1]}).dicom).startswith("<df.dicom: 1 rows; ")
    assert repr(pd.Series(["DOE^JANE"]).dicom).startswith("<series.dicom: 1 cells; ")
    dose = one(client, "RTDOSE")
    volume = dose.dicom.volume()
    plane = repr(volume.plane("coronal"))
    assert plane.startswith("<Plane coronal ")
    assert plane.endswith("float32, R to L, F to H>")
    (overlay,) = dose.dicom.overlays(volume)
    assert repr(overlay).startswith("<Overlay 'Dose PLAN': dose, 48 x 83 x 83, to ")
    assert repr(overlay).endswith(" Gy>")
