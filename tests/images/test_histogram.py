"""Counts of pixel values against numpy, whatever the order and the range; and what is drawn of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.pixels import pixels
from dicomframe.images.plots.histogram import HOUNSFIELD_MARKS, draw_histogram
from dicomframe.images.tally import PixelCount, Tally, count_pixels
from dicomframe.images.units import unit_of


def example(name):
    return dcmread(get_testdata_file(name, download=False))


def check(tally, values):
    """Compare with numpy's histogram over the same edges, whose last bin alone is closed."""
    assert tally.counts.sum() == values.size
    if values.size:
        expected = np.bincount(
            np.searchsorted(tally.edges, values.ravel(), side="right") - 1, minlength=len(tally.counts)
        )
        assert tally.counts.tolist() == expected.tolist()
        assert np.log2(tally.width) % 1 == 0
        assert len(tally.counts) <= 8192


numbers = st.lists(
    st.floats(-1e6, 1e6, width=32) | st.integers(-70_000, 70_000).map(float), min_size=0, max_size=30
).map(np.array)


@given(st.lists(numbers, max_size=6))
def test_parts_counted_apart_and_joined(parts):
    total = Tally()
    for part in parts:
        check(Tally.of(part), part)
        total = total + Tally.of(part)
    check(total, np.concatenate([np.zeros(0), *parts]))
    backwards = Tally()
    for part in parts[::-1]:
        backwards += Tally.of(part)
    assert backwards.width == total.width
    assert backwards.first == total.first
    assert backwards.counts.tolist() == total.counts.tolist()


@given(numbers, st.integers(0, 6))
def test_wider_bins_hold_the_same(values, doublings):
    tally = Tally.of(values)
    wide = tally.widened(tally.width * 2**doublings)
    check(wide, values)


def test_whole_numbers_have_a_bin_each():
    values = np.random.default_rng(0).integers(-2048, 4096, 10_000)
    tally = Tally.of(values)
    assert tally.width == 1
    expected, counts = np.unique(values, return_counts=True)
    assert tally.counts[tally.counts > 0].tolist() == counts.tolist()
    assert tally.edges[:-1][tally.counts > 0].tolist() == expected.tolist()


def test_an_empty_slice_does_not_make_the_others_coarse():
    fine = np.random.default_rng(0).random(1000) * 8
    total = Tally.of(np.zeros(100)) + Tally.of(fine)
    assert total.width == Tally.of(fine).width < 0.01
    check(total, np.concatenate([np.zeros(100), fine]))
    [(_, counts, _)] = lines(draw_histogram([counted("PT", "GML", np.zeros(7))]).axes[0])
    assert counts.tolist() == [7]


def test_an_image_in_hounsfield_units():
    ds = example("CT_small.dcm")
    count = count_pixels(ds, "CT")
    values = pixels(ds, modality_lut=True)
    padding = values == float(ds.PixelPaddingValue) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    check(count.tally, values[~padding])
    assert (count.unit, count.images, count.pixels) == ("HU", 1, values.size - padding.sum())


def test_padding_is_left_out_and_told():
    ds = example("CT_small.dcm")
    stored = pixels(ds)
    ds.PixelPaddingValue, ds.PixelPaddingRangeLimit = int(stored.min()), int(np.percentile(stored, 30))
    count = count_pixels(ds, "CT")
    inside = (stored >= ds.PixelPaddingValue) & (stored <= ds.PixelPaddingRangeLimit)
    assert count.padding == inside.sum() > 0
    check(count.tally, pixels(ds, modality_lut=True)[~inside])
    figure = draw_histogram([count])
    assert any(
        f"{inside.sum():,} pixels" in text.get_text() and "padding" in text.get_text()
        for text in figure.texts
    )


def test_frames_are_counted_one_by_one():
    ds = example("emri_small.dcm")
    check(count_pixels(ds, "MR").tally, pixels(ds, modality_lut=True))


