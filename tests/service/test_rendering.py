"""Rendered images and thumbnails: PNG pixel by pixel against numpy written out here, JPEG with tolerance."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

INSTANCE = "studies/1.1/series/1.1.1/instances/1.1.1.1"
RENDERED = f"{INSTANCE}/rendered"
PNG = "image/png"
JPEG = "image/jpeg"


def linear(x, center, width):
    """PS3.3 C.11.2.1.2.1 as it is written there, for y from 0 to 255."""
    y = ((x - (center - 0.5)) / (width - 1) + 0.5) * 255
    y = np.where(x <= center - 0.5 - (width - 1) / 2, 0.0, y)
    return np.where(x > center - 0.5 + (width - 1) / 2, 255.0, y)


def linear_exact(x, center, width):
    """PS3.3 C.11.2.1.3.2."""
    y = ((x - center) / width + 0.5) * 255
    return np.where(x <= center - width / 2, 0.0, np.where(x > center + width / 2, 255.0, y))


def sigmoid(x, center, width):
    """PS3.3 C.11.2.1.3.1."""
    return 255 / (1 + np.exp(-4 * (x - center) / width))


def eight(y):
    return np.floor(y + 0.5).astype(int)


def pixels(reply):
    assert reply.status == 200, reply.body
    with Image.open(BytesIO(reply.body)) as opened:
        assert reply.headers["content-type"] == {"PNG": PNG, "JPEG": JPEG}[opened.format]
        return np.asarray(opened).astype(int)


def us(*numbers):
    return "US", struct.pack(f"<{len(numbers)}H", *numbers)


def real(name):
    return Path(get_testdata_file(name))


RAMP = np.arange(-1000, 1000, 20, dtype="<i2").reshape(10, 10)


# --- the form ---------------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 17")
@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "JPEG"), ("", "JPEG"), (JPEG, "JPEG"), (PNG, "PNG"), ("IMAGE/PNG", "PNG"), (f"{JPEG}; q=0.5", "JPEG"),
        ("*/*", None), ("image/*", None), (f"{JPEG}, {PNG}", None), (f"{JPEG}, */*; q=0.1", None), ("image/gif", None),
        (f"{JPEG}; q=0", None), ("application/dicom", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("route", ["rendered", "frames/1/rendered"])
def test_the_form(http, strict, image, accept, form, route):
    for service in (http, strict):
        service.stored(image(RAMP))
        reply = service.get(f"{INSTANCE}/{route}", accept=accept)
        if form is None:
            assert reply.status == 406
            assert "image/jpeg or image/png" in reply.message
            assert (
                service.get(f"studies/9/series/9/instances/9/{route}", accept=accept).status == 406
            )  # fact 18
        else:
            assert pixels(reply).shape == (10, 10)
            assert Image.open(BytesIO(reply.body)).format == form
            assert int(reply.headers["content-length"]) == len(reply.body)


@pytest.mark.covers("fact 26")
def test_quality(http, strict, stored_at):
    for service, default in ((http, 90), (strict, 100)):
        route = f"{stored_at(service, real('CT_small.dcm'))}/rendered"
        sizes = {
            quality: len(service.get(f"{route}?quality={quality}", accept=JPEG).body)
            for quality in (1, 90, 100)
        }
        assert sizes[1] < sizes[90] < sizes[100]
        assert len(service.get(route, accept=JPEG).body) == sizes[default]
        for bad in ("0", "101", "-1", "1.5", "high", "", "9" * 30):
            reply = service.get(f"{route}?quality={bad}", accept=PNG)
            assert reply.status == 400
            assert "1 to 100" in reply.message
        assert service.get(f"{route}?quality=50&quality=60", accept=JPEG).status == 400
        assert service.get(f"{route}?Quality=0&iccprofile=no", accept=JPEG).status == 200


def test_jpeg_is_like_png(http, stored_at):
    route = stored_at(http, real("examples_rgb_color.dcm"))
    jpeg, png = (pixels(http.get(f"{route}/rendered?quality=95", accept=accept)) for accept in (JPEG, PNG))
    assert np.abs(jpeg - png).mean() < 2


@pytest.mark.covers("fact 25")
def test_frames(http, image, dicom):
    frames = np.stack([np.full((2, 2), 7 * number, "u1") for number in range(3)])
    frames[:, 0, 0], frames[:, 1, 1] = 0, 255
    http.stored(image(frames), dicom("1/1/2", raw={"7FE00010": None}))
    assert pixels(http.get(RENDERED, accept=PNG)).tolist() == frames[0].tolist()
    for number in (1, 2, 3):
        given = pixels(http.get(f"{INSTANCE}/frames/{number}/rendered", accept=PNG))
        assert given.tolist() == frames[number - 1].tolist()
    for number, status in (("0", 400), ("-1", 400), ("x", 400), ("1,2", 400), ("4", 404), ("99999999", 404)):
        assert http.get(f"{INSTANCE}/frames/{number}/rendered", accept=PNG).status == status
    for route in ("rendered", "frames/1/rendered", "thumbnail"):
        reply = http.get(f"studies/1.1/series/1.1.1/instances/1.1.1.2/{route}", accept=JPEG)
        assert reply.status == 404
        assert "no pixel data" in reply.message
        assert http.get(f"studies/1.1/series/1.1.1/instances/9/{route}", accept=JPEG).status == 404
        assert http.get(f"studies/x/series/1.1.1/instances/9/{route}", accept=JPEG).status == 400
    for level in ("studies/1.1", "studies/1.1/series/1.1.1"):
        assert http.get(f"{level}/rendered", accept=JPEG).status == 404


# --- greyscale --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "function"),
    [
        ("40,400", linear), ("40,400,linear", linear), ("40,400,LINEAR", linear), ("-3.5,1e2", linear),
        ("40,400,linear-exact", linear_exact), ("40,0.5,linear-exact", linear_exact), ("40,400,sigmoid", sigmoid),
        ("40,1e-3,sigmoid", sigmoid), (" 40 , 400 ", linear),
    ],
)  # fmt: skip
def test_a_window_of_the_request(http, image, query, function):
    http.stored(
        image(
            RAMP, _00281052=("DS", "-24"), _00281053=("DS", "2"), _00281050=("DS", "1"), _00281051=("DS", "2")
        )
    )
    center, width = (float(part) for part in query.split(",")[:2])
    with np.errstate(over="ignore"):
        expected = eight(function(RAMP * 2.0 - 24, center, width))
    given = pixels(http.get(f"{RENDERED}?window={query.replace(' ', '%20')}", accept=PNG))
    assert np.array_equal(given, expected)


def test_the_narrowest_window_is_a_threshold(http, image):
    http.stored(image(RAMP))
    given = pixels(http.get(f"{RENDERED}?window=100,1", accept=PNG))
    assert np.array_equal(given, np.where(RAMP > 99.5, 255, 0))


@pytest.mark.parametrize(
    "window",
    ["", "40", "40,", ",400", "40,400,cubic", "40,400,linear,1", "40,0", "40,-1", "40,0.5", "40,0,sigmoid", "a,b",
     "nan,1", "40,inf", "1_0,400"],
)  # fmt: skip
def test_impossible_windows(http, strict, image, window):
    http.stored(image(RAMP))
    reply = http.get(f"{RENDERED}?window={window}", accept=PNG)
    assert reply.status == 400
    assert "center,width" in reply.message
    strict.stored(image(RAMP))
    assert strict.get(f"{RENDERED}?window={window}", accept=PNG).status == 200


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"00281050": ("DS", "0"), "00281051": ("DS", "500")}, lambda x: linear(x, 0, 500)),
        ({"00281050": ("DS", "5\\0"), "00281051": ("DS", "0\\500")}, lambda x: linear(x, 0, 500)),
        (
            {"00281050": ("DS", "0"), "00281051": ("DS", "500"), "00281056": ("CS", "LINEAR_EXACT")},
            lambda x: linear_exact(x, 0, 500),
        ),
        (
            {"00281050": ("DS", "0"), "00281051": ("DS", "500"), "00281056": ("CS", "SIGMOID")},
            lambda x: sigmoid(x, 0, 500),
        ),
        ({"00281050": ("DS", "0"), "00281051": ("DS", "x")}, lambda x: (x + 1000) / 1980 * 255),
        ({}, lambda x: (x + 1000) / 1980 * 255),
        (
            {"00280120": us(65536 - 1000)},
            lambda x: np.clip((x + 980) / 1960 * 255, 0, 255),
        ),
        (
            {"00280120": ("SS", struct.pack("<h", -1000)), "00280121": ("SS", struct.pack("<h", -900))},
            lambda x: np.clip((x + 880) / 1860 * 255, 0, 255),
        ),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_image_s_own_window_or_its_range(http, image, attributes, expected, photometric):
    more = {f"_{tag}": value for tag, value in attributes.items()}
    http.stored(image(RAMP, _00280004=("CS", photometric), **more))
    grey = eight(expected(RAMP.astype(float)))
    given = pixels(http.get(RENDERED, accept=PNG))
    assert np.array_equal(given, grey if photometric == "MONOCHROME2" else 255 - grey)


def test_a_voi_lut_and_a_modality_lut(http, image):
    lut = {"00283002": us(4, 10, 16), "00283006": us(0, 1000, 2000, 4000)}
    http.stored(image(np.array([[0, 10], [12, 99]], "<u2"), _00283010=("SQ", [lut])))
    assert pixels(http.get(RENDERED, accept=PNG)).tolist() == [[0, 0], [128, 255]]
    modality = lut | {"00283002": us(4, 0xFFFF, 16), "00283006": ("OW", struct.pack("<4H", 0, 100, 200, 300))}
    http.stored(
        image(np.array([[-5, 0], [1, 2]], "<i2"), uids="1/1/2", _00283000=("SQ", [modality]),
              _00281050=("DS", "150.5"), _00281051=("DS", "301"))
    )  # fmt: skip
    route = RENDERED.replace("1.1.1.1/", "1.1.1.2/")
    assert pixels(http.get(route, accept=PNG)).tolist() == [[0, 85], [170, 255]]


def test_broken_voi_luts_are_passed_over_with_a_warning(http, image):
    """The client does the same; tests/images/test_places_agree.py compares them."""
    broken = [{"00283002": us(4, 10)}, {"00283002": us(4, 10, 16), "00283006": us(0)}]
    whole = {"00283002": us(2, 1, 16), "00283006": us(0, 9)}
    values = np.array([[0, 1, 2, 3]], "<u2")
    for number, (luts, expected) in enumerate(
        [(broken, [[0, 85, 170, 255]]), ([*broken, whole], [[0, 0, 255, 255]])], 1
    ):
        http.stored(image(values, uids=f"1/1/{number}", _00283010=("SQ", luts)))
        reply = http.get(f"studies/1.1/series/1.1.1/instances/1.1.1.{number}/rendered", accept=PNG)
        assert pixels(reply).tolist() == expected
        assert '"VOI LUT 1, 2 of the image cannot be read."' in reply.headers["warning"]
        chosen = http.get(
            f"studies/1.1/series/1.1.1/instances/1.1.1.{number}/rendered?window=1,2", accept=PNG
        )
        assert "warning" not in chosen.headers


def test_broken_modality_luts_are_406(http, image):
    http.stored(image(RAMP, _00283000=("SQ", [{"00283002": us(4, 10)}])))
    reply = http.get(RENDERED, accept=PNG)
    assert reply.status == 406
    assert "look-up table" in reply.message


def test_functional_groups(http, image):
    """Enhanced multi-frame images keep rescale and window for each frame, or for all (PS3.3 C.7.6.16)."""
    frames = np.stack([RAMP, RAMP])
    own = [
        {"00289145": ("SQ", [{"00281052": ("DS", str(intercept)), "00281053": ("DS", "1")}])}
        for intercept in (0, 300)
    ]
    shared = [{"00289132": ("SQ", [{"00281050": ("DS", "100"), "00281051": ("DS", "700")}])}]
    http.stored(image(frames, _52009230=("SQ", own), _52009229=("SQ", shared)))
    for number, intercept in ((1, 0), (2, 300)):
        given = pixels(http.get(f"{INSTANCE}/frames/{number}/rendered", accept=PNG))
        assert np.array_equal(given, eight(linear(RAMP + float(intercept), 100, 700)))


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_every_width_and_sign(http, image, dtype):
    limits = np.iinfo(dtype)
    values = np.linspace(limits.min, limits.max, 100).astype(dtype).reshape(10, 10)
    http.stored(image(values))
    x = values.astype(float)
    assert np.array_equal(
        pixels(http.get(RENDERED, accept=PNG)), eight((x - x.min()) / (x.max() - x.min()) * 255)
    )


@pytest.mark.parametrize(("tag", "vr", "dtype"), [("7FE00008", "OF", "<f4"), ("7FE00009", "OD", "<f8")])
def test_floating_point(http, image, tag, vr, dtype):
    values = np.array([[0.0, 0.5], [1.0, np.nan]], dtype)
    http.stored(image(values, _7FE00010=None, **{f"_{tag}": (vr, values.tobytes())}))
    assert pixels(http.get(RENDERED, accept=PNG)).tolist() == [[0, 128], [255, 0]]
    assert pixels(http.get(f"{RENDERED}?window=0.5,1,linear-exact", accept=PNG)).tolist() == [
        [0, 128],
        [255, 0],
    ]
    http.stored(image(np.full((2, 2), np.inf, dtype), uids="1/1/2", _7FE00010=None,
                      **{f"_{tag}": (vr, np.full((2, 2), np.inf, dtype).tobytes())}))  # fmt: skip
    assert pixels(http.get(RENDERED.replace("1.1.1.1/", "1.1.1.2/"), accept=PNG)).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("high", [11, 15])
@pytest.mark.parametrize("is_signed", [False, True])
def test_overlays_beside_the_sample_are_left_out(http, image, high, is_signed):
    samples = np.arange(-2048 if is_signed else 0, 2048 if is_signed else 4096, 64)
    words = ((samples & 0xFFF) << (high - 11)).astype("<u2") | np.uint16(0xF000 if high == 11 else 0x000F)
    http.stored(
        image(words.reshape(8, -1), _00280101=us(12), _00280102=us(high), _00280103=us(int(is_signed)))
    )  # fmt: skip
    x = samples.reshape(8, -1).astype(float)
    assert np.array_equal(
        pixels(http.get(RENDERED, accept=PNG)), eight((x - x.min()) / (x.max() - x.min()) * 255)
    )


def test_a_frame_of_one_value_is_black(http, image):
    http.stored(image(np.full((2, 2), 900, "<u2")))
    assert pixels(http.get(RENDERED, accept=PNG)).tolist() == [[0, 0], [0, 0]]


def test_masks(http, stored_at):
    """A bit-packed segmentation: 1 is white, also in frames where nothing else is."""
    stored = pydicom.dcmread(real("liver.dcm"))
    route = stored_at(http, real("liver.dcm"))
    for number, expected in enumerate(stored.pixel_array, 1):
        given = pixels(http.get(f"{route}/frames/{number}/rendered", accept=PNG))
        assert np.array_equal(given, expected * 255)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm",
        "mlut_18.dcm", "RG1_UNCR.dcm", "RG3_J2KR.dcm", "693_J2KI.dcm", "JPEG-LL.dcm", "JPEG2000.dcm", "rtdose.dcm",
        "emri_small_jpeg_ls_lossless.dcm", "emri_small_big_endian.dcm", "J2K_pixelrep_mismatch.dcm", "JPGExtended.dcm",
        "MR-SIEMENS-DICOM-WithOverlays.dcm", "image_dfl.dcm",
    ],
)  # fmt: skip
def test_real_grey_images(http, stored_at, name):
    """Decoded and rescaled by pydicom, windowed by the formula as it is written in the standard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(real(name))
        values = apply_modality_lut(pydicom.pixels.pixel_array(ds, index=0), ds).astype(float)
    if ds.get("WindowWidth"):
        center, width = (
            float(np.atleast_1d(ds[keyword].value)[0]) for keyword in ("WindowCenter", "WindowWidth")
        )
        grey = linear(values, center, width)
    else:
        grey = (values - values.min()) / (values.max() - values.min()) * 255
    expected = eight(grey)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        expected = 255 - expected
    given = pixels(http.get(f"{stored_at(http, real(name))}/rendered", accept=PNG))
    difference = np.abs(given - expected)
    assert difference.max() <= 1  # halves may fall to either side
    assert (difference == 0).mean() > 0.99


