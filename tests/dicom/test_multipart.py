"""The multipart reader and writer: documented bodies, the standard library as oracle, hostile input."""

import email
import email.policy
import io
import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomframe.dicom.multipart import (
    LEAST_ROOM_BYTES,
    MOST_HEADER_BYTES,
    MOST_ROOM_BYTES,
    MediaType,
    MultipartParser,
    PartData,
    PartEnd,
    _find,
)
from dicomframe.dicom.multipartwriter import CHUNK_BYTES, MultipartWriter
from dicomframe.dicom.parts import fill_parts, iter_parts
from dicomframe.errors import DecodeError, TruncatedBody


def read_all(content_type, body, size=None):
    size = size or max(len(body), 1)
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    return [(part.headers, part.read()) for part in iter_parts(content_type, chunks)]


# What may be left in a buffer behind the bytes that were put there: the end of the body, as a whole or in part.
left_behind = st.sampled_from([b"\r\n--b--\r\n", b"--\r\n", b"\n\r\n"])


def read_all_in_place(content_type, body, size, behind):
    """The same from one buffer, which holds other bytes behind those that were put there."""

    def fill(room):
        for at in range(0, len(body), size):
            piece, place = body[at : at + size], room()
            place[: len(piece)] = piece
            place[len(piece) : len(piece) + len(behind)] = behind
            yield len(piece)

    return [(part.headers, part.read()) for part in fill_parts(content_type, fill)]


# What may stand in a part: text that looks like delimiters, line breaks and hyphens, and any bytes.
tricky = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b"\n",
            b"\r",
            b"--",
            b"--b",
            b"\r\n--b",
            b"\n--bx",
            b"\r\n--b x",
            b"-",
            b"b",
            b"\0",
            b"DICM",
        ]
    )
    | st.binary(max_size=12),
    max_size=12,
).map(b"".join)


def holds_delimiter(data):
    """Whether the bytes hold what every reader must take for the delimiter of boundary ``b``."""
    return re.search(rb"(?:^|\n)--b(?:--|[ \t\r\f\v]*\n|[ \t\r\f\v]*-?$)", data) is not None


parts_of_b = st.lists(tricky.filter(lambda data: not holds_delimiter(data)), max_size=5)


@given(parts=parts_of_b, size=st.integers(1, 70), behind=left_behind)
def test_what_was_written_is_read_again_whatever_the_chunks(parts, size, behind):
    writer = MultipartWriter(parts, boundary="b")
    body = b"".join(writer)
    assert len(writer) == len(body)
    assert body == b"".join(writer), "the body can be sent again"
    read = read_all(writer.content_type, body, size)
    assert [data for _, data in read] == parts
    assert all(headers == {"content-type": "application/dicom"} for headers, _ in read)
    assert read_all_in_place(writer.content_type, body, size, behind) == read


@given(
    body=tricky,
    size=st.integers(1, 70),
    content_type=st.sampled_from(["multipart/related; boundary=b", ""]),
    behind=left_behind,
)
def test_both_ways_to_receive_a_body_read_the_same_of_anything(body, size, content_type, behind):
    def outcome(read, *more):
        try:
            return read(content_type, b"--b\r\n" + body, size, *more)
        except DecodeError as error:
            return type(error), str(error)

    assert outcome(read_all_in_place, behind) == outcome(read_all)


def test_a_piece_is_gone_when_there_is_room_again_but_no_memory_is_added():
    parser = MultipartParser("multipart/related; boundary=b")
    first, second = b"--b\r\n\r\n" + b"1" * 100, b"2" * 100
    room = parser.room()
    room[: len(first)] = first
    piece = parser.take(len(first))[1].data
    assert piece == b"1" * 100
    again = parser.room()
    again[: len(second)] = second
    assert again.obj is room.obj
    assert piece != b"1" * 100
    assert parser.take(len(second))[0].data == second


def test_there_is_more_room_where_more_comes_at_a_time():
    parser = MultipartParser("multipart/related; boundary=b")
    sizes = []
    for used in (0.4, 0.4, 1, 1, 0.4, *[1] * 8):
        room = parser.room()
        sizes.append(len(room.obj))
        room[:7] = b"--b\r\n\r\n"
        parser.take(int(used * len(room)))
    least = LEAST_ROOM_BYTES
    assert sizes[:6] == [least, least, least, 2 * least, 4 * least, 4 * least]
    assert sizes[-1] == MOST_ROOM_BYTES


