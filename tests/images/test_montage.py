"""Montages: what is drawn, what is written, what is never written, and what happens to the unreadable."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dicomframe.errors import DecodeError, QueryError, UnavailableError
from dicomframe.images.montage import montage, pixel_aspect
from dicomframe.images.windowing import display


def example(name: str) -> Dataset:
    return dcmread(str(get_testdata_file(name, download=False)))


def texts(figure: Figure) -> list[str]:
    inside = [text.get_text() for axes in figure.axes for text in axes.texts]
    return [text.get_text() for text in figure.texts] + inside


def drawn(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor())
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_pictures_are_laid_out_in_rows() -> None:
    pictures = [np.full((8, 8), shade, np.uint8) for shade in range(7)]
    figure = montage(pictures, columns=3)
    places = [axes.get_position() for axes in figure.axes]
    assert len(places) == 7
    assert len({round(place.x0, 4) for place in places}) == 3
    assert len({round(place.y0, 4) for place in places}) == 3
    assert places[0].y0 > places[3].y0 > places[6].y0
    for number, one in enumerate(places):
        assert 0 <= one.x0 < one.x1 <= 1
        assert 0 <= one.y0 < one.y1 <= 1
        assert all(not one.overlaps(other) for other in places[:number])


def test_each_picture_is_what_display_gives() -> None:
    ds = example("CT_small.dcm")
    figure = montage([ds, ds], window=(40, 400))
    for axes in figure.axes:
        shown = axes.images[0]
        assert np.array_equal(shown.get_array(), display(ds, window=(40, 400)))
        assert shown.get_clim() == (0, 255)


def test_the_page_is_black_and_the_picture_is_on_it() -> None:
    page = drawn(montage([np.full((16, 16), 7.0)], window=(0, 2)))
    assert page[0].max() == 0
    assert page[:, 0].max() == 0
    assert page[page.shape[0] // 3, page.shape[1] // 2].tolist() == [255, 255, 255]


def test_captions_tell_what_it_is_and_not_whose() -> None:
    ds = example("CT_small.dcm")
    ds.SeriesDescription, ds.StudyDate = "Chest", "20040119"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Nobody^Known", "SECRET-7", "19560304"
    written = "\n".join(texts(montage([ds])))
    assert "CT Chest" in written
    assert "2004-01-19" in written
    assert not any(secret in written for secret in ("Nobody", "Known", "SECRET", "1956"))
    assert texts(montage([ds], titles=["Nobody^Known"])) == ["Nobody^Known"]


def test_long_odd_and_hostile_captions_are_drawn(recwarn: pytest.WarningsRecorder) -> None:
    titles = [
        r"$\nonsense{$",  # an error, were it read as mathematics
        "x" * 500,
        "cost $5 and $6",
        r"\frac{$",
        "line\nline\nline\nline",
        "tab\tbell\a\x1b[31m",
        "",
        "佐藤^花子 حداد 김민서",
    ]
    figure = montage([np.zeros((4, 4))] * len(titles), titles=titles)
    assert drawn(figure).shape[2] == 3
    assert not recwarn.list
    written = texts(figure)
    assert "x" * 33 + "…" in written
    assert all(len(line) <= 40 for text in written for line in text.splitlines())
    assert not any("\x1b" in text or "\a" in text for text in written)


def test_what_cannot_be_decoded_says_why_in_its_cell() -> None:
    broken = example("CT_small.dcm")
    broken.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    gone = UnavailableError(503, "GET /v2/studies/1.2", message="try later")
    figure = montage(
        [broken, example("rtplan.dcm"), DecodeError("no such thing"), gone, np.zeros(3), np.zeros((4, 4))]
    )
    reasons = [" ".join(axes.texts[0].get_text().split()) if axes.texts else "" for axes in figure.axes]
    assert "MPEG2" in reasons[0]
    assert "no pixel data" in reasons[1]
    assert reasons[2] == "no such thing"
    assert "503" in reasons[3]
    assert "rows, columns" in reasons[4]
    assert reasons[5] == ""
    assert [len(axes.images) for axes in figure.axes] == [0, 0, 0, 0, 0, 1]
    assert drawn(figure).max() > 100


def test_a_header_that_cannot_be_read_leaves_the_caption_out() -> None:
    ds = example("CT_small.dcm")
    ds.add(RawDataElement(BaseTag(0x00280008), "IS", 4, b"many", 0, False, True))
    ds.add(RawDataElement(BaseTag(0x0008103E), "QQ", 4, b"what", 0, False, True))
    figure = montage([ds])
    assert texts(figure)[0] == ""
    assert figure.axes[0].texts[0].get_text()


@pytest.mark.parametrize(
    "options", [{"columns": 0}, {"columns": -2}, {"titles": ["one"]}, {"window": (0, 0)}]
)
def test_what_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(QueryError):
        montage([np.zeros((4, 4))] * 2, **options)  # type: ignore[arg-type]


def test_nothing_to_show_says_so() -> None:
    figure = montage([])
    assert texts(figure) == ["There is nothing to show."]
    assert drawn(figure).max() > 50


def test_a_note_stands_below() -> None:
    figure = montage([np.zeros((4, 4))], note="3 further rows are not drawn")
    note = figure.texts[-1]
    assert note.get_text() == "3 further rows are not drawn"
    assert note.get_position()[1] < figure.axes[0].get_position().y0


def test_frames_of_a_cine() -> None:
    ds = example("emri_small.dcm")
    for frame, expected in ((0, 0), (4, 4), (99, 9)):  # the last one where there are fewer
        shown = montage([ds], frame=frame).axes[0].images[0].get_array()
        assert np.array_equal(shown, display(ds, expected))


def spaced(keyword: str, value: object) -> Dataset:
    ds = Dataset()
    setattr(ds, keyword, value)
    return ds


def nested(keyword: str, item: Dataset) -> Dataset:
    ds = Dataset()
    setattr(ds, keyword, [item])
    return ds


TALL = spaced("PixelSpacing", [2, 1])


@pytest.mark.parametrize(
    ("ds", "aspect"),
    [
        (Dataset(), 1.0),
        (spaced("PixelSpacing", [3.0, 1.5]), 2.0),
        (spaced("ImagerPixelSpacing", [0.1, 0.2]), 0.5),
        (spaced("PixelAspectRatio", [4, 3]), 4 / 3),
        (spaced("PixelSpacing", [0, 1]), 1.0),
        (spaced("PixelSpacing", [1]), 1.0),
        (spaced("PixelSpacing", None), 1.0),
        (spaced("PixelSpacing", [1, 10_000]), 1.0),  # no scanner has such pixels
        (nested("SharedFunctionalGroupsSequence", nested("PixelMeasuresSequence", TALL)), 2.0),
    ],
)  # fmt: skip
def test_proportions_come_from_the_spacing(ds: Dataset, aspect: float) -> None:
    assert pixel_aspect(ds) == pytest.approx(aspect)


def test_ultrasound_regions_tell_proportions() -> None:
    region = Dataset()
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, -0.03
    assert pixel_aspect(nested("SequenceOfUltrasoundRegions", region)) == pytest.approx(1.5)


def test_stretched_pixels_are_drawn_stretched() -> None:
    ds = example("CT_small.dcm")
    ds.PixelSpacing = [2.0, 1.0]
    assert montage([ds]).axes[0].get_aspect() == 2.0
    page = drawn(montage([ds], window=(-5000, 1), titles=[""])) > 0  # all of it is white
    rows, columns = (
        np.ptp(np.flatnonzero(page.any(axis=(1, 2)))),
        np.ptp(np.flatnonzero(page.any(axis=(0, 2)))),
    )
    assert rows / columns == pytest.approx(2.0, rel=0.02)


def test_a_notebook_shows_it_as_one_png() -> None:
    figure = montage([np.eye(8)])
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_global_state_of_pyplot_is_not_used() -> None:
    script = (
        "import sys, numpy as np; from dicomframe.images.montage import montage\n"
        "montage([np.eye(4)])._repr_png_(); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "False"


def test_windowing_needs_neither_matplotlib_nor_pydicom() -> None:
    script = "import sys, dicomframe.images.windowing; print({'matplotlib', 'pydicom'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "set()"
