"""Decoding: every real image, against pydicom; and what cannot be decoded says why."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import apply_modality_lut
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from dicomframe.errors import DecodeError
from dicomframe.images.pixels import frame_count, frame_pixels, pixels
from dicomframe.images.reading import reading
from dicomframe.samples import real_files

KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
#: Files of pydicom that are broken or beyond every decoder, and what the reason must name.
UNDECODABLE = {
    "JPEG-lossy.dcm": "JPEG Extended",
    "JPEG2000-embedded-sequence-delimiter.dcm": "JPEG 2000",
    "MR_truncated.dcm": "less than expected",
    "badVR.dcm": "1A",
    "meta_missing_tsyntax.dcm": "Bits Allocated",
    "nested_priv_SQ.dcm": "Bits Allocated",
}


def read(path: str | Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the file; what comes while decoding is what is tested
        return dcmread(path, force=True)


def with_pixels() -> Iterator[tuple[Path, Dataset]]:
    for path in real_files():
        ds = read(path)
        if any(keyword in ds for keyword in KEYWORDS):
            yield path, ds


def example(name: str) -> Dataset:
    return read(str(get_testdata_file(name, download=False)))


def test_every_real_image_is_decoded_as_pydicom_decodes_it() -> None:
    decoded, refused = 0, {}
    for path, ds in with_pixels():
        try:
            ours = pixels(ds)
        except DecodeError as error:
            refused[path.name] = str(error)
            continue
        decoded += 1
        colour = ds.SamplesPerPixel == 3 or ds.PhotometricInterpretation == "PALETTE COLOR"
        assert ours.shape == (frame_count(ds), ds.Rows, ds.Columns) + ((3,) if colour else ())
        if ds.PhotometricInterpretation == "PALETTE COLOR":
            continue  # tests/images/test_lut.py
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = ds.pixel_array
        assert np.array_equal(ours.reshape(expected.shape), expected), path.name
    assert refused.keys() == UNDECODABLE.keys()
    assert all(UNDECODABLE[name] in reason for name, reason in refused.items())
    assert decoded >= (168 if find_spec("data_store") else 100)


def test_units_are_as_pydicom_computes_them() -> None:
    ds = example("CT_small.dcm")
    hounsfield = pixels(ds, modality_lut=True)
    assert hounsfield.dtype == np.float64
    assert np.array_equal(hounsfield[0], apply_modality_lut(ds.pixel_array, ds))
    assert not np.array_equal(hounsfield, pixels(ds))
    assert np.array_equal(frame_pixels(ds, modality_lut=True), hounsfield[0])
    enhanced = example("emri_small.dcm")
    assert np.array_equal(pixels(enhanced, modality_lut=True), pixels(enhanced))  # it has no rescale
    colour = example("SC_rgb.dcm")
    assert pixels(colour, modality_lut=True).dtype == np.uint8


@pytest.mark.parametrize(
    "name",
    ["SC_rgb.dcm", "SC_ybr_full_uncompressed.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_jpeg_dcmtk.dcm",
     "SC_rgb_rle.dcm", "SC_rgb_gdcm_KY.dcm"],
)  # fmt: skip
def test_colours_are_red_green_and_blue(name: str) -> None:
    bars = pixels(example(name))[0]
    for row, expected in ((5, (255, 0, 0)), (25, (0, 255, 0)), (45, (0, 0, 255)), (95, (255, 255, 255))):
        assert np.abs(bars[row, 50].astype(int) - expected).max() <= 6


def test_palette_becomes_rgb() -> None:
    picture = pixels(example("examples_palette.dcm"))
    assert picture.shape == (1, 350, 800, 3)
    assert picture.dtype in (np.uint8, np.uint16)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_one_frame_is_that_of_all_frames() -> None:
    ds = example("emri_small_RLE.dcm")
    whole = pixels(ds)
    assert whole.shape == (10, 64, 64)
    assert not np.array_equal(whole[2], whole[7])
    for number in (0, 2, 9, -1, -10):
        assert np.array_equal(frame_pixels(ds, number), whole[number])
    for number in (10, -11, 2**40):
        with pytest.raises(DecodeError, match="10, counted from 0"):
            frame_pixels(ds, number)


@pytest.mark.parametrize(("given", "count"), [(None, 1), ("", 1), (0, 1), (-3, 1), (1, 1), (7, 7)])
def test_the_number_of_frames_is_at_least_one(given: object, count: int) -> None:
    ds = Dataset()
    if given is not None:
        ds.add_new("NumberOfFrames", "IS", given)
    assert frame_count(ds) == count


def test_no_pixel_data_says_so() -> None:
    for name in ("rtplan.dcm", "test-SR.dcm"):
        with pytest.raises(DecodeError, match="no pixel data"):
            pixels(example(name))
    with pytest.raises(DecodeError, match="no pixel data"):
        frame_pixels(Dataset())


def plain(values: np.ndarray, **attributes: object) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Rows, ds.Columns = values.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = values.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    ds.add_new("PixelData", "OW", values.tobytes())
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("syntax", "name", "package"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2", "PyAV"),
        ("1.2.840.10008.1.2.4.107", "HEVC", "PyAV"),
        ("1.2.840.10008.1.2.4.94", "JPIP", "provider"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL", "imagecodecs"),
        ("1.2.3.4.5", "1.2.3.4.5", "No package"),
    ],
)
def test_a_foreign_transfer_syntax_names_itself_and_what_would_help(
    syntax: str, name: str, package: str
) -> None:
    ds = plain(np.zeros((4, 4), np.uint16))
    ds.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(DecodeError, match="No decoder is installed") as caught:
        pixels(ds)
    assert name in str(caught.value)
    assert package in str(caught.value)


WITHOUT_DECODERS = """
import sys, warnings
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pylibjpeg", "openjpeg", "libjpeg", "rle", "jpeg_ls", "PIL", "gdcm"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
from pydicom import dcmread
from dicomframe.errors import DecodeError
from dicomframe.images.pixels import pixels
for path in sys.argv[1:]:
    try:
        print("shape", pixels(dcmread(path)).shape)
    except DecodeError as error:
        print(error)
