"""A montage: many images on one black page, each with a caption and its true proportions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, DicomFrameError, QueryError
from dicomframe.images.figure import ShownFigure, families, plain
from dicomframe.images.pixels import frame_count
from dicomframe.images.plots.page import check_count
from dicomframe.images.reading import reading
from dicomframe.images.windowing import WindowLike, display, display_array

if TYPE_CHECKING:
    from pydicom import Dataset

#: Inches of one cell, and of its caption.
_CELL = 2.6
_CAPTION = 0.42
_GAP = 0.08


def check_titles(titles: Sequence[str] | None, count: int) -> None:
    """Refuse titles that are no texts, or not one a picture."""
    if titles is None:
        return
    if isinstance(titles, str) or not isinstance(titles, Sized):
        raise QueryError(f"titles= is a list of texts, one a picture, not {type(titles).__name__}.")
    if len(titles) != count:
        raise QueryError(f"{len(titles)} titles were given for {count} pictures.")


def montage(
    items: Iterable[Dataset | NDArray[Any] | DicomFrameError],
    *,
    columns: int = 4,
    titles: Sequence[str] | None = None,
    window: WindowLike | None = None,
    frame: int = 0,
    note: str | None = None,
) -> Figure:
    """Draw images side by side.

    Parameters
    ----------
    items : iterable
        Datasets; arrays (rows, columns) or RGB (rows, columns, 3) of uint8; or errors, whose text is shown
        in place of the picture.
    columns : int
        Pictures in a row, at least 1.
    titles : sequence of str, optional
        One caption a picture. By default modality, description and date; never a patient's name or ID.
    window : Window, (center, width) or str, optional
        For all greyscale pictures, in the modality's unit, or the name of a preset; by default each picture's own.
    frame : int
        Which frame of multi-frame images, from 0; the last one where there are fewer.
    note : str, optional
        A line below the pictures.

    Returns
    -------
    matplotlib.figure.Figure
        Black, each picture with the proportions of its pixel spacing. ``figure.savefig("montage.png")`` saves it;
        at the end of a notebook cell it shows itself.

    Raises
    ------
    QueryError
        If `columns` is below 1, the number of titles is not that of the pictures, or the window is impossible.
        A picture that cannot be decoded does not raise: its cell says why.

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> figure = montage([dcmread(examples.get_path("ct")), dcmread(examples.get_path("mr"))], columns=2)
    >>> len(figure.axes)
    2
    """
    pictures = list(items)
    check_count("columns", columns)
    check_titles(titles, len(pictures))
    columns = max(min(columns, len(pictures)), 1)
    rows = max(-(-len(pictures) // columns), 1)
    size = (columns * _CELL, rows * (_CELL + _CAPTION) + (0.3 if note else 0.0))
    figure = ShownFigure(figsize=size, dpi=110, facecolor="black")
    FigureCanvasAgg(figure)
    for number, picture in enumerate(pictures):
        axes = figure.add_axes(_place(number, columns, size))
        axes.set_axis_off()
        axes.set_facecolor("black")
        caption = titles[number] if titles is not None else _caption_or_none(picture)
        _draw(axes, picture, window, frame)
        _write(figure, axes, caption)
    if not pictures:
        _say(figure, "There is nothing to show.", 0.5)
    if note:
        _say(figure, note, 0.12 / size[1])
    return figure


def _place(number: int, columns: int, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Give left, bottom, width and height of a picture as fractions of the page."""
    row, column = divmod(number, columns)
    width, height = size
    top = height - row * (_CELL + _CAPTION) - _GAP / 2
    inside = _CELL - _GAP
    return (column * _CELL + _GAP / 2) / width, (top - inside) / height, inside / width, inside / height


def _draw(axes: Any, picture: object, window: WindowLike | None, frame: int) -> None:
    try:
        shown, aspect = _picture(picture, window, frame)
    except QueryError:
        raise
    except DicomFrameError as error:
        _explain(axes, str(error))
        return
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, aspect=aspect, interpolation="bilinear")


