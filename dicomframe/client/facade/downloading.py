"""Objects saved as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dicomframe.client.addresses import addresses_of
from dicomframe.client.download import download
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.layout import DEFAULT_LAYOUT
from dicomframe.client.outcomes import OnFailure, check_on_failure

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.addresses import Addresses


class DownloadVerbs(ClientBase):
    """Retrieval into files (PS3.18 section 10.4)."""

    def download(
        self,
        what: Addresses,
        folder: str | Path,
        *,
        layout: str = DEFAULT_LAYOUT,
        original: bool = False,
        overwrite: bool = False,
        errors: OnFailure = "rows",
        progress: bool | str | None = None,
        max_workers: int | None = None,
    ) -> pd.DataFrame:
        """Save objects as files, several at a time. Called again, it keeps what is whole and fetches what is not.

        When the server throttles one request (429, 503 with Retry-After), all wait as long as it asks for.

        Parameters
        ----------
        what : str, pandas.DataFrame, ResourcePath or an iterable of addresses
            A study's UID, or a table at any level. Addresses are studies' UIDs, tuples of one to three UIDs from the
            study down, and rows with UID columns.
        folder : str or pathlib.Path
            Made if it is not there. A hidden file in it remembers which files are whole.
        layout : str
            The path of a file in it, with ``{StudyInstanceUID}``, ``{SeriesInstanceUID}`` and ``{SOPInstanceUID}``.
        original : bool
            Whether to save the objects as they were before all bulk updates.
        overwrite : bool
            Whether to fetch also what is whole already. A file that is kept is not compared with the service: after
            a bulk update (`update_studies`), only this brings the new versions.
        errors : {"rows", "raise"}
            Whether failures and damage are rows, or the first is raised when all else is done.
        progress : bool or "auto", optional
            By default the client's.
        max_workers : int, optional
            How many requests may run at the same time; by default the client's.

        Returns
        -------
        pandas.DataFrame
            One row an instance: the UIDs, ``path``, ``status`` (``"saved"``, ``"kept"``, ``"damaged"``,
            ``"ambiguous"``, ``"failed"``), ``bytes`` (Int64) and ``error``. A study or series of which nothing came has
            one row without the deeper UIDs. An object that the server sends cut off, twice, is damaged: what came of
            it is in a file with ``.damaged`` behind its name, until a later call gets it whole. Different objects with
            the same UIDs are ambiguous: all are kept, with ``.differs-`` and a digest behind the name, and none as the
            instance's file. A saved file with an ``error`` is whole; it says what else there is to know, such as that
            it could not be noted as whole and that the next call fetches it again.

        Raises
        ------
        QueryError
            If the layout is no such path, a UID is malformed, or a file is in the folder's way.
        TableError
            If a table lacks UIDs.
        FolderError
            If the folder cannot be made, or nothing is in it and nothing can be written. What cannot be written later,
            to a full disk for example, is in the rows, and no more is asked for then.
        KeyboardInterrupt
            If it is interrupted. What was saved is whole; `Client.partial` tells what was not.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with tempfile.TemporaryDirectory() as folder, dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.download(uids[0], folder)["status"].tolist()
        ['saved']
        """
        return download(
            self._retriever,
            addresses_of(what),
            folder,
            layout=layout,
            original=original,
            overwrite=overwrite,
            errors=check_on_failure(errors),
            progress=self._bar(progress),
            max_workers=max_workers,
        )
