"""The shape of a table, as data: which columns a level has, and which dtype each VR and VM gives.

A dtype follows from the dictionary (PS3.6), never from the values, so an empty result has the same dtypes as a full
one and tables concatenate. Only where the dictionary leaves a choice, or does not know a private tag, does the VR that
the JSON names decide.

==========  ==============================  =======================  ===========================
kind        VR                              ``numpy_nullable``       ``pyarrow``
==========  ==============================  =======================  ===========================
text        AE AS AT CS LO LT SH ST UC UI   ``string``               ``string[pyarrow]``
            UR UT
name        PN (its alphabetic group)       ``string``               ``string[pyarrow]``
bulk        OB OD OF OL OV OW UN            ``string`` (the URI)     ``string[pyarrow]``
integer     IS SL SS SV UL US UV            ``Int64``                ``int64[pyarrow]``
float       DS FD FL                        ``Float64``              ``double[pyarrow]``
date        DA                              ``datetime64[s]``        ``timestamp[s][pyarrow]``
datetime    DT (UTC where an offset is      ``datetime64[us]``       ``timestamp[us][pyarrow]``
            given)
time        TM                              ``timedelta64[us]``      ``duration[us][pyarrow]``
records     SQ                              ``object`` (lists of     ``object``
                                            dicts by keyword)
==========  ==============================  =======================  ===========================

A VM above one gives lists: ``object`` under ``numpy_nullable``, because pandas cannot read typed lists back from
Parquet unless it is asked for the ``pyarrow`` backend; ``list<…>[pyarrow]`` under that one. CS is text, not
``category``: categories come from the values, and tables with different ones do not concatenate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.dicom.values import INTEGER_RANGE

DtypeBackend = Literal["numpy_nullable", "pyarrow"]
OnBadValue = Literal["coerce", "raise"]
Kind = Literal["text", "name", "bulk", "integer", "float", "date", "datetime", "time", "records"]

KIND_OF_VR: dict[str, Kind] = {
    **dict.fromkeys(tags.ALL_VRS, "text"),
    **dict.fromkeys(tags.BINARY_VRS, "bulk"),
    **dict.fromkeys(tags.INTEGER_VRS, "integer"),
    **dict.fromkeys(tags.FLOAT_VRS, "float"),
    "DA": "date",
    "DT": "datetime",
    "PN": "name",
    "SQ": "records",
    "TM": "time",
}

#: What a cell of each kind is in Arrow; records are Python objects. Texts are large ones, because that is what pandas'
#: text dtype is made of, and each column would be converted otherwise.
ARROW_TYPE: dict[Kind, pa.DataType] = {
    "text": pa.large_string(),
    "name": pa.large_string(),
    "bulk": pa.large_string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "date": pa.timestamp("s"),
    "datetime": pa.timestamp("us"),
    "time": pa.duration("us"),
}

#: The one text dtype, named so that it is the same under pandas 2 and 3.
TEXT_DTYPE = pd.StringDtype("pyarrow", na_value=pd.NA)
_NULLABLE_DTYPE: dict[Kind, Any] = {
    "text": TEXT_DTYPE,
    "name": TEXT_DTYPE,
    "bulk": TEXT_DTYPE,
    "integer": pd.Int64Dtype(),
    "float": pd.Float64Dtype(),
    "date": "datetime64[s]",
    "datetime": "datetime64[us]",
    "time": "timedelta64[us]",
    "records": "object",
}

#: The columns that a table of each level always has: what the service returns by default (v2), and the UIDs above.
LEVEL_KEYWORDS: dict[Level, tuple[str, ...]] = {
    "study": (
        "StudyInstanceUID",
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "StudyDate",
        "StudyDescription",
        "AccessionNumber",
        "ReferringPhysicianName",
    ),
    "series": (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "PerformedProcedureStepStartDate",
        "ManufacturerModelName",
    ),
    "instance": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}

#: What a text is that names bulk data; a private tag's text may be that, or its value.
_IS_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|\.{0,2}/")
_LONGEST_LO: Final = 64


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        The keyword, or eight hex digits where the tag has none.
    tag : str
        Eight upper-case hex digits.
    vr : str
        The one VR that the column's values are read by.
    kind : str
        What a value is; see the module's table.
    multiple : bool
        Whether a cell is a list (VM above one).
    """

    name: str
    tag: str
    vr: str
    kind: Kind
    multiple: bool

    @property
    def arrow_type(self) -> pa.DataType | None:
        """The type of the column in Arrow; None for records."""
        return _arrow_type(self.kind, self.multiple)

    def dtype(self, backend: DtypeBackend) -> Any:
        """Give the column's pandas dtype."""
        if self.kind == "records":
            return "object"
        if backend == "pyarrow":
            return pd.ArrowDtype(_arrow_type(self.kind, self.multiple, pa.string()))
        return "object" if self.multiple else _NULLABLE_DTYPE[self.kind]


@cache
def _arrow_type(kind: Kind, multiple: bool, text: pa.DataType = ARROW_TYPE["text"]) -> pa.DataType | None:
    if kind == "records":
        return None
    single = text if ARROW_TYPE[kind] == ARROW_TYPE["text"] else ARROW_TYPE[kind]
    return pa.list_(single) if multiple else single


