"""Tables of outcomes: one row a thing, typed also when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from dicomframe.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd

#: What a bulk verb does about failures: a row each, or, when all else is done, an error as well.
OnFailure = Literal["rows", "raise"]

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

    cells = {
        name: pd.array(
            [_cell(row.get(name)) for row in rows], dtype=pd.Int64Dtype() if name in integers else TEXT_DTYPE
        )
        for name in columns
    }
    table = pd.DataFrame(cells, index=pd.RangeIndex(len(rows)))
    table.attrs["dicom"] = {"service": service}
    return table


def check_on_failure(errors: Any) -> OnFailure:
    """Give the argument ``errors`` back if it is one that is accepted."""
    if errors not in {"rows", "raise"}:
        raise QueryError("errors must be 'rows' or 'raise'.")
    return cast("OnFailure", errors)


def _cell(value: Any) -> Any:
    if isinstance(value, str) and not value.isascii():
        # A file name need not be text; what is none in it is shown as its escape.
        value = value.encode("utf-8", "backslashreplace").decode()
    return None if value == "" else value
