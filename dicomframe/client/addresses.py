"""What a caller means by "these": a UID, an address, a list of them, or a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dicomframe.client.outcomes import UID_COLUMNS
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import QueryError, TableError

if TYPE_CHECKING:
    import pandas as pd


def addresses_of(what: Any) -> list[ResourcePath]:
    """Give the distinct addresses of what a caller gave.

    Parameters
    ----------
    what : str, ResourcePath, pandas.DataFrame, or an iterable of the first two
        A text is a study's UID; a table's rows are at its deepest level with a UID column.

    Raises
    ------
    QueryError
        If it is none of these, or a UID is malformed.
    TableError
        If a table lacks a UID column or a UID.

    Examples
    --------
    >>> addresses_of("1.2.3")
    [ResourcePath(study='1.2.3', series=None, instance=None, frames=())]
    """
    if isinstance(what, ResourcePath):
        return [what]
    if isinstance(what, str):
        return [ResourcePath(what)]
    if hasattr(what, "columns"):
        return addresses_of_table(what)
    if not isinstance(what, Iterable):
        raise QueryError("Give a study's UID, a table with UID columns, or a list of UIDs.")
    return list(dict.fromkeys(address for each in what for address in _single(each)))


def _single(what: Any) -> list[ResourcePath]:
    if isinstance(what, str | ResourcePath):
        return addresses_of(what)
    raise QueryError(f"A list may hold study UIDs and addresses, not {type(what).__name__}.")


def addresses_of_table(table: pd.DataFrame, *, distinct: bool = True) -> list[ResourcePath]:
    """Give the addresses of a table's rows, at the deepest level with a UID column.

    Parameters
    ----------
    table : pandas.DataFrame
        With the UID columns of its level and the levels above.
    distinct : bool
        Whether rows with the same address count once.

    Raises
    ------
    TableError
        If a UID column is missing or there twice, or a UID in it is missing.
    QueryError
        If a UID is malformed.
    """
    doubled = [name for name in UID_COLUMNS if (table.columns == name).sum() > 1]
    if doubled:
        raise TableError(f"There are several columns {' and '.join(doubled)}; keep one of each.")
    present = [name in table.columns for name in UID_COLUMNS]
    depth = max((at + 1 for at, is_there in enumerate(present) if is_there), default=0)
    missing = [
        name for name, is_there in zip(UID_COLUMNS, present[: max(depth, 1)], strict=False) if not is_there
    ]
    if missing:
        advice = (
            " The index holds them: df.reset_index() makes columns of it."
            if set(missing) & set(table.index.names)
            else ""
        )
        raise TableError(
            f"The table lacks the column {' and '.join(missing)}; its rows cannot be found without.{advice}"
        )
    columns = list(UID_COLUMNS[:depth])
    rows = table[columns].drop_duplicates() if distinct else table[columns]
    if rows.isna().to_numpy().any():
        raise TableError(f"Some rows have no UID. Drop them first: df.dropna(subset={columns}).")
    return [ResourcePath(*row) for row in rows.itertuples(index=False, name=None)]
