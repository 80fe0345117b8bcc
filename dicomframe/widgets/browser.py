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

from dicomframe.errors import DicomFrameError, QueryError, printable
from dicomframe.widgets.controls import CONTROLS, ValuesControl
from dicomframe.widgets.facets import FACETS, Mask
from dicomframe.widgets.gallery import AS_IT_IS, escaped, html_table, labels_of, picture_html, shown_columns
from dicomframe.widgets.rows import RowList, rows_meant

#: Gives the thumbnails of some rows, as ``df.dicom.thumbnails()`` does.
Thumbnails = Callable[[pd.DataFrame], pd.DataFrame]

ROWS_ON_A_PAGE = 8


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
    ticked_count : int
        How many rows are ticked, to be observed likewise.

    Examples
    --------
    `df.dicom.browse()` makes it, with pictures.

    >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "M", "M"]})
    >>> browser = CohortBrowser(table)
    >>> browser.choose(modality="CT")
    >>> browser
    <CohortBrowser: 2 of 3 rows; Modality: CT>
    >>> browser.wait()  # for pictures
    >>> browser.close()
    """

    count = traitlets.Int(read_only=True)
    ticked_count = traitlets.Int(read_only=True)

    def __init__(
        self, table: pd.DataFrame, thumbnails: Thumbnails | None = None, columns: Sequence[str] | None = None
    ) -> None:
        self._table = table
        self._thumbnails = thumbnails
        self._columns = shown_columns(table) if columns is None else list(columns)
        self._page = 0
        self._asked = 0
        self._showing = threading.RLock()
        self._drawing: threading.Thread | None = None
        self._is_busy = False
        self._controls = {
            facet.name: CONTROLS[facet.kind](facet, table, self._changed)
            for facet in FACETS
            if facet.columns_in(table)
        }
        self._selected: Mask = np.ones(len(table), bool)
        self._masks: dict[str, Mask] = {}
        self._attrition = widgets.HTML()
        self._status = widgets.HTML()
        self._ticks: Mask = np.zeros(len(table), bool)
        self._listed: list[int] = []
        self._list = RowList(self._tick, len(table))
        self._ticked_status = widgets.HTML()
        self._untick = widgets.Button(description="Untick all", tooltip="Take back every tick, on all pages")
        self._earlier = widgets.Button(description="Earlier rows", icon="chevron-left")
        self._later = widgets.Button(description="Later rows", icon="chevron-right")
        self._reset = widgets.Button(description="All rows", tooltip="Take back every choice")
        self._earlier.on_click(lambda _: self._turn(-1))
        self._later.on_click(lambda _: self._turn(+1))
        self._reset.on_click(lambda _: self.choose())
        self._tick_all = widgets.Button(
            description="Tick all that pass", tooltip="Tick all rows that pass the choice, on all pages"
        )
        self._tick_all.on_click(lambda _: self._tick_selected())
        self._untick.on_click(lambda _: self.tick(ticked=False))
        facets = widgets.VBox([control.box for control in self._controls.values()] + [self._reset])
        facets.layout.min_width = "260px"
        pages = widgets.HBox([self._earlier, self._later, self._status])
        ticks = widgets.HBox([self._tick_all, self._untick, self._ticked_status])
        rows = widgets.VBox(
            [self._attrition, pages, ticks, self._list],
            layout=widgets.Layout(flex="1 1 420px", min_width="0"),
        )
        super().__init__(
            [widgets.HBox([facets, rows], layout=widgets.Layout(flex_flow="row wrap")), self._lacking()]
        )
        self._changed()

    @property
    def selected(self) -> pd.DataFrame:
        """The rows that pass every choice: a part of the table, with its index, dtypes and service.

        Examples
        --------
        >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "M", "M"]})
        >>> browser = CohortBrowser(table)
        >>> browser.choose(modality="CT", sex="F")
        >>> browser.selected.index.tolist()
        [0]
        """
        return self._table[self._selected]

    @property
    def ticked(self) -> pd.DataFrame:
        """The ticked rows, whether they pass or not: a part of the table, with its index, dtypes and service.

        Examples
        --------
        >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "M", "M"]})
        >>> browser = CohortBrowser(table)
        >>> browser.tick([0, 1])
        >>> browser.ticked["Modality"].tolist()
        ['CT', 'MR']
        """
        with self._showing:  # a part of the ticks may just be set
            ticks = self._ticks.copy()
        return self._table[ticks]

    def tick(self, rows: Any = None, *, ticked: bool = True) -> None:
        """Tick rows, as a person would, or take their ticks back.

        Parameters
        ----------
        rows : DataFrame, sequence of labels, or one bool a row; optional
            A part of the table (``browser.selected``), labels of its index, or which rows; by default all. Where
            several rows share a label, a part's rows are known by their values, too.
        ticked : bool
            False takes ticks back.

        Raises
        ------
        QueryError
            If a row is none of the table's, or more rows than are given could be meant.

        Examples
        --------
        >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "M", "M"]})
        >>> browser = CohortBrowser(table)
        >>> browser.tick(table["Modality"] == "CT")
        >>> browser.tick([0], ticked=False)
        >>> browser.ticked_count
        1
        """
        meant = np.ones(len(self._table), bool) if rows is None else rows_meant(self._table, rows)
        self._tick(np.flatnonzero(meant).tolist(), ticked=ticked)

    @property
    def attrition(self) -> pd.DataFrame:
        """How the rows became fewer: one row a choice, in order, with the rows that are left and those it took.

        Columns: ``step``, ``rows``, ``excluded``.

        Examples
        --------
        >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "M", "M"]})
        >>> browser = CohortBrowser(table)
        >>> browser.choose(modality="CT", sex="F")
        >>> browser.attrition.values.tolist()
        [['all rows', 3, 0], ['Modality: CT', 2, 1], ['Sex: F', 1, 1]]
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

        Examples
        --------
        >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "M", "M"]})
        >>> browser = CohortBrowser(table)
        >>> browser.counts("modality")
        {'CT': 2, 'MR': 1}
        """
        control = self._controls.get(facet)
        if not isinstance(control, ValuesControl):
            known = ", ".join(
                name for name, each in self._controls.items() if isinstance(each, ValuesControl)
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

        Examples
        --------
        >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"], "PatientSex": ["F", "M", "M"]})
        >>> browser = CohortBrowser(table)
        >>> browser.choose(sex="M", modality=["CT", "MR"])
        >>> browser.count
        2
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

    def close(self) -> None:
        """Take it off the screen, with all that it is made of."""
        self._asked += 1  # a page of pictures that is still to come has no place then
        for widget in _below(self):
            widget.close()
        super().close()

    def __repr__(self) -> str:
        chosen = [control.said for control in self._controls.values() if not control.is_open]
        said = printable("; ".join(chosen)) or "no choice made"
        ticked = f"; {self.ticked_count} ticked" if self.ticked_count else ""
        return f"<CohortBrowser: {self.count} of {len(self._table)} rows; {said}{ticked}>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = dict(super()._repr_mimebundle_(**kwargs) or {})
        # A page without widgets, such as an exported notebook, shows how the rows became fewer.
        return bundle | {"text/plain": repr(self), "text/html": self._attrition.value}

    def _changed(self, *_: Any) -> None:
        if self._is_busy:
            return
        self._masks = {name: control.mask() for name, control in self._controls.items()}
        selected = np.logical_and.reduce([np.ones(len(self._table), bool), *self._masks.values()])
        with self._showing:
            self._selected = selected
        self._is_busy = True
        try:
            for name, control in self._controls.items():
                control.recount(self._others(name))
        finally:
            self._is_busy = False
        self._attrition.value = _attrition_html(self.attrition)
        self._page = 0
        self._show()
        self._tick([], ticked=True)  # says how many of the ticked rows pass
        self.set_trait("count", int(self._selected.sum()))

    def _others(self, name: str) -> Mask:
        """Tell which rows pass every facet but one."""
        others = [mask for facet, mask in self._masks.items() if facet != name]
        return np.logical_and.reduce([np.ones(len(self._table), bool), *others])  # type: ignore[no-any-return]

    def _tick_selected(self) -> None:
        with self._showing:
            places = np.flatnonzero(self._selected).tolist()
        self._tick(places, ticked=True)

    def _tick(self, places: list[int], ticked: bool) -> None:
        with (
            self._showing
        ):  # the same rows may be coming with their pictures, and others may tick from a thread
            self._ticks[places] = ticked
            self._list.ticked = [place for place in self._listed if self._ticks[place]]
            count = self._count_of_ticks()
            hidden = int((self._ticks & ~self._selected).sum())
            beyond = f", {hidden:,} of them left out by the choice" if hidden else ""
            said = f"{count:,} {'row' if count == 1 else 'rows'} ticked{beyond}"
            self._ticked_status.value = f'<span aria-live="polite">{said}</span>'
            self._untick.disabled = count == 0
        # Told without the lock, since an observer may wait for a thread that wants it; and until it is the number now,
        # since another thread may have ticked and told in between.
        while self.ticked_count != (count := self._count_of_ticks()):
            self.set_trait("ticked_count", count)

    def _count_of_ticks(self) -> int:
        with self._showing:
            return int(self._ticks.sum())

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
        waiting = ["…" if self._thumbnails else ""] * len(rows)
        with self._showing:  # the pictures of an earlier page may be coming in
            self._asked += 1
            self._write(rows, waiting, places[first : first + ROWS_ON_A_PAGE].tolist())
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
                picture_html(row["picture"], label)
                if row["status"] != "failed"
                else escaped(str(row["error"])[:120])
                for label, row in zip(
                    labels_of(rows), table[["picture", "status", "error"]].to_dict("records"), strict=True
                )
            ]
        except DicomFrameError as error:
            pictures = [escaped(str(error)[:120])] * len(rows)
        except RuntimeError:
            return  # the interpreter is ending
        with self._showing:
            if asked == self._asked:
                self._write(rows, pictures, self._listed)

    def _write(self, rows: pd.DataFrame, pictures: list[str], places: list[int]) -> None:
        self._listed = places
        with self._list.hold_sync():  # the boxes and their ticks come together
            self._list.value = html_table(rows, self._columns, pictures, height=720, places=places)
            self._list.ticked = [place for place in places if self._ticks[place]]

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


def _below(widget: Any) -> list[Any]:
    children = getattr(widget, "children", ())
    return [each for child in children for each in (*_below(child), child)]


def _no_facet(name: str, known: str) -> DicomFrameError:
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