def _picture(picture: Any, window: WindowLike | None, frame: int) -> tuple[NDArray[np.uint8], float]:
    """Give the 8-bit image and the height of its pixels over their width."""
    if isinstance(picture, DicomFrameError):
        raise picture
    if isinstance(picture, np.ndarray):
        return display_array(picture, window), 1.0
    with reading("the image"):
        frame = min(frame, frame_count(picture) - 1)
        return display(picture, frame, window), pixel_aspect(picture, frame)


def pixel_aspect(ds: Dataset, frame: int = 0) -> float:
    """Give the height of a pixel over its width, 1.0 where nothing usable tells it.

    Parameters
    ----------
    ds : pydicom.Dataset
        Pixel Spacing (of the frame's functional group, where there are any), Imager Pixel Spacing, the first
        ultrasound region's deltas and Pixel Aspect Ratio are looked at, in this order.
    frame : int
        Frame index, from 0.

    Returns
    -------
    float

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.PixelSpacing = [2.0, 1.0]
    >>> pixel_aspect(ds)
    2.0
    """
    from dicomframe.images.lut import functional_group

    regions = ds.get("SequenceOfUltrasoundRegions") or []
    measures = functional_group(ds, frame, "PixelMeasuresSequence")
    candidates = [
        measures.get("PixelSpacing") if measures is not None else None,
        ds.get("PixelSpacing"),
        ds.get("ImagerPixelSpacing"),
        *([region.get("PhysicalDeltaY"), region.get("PhysicalDeltaX")] for region in regions[:1]),
        ds.get("PixelAspectRatio"),
    ]
    for pair in candidates:
        try:
            height, width = (abs(float(number)) for number in pair)
        except (TypeError, ValueError):
            continue
        if height > 0 and width > 0 and 0.05 < height / width < 20:
            return height / width
    return 1.0


def _caption_or_none(picture: Any) -> str:
    """Give the caption, none where even the header cannot be read; the cell itself says why."""
    try:
        with reading("the header"):
            return _caption(picture)
    except DecodeError:
        return ""


def _caption(picture: Any) -> str:
    """Tell what an image is without telling whose: modality, description, date."""
    if isinstance(picture, (DicomFrameError, np.ndarray)):
        return ""
    what = (
        picture.get("SeriesDescription") or picture.get("StudyDescription") or picture.get("BodyPartExamined")
    )
    when = str(picture.get("StudyDate") or "")
    count = frame_count(picture)
    parts = [str(picture.get("Modality") or ""), str(what or ""), f"{count} frames" if count > 1 else ""]
    date = f"{when[:4]}-{when[4:6]}-{when[6:8]}" if len(when) == 8 else when
    return "\n".join(line for line in (" ".join(part for part in parts if part), date) if line)


def _write(figure: Figure, axes: Any, caption: str) -> None:
    """Write at most two lines below a picture."""
    lines = [line if len(line) <= 34 else f"{line[:33]}…" for line in caption.splitlines()[:2]]
    box = axes.get_position()
    figure.text(
        (box.x0 + box.x1) / 2,
        box.y0 - 0.03 / figure.get_size_inches()[1],
        plain("\n".join(lines)),
        color="0.8",
        fontsize=8,
        family=families(),
        ha="center",
        va="top",
        linespacing=1.15,
    )


def _explain(axes: Any, reason: str) -> None:
    text = textwrap.fill(reason, 36, max_lines=9, placeholder=" …")
    axes.text(
        0.5,
        0.5,
        plain(text),
        transform=axes.transAxes,
        color="#e0a030",
        fontsize=7.5,
        ha="center",
        va="center",
    )


def _say(figure: Figure, text: str, height: float) -> None:
    figure.text(0.5, height, plain(text), color="0.7", fontsize=8, ha="center", va="center")
