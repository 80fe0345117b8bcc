"""Pixels and pictures of a table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from dicomframe.accessor.base import UID_COLUMNS, addresses, for_each, with_attrs
from dicomframe.accessor.remote import RemoteMethods
from dicomframe.errors import DicomFrameError, TableError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pydicom import Dataset

    from dicomframe.client.client import Client
    from dicomframe.dicom.paths import ResourcePath

#: More pictures than this in one figure cannot be told apart.
MOST_PICTURES = 48


class PictureMethods(RemoteMethods):
    """Methods that look into the objects' pixels."""

    __slots__ = ()

    def pixels(self, *, modality_lut: bool = False) -> pd.DataFrame:
        """Retrieve and decode the pixels of the rows' instances.

        Parameters
        ----------
        modality_lut : bool
            Give values in the modality's unit (Hounsfield for CT, PS3.3 C.11.1), as float64, instead of those stored.

        Returns
        -------
        pandas.DataFrame
            One row an instance: the three UIDs; ``pixels``, an ndarray of shape (frames, rows, columns[, 3]), or
            missing; ``status``, ``"decoded"`` or ``"failed"``; ``error``, why.
        """
        from dicomframe.images.pixels import pixels

        rows = []
        for dataset in self.datasets():
            uids = {name: str(dataset.get(name, "")) for name in UID_COLUMNS}
            try:
                rows.append(
                    {**uids, "pixels": pixels(dataset, modality_lut=modality_lut), "status": "decoded"}
                )
            except DicomFrameError as error:
                rows.append({**uids, "status": "failed", "error": str(error)})
        table = pd.DataFrame(rows, columns=[*UID_COLUMNS, "pixels", "status", "error"])
        text = dict.fromkeys([*UID_COLUMNS, "status", "error"], "string")
        return table.astype(text).pipe(with_attrs, self._table)

    def plot(
        self,
        columns: int = 4,
        *,
        most: int = MOST_PICTURES,
        titles: str | Sequence[str] | None = None,
        window: tuple[float, float] | None = None,
    ) -> Figure:
        """Draw a montage of the rows: a study or series by its middle instance, an instance by its first frame.

        Parameters
        ----------
        columns : int
            Pictures side by side.
        most : int
            At most this many rows are drawn; the figure says how many were left out.
        titles : str or sequence of str, optional
            A column of the table, or a text for each picture. By default modality, description and date; never a
            patient's name unless you ask for that column.
        window : (float, float), optional
            Centre and width in the modality's unit; by default each picture's own.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from dicomframe.images.montage import montage

        table = self._table.iloc[:most]
        if isinstance(titles, str):
            if titles not in table.columns:
                raise TableError(f"There is no column {titles[:64]!r} to take the titles from.")
            titles = table[titles].astype("string").fillna("").tolist()
        client = self._client
        pictures = for_each(
            addresses(table, distinct=False), partial(_representative, client), client.max_workers
        )
        left_out = len(self._table) - len(table)
        note = f"{left_out} further rows are not drawn (most={most})" if left_out > 0 else None
        return montage(pictures, columns=columns, titles=titles, window=window, note=note)


def _representative(client: Client, path: ResourcePath) -> Dataset | DicomFrameError:
    """Retrieve the one instance that stands for a row; an error stands for itself."""
    try:
        return client.retrieve_representative(path)
    except DicomFrameError as error:
        return error
