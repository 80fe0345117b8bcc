"""Three planes through a volume on one page: axes in mm, orientation letters, and what lies over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from dicomframe.errors import QueryError
from dicomframe.images.figure import ShownFigure, families, plain
from dicomframe.images.inks import (
    DOSE_COLOURS,
    STYLES,
    cased,
    dose_colour,
    line_of_level,
    mask_colour,
)
from dicomframe.images.layers import Overlay, Overlays, check_grid, largest_dose
from dicomframe.images.views import View, views
from dicomframe.images.windowing import Window, WindowLike, apply_window, as_window, window_of_values

if TYPE_CHECKING:
    from dicomframe.images.volume import Volume

#: Inches of the longer of the page's two picture sides, and of the margins around and between.
_SIDE = 6.6
_LEFT, _RIGHT, _TOP, _BOTTOM, _ACROSS, _DOWN = 0.62, 0.15, 0.34, 0.78, 0.72, 0.78
#: The least width of the place for the legend.
_LEGEND = 2.5

#: Isodoses drawn where none are asked for, in percent of the largest dose in the volume.
ISODOSES = (20.0, 50.0, 80.0, 95.0)
_SHADE, _WASH = 0.3, 0.4
_MOST_LABELS, _LONGEST = 14, 30
_INK = "#222222"


def planes(
    volume: Volume,
    *,
    at: Sequence[float] | None = None,
    window: WindowLike | None = None,
    overlays: Sequence[Overlay] = (),
    isodoses: Sequence[float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the axial, coronal and sagittal plane through a point.

    Parameters
    ----------
    volume : Volume
    at : three floats, optional
        x, y, z in mm of the patient, where the planes cross. By default the middle of the smallest mask, else the place
        of the largest dose, else the middle of the volume.
    window : Window, (center, width) or str, optional
        In the modality's unit, or the name of a preset; by default the volume's own.
    overlays : sequence of Overlay, optional
        In the volume's grid: masks are shaded and outlined, a dose is a wash with isodoses.
    isodoses : sequence of float, optional
        In the dose's unit; by default 20, 50, 80 and 95 percent of its largest value in the volume.
    title : str, optional
        Above the planes; never a patient's name unless you write it.

    Returns
    -------
    matplotlib.figure.Figure
        Axes in mm of the patient, all three on one scale (with a prime, ``x'``, where the volume is oblique and these
        are mm along its own axes); letters for right, left, anterior, posterior, head and feet; a bar of the window.

    Raises
    ------
    QueryError
        If the place lies outside the volume, the window is impossible, isodoses are no positive numbers or there is no
        dose, or an overlay is not in the volume's grid.

    Examples
    --------
    >>> import pandas as pd
    >>> from dicomframe.images.volume import Volume
    >>> affine = np.array([[0, 0, 1.0, 0], [0, 1.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    >>> volume = Volume(np.zeros((8, 32, 32), np.int16), affine, pd.DataFrame(), pd.DataFrame(), "HU", "CT")
    >>> [axes.get_title(loc="left") for axes in planes(volume).axes[:3]]
    ['Axial, z = 12.0 mm', 'Coronal, y = 16.0 mm', 'Sagittal, x = 16.0 mm']
    """
    check_grid(overlays, volume.array.shape[:3], volume.affine, volume.frame_of_reference_uid)
    masks = [overlay for overlay in overlays if overlay.kind == "mask"]
    doses = [overlay for overlay in overlays if overlay.kind == "dose"]
    levels = _levels(doses, isodoses)
    seen = views(volume, at if at is not None else _place_of_interest(volume, overlays))
    chosen = as_window(window) or volume.window or window_of_values(volume.array[::2, ::4, ::4])
    page = _Page(seen)
    for view, place in zip(seen, page.places, strict=True):
        axes = page.figure.add_axes(place)
        _draw(axes, view, volume, chosen)
        if levels:
            _draw_dose(axes, view, doses[0], levels)
        for number, mask in enumerate(masks):
            _draw_mask(axes, view, mask, STYLES[number % len(STYLES)], shaded=not levels)
        _label(axes, view)
    _add_key(page, volume, chosen, masks, doses, levels, seen)
    if title:
        page.write(0.5, 1 - 0.17 / page.height, title, ha="center", size=10)
    remarks = _remarks(volume, overlays, doses)
    if remarks:
        page.write(_LEFT / page.width, 0.14 / page.height, remarks, ha="left", size=7.5)
    return page.figure