# --- colour -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["SC_rgb.dcm", "SC_rgb_2frame.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_16bit.dcm",
     "SC_rgb_rle.dcm", "SC_ybr_full_uncompressed.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_jpeg_dcmtk.dcm",
     "examples_ybr_color.dcm", "color-pl.dcm", "color-px.dcm", "US1_J2KI.dcm", "US1_J2KR.dcm", "GDCMJ2K_TextGBR.dcm"],
)  # fmt: skip
def test_real_colour_images(http, stored_at, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(real(name))
        expected = pydicom.pixels.pixel_array(ds, index=0).astype(int)
        # Some have no PatientID, which the service insists on.
        ds.PatientID = "ID"
        out = BytesIO()
        ds.save_as(out)
    expected = expected >> (ds.BitsStored - 8)
    given = pixels(http.get(f"{stored_at(http, out.getvalue())}/rendered?window=1,2", accept=PNG))
    assert given.shape == expected.shape
    assert np.abs(given - expected).max() <= 1


@pytest.mark.parametrize(
    "name", ["examples_palette.dcm", "gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm", "OBXXXX1A.dcm"]
)
def test_palettes(http, stored_at, name):
    """Plain and segmented ones, of 8 and 16 bits."""
    ds = pydicom.dcmread(real(name.replace("_big", "")))
    expected = apply_color_lut(pydicom.pixels.pixel_array(ds, index=0), ds).astype(int)
    expected = expected >> (8 if expected.max() > 255 else 0)
    assert np.array_equal(pixels(http.get(f"{stored_at(http, real(name))}/rendered", accept=PNG)), expected)


def palette(**more):
    given = {f"_0028110{n}": us(4, 0, 16) for n in (1, 2, 3)}
    return {"_00280004": ("CS", "PALETTE COLOR")} | given | more


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ((0, 4, 0, 10 << 8, 20 << 8, 30 << 8), [0, 10, 20, 30]),
        ((0, 1, 0, 1, 3, 30 << 8), [0, 10, 20, 30]),
        # Two entries, then both segments from byte 0 once more.
        ((0, 1, 4 << 8, 1, 1, 8 << 8, 2, 2, 0, 0), [4, 8, 4, 8]),
        # The second segment alone: it starts at byte 6.
        ((0, 1, 0, 1, 1, 8 << 8, 2, 1, 6, 0, 0, 1, 9 << 8), [0, 8, 8, 9]),
    ],
)
def test_segments_of_palettes(http, image, segments, expected):
    data = {f"_0028122{n}": ("OW", struct.pack(f"<{len(segments)}H", *segments)) for n in (1, 2, 3)}
    http.stored(image(np.array([[0, 1], [2, 3]], "u1"), **palette(**data)))
    given = pixels(http.get(RENDERED, accept=PNG))
    assert given[..., 0].ravel().tolist() == given[..., 2].ravel().tolist() == expected


