"""The data partitions of a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dicomframe.client.session import Session
from dicomframe.dicom.feed import microseconds_of, sequence_of
from dicomframe.errors import BadRequestError, DecodeError

if TYPE_CHECKING:
    import pandas as pd

#: What servers call it, in lower case, by what it is called here.
_NAMES = {
    "PartitionName": ("partitionname", "name"),
    "key": ("partitionkey", "key"),
    "created": ("createddate", "created"),
}


def partitions(session: Session) -> pd.DataFrame:
    """List the data partitions; `Client.partitions` documents it."""
    try:
        answer = session.request("GET", "partitions", headers={"Accept": "application/json"})
    except BadRequestError as error:
        refusal = error
    else:
        return _table(answer.json(), session)
    advice = (
        "; connect without partition=" if "/partitions/" in session.base else ", so there are none to list"
    )
    raise BadRequestError(
        refusal.status,
        refusal.route,
        refusal.code,
        refusal.message,
        refusal.details,
        hint=f"The service was made without data partitions{advice}.",
    )


def _table(listed: Any, session: Session) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    from dicomframe.tables.schema import TEXT_DTYPE

    if listed is None:
        listed = []
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise DecodeError("The list of data partitions was expected, an array of objects; other JSON came.")
    found = [{name.lower(): value for name, value in each.items()} for each in listed]
    cells = {
        column: [next((row[name] for name in names if row.get(name) is not None), None) for row in found]
        for column, names in _NAMES.items()
    }
    moments = pa.array([microseconds_of(value) for value in cells["created"]], pa.timestamp("us", tz="UTC"))
    table = pd.DataFrame(
        {
            "PartitionName": pd.array([_text(value) for value in cells["PartitionName"]], dtype=TEXT_DTYPE),
            "key": pd.array([_number(value) for value in cells["key"]], dtype=pd.Int64Dtype()),
            "created": pd.DatetimeTZDtype("us", "UTC").__from_arrow__(moments),
        },
        index=pd.RangeIndex(len(found)),
    )
    table.attrs["dicom"] = {"service": session.base}
    return table


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return sequence_of({"sequence": value})
