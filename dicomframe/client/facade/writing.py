"""STOW-RS and DELETE: what changes the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomframe.client import delete as deletion
from dicomframe.client import store as storage
from dicomframe.client.addresses import addresses_of
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.outcomes import OnFailure, check_on_failure
from dicomframe.dicom.paths import ResourcePath

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.addresses import Addresses


class WriteVerbs(ClientBase):
    """Storing (PS3.18 section 10.5) and deleting."""

    def store(
        self,
        sources: Any,
        study_uid: str | None = None,
        batch_size: int = storage.BATCH_SIZE,
        *,
        verify: bool = False,
        errors: OnFailure = "rows",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Store instances (STOW-RS, PS3.18 section 10.5), in batches, several at a time.

        Parameters
        ----------
        sources : path, bytes, pydicom.Dataset, file open for reading bytes, or an iterable of them
            A folder is walked. Files are streamed from disk; Datasets are written as DICOM files first.
        study_uid : str, optional
            The study that all must belong to.
        batch_size : int
            Instances a request; a request that the server finds too large is halved.
        verify : bool
            Whether to look afterwards, by searching, which of the instances the service has. It looks for their
            UIDs, not at their content.
        errors : {"rows", "raise"}
            Whether failures are rows, or an error when all else is done.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row for each file or object, in the order given: ``path``, the three UIDs, ``status``, ``code`` (Int64:
            failure or warning reason, or the HTTP status of a request that failed as a whole), ``reason``,
            ``warnings`` and ``retrieve_url`` (RetrieveURL, (0008,1190), of what was stored). The status is
            ``"stored"``; ``"warning"``: stored, with a warning; ``"exists"``: it was there already; ``"failed"``:
            refused; ``"unreadable"``: never sent, because it is no DICOM file or cannot be read; ``"unknown"``: sent,
            and the answer does not speak of it.

            With ``verify=True`` also ``verified`` (boolean): whether the service has an instance with these UIDs now;
            missing where it was not asked or could not tell, which ``reason`` says. The status is ``"missing"`` then
            for what was said to be stored and is not there, and no row is ``"unknown"`` that could be looked up.

            ``df.attrs["dicom"]["retrieve_url"]`` is the study's URL, where the service gave one: it does if
            ``study_uid`` names the study.

        Raises
        ------
        QueryError
            If an argument is malformed.
        ServiceError, TransportError
            If not one request went through.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom.data import get_testdata_file
        >>> path = get_testdata_file("CT_small.dcm", download=False)
        >>> with dfr.start_local() as local:
        ...     table = local.connect().store([path, path], verify=True)
        >>> table[["status", "code", "verified"]].values.tolist()
        [['stored', <NA>, True], ['exists', 45070, True]]
        """
        return storage.store(
            self.session,
            sources,
            study_uid=study_uid,
            batch_size=batch_size,
            verify=verify,
            errors=check_on_failure(errors),
            progress=self._bar(progress),
        )

    def delete(
        self,
        study_uid: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        dry_run: bool = False,
        wait: bool = True,
        *,
        background: bool = False,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Delete a study, series or instance. There is no way back.

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            What to delete, at any level.
        dry_run : bool
            Only tell which instances would go.
        wait : bool
            Whether to wait for the end where the service deletes in the background.
        background : bool
            Whether to ask the service for that (``Prefer: respond-async``); one that does not know it deletes at once.
        progress : bool or "auto", optional
            Whether a bar shows how far a deletion in the background is; by default the client's.

        Returns
        -------
        pandas.DataFrame
            UIDs and ``status``: ``"deleted"``, ``"accepted"`` (going on in the background) or, for each instance of a
            dry run, ``"would go"``.

        Raises
        ------
        NotFoundError
            If there is no such resource.
        QueryError
            If a UID is malformed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.delete(uids[0])["status"].tolist()
        ['deleted']
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return deletion.delete_many(
            self.session,
            [path],
            dry_run=dry_run,
            wait=wait,
            background=background,
            errors="raise",
            progress=self._bar(progress) if background else False,
        )

    def delete_many(
        self,
        paths: Addresses,
        *,
        dry_run: bool = False,
        wait: bool = True,
        background: bool = False,
        errors: OnFailure = "rows",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Delete several resources; one that fails does not stop the others.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses, as `download` takes them
            What to delete.
        dry_run, wait, background
            As for `delete`.
        errors : {"rows", "raise"}
            Whether failures are rows, or the first is raised when all else is done.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row a resource, as for `delete`, and ``error``; ``"absent"`` is what was not there, ``"failed"`` what
            could not be deleted.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.dicom.paths import ResourcePath
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> path = ResourcePath(*uids)
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.delete_many([path, ResourcePath("1.2")])["status"].tolist()
        ['deleted', 'absent']
        """
        return deletion.delete_many(
            self.session,
            addresses_of(paths),
            dry_run=dry_run,
            wait=wait,
            background=background,
            errors=check_on_failure(errors),
            progress=self._bar(progress),
        )