@pytest.mark.parametrize(
    "segments", [(), (0,), (0, 9, 1), (1, 4, 0), (7, 1, 1, 1), (0, 2, 1, 1), (2, 1, 0, 0)]
)
def test_broken_palettes(http, image, segments):
    data = {f"_0028122{n}": ("OW", struct.pack(f"<{len(segments)}H", *segments)) for n in (1, 2, 3)}
    http.stored(image(np.array([[0, 1], [2, 3]], "u1"), **palette(**data)))
    reply = http.get(RENDERED, accept=PNG)
    assert reply.status == 406
    assert "palette" in reply.message


@pytest.mark.parametrize(
    ("planar", "photometric"), [(0, "RGB"), (1, "RGB"), (0, "YBR_FULL"), (0, "YBR_PARTIAL_422")]
)
def test_colour_spaces(http, image, planar, photometric):
    """PS3.3 C.7.6.3.1.2 forwards, written out; the service must find the way back."""
    rgb = np.array([[[255, 0, 0], [255, 0, 0]], [[12, 200, 99], [12, 200, 99]]], float)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    if photometric == "YBR_FULL":
        channels = (
            0.2990 * red + 0.5870 * green + 0.1140 * blue,
            -0.1687 * red - 0.3313 * green + 0.5 * blue + 128,
            0.5 * red - 0.4187 * green - 0.0813 * blue + 128,
        )
    elif photometric == "YBR_PARTIAL_422":
        channels = (
            0.2568 * red + 0.5041 * green + 0.0979 * blue + 16,
            -0.1482 * red - 0.2910 * green + 0.4392 * blue + 128,
            0.4392 * red - 0.3678 * green - 0.0714 * blue + 128,
        )
    else:
        channels = (red, green, blue)
    stored = np.clip(np.round(np.stack(channels, axis=-1)), 0, 255).astype("u1")
    if photometric.endswith("422"):
        # Y1 Y2 Cb Cr for each pair.
        stored = np.array([[*row[:, 0], *row[0, 1:]] for row in stored], "u1")
    elif planar:
        stored = stored.transpose(2, 0, 1)
    http.stored(
        image(np.zeros((2, 2), "u1"), _00280002=us(3), _00280004=("CS", photometric), _00280006=us(planar),
              _7FE00010=("OB", stored.tobytes()))
    )  # fmt: skip
    assert np.abs(pixels(http.get(RENDERED, accept=PNG)) - rgb).max() <= 2


