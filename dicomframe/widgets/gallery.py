"""A table with a picture in front of each row, as HTML; as plain text where no HTML is shown.

Every text is hostile until it is escaped: names and descriptions come out of files that anybody may have written. What
reaches the page is `html.escape`'s output and our own base64 pictures, nothing else.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dicomframe.errors import printable
from dicomframe.widgets.facets import first_column

#: What tells rows apart without telling whose they are: the first of these that a table has are shown.
COLUMNS = (
    "Modality",
    "ModalitiesInStudy",
    "StudyDescription",
    "SeriesDescription",
    "StudyDate",
    "BodyPartExamined",
    "PatientSex",
    "PatientAge",
    "ManufacturerModelName",
    "InstanceNumber",
)
MOST_COLUMNS = 6

#: Letters of a value that are shown; the table itself has all of them.
_MOST_LETTERS = 120
#: Characters of a saved notebook that the pictures of one table may take.
MOST_CHARACTERS = 4 * 1024 * 1024
#: JupyterLab sets what is between dollar signs as mathematics, but for elements of these classes.
AS_IT_IS = "mathjax_ignore tex2jax_ignore"
_TABLE = "border-collapse:collapse;font-size:var(--jp-ui-font-size1,13px)"
_REASON = "opacity:.75;display:inline-block;max-width:16em;white-space:normal"
_CELL = "padding:4px 10px;text-align:left;vertical-align:middle;border-bottom:1px solid rgba(128,128,128,.35)"


class Gallery:
    """Rows with their pictures; at the end of a notebook cell it shows itself.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows, in their order.
    pictures : pandas.DataFrame
        As ``df.dicom.thumbnails()`` gives them: ``picture``, ``status``, ``error``; one row a row of the table.
    columns : sequence of str
        What is written beside each picture.
    note : str
        What is said below the table.

    Examples
    --------
    >>> table = pd.DataFrame({"Modality": ["CT"]})
    >>> picture = {"picture": [np.zeros((2, 3), np.uint8)], "status": ["rendered"], "error": [None]}
    >>> gallery = Gallery(table, pd.DataFrame(picture), ["Modality"])
    >>> print(gallery)
      Modality picture
    0       CT   3 x 2
    >>> "<img" in gallery._repr_html_()
    True
    """

    def __init__(
        self, table: pd.DataFrame, pictures: pd.DataFrame, columns: Sequence[str], note: str = ""
    ) -> None:
        self.table = table
        self.pictures = pictures
        self.columns = list(columns)
        self.note = note

    def __repr__(self) -> str:
        texts = pd.DataFrame(
            {
                printable(str(name)): [printable(_text(value)) for value in first_column(self.table, name)]
                for name in self.columns
            },
            index=[printable(label) for label in labels_of(self.table)],
        )
        texts["picture"] = [_size_or_reason(row) for row in self._rows()]
        lines = texts.to_string() if len(texts) else "No rows."
        return f"{lines}\n{self.note}" if self.note else lines

    def _repr_html_(self) -> str:
        cells, room = [], MOST_CHARACTERS
        for label, row in zip(labels_of(self.table), self._rows(), strict=True):
            cell = _cell(row, label)
            if row["status"] != "failed" and len(cell) > room:
                cell = "left out: the saved notebook would become too large"
            elif row["status"] != "failed":
                room -= len(cell)
            cells.append(cell)
        return html_table(self.table, self.columns, cells, self.note)

    def _rows(self) -> list[dict[Any, Any]]:
        return self.pictures[["picture", "status", "error"]].to_dict("records")


def html_table(
    table: pd.DataFrame,
    columns: Sequence[str],
    pictures: Sequence[str],
    note: str = "",
    height: int = 640,
    places: Sequence[int] | None = None,
) -> str:
    """Write rows as an HTML table with a picture in front of each.

    Parameters
    ----------
    pictures : sequence of str
        HTML of each row's first cell: of `picture_html`, or empty.
    note : str
        Text below the table; escaped here.
    height : int
        Pixels; what is longer scrolls.
    places : sequence of int, optional
        What each row's box to tick is called; without them there are no boxes.
    """
    heads = "".join(f'<th scope="col" style="{_CELL}">{escaped(str(name))}</th>' for name in columns)
    values = [[escaped(_text(value)) for value in first_column(table, name)] for name in columns]
    labels = labels_of(table)
    boxes = [""] * len(table)
    if places is not None:
        boxes = [
            _box(f'data-place="{place}"', f"row {label}") for place, label in zip(places, labels, strict=True)
        ]
    all_of_them = "" if places is None else _box("data-all", "all rows listed here", "th")
    rows = "".join(
        f'<tr>{box}<td style="{_CELL}">{picture}</td><th scope="row" style="{_CELL}">{escaped(label)}</th>'
        + "".join(f'<td style="{_CELL}"><bdi>{text}</bdi></td>' for text in texts)
        + "</tr>"
        for box, label, picture, *texts in zip(boxes, labels, pictures, *values, strict=True)
    )
    count = f"{len(table)} {'row' if len(table) == 1 else 'rows'}"
    below = f'<p class="{AS_IT_IS}" style="opacity:.75">{escaped(note)}</p>' if note else ""
    return (
        f'<div class="dicomframe-gallery {AS_IT_IS}" tabindex="0" role="region"'
        f' style="line-height:1.4;max-height:{height}px;overflow:auto"'
        f' aria-label="Rows with pictures"><table style="{_TABLE}">'
        f'<caption style="text-align:left;opacity:.75">{count}</caption>'
        f'<thead><tr>{all_of_them}<th scope="col" style="{_CELL}">picture</th><th scope="col" style="{_CELL}">row</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>{below}"
    )


def _box(what: str, label: str, cell: str = "td") -> str:
    """Write a cell with a box to tick; all of the cell can be clicked."""
    box = f'<input type="checkbox" {what} aria-label="tick {escaped(label)}">'
    return (
        f'<{cell} style="{_CELL};padding:0"><label style="display:block;padding:10px">{box}</label></{cell}>'
    )


def picture_html(picture: Any, label: str) -> str:
    """Write a picture of uint8 as an ``<img>`` that carries its own bytes.

    Parameters
    ----------
    picture : ndarray of uint8
        Shape (rows, columns) or (rows, columns, 3).
    label : str
        What its row is called, for those who do not see it.

    Examples
    --------
    >>> picture_html(np.zeros((2, 3), np.uint8), "7")[:29]
    '<img alt="picture of row 7, 3'
    """
    from PIL import Image

    pixels = np.asarray(picture)
    rows, columns = pixels.shape[:2]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<img alt="picture of row {escaped(label)}, {columns} by {rows} pixels" width="{columns}" height="{rows}"'
        f' style="max-width:none;background:#000" src="data:image/jpeg;base64,{data}">'
    )


def escaped(text: str) -> str:
    """Make a text harmless in HTML, and visible what would turn the direction of a line or command a terminal.

    Examples
    --------
    >>> escaped('<img src=x onerror="alert(1)">')
    '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;'
    """
    return html.escape(printable(text), quote=True)


def labels_of(table: pd.DataFrame) -> list[str]:
    """Name the rows by the table's index, or by their places where the index says whose they are.

    Examples
    --------
    >>> people = pd.DataFrame({"Modality": ["CT"]}, index=pd.Index(["DOE^JANE"], name="PatientName"))
    >>> labels_of(people), labels_of(people.reset_index(drop=True))
    (['0'], ['0'])
    """
    index = table.index
    is_told = pd.api.types.is_integer_dtype(index.dtype) or index.name in COLUMNS
    return [_text(label) for label in index] if is_told else [str(place) for place in range(len(table))]


def shown_columns(table: pd.DataFrame) -> list[str]:
    """Choose what is written beside the pictures: never whose they are."""
    return [name for name in COLUMNS if name in table.columns][:MOST_COLUMNS]


def _cell(row: dict[Any, Any], label: str) -> str:
    if row["status"] == "failed":
        return f'<span style="{_REASON}">{escaped(_short(str(row["error"])))}</span>'
    return picture_html(row["picture"], label)


def _size_or_reason(row: dict[Any, Any]) -> str:
    if row["status"] == "failed":
        return printable(_short(str(row["error"])))
    rows, columns = np.shape(row["picture"])[:2]
    return f"{columns} x {rows}"


def _text(value: Any) -> str:
    """Write one value: missing ones as nothing, lists with commas, a day without its midnight."""
    if isinstance(value, list | tuple | np.ndarray):
        return _short(", ".join(_text(each) for each in list(value)[:100]))
    if pd.isna(value):
        return ""
    if isinstance(value, pd.Timestamp) and value == value.normalize():
        return str(value.date())
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