def test_colour_and_what_is_no_image():
    assert count_pixels(example("SC_rgb_rle_2frame.dcm"), "OT") is None
    with pytest.raises(DecodeError):
        count_pixels(example("waveform_ecg.dcm"), "ECG")


@pytest.mark.parametrize(
    ("more", "unit"),
    [
        ({"Modality": "CT"}, "HU"),
        ({"Modality": "MR", "RescaleType": "US"}, ""),
        ({"Modality": "PT", "Units": "BQML"}, "Bq/ml"),
        ({"Modality": "MR"}, ""),
        ({"Modality": "CT", "RescaleSlope": None}, ""),
    ],
)
def test_units(more, unit):
    ds = Dataset()
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    assert unit_of(ds) == unit


def counted(label, unit, values):
    values = np.asarray(values, dtype=float)
    return PixelCount(label, unit, Tally.of(values), 1, values.size)


def lines(axes):
    return [(patch.get_label().split("\n")[0], *patch.get_data()[:2]) for patch in axes.patches]


def test_units_have_axes_of_their_own_and_nothing_is_lost():
    rng = np.random.default_rng(0)
    ct, mr = rng.integers(-1024, 3000, 5000), rng.random(3000) * 1e5
    figure = draw_histogram([counted("CT", "HU", ct), counted("$M$R", "", mr)], log=True)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "pixel value, HU",
        "pixel value (the images tell no unit)",
    ]
    assert figure.axes[0].get_ylabel() == "pixels per 16 HU"
    for axes, values, label in zip(figure.axes, (ct, mr), ("CT", r"\$M\$R"), strict=True):
        [(name, counts, edges)] = lines(axes)
        assert name == label
        assert len(counts) <= 257
        expected, _ = np.histogram(values, np.append(edges[:-1], edges[-1] + 1))
        assert counts.tolist() == expected.tolist()
        assert counts.sum() == values.size
        assert axes.get_yscale() == "log"
    marked = [text.get_text() for text in figure.axes[0].texts]
    assert len(marked) == len(HOUNSFIELD_MARKS)
    assert not figure.axes[1].texts


def test_limits_give_narrower_bins():
    values = np.random.default_rng(0).integers(-1024, 3000, 5000)
    [axes] = draw_histogram([counted("CT", "HU", values)], limits=(0, 100)).axes
    assert axes.get_xlim() == (0, 100)
    assert axes.get_ylabel() == "pixels per 1 HU"
    assert [text.get_text() for text in axes.texts] == ["water 0"]


@pytest.mark.parametrize("limits", [(1, 0), (0, 0), (0, np.nan), 3, ("a", "b"), (1, 2, 3)])
def test_limits_that_are_none(limits):
    with pytest.raises(QueryError, match="limits="):
        draw_histogram([counted("CT", "HU", [1])], limits=limits)


def test_lines_beyond_the_bound_are_told():
    counts = [counted(f"CT {at}", "HU", np.arange(at + 1)) for at in range(10)]
    figure = draw_histogram(counts, most=3)
    assert [name for name, *_ in lines(figure.axes[0])] == ["CT 9", "CT 8", "CT 7"]
    assert any("7 further lines" in text.get_text() for text in figure.texts)


def test_nothing_to_count_says_so():
    figure = draw_histogram([], ["2 colour images not counted."])
    assert "2 colour images" in figure.texts[0].get_text()
    # An image that is all padding or NaN has no bins.
    assert draw_histogram([PixelCount("CT", "HU", images=1, undefined=4)]).axes


def test_a_description_of_several_values_is_counted():
    from pydicom import dcmread, examples

    import dicomframe as dfr

    ct = dcmread(examples.get_path("ct"))
    ct.SeriesDescription = ["AX T1", "T2"]
    with dfr.start_local() as local:
        client = local.connect()
        client.store([ct])
        series = client.search_series().to_frame()
        assert series.dicom.histogram(by="series").axes
        # Named twice, as a study and as itself, an instance is there once.
        paths = [ResourcePath(ct.StudyInstanceUID)]
        paths.append(ResourcePath(ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID))
        assert len(client.collect_pixels(paths)) == 1
