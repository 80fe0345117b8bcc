"""Outcomes: tables of one row a thing, typed also when there is none, and failures told there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from dicomframe.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd

#: What a bulk verb does about failures: a row each, or, when all else is done, an error as well.
OnFailure = Literal["rows", "raise"]

Failure = TypeVar("Failure", bound=BaseException)

#: The columns of all tables of outcomes that name instances.
UID_COLUMNS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def outcome_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], service: str, integers: Sequence[str] = ()
) -> pd.DataFrame:
    """Make a typed table of outcomes.

    Parameters
    ----------
    rows : sequence of mapping
        Column to value; a missing or empty one is missing.
    columns : sequence of str
        All columns, in order: text, unless named in ``integers`` (``Int64``).
    service : str
        The base URL, for ``df.attrs["dicom"]``.
    integers : sequence of str
        The columns of whole numbers.
    """
    import pandas as pd

    from dicomframe.tables.schema import TEXT_DTYPE

    def column(name: str) -> Any:
        cells = [None if value == "" else value for value in (row.get(name) for row in rows)]
        if name in integers:
            return pd.array(cells, dtype=pd.Int64Dtype())
        try:
            return pd.array(cells, dtype=TEXT_DTYPE)
        except UnicodeEncodeError:
            return pd.array([_shown(cell) for cell in cells], dtype=TEXT_DTYPE)

    table = pd.DataFrame({name: column(name) for name in columns}, index=pd.RangeIndex(len(rows)))
    table.attrs["dicom"] = {"service": service}
    return table


def check_on_failure(errors: Any) -> OnFailure:
    """Give the argument ``errors`` back if it is one that is accepted."""
    if errors not in {"rows", "raise"}:
        raise QueryError("errors must be 'rows' or 'raise'.")
    return cast("OnFailure", errors)


def explain(error: Exception) -> str:
    """Say in one line what went wrong, with the kind of error in front."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {' '.join(words.split())}"


def without_frames(error: Failure) -> Failure:
    """Give an error that is kept for later, without the frames it came through.

    They hold what was on its way, be it the buffer of an answer or the bytes of a whole request: MBs for each failure.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _shown(cell: Any) -> Any:
    """Write what is no text as its escape; the name of a file need not be text."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
