"""Typed tables below each other, with all that they carry and the user's own columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from dicomframe.dicom import tags
from dicomframe.errors import TableError
from dicomframe.tables import feed
from dicomframe.tables.back import to_json
from dicomframe.tables.convert import from_objects, level_for_notes, with_columns
from dicomframe.tables.schema import DtypeBackend


def concat(tables: Iterable[pd.DataFrame], dtype_backend: DtypeBackend = "numpy_nullable") -> pd.DataFrame:
    """Put typed tables of one level below each other, with their issues and everything `to_json` needs.

    `pandas.concat` keeps the cells but drops what a table carries beside them.

    Parameters
    ----------
    tables : iterable of pandas.DataFrame
        Typed tables. Columns that are no DICOM attributes are your own, and kept.
    dtype_backend : {"numpy_nullable", "pyarrow"}
        Which family of dtypes the columns of DICOM attributes get.

    Returns
    -------
    pandas.DataFrame
        With a new index; with its service if all tables have the same. First the DICOM attributes, then your own
        columns as `pandas.concat` joins them, missing where a table lacks them; but whole numbers and truth values
        stay what they are then (Int64, boolean), where pandas makes floats and objects.

    Raises
    ------
    TableError
        If the tables are of different levels, or no tables, or two columns of one have the same name.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> study = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00200013": {"vr": "IS", "Value": ["one"]}}
    >>> both = dfr.concat([dfr.from_json([study]).assign(arm="a"), dfr.from_json([study])])
    >>> len(both.dicom.issues()), both["arm"].fillna("-").tolist()
    (2, ['a', '-'])
    """
    tables = list(tables)
    if not all(hasattr(table, "columns") for table in tables):
        raise TableError("Give a list of tables: dfr.concat([one, other]).")
    levels = {level_for_notes(table) for table in tables}
    if len(levels) > 1:
        raise TableError(
            f"Tables of different levels cannot be put below each other: {', '.join(sorted(levels))}."
        )
    services = {table.attrs.get("dicom", {}).get("service") for table in tables}
    attrs = {"service": services.pop()} if len(services) == 1 and None not in services else {}
    rows = [row for table in tables for row in to_json(table, settled=True)]
    joined = from_objects(rows, next(iter(levels), None), dtype_backend, "coerce", attrs)
    if any(map(feed.is_of_feed, tables)):
        joined = feed.with_own(joined, tables, dtype_backend)
    own = _own_columns(tables, set(joined.columns))
    return with_columns(joined, own) if len(own.columns) else joined


def _own_columns(tables: Sequence[pd.DataFrame], others: set[Any]) -> pd.DataFrame:
    """Give the users' columns of all tables below each other; rows of a table that lacks one are missing in it."""
    parts = [
        table[[name for name in table.columns if name not in others and tags.find(str(name)) is None]]
        for table in tables
    ]
    if not parts:
        return pd.DataFrame()
    filled = [part for part in parts if len(part)]
    lacking = {name for part in parts for name in part.columns if any(name not in one for one in filled)}
    return pd.concat([_nullable(part, lacking) for part in parts], ignore_index=True)


def _nullable(part: pd.DataFrame, lacking: set[Any]) -> pd.DataFrame:
    """Give columns that will have missing cells dtypes that can hold them: a float cannot hold each whole number."""
    whole = [name for name in part.columns if name in lacking and part[name].dtype.kind in "iub"]
    return part.astype({name: part[name].convert_dtypes().dtype for name in whole})
