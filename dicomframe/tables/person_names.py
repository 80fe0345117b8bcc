"""Parts of person names (PN, PS3.5 section 6.2.1) and ages in years (AS), column by column.

A table's PN column holds the alphabetic group; the others are in the table's notes, which a column carries as well.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import pandas as pd

from dicomframe.dicom.values import age_in_years, parse
from dicomframe.errors import TableError
from dicomframe.tables import notes
from dicomframe.tables.schema import TEXT_DTYPE

Component = Literal["family_name", "given_name", "middle_name", "name_prefix", "name_suffix"]
Group = Literal["ideographic", "phonetic"]
_COMPONENTS: tuple[Component, ...] = get_args(Component)


def component(names: pd.Series[Any], which: Component) -> pd.Series[Any]:
    """Give one component of the alphabetic group, ``string``; missing where it is empty."""
    at = _COMPONENTS.index(which)
    components = [name.split("^") if isinstance(name, str) else [] for name in names]
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
        If the column does not carry what its table knows: pandas 2 does not pass it on.
    """
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
    found = [only.get(name) or pd.NA if isinstance(name, str) else pd.NA for name in names]
    return pd.Series(found, index=names.index, dtype=TEXT_DTYPE, name=which)


def names(table: pd.DataFrame, keyword: str) -> pd.DataFrame:
    """Give all parts of the names in a column; the accessor's method documents it."""
    if keyword not in table.columns:
        raise TableError(f"There is no column {keyword[:64]!r}.")
    column = table[keyword].copy()
    column.attrs = dict(table.attrs)
    column.attrs.setdefault("dicom", {})
    groups: tuple[Group, ...] = get_args(Group)
    components = pd.DataFrame({which: component(column, which) for which in _COMPONENTS})
    return components.assign(**{which: group(column, which) for which in groups})


def years(ages: pd.Series[Any]) -> pd.Series[Any]:
    """Give ages in years, ``Float64``; missing where a text is no age."""
    found = [age_in_years(age) if isinstance(age, str) else None for age in ages]
    return pd.Series(found, index=ages.index, dtype="Float64", name=ages.name)
