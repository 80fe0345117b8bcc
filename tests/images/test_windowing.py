"""Windowing against the standard's pseudo-code, word for word, and against pydicom."""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import apply_windowing
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.windowing import (
    Window,
    apply_window,
    default_window,
    display,
    display_array,
    padding_range,
    window_of_values,
)
from dicomframe.samples import real_files
from dicomframe.service.picture import picture
from dicomframe.service.pixels import CannotDecode, NoPixelData, Pixels

centers = st.floats(-5000, 5000)
widths = st.floats(1, 10_000)
values = st.lists(st.floats(-40_000, 40_000), min_size=1, max_size=40)


def linear(x: float, c: float, w: float, y_min: float, y_max: float) -> float:
    """PS3.3 C.11.2.1.2.1, as it is written."""
    if x <= c - 0.5 - (w - 1) / 2:
        return y_min
    if x > c - 0.5 + (w - 1) / 2:
        return y_max
    return ((x - (c - 0.5)) / (w - 1) + 0.5) * (y_max - y_min) + y_min


def linear_exact(x: float, c: float, w: float, y_min: float, y_max: float) -> float:
    """PS3.3 C.11.2.1.3.2, as it is written."""
    if x <= c - w / 2:
        return y_min
    if x > c + w / 2:
        return y_max
    return ((x - c) / w + 0.5) * (y_max - y_min) + y_min


def sigmoid(x: float, c: float, w: float, y_min: float, y_max: float) -> float:
    """PS3.3 C.11.2.1.3.1, as it is written."""
    power = -4 * (x - c) / w
    return y_min if power > 700 else (y_max - y_min) / (1 + math.exp(power)) + y_min


FUNCTIONS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


@given(
    values,
    centers,
    widths,
    st.sampled_from(sorted(FUNCTIONS)),
    st.sampled_from([(0, 255), (-1024, 3071), (0, 1)]),
)
def test_each_function_is_the_standard_s(
    x: list[float], center: float, width: float, function: Any, limits: tuple[float, float]
) -> None:
    ours = apply_window(np.array(x), center, width, function=function, low=limits[0], high=limits[1])
    expected = [FUNCTIONS[function](one, center, width, *limits) for one in x]
    assert np.allclose(ours, expected, rtol=1e-9, atol=1e-6 * (limits[1] - limits[0]))


def test_whole_numbers_at_the_edges() -> None:
    # The standard's own examples: c=2048, w=4096 uses 0 to 4095 and no more; c=2048, w=1 is a threshold at 2048.
    assert apply_window(np.array([-1, 0, 1, 4094, 4095, 4096]), 2048, 4096).tolist() == pytest.approx(
        [0, 0, 255 / 4095, 255 * 4094 / 4095, 255, 255]
    )
    assert apply_window(np.array([2046, 2047, 2048, 2049]), 2048, 1).tolist() == [0, 0, 255, 255]
    assert apply_window(np.array([-1, 0, 1, 99, 100, 101]), 0, 100).max() == 255
    assert apply_window(np.array([10.0, math.nan]), 0, 5).tolist() == [255, 0]
    assert apply_window(np.array([-math.inf, math.inf]), 0, 5, function="SIGMOID").tolist() == pytest.approx(
        [0, 255]
    )


@given(values, centers, widths, st.sampled_from(sorted(FUNCTIONS)), st.integers(0, 1))
def test_each_function_is_pydicom_s(
    x: list[float], center: float, width: float, function: Any, signed: int
) -> None:
    ds = Dataset()
    ds.PhotometricInterpretation, ds.BitsStored, ds.PixelRepresentation = "MONOCHROME2", 12, signed
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = center, width, function
    low, high = (-2048, 2047) if signed else (0, 4095)
    with np.errstate(over="ignore"):  # pydicom lets the exponential overflow
        theirs = apply_windowing(np.array(x), ds)
    # It reads the decimal string, which may have fewer digits than the float.
    ours = apply_window(
        np.array(x), float(ds.WindowCenter), float(ds.WindowWidth), function=function, low=low, high=high
    )
    assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-3)


@given(centers, widths, st.sampled_from(sorted(FUNCTIONS)))
def test_brighter_values_never_get_darker(center: float, width: float, function: Any) -> None:
    shown = apply_window(np.linspace(-9000, 9000, 400), center, width, function=function)
    assert np.all(np.diff(shown) >= 0)
    assert shown.min() >= 0
    assert shown.max() <= 255


