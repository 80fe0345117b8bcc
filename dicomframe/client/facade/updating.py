"""Bulk update of studies, and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomframe.client import export as exporting
from dicomframe.client import update
from dicomframe.client.facade.base import ClientBase

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.operations import Operation


class UpdateVerbs(ClientBase):
    """Long operations on whole studies: new values in them, and copies of them elsewhere."""

    def update_studies(
        self,
        study_uids: Any,
        *,
        dry_run: bool = False,
        progress: bool | str | None = None,
        **attributes: Any,
    ) -> Operation | update.BulkOperation | pd.DataFrame:
        """Give patient attributes new values in all instances of studies (bulk update, API version 2).

        The service keeps the first version of each instance: ``original=True`` retrieves it.

        Parameters
        ----------
        study_uids : str, pandas.DataFrame or a list of UIDs
            Studies, by UID or as a table with StudyInstanceUID. Whole studies are changed, whatever the table's level.
        dry_run : bool
            Only tell what would change.
        progress : bool or "auto", optional
            By default the client's.
        **attributes
            Keyword and new value: text, dates and times also as Python's, numpy's or pandas' own; a list where the
            attribute has several. A value can be changed, never taken away.

        Returns
        -------
        Operation or BulkOperation or pandas.DataFrame
            The operation that has begun; of more than 50 studies a `BulkOperation`, with the same methods, that begins
            one operation after the other. ``results`` holds studyUpdated, studyFailed, instanceUpdated and errors.
            With ``dry_run``: one row a study and attribute: StudyInstanceUID, keyword, ``before`` (of the study's
            newest instance) and ``after`` (string), ``changes`` (boolean), and ``error`` where the study could not be
            looked up.

        Raises
        ------
        QueryError
            If an attribute is unknown or cannot be updated, does not allow its value, or there are no studies.
        TableError
            If a table lacks StudyInstanceUID.
        NotFoundError
            If the server has no bulk update; version 1 of the API has none.
        ConflictError
            If another update is running: the service does one at a time.
        BadRequestError
            If the service refuses an attribute; its ``message`` and ``details`` say which.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     client.update_studies("1.2.3", PatientName="New^Name").wait().results["instanceUpdated"]
        0
        """
        if dry_run:
            return update.plan(self.session, study_uids, attributes, self._bar(progress))
        return update.update_studies(self.session, study_uids, attributes, self._bar(progress))

    def export(self, what: Any, to: Any, *, progress: bool | str | None = None) -> Operation:
        """Copy objects as files to Azure Blob Storage.

        Parameters
        ----------
        what : str, pandas.DataFrame or iterable of addresses, as `download` takes them
            A study's UID, or a table at any level; ``"all"``: whatever the service, or its data partition, holds.
        to : str, path or mapping
            A container's URL, ``https://<account>.blob.core.windows.net/<container>``: with a SAS token in its query,
            or without one for the service's managed identity. Or ``{"connection_string": ..., "container": ...}``.
            Of a local service also a folder below its ``export_root``; its containers must be on this machine.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        Operation
            Its ``results`` hold ``exported`` and ``skipped`` (numbers of instances) and ``errorHref`` (the log of what
            was skipped). Files are named ``<operation>/results/<study>/<series>/<instance>.dcm``.

        Raises
        ------
        QueryError
            If there is nothing to export, a UID is malformed, or the destination is none.
        TableError
            If a table lacks UIDs.
        BadRequestError
            If the service cannot use the destination.
        NotFoundError, NotBuiltError
            If the server has no export.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> with tempfile.TemporaryDirectory() as folder, dfr.start_local(export_root=folder) as local:
        ...     local.connect().export("1.2.3", "research").wait().results["skipped"]
        1
        """
        return exporting.export(self.session, what, to, self._bar(progress))
