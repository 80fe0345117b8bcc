"""Parts of person names (PN, PS3.5 section 6.2.1) and ages in years (AS), column by column.

A table's PN column holds the alphabetic group; the others are in the table's notes, which a column carries as well.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import pandas as pd

from dicomframe.dicom import tags
from dicomframe.dicom.values import age_in_years, parse
from dicomframe.dicom.words import did_you_mean
from dicomframe.errors import TableError
from dicomframe.tables import notes
from dicomframe.tables.schema import TEXT_DTYPE

Component = Literal["family_name", "given_name", "middle_name", "name_prefix", "name_suffix"]
Group = Literal["ideographic", "phonetic"]
_COMPONENTS: tuple[Component, ...] = get_args(Component)


_ACCEPTED = {
    "PN": "person names (PN), text such as Smith^Anna",
    "AS": "ages (AS), text such as 042Y, 018M, 003W or 011D",
}
#: Of dtypes that cannot hold text. Not "f": a column without any value is often one of floats, all of them missing.
_NO_TEXT = "iubcmM"


def component(names: pd.Series[Any], which: Component) -> pd.Series[Any]:
    """Give one component of the alphabetic group, ``string``; missing where it is empty.

    Raises
    ------
    TableError
        If the column is no column of names.
    """
    at = _COMPONENTS.index(which)
    components = [name.split("^") if name else [] for name in _texts(names, which, "PN")]
    found = [parts[at].strip() or pd.NA if at < len(parts) else pd.NA for parts in components]
    return pd.Series(found, index=names.index, dtype=TEXT_DTYPE, name=which)


def group(names: pd.Series[Any], which: Group) -> pd.Series[Any]:
    """Give the ideographic or phonetic group of each name, ``string``; missing where there is none.

    A column does not know its rows' UIDs. So a group is found by the alphabetic group where all noted names that share
    it agree, and is missing, rather than somebody else's, where they do not. A name without an alphabetic group is
    missing in the column and cannot be found from it.

    Raises
    ------
    TableError
        If the column is no column of names, or does not carry what its table knows: pandas 2 does not pass it on.
    """
    texts = _texts(names, which, "PN")
    if "dicom" not in names.attrs:
        raise TableError(
            "This column carries no notes of the table that it came from (pandas before 3 does not pass them on)."
            " Ask the table: df.dicom.names('PatientName')."
        )
    noted = notes.noted(names, "notes") or {}
    groups: dict[str, set[str]] = {}
    for attribute in noted.get("cells", {}).get(names.name, {}).values():
        for raw in attribute.get("Value") or []:
            try:
                name = parse("PN", raw)
            except ValueError:
                continue
            if name is not None:
                groups.setdefault(name.alphabetic, set()).add(getattr(name, which))
    shared = set(noted.get("shared", {}).get(names.name, ()))
    only = {
        alphabetic: next(iter(found))
        for alphabetic, found in groups.items()
        if len(found) == 1 and alphabetic not in shared
    }
    found = [only.get(name) or pd.NA if name is not None else pd.NA for name in texts]
    return pd.Series(found, index=names.index, dtype=TEXT_DTYPE, name=which)


def names(table: pd.DataFrame, keyword: str) -> pd.DataFrame:
    """Give all parts of the names in a column; the accessor's method documents it."""
    if keyword not in table.columns:
        advice = (
            did_you_mean(keyword, table.columns) or f" Ask the search for it (fields=[{keyword[:64]!r}])."
        )
        raise TableError(f"There is no column {keyword[:64]!r}.{advice}")
    column = table[keyword].copy()
    column.attrs = dict(table.attrs)
    column.attrs.setdefault("dicom", {})
    groups: tuple[Group, ...] = get_args(Group)
    components = pd.DataFrame({which: component(column, which) for which in _COMPONENTS})
    return components.assign(**{which: group(column, which) for which in groups})


def years(ages: pd.Series[Any]) -> pd.Series[Any]:
    """Give ages in years, ``Float64``; missing where a text is no age.

    Raises
    ------
    TableError
        If the column is no column of ages.
    """
    texts = _texts(ages, "years", "AS")
    found = readable_ages(ages)
    if _vr(ages) != "AS" and any(texts) and found.isna().all():
        raise _wrong(ages, "years", "AS", "holds no age at all")
    return found


def readable_ages(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Give what is an age in years, ``Float64``, and everything else as missing."""
    found = [age_in_years(cell) if isinstance(cell, str) else None for cell in cells]
    return pd.Series(found, index=cells.index, dtype="Float64", name=cells.name)


def _texts(column: pd.Series[Any], which: str, vr: str) -> list[str | None]:
    """Give a column's texts, None where it is missing; a column of anything else is refused."""
    known = _vr(column)
    if known not in {None, vr}:
        raise _wrong(column, which, vr, f"is {known} in the dictionary")
    dtype = column.dtype
    if getattr(dtype, "kind", "O") in _NO_TEXT:
        raise _wrong(column, which, vr, f"holds {dtype}")
    cells = list(column.astype(object).where(column.notna(), None))
    others = {type(cell).__name__ for cell in cells if cell is not None and not isinstance(cell, str)}
    if others & {"list", "tuple", "ndarray"}:
        raise _wrong(column, which, vr, "holds lists (one value a row: df.explode(column) or column.str[0])")
    if others:
        raise _wrong(column, which, vr, f"holds {' and '.join(sorted(others))}")
    return cells


def _vr(column: pd.Series[Any]) -> str | None:
    """Give the VR of the attribute that a column is called after, None where it is the user's own name."""
    known = tags.find(str(column.name))
    return None if known is None or known.vr_is_open else known.vr


def _wrong(column: pd.Series[Any], which: str, vr: str, what: str) -> TableError:
    name = "This column" if column.name is None else f"The column {str(column.name)[:64]!r}"
    return TableError(f"{name} {what}; {which} needs {_ACCEPTED[vr]}.")