@lru_cache(maxsize=65_536)
def column_of(tag: str, vr_in_data: str | None = None) -> Column:
    """Give the column of a tag.

    Parameters
    ----------
    tag : str
        Eight upper-case hex digits.
    vr_in_data : str, optional
        The VR that the JSON names; it counts only where the dictionary leaves it open.

    Examples
    --------
    >>> column_of("00101010").vr, column_of("00280030").multiple, column_of("00091001", "FD").kind
    ('AS', True, 'float')
    """
    known = tags.from_tag(tag)
    if known.vr_is_open:
        first_choice = known.vr.split(" or ")[0]
        vr = vr_in_data if vr_in_data in tags.ALL_VRS else first_choice
    else:
        vr = known.vr
    kind = KIND_OF_VR[vr]
    multiple = known.is_multiple and kind not in {"bulk", "records"} and vr not in tags.SINGLE_TEXT_VRS
    return Column(known.column, tag, vr, kind, multiple)


def likely_column(known: tags.Attribute, cells: Iterable[Any]) -> Column:
    """Give the column that holds what cells hold, where the VR that the data named is not known any more.

    Where the dictionary leaves a choice, one of its own; of a tag that it does not know, any.

    Parameters
    ----------
    known : Attribute
        The attribute.
    cells : iterable
        Its values, or lists of them; those that are missing may be among them.

    Examples
    --------
    >>> likely_column(tags.attribute("SmallestImagePixelValue"), [-5]).vr
    'SS'
    >>> [likely_column(tags.from_tag("00091001"), [value]).vr for value in ("mine", "https://host/1", 0.5)]
    ['LO', 'UN', 'FD']
    """
    if not known.vr_is_open:
        return column_of(known.tag)
    lists = (cell if isinstance(cell, list | tuple | np.ndarray) else [cell] for cell in cells)
    values = [value for each in lists for value in each if not is_missing(value)]
    return column_of(known.tag, _likely_vr(values, known.vr.split(" or ") if known.name else None))


def _likely_vr(values: list[Any], allowed: Sequence[str] | None) -> str | None:
    """Give the first VR that all values fit; None for the dictionary's first choice."""
    kinds = {_kind_of(value) for value in values}
    if kinds == {"text"}:
        if allowed is not None:
            return next((vr for vr in allowed if KIND_OF_VR[vr] in {"text", "bulk"}), "UN")
        if all(map(_IS_URI.match, values)):
            return None
        return "LO" if all(len(value) <= _LONGEST_LO and value.isprintable() for value in values) else "UT"
    if kinds == {"float"} and allowed is not None and all(float(value).is_integer() for value in values):
        kinds = {"integer"}  # what pandas makes of those in columns with gaps
    if kinds == {"integer"}:
        fitting = [vr for vr in allowed or ["SV"] if KIND_OF_VR[vr] == "integer"]
        low, high = min(values), max(values)
        return next(
            (vr for vr in fitting if INTEGER_RANGE[vr][0] <= low <= high <= INTEGER_RANGE[vr][1]), None
        )
    if kinds == {"integer", "float"}:
        kinds = {"float"}
    return _VR_OF_KIND.get(kinds.pop()) if allowed is None and len(kinds) == 1 else None


_VR_OF_KIND: Final = {"float": "FD", "date": "DA", "datetime": "DT", "time": "TM", "records": "SQ"}
_KIND_OF_TYPE: Final[tuple[tuple[Any, str], ...]] = (
    (str, "text"),
    (bool | np.bool_, ""),
    (int | np.integer, "integer"),
    (float | np.floating, "float"),
    (datetime | np.datetime64, "datetime"),
    (date, "date"),
    (timedelta | np.timedelta64, "time"),
    (Mapping, "records"),
)


def _kind_of(value: Any) -> str:
    return next((kind for of, kind in _KIND_OF_TYPE if isinstance(value, of)), "")


def is_missing(cell: Any) -> bool:
    """Tell whether a cell holds nothing, in any of pandas' ways to say so."""
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    if isinstance(cell, Decimal):
        return cell.is_nan()
    return (
        cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and bool(np.isnan(cell)))
    )


def columns_for(
    level: Level, vr_of_tag: Mapping[str, str | None], keywords: Sequence[str] | None = None
) -> dict[str, Column]:
    """Give the columns of a table by tag: the level's own set first, then every tag in the data, ascending.

    Parameters
    ----------
    level : {"study", "series", "instance"}
        What a row is.
    vr_of_tag : mapping of str to str or None
        The tags in the data, and the VR that the JSON names first for each.
    keywords : sequence of str, optional
        The table's own set, where it is not the level's.
    """
    own = [tags.attribute(keyword).tag for keyword in keywords or LEVEL_KEYWORDS[level]]
    further = sorted(set(vr_of_tag).difference(own))
    return {tag: column_of(tag, vr_of_tag.get(tag)) for tag in (*own, *further)}


def level_of(names: Iterable[str]) -> Level:
    """Tell from column names or tags what a row is: the deepest level whose UID is there, else study."""
    present = set(names)
    levels: tuple[Level, ...] = ("instance", "series")
    for level in levels:
        keyword = UID_KEYWORD_OF_LEVEL[level]
        if keyword in present or tags.attribute(keyword).tag in present:
            return level
    return "study"
