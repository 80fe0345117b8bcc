"""What a table of the change feed can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomframe.accessor.base import TableBase

if TYPE_CHECKING:
    import pandas as pd


class FeedMethods(TableBase):
    """Methods for tables from `Client.change_feed`, `Client.follow_changes` and `dicomframe.from_change_feed`."""

    __slots__ = ()

    def latest(self) -> pd.DataFrame:
        """Reduce changes to the last of each instance, ordered by sequence number.

        Of an instance that was stored, deleted and stored again one row is left. Take ``state == "current"`` of the
        result for what is there, before you retrieve or download: deleted instances have a row as well.

        Returns
        -------
        pandas.DataFrame
            One row an instance (of a partition, where the table has ``PartitionName``), with this table's columns and
            index labels. Changes that lack a UID are all kept.

        Raises
        ------
        TableError
            If ``sequence`` or one of the three UID columns is missing.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> uids = {"studyInstanceUid": "1.2", "seriesInstanceUid": "1.2.3", "sopInstanceUid": "1.2.3.4"}
        >>> stored = {"sequence": 1, "action": "Create", "state": "Deleted", **uids}
        >>> deleted = {"sequence": 2, "action": "Delete", "state": "Deleted", **uids}
        >>> dfr.from_change_feed([stored, deleted]).dicom.latest()[["sequence", "action", "state"]]
           sequence  action    state
        1         2  delete  deleted
        """
        from dicomframe.tables.feed import latest

        return latest(self._table)