def test_the_source_of_a_buffer_is_closed_when_the_reader_is_abandoned():
    closed = []

    def fill(room):
        try:
            while True:
                body = b"--b\r\n\r\n1\r\n"
                room()[: len(body)] = body
                yield len(body)
        finally:
            closed.append(True)

    parts = fill_parts("multipart/related; boundary=b", fill)
    next(parts)
    parts.close()
    assert closed


@given(parts=parts_of_b, cut=st.integers(1, 400), size=st.integers(1, 70))
def test_a_body_that_was_cut_off_is_an_error_wherever_it_was_cut(parts, cut, size):
    body = b"".join(MultipartWriter(parts, boundary="b"))
    # The line break behind the closing delimiter is not needed.
    body = body[: -2 - min(cut, len(body) - 2)]
    with pytest.raises(TruncatedBody):
        read_all("multipart/related; boundary=b", body, size)


@given(
    parts=st.lists(st.text("abc \t", max_size=20).map(str.encode), min_size=1, max_size=4),
    preamble=st.sampled_from([b"", b"to be ignored\r\n", b"--other\r\n--\r\n"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\nignored\r\n--b\r\n\r\nnot a part"]),
)
def test_the_standard_library_reads_the_same(parts, preamble, epilogue):
    body = preamble + b"".join(MultipartWriter(parts, boundary="b")).rstrip(b"\r\n") + epilogue
    header = b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n\r\n'
    message = email.message_from_bytes(header + body, policy=email.policy.HTTP)
    oracle = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert [data for _, data in read_all("multipart/related; boundary=b", body)] == oracle


DICOM = "application/dicom"
WIRE = Path(__file__).parent.parent / "wire"
#: What each recorded shape holds: part's Content-Type and bytes.
SHAPES = {
    "reference-store-one": [(DICOM, b"{DICOM P10 binary}")],
    "reference-store-many": [(DICOM, b"{DICOM instance 1}"), (DICOM, b"{DICOM instance 2}")],
    "tutorial-store-form-data": [(DICOM, b"{red}"), ("", b"{green}")],
    "hosted-retrieve-series": [
        (f"{DICOM}; transfer-syntax=1.2.840.10008.1.2.1", b"{slice 1}"),
        (f"{DICOM}; transfer-syntax=1.2.840.10008.1.2.4.90", b"{slice 2}"),
    ],
    "orthanc-frames-parameter-in-quotes": [
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1", b"{frame 1}")
    ],
    "boundary-inside-the-quotes-of-type": [(DICOM, b"{one}")],
    "no-boundary-declared": [(DICOM, b"{one}"), (DICOM, b"{two}")],
    "related-with-start-preamble-epilogue": [("image/jp2", b"{pixels}"), ("", b"{no headers}")],
    "line-feeds-only-lf": [(DICOM, b"{one\ntwo}"), (DICOM, b"")],
}


def test_every_recorded_shape_is_tested():
    assert {path.stem for path in WIRE.glob("*.http")} == set(SHAPES)


@pytest.mark.parametrize("size", [1, 2, 13, 4096])
@pytest.mark.parametrize("shape", SHAPES)
def test_recorded_shapes(shape, size):
    head, body = re.split(rb"\r?\n\r?\n", (WIRE / f"{shape}.http").read_bytes(), maxsplit=1)
    content_type = head.decode().removeprefix("Content-Type: ")
    read = read_all(content_type, body, size)
    assert [(headers.get("content-type", ""), data) for headers, data in read] == SHAPES[shape]


BODY = b"--gc0p4Jq0M2Yt08j34c0p\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--gc0p4Jq0M2Yt08j34c0p--"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related; boundary=gc0p4Jq0M2Yt08j34c0p",
        'multipart/related; boundary="gc0p4Jq0M2Yt08j34c0p"',
        'Multipart/Related; Type="application/dicom"; BOUNDARY="gc0p4Jq0M2Yt08j34c0p"; start=x',
        'multipart/related; type="application/dicom; transfer-syntax=*"; boundary=gc0p4Jq0M2Yt08j34c0p',
        'multipart/related; type="application/dicom; boundary=gc0p4Jq0M2Yt08j34c0p"',
        "multipart/related",
        'multipart/related; type="application/dicom"',
        "",
    ],
)
@pytest.mark.parametrize("line_break", [b"\r\n", b"\n"])
def test_every_way_to_declare_a_boundary(content_type, line_break):
    body = BODY.replace(b"\r\n", line_break)
    for size in (1, 7, len(body)):
        assert read_all(content_type, body, size) == [({"content-type": "application/dicom"}, b"DICM")]