@pytest.mark.parametrize(
    ("center", "width", "function", "reason"),
    [
        (0, 0, "LINEAR", "at least 1"),
        (0, 0.99, "LINEAR", "at least 1"),
        (0, -400, "LINEAR", "at least 1"),
        (0, 0, "LINEAR_EXACT", "above 0"),
        (0, -1, "SIGMOID", "above 0"),
        (math.nan, 1, "LINEAR", "finite"),
        (0, math.inf, "LINEAR", "finite"),
        (0, 1, "CUBIC", "LINEAR_EXACT"),
    ],
)
def test_impossible_windows_are_refused(center: float, width: float, function: Any, reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        Window(center, width, function)
    with pytest.raises(QueryError, match=reason):
        apply_window(np.zeros(3), center, width, function=function)


def windowed(center: object, width: object, **more: object) -> Dataset:
    ds = Dataset()
    ds.add_new("WindowCenter", "DS", center)
    ds.add_new("WindowWidth", "DS", width)
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("ds", "expected"),
    [
        (windowed("40", "400"), Window(40, 400)),
        (windowed(["40", "-600"], ["400", "1500"]), Window(40, 400)),
        (windowed(["40", "-600"], ["0", "1500"]), Window(-600, 1500)),  # the first is impossible
        (windowed(["40", "-600"], "1500"), Window(40, 1500)),  # numbers that do not match in count
        (windowed("40", "0"), None),
        (windowed("40", "0.5"), None),
        (windowed("40", "0.5", VOILUTFunction="LINEAR_EXACT"), Window(40, 0.5, "LINEAR_EXACT")),
        (windowed("40", "400", VOILUTFunction="SIGMOID"), Window(40, 400, "SIGMOID")),
        (windowed("40", "400", VOILUTFunction="BROKEN"), Window(40, 400)),
        (windowed("", ""), None),
        (windowed(["", "40"], ["80", "400"]), Window(40, 400)),
        (windowed(None, None), None),
        (windowed("40", ""), None),
        (Dataset(), None),
    ],
)
def test_the_first_usable_window_counts(ds: Dataset, expected: Window | None) -> None:
    assert default_window(ds) == expected


def test_a_frame_s_own_window_comes_first() -> None:
    group = Dataset()
    group.FrameVOILUTSequence = [windowed("1", "2")]
    ds = windowed("40", "400", PerFrameFunctionalGroupsSequence=[Dataset(), group])
    assert default_window(ds, 0) == Window(40, 400)
    assert default_window(ds, 1) == Window(1, 2)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=30))
def test_a_window_can_be_made_of_any_values(x: list[float]) -> None:
    window = window_of_values(np.array(x, dtype=np.float32))
    assert window.width > 0
    finite = [one for one in x if math.isfinite(one)]
    if finite:
        assert min(finite) - 1 <= window.center <= max(finite) + 1


def test_few_bright_values_are_not_lost() -> None:
    outline = np.zeros((100, 100))
    outline[3, 3:9] = 1
    assert window_of_values(outline) == Window(0.5, 1.0, "LINEAR_EXACT")
    assert display_array(outline).max() == 255


def image(stored: np.ndarray, **attributes: object) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    if stored.ndim == 3:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated = ds.BitsStored = stored.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    ds.add_new("PixelData", "OW", stored.tobytes())
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)


def test_an_image_is_rescaled_windowed_and_rounded_half_up() -> None:
    ds = image(RAMP, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    shown = display(ds)
    expected = [math.floor(linear(2 * int(x) - 1024, 40, 400, 0, 255) + 0.5) for x in RAMP.ravel()]
    assert shown.dtype == np.uint8
    assert shown.ravel().tolist() == expected


def test_a_window_that_is_asked_for_comes_before_the_image_s_own() -> None:
    ds = image(RAMP, WindowCenter=40, WindowWidth=400)
    assert np.array_equal(display(ds, window=(2048, 4096)), display(image(RAMP), window=Window(2048, 4096)))
    assert not np.array_equal(display(ds, window=(2048, 4096)), display(ds))
    for broken in ((1, 2, 3), (1,), "wide", (1, "x"), (0, 0), 7):
        with pytest.raises(QueryError):
            display(ds, window=broken)  # type: ignore[arg-type]


def test_monochrome1_is_dark_where_values_are_high() -> None:
    ds = image(RAMP, WindowCenter=2048, WindowWidth=4096)
    inverted = image(RAMP, WindowCenter=2048, WindowWidth=4096, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(display(inverted), 255 - display(ds))
    assert display(inverted)[0, 0] == 255


def test_without_a_usable_window_the_values_decide_but_not_the_padding() -> None:
    stored = RAMP.astype(np.int16) // 16 + 100
    stored[:8] = -2000
    ds = image(stored, PixelPaddingValue=-2000, WindowCenter=40, WindowWidth=0)
    shown = display(ds)
    assert len(np.unique(shown[8:])) > 100
    assert shown[:8].max() == 0
    flooded = display(image(stored))
    assert np.ptp(flooded[8:]) < 30
    ds = image(np.full((4, 4), 7, np.int16), PixelPaddingValue=7)  # nothing but padding
    assert display(ds).shape == (4, 4)


def test_a_voi_table_serves_where_there_is_no_window_and_its_own_maximum_is_white() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 16])
    item.add_new("LUTData", "US", [4095 - 16 * entry for entry in range(256)])
    stored = np.arange(256, dtype=np.uint16).reshape(16, 16)
    ds = image(stored, VOILUTSequence=[item])
    shown = display(ds)
    assert shown[0, 0] == 255
    assert np.all(np.diff(shown.ravel().astype(int)) <= 0)
    assert not np.array_equal(display(ds, window=(128, 256)), shown)
    ds.WindowCenter, ds.WindowWidth = 128, 256
    assert np.array_equal(display(ds), display(ds, window=(128, 256)))


