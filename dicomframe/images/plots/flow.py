"""The flow of a cohort, as publications show it: a box a step, and how many went between them, with the reasons."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from dicomframe.images.figure import families
from dicomframe.images.plots.page import number_of, page, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS: Final = {
    "patients": ("patient", "patients"),
    "studies": ("study", "studies"),
    "series": ("series", "series"),
    "instances": ("instance", "instances"),
}
_ROW: Final = {
    "study": ("study", "studies"),
    "series": ("series", "series"),
    "instance": ("instance", "instances"),
}
_MOST_REASONS: Final = 4
#: Inches: a line of text, the space in a box around its lines, and the arrow between two boxes.
_LINE, _PADDING, _ARROW = 0.2, 0.14, 0.42
_WIDTH, _BOX, _SIDE = 7.6, 3.6, 3.3
_CHARACTERS, _SIDE_CHARACTERS = 44, 40


def draw_flow(flow: pd.DataFrame, reasons: Sequence[Mapping[str, int]]) -> Figure:
    """Draw the flow.

    Parameters
    ----------
    flow : pandas.DataFrame
        `dicomframe.cohorts.cohort.Cohort.flow`'s.
    reasons : sequence of mapping
        For each step: reason to number of the rows that went.
    """
    steps: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in flow.to_dict("records")
    ]
    boxes = [_box_lines(step) for step in steps]
    sides = [
        _side_lines(step, before, why)
        for step, before, why in zip(steps, [None, *steps[:-1]], reasons, strict=True)
    ]
    gaps = [0.0] + [max(_ARROW, _height(side) + 0.16 if side else 0.0) for side in sides[1:]]
    height = sum(map(_height, boxes)) + sum(gaps) + 0.2
    figure = page(_WIDTH, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, _WIDTH), ylim=(height, 0))
    axes.axis("off")
    top = 0.1
    for at, (lines, side, gap) in enumerate(zip(boxes, sides, gaps, strict=True)):
        if at:
            _draw_arrow(axes, (0.15 + _BOX / 2, top), (0.15 + _BOX / 2, top + gap))
        if side:
            middle = top + gap / 2
            _draw_arrow(axes, (0.15 + _BOX / 2, middle), (_WIDTH - _SIDE - 0.1, middle))
            _draw_box(axes, _WIDTH - _SIDE - 0.1, middle - _height(side) / 2, _SIDE, side, "0.97")
        top += gap
        _draw_box(axes, 0.15, top, _BOX, lines, "#E8F1F8")
        top += _height(lines)
    return figure


def _height(lines: Sequence[str]) -> float:
    return _LINE * len(lines) + 2 * _PADDING if lines else 0.0


def _box_lines(step: Mapping[str, Any]) -> list[str]:
    """Name the step and count what is left."""
    counts = [
        number_of(int(step[name]), *unit) for name, unit in _UNITS.items() if not pd.isna(step[name])
    ] or [number_of(step["rows"], *_ROW[step["level"]])]
    lines = [
        *textwrap.wrap(words(step["step"], 120), _CHARACTERS),
        *textwrap.wrap(", ".join(counts), _CHARACTERS),
    ]
    if step["action"] == "search" and step["completeness"] not in {"complete", pd.NA}:
        lines.append(f"(search {step['completeness']}: there may be more)")
    return lines


def _side_lines(
    step: Mapping[str, Any], before: Mapping[str, Any] | None, reasons: Mapping[str, int]
) -> list[str]:
    """Say how many rows went, and why; nothing where none did."""
    if before is None or not step["removed"]:
        return []
    lines = [f"{number_of(step['removed'], *_ROW[before['level']])} removed"]
    shown = sorted(reasons.items(), key=lambda item: -item[1])
    for why, count in shown[:_MOST_REASONS]:
        lines += textwrap.wrap(f"{count:,}: {words(why, 90)}", _SIDE_CHARACTERS, subsequent_indent="   ")
    if len(shown) > _MOST_REASONS:
        lines.append(f"{sum(count for _, count in shown[_MOST_REASONS:]):,}: other reasons")
    return lines


def _draw_box(axes: Axes, left: float, top: float, width: float, lines: Sequence[str], colour: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((left, top), width, _height(lines), facecolor=colour, edgecolor="0.25", linewidth=0.9)
    )
    for at, line in enumerate(lines):
        axes.text(
            left + 0.12,
            top + _PADDING + _LINE * (at + 0.5),
            line,
            va="center",
            fontsize=9,
            fontweight="bold" if at == 0 else "normal",
            family=families(),
        )


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={"arrowstyle": "-|>", "color": "0.25", "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0},
    )
