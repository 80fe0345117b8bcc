"""The controls of a cohort browser's facets: a list, a range, a field for words. Each shows its counts.

Hostile texts stand in the lines of lists and in escaped HTML only: labels would be set as mathematics by JupyterLab.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from dicomframe.errors import printable
from dicomframe.widgets.facets import MISSING, Choices, Facet, Mask, Span, Words, as_range, as_values
from dicomframe.widgets.gallery import escaped
from dicomframe.widgets.later import Later

_MOST_LINES = 8
#: Seconds without a key before words are looked for.
_PAUSE = 0.3
_WIDE = {"width": "240px"}


class ValuesControl:
    """A list of values with their counts; several may be chosen."""

    def __init__(self, facet: Facet, table: pd.DataFrame, changed: Callable[..., None]) -> None:
        self.choices = Choices(facet, table)
        self._select = widgets.SelectMultiple(
            rows=min(max(len(self.choices.values), 2), _MOST_LINES),
            layout=_WIDE,
            tooltip=f"{facet.label}: choose one or, with Ctrl or Shift, several",
        )
        self._select.observe(changed, "value")
        unlisted = self.choices.unlisted
        more = f"<span>and {unlisted:,} rarer values: browser.choose({facet.name}=…)</span>"
        self.box = widgets.VBox(
            [_heading(facet.label), self._select, *([widgets.HTML(more)] * bool(unlisted))]
        )
        self._label = facet.label

    @property
    def is_open(self) -> bool:
        """Whether all rows pass."""
        return not self._select.value

    @property
    def said(self) -> str:
        """The choice in words."""
        return f"{self._label}: {' or '.join(self._select.value)}"

    def mask(self) -> Mask:
        """Tell which rows pass."""
        return self.choices.mask(self._select.value)

    def recount(self, among: Mask) -> None:
        """Show counts among the rows that all other facets let pass."""
        chosen = self._select.value
        counts = self.choices.counts(among, chosen)
        self._select.options = [(f"{_line(value)} ({count})", value) for value, count in counts.items()]
        self._select.value = chosen

    def check(self, wanted: Any) -> tuple[str, ...]:
        """Check a choice that a caller gave."""
        return as_values(self.choices.facet.name, wanted, self.choices.values)

    def set(self, chosen: tuple[str, ...], *, missing: bool) -> None:  # noqa: ARG002 - it is a value among others
        """Choose, from Python."""
        offered = {value for _, value in self._select.options}
        self._select.options = [
            *self._select.options,
            *((value, value) for value in chosen if value not in offered),
        ]
        self._select.value = chosen


class RangeControl:
    """Two fields, and whether rows without a value pass."""

    def __init__(self, facet: Facet, table: pd.DataFrame, changed: Callable[..., None]) -> None:
        self.span = Span(facet, table)
        self._facet = facet
        is_age = facet.name == "ages"
        field = widgets.Text if is_age else widgets.DatePicker
        more: dict[str, Any] = {"continuous_update": False} if is_age else {}
        self._from, self._to = (
            field(
                description=word,
                tooltip=f"{facet.label} {word}",
                layout=widgets.Layout(width="224px"),
                style={"description_width": "40px"},
                **more,
            )
            for word in ("from", "to")
        )
        if is_age and self.span.lowest is not None:
            self._from.placeholder, self._to.placeholder = (
                f"{self.span.lowest:.3g}",
                f"{self.span.highest:.3g}",
            )
        self._missing = widgets.Checkbox(
            value=True,
            indent=False,
            layout=_WIDE,
            tooltip=f"{facet.label}: whether rows without a value pass",
        )
        self._count = widgets.HTML()
        boxes = [_heading(facet.label), self._from, self._to]
        if self.span.missing_count:
            boxes.append(self._missing)
        self.box = widgets.VBox([*boxes, self._count])
        for each in (self._from, self._to, self._missing):
            each.observe(changed, "value")

    @property
    def is_open(self) -> bool:
        """Whether all rows pass."""
        passes_missing = self._missing.value or not self.span.missing_count
        return self._values() == (None, None) and passes_missing

    @property
    def said(self) -> str:
        """The choice in words."""
        lowest, highest = ("…" if each is None else _bound(each) for each in self._values())
        between = "any" if (lowest, highest) == ("…", "…") else f"{lowest} to {highest}"
        has_missing = self.span.missing_count and self._missing.value
        return f"{self._facet.label}: {between}" + (" or missing" if has_missing else "")

    def mask(self) -> Mask:
        """Tell which rows pass."""
        return self.span.mask(*self._values(), missing=self._missing.value)

    def recount(self, among: Mask) -> None:
        """Show counts among the rows that all other facets let pass."""
        count = int((among & self.mask()).sum())
        self._missing.description = f"and rows without one ({int((among & self.span.missing).sum()):,})"
        texts = (
            [str(each.value).strip() for each in (self._from, self._to)] if self._facet.name == "ages" else []
        )
        wrong = [escaped(text[:20]) for text in texts if text and _number(text) is None]
        note = f"{wrong[0]} is no number, and no bound" if wrong else f"{count:,} rows"
        self._count.value = "" if self.is_open and not wrong else f'<span role="status">{note}</span>'

    def check(self, wanted: Any) -> tuple[Any, Any]:
        """Check a choice that a caller gave."""
        return as_range(self._facet.name, wanted)

    def set(self, wanted: tuple[Any, Any], *, missing: bool) -> None:
        """Choose, from Python."""
        lowest, highest = wanted
        if self._facet.name == "ages":
            lowest, highest = ("" if each is None else f"{each:g}" for each in (lowest, highest))
        self._from.value, self._to.value, self._missing.value = lowest, highest, missing

    def _values(self) -> tuple[Any, Any]:
        if self._facet.name != "ages":
            return self._from.value, self._to.value
        return tuple(_number(each.value) for each in (self._from, self._to))  # type: ignore[return-value]


class WordsControl:
    """A field for words."""

    def __init__(self, facet: Facet, table: pd.DataFrame, changed: Callable[..., None]) -> None:
        self._words = Words(facet, table)
        self._wanted = ""
        self._tell = changed
        self._later = Later(self._typed, _PAUSE)
        self._field = widgets.Text(
            placeholder="words, in any order",
            tooltip=f"{facet.label}: words that must all be found",
            layout=_WIDE,
        )
        self._field.observe(lambda _: self._later(), "value")
        self._label = facet.label
        self.box = widgets.VBox([_heading(facet.label), self._field])

    @property
    def is_open(self) -> bool:
        """Whether all rows pass."""
        return not self._wanted.strip()

    @property
    def said(self) -> str:
        """The choice in words."""
        return f"{self._label}: {' '.join(self._wanted.split())}"

    def mask(self) -> Mask:
        """Tell which rows pass."""
        return self._words.mask(self._wanted)

    def _typed(self) -> None:
        if self._field.value != self._wanted:
            self._wanted = self._field.value
            self._tell()

    def recount(self, among: Mask) -> None:
        """Show nothing: the field has no values to count."""

    def check(self, wanted: Any) -> str:
        """Check a choice that a caller gave."""
        return str(wanted or "")

    def set(self, words: str, *, missing: bool) -> None:  # noqa: ARG002 - of ranges only
        """Choose, from Python."""
        self._wanted = self._field.value = words
        self._later.forget()


def _heading(label: str) -> widgets.HTML:
    return widgets.HTML(f"<b>{escaped(label)}</b>")


def _line(value: str) -> str:
    return printable(value if len(value) <= 40 else f"{value[:39]}…") if value != MISSING else MISSING


def _bound(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _number(text: str) -> float | None:
    """Read an age; what is no number is no bound."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


#: What shows a facet of each kind.
CONTROLS: dict[str, Callable[..., Any]] = {
    "values": ValuesControl,
    "range": RangeControl,
    "words": WordsControl,
}
