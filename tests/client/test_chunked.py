"""Bodies in chunks, however they are cut and however they come in; the oracle is http.client's own reader."""

import http.client
import io
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomframe.client.chunked import MOST_LINE_BYTES, ChunkedBody, Response

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Sock:
    """As much of a socket as an answer needs."""

    def __init__(self, sent):
        self.sent = sent

    def makefile(self, mode):
        return io.BufferedReader(io.BytesIO(self.sent))


def answer(kind, sent, method="GET"):
    made = kind(Sock(sent), method=method)
    made.begin()
    return made


def read_all(sent, size=1 << 20, method="GET"):
    made = answer(Response, sent, method)
    pieces = []
    while piece := made.read1(size):
        assert len(piece) <= size
        pieces.append(piece)
    return b"".join(pieces)


def read_into_all(sent, size, method="GET"):
    """Read into one buffer, again and again; behind what was read, it holds what was there before."""
    made = answer(Response, sent, method)
    pieces, buffer = [], memoryview(bytearray(b"\xee" * (MOST_LINE_BYTES + size)))
    while True:
        made.room = buffer
        piece = made.read1(size)
        if not piece:
            return b"".join(pieces)
        assert piece.obj is buffer.obj
        pieces.append(bytes(piece))


def chunked(pieces, extension=b"", trailer=b""):
    lines = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join(lines) + b"0\r\n" + trailer + b"\r\n"


def unpacked(body, came):
    room = bytearray(body.rest + came)
    return bytes(room[: body.unpack(memoryview(room))])


pieces = st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.just(b"\r\n0\r\n\r\n")), max_size=12)


@given(
    pieces,
    st.lists(st.integers(0, 60), max_size=30),
    st.sampled_from([b"", b";name", b' ; a="b"']),
    st.sampled_from([b"", b"Expires: never\r\nX: y\r\n"]),
)
def test_it_does_not_matter_where_chunks_and_reads_end(parts, cuts, extension, trailer):
    sent = chunked(parts, extension, trailer)
    body, got, at = ChunkedBody(), b"", 0
    for cut in [*cuts, len(sent)]:
        got += unpacked(body, sent[at : at + cut])
        at += cut
    assert got == b"".join(parts)
    assert body.done


@given(pieces, st.integers(1, 50))
def test_an_answer_is_read_as_httpclient_reads_it(parts, size):
    sent = HEAD + chunked(parts, b";x", b"A: b\r\n")
    assert read_all(sent, size) == answer(http.client.HTTPResponse, sent).read() == b"".join(parts)
    assert read_into_all(sent, size) == b"".join(parts)


@given(pieces.filter(any), st.data())
def test_a_body_cut_off_anywhere_is_seen(parts, data):
    sent = chunked(parts)
    whole = sent[: data.draw(st.integers(0, len(sent) - len(b"0\r\n\r\n")))]
    with pytest.raises(http.client.IncompleteRead):
        read_all(HEAD + whole)
    with pytest.raises(http.client.IncompleteRead):
        read_into_all(HEAD + whole, 10)


def test_what_came_before_the_cut_is_given():
    made = answer(Response, HEAD + b"3\r\nabc\r\n5\r\nde")
    assert made.read1(100) == b"abcde"
    with pytest.raises(http.client.IncompleteRead):
        made.read1(100)


@pytest.mark.parametrize("end", [b"0\r\n", b"0\r\n\r", b"0\r\nA: b\r\n"])
def test_nothing_is_missing_once_the_last_chunk_was_seen(end):
    assert read_all(HEAD + b"3\r\nabc\r\n" + end) == b"abc"


@pytest.mark.parametrize(
    "sent",
    [
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc",
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabc\n\n0\r\n\r\n",
        b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_are_none_are_refused(sent):
    for read in (read_all, read_into_all):
        with pytest.raises(http.client.IncompleteRead):
            read(HEAD + sent, 100)


@pytest.mark.parametrize("begin", [b"", b"3;", b"0\r\n"])
def test_a_line_that_never_ends_is_not_gathered(begin):
    body = ChunkedBody()
    unpacked(body, begin + b"a" * (MOST_LINE_BYTES - len(begin)))
    with pytest.raises(http.client.IncompleteRead):
        unpacked(body, b"a" * 16)


def test_an_answer_without_a_body_is_not_waited_for():
    for read in (read_all, read_into_all):
        assert read(HEAD, 100, method="HEAD") == b""
        assert read(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 100) == b""


def test_an_answer_with_a_length_is_left_to_httpclient():
    assert read_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef") == b"abc"


@given(st.binary(max_size=80), st.binary(max_size=5), st.integers(1, 50), st.booleans())
def test_a_body_without_chunks_ends_where_it_should_in_a_buffer(body, behind, size, has_length):
    length = b"Content-Length: %d\r\n" % len(body) if has_length else b""
    sent = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + body + behind
    assert read_into_all(sent, size) == (body if has_length else body + behind)


@pytest.mark.parametrize("framing", [b"Content-Length: 3000\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_what_has_come_is_given_before_more_is_waited_for(framing):
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(60)
        is_chunked = b"chunked" in framing
        there.sendall(
            b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + b"3\r\nabc" * is_chunked + b"abc" * (not is_chunked)
        )
        made = Response(here, method="GET")
        made.begin()
        room = memoryview(bytearray(1 << 20))
        made.room = room
        assert made.read1(len(room)) == b"abc"
        there.sendall(b"\r\n3\r\ndef" if is_chunked else b"def")
        made.room = room
        assert made.read1(len(room)) == b"def"
