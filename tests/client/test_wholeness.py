"""Objects cut off at any byte, against pydicom's own reading of where their elements end."""

import functools
import io
import struct
import time
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filereader import data_element_generator, read_file_meta_info

from dicomframe.client.elements import HEAD_BYTES
from dicomframe.client.identity import Identity, identity_of_cut, read_identity
from dicomframe.client.wholeness import ends_with_pixels, is_cut_off

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
#: Native and in fragments, explicit and implicit, big endian, sequences with and without lengths, reports, signals.
NAMES = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm",
    "JPEG2000.dcm", "JPEG2000-embedded-sequence-delimiter.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd.dcm",
    "reportsi.dcm", "test-SR.dcm", "rtplan.dcm", "waveform_ecg.dcm", "nested_priv_SQ.dcm", "priv_SQ.dcm",
    "UN_sequence.dcm", "rtdose_1frame.dcm", "liver_1frame.dcm",
]  # fmt: skip
NAMES = [name for name in NAMES if (FOLDER / name).exists()]


def looks_cut(content):
    return not ends_with_pixels(content[:HEAD_BYTES], len(content)) and is_cut_off(
        content[:HEAD_BYTES], content
    )


@functools.cache
def read(name):
    """Give a file's bytes, and where those of its elements end behind which nothing tells that it is cut."""
    content = (FOLDER / name).read_bytes()
    meta = read_file_meta_info(FOLDER / name)
    syntax = meta.TransferSyntaxUID
    start = 132 + 12 + meta.FileMetaInformationGroupLength
    file = io.BytesIO(content)
    file.seek(start)
    with warnings.catch_warnings(action="ignore"):
        elements = data_element_generator(file, syntax.is_implicit_VR, syntax.is_little_endian)
        # No instance ends in front of its Series Instance UID.
        ends = [file.tell() for element in elements if element.tag >= 0x0020000E]
    return content, ends


@pytest.mark.parametrize("name", NAMES)
def test_files_are_whole_as_they_are(name):
    content, ends = read(name)
    assert ends[-1] == len(content)
    assert not looks_cut(content)
    assert not looks_cut(content + b"\0" * 3)


@pytest.mark.parametrize("filling", [b"\0", b" ", b"\r\n"], ids=["zeros", "blanks", "breaks"])
def test_objects_without_pixels_are_whole_with_much_filling(filling):
    """Without VRs, blanks look like an element that is longer than any file."""
    content, ends = read("MR_small_implicit.dcm")
    content = content[: [end for end in ends if end < len(content)][-1]]
    assert not looks_cut(content + filling * 100)
    assert looks_cut(content[:-1])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_cut_is_seen_wherever_no_element_ends(name, data):
    content, ends = read(name)
    kept = data.draw(st.integers(0, len(content) - 1))
    behind = max((end for end in ends if end <= kept), default=-8)
    # A whole element and a few bytes that may be filling, or a preamble that holds something.
    is_filling = kept - behind < 8 and not content[behind:kept].strip(b"\0\r\n ")
    cannot_tell = is_filling or (kept < 132 and bool(content[: min(kept, 128)].strip(b"\0")))
    assert looks_cut(content[:kept]) is not cannot_tell


@pytest.mark.parametrize("name", ["MR_truncated.dcm", "rtplan_truncated.dcm"])
def test_files_that_are_known_to_be_cut(name):
    assert looks_cut((FOLDER / name).read_bytes())


def test_fragments_without_their_delimiter_are_cut():
    content = (FOLDER / "JPEG2000.dcm").read_bytes()
    assert looks_cut(content[:-8])


def test_a_deflated_stream_that_does_not_end_is_cut():
    content = (FOLDER / "image_dfl.dcm").read_bytes()
    assert not looks_cut(content)
    assert looks_cut(content[:-20])
    assert not looks_cut(content[:400] + b"\xff" * 2000)


def explicit(tag, vr, value, length=None):
    head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value) if length is None else length)
    return head + value


def object_of(*elements):
    meta = struct.pack("<HH2sH", 2, 16, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    return bytes(128) + b"DICM" + meta + b"".join(elements)


PIXELS = explicit(0x7FE00010, b"OW", b"\1\2" * 500)


@pytest.mark.parametrize(
    "content",
    [
        b"no DICOM",
        object_of(PIXELS)[132:],
        object_of(explicit(0x00100010, b"??", b"ab")),
        object_of(PIXELS, explicit(0x00100010, b"OB", b"ab", 99)),
        object_of(explicit(0x7FE00010, b"OB", b"\xff" * 40, 0xFFFFFFFF)),
        object_of(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)),
    ],
)
def test_of_what_is_unusual_nothing_is_said(content):
    assert not looks_cut(content)


@given(kept=st.integers(0, 9829))
def test_no_half_of_a_uid_is_taken_for_one(kept):
    content = (FOLDER / "MR_small.dcm").read_bytes()
    uids, whole = identity_of_cut(content[:kept], content[:kept]), read_identity(io.BytesIO(content))
    for name in ("study", "series", "instance", "sop_class"):
        end = content.index(getattr(whole, name).encode(), 400 if name != "sop_class" else 330)
        end += len(getattr(whole, name)) + len(getattr(whole, name)) % 2
        assert getattr(uids, name) == (getattr(whole, name) if kept >= end else ""), name


def test_uids_behind_a_long_header_and_in_encodings_that_are_not_read():
    long = object_of(
        struct.pack("<HH2sH", 8, 0x18, b"UI", 4) + b"1.2\0",
        explicit(0x00090010, b"OB", bytes(HEAD_BYTES)),
        struct.pack("<HH2sH", 0x20, 0xD, b"UI", 4) + b"1.3\0",
        explicit(0x7FE00010, b"OW", b"", 10),
    )
    assert identity_of_cut(long[:HEAD_BYTES], long) == Identity("1.3", "", "1.2")
    deflated = (FOLDER / "image_dfl.dcm").read_bytes()
    assert identity_of_cut(deflated[:-20], deflated[:-20]) == Identity()
    assert identity_of_cut(b"", b"") == Identity()


def test_an_icon_with_pixels_in_front_of_the_pixels():
    icon = explicit(0x7FE00010, b"OW", b"\3\4" * 8)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(icon)) + icon
    content = object_of(explicit(0x00880200, b"SQ", item), PIXELS)
    assert ends_with_pixels(content, len(content))
    assert looks_cut(content[:-1])
    assert looks_cut(content[: -len(PIXELS) - 3])


def test_what_is_made_to_keep_a_reader_busy_is_left_alone():
    """Levels without end need no stack of calls, and empty items without end no minutes."""
    deep = explicit(0x00880200, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF), 0xFFFFFFFF)
    assert looks_cut(object_of(deep * 50_000))
    wide = explicit(0x00880200, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 1_500_000, 0xFFFFFFFF)
    begin = time.process_time()
    assert not looks_cut(object_of(wide))
    assert time.process_time() - begin < 10


def test_a_deflated_bomb_is_unpacked_piece_by_piece():
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = packed.compress(bytes(200_000_000)) + packed.flush()
    syntax = b"1.2.840.10008.1.2.1.99"
    head = bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 16, b"UI", len(syntax)) + syntax
    assert not looks_cut(head + stream)
    assert looks_cut(head + stream[:-5])


def test_pydicom_reads_cut_pixels_without_a_word():
    """Why this is looked at: what pydicom gives of such a file."""
    content = (FOLDER / "MR_small.dcm").read_bytes()
    assert len(dcmread(io.BytesIO(content[:-3000])).PixelData) < len(dcmread(io.BytesIO(content)).PixelData)
