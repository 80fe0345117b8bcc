"""GET of frames: the form that is chosen, what they hold, what is refused (azure-dicom-behaviour.md 16 to 25)."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from dicomframe.dicom.parts import iter_parts
from dicomframe.errors import ConnectionFailed
from dicomframe.service import frames as frames_module
from dicomframe.service.fragments import BadFragments, frames_of
from dicomframe.service.pixels import Pixels

INSTANCE = "studies/1.1/series/1.1.1/instances/1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
OCTETS = "application/octet-stream"
RELATED = f'multipart/related; type="{OCTETS}"'
AS_STORED = f"{RELATED}; transfer-syntax=*"
JP2 = 'multipart/related; type="image/jp2"'


def parts(reply):
    assert reply.status == 200, reply.body
    return [
        (part.content_type, part.read()) for part in iter_parts(reply.headers["content-type"], [reply.body])
    ]


def contents(reply):
    return [content for _, content in parts(reply)]


def real(name):
    return Path(get_testdata_file(name))


@pytest.fixture
def three(http, image):
    """Three frames of 2 by 3 pixels: 0 to 5, 10 to 15, 20 to 25."""
    http.stored(image(np.arange(6, dtype="<u2").reshape(2, 3) + np.array([0, 10, 20], "<u2")[:, None, None]))
    return http


def frame(first):
    return struct.pack("<6H", *range(first, first + 6))


def test_frames_in_the_order_of_the_list(anyhow, image):
    anyhow.stored(image(np.arange(18, dtype="<u2").reshape(3, 2, 3)))
    reply = anyhow.get(f"{INSTANCE}/frames/3,1", accept=RELATED)
    assert reply.headers["content-type"].startswith(
        'multipart/related; type="application/octet-stream"; boundary='
    )
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert parts(reply) == [(f"{OCTETS}; transfer-syntax={EXPLICIT}", frame(first)) for first in (12, 0)]
    assert contents(anyhow.get(f"{INSTANCE}/frames/2%2C2", accept=RELATED)) == [frame(6)] * 2


@pytest.mark.covers("fact 22", "fact 23")
@pytest.mark.parametrize(
    "accept", ["*/*", 'multipart/related; type="*/*"', AS_STORED, "multipart/related;type=*/*"]
)
def test_anything_means_multipart_as_stored(http, stored_at, accept):
    route = f"{stored_at(http, real('MR_small_bigendian.dcm'))}/frames/1"
    value = pydicom.dcmread(real("MR_small_bigendian.dcm")).PixelData
    assert parts(http.get(route, accept=accept)) == [
        (f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.2", value)
    ]
    turned = np.frombuffer(value, ">u2").astype("<u2").tobytes()
    assert parts(http.get(route, accept=RELATED)) == [(f"{OCTETS}; transfer-syntax={EXPLICIT}", turned)]


@pytest.mark.covers("fact 23", "fact 24")
@pytest.mark.parametrize(
    "accept",
    [f"{OCTETS}; transfer-syntax=*", OCTETS, f"{OCTETS}; transfer-syntax={EXPLICIT}", "*/*;q=0.1, " + OCTETS],
)
def test_one_frame_as_a_single_part(three, accept):
    reply = three.get(f"{INSTANCE}/frames/2", accept=accept)
    assert (reply.status, reply.body) == (200, frame(10))
    assert reply.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    assert int(reply.headers["content-length"]) == 12


@pytest.mark.covers("fact 24")
def test_several_frames_are_no_single_part(three):
    for numbers in ("1,2", "1,1"):
        refused = three.get(f"{INSTANCE}/frames/{numbers}", accept=f"{OCTETS}; transfer-syntax=*")
        assert refused.status == 400
        assert "multipart/related" in refused.message
    both = three.get(f"{INSTANCE}/frames/1,2", accept=f"{OCTETS}; transfer-syntax=*, {RELATED}")
    assert contents(both) == [frame(0), frame(10)]


@pytest.mark.covers("fact 18", "fact 24")
@pytest.mark.parametrize(
    "accept",
    [
        "image/jp2",
        f"image/jp2; transfer-syntax={JPEG_2000}",
        f"{OCTETS}; transfer-syntax={JPEG_2000}",
        f"{RELATED}; transfer-syntax={JPEG_2000}",
        f"{RELATED}; transfer-syntax={IMPLICIT}",
        f"{JP2}; transfer-syntax=*",
        f"{JP2}; transfer-syntax={EXPLICIT}",
        'multipart/related; type="application/dicom"',
        "image/jpeg",
        "application/dicom+json",
        f"{RELATED}; q=0",
        "nonsense",
    ],
)
@pytest.mark.parametrize("instance", [INSTANCE, "studies/9/series/9/instances/9"])
def test_what_is_not_accepted(three, accept, instance):
    refused = three.get(f"{instance}/frames/1", accept=accept)
    assert refused.status == 406
    assert "transfer-syntax" in refused.message


@pytest.mark.covers("fact 21")
def test_as_stored_wins_at_equal_quality(http, stored_at):
    route = f"{stored_at(http, real('MR_small_RLE.dcm'))}/frames/1"
    rle = "1.2.840.10008.1.2.5"
    for accept, syntax in (
        (f"{RELATED}; transfer-syntax={EXPLICIT}, {AS_STORED}", rle),
        (f"{RELATED}; transfer-syntax={EXPLICIT}, {AS_STORED}; q=0.9", EXPLICIT),
        (f"{JP2}, {RELATED}; q=0.5", JPEG_2000),
    ):
        ((kind, _),) = parts(http.get(route, accept=accept))
        assert kind.endswith(f"transfer-syntax={syntax}")


@pytest.mark.covers("fact 16")
def test_no_accept_header(three, strict, image):
    assert contents(three.get(f"{INSTANCE}/frames/1", accept=None)) == [frame(0)]
    strict.stored(image(np.zeros((1, 1), "<u2")))
    assert strict.get(f"{INSTANCE}/frames/1", accept=None).status == 406
    assert strict.get(f"{INSTANCE}/frames/1").status == 200


@pytest.mark.covers("fact 25")
@pytest.mark.parametrize(
    "numbers", ["0", "-1", "one", "1.5", "1,", ",1", "1,0", "1, 2", "+1", "1-2", "٣", "9" * 30]
)
def test_what_is_no_frame_number(three, numbers):
    reply = three.get(f"{INSTANCE}/frames/{quote(numbers)}")
    assert reply.status == 400
    assert "from 1 on" in reply.message


@pytest.mark.covers("fact 25")
def test_what_is_not_there(three, dicom):
    beyond = three.get(f"{INSTANCE}/frames/1,4")
    assert beyond.status == 404
    assert "3 frames" in beyond.message
    assert three.get("studies/1.1/series/1.1.1/instances/9/frames/1").status == 404
    three.stored(dicom("1/1/2", raw={"7FE00010": None}), dicom("1/1/3", raw={"7FE00010": ("OW", b"")}))
    for instance in ("1.1.1.2", "1.1.1.3"):
        reply = three.get(f"studies/1.1/series/1.1.1/instances/{instance}/frames/1")
        assert reply.status == 404
        assert "no pixel data" in reply.message
    three.service.blobs.remove([1])
    assert three.get(f"{INSTANCE}/frames/1").status == 404


@pytest.mark.covers("fact 26")
def test_query_parameters_are_ignored(three):
    assert three.get(f"{INSTANCE}/frames/1?quality=0&anything=goes").status == 200


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_jpeg_dcmtk.dcm",
        "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_rle_2frame.dcm",
        "examples_ybr_color.dcm", "emri_small_big_endian.dcm", "emri_small_RLE.dcm",
        "rtdose.dcm", "rtdose_rle.dcm", "J2K_pixelrep_mismatch.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "liver.dcm",
        "explicit_VR-UN.dcm",
    ],
)  # fmt: skip
def test_real_files(http, stored_at, name):
    """What comes as stored is what pydicom finds; what comes decoded is the transcoded object's pixel data."""
    path = real(name)
    stored = pydicom.dcmread(path)
    route = stored_at(http, path)
    count = int(stored.get("NumberOfFrames") or 1)
    numbers = ",".join(map(str, range(1, count + 1)))
    given = parts(http.get(f"{route}/frames/{numbers}", accept=AS_STORED))
    assert {kind for kind, _ in given} == {f"{OCTETS}; transfer-syntax={stored.file_meta.TransferSyntaxUID}"}
    element = next(
        stored[name] for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if name in stored
    )
    if stored.file_meta.TransferSyntaxUID.is_encapsulated:
        assert [content for _, content in given] == list(
            generate_frames(element.value, number_of_frames=count)
        )
    elif stored.BitsAllocated > 1:
        assert element.value.startswith(b"".join(content for _, content in given))
    transcoded = pydicom.dcmread(BytesIO(http.get(route, accept="application/dicom").body))
    decoded = contents(http.get(f"{route}/frames/{numbers}", accept=RELATED))
    value = transcoded[element.keyword].value
    if stored.BitsAllocated == 1:
        bits = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")
        size = stored.Rows * stored.Columns
        assert all(
            np.array_equal(
                np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")[:size],
                bits[number * size : (number + 1) * size],
            )
            for number, content in enumerate(decoded)
        )
    else:
        assert value.startswith(b"".join(decoded))
    assert len({len(content) for content in decoded}) == 1
    assert len(value) - sum(map(len, decoded)) in {0, 1} or stored.BitsAllocated == 1
    single = http.get(f"{route}/frames/{count}", accept=f"{OCTETS}; transfer-syntax=*")
    assert single.body == given[-1][1]


