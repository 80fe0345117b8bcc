"""Packed bodies, against gzip and zlib themselves, cut anywhere and in pieces of any size."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomframe.client.unpacking import encodings_of, unpacked
from dicomframe.errors import DecodeError, TruncatedBody

CONTENT = bytes(range(256)) * 30


def raw_deflate(content):
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKED = {
    "gzip": (["gzip"], gzip.compress(CONTENT)),
    "gzip in two streams": (["gzip"], gzip.compress(CONTENT[:999]) + gzip.compress(CONTENT[999:])),
    "deflate with filling": (["deflate"], zlib.compress(CONTENT) + b"\x1f\x8b\xff"),
    "gzip with filling": (["x-gzip"], gzip.compress(CONTENT) + b"\0\r\n"),
    "deflate": (["deflate"], zlib.compress(CONTENT)),
    "deflate without a head": (["deflate"], raw_deflate(CONTENT)),
    "twice": (["deflate", "gzip"], gzip.compress(zlib.compress(CONTENT))),
}


def read(packed, encodings, size):
    return b"".join(unpacked((packed[at : at + size] for at in range(0, len(packed), size)), encodings))


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("size", [1, 2, 3, 100, 1 << 20])
def test_what_is_packed_is_unpacked_in_pieces_of_any_size(kind, size):
    encodings, packed = PACKED[kind]
    assert read(packed, encodings, size) == CONTENT


@pytest.mark.parametrize("kind", PACKED)
@given(data=st.data())
def test_what_is_cut_anywhere_is_no_whole_body(kind, data):
    encodings, packed = PACKED[kind]
    kept = data.draw(st.integers(1, len(packed) - 1))
    size = data.draw(st.sampled_from([1, 7, 1 << 20]))
    ends = {"gzip in two streams": {len(gzip.compress(CONTENT[:999]))}}.get(kind, set())
    if kind.endswith("with filling"):
        ends = set(range(len(packed) - 3, len(packed)))
    if kept in ends:
        assert CONTENT.startswith(read(packed[:kept], encodings, size))
    else:
        with pytest.raises(TruncatedBody):
            read(packed[:kept], encodings, size)


def test_an_empty_body_holds_nothing():
    assert read(b"", ["gzip"], 1) == b""


@pytest.mark.parametrize("count", [0, 1, 2, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_what_unpacks_to_much_more_comes_in_pieces(count):
    pieces = list(unpacked(iter([gzip.compress(bytes(count))]), ["gzip"]))
    assert sum(map(len, pieces)) == count
    assert max(map(len, pieces), default=0) <= 1 << 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_packed_at_all(encoding):
    with pytest.raises(DecodeError):
        read(b"\xff" * 100, [encoding], 10)


@pytest.mark.parametrize(
    ("written", "expected"),
    [({}, []), ({"Content-Encoding": " GZIP , Deflate"}, ["gzip", "deflate"]), ({"Content-Encoding": "UTF-8"}, []),
     ({"Content-Encoding": ""}, []), ({"Transfer-Encoding": "Chunked"}, []), ({"Content-Encoding": "identity"}, [])],
)  # fmt: skip
def test_names_that_are_read(written, expected):
    assert encodings_of(written) == expected


@pytest.mark.parametrize(
    "written",
    [{"Content-Encoding": "br"}, {"Content-Encoding": "gzip, zstd"}, {"Transfer-Encoding": "gzip, chunked"},
     {"Content-Encoding": "compress"}, {"Transfer-Encoding": "deflate"}],
)  # fmt: skip
def test_names_that_are_refused(written):
    with pytest.raises(DecodeError, match="was not asked for"):
        encodings_of(written)


def test_what_is_packed_again_and_again_is_refused():
    assert len(encodings_of({"Content-Encoding": "gzip, deflate, gzip"})) == 3
    with pytest.raises(DecodeError, match="packed 5000 times"):
        encodings_of({"Content-Encoding": ",".join(["gzip"] * 5000)})