@pytest.mark.parametrize(
    ("samples", "photometric"), [(3, "HSV"), (4, "CMYK"), (1, "RGBA"), (3, "MONOCHROME9")]
)
def test_colours_that_nothing_here_knows(http, image, samples, photometric):
    http.stored(
        image(np.zeros((2, 2), "u1"), _00280002=us(samples), _00280004=("CS", photometric), _00280006=us(0),
              _7FE00010=("OB", bytes(4 * samples)))
    )  # fmt: skip
    reply = http.get(RENDERED, accept=PNG)
    assert reply.status == 406
    assert "Photometric Interpretation" in reply.message


def test_what_cannot_be_decoded(http, dicom):
    """A file that claims a syntax which it is not, and one that nothing decodes (MPEG-4)."""
    for number, syntax in enumerate(("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.102"), 1):
        http.stored(dicom(f"1/1/{number}", syntax=syntax))
        for route in ("rendered", "thumbnail", "frames/1/rendered"):
            reply = http.get(f"studies/1.1/series/1.1.1/instances/1.1.1.{number}/{route}", accept=JPEG)
            assert reply.status == 406
            assert "cannot be rendered" in reply.message


# --- the size ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("viewport", "size"),
    [("20,20", (20, 10)), ("100,100", (100, 50)), ("400,10", (20, 10)), ("1,1", (1, 1)), ("80,40", (80, 40)),
     ("20,20,,,,", (20, 10)), ("20,20,0,0,80,40", (20, 10)), ("20,20,40,20,20,20", (20, 20))],
)  # fmt: skip
def test_the_picture_is_as_large_as_fits(http, image, viewport, size):
    http.stored(image(np.arange(3200, dtype="<u2").reshape(40, 80)))
    reply = http.get(f"{RENDERED}?viewport={viewport}", accept=PNG)
    assert pixels(reply).shape == size[::-1]


