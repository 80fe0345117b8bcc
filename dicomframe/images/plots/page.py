"""What all figures of a cohort share: a white page, inks that colour-blind readers and prints tell apart, notes."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dicomframe.dicom.words import did_you_mean
from dicomframe.errors import QueryError, TableError
from dicomframe.images.figure import ShownFigure, families, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe and Ito's colours, in an order in which neighbours differ in lightness too.
INKS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: Final = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.3)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1)),
    (0, (8, 3)),
    (0, (2, 3)),
    "-",
)
#: Of what is missing: no colour of a value, and hatched.
MISSING_INK: Final = "#BBBBBB"
MISSING_HATCH: Final = "////"

_LONGEST: Final = 32
_NOTE_INCHES: Final = 0.17


def page(width: float, height: float) -> Figure:
    """Give an empty figure that shows itself in a notebook, without pyplot; sizes in inches."""
    figure = ShownFigure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def empty_page(why: str) -> Figure:
    """Give a figure that says why there is nothing in it."""
    figure = page(6.0, 1.6)
    text = textwrap.fill(words(why, 300), 80)
    figure.text(0.5, 0.5, text, ha="center", va="center", color="0.3", family=families())
    return figure


def words(text: object, longest: int = _LONGEST) -> str:
    r"""Make a text of a table or server one line that matplotlib writes as it is.

    Examples
    --------
    >>> print(words("a$b" + chr(0x202E) + "c"))
    a\$b·c
    """
    line = " ".join(str(text).split())
    return plain(line if len(line) <= longest else f"{line[: longest - 1]}…")


def write_labels(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Name the axes, with their units."""
    for write, text in ((axes.set_xlabel, x), (axes.set_ylabel, y), (axes.set_title, title)):
        write(words(text, 90), family=families(), fontsize=10)
    axes.tick_params(labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def write_ticks(axes: Axes, which: str, places: Sequence[float], texts: Sequence[object]) -> None:
    """Write texts of the table at places of the x or y axis."""
    getattr(axes, f"set_{which}ticks")(places, [words(text) for text in texts], family=families())


def count_only(axes: Axes, which: str) -> None:
    """Let the x or y axis, on which things are counted, have ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    getattr(axes, f"{which}axis").set_major_locator(MaxNLocator("auto", integer=True))


def write_legend(axes: Axes, **more: Any) -> None:
    """Draw the legend outside, where it hides nothing; its labels went through `words`."""
    axes.legend(
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.3,
        prop={"family": families(), "size": 9},
        **more,
    )


def write_notes(figure: Figure, notes: Sequence[str]) -> None:
    """Write what the reader must know, below the axes: a sentence each."""
    if not notes:
        return
    width, height = figure.get_size_inches()
    lines = [line for note in notes for line in textwrap.wrap(note, int(width * 14))]
    room = _NOTE_INCHES * len(lines) + 0.12
    figure.set_size_inches(width, height + room)
    figure.get_layout_engine().set(rect=(0, room / (height + room), 1, height / (height + room)))  # type: ignore[union-attr,call-arg]
    figure.text(
        0.012,
        0.06 / (height + room),
        plain("\n".join(lines)),
        fontsize=8.5,
        color="0.25",
        va="bottom",
        family=families(),
    )


def column(table: pd.DataFrame, name: str, also: Sequence[str] = ()) -> pd.Series[Any]:
    """Give a column.

    Parameters
    ----------
    table : pandas.DataFrame
    name : str
        The column's.
    also : sequence of str
        What else than a column's name may have been meant.

    Raises
    ------
    TableError
        If it is not there, or there twice; the message says how to get it.
    QueryError
        If no column has such a name: it is no text.
    """
    # A user's own column may be called by a number.
    is_there = isinstance(name, Hashable) and name in table.columns
    if not is_there and not isinstance(name, str):
        raise QueryError(f"A column's name is needed, a text; not {type(name).__name__}.")
    if not is_there:
        advice = did_you_mean(name, [*table.columns, *also]) or (
            f" Ask the search for it (fields=[{name[:64]!r}]), or take it from df.dicom.metadata() or"
            f" df.dicom.headers([{name[:64]!r}])."
        )
        raise TableError(f"There is no column {name[:64]!r} to draw.{advice}")
    if (count := int((table.columns == name).sum())) > 1:
        raise TableError(f"There are {count} columns {name[:64]!r}; keep one.")
    return table[name]


def dates(table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Give a column of dates as numpy's, missing as NaT.

    Raises
    ------
    TableError
        If it is not there, or holds no dates.
    """
    found = column(table, name)
    kind = found.dtype
    is_arrow = isinstance(kind, pd.ArrowDtype) and kind.kind == "M"
    if is_arrow:
        return found.astype("datetime64[s]")
    if not pd.api.types.is_datetime64_any_dtype(kind) and not found.isna().all():
        raise TableError(
            f"The column {name[:64]!r} is {kind}, no dates. A typed table has them: df.dicom.convert_dtypes(), or"
            " pandas.to_datetime for a column of your own."
        )
    return found.astype("datetime64[s]")


def check_most(most: int) -> None:
    """Refuse a bound that leaves nothing to draw."""
    check_count("most", most)


def check_count(name: str, given: object) -> None:
    """Refuse what is no number of things to draw."""
    if isinstance(given, bool) or not isinstance(given, Integral) or int(given) < 1:
        raise QueryError(f"{name}= is a whole number from 1 on.")


def what_a_row_is(table: pd.DataFrame) -> str:
    """Give the rows' name in the plural, for an axis."""
    from dicomframe.tables.convert import level_of_table

    try:
        level = level_of_table(table)
    except TableError:
        return "rows"
    return {"study": "studies", "series": "series", "instance": "instances"}[level]


def number_of(count: int, one: str, many: str = "") -> str:
    """Give a number with its noun.

    Examples
    --------
    >>> number_of(1, "image"), number_of(12000, "image"), number_of(2, "study", "studies")
    ('1 image', '12,000 images', '2 studies')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