def test_headers_in_any_order_folded_repeated_and_broken():
    body = (
        b"--b  \r\nContent-Length: 4\r\nno colon here\r\ncontent-TYPE: image/jpeg\r\nX-Long: one\r\n two\r\n"
        b"Content-Location: /old\r\nContent-Location: /new\r\nMIME-Version:1.0\r\n\r\nJPEG\r\n--b--"
    )
    [(headers, data)] = read_all("multipart/related; boundary=b", body)
    assert data == b"JPEG"
    assert headers == {
        "content-length": "4",
        "content-type": "image/jpeg",
        "x-long": "one two",
        "content-location": "/new",
        "mime-version": "1.0",
    }


def test_a_part_without_headers_an_empty_part_and_a_body_without_parts():
    assert read_all("multipart/related; boundary=b", b"--b\r\n\r\nx\r\n--b\r\n\r\n\r\n--b\r\n\r\n--b--") == [
        ({}, b"x"),
        ({}, b""),
        ({}, b""),
    ]
    assert read_all("multipart/related; boundary=b", b"--b--\r\n") == []


def test_memory_is_bounded_by_the_chunk_and_not_by_the_part():
    parser = MultipartParser("multipart/related; boundary=b")
    parser.feed(b"--b\r\n\r\n")
    for _ in range(50):
        [event] = parser.feed(b"\r" * 10_000)
        assert isinstance(event, PartData)
        assert len(parser._buffer) <= 10_001
    # What may be the delimiter's beginning waits; what stands before it does not.
    passed = parser.feed(b"x" * 10_000 + b"\r\n--b")
    assert sum(len(event.data) for event in passed) == 10_001
    assert parser.feed(b"b")[0].data == b"\r\n--bb"
    assert parser.feed(b"\r\n--b--") == [PartEnd()]
    assert parser.done


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("application/json", b"[]", "multipart"),
        ("text/html; charset=utf-8", b"<html>", "multipart"),
        (f"multipart/related; boundary={'b' * 300}", b"", "300"),
        ("multipart/related", b"--" + b"x" * 400, "too long"),
        ("multipart/related", b"--\r\n\r\n", "nothing else"),
        ("multipart/related; boundary=b", b"--b\r\nX: " + b"x" * (MOST_HEADER_BYTES + 10), "header block"),
    ],
)
def test_garbage_is_refused_in_words(content_type, body, words):
    with pytest.raises(DecodeError, match=words):
        read_all(content_type, body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "nowhere"),
        (b"<html>no delimiter at all", "nowhere"),
        (b"--b\r\nContent-Type: x\r\n", "closing boundary"),
        (b"--b\r\n\r\ndata\r\n--b-", "closing boundary"),
    ],
)
def test_every_kind_of_truncation_is_named(body, words):
    with pytest.raises(TruncatedBody, match=words):
        read_all("multipart/related; boundary=b", body)


def test_a_part_that_is_cut_off_raises_where_it_is_read():
    part = next(iter_parts("multipart/related; boundary=b", [b"--b\n\nfirst bytes", b" and no more"]))
    with pytest.raises(TruncatedBody):
        part.read()


def test_hostile_bodies_cost_no_more_than_their_length():
    # Delimiters that are none, and a header block that comes in byte by byte: no byte is looked at over and over.
    body = b"--b\n\n" + b"\n--bx" * 200_000 + b"\n--b--"
    [(_, data)] = read_all("multipart/related; boundary=b", body, 65_536)
    assert len(data) == 1_000_000
    with pytest.raises(DecodeError, match="header block"):
        read_all("multipart/related; boundary=b", b"--b\n" + b"x" * 2 * MOST_HEADER_BYTES, 1)


