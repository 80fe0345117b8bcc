"""Bulk data: by URI and by path, from servers that have them and from objects where they do not."""

import base64
import io

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from dicomframe.client.elementpaths import ElementPath, content_of, places_in
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.errors import (
    BadRequestError,
    ConnectionFailed,
    DecodeError,
    NotFoundError,
    QueryError,
    TruncatedBody,
    UnavailableError,
    UnexpectedAnswerError,
)

BASE = "studies/1.2/series/1.3/instances/1.4"
OCTETS = "application/octet-stream"


def read(name):
    return dcmread(get_testdata_file(name, download=False))


@pytest.fixture(scope="module")
def ecg():
    """Two waveforms."""
    return read("waveform_ecg.dcm")


def uids(ds):
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def multipart(reply, *parts, part_type=OCTETS):
    writer = MultipartWriter(list(parts), part_type)
    return reply(200, b"".join(writer), {"Content-Type": writer.content_type})


# -- by URI ----------------------------------------------------------------------------------------------------------


def test_every_uri_is_asked_for_here(serve, connect, reply):
    site = serve(reply(200, b"bytes", {"Content-Type": OCTETS}))
    client = connect(f"{site.url}/v2")
    for uri in (
        f"{site.url}/v2/{BASE}/bulkdata/7FE00010",
        f"http://inside.example:8042/v2/{BASE}/bulkdata/7FE00010",
        f"https://gateway/other/{BASE}/bulkdata/7FE00010",
        f"/v2/{BASE}/bulkdata/7FE00010",
        f"{BASE}/bulkdata/7FE00010",
    ):
        found = client.retrieve_bulkdata(uri)
        assert (found, found.source, found.reason) == (b"bytes", "server", "")
    assert {asked.path for asked in site.asked} == {f"/v2/{BASE}/bulkdata/7FE00010"}


def test_a_query_in_a_uri_is_kept(serve, connect, reply):
    site = serve(reply(200, b"bytes", {"Content-Type": OCTETS}))
    connect(site.url).retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010?offset=10&length=20")
    assert site.asked[0].query == "offset=10&length=20"


@pytest.mark.parametrize(
    "uri", ["http://evil.example/secrets", "file:///etc/passwd", f"http://evil.example/{BASE}/../../../x", "x", "ftp://a/b"]
)  # fmt: skip
def test_uris_that_lead_elsewhere(serve, connect, reply, uri):
    site = serve(reply(200, b"bytes"))
    with pytest.raises(UnexpectedAnswerError, match="does not lead"):
        connect(f"{site.url}/v2", "token").retrieve_bulkdata(uri)
    assert site.asked == []


# -- forms of the answer ---------------------------------------------------------------------------------------------


def test_multipart_and_single_part(serve, connect, reply):
    content = bytes(range(256)) * 1000
    for answer in (
        multipart(reply, content),
        reply(200, content, {"Content-Type": OCTETS}),
        reply(200, content),
    ):
        assert connect(serve(answer).url).retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010") == content


def test_the_accept_header_that_worked_is_kept(serve, connect, reply):
    """As Orthanc: application/octet-stream alone is refused."""
    site = serve(
        lambda asked: (
            multipart(reply, b"xy") if asked.headers["Accept"].startswith("multipart") else reply(400, b"no")
        )
    )
    client = connect(site.url)
    for _ in range(2):
        assert client.retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010") == b"xy"
    accepts = [asked.headers["Accept"].partition(";")[0] for asked in site.asked]
    assert accepts == [OCTETS, "multipart/related", "multipart/related"]


def test_it_goes_into_a_file(serve, connect, reply, tmp_path):
    content = bytes(range(256)) * 5000
    client = connect(serve(multipart(reply, content)).url)
    written = client.retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010", file=tmp_path / "waveform")
    assert (tmp_path / "waveform").read_bytes() == content
    assert (written.length, written.source) == (len(content), "server")
    sink = io.BytesIO()
    assert client.retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010", file=sink).length == len(content)
    assert sink.getvalue() == content
    assert [path.name for path in tmp_path.iterdir()] == ["waveform"]