"""


def test_where_no_decoder_is_installed_each_syntax_names_the_package_that_helps() -> None:
    """In a process of its own, in which none of the packages can be imported."""
    wanted = {
        "JPEG2000.dcm": ("JPEG 2000", "pylibjpeg[openjpeg]"),
        "SC_jpeg_no_color_transform.dcm": ("JPEG Baseline", "pylibjpeg[libjpeg]"),
        "JPEG-LL.dcm": ("JPEG Lossless", "pylibjpeg[libjpeg]"),
        "JPGExtended.dcm": ("JPEG Extended", "pylibjpeg[libjpeg]"),
        "JPEGLSNearLossless_08.dcm": ("JPEG-LS", "pyjpegls"),
        "MR_small_RLE.dcm": ("shape", "64"),  # pydicom reads these itself
        "CT_small.dcm": ("shape", "128"),
    }
    paths = [str(get_testdata_file(name, download=False)) for name in wanted]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DECODERS, *paths],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    for line, (syntax, package) in zip(done.stdout.splitlines(), wanted.values(), strict=True):
        assert syntax in line
        assert package in line


def test_cut_off_pixel_data_is_refused() -> None:
    with pytest.raises(DecodeError, match="8130 vs 8192"):
        pixels(example("MR_truncated.dcm"))
    ds = example("JPEG2000.dcm")
    whole = ds.PixelData
    for length in (len(whole) - 100, len(whole) // 2, 12, 0):
        ds.PixelData = whole[:length]
        with pytest.raises(DecodeError, match=r"cut off|end of the data"):
            pixels(ds)


def test_an_object_of_unknown_encoding_is_refused() -> None:
    ds = plain(np.zeros((4, 4), np.uint16))
    del ds.file_meta
    with pytest.raises(DecodeError, match="no transfer syntax"):
        pixels(ds)


def test_without_meta_information_the_encoding_it_was_read_with_counts() -> None:
    ds = example("CT_small.dcm")
    values = pixels(ds)
    del ds.file_meta
    assert np.array_equal(pixels(ds), values)
    big = example("MR_small_bigendian.dcm")
    values = pixels(big)
    del big.file_meta
    assert np.array_equal(pixels(big), values)


def test_overlays_in_the_high_bits_are_not_taken_for_values() -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8)
    overlaid = plain(values | 0x8000, BitsStored=12, HighBit=11)
    assert np.array_equal(pixels(overlaid)[0], values)
    shifted = plain((values << 4) | 0x3, BitsStored=12, HighBit=15)
    assert np.array_equal(pixels(shifted)[0], values)
    signed = np.arange(-32, 32, dtype=np.int16).reshape(8, 8)
    assert np.array_equal(pixels(plain(signed, BitsStored=12, HighBit=11))[0], signed)
    overlaid = plain((signed & 0x0FFF) | 0x4000, BitsStored=12, HighBit=11)
    assert np.array_equal(pixels(overlaid)[0], signed)


def test_floating_point_values_are_kept() -> None:
    values = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    ds = plain(values, BitsAllocated=32)
    del ds.PixelData
    ds.add_new("FloatPixelData", "OF", values.tobytes())
    assert np.array_equal(pixels(ds)[0], values)


def test_warnings_of_the_decoders_are_logged_and_do_not_escape(caplog: pytest.LogCaptureFixture) -> None:
    ds = plain(np.arange(16, dtype=np.uint16).reshape(4, 4))
    ds.PixelData += b"\0" * 128
    with caplog.at_level(logging.WARNING, "dicomframe"):
        assert pixels(ds).shape == (1, 4, 4)  # warnings are errors in these tests
    assert any(
        "excess padding" in record.getMessage()
        for record in caplog.records
        if record.name.startswith("dicom")
    )


def test_many_threads_decode_at_once() -> None:
    ds = plain(np.arange(16, dtype=np.uint16).reshape(4, 4))
    ds.PixelData += b"\0" * 128
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(lambda _: int(pixels(ds).sum()), range(200)))
    assert decoded == [120] * 200
    assert warnings.filters == before


def test_each_frame_of_an_enhanced_image_has_its_own_unit() -> None:
    ds = example("emri_small.dcm")
    ds.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(10)]
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        values = Dataset()
        values.RescaleSlope, values.RescaleIntercept = 2, number
        group.PixelValueTransformationSequence = [values]
    stored = pixels(ds)
    rescaled = pixels(ds, modality_lut=True)
    assert np.array_equal(rescaled, stored * 2.0 + np.arange(10)[:, None, None])
    assert np.array_equal(frame_pixels(ds, 7, modality_lut=True), rescaled[7])


def test_the_log_of_an_odd_value_does_not_hold_it(caplog) -> None:
    ds = example("CT_small.dcm")
    with warnings.catch_warnings(action="ignore"):
        ds[0x00080018] = RawDataElement(Tag(0x00080018), "UI", 12, b"1.2.O'Neil.x", 0, False, True)
    with reading("the object"):
        assert ds.SOPInstanceUID
    [said] = [record.getMessage() for record in caplog.records if record.name.startswith("dicomframe")]
    assert said.startswith("while reading the object: Invalid value for VR UI: …")
    assert "Neil" not in said


def test_a_number_of_frames_that_is_no_number_is_refused_by_name() -> None:
    ds = example("badVR.dcm")
    assert frame_count(ds) == 1
    with pytest.raises(DecodeError, match="1A"):
        frame_pixels(ds)
