"""A browser over a table: facets whose counts follow each other, the rows that pass, and how they became fewer.

The table stays the user's: what is chosen comes back as a part of it, `selected`, which still knows its service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from dicomframe.errors import DicomFrameError, printable
from dicomframe.widgets.facets import (
    FACETS,
    MISSING,
    Choices,
    Facet,
    Mask,
    Span,
    Words,
    as_range,
    as_values,
)
from dicomframe.widgets.gallery import AS_IT_IS, escaped, html_table, picture_html, shown_columns
from dicomframe.widgets.later import Later

#: Gives the thumbnails of some rows, as ``df.dicom.thumbnails()`` does.
Thumbnails = Callable[[pd.DataFrame], pd.DataFrame]

ROWS_ON_A_PAGE = 8
_MOST_LINES = 8
#: Seconds without a key before words are looked for.
_PAUSE = 0.3
_WIDE = widgets.Layout(width="240px")


class CohortBrowser(widgets.VBox):  # type: ignore[misc]
    """Facets over a table, in a notebook.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows; they are not copied and not changed.
    thumbnails : callable, optional
        Gives the thumbnails of some rows; without it none are shown.
    columns : sequence of str, optional
        What the list of rows shows.

    Attributes
    ----------
    count : int
        How many rows are selected; ``browser.observe(work, "count")`` is told of each change.
    """

    count = traitlets.Int(read_only=True)

    def __init__(
        self, table: pd.DataFrame, thumbnails: Thumbnails | None = None, columns: Sequence[str] | None = None
    ) -> None:
        self._table = table
        self._thumbnails = thumbnails
        self._columns = shown_columns(table) if columns is None else list(columns)
        self._page = 0
        self._asked = 0
        self._drawing: threading.Thread | None = None
        self._is_busy = False
        self._controls = {
            facet.name: _KINDS[facet.kind](facet, table, self._changed)
            for facet in FACETS
            if facet.columns_in(table)
        }
        self._selected: Mask = np.ones(len(table), bool)
        self._masks: dict[str, Mask] = {}
        self._attrition = widgets.HTML()
        self._status = widgets.HTML()
        self._list = widgets.HTML()
        self._earlier = widgets.Button(description="Earlier rows", icon="chevron-left")
        self._later = widgets.Button(description="Later rows", icon="chevron-right")
        self._reset = widgets.Button(description="All rows", tooltip="Take back every choice")
        self._earlier.on_click(lambda _: self._turn(-1))
        self._later.on_click(lambda _: self._turn(+1))
        self._reset.on_click(lambda _: self.choose())
        facets = widgets.VBox([control.box for control in self._controls.values()] + [self._reset])
        facets.layout.min_width = "260px"
        pages = widgets.HBox([self._earlier, self._later, self._status])
        rows = widgets.VBox(
            [self._attrition, pages, self._list], layout=widgets.Layout(flex="1 1 420px", min_width="0")
        )
        super().__init__(
            [widgets.HBox([facets, rows], layout=widgets.Layout(flex_flow="row wrap")), self._lacking()]
        )
        self._changed()

    @property
    def selected(self) -> pd.DataFrame:
        """The rows that pass every choice: a part of the table, with its index, dtypes and service."""
        return self._table[self._selected]

    @property
    def attrition(self) -> pd.DataFrame:
        """How the rows became fewer: one row a choice, in order, with the rows that are left and those it took.

        Columns: ``step``, ``rows``, ``excluded``.
        """
        steps = [("all", "all rows", len(self._table))]
        left: Mask = np.ones(len(self._table), bool)
        for name, control in self._controls.items():
            if not control.is_open:
                left = left & self._masks[name]
                steps.append((name, control.said, int(left.sum())))
        table = pd.DataFrame(steps, columns=["facet", "step", "rows"])
        table["excluded"] = (-table["rows"].diff()).fillna(0).astype("int64")
        return table[["step", "rows", "excluded"]]

    def counts(self, facet: str) -> dict[str, int]:
        """Count the rows of each value of a facet among those that pass the other facets.

        Raises
        ------
        QueryError
            If the table has no such facet, or it is none of values.
        """
        control = self._controls.get(facet)
        if not isinstance(control, _ValuesControl):
            known = ", ".join(
                name for name, each in self._controls.items() if isinstance(each, _ValuesControl)
            )
            raise _no_facet(facet, known)
        return control.choices.counts(self._others(facet))

    def choose(
        self,
        *,
        modality: str | Sequence[str] | None = None,
        dates: tuple[Any, Any] | None = None,
        sex: str | Sequence[str] | None = None,
        ages: tuple[float | None, float | None] | None = None,
        scanner: str | Sequence[str] | None = None,
        description: str = "",
        missing: bool = True,
    ) -> None:
        """Set every facet, as a person would; what is not named is open.

        Parameters
        ----------
        modality, sex, scanner : str or sequence of str, optional
            Values, any of which a row may have; ``"(missing)"`` for rows without one.
        dates : (date or str, date or str), optional
            First and last day, None for an open end.
        ages : (float, float), optional
            Least and greatest age in years, both included.
        description : str
            Words that must all be found.
        missing : bool
            Whether rows without a date or age pass the ranges given here, too; as the box below each range does. A
            range of ``(None, None)`` tells them from all others.

        Raises
        ------
        QueryError
            If the table has no such facet, or no row such a value.
        """
        wanted = {
            "modality": modality,
            "dates": dates,
            "sex": sex,
            "ages": ages,
            "scanner": scanner,
            "description": description or None,
        }
        for name, value in wanted.items():
            if value is not None and name not in self._controls:
                raise _no_facet(name, ", ".join(self._controls))
        checked = {name: control.check(wanted[name]) for name, control in self._controls.items()}
        self._is_busy = True
        try:
            for name, control in self._controls.items():
                control.set(checked[name], missing=missing or wanted[name] is None)
        finally:
            self._is_busy = False
        self._changed()

    def wait(self) -> None:
        """Wait until the pictures of the page that is shown are there."""
        if self._drawing is not None:
            self._drawing.join()

    def __repr__(self) -> str:
        chosen = [control.said for control in self._controls.values() if not control.is_open]
        said = printable("; ".join(chosen)) or "no choice made"
        return f"<CohortBrowser: {self.count} of {len(self._table)} rows; {said}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = dict(super()._repr_mimebundle_(**kwargs) or {})
        # A page without widgets, such as an exported notebook, shows how the rows became fewer.
        return bundle | {"text/plain": repr(self), "text/html": self._attrition.value}

    def _changed(self, *_: Any) -> None:
        if self._is_busy:
            return
        self._masks = {name: control.mask() for name, control in self._controls.items()}
        self._selected = np.logical_and.reduce([np.ones(len(self._table), bool), *self._masks.values()])
        self._is_busy = True
        try:
            for name, control in self._controls.items():
                control.recount(self._others(name))
        finally:
            self._is_busy = False
        self._attrition.value = _attrition_html(self.attrition)
        self._page = 0
        self._show()
        self.set_trait("count", int(self._selected.sum()))

    def _others(self, name: str) -> Mask:
        """Tell which rows pass every facet but one."""
        others = [mask for facet, mask in self._masks.items() if facet != name]
        return np.logical_and.reduce([np.ones(len(self._table), bool), *others])  # type: ignore[no-any-return]

    def _turn(self, pages: int) -> None:
        self._page += pages
        self._show()

    def _show(self) -> None:
        """Show a page of the selected rows; its pictures come when they are there."""
        places = np.flatnonzero(self._selected)
        first = self._page * ROWS_ON_A_PAGE
        rows = self._table.iloc[places[first : first + ROWS_ON_A_PAGE]]
        self._earlier.disabled = first == 0
        self._later.disabled = first + ROWS_ON_A_PAGE >= len(places)
        said = f"rows {first + 1} to {first + len(rows)} of {len(places)}" if len(rows) else "no row passes"
        self._status.value = f'<span role="status">{said}</span>'
        self._asked += 1
        waiting = ["…" if self._thumbnails else ""] * len(rows)
        self._list.value = html_table(rows, self._columns, waiting, height=720)
        if self._thumbnails and len(rows):
            self._drawing = threading.Thread(
                target=self._draw, args=(rows, self._asked), name="dicomframe-browser", daemon=True
            )
            self._drawing.start()

    def _draw(self, rows: pd.DataFrame, asked: int) -> None:
        """Fetch the pictures of a page, in a thread; only the newest page is shown."""
        assert self._thumbnails is not None  # noqa: S101 - whoever starts the thread looks
        try:
            table = self._thumbnails(rows)
            pictures = [
                picture_html(row["picture"], str(label)[:40])
                if row["status"] != "failed"
                else escaped(str(row["error"])[:120])
                for label, row in zip(
                    rows.index, table[["picture", "status", "error"]].to_dict("records"), strict=True
                )
            ]
        except DicomFrameError as error:
            pictures = [escaped(str(error)[:120])] * len(rows)
        except RuntimeError:
            return  # the interpreter is ending
        if asked == self._asked:
            self._list.value = html_table(rows, self._columns, pictures, height=720)

    def _lacking(self) -> widgets.HTML:
        """Say which facets there could be, and how to get them."""
        lacking = [facet for facet in FACETS if facet.name not in self._controls]
        names = [facet.columns[0] for facet in lacking]
        if not names:
            return widgets.HTML()
        return widgets.HTML(
            f'<p style="opacity:.75">No column for {", ".join(each.label.lower() for each in lacking)}: search with'
            f" <code>fields={escaped(repr(names))}</code> to choose by them, too.</p>"
        )


class _ValuesControl:
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
        return not self._select.value

    @property
    def said(self) -> str:
        return f"{self._label}: {' or '.join(self._select.value)}"

    def mask(self) -> Mask:
        return self.choices.mask(self._select.value)

    def recount(self, among: Mask) -> None:
        chosen = self._select.value
        counts = self.choices.counts(among)
        counts |= {value: 0 for value in chosen if value not in counts}
        self._select.options = [(f"{_line(value)} ({count})", value) for value, count in counts.items()]
        self._select.value = chosen

    def check(self, wanted: Any) -> tuple[str, ...]:
        return as_values(self.choices.facet.name, wanted, self.choices.values)

    def set(self, chosen: tuple[str, ...], *, missing: bool) -> None:  # noqa: ARG002 - it is a value among others
        offered = {value for _, value in self._select.options}
        self._select.options = [
            *self._select.options,
            *((value, value) for value in chosen if value not in offered),
        ]
        self._select.value = chosen


class _RangeControl:
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
        passes_missing = self._missing.value or not self.span.missing_count
        return self._values() == (None, None) and passes_missing

    @property
    def said(self) -> str:
        lowest, highest = ("…" if each is None else _bound(each) for each in self._values())
        between = "any" if (lowest, highest) == ("…", "…") else f"{lowest} to {highest}"
        has_missing = self.span.missing_count and self._missing.value
        return f"{self._facet.label}: {between}" + (" or missing" if has_missing else "")

    def mask(self) -> Mask:
        return self.span.mask(*self._values(), missing=self._missing.value)

    def recount(self, among: Mask) -> None:
        count = int((among & self.mask()).sum())
        self._missing.description = f"and rows without one ({int((among & self.span.missing).sum()):,})"
        self._count.value = "" if self.is_open else f"<span>{count} rows</span>"

    def check(self, wanted: Any) -> tuple[Any, Any]:
        return as_range(self._facet.name, wanted)

    def set(self, wanted: tuple[Any, Any], *, missing: bool) -> None:
        lowest, highest = wanted
        if self._facet.name == "ages":
            lowest, highest = ("" if each is None else f"{each:g}" for each in (lowest, highest))
        self._from.value, self._to.value, self._missing.value = lowest, highest, missing

    def _values(self) -> tuple[Any, Any]:
        if self._facet.name != "ages":
            return self._from.value, self._to.value
        return tuple(_number(each.value) for each in (self._from, self._to))  # type: ignore[return-value]


class _WordsControl:
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
        return not self._wanted.strip()

    @property
    def said(self) -> str:
        return f"{self._label}: {' '.join(self._wanted.split())}"

    def mask(self) -> Mask:
        return self._words.mask(self._wanted)

    def _typed(self) -> None:
        if self._field.value != self._wanted:
            self._wanted = self._field.value
            self._tell()

    def recount(self, among: Mask) -> None:
        """Show nothing: the field has no values to count."""

    def check(self, wanted: Any) -> str:
        return str(wanted or "")

    def set(self, words: str, *, missing: bool) -> None:  # noqa: ARG002 - of ranges only
        self._wanted = self._field.value = words
        self._later.forget()


_KINDS: dict[str, Callable[..., Any]] = {
    "values": _ValuesControl,
    "range": _RangeControl,
    "words": _WordsControl,
}


def _heading(label: str) -> widgets.HTML:
    return widgets.HTML(f"<b>{escaped(label)}</b>")


def _line(value: str) -> str:
    return printable(value if len(value) <= 40 else f"{value[:39]}…") if value != MISSING else MISSING


def _bound(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _number(text: str) -> float | None:
    """Read an age; what is no number is no bound."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _no_facet(name: str, known: str) -> DicomFrameError:
    from dicomframe.errors import QueryError

    return QueryError(f"This table has no facet {name[:64]!r}; there are {known or 'none'}.")


def _attrition_html(table: pd.DataFrame) -> str:
    """Write how the rows became fewer, with a bar for each step."""
    most = max(int(table["rows"].iloc[0]), 1)
    rows = "".join(
        f'<tr><th scope="row" style="padding:1px 10px 1px 0;font-weight:normal;text-align:left">'
        f"<bdi>{escaped(step[:120])}</bdi></th>"
        f'<td style="padding:1px 10px 1px 0;text-align:right">{rows}</td>'
        f'<td style="width:160px"><div style="height:8px;width:{100 * rows / most:.0f}%;background:#0072b2"></div></td>'
        f'<td style="padding:1px 0 1px 10px;opacity:.75">{f"{excluded} left out" if excluded else ""}</td></tr>'
        for step, rows, excluded in table.itertuples(index=False)
    )
    style = "margin-bottom:6px;line-height:1.5"
    return f'<table class="{AS_IT_IS}" aria-label="How the rows became fewer" style="{style}">{rows}</table>'