def test_a_cut_answer_is_fetched_again(serve, connect, reply, tmp_path):
    content = bytes(50_000)
    site = serve(
        lambda _: reply(
            200, content, {"Content-Type": OCTETS}, send_only=None if len(site.asked) > 1 else 20_000
        )
    )
    sink = io.BytesIO()
    connect(site.url).retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010", file=sink)
    assert (sink.getvalue(), len(site.asked)) == (content, 2)


def test_an_answer_that_stays_cut_leaves_nothing(serve, connect, reply, tmp_path):
    client = connect(serve(reply(200, bytes(50_000), send_only=20_000)).url)
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(TruncatedBody):
        client.retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010", file=tmp_path / "old")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"old")]
    sink = io.BytesIO()
    with pytest.raises(TruncatedBody):
        client.retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010", file=sink)
    assert sink.getvalue() == b""


def test_an_empty_multipart_answer(serve, connect, reply):
    with pytest.raises(UnexpectedAnswerError, match="no bulk data"):
        connect(serve(multipart(reply)).url).retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010")


# -- from the object -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415, 500, 501])
def test_a_server_without_bulk_data_sends_the_object(archive, connect, reply, ecg, status):
    site = archive(ecg, spoil=lambda asked: reply(status) if "/bulkdata/" in asked.path else None)
    client = connect(site.url)
    for path in ("WaveformSequence/2/WaveformData", "54000100/2/54001010", "/54000100/2/54001010/"):
        found = client.retrieve_bulkdata(*uids(ecg), path)
        assert (found, found.source) == (ecg.WaveformSequence[1].WaveformData, "local")
        assert str(status) in found.reason
    asked = [asked.path for asked in site.asked if "/bulkdata/" in asked.path]
    assert asked[0].endswith("/bulkdata/54000100/2/54001010")
    # A route that is not built is not asked for again.
    assert len(set(asked)) == 1
    assert (len(asked) == 1) == (status in {405, 501})


def test_compressed_pixel_data_is_decompressed(archive, connect, reply):
    """A server may send fragments: as parts, or with a transfer syntax that says so."""
    ds = read("SC_rgb_rle_2frame.dcm")
    expected = ds.pixel_array.tobytes()
    for answer in (
        reply(404),
        multipart(reply, b"one", b"two"),
        multipart(reply, b"one", part_type=f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.5"),
        reply(200, b"one", {"Content-Type": "image/jp2"}),
    ):
        site = archive(ds, spoil=lambda asked, answer=answer: answer if "/bulkdata/" in asked.path else None)
        sink = io.BytesIO()
        connect(site.url).retrieve_bulkdata(*uids(ds), "PixelData", file=sink)
        assert sink.getvalue() == expected


def test_big_endian_objects_give_little_endian(archive, connect):
    ds = read("MR_small_bigendian.dcm")
    found = connect(archive(ds).url).retrieve_bulkdata(*uids(ds), "PixelData")
    assert found == read("MR_small.dcm").PixelData


def test_what_is_not_there(archive, connect, ecg):
    client = connect(archive(ecg).url)
    with pytest.raises(NotFoundError):
        client.retrieve_bulkdata("1.2", "1.3", "1.4", "PixelData")
    for path in ("PixelData", "WaveformSequence/3/WaveformData", "PatientName/1/PixelData"):
        with pytest.raises(NotFoundError, match="no such element"):
            client.retrieve_bulkdata(*uids(ecg), path)
    with pytest.raises(DecodeError, match="no bytes"):
        client.retrieve_bulkdata(*uids(ecg), "WaveformSequence")


def test_a_uri_that_names_no_instance_has_no_other_way(serve, connect, reply):
    site = serve(reply(404, b"gone"))
    with pytest.raises(NotFoundError, match="gone"):
        connect(site.url).retrieve_bulkdata("bulkdata/4711")
    assert len(site.asked) == 1


def test_other_failures(serve, connect, reply):
    with pytest.raises(UnavailableError):
        connect(serve(reply(503)).url).retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010")
    with pytest.raises(BadRequestError):
        connect(serve(reply(400)).url).retrieve_bulkdata(f"{BASE}/bulkdata/7FE00010")
    with pytest.raises(UnexpectedAnswerError):
        connect(serve(reply(200, b"<html>", {"Content-Type": "text/html"})).url).retrieve_bulkdata(
            "bulkdata/1"
        )
    with pytest.raises(ConnectionFailed):
        connect("http://127.0.0.1:9").retrieve_bulkdata("bulkdata/1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "BulkDataURI"),
        ((None,), "BulkDataURI"),
        ((5,), "BulkDataURI"),
        (("1.2", "1.3"), "all of study"),
        (("1.2", "1.3", "1.4"), "all of study"),
        (("1.2", None, None, "PixelData"), "all of study"),
        (("../x", "1.3", "1.4", "PixelData"), "StudyInstanceUID"),
        (("1.2", "1.3", "1.4", "PixlData"), "Did you mean 'PixelData'"),
        (("1.2", "1.3", "1.4", ""), "keyword"),
        (("1.2", "1.3", "1.4", "WaveformSequence/0/WaveformData"), "from 1"),
        (("1.2", "1.3", "1.4", "WaveformSequence/1"), "from 1"),
        (("1.2", "1.3", "1.4", "WaveformSequence/WaveformData"), "from 1"),
        (("1.2", "1.3", "1.4", 7), "from 1"),
    ],
)
def test_what_is_refused_before_it_is_sent(connect, arguments, words):
    with pytest.raises(QueryError, match=words):
        connect("http://127.0.0.1:9").retrieve_bulkdata(*arguments)