def test_a_part_of_the_picture(http, image):
    values = np.arange(64, dtype="u1").reshape(8, 8) * np.uint8(4)
    http.stored(image(values, _00281050=("DS", "128"), _00281051=("DS", "256")))
    whole = pixels(http.get(RENDERED, accept=PNG))
    assert np.array_equal(whole, values)
    for part, expected in (
        ("3,2,5,6,3,2", values[6:, 5:]),
        ("3,2,5,6,,", values[6:, 5:]),
        ("8,8,0,0,-8,8", values[:, ::-1]),
        ("8,8,,,-8,-8", values[::-1, ::-1]),
    ):
        assert np.array_equal(pixels(http.get(f"{RENDERED}?viewport={part}", accept=PNG)), expected)


@pytest.mark.parametrize(
    "viewport",
    ["", "512", "512,", "0,512", "-1,5", "512,512,1", "1.5,2", "a,b", "512,9000", "99999999999,1", "8,8,-1,0,2,2",
     "8,8,0,0,9,2", "8,8,8,0,1,1", "8,8,0,0,0,0", "8,8,x,,,", "512,512,0,0,1,1,1"],
)  # fmt: skip
def test_impossible_viewports(http, strict, image, viewport):
    for service in (http, strict):
        service.stored(image(np.arange(64, dtype="u1").reshape(8, 8)))
    reply = http.get(f"{RENDERED}?viewport={viewport}", accept=PNG)
    assert reply.status == 400
    assert "viewport" in reply.message
    # The real service does not know the parameter, and ignores what it does not know.
    assert pixels(strict.get(f"{RENDERED}?viewport={viewport}", accept=PNG)).shape == (8, 8)


