"""Waveforms on paper: electrocardiograms at 25 mm/s and 10 mm/mV, anything else a strip a channel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dicomframe.errors import QueryError
from dicomframe.images.figure import families
from dicomframe.images.plots.page import INKS, number_of, page, words, write_labels, write_notes

if TYPE_CHECKING:
    from dicomframe.images.waveforms import Waveform

_MM: Final = 1 / 25.4
_MM_A_SECOND: Final = 25.0
_MM_A_MILLIVOLT: Final = 10.0
#: UCUM code of a voltage -> millivolts.
_MILLIVOLTS: Final = {"nV": 1e-6, "uV": 1e-3, "mV": 1.0, "V": 1e3}
_LEAD: Final = re.compile(r"^(?:lead\s+)?(aV[RLF]|V[1-9]R?|I{1,3}|[XYZ])\b", re.IGNORECASE)
#: Millimetres before the traces (the calibration pulse), above and below them, between rows at least and at most.
_BEFORE, _AROUND, _LEAST, _LARGEST = 14.0, 8.0, 20.0, 40.0
_MOST_STRIPS: Final = 16
#: Seconds; what is longer is split between columns.
_SHORT: Final = 2.5
#: A minute is a page of one and a half metres.
_MOST_SECONDS: Final = 60


def draw_waveform(wave: Waveform, start: float = 0.0, seconds: float = 10.0) -> Figure:
    """Draw a stretch of it; `dicomframe.accessor.plots.PlotMethods.plot_waveforms` documents it."""
    if not 0 <= start < np.inf or not 0 < seconds <= _MOST_SECONDS:
        raise QueryError(f"start= is in seconds from 0 on, and seconds= above 0 and at most {_MOST_SECONDS}.")
    first = round(start * wave.frequency)
    samples = wave.samples[first : first + round(seconds * wave.frequency)]
    if len(samples) == 0:
        raise QueryError(f"The waveform is {wave.duration:.3g} s long; nothing of it is after {start:g} s.")
    left = wave.duration - start - len(samples) / wave.frequency
    notes = [f"{start:g} s to {start + len(samples) / wave.frequency:g} s of {wave.duration:g} s are drawn."]
    is_electrocardiogram = all(unit in _MILLIVOLTS for unit in wave.units) and all(
        map(_LEAD.match, wave.channels)
    )
    notes = notes if left > 0.5 / wave.frequency or start > 0 else []
    return (_paper if is_electrocardiogram else _strips)(wave, samples, start, notes)


def lead(name: str) -> str:
    """Give the short name of a lead, other names as they are.

    Examples
    --------
    >>> lead("Lead aVR, augmented voltage, right"), lead("Lead I (Einthoven)"), lead("Pressure")
    ('aVR', 'I', 'Pressure')
    """
    found = _LEAD.match(name)
    return found[1] if found else name


def _paper(wave: Waveform, samples: NDArray[np.float64], start: float, notes: list[str]) -> Figure:
    """Draw leads one below the other, twelve in two columns, in millimetres of true size."""
    count = samples.shape[1]
    columns = 2 if count == 12 else 1
    rows = -(-count // columns)
    # What is long is split between the columns; what is short is whole in each.
    is_split = columns > 1 and len(samples) / wave.frequency > _SHORT
    part = -(-len(samples) // columns) if is_split else len(samples)
    apart = part / wave.frequency * _MM_A_SECOND + (0 if is_split else 10)
    millivolts = samples * np.array([_MILLIVOLTS[unit] for unit in wave.units])
    pitch = _pitch(millivolts)
    width, height = _BEFORE + columns * apart + 4, rows * pitch + 2 * _AROUND
    # A short stretch still needs room for its texts.
    width = max(width, 110.0)
    side, below = 6.0, 16.0
    figure = page((width + 2 * side) * _MM, (height + side + below) * _MM)
    figure.set_layout_engine("none")
    whole = width + 2 * side, height + side + below
    axes = figure.add_axes((side / whole[0], below / whole[1], width / whole[0], height / whole[1]))
    axes.set_xlim(0, width)
    axes.set_ylim(-height, 0)
    _rule(axes, width, height)
    for number in range(count):
        column, row = divmod(number, rows)
        first = column * part if is_split else 0
        values = millivolts[first : first + part, number]
        left = _BEFORE + column * apart
        skew = wave.skew[number] if wave.skew else 0.0
        times = left + (np.arange(len(values)) / wave.frequency + skew) * _MM_A_SECOND
        level = -_AROUND - (row + 0.5) * pitch
        axes.plot(times, level + values * _MM_A_MILLIVOLT, color="black", linewidth=0.7)
        axes.text(
            left + 0.8,
            level + 0.42 * pitch,
            words(lead(wave.channels[number]), 24),
            fontsize=9,
            weight="bold",
            va="top",
            family=families(),
            zorder=1.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )
        if column and is_split:
            axes.plot([left, left], [level - 5, level + 5], color="black", linewidth=0.7)
    for row in range(rows):
        level = -_AROUND - (row + 0.5) * pitch
        pulse = np.array([[2, 0], [4, 0], [4, 10], [9, 10], [9, 0], [11, 0]])
        axes.plot(pulse[:, 0], level + pulse[:, 1], color="black", linewidth=0.9)
    ticks: dict[float, str] = {}
    for column in range(columns):
        begins = start + (column * part / wave.frequency if is_split else 0.0)
        for second in range(int(part / wave.frequency + 1e-9) + 1):
            ticks[_BEFORE + column * apart + second * _MM_A_SECOND] = f"{begins + second:g}"
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_yticks([])
    axes.tick_params(labelsize=8, length=2)
    axes.set_xlabel("time, s      25 mm/s   10 mm/mV   (the step at the left: 1 mV, 0.2 s)", fontsize=9)
    if notes:
        figure.text(side / whole[0], 1.5 / whole[1], words(" ".join(notes), 200), fontsize=8, color="0.25")
    return figure


def _pitch(millivolts: NDArray[np.float64]) -> float:
    """Give the millimetres from row to row: enough for most of each trace, so that baselines are on thick lines."""
    finite = np.abs(millivolts[np.isfinite(millivolts)])
    reach = 2 * float(np.percentile(finite, 99.5)) * _MM_A_MILLIVOLT if finite.size else 0.0
    return float(np.clip(10 * np.ceil(reach / 10), _LEAST, _LARGEST))


def _rule(axes: Any, width: float, height: float) -> None:
    """Rule the paper: a thin line each millimetre, a thicker one each five."""
    for step, ink, weight in ((1, "#F7D9D0", 0.35), (5, "#E8A898", 0.6)):
        # From the traces' beginning, so that thick lines are 0.2 s apart there.
        across = np.arange(_BEFORE % step, width + 0.01, step)
        along = -np.arange(_AROUND % step, height + 0.01, step)
        axes.vlines(across, -height, 0, color=ink, linewidth=weight, zorder=0)
        axes.hlines(along, 0, width, color=ink, linewidth=weight, zorder=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _strips(wave: Waveform, samples: NDArray[np.float64], start: float, notes: list[str]) -> Figure:
    """Draw a strip a channel, each with its own axis and unit."""
    count = min(samples.shape[1], _MOST_STRIPS)
    if samples.shape[1] > count:
        notes = [*notes, f"{number_of(samples.shape[1] - count, 'further channel')} are not drawn."]
    figure = page(9.0, 0.7 + 0.95 * count)
    rows = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    times = wave.start + start + np.arange(len(samples)) / wave.frequency
    for number, axes in enumerate(rows):
        axes.plot(
            times + (wave.skew[number] if wave.skew else 0.0),
            samples[:, number],
            color=INKS[0],
            linewidth=0.8,
        )
        axes.grid(color="0.9")
        write_labels(axes, y=wave.units[number] or "stored value")
        axes.set_title(words(wave.channels[number], 60), loc="left", fontsize=9, family=families())
    write_labels(rows[-1], x="time, s", y=wave.units[count - 1] or "stored value")
    write_notes(figure, notes)
    return figure