def test_a_deflated_file(http, stored_at):
    """Its frames are not deflated; into other syntaxes the service does not bring it (READABLE)."""
    stored = pydicom.dcmread(real("image_dfl.dcm"))
    route = stored_at(http, real("image_dfl.dcm"))
    assert parts(http.get(f"{route}/frames/1")) == [
        (f"{OCTETS}; transfer-syntax={EXPLICIT}", stored.PixelData)
    ]
    assert http.get(f"{route}/frames/1", accept=RELATED).status == 406


@given(rows=st.integers(1, 5), columns=st.integers(1, 7), count=st.integers(1, 5), data=st.data())
def test_frames_of_single_bits(rows, columns, count, data, tmp_path_factory):
    """Frames that begin within a byte come from its first bit on; numpy written out is the oracle."""
    size = rows * columns
    bits = np.array(
        data.draw(st.lists(st.integers(0, 1), min_size=size * count, max_size=size * count)), np.uint8
    )
    packed = np.packbits(bits, bitorder="little").tobytes()
    path = tmp_path_factory.mktemp("bits") / "file.dcm"
    ds = pydicom.Dataset()
    ds.Rows, ds.Columns, ds.NumberOfFrames, ds.BitsAllocated, ds.BitsStored, ds.HighBit = (
        rows,
        columns,
        count,
        1,
        1,
        0,
    )
    ds.SOPClassUID = ds.SOPInstanceUID = "1.2"
    ds["PixelData"] = pydicom.DataElement("PixelData", "OB", packed + b"\0" * (len(packed) % 2))
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    ds.save_as(path, enforce_file_format=True)
    pixels = Pixels.open(path)
    for index in range(count):
        expected = bits[index * size : (index + 1) * size]
        assert pixels.uncompressed(index) == np.packbits(expected, bitorder="little").tobytes()
        assert np.array_equal(pixels.decoded(index).values, expected.reshape(rows, columns))


