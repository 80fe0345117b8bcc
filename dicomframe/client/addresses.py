"""What a caller means by "this" and "these": UIDs, addresses, rows and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from dicomframe.client.outcomes import UID_COLUMNS
from dicomframe.dicom import words
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import QueryError, TableError

if TYPE_CHECKING:
    import pandas as pd

    #: A study's UID; a tuple of one to three UIDs from the study down; a row with UID columns; or an address.
    Address: TypeAlias = str | tuple[str, ...] | Mapping[str, Any] | pd.Series[Any] | ResourcePath
    #: A table with UID columns, one address that is no tuple, or an iterable of addresses.
    Addresses: TypeAlias = pd.DataFrame | str | ResourcePath | Iterable[Address]

_ACCEPTED = (
    "a study's UID, a tuple (study, series, instance) of one to three UIDs, a row with UIDs, or an address"
)


def address_of(what: Address | pd.DataFrame) -> ResourcePath:
    """Give the one address of what a caller gave.

    Parameters
    ----------
    what : str, tuple of str, mapping, pandas.Series, ResourcePath, or pandas.DataFrame of one row
        A text is a study's UID; a tuple holds UIDs from the study down; a row has UID columns.

    Raises
    ------
    QueryError
        If it is none of these, not one alone, or a UID is malformed.
    TableError
        If a row or table lacks a UID column or a UID.

    Examples
    --------
    >>> address_of(("1.2", "1.2.3")).level
    'series'
    """
    found = addresses_of_table(what) if _is_table(what) else _single(what)
    if len(found) != 1:
        raise QueryError(f"One resource is needed, not {len(found)}: {_ACCEPTED}.")
    return found[0]


def addresses_of(what: Addresses, *, distinct: bool = True) -> list[ResourcePath]:
    """Give the addresses of what a caller gave.

    Parameters
    ----------
    what : str, ResourcePath, mapping, pandas.Series, pandas.DataFrame, or an iterable of what `address_of` takes
        A text is a study's UID; a table's rows are at its deepest level with a UID column.
    distinct : bool
        Whether what is named twice counts once.

    Raises
    ------
    QueryError
        If it is none of these, or a UID is malformed; also of a bare tuple of UIDs, which may mean several studies or
        one address: a deletion of either must not be a guess.
    TableError
        If a table or row lacks a UID column or a UID.

    Examples
    --------
    >>> addresses_of("1.2.3")
    [ResourcePath(study='1.2.3', series=None, instance=None, frames=())]
    >>> [address.level for address in addresses_of([("1.2", "1.2.3"), "1.4"])]
    ['series', 'study']
    """
    if _is_table(what):
        return addresses_of_table(what, distinct=distinct)
    if isinstance(what, str | ResourcePath) or _row(what) is not None:
        return _single(what)
    if not isinstance(what, Iterable):
        raise QueryError(f"Give a table with UID columns, or a list whose items are {_ACCEPTED}.")
    if isinstance(what, tuple) and len(what) > 1 and all(isinstance(each, str) for each in what):
        raise QueryError(
            "A tuple of UIDs may be one address or several studies: give [(study, series, instance)] for the one,"
            " or a list of UIDs for the others."
        )
    found = [address for each in what for address in _single(each)]
    return list(dict.fromkeys(found)) if distinct else found


def _single(what: Any) -> list[ResourcePath]:
    if isinstance(what, ResourcePath):
        return [what]
    if isinstance(what, str):
        return [ResourcePath(what)]
    row = _row(what)
    if row is not None:
        import pandas as pd

        return addresses_of_table(pd.DataFrame([row]))
    if isinstance(what, tuple) and 1 <= len(what) <= len(UID_COLUMNS):
        return [ResourcePath(*what)]
    raise QueryError(f"A resource is {_ACCEPTED}; not {type(what).__name__}.")


def _is_table(what: Any) -> TypeGuard[pd.DataFrame]:
    return hasattr(what, "columns")


def _row(what: Any) -> dict[str, Any] | None:
    """Give a row of a table by its columns' names; None where it is none."""
    if isinstance(what, Mapping):
        return dict(what)
    if hasattr(what, "_asdict"):  # of df.itertuples()
        return dict(what._asdict())
    index = getattr(what, "index", None)  # of df.iloc and df.iterrows(); a list has a method of that name
    if hasattr(what, "items") and index is not None and any(name in index for name in UID_COLUMNS):
        return dict(what.items())
    return None


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
            f"The table lacks the {words.columns(missing)}; its rows cannot be found without.{advice}"
        )
    columns = list(UID_COLUMNS[:depth])
    rows = table[columns].drop_duplicates() if distinct else table[columns]
    if rows.isna().to_numpy().any():
        raise TableError(f"Some rows have no UID. Drop them first: df.dropna(subset={columns}).")
    return [ResourcePath(*row) for row in rows.itertuples(index=False, name=None)]