def test_colour_is_shown_as_it_is_in_eight_bits() -> None:
    colour = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(display(image(colour)), colour)
    deep = colour.astype(np.uint16) * 257
    assert np.array_equal(display(image(deep)), colour)
    twelve = colour.astype(np.uint16) * 16
    assert np.array_equal(display(image(twelve, BitsStored=12, HighBit=11)), colour)


def test_values_that_are_no_numbers_are_black() -> None:
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    values[0, 0] = np.nan
    ds = image(values, BitsAllocated=32)
    del ds.PixelData
    ds.add_new("FloatPixelData", "OF", values.tobytes())
    shown = display(ds)
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 255


def test_bare_arrays() -> None:
    assert display_array(np.array([[0, 128], [255, 300]]), window=(128, 256)).tolist() == [
        [0, 128],
        [255, 255],
    ]
    colour = np.zeros((2, 2, 3), np.uint8)
    assert display_array(colour) is colour
    assert display_array(np.array([[True, False]])).tolist() == [[255, 0]]
    for broken in (np.zeros(3), np.zeros((2, 2, 3)), np.zeros((2, 2, 2, 2)), np.array([["a"]])):
        with pytest.raises(DecodeError, match="rows, columns"):
            display_array(broken)


def test_a_header_that_breaks_the_rules_is_borne(caplog: pytest.LogCaptureFixture) -> None:
    def read_again(ds: Dataset) -> Dataset:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds.save_as(buffer, enforce_file_format=True)
        return dcmread(io.BytesIO(buffer.getvalue()))

    ds = image(RAMP, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", SOPInstanceUID="1.2.3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.add_new("VOILUTFunction", "CS", "sigmoid")
        ds.WindowCenter, ds.WindowWidth = 2048, 4096
    assert (
        len(np.unique(display(read_again(ds)))) > 100
    )  # warnings are errors here, and this one is only logged
    assert any("sigmoid" in record.getMessage() for record in caplog.records)
    del ds.VOILUTFunction
    for keyword in ("WindowCenter", "RescaleSlope"):
        broken = read_again(ds)
        tag = broken.data_element("WindowCenter").tag if keyword == "WindowCenter" else 0x00281053
        broken.RescaleIntercept = 0
        broken[tag] = RawDataElement(BaseTag(tag), "DS", 4, b"wide", 0, False, True)
        with pytest.raises(DecodeError, match="cannot be read"):
            display(broken)


def test_client_and_service_show_images_without_a_window_alike() -> None:
    """Each has code of its own for the rule that docs/pictures.md writes down."""
    compared = 0
    for path in real_files():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = dcmread(path, force=True)
            named = default_window(ds) is not None or "VOILUTSequence" in ds
        if "PixelData" not in ds or named or ds.get("SamplesPerPixel") != 1:
            continue
        try:
            theirs = picture(Pixels.open(path), 0)
            ours = display(ds)
        except (CannotDecode, DecodeError, NoPixelData):
            continue
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1, path.name
        compared += 1
    assert compared >= 30


@pytest.mark.parametrize("value", [-7, 0, 1, 30_000])
def test_an_image_of_one_value_is_black(value: int) -> None:
    assert not display(image(np.full((3, 4), value, np.int16))).any()
    assert not display_array(np.full((3, 4), value)).any()


def test_a_mask_is_black_where_it_is_0_also_where_it_is_1_everywhere() -> None:
    ds = image(np.ones((3, 4), np.uint16), BitsStored=1, HighBit=0)
    assert (display(ds) == 255).all()


def test_padding_written_as_unsigned_beside_signed_pixels_is_padding() -> None:
    stored = np.arange(-50, 50, dtype=np.int16).reshape(10, 10)
    stored[0] = -32768
    ds = image(stored)
    ds.add_new("PixelPaddingValue", "US", 32768)
    assert padding_range(ds, stored) == (-32768, -32768)
    assert len(np.unique(display(ds))) > 80