def jpegs(count):
    stored = pydicom.dcmread(real("color3d_jpeg_baseline.dcm"))
    return [
        frame
        for frame, _ in zip(
            generate_frames(stored.PixelData, number_of_frames=120), range(count), strict=False
        )
    ]


def encapsulated(value, count, **more):
    ds = pydicom.dcmread(real("color3d_jpeg_baseline.dcm"))
    ds.NumberOfFrames = count
    ds.PixelData = value
    for keyword, content in more.items():
        setattr(ds, keyword, content)
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


@pytest.mark.parametrize("fragments", [1, 2, 3])
@pytest.mark.parametrize("table", ["extended", "basic", "none"])
def test_how_frames_are_found(http, stored_at, table, fragments):
    frames = jpegs(4)
    if table == "extended" and fragments == 1:
        value, offsets, lengths = encapsulate_extended(frames)
        file = encapsulated(value, 4, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    elif table == "extended":
        value = encapsulate(frames, fragments, has_bot=True)
        offsets = struct.unpack("<4L", value[8:24])
        value = value[:4] + b"\0\0\0\0" + value[24:]
        file = encapsulated(value, 4, ExtendedOffsetTable=struct.pack("<4Q", *offsets),
                            ExtendedOffsetTableLengths=struct.pack("<4Q", *map(len, frames)))  # fmt: skip
    else:
        file = encapsulated(encapsulate(frames, fragments, has_bot=table == "basic"), 4)
    route = stored_at(http, file)
    given = contents(http.get(f"{route}/frames/1,2,3,4", accept=AS_STORED))
    assert [content.rstrip(b"\0") for content in given] == [frame.rstrip(b"\0") for frame in frames]


def test_one_frame_is_decoded_and_no_other(http, stored_at, monkeypatch):
    decoded = []
    original = Pixels._decompressed
    monkeypatch.setattr(
        Pixels, "_decompressed", lambda self, index: decoded.append(index) or original(self, index)
    )
    route = stored_at(http, real("color3d_jpeg_baseline.dcm"))
    assert len(http.get(f"{route}/frames/77", accept=OCTETS).body) == 480 * 640 * 3
    assert http.get(f"{route}/frames/3/rendered", accept="image/png").status == 200
    assert http.get(f"{route}/frames/5", accept=AS_STORED).status == 200
    assert decoded == [76, 2]


def test_damage_is_told_while_it_can_be(http, stored_at, monkeypatch):
    frames = jpegs(3)
    route = stored_at(http, encapsulated(encapsulate([frames[0], b"\xff\xd8\xff\xd9", frames[2]]), 3))
    assert http.get(f"{route}/frames/1", accept=RELATED).status == 200
    for numbers in ("2", "1,2"):
        reply = http.get(f"{route}/frames/{numbers}", accept=RELATED)
        assert reply.status == 406
        assert "damaged" in reply.message
        assert "transfer-syntax=*" in reply.message
    assert len(contents(http.get(f"{route}/frames/1,2", accept=AS_STORED))) == 2
    # An answer too large to be made before its status is cut off, which is an error to the client as well.
    monkeypatch.setattr(frames_module, "_BYTES_AHEAD", 1000)
    with pytest.raises(ConnectionFailed):
        http.get(f"{route}/frames/1,2", accept=RELATED)


def test_large_answers_stream(http, stored_at, monkeypatch):
    route = stored_at(http, real("color3d_jpeg_baseline.dcm"))
    whole = contents(http.get(f"{route}/frames/1,2,3", accept=RELATED))
    monkeypatch.setattr(frames_module, "_BYTES_AHEAD", 1000)
    reply = http.get(f"{route}/frames/1,2,3", accept=RELATED)
    assert contents(reply) == whole
    assert "content-length" not in reply.headers


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"00280010": None}, "Rows"),
        ({"00280010": ("US", b"\0\0")}, "Rows"),
        ({"00280100": ("US", b"\x0c\0")}, "Bits Allocated"),
        ({"00280101": ("US", b"\x11\0")}, "Bits Stored"),
        ({"00280010": ("US", b"\3\0")}, "shorter"),
        ({"00280008": ("IS", "2")}, "shorter"),
    ],
)
def test_images_that_contradict_themselves(http, image, change, word):
    http.stored(image(np.zeros((2, 2), "<u2"), **{f"_{tag}": value for tag, value in change.items()}))
    last = 2 if "00280008" in change else 1
    reply = http.get(f"{INSTANCE}/frames/{last}")
    assert reply.status == 406
    assert word in reply.message