def test_thumbnails(http, strict, image, stored_at):
    http.stored(image(np.arange(400 * 600, dtype="<u4").reshape(400, 600)), image(RAMP, uids="1/1/2"))
    thumbnail = f"{INSTANCE}/thumbnail"
    for accept in (None, "*/*", JPEG, "image/*", f"{PNG};q=0.5, {JPEG}"):
        reply = http.get(thumbnail, accept=accept)
        assert reply.headers["content-type"] == JPEG
        assert pixels(reply).shape == (133, 200)
    assert pixels(http.get(thumbnail, accept=PNG)).shape == (133, 200)
    assert pixels(http.get(f"{thumbnail}?viewport=30,30", accept=PNG)).shape == (20, 30)
    assert pixels(http.get(thumbnail.replace("1.1.1.1/", "1.1.1.2/"), accept=PNG)).shape == (
        10,
        10,
    )  # not enlarged
    assert http.get(thumbnail, accept="image/gif").status == 406
    assert http.get(thumbnail, accept="image/jpeg;q=0, image/*").headers["content-type"] == PNG
    assert http.get(f"{thumbnail}?viewport=x", accept=JPEG).status == 400
    strict.stored(image(RAMP))
    reply = strict.get(thumbnail, accept=JPEG)
    assert reply.status == 404
    assert "no such route" in reply.message
