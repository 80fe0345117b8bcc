"""Answers cut at any byte, packed in ways nobody asked for, or only in part: never a value, a row or a file of it."""

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicomframe.client.identity import read_identity
from dicomframe.client.session import InProcessAdapter, Session
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DecodeError, DicomFrameError, TruncatedBody, UnexpectedAnswerError

FILE = Path(get_testdata_file("MR_small_RLE.dcm", download=False))
CONTENT = FILE.read_bytes()
UIDS = read_identity(FILE)
PATH = ResourcePath(UIDS.study, UIDS.series, UIDS.instance)
MULTIPART = MultipartWriter([CONTENT], boundary="b")
VALUE = bytes(range(256)) * 40
ROWS = json.dumps([{"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(50)]).encode()
BULK = ("1.2", "1.3", "1.4", "7FE00010")
OCTETS = "application/octet-stream"
#: Bytes at the end of an answer that hold nothing of its body: the empty line behind the last chunk.
SPARE = {"with its length": 0, "chunked": 2, "packed": 0}


def in_chunks(content, size=1000):
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def whole_answer(kind, content, framing):
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    if framing == "chunked":
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + in_chunks(content)
    if framing == "packed":
        packed = gzip.compress(content)
        return f"{head}Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


@pytest.fixture
def cuttable(serve, connect, reply):
    """Give a client of a server that sends so much of an answer as is told, and then ends the connection."""
    sent = {}
    site = serve(lambda _: reply(raw=sent["raw"]))
    return connect(site.url, retries=0, backoff=None), sent


@pytest.mark.parametrize("framing", SPARE)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_download_of_a_cut_answer_has_a_whole_files_name(cuttable, framing, tmp_path, data):
    client, sent = cuttable
    whole = whole_answer(MULTIPART.content_type, b"".join(MULTIPART), framing)
    body_at = whole.index(b"\r\n\r\n") + 4
    kept = data.draw(st.integers(body_at, len(whole)))
    sent["raw"] = whole[:kept]
    row = client.download(PATH, tmp_path, overwrite=True).iloc[0]
    assert row["status"] == ("saved" if kept >= len(whole) - SPARE[framing] else "failed")
    assert [path.read_bytes() == CONTENT for path in tmp_path.rglob("*.dcm")] in ([], [True])
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("framing", SPARE)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_value_and_no_row_is_made_of_a_cut_answer(cuttable, framing, data):
    client, sent = cuttable
    for kind, content, ask in (
        (OCTETS, VALUE, lambda: client.retrieve_bulkdata(*BULK)),
        ("application/dicom+json", ROWS, lambda: client.search_studies(limit=50).to_frame()),
    ):
        whole = whole_answer(kind, content, framing)
        sent["raw"] = whole[
            : data.draw(st.integers(whole.index(b"\r\n\r\n") + 4, len(whole) - SPARE[framing] - 1))
        ]
        with pytest.raises(DicomFrameError):
            ask()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_packed_body_that_is_cut_although_its_length_fits(serve, connect, reply, encoding):
    """A proxy cut it, and then wrote what was left as if that were all."""
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    for kept in (1, 5, 10, -9, -1):
        headers = {"Content-Encoding": encoding, "Content-Type": OCTETS}
        client = connect(serve(reply(200, pack(VALUE)[:kept], headers)).url)
        with pytest.raises(TruncatedBody):
            client.retrieve_bulkdata(*BULK)
        rows = {**headers, "Content-Type": "application/dicom+json"}
        client = connect(serve(reply(200, pack(ROWS)[:kept], rows)).url)
        with pytest.raises(TruncatedBody):
            client.search_studies(limit=50).to_frame()


def test_a_packing_that_nobody_asked_for_is_no_value(serve, connect, reply):
    site = serve(reply(200, b"\x1b\x00", {"Content-Encoding": "br", "Content-Type": OCTETS}))
    with pytest.raises(DecodeError, match="'br', which was not asked for"):
        connect(site.url).retrieve_bulkdata(*BULK)


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_refused_gives_its_connection_back(stream):
    closed = []

    class Body:
        def __iter__(self):
            return iter([b"x"])

        def close(self):
            closed.append(True)

    adapter = InProcessAdapter(lambda *_: (200, {"Content-Encoding": "br"}, Body()))
    session = Session("http://127.0.0.1:1", adapter=adapter)
    with pytest.raises(DecodeError, match="not asked for"):
        _ = session.request("GET", "studies", stream=stream).content
    assert closed


def test_a_part_of_what_was_asked_for_is_no_answer(serve, connect, reply, tmp_path):
    content = b"".join(MULTIPART)
    kind = {"Content-Type": MULTIPART.content_type, "Content-Range": "bytes 0-9/100"}
    client = connect(serve(reply(206, content, kind)).url)
    with pytest.raises(UnexpectedAnswerError, match="only a part"):
        list(client.retrieve_study("1.2"))
    with pytest.raises(UnexpectedAnswerError, match="only a part"):
        client.retrieve_bulkdata(*BULK)
    table = client.download(PATH, tmp_path)
    assert table["status"].tolist() == ["failed"]
    assert "only a part" in table["error"][0]


def test_a_part_of_a_table_is_no_table(serve, connect, reply):
    """The service has no 206 for searches, metadata and feed: nobody could tell which rows are missing."""
    site = serve(reply(206, ROWS, {"Content-Type": "application/dicom+json"}))
    client = connect(site.url)
    for ask in (
        lambda: client.search_studies().to_frame(),
        lambda: client.retrieve_metadata("1.2"),
        lambda: client.change_feed().to_frame(),
    ):
        with pytest.raises(UnexpectedAnswerError, match="only a part"):
            ask()


@pytest.mark.parametrize(
    ("headers", "error", "words"),
    [
        (b"Content-Transfer-Encoding: base64\r\n", DecodeError, "as they are"),
        (b"Content-Encoding: gzip\r\n", DecodeError, "as they are"),
        (b"Content-Length: 9\r\n", TruncatedBody, "shorter than they say"),
        (b"Content-Type: text/html; charset=utf-8\r\n", UnexpectedAnswerError, "not bulk data"),
        (b"Content-Type: application/octet-stream\r\nContent-Length: 6\r\n", None, ""),
        (b"Content-Transfer-Encoding: binary\r\n", None, ""),
        (b"", None, ""),
    ],
)
def test_parts_that_are_not_what_they_hold(serve, connect, reply, headers, error, words):
    body = b"--b\r\n" + headers + b"\r\nabcdef\r\n--b--\r\n"
    kind = {"Content-Type": 'multipart/related; type="application/octet-stream"; boundary=b'}
    client = connect(serve(reply(200, body, kind)).url)
    if error is None:
        assert client.retrieve_bulkdata(*BULK) == b"abcdef"
        return
    with pytest.raises(error, match=words):
        client.retrieve_bulkdata(*BULK)