def item(content):
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(content)) + content


@pytest.mark.parametrize(
    ("data", "count", "extended", "word"),
    [
        (b"", 1, (), "no items"),
        (b"\0" * 16, 1, (), "something else"),
        (item(b"") + item(b"12345678")[:-2], 1, (), "cut off"),
        (item(b"") + item(b"ab") * 3, 2, (), "nothing tells"),
        (item(b"") + item(b"ab") * 3, 2, (0, 11), "offset table"),
        (item(b"") + item(b"ab") * 3, 2, (0, 1000), "offset table"),
    ],
)
def test_fragments_that_make_no_frames(data, count, extended, word):
    with pytest.raises(BadFragments, match=word):
        frames_of(data, 0, len(data), count, extended)


def test_one_frame_is_all_fragments():
    for table in (b"", struct.pack("<L", 0), struct.pack("<2L", 0, 10)):
        data = item(table) + item(b"ab") * 3
        first = 16 + len(table)
        assert frames_of(data, 0, len(data), 1) == [[(first + 10 * n, first + 10 * n + 2) for n in range(3)]]


def test_fewer_fragments_than_frames():
    data = item(b"") + item(b"ab")
    assert frames_of(data, 0, len(data), 3) == [[(16, 18)]]
    assert frames_of(item(b""), 0, 8, 1) == []
