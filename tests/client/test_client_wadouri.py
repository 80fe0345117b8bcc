"""WADO-URI: what is sent, and what becomes of the answers."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicomframe.errors import (
    ConnectionFailed,
    DecodeError,
    NotAcceptableError,
    NotBuiltError,
    NotFoundError,
    QueryError,
    UnexpectedAnswerError,
)

UIDS = ("1.2", "1.3", "1.4")
ADDRESS = "requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4"


def read(name):
    return dcmread(get_testdata_file(name, download=False))


@pytest.fixture(scope="module")
def ct():
    return read("CT_small.dcm")


def uids(ds):
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def object_bytes(ds):
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def png(shape=(4, 3)):
    out = io.BytesIO()
    Image.fromarray(np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)).save(out, "PNG")
    return out.getvalue()


def test_an_object(serve, connect, reply, ct):
    site = serve(reply(200, object_bytes(ct), {"Content-Type": "application/dicom"}))
    back = connect(f"{site.url}/v2").retrieve_uri(*uids(ct), transfer_syntax="1.2.840.10008.1.2.1")
    assert back == ct
    [asked] = site.asked
    assert asked.path == "/v2/wado"
    assert asked.query == (
        f"requestType=WADO&studyUID={ct.StudyInstanceUID}&seriesUID={ct.SeriesInstanceUID}"
        f"&objectUID={ct.SOPInstanceUID}&contentType=application/dicom&transferSyntax=1.2.840.10008.1.2.1"
    )


def test_a_picture(serve, connect, reply):
    site = serve(reply(200, png(), {"Content-Type": "image/png"}))
    picture = connect(site.url).retrieve_uri(
        *UIDS, "image/jpeg", frame=2, window="brain", viewport=(64, 32), quality=80
    )
    assert (picture.shape, picture.source, picture.media_type) == ((4, 3), "server", "image/png")
    assert site.asked[0].query == (
        f"{ADDRESS}&contentType=image/jpeg&frameNumber=2&windowCenter=40&windowWidth=80&columns=64&rows=32"
        "&imageQuality=80"
    )


@pytest.mark.parametrize("place", ["/wado", "wado", "{origin}/wado", "/wado/"])
def test_another_place(serve, connect, reply, place):
    site = serve(reply(200, png()))
    client = connect(f"{site.url}/dicom-web", "token")
    client.retrieve_uri(*UIDS, "image/png", wado_url=place.format(origin=site.url))
    assert site.asked[0].path == "/wado"


@pytest.mark.parametrize(
    "place", ["http://evil.example/wado", "//evil.example/wado", "http://127.0.0.1:1/wado"]
)
def test_no_token_goes_elsewhere(serve, connect, reply, place):
    site = serve(reply(200, png()))
    with pytest.raises(QueryError, match="go only to"):
        connect(site.url, "token").retrieve_uri(*UIDS, "image/png", wado_url=place)
    assert site.asked == []


def test_a_server_without_wado_uri_is_told_from_one_without_the_instance(archive, connect, reply, ct):
    site = archive(ct, spoil=lambda asked: reply(404, b"no route") if "wado" in asked.path else None)
    client = connect(site.url)
    for kind in ("application/dicom", "image/png"):
        with pytest.raises(NotBuiltError, match="wado_url=") as caught:
            client.retrieve_uri(*uids(ct), kind)
        assert ct.SOPInstanceUID not in str(caught.value)
        with pytest.raises(NotFoundError, match="no route"):
            client.retrieve_uri(*UIDS, kind)
    with pytest.raises(NotBuiltError):
        connect(archive(ct).url).retrieve_uri(*uids(ct))  # 501


def test_a_missing_frame_is_no_missing_route(archive, connect, reply, ct):
    def spoil(asked):
        if "wado" not in asked.path:
            return None
        return reply(404, b"no such frame") if "frameNumber" in asked.query else reply(200, object_bytes(ct))

    with pytest.raises(NotFoundError, match="no such frame"):
        connect(archive(ct, spoil=spoil).url).retrieve_uri(*uids(ct), "image/png", frame=9)


def test_answers_of_no_use(serve, connect, reply, ct):
    for answer, kind, error in (
        (reply(406), "application/dicom", NotAcceptableError),
        (reply(200, b"garbage"), "application/dicom", DecodeError),
        (reply(200, b"garbage"), "image/png", DecodeError),
        (reply(200, b"<html>", {"Content-Type": "text/html"}), "image/png", UnexpectedAnswerError),
        (reply(200, object_bytes(ct)), "application/dicom", UnexpectedAnswerError),  # another instance
    ):
        with pytest.raises(error):
            connect(serve(answer).url).retrieve_uri(*UIDS, kind)
    with pytest.raises(ConnectionFailed):
        connect("http://127.0.0.1:9").retrieve_uri(*UIDS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"content_type": "image/gif"}, "image/jpeg"),
        ({"content_type": None}, "image/jpeg"),
        ({"frame": 1}, "for pictures"),
        ({"window": "lung"}, "for pictures"),
        ({"viewport": (1, 1)}, "for pictures"),
        ({"quality": 5}, "for pictures"),
        ({"content_type": "image/png", "transfer_syntax": "1.2.840.10008.1.2.1"}, "for objects"),
        ({"transfer_syntax": "1.2&x=y"}, "transfer_syntax"),
        ({"wado_url": "/wado?x"}, "wado_url"),
        ({"wado_url": ""}, "wado_url"),
        ({"wado_url": 5}, "wado_url"),
        ({"content_type": "image/png", "quality": 5}, "no losses"),
    ],
)
def test_what_is_refused_before_it_is_sent(connect, options, words):
    with pytest.raises(QueryError, match=words):
        connect("http://127.0.0.1:9").retrieve_uri(*UIDS, **options)