# -- elements of objects ---------------------------------------------------------------------------------------------


def test_an_attribute_is_found_wherever_it_stands(ecg):
    assert [str(path) for path in places_in(ecg, "54001010")] == [
        "54000100/1/54001010",
        "54000100/2/54001010",
    ]
    assert [content_of(ecg, path) for path in places_in(ecg, "54001010")] == [
        item.WaveformData for item in ecg.WaveformSequence
    ]
    assert places_in(ecg, "7FE00010") == []


def test_implicit_sequences_are_walked():
    inner, outer = Dataset(), Dataset()
    inner.EncapsulatedDocument = b"%PDF"
    outer.ContentSequence = [Dataset(), inner]
    buffer = io.BytesIO()
    outer.save_as(buffer, implicit_vr=True, little_endian=True)
    buffer.seek(0)
    [path] = places_in(dcmread(buffer, force=True), "00420011")
    assert str(path) == "0040A730/2/00420011"


def test_words_of_a_big_endian_object_are_turned():
    ds = read("MR_small_bigendian.dcm")
    values = np.frombuffer(content_of(ds, ElementPath.parse("PixelData")), "<i2")
    np.testing.assert_array_equal(values, ds.pixel_array.ravel())


# -- every place at once ---------------------------------------------------------------------------------------------


def test_metadata_that_say_where(archive, connect, reply, as_json, ecg):
    """One waveform inline, one by URI."""
    first, second = (item.WaveformData for item in ecg.WaveformSequence)
    inline = {"54001010": {"vr": "OW", "InlineBinary": base64.b64encode(first).decode()}}
    linked = {"54001010": {"vr": "OW", "BulkDataURI": "http://inside/studies/1/bulkdata/second"}}
    metadata = {"54000100": {"vr": "SQ", "Value": [inline, linked, {}]}}

    def spoil(asked):
        if asked.path.endswith("/metadata"):
            return as_json([metadata])
        return reply(200, second) if asked.path.endswith("/bulkdata/second") else None

    client = connect(archive(ecg, spoil=spoil).url)
    table = client.search_instances(ecg.StudyInstanceUID).to_frame().dicom.bulkdata("WaveformData")
    assert table["data"].tolist() == [first, second]
    assert table["source"].tolist() == ["server", "server"]
    assert table["path"].tolist() == ["54000100/1/54001010", "54000100/2/54001010"]
