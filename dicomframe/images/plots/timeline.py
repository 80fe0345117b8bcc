"""When each patient was examined: a line a patient, a mark a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator

from dicomframe.images.plots.counts import holds_lists
from dicomframe.images.plots.page import (
    INKS,
    MARKERS,
    check_most,
    column,
    dates,
    empty_page,
    number_of,
    page,
    words,
    write_labels,
    write_legend,
    write_notes,
    write_ticks,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: More dates than this below the axis run into each other.
_MOST_DATES = 8
_ORDER = "patient, in the order of the first study"
#: So many lines are too low for the words of the order beside them.
_FEW = 9
#: More modalities than this have no ink of their own.
_MOST_MODALITIES = len(INKS) - 1
_UNKNOWN = "not told"


def draw_timeline(table: pd.DataFrame, most: int = 30, labels: str | None = None) -> Figure:
    """Draw the lines; `dicomframe.accessor.plots.PlotMethods.timeline` documents it."""
    check_most(most)
    studies, notes = _studies(table)
    named = column(table, labels) if labels is not None else None
    if table.empty:
        return empty_page("The table has no studies to draw.")
    undated = studies["date"].isna()
    if undated.any():
        without = studies.loc[undated, "study"].nunique(dropna=False)
        notes.append(f"{number_of(without, 'study', 'studies')} without a StudyDate are not drawn.")
    drawn = studies[~undated]
    if drawn.empty:
        return empty_page("None of the table's studies has a StudyDate.")
    chosen, left_out = _patients(drawn, most)
    if left_out:
        notes.append(
            f"{number_of(left_out, 'further patient')} with no more studies than these are not drawn (most={most})."
        )
    lines = pd.Series(np.arange(len(chosen)), index=chosen)
    drawn = drawn[drawn["patient"].isin(chosen)]
    drawn = drawn.assign(line=drawn["patient"].map(lines))
    figure = page(8.5, 1.3 + 0.24 * len(chosen))
    axes = figure.add_subplot()
    ends = drawn.groupby("line")["date"].agg(["min", "max"])
    axes.hlines(
        ends.index, ends["min"].to_numpy(), ends["max"].to_numpy(), color="0.8", linewidth=1, zorder=1
    )
    _draw_marks(axes, drawn)
    texts = _names(table, named, chosen) if named is not None else [str(at + 1) for at in range(len(chosen))]
    write_ticks(axes, "y", range(len(chosen)), texts)
    axes.set_ylim(len(chosen) - 0.4, -0.6)
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=_MOST_DATES))  # type: ignore[no-untyped-call]
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    is_low = len(chosen) <= _FEW
    write_labels(axes, x="date of the study", y=labels or ("patient" if is_low else _ORDER))
    if is_low and len(chosen) > 1:
        notes.append("Patients are in the order of their first study.")
    write_legend(axes, title="modality")
    write_notes(figure, notes)
    return figure


def _studies(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Give a row for each modality of each study: patient, study, date, modality (missing as NA); and notes."""
    notes: list[str] = []
    found = pd.DataFrame(
        {
            "patient": column(table, "PatientID").astype("string").to_numpy(dtype=object),
            "study": column(table, "StudyInstanceUID").astype("string").to_numpy(dtype=object),
            "date": dates(table, "StudyDate").to_numpy(),
        }
    )
    source = next((name for name in ("Modality", "ModalitiesInStudy") if name in table.columns), None)
    if source is None:
        found["modality"] = None
        notes.append("The table tells no modality; ask the search for it: fields=['ModalitiesInStudy'].")
    else:
        found["modality"] = column(table, source).to_numpy(dtype=object)
        if holds_lists(table[source]):
            found = found.explode("modality", ignore_index=True)
    # Of a study without a UID nobody knows whether two rows are the same.
    found = found[~found.duplicated() | found["study"].isna()]
    nameless = found["patient"].isna()
    if nameless.any():
        without = found.loc[nameless, "study"].nunique(dropna=False)
        notes.append(f"{number_of(without, 'study', 'studies')} without a PatientID share one line.")
    return found.assign(patient=found["patient"].fillna("")), notes


def _patients(studies: pd.DataFrame, most: int) -> tuple[list[Any], int]:
    """Choose the patients with the most studies, in the order of their first; and say how many are left out."""
    of = studies.groupby("patient", sort=True).agg(first=("date", "min"), count=("study", "nunique"))
    ordered = of.sort_values(["count", "first"], ascending=[False, True], kind="stable")
    chosen = ordered.iloc[:most].sort_values("first", kind="stable")
    return chosen.index.tolist(), len(of) - len(chosen)


def _draw_marks(axes: Any, drawn: pd.DataFrame) -> None:
    """Draw a mark for each study and modality; several modalities of a study stand side by side, not on each other."""
    known = drawn["modality"].dropna().astype(str)
    frequent = known.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    shown = list(frequent[:_MOST_MODALITIES])
    kind = (
        drawn["modality"]
        .astype(object)
        .where(drawn["modality"].isna() | drawn["modality"].isin(shown), "other")
    )
    kind = kind.fillna(_UNKNOWN)
    kinds = [*shown, *(name for name in ("other", _UNKNOWN) if (kind == name).any() and name not in shown)]
    place = kind.map({name: at for at, name in enumerate(kinds)})
    order = drawn.assign(place=place).sort_values("place", kind="stable")
    same = order.groupby(["patient", "study", "date"], dropna=False)
    nth, count = same.cumcount(), same["place"].transform("size")
    offset = (nth - (count - 1) / 2) * (0.6 / count.clip(lower=2))
    for at, name in enumerate(kinds):
        mine = order["place"] == at
        is_plain = name in shown
        axes.plot(
            order.loc[mine, "date"].to_numpy(),
            (order.loc[mine, "line"] + offset[mine]).to_numpy(),
            linestyle="none",
            marker=MARKERS[at % len(MARKERS)] if is_plain else "|",
            color=INKS[at % len(INKS)] if is_plain else "0.4",
            markersize=6.5,
            markeredgecolor="white" if is_plain else "0.4",
            markeredgewidth=0.5 if is_plain else 1.5,
            label=words(name),
        )


def _names(table: pd.DataFrame, named: pd.Series[Any], chosen: list[Any]) -> list[str]:
    """Give each patient's first label."""
    patients = table["PatientID"].astype("string").fillna("")
    known = named.astype("string").groupby(patients.to_numpy(dtype=object)).first()
    texts = known.reindex(chosen).fillna("missing")
    return [str(text) for text in texts]