class Source(io.BytesIO):
    """A body that comes in four bytes at a time and can be closed."""

    def __iter__(self):
        return iter(lambda: self.read(4), b"")


def test_the_source_is_closed_when_the_reader_is_abandoned():
    source = Source(BODY)
    parts = iter_parts("multipart/related", source)
    part = next(parts)
    parts.close()
    assert source.closed
    with pytest.raises((TruncatedBody, ValueError)):
        part.read()


def test_the_source_is_closed_when_it_is_no_multipart_body_or_ends():
    for content_type in ("text/html", "multipart/related"):
        source = Source(BODY)
        try:
            assert [part.read() for part in iter_parts(content_type, source)] == [b"DICM"]
        except DecodeError:
            assert content_type == "text/html"
        assert source.closed


def test_a_part_that_was_passed_over_says_so_and_is_not_empty():
    first, second = list(iter_parts("multipart/related; boundary=b", [b"--b\n\none\n--b\n\ntwo\n--b--"]))
    for part in (first, second):
        with pytest.raises(DecodeError, match="passed over"):
            part.read()


def test_only_the_wanted_bytes_of_a_part_are_read():
    body = b"".join(MultipartWriter([b"a" * 5_000, b"b" * 5_000], boundary="x"))
    chunks = (body[at : at + 100] for at in range(0, len(body), 100))
    assert [part.read(limit=3) for part in iter_parts("multipart/related; boundary=x", chunks)] == [
        b"aaa",
        b"bbb",
    ]


def test_files_are_streamed_and_a_changed_one_breaks_the_request_off(tmp_path):
    path = tmp_path / "large.dcm"
    path.write_bytes(b"x" * (2 * CHUNK_BYTES + 5))
    writer = MultipartWriter([path, b"y"], boundary="b")
    chunks = list(writer)
    assert max(map(len, chunks)) < CHUNK_BYTES + 200
    assert sum(map(len, chunks)) == len(writer)
    for changed in (b"shorter", b"x" * (2 * CHUNK_BYTES + 6)):
        path.write_bytes(changed)
        with pytest.raises(OSError, match="changed while"):
            list(writer)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("is_early", [True, False])
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path, is_early):
    path = tmp_path / "file"
    path.write_bytes(b"DICM")
    writer = None if is_early else MultipartWriter([path])
    path.unlink()
    os.mkfifo(path)
    said = []

    def send():
        with pytest.raises(OSError, match="no regular file") as refusal:
            b"".join(writer or MultipartWriter([path]))
        said.append(refusal.value)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(5)
    assert said


def test_a_media_type_keeps_what_it_can_read():
    assert MediaType.parse("APPLICATION/DICOM+JSON ; Charset=UTF-8; broken; q=0.5") == MediaType(
        "application/dicom+json", {"charset": "UTF-8", "q": "0.5"}
    )
    assert MediaType.parse(
        'multipart/related; type="image/jp2; transfer-syntax=*; boundary=b"; start=a'
    ) == MediaType(
        "multipart/related", {"type": "image/jp2", "transfer-syntax": "*", "boundary": "b", "start": "a"}
    )
    assert MediaType.parse(r'multipart/related; boundary="a\"b;c"').parameters["boundary"] == 'a"b;c'


def test_parts_go_to_files_as_they_come(tmp_path):
    body = b"".join(MultipartWriter([b"a" * 5_000, b""], boundary="x"))
    chunks = (body[at : at + 100] for at in range(0, len(body), 100))
    lengths = []
    for at, part in enumerate(iter_parts("multipart/related; boundary=x", chunks)):
        assert part.content_type == "application/dicom"
        with (tmp_path / str(at)).open("wb") as file:
            lengths.append(part.write_to(file))
    assert lengths == [5_000, 0]
    assert (tmp_path / "0").read_bytes() == b"a" * 5_000


@given(
    st.lists(st.sampled_from([b"\n", b"\n--", b"\n--b", b"x", bytes(50), b"\n" * 70]), max_size=12).map(
        b"".join
    ),
    st.integers(0, 40),
    st.integers(0, 400),
)
def test_a_delimiter_is_sought_as_find_does(buffer, start, end):
    assert _find(buffer, b"\n--b", start, end) == buffer.find(b"\n--b", start, end)
