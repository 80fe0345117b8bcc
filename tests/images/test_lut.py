"""Look-up tables against pydicom and against the standard's own words."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut

from dicomframe.errors import DecodeError
from dicomframe.images.lut import functional_group, look_up, modality_values, palette, table_of_item
from dicomframe.samples import real_files


@cache
def images() -> tuple[Dataset, ...]:
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in real_files():
            ds = dcmread(path, force=True, defer_size=1024)
            if "PixelData" in ds and "Rows" in ds:
                found.append(ds)
    return tuple(found)


def test_rescale_and_modality_tables_are_as_pydicom_has_them() -> None:
    tried = 0
    for ds in images():
        if "ModalityLUTSequence" not in ds and "RescaleSlope" not in ds:
            continue
        signed = bool(ds.PixelRepresentation)
        low, high = (-2000, 3000) if signed else (0, 5000)
        stored = np.arange(low, high, dtype=np.int16 if signed else np.uint16)
        expected = apply_modality_lut(stored, ds)
        ours = modality_values(stored, ds)
        assert ours.dtype == np.float64
        assert np.array_equal(ours, expected)
        tried += 1
    assert tried > 20


def test_palettes_are_as_pydicom_has_them() -> None:
    tried = 0
    for ds in images():
        if ds.PhotometricInterpretation != "PALETTE COLOR" or ds.original_encoding[1] is False:
            continue  # pydicom reads the words of big-endian files the wrong way round
        entries = ds.RedPaletteColorLookupTableDescriptor[0] or 65_536
        # pydicom keeps indices in the dtype of the table's entries, so only small ones can be compared.
        stored = np.arange(min(entries, 256), dtype=np.uint16)
        try:
            expected = apply_color_lut(stored, ds)
        except AttributeError:  # a file without meta information: pydicom does not know its byte order
            continue
        assert np.array_equal(palette(stored, ds), expected)
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize(
    ("little", "big"),
    [("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"), ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm")],
)
def test_a_palette_is_the_same_in_either_byte_order(little: str, big: str) -> None:
    found = {Path(str(ds.filename)).name: ds for ds in images() if ds.filename}
    if little not in found:
        pytest.skip("pydicom-data is not installed")
    stored = np.arange(256, dtype=np.uint16)
    assert np.array_equal(palette(stored, found[little]), palette(stored, found[big]))


@given(st.data())
def test_values_beyond_a_table_take_its_ends(data: st.DataObject) -> None:
    entries = np.array(data.draw(st.lists(st.integers(0, 65_535), min_size=1, max_size=50)), dtype=np.uint16)
    first = data.draw(st.integers(-40_000, 70_000))
    values = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=30))
    ours = look_up(np.array(values, dtype=np.int64), entries, first)
    for value, found in zip(values, ours.tolist(), strict=True):
        place = 0 if value < first else min(value - first, len(entries) - 1)
        assert found == entries[place]


def with_palette(words: list[int], bits: int, count: int) -> Dataset:
    ds = Dataset()
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [count, 0, bits])
        data = np.array(words, dtype=np.uint8 if bits == 8 else "<u2").tobytes()
        setattr(ds, f"Segmented{colour}PaletteColorLookupTableData", data)
    return ds


@pytest.mark.parametrize("bits", [8, 16])
def test_segments_expand_as_the_standard_says(bits: int) -> None:
    # PS3.3 C.7.9.2: one discrete value, 3 more, a line of 4 steps from the last value to 18, then the second segment
    # again, which begins at the third word: byte 3 of 8-bit data, byte 6 of 16-bit data.
    place = [3, 0, 0, 0] if bits == 8 else [6, 0]
    words = [0, 1, 9, 0, 3, 5, 7, 10, 1, 4, 18, 2, 1, *place]
    entries = palette(np.arange(11), with_palette(words, bits, 11))
    expected = [9, 5, 7, 10, 12, 14, 16, 18, 5, 7, 10]
    scale = entries[0, 0] // 9
    assert entries[:, 0].tolist() == [value * scale for value in expected]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([0, 9, 1, 2], 9),  # announces nine values and has two
        ([0, 2, 1, 2], 200),  # fewer entries than the descriptor says
        ([7, 1, 0], 1),  # no such segment
        ([1, 4, 18], 4),  # a line that begins nowhere
        ([0], 1),
        ([2, 1, 0, 0], 1),  # refers to itself
    ],
)
def test_broken_segments_are_refused(words: list[int], count: int) -> None:
    with pytest.raises(DecodeError):
        palette(np.arange(4), with_palette(words, 16, count))


def test_a_palette_colour_image_without_a_palette_is_refused() -> None:
    ds = Dataset()
    with pytest.raises(DecodeError, match="descriptor"):
        palette(np.arange(4), ds)
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 16])
    with pytest.raises(DecodeError, match="no palette"):
        palette(np.arange(4), ds)


@pytest.mark.parametrize(
    ("descriptor", "data"), [(None, [1, 2]), ([2, 0], [1, 2]), ([5, 0, 16], [1, 2]), ([2, 0, 16], None)]
)
def test_broken_tables_are_refused(descriptor: list[int] | None, data: list[int] | None) -> None:
    item = Dataset()
    if descriptor is not None:
        item.add_new("LUTDescriptor", "US", descriptor)
    if data is not None:
        item.add_new("LUTData", "US", data)
    with pytest.raises(DecodeError, match="look-up table"):
        table_of_item(item, is_signed=False)


def test_a_table_of_bytes_in_either_order_is_read() -> None:
    for little, order in ((True, "<u2"), (False, ">u2")):
        item = Dataset()
        item.set_original_encoding(is_implicit_vr=False, is_little_endian=little)
        item.add_new("LUTDescriptor", "US", [3, 5, 12])
        item.add_new("LUTData", "OW", np.array([1, 700, 4095], dtype=order).tobytes())
        entries, first, bits = table_of_item(item, is_signed=False)
        assert (entries.tolist(), first, bits) == ([1, 700, 4095], 5, 12)


def test_a_frame_s_own_rescale_comes_before_the_shared_one() -> None:
    def item(slope: float) -> Dataset:
        values = Dataset()
        values.RescaleSlope, values.RescaleIntercept = slope, 1
        group = Dataset()
        group.PixelValueTransformationSequence = [values]
        return group

    ds = Dataset()
    ds.SharedFunctionalGroupsSequence = [item(2)]
    ds.PerFrameFunctionalGroupsSequence = [item(3), Dataset()]
    stored = np.array([10])
    assert modality_values(stored, ds, 0).tolist() == [31]
    assert modality_values(stored, ds, 1).tolist() == [21]
    assert functional_group(ds, 0, "FrameVOILUTSequence") is None
    assert modality_values(stored, Dataset(), 0).tolist() == [10]
