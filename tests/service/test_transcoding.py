"""Objects and frames in JPEG 2000 lossless and Explicit VR Little Endian: the same numbers, or a clear 406."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from openjpeg.utils import decode, get_parameters
from pydicom.data import get_testdata_file

from dicomframe.dicom.parts import iter_parts
from dicomframe.service.jpeg2000 import encode
from dicomframe.service.pixels import CannotDecode, Decoded, Layout

INSTANCE = "studies/1.1/series/1.1.1/instances/1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
WANTED = f"application/dicom; transfer-syntax={JPEG_2000}"
JP2 = 'multipart/related; type="image/jp2"'


def read(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(data)
        return ds, pydicom.pixels.pixel_array(ds, raw=True)


@pytest.mark.covers("fact 19")
@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "CT_small.dcm",
        "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_ybr_full_uncompressed.dcm",
        "emri_small_big_endian.dcm", "emri_small_RLE.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "examples_palette.dcm",
        "US1_J2KI.dcm", "SC_rgb_rle_2frame.dcm", "JPEG2000.dcm", "gdcm-US-ALOKA-16_big.dcm",
    ],
)  # fmt: skip
def test_jpeg_2000_of_real_files(http, stored_at, name):
    path = Path(get_testdata_file(name))
    original, expected = read(path)
    route = stored_at(http, path)
    reply = http.get(route, accept=WANTED)
    assert reply.status == 200
    assert reply.headers["content-type"] == WANTED
    sent, values = read(BytesIO(reply.body))
    assert sent.file_meta.TransferSyntaxUID == JPEG_2000
    assert sent.SOPInstanceUID == original.SOPInstanceUID
    assert sent.get("PatientName") == original.get("PatientName")
    assert np.array_equal(values, expected)
    count = int(original.get("NumberOfFrames") or 1)
    frames = http.get(f"{route}/frames/{count}", accept=JP2)
    ((kind, content),) = [
        (part.content_type, part.read()) for part in iter_parts(frames.headers["content-type"], [frames.body])
    ]
    assert kind == f"image/jp2; transfer-syntax={JPEG_2000}"
    decoded = decode(content)
    last = expected if count == 1 else expected[-1]
    assert get_parameters(content)["precision"] == original.BitsStored
    assert np.array_equal(decoded.reshape(last.shape), last)


@pytest.mark.covers("fact 59")
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    bits=st.integers(2, 16),
    is_signed=st.booleans(),
    samples=st.sampled_from([1, 3]),
    data=st.data(),
)
def test_every_number_survives(shape, bits, is_signed, samples, data):
    is_signed &= samples == 1  # colours are unsigned (PS3.3 section C.7.6.3.1.2)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
    allocated = 8 if bits <= 8 else 16
    dtype = np.dtype(f"{'i' if is_signed else 'u'}{allocated // 8}")
    photometric = "MONOCHROME2" if samples == 1 else "RGB"
    shape_of_all = shape if samples == 1 else (*shape, samples)
    values = data.draw(arrays.arrays(dtype, shape_of_all, elements=st.integers(low, high)))
    layout = Layout(*shape, samples, allocated, bits, bits - 1, is_signed, False, False, photometric)
    codestream = encode(Decoded(values, photometric), layout)
    told = get_parameters(codestream)
    assert (told["rows"], told["columns"], told["precision"], told["is_signed"]) == (*shape, bits, is_signed)
    assert told["samples_per_pixel"] == samples
    assert np.array_equal(decode(codestream).reshape(shape_of_all), values)


@pytest.mark.covers("fact 59")
@pytest.mark.parametrize("columns", [0xFF90, 0xFF93, 33_000])
def test_wide_and_low_pictures(columns):
    """Several precincts, and widths that look like markers."""
    values = np.random.default_rng(3).integers(0, 1 << 12, (2, columns, 3)).astype("<u2")
    layout = Layout(2, columns, 3, 16, 12, 11, False, False, False, "RGB")
    assert np.array_equal(decode(encode(Decoded(values, "RGB"), layout)).reshape(values.shape), values)


@pytest.mark.covers("fact 59")
def test_small_pictures_in_deep_colours_over_http(http, image):
    values = np.random.default_rng(4).integers(0, 1 << 16, (6, 9, 3)).astype("<u2")
    colours = {"_00280002": ("US", b"\3\0"), "_00280004": ("CS", "RGB"), "_00280006": ("US", b"\0\0")}
    size = {"_00280008": ("IS", "1"), "_00280010": ("US", b"\6\0"), "_00280011": ("US", b"\x09\0")}
    http.stored(image(values, **colours, **size))
    _, sent = read(BytesIO(http.get(INSTANCE, accept=WANTED).body))
    assert np.array_equal(sent.reshape(values.shape), values)


@pytest.mark.covers("fact 59")
@pytest.mark.parametrize("shape", [(1, 1), (31, 31), (31, 200), (32, 32)])
def test_small_pictures_over_http(http, image, shape):
    values = np.random.default_rng(1).integers(-2000, 2000, shape).astype("<i2")
    http.stored(image(values))
    _, sent = read(BytesIO(http.get(INSTANCE, accept=WANTED).body))
    assert np.array_equal(sent.reshape(shape), values)


@pytest.mark.parametrize("shape", [(5, 7), (40, 33)])
def test_colours_are_not_transformed(shape):
    values = np.random.default_rng(2).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for photometric in ("RGB", "YBR_FULL"):
        layout = Layout(*shape, 3, 8, 8, 7, False, False, False, photometric)
        assert np.array_equal(
            decode(encode(Decoded(values, photometric), layout)).reshape(values.shape), values
        )


@pytest.mark.parametrize(
    ("dtype", "samples", "stored", "high", "top", "word"),
    [
        ("u2", 1, 12, 15, 9, "Something else"),  # the sample is in the upper bits
        ("u2", 1, 12, 11, 4096, "Something else"),  # an overlay is above it
        ("u4", 1, 32, 31, 9, "2 to 24 bits"),
        ("u4", 1, 20, 19, 9, "more than 16 bits"),
        ("u4", 3, 20, 19, 9, "more than 16 bits"),
        ("f4", 1, 32, 31, 9, "whole numbers"),
    ],
)
def test_what_jpeg_2000_would_not_keep(dtype, samples, stored, high, top, word):
    values = np.full((3, 3, samples) if samples > 1 else (3, 3), top, dtype)
    layout = Layout(
        3, 3, samples, values.itemsize * 8, stored, high, False, False, dtype == "f4", "MONOCHROME2"
    )
    with pytest.raises(CannotDecode, match=word):
        encode(Decoded(values, "MONOCHROME2"), layout)


def test_refusals_over_http(http, image, stored_at):
    http.stored(
        image(np.full((40, 40), 4096, "<u2"), _00280101=("US", b"\x0c\0"), _00280102=("US", b"\x0b\0"))
    )
    reply = http.get(f"{INSTANCE}/frames/1", accept=JP2)
    assert reply.status == 406
    assert "lose it" in reply.message
    assert http.get(INSTANCE, accept=WANTED).status == 406
    bits = stored_at(http, Path(get_testdata_file("liver.dcm")))
    assert http.get(bits, accept=WANTED).status == 406
    assert http.get(f"{bits}/frames/1", accept=JP2).status == 406


def test_objects_without_pixels_and_with_vrs_left_out(http, stored_at):
    report = stored_at(http, Path(get_testdata_file("test-SR.dcm")))
    sent = pydicom.dcmread(BytesIO(http.get(report, accept=WANTED).body))
    assert sent.file_meta.TransferSyntaxUID == JPEG_2000
    assert sent.ContentSequence == pydicom.dcmread(get_testdata_file("test-SR.dcm")).ContentSequence
    # This one is JPEG Baseline, its data set without VRs.
    path = Path(pydicom.data.__file__).parent / "test_files" / "SC_rgb_jpeg.dcm"
    sent, values = read(BytesIO(http.get(stored_at(http, path), accept=WANTED).body))
    assert np.array_equal(values, read(path)[1])


@pytest.mark.covers("fact 20")
def test_a_series_part_by_part(http, image, strict):
    """The reference asks for studies and series so; a strict service answers 406 (fact 20)."""
    values = np.arange(40 * 40, dtype="<u2").reshape(40, 40)
    for service in (http, strict):
        service.stored(image(values), image(values.T.copy(), uids="1/1/2"))
        related = f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_2000}'
        reply = service.get("studies/1.1", accept=related)
        if service is strict:
            assert reply.status == 406
            continue
        sent = [
            read(BytesIO(part.read())) for part in iter_parts(reply.headers["content-type"], [reply.body])
        ]
        assert [ds.file_meta.TransferSyntaxUID for ds, _ in sent] == [JPEG_2000] * 2
        assert np.array_equal(sent[0][1], values)


def test_tables_of_offsets_do_not_outlive_their_fragments(http, stored_at):
    path = Path(get_testdata_file("SC_rgb_rle_2frame.dcm"))
    ds = pydicom.dcmread(path)
    frames = list(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=2))
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = pydicom.encaps.encapsulate_extended(
        frames
    )
    out = BytesIO()
    ds.save_as(out)
    route = stored_at(http, out.getvalue())
    for wanted in (EXPLICIT, JPEG_2000):
        sent, values = read(
            BytesIO(http.get(route, accept=f"application/dicom; transfer-syntax={wanted}").body)
        )
        assert "ExtendedOffsetTable" not in sent
        assert np.array_equal(values, read(path)[1])


def test_a_compressed_image_without_colours_decoded(http, stored_at):
    """What is decoded says what it is: RGB, colour by pixel."""
    path = Path(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm"))
    original, _ = read(path)
    assert original.PhotometricInterpretation == "YBR_FULL"
    sent, values = read(BytesIO(http.get(stored_at(http, path), accept="application/dicom").body))
    assert (sent.PhotometricInterpretation, sent.PlanarConfiguration) == ("RGB", 0)
    assert np.array_equal(values, original.pixel_array)
