"""Frames from servers that send them in different ways, badly, or not at all."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from dicomframe.client.frames import ACCEPTS
from dicomframe.dicom.multipartwriter import closing, part_head
from dicomframe.errors import (
    ConnectionFailed,
    DecodeError,
    NotFoundError,
    QueryError,
    ServiceError,
    TruncatedBody,
    UnavailableError,
    UnexpectedAnswerError,
)
from dicomframe.images.pixels import pixels

OCTETS = "application/octet-stream"
EXPLICIT = "1.2.840.10008.1.2.1"
RELATED = f'multipart/related; type="{OCTETS}"; boundary=b'


def read(name):
    return dcmread(get_testdata_file(name, download=False))


@pytest.fixture(scope="module")
def two_frames():
    """Two frames of RLE colour."""
    return read("SC_rgb_rle_2frame.dcm")


@pytest.fixture(scope="module")
def ct():
    return read("CT_small.dcm")


def uids(ds):
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def encoded(ds):
    """Give the bytes of the frames as they are stored."""
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames") or 1)))
    count = int(ds.get("NumberOfFrames") or 1)
    size = len(ds.PixelData) // count
    return [ds.PixelData[at * size : (at + 1) * size] for at in range(count)]


def body(parts):
    """Give a multipart body of (headers, bytes)."""
    pieces = [part_head("b", headers, first=not at) + data for at, (headers, data) in enumerate(parts)]
    return b"".join(pieces) + closing("b", empty=not parts)


def frames_of(asked):
    return asked.path.rpartition("/frames/")[2] if "/frames/" in asked.path else None


@pytest.fixture
def framed(archive, reply):
    """Give what starts a server of one image whose frames come as a function makes them."""

    def start(ds, answer):
        def spoil(asked):
            listed = frames_of(asked)
            return None if listed is None else answer(asked, [int(each) for each in listed.split(",")])

        return archive(ds, spoil=spoil)

    return start


def multipart_of(reply, ds, part_type, whole=RELATED):
    stored = encoded(ds)
    return lambda _, numbers: reply(
        200,
        body([({"Content-Type": part_type}, stored[number - 1]) for number in numbers]),
        {"Content-Type": whole},
    )


def assert_frames(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def asked_for_objects(site):
    return [asked for asked in site.asked if asked.path.rpartition("/")[0].endswith("/instances")]


# -- forms of the answer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part_type", "whole"),
    [
        (f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.5", RELATED),
        ("image/dicom-rle", 'multipart/related; type="image/dicom-rle"; boundary=b'),
        ("image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5", 'multipart/related; boundary="b"'),
        (OCTETS, f'multipart/related; type="{OCTETS}; transfer-syntax=1.2.840.10008.1.2.5"; boundary=b'),
        (OCTETS, f'multipart/related; type="{OCTETS}"; transfer-syntax=1.2.840.10008.1.2.5; boundary=b'),
    ],
)  # fmt: skip
def test_the_transfer_syntax_is_found_wherever_it_stands(
    framed, connect, reply, two_frames, part_type, whole
):
    site = framed(two_frames, multipart_of(reply, two_frames, part_type, whole))
    found = connect(site.url).retrieve_frames(*uids(two_frames), frames=[2, 1])
    assert_frames(found, pixels(two_frames)[::-1])
    assert not asked_for_objects(site)
    [asked] = [asked for asked in site.asked if frames_of(asked)]
    assert (frames_of(asked), asked.headers["Accept"]) == ("1,2", ACCEPTS[0])


def test_a_single_part(framed, connect, reply, ct):
    site = framed(ct, lambda *_: reply(200, encoded(ct)[0], {"Content-Type": OCTETS}))
    assert_frames(connect(site.url).retrieve_frames(*uids(ct), frames=np.int64(1)), pixels(ct))
    assert not asked_for_objects(site)


def test_the_accept_header_that_worked_is_kept(framed, connect, reply, ct):
    def answer(asked, _):
        if asked.headers["Accept"] != ACCEPTS[2]:
            return reply(406 if asked.headers["Accept"] == ACCEPTS[0] else 400)
        return reply(200, encoded(ct)[0], {"Content-Type": f"{OCTETS}; transfer-syntax={EXPLICIT}"})

    site = framed(ct, answer)
    client = connect(site.url)
    for _ in range(2):
        assert_frames(client.retrieve_frames(*uids(ct)), pixels(ct))
    accepts = [asked.headers["Accept"] for asked in site.asked if frames_of(asked)]
    assert accepts == [*ACCEPTS[:3], ACCEPTS[2]]


def test_many_frames_are_asked_for_in_parts(framed, connect, reply, ct):
    """Each number makes the URL longer."""
    many = dcmread(get_testdata_file("CT_small.dcm", download=False))
    many.NumberOfFrames = 150
    frame = many.PixelData
    many.PixelData = b"".join(number.to_bytes(2, "little") + frame[2:] for number in range(150))
    site = framed(many, multipart_of(reply, many, f"{OCTETS}; transfer-syntax={EXPLICIT}"))
    found = connect(site.url).retrieve_frames(*uids(many))
    assert [int(each[0, 0]) for each in found] == list(range(150))
    asked = [frames_of(asked) for asked in site.asked if frames_of(asked)]
    assert [len(listed.split(",")) for listed in asked] == [64, 64, 22]


# -- what only the object tells --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "examples_palette.dcm",  # the metadata lack the palette
        "SC_ybr_full_422_uncompressed.dcm",  # native YBR: converted on the way, or not?
        "SC_rgb_small_odd_big_endian.dcm",
    ],
)
def test_bytes_that_are_open_to_doubt_are_not_guessed(framed, connect, reply, name):
    ds = read(name)
    syntax = ds.file_meta.TransferSyntaxUID
    site = framed(ds, multipart_of(reply, ds, f"{OCTETS}; transfer-syntax={syntax}"))
    assert_frames(connect(site.url).retrieve_frames(*uids(ds)), pixels(ds))


def test_colour_that_was_decompressed_on_the_way(framed, connect, reply):
    """The metadata go on to say YBR_FULL, but this server has converted."""
    ds = read("SC_rgb_jpeg_dcmtk.dcm")
    expected = pixels(ds)
    assert ds.PhotometricInterpretation.startswith("YBR")
    answer = lambda _, numbers: reply(  # noqa: E731
        200,
        body([({"Content-Type": f"{OCTETS}; transfer-syntax={EXPLICIT}"}, expected[n - 1].tobytes()) for n in numbers]),
        {"Content-Type": RELATED},
    )  # fmt: skip
    site = framed(ds, answer)
    assert_frames(connect(site.url).retrieve_frames(*uids(ds), frames=1), expected[:1])
    assert asked_for_objects(site)


def test_compressed_bytes_that_say_nothing_of_it(framed, connect, reply, two_frames):
    site = framed(two_frames, multipart_of(reply, two_frames, OCTETS))
    assert_frames(connect(site.url).retrieve_frames(*uids(two_frames)), pixels(two_frames))
    assert asked_for_objects(site)


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415, 500, 501])
def test_a_server_without_frames_sends_the_object(framed, connect, reply, two_frames, status):
    site = framed(two_frames, lambda *_: reply(status, b"no"))
    found = connect(site.url).retrieve_frames(*uids(two_frames), frames=2)
    assert_frames(found, pixels(two_frames)[1:])


def test_a_server_without_metadata_and_frames(archive, connect, reply, two_frames):
    site = archive(two_frames, spoil=lambda asked: reply(501) if asked.path.endswith("/metadata") else None)
    assert_frames(connect(site.url).retrieve_frames(*uids(two_frames)), pixels(two_frames))
    with pytest.raises(NotFoundError, match="2 frames; there is no frame 3"):
        connect(site.url).retrieve_frames(*uids(two_frames), frames=3)


# -- failures --------------------------------------------------------------------------------------------------------


def test_never_silently_fewer_or_others(framed, connect, reply, two_frames):
    first = {"Content-Type": "image/dicom-rle"}, encoded(two_frames)[0]
    for parts, words in (
        ([first], "1 frames came, 2 were asked for"),
        ([], "0 frames came"),
        ([first, first, first], "3 frames came"),
        ([first, (first[0] | {"Content-Location": "http://x/frames/7"}, first[1])], "another frame"),
    ):
        site = framed(two_frames, lambda *_, parts=parts: reply(200, body(parts), {"Content-Type": RELATED}))
        with pytest.raises(UnexpectedAnswerError, match=words):
            connect(site.url).retrieve_frames(*uids(two_frames), frames=[1, 2])


def test_a_frame_beyond_the_last(framed, connect, reply, two_frames):
    site = framed(two_frames, lambda *_: reply(400))
    with pytest.raises(NotFoundError, match="2 frames; there is no frame 3"):
        connect(site.url).retrieve_frames(*uids(two_frames), frames=[1, 3])
    assert not [asked for asked in site.asked if frames_of(asked)]


def test_an_instance_that_is_not_there(archive, connect, ct):
    client = connect(archive(ct).url)
    with pytest.raises(NotFoundError):
        client.retrieve_frames("1.2", "1.3", "1.4")


def test_an_instance_without_pixels(archive, connect):
    plan = read("rtplan.dcm")
    with pytest.raises(DecodeError, match="no pixel data"):
        connect(archive(plan).url).retrieve_frames(*uids(plan))


def test_a_body_that_is_cut_off(framed, connect, reply, two_frames):
    whole = multipart_of(reply, two_frames, "image/dicom-rle")(None, [1, 2])

    def cut(*_):
        return reply(200, whole.body[:-40], whole.headers)

    with pytest.raises(TruncatedBody):
        connect(framed(two_frames, cut).url).retrieve_frames(*uids(two_frames))


def test_a_damaged_frame(framed, connect, reply, two_frames):
    def damaged(*_):
        return reply(
            200, body([({"Content-Type": "image/dicom-rle"}, b"garbage")]), {"Content-Type": RELATED}
        )

    with pytest.raises(DecodeError):
        connect(framed(two_frames, damaged).url).retrieve_frames(*uids(two_frames), frames=1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((503, b"busy", {}), UnavailableError),
        ((401, b"who?", {}), ServiceError),
        ((200, b"[]", {"Content-Type": "application/json"}), UnexpectedAnswerError),
        ((200, b"<html>", {"Content-Type": "text/html"}), UnexpectedAnswerError),
        ((200, b"xx", {"Content-Type": f"{OCTETS}; transfer-syntax=1.2.3"}), DecodeError),
    ],
)
def test_answers_of_no_use(framed, connect, reply, ct, answer, error):
    site = framed(ct, lambda *_: reply(*answer))
    with pytest.raises(error):
        connect(site.url).retrieve_frames(*uids(ct))
    assert not asked_for_objects(site)


def test_metadata_of_no_use(archive, connect, reply, ct):
    site = archive(ct, spoil=lambda asked: reply(200, b"{") if asked.path.endswith("/metadata") else None)
    with pytest.raises(DecodeError):
        connect(site.url).retrieve_frames(*uids(ct))


@pytest.mark.parametrize(
    "frames", [0, -1, True, "1", "all", 1.0, [0], [1, None], [True], [], (), [[1]], b"1"]
)
def test_frame_numbers_that_are_none(connect, frames):
    with pytest.raises(QueryError, match=r"[Ff]rame"):
        connect("http://127.0.0.1:9").retrieve_frames("1.2", "1.3", "1.4", frames=frames)


def test_other_bad_input(connect):
    client = connect("http://127.0.0.1:9")
    with pytest.raises(QueryError, match="StudyInstanceUID"):
        client.retrieve_frames("../x", "1.3", "1.4")
    with pytest.raises(ConnectionFailed):
        client.retrieve_frames("1.2", "1.3", "1.4")
