"""``df.dicom`` and ``series.dicom``: check the columns, find the client, delegate. They hold no state.

pandas 3 builds an accessor at each access, so constructing one does nothing but keep the table; every heavier
import is in the method that needs it.
"""

from __future__ import annotations

import pandas as pd

from dicomframe._registration import Later
from dicomframe.accessor.column import DicomColumn
from dicomframe.accessor.conversion import ConversionMethods
from dicomframe.accessor.feed import FeedMethods
from dicomframe.accessor.overlays import OverlayMethods
from dicomframe.accessor.viewing import ViewingMethods

__all__ = ["DicomColumn", "DicomTable"]

#: Deepest UID column -> what a row is.
_ROWS = {"SOPInstanceUID": "instances", "SeriesInstanceUID": "series", "StudyInstanceUID": "studies"}


class DicomTable(ConversionMethods, OverlayMethods, ViewingMethods, FeedMethods):
    """What a table of DICOM attributes can do, as ``df.dicom``.

    Parameters
    ----------
    table : pandas.DataFrame
        A typed table from a search, `dicomframe.from_json` or another method of this accessor; or, for
        `convert_dtypes`, one of raw DICOM JSON objects.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> page = '[{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00101010": {"vr": "AS", "Value": ["042Y"]}}]'
    >>> df = dfr.from_json(page)
    >>> df.dicom.level
    'study'
    >>> df["PatientAge"].dicom.years.tolist()
    [42.0]
    """

    __slots__ = ()

    def __repr__(self) -> str:
        table = self._table
        what = next((name for uid, name in _ROWS.items() if uid in table.columns), "rows")
        service = table.attrs.get("dicom", {}).get("service")
        where = f" of {service}" if service else ""
        return f"<df.dicom: {len(table):,} {what}{where}; help(df.dicom) tells what it can do>"


_NAME = "dicom"
for _kind in (pd.DataFrame, pd.Series):
    if isinstance(vars(_kind).get(_NAME), Later):
        delattr(_kind, _NAME)

pd.api.extensions.register_dataframe_accessor(_NAME)(DicomTable)
pd.api.extensions.register_series_accessor(_NAME)(DicomColumn)