class _Page:
    """A white page: the axial plane above the coronal one, the sagittal one beside that, the key beside the axial."""

    def __init__(self, seen: Sequence[View]) -> None:
        x, y, z = (abs(seen[0].extent[1] - seen[0].extent[0]), abs(seen[0].extent[3] - seen[0].extent[2]),
                   abs(seen[1].extent[3] - seen[1].extent[2]))  # fmt: skip
        scale = _SIDE / max(x + y, y + z)
        x, y, z = (max(each * scale, 0.25) for each in (x, y, z))
        self.width = _LEFT + x + _ACROSS + max(y, _LEGEND) + _RIGHT
        self.height = _BOTTOM + z + _DOWN + y + _TOP + 0.22
        self.figure = ShownFigure(figsize=(self.width, self.height), dpi=110, facecolor="white")
        FigureCanvasAgg(self.figure)
        right, upper = _LEFT + x + _ACROSS, _BOTTOM + z + _DOWN
        boxes = ((_LEFT, upper, x, y), (_LEFT, _BOTTOM, x, z), (right, _BOTTOM, y, z))
        self.places = [self._share(*box) for box in boxes]
        self.key = (right, upper, max(y, _LEGEND), y)

    def _share(
        self, left: float, bottom: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """Turn inches into shares of the page."""
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def add_axes(self, left: float, bottom: float, width: float, height: float) -> Any:
        return self.figure.add_axes(self._share(left, bottom, width, height))

    def write(self, x: float, y: float, text: str, *, ha: str, size: float) -> None:
        self.figure.text(x, y, plain(text), ha=ha, va="center", fontsize=size, color=_INK, family=families())


def _draw(axes: Any, view: View, volume: Volume, window: Window) -> None:
    grey = apply_window(view.of(volume.array), window.center, window.width, function=window.function)
    axes.imshow(
        255 - grey if volume.inverted else grey,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=view.extent,
        aspect="equal",
        interpolation="bilinear",
    )
    # What is drawn later must not move the edges.
    axes.set_autoscale_on(False)


def _draw_mask(axes: Any, view: View, mask: Overlay, style: Any, *, shaded: bool) -> None:
    """Outline a mask; a dose under it is not to be shaded over."""
    shown = view.of(mask.array)
    if not shown.any():
        return
    colour = mask_colour(mask)
    if shaded:
        shade = np.zeros((*shown.shape, 4))
        shade[shown] = (*colour, _SHADE)
        axes.imshow(shade, extent=view.extent, aspect="equal", interpolation="nearest")
    # A margin of one pixel, so that outlines close at the edge of the picture too.
    outline = axes.contour(
        *_middles(view, shown.shape, margin=1),
        np.pad(shown, 1).astype(float),
        levels=[0.5],
        colors=[colour],
        linewidths=1.4,
        linestyles=[style],
    )
    outline.set(path_effects=cased(1.4, colour))


def _draw_dose(axes: Any, view: View, dose: Overlay, levels: Sequence[float]) -> None:
    shown = np.ma.masked_invalid(view.of(dose.array).astype(float))
    largest = largest_dose(dose)
    axes.imshow(
        np.ma.masked_less(shown, levels[0]),
        cmap=DOSE_COLOURS,
        vmin=0,
        vmax=largest,
        alpha=_WASH,
        extent=view.extent,
        aspect="equal",
        interpolation="nearest",
    )
    if shown.count() == 0 or min(shown.shape) < 2:
        return
    for number in (number for number, level in enumerate(levels) if shown.min() < level < shown.max()):
        colour = dose_colour(levels[number], largest)
        line = axes.contour(
            *_middles(view, shown.shape),
            shown,
            levels=[levels[number]],
            colors=[colour],
            linewidths=1.1,
            linestyles=[line_of_level(number, levels)],
        )
        line.set(path_effects=cased(1.1, colour))


def _label(axes: Any, view: View) -> None:
    left, right, bottom, top = view.letters
    across, down = view.cross
    axes.axvline(across, color="white", linewidth=0.6, alpha=0.7, dashes=(6, 4))
    axes.axhline(down, color="white", linewidth=0.6, alpha=0.7, dashes=(6, 4))
    for x, y, letters in ((0.02, 0.5, left), (0.98, 0.5, right), (0.5, 0.02, bottom), (0.5, 0.98, top)):
        axes.text(
            x,
            y,
            letters,
            transform=axes.transAxes,
            color="white",
            fontsize=9,
            fontweight="bold",
            ha={0.02: "left", 0.98: "right"}.get(x, "center"),
            va={0.02: "bottom", 0.98: "top"}.get(y, "center"),
            path_effects=[Stroke(linewidth=2, foreground="black"), Normal()],
        )
    through, vertical, horizontal = view.axis_names
    axes.set_title(
        f"{view.name.capitalize()}, {through} = {view.position:.1f} mm", loc="left", fontsize=9, color=_INK
    )
    axes.set_xlabel(f"{horizontal} (mm)", fontsize=8, labelpad=2)
    axes.set_ylabel(f"{vertical} (mm)", fontsize=8, labelpad=1)
    axes.tick_params(labelsize=7, length=3, colors=_INK)


def _add_key(
    page: _Page,
    volume: Volume,
    window: Window,
    masks: Sequence[Overlay],
    doses: Sequence[Overlay],
    levels: Sequence[float],
    seen: Sequence[View],
) -> None:
    """Draw the bars of window and dose, and the legend under them."""
    left, bottom, width, height = page.key
    low, high = window.center - window.width / 2, window.center + window.width / 2
    ramp = np.linspace(low, high, 256)[None]
    grey = apply_window(ramp, window.center, window.width, function=window.function)
    top = bottom + height
    bar = page.add_axes(left, top - 0.2, min(width, 3.0), 0.14)
    bar.imshow(255 - grey if volume.inverted else grey, cmap="gray", vmin=0, vmax=255,
               extent=(low, high, 0, 1), aspect="auto")  # fmt: skip
    _finish_bar(bar, f"{volume.modality} ({volume.unit})" if volume.unit else f"{volume.modality} (no unit)")
    top -= 0.72
    if levels:
        largest = largest_dose(doses[0])
        bar = page.add_axes(left, top - 0.2, min(width, 3.0), 0.14)
        bar.imshow(
            np.linspace(0, largest, 256)[None], cmap=DOSE_COLOURS, extent=(0, largest, 0, 1), aspect="auto"
        )
        _finish_bar(bar, f"{_short(doses[0].label)} ({doses[0].unit})")
        top -= 0.72
    entries = [*_isodose_entries(doses, levels), *_mask_entries(masks, seen, shaded=not levels)]
    if entries:
        place = page.add_axes(left - 0.05, bottom, width, max(top - bottom, 0.2))
        place.set_axis_off()
        place.legend(
            handles=entries,
            loc="upper left",
            borderaxespad=0,
            frameon=False,
            handlelength=3.2,
            labelcolor=_INK,
            prop={"size": 8, "family": families()},
        )


def _finish_bar(bar: Any, label: str) -> None:
    bar.set_yticks([])
    bar.set_xlabel(plain(label), fontsize=8, labelpad=2, family=families())
    bar.tick_params(labelsize=7, length=3, colors=_INK)


def _isodose_entries(doses: Sequence[Overlay], levels: Sequence[float]) -> list[Any]:
    if not levels:
        return []
    largest = largest_dose(doses[0])
    # The largest first, as they lie inside one another.
    return [
        Line2D(
            [],
            [],
            color=dose_colour(level, largest),
            linestyle=line_of_level(number, levels),
            linewidth=1.6,
            label=plain(f"{level:.3g} {doses[0].unit} ({100 * level / largest:.0f} %)"),
        )
        for number, level in reversed(list(enumerate(levels)))
    ]


def _mask_entries(masks: Sequence[Overlay], seen: Sequence[View], *, shaded: bool) -> list[Any]:
    entries: list[Any] = []
    for number, mask in enumerate(masks[:_MOST_LABELS]):
        hidden = not any(view.of(mask.array).any() for view in seen)
        label = _short(mask.label) + (" (not in these planes)" if hidden else "")
        entries.append(
            Patch(
                facecolor=(*mask_colour(mask), 0.5 if shaded else 0.0),
                edgecolor=mask_colour(mask),
                linestyle=STYLES[number % len(STYLES)],
                linewidth=1.6,
                label=plain(label),
            )
        )
    if len(masks) > _MOST_LABELS:
        entries.append(Line2D([], [], linestyle="", label=f"and {len(masks) - _MOST_LABELS} more"))
    return entries


def _remarks(volume: Volume, overlays: Sequence[Overlay], doses: Sequence[Overlay]) -> str:
    """Say on the page what of the overlays is not on it, and where its millimetres are not to be relied on."""
    parts = [] if volume.is_regular else ["The slices are not evenly spaced: mm across them are approximate."]
    parts += [f"Only the first of {len(doses)} doses is drawn."] if len(doses) > 1 else []
    problems = len(overlays.problems) if isinstance(overlays, Overlays) else 0
    if problems:
        count = "1 part" if problems == 1 else f"{problems} parts"
        parts.append(f"{count} of the overlays could not be used; overlays.problems tells why.")
    return " ".join(parts)


def _levels(doses: Sequence[Overlay], isodoses: Sequence[float] | None) -> list[float]:
    """Give the isodoses in the dose's unit, rising; none where there is no dose."""
    largest = largest_dose(doses[0]) if doses else 0.0
    if isodoses is None:
        return [percent / 100 * largest for percent in ISODOSES] if largest > 0 else []
    if not doses:
        raise QueryError("Isodoses were asked for, but none of the overlays is a dose.")
    levels = sorted({float(level) for level in isodoses})
    if not levels or not all(math.isfinite(level) and level > 0 for level in levels):
        raise QueryError(f"Isodoses are positive numbers in {doses[0].unit[:16]}, such as [20, 40, 57].")
    return levels if largest > 0 else []


def _place_of_interest(volume: Volume, overlays: Sequence[Overlay]) -> Sequence[float] | None:
    """Give the middle of the smallest mask with anything in it, else where the dose is largest."""
    masks = [overlay.array for overlay in overlays if overlay.kind == "mask" and overlay.array.any()]
    doses = [overlay.array for overlay in overlays if overlay.kind == "dose" and largest_dose(overlay) > 0]
    if masks:
        smallest = min(masks, key=np.count_nonzero)
        index = [float(each.mean()) for each in np.nonzero(smallest)]
    elif doses:
        index = [float(each) for each in np.unravel_index(np.nanargmax(doses[0]), doses[0].shape)]
    else:
        return None
    place: list[float] = (volume.affine @ [*index, 1.0])[:3].tolist()
    return place


def _middles(
    view: View, shape: tuple[int, ...], margin: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give where the middles of a view's pixels lie, across and down, in mm."""
    left, right, bottom, top = view.extent
    rows, columns = shape
    across = left + (np.arange(-margin, columns + margin) + 0.5) * (right - left) / columns
    down = top + (np.arange(-margin, rows + margin) + 0.5) * (bottom - top) / rows
    return across, down


def _short(text: str) -> str:
    # Some versions of matplotlib leave out of a legend what begins with an underscore.
    text = f" {text}" if text.startswith("_") else text
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
