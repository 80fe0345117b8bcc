"""Single frames' bytes, pictures of other programs, viewports, windows by name."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from dicomframe.dicom.dicomjson import from_dataset, to_dataset
from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.picture import check_viewport, fit, fitted, read_picture
from dicomframe.images.pixels import decode_frame, frame_bytes, pixels
from dicomframe.images.windowing import PRESETS, Window, as_window, display

COMPRESSED = [
    "SC_rgb_rle_2frame.dcm",
    "JPEG2000.dcm",
    "JPEG-LL.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "examples_ybr_color.dcm",
]
NATIVE = ["CT_small.dcm", "SC_rgb_small_odd.dcm", "SC_ybr_full_422_uncompressed.dcm", "rtdose.dcm"]


def read(name):
    return dcmread(get_testdata_file(name, download=False))


def metadata_of(ds):
    """Give what a service tells of an image: no bulk data."""
    return to_dataset(from_dataset(ds, bulk="drop"))


# -- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_frames(name):
    ds = read(name)
    expected = pixels(ds)
    found = generate_frames(ds.PixelData, number_of_frames=len(expected))
    for number, data in zip(range(3), found, strict=False):
        one = decode_frame(data, metadata_of(ds), ds.file_meta.TransferSyntaxUID)
        np.testing.assert_array_equal(one, expected[number])
        assert one.dtype == expected.dtype


@pytest.mark.parametrize("name", NATIVE)
def test_native_frames(name):
    ds = read(name)
    expected, image = pixels(ds), metadata_of(ds)
    size = frame_bytes(image)
    assert len(expected) * size <= len(ds.PixelData) <= len(expected) * size + 1
    for number in range(len(expected)):
        data = ds.PixelData[number * size : (number + 1) * size]
        np.testing.assert_array_equal(decode_frame(data, image, "1.2.840.10008.1.2.1"), expected[number])


@pytest.mark.parametrize(("bits", "kind"), [(32, np.float32), (64, np.float64)])
def test_pixels_with_a_fraction(bits, kind):
    """They have no Pixel Representation, which tells them from 32-bit whole numbers (PS3.3 C.7.6.24)."""
    image = Dataset()
    image.Rows, image.Columns, image.BitsAllocated, image.SamplesPerPixel = 2, 3, bits, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    values = np.array([[0.5, -1.25, 3], [1e9, np.inf, 0]], kind)
    found = decode_frame(values.tobytes(), image, "1.2.840.10008.1.2.1")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == kind


def test_one_bit_frames():
    image = metadata_of(read("liver_1frame.dcm"))
    ds = read("liver_1frame.dcm")
    assert frame_bytes(image) == 512 * 512 // 8
    np.testing.assert_array_equal(decode_frame(ds.PixelData, image, "1.2.840.10008.1.2.1"), pixels(ds)[0])


def test_the_image_is_not_changed():
    ds = read("CT_small.dcm")
    image = metadata_of(ds)
    before = image.to_json()
    decode_frame(ds.PixelData, image, "1.2.840.10008.1.2.1")
    assert image.to_json() == before


@pytest.mark.parametrize(
    ("data", "syntax", "words"),
    [
        (b"short", "1.2.840.10008.1.2.1", "5 bytes of 32768"),
        (b"", "1.2.840.10008.1.2.1", "cut off"),
        (b"garbage", "1.2.840.10008.1.2.5", "cannot be read"),
        (b"", "1.2.840.10008.1.2.4.90", "."),
        (bytes(32768), "1.2.3", "No decoder"),
        (bytes(32768), "1.2.840.10008.1.2.4.100", "PyAV"),
    ],
)
def test_frames_that_cannot_be_decoded(data, syntax, words):
    with pytest.raises(DecodeError, match=words):
        decode_frame(data, metadata_of(read("CT_small.dcm")), syntax)


def test_an_image_without_a_size():
    with pytest.raises(DecodeError, match="size"):
        frame_bytes(Dataset())


# -- pictures --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000))
def test_a_fitted_picture_fills_its_viewport_one_way(height, width, columns, rows):
    tall, broad = fitted((height, width), columns, rows)
    assert 1 <= tall <= rows
    assert 1 <= broad <= columns
    assert tall == rows or broad == columns
    # Within the rounding of one pixel, the proportions are kept.
    assert abs(tall * width - broad * height) <= max(width, height)


def test_fitting_colour_and_grey():
    grey = np.full((10, 20), 7, np.uint8)
    assert fit(grey, 10, 100).shape == (5, 10)
    assert fit(np.stack([grey] * 3, -1), 40, 40).shape == (20, 40, 3)
    assert fit(grey, 20, 20) is grey
    assert set(fit(grey, 7, 7).ravel()) == {7}


@pytest.mark.parametrize("viewport", [(1, 1), [512, 512], (np.int64(3), 4), (16_384, 1)])
def test_viewports(viewport):
    assert check_viewport(viewport) == tuple(viewport)
    assert check_viewport(None) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_pictures_say_what_they_are(kind):
    out = io.BytesIO()
    Image.new("L", (4, 2), 9).save(out, kind)
    values, media_type = read_picture(out.getvalue())
    assert media_type == f"image/{kind.lower()}"
    assert values.shape[:2] == (2, 4)


@given(st.binary(max_size=200))
def test_garbage_is_no_picture(data):
    with pytest.raises(DecodeError):
        read_picture(data)


# -- windows by name -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_window(name):
    assert as_window(name) == Window(*PRESETS[name])


@pytest.mark.parametrize("name", ["Soft Tissue", "soft_tissue", "SOFT-TISSUE", " soft  tissue "])
def test_names_in_any_spelling(name):
    assert as_window(name) == Window(50, 400)


def test_a_preset_shows_what_its_numbers_show():
    ds = read("CT_small.dcm")
    np.testing.assert_array_equal(display(ds, window="bone"), display(ds, window=(400, 1500)))
    np.testing.assert_array_equal(display(ds, window="400,1500"), display(ds, window=(400, 1500)))
    assert not np.array_equal(display(ds, window="bone"), display(ds, window="lung"))


@pytest.mark.parametrize("window", ["brian", "", "40", "40,80,90", "a,b", ["brain"], 40, (None, 1), object()])
def test_windows_that_are_none(window):
    with pytest.raises(QueryError, match=r"brain|pair|preset"):
        as_window(window)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(QueryError) as caught:
        as_window("brian")
    assert all(name in str(caught.value) for name in PRESETS)
