"""The client as a whole: registry, repr, progress, and what is given in."""

import io
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicomframe.client import identity as module
from dicomframe.client.client import Client, client_for
from dicomframe.client.identity import Identity, read_identity
from dicomframe.client.progress import is_watched, progress_bar
from dicomframe.errors import DecodeError, NoClientError, QueryError
from dicomframe.samples import real_files

KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


def test_tables_find_the_latest_client_of_their_service():
    client = Client("https://some-host", "token")
    assert client_for(client.url) is client
    newer = Client("https://some-host")
    assert client_for("https://some-host/v2") is newer
    with pytest.raises(NoClientError, match="Connect first"):
        client_for("https://never-seen/v2")


def test_a_repr_shows_where_and_no_secret():
    with Client("https://some-host", "secret-token", partition="p") as client:
        assert repr(client) == "Client('https://some-host/v2/partitions/p')"
        shown = repr(client) + repr(client.session) + repr(vars(client)) + repr(vars(client.session))
        assert "secret-token" not in shown


@pytest.mark.parametrize(
    ("arguments", "options"),
    [(("nonsense",), {}), (("https://h",), {"progress": "yes"}), (("https://h",), {"max_workers": 0}),
     (("http://10.1.2.3", "token"), {}), (("https://h", 5), {}), (("https://h",), {"api_version": "2"})],
)  # fmt: skip
def test_malformed_arguments(arguments, options):
    with pytest.raises(QueryError):
        Client(*arguments, **options)


# -- progress --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_shown_only_where_somebody_looks(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_watched()
    with progress_bar("auto", "Storing", 3, "instance") as bar:
        bar.update()
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_watched()
    monkeypatch.setattr("dicomframe.client.progress._DELAY_SECONDS", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm says if notebook widgets are missing
        with progress_bar("auto", "Storing", 3, "instance") as bar:
            bar.update(2)
    assert "Storing" in sys.stderr.getvalue()


def test_a_short_call_shows_no_bar(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(True, "Storing", 3, "instance") as bar:
        bar.update(3)
    assert "Storing" not in sys.stderr.getvalue()


def test_no_terminal_at_all(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys, "stderr", None)
    assert not is_watched()


# -- which instance a file holds -------------------------------------------------------------------------------------


def test_uids_are_those_that_pydicom_reads():
    quick = 0
    for file in real_files():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(file, stop_before_pixels=True, force=True)
            expected = tuple(str(dataset.get(name, "")) for name in KEYWORDS)
        try:
            found = read_identity(file)
        except DecodeError:
            assert not expected[2], file.name
            continue
        assert (found.study, found.series, found.instance, found.sop_class) == expected, file.name
        assert read_identity(io.BytesIO(file.read_bytes())) == found
        with suppress(module.Unusual):
            module._walk(file.read_bytes()[: module.HEAD_BYTES])
            quick += 1
    assert quick > 200


@pytest.mark.parametrize("cut", [0, 1, 100, 128, 131, 132, 140, 200, 350])
def test_a_file_cut_in_its_header(cut):
    content = Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()[:cut]
    with pytest.raises(DecodeError):
        read_identity(io.BytesIO(content))


def test_uids_behind_much_else_are_found():
    """A header with a large element in front of the study's UID goes past the first kilobytes."""
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.add_new(0x00091010, "LO", "PRIVATE")
    dataset.add_new(0x00091011, "OB", b"\0" * 100_000)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    assert read_identity(buffer) == Identity(
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.SOPClassUID
    )
