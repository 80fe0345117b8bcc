"""WADO-RS: objects, metadata and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomframe.client.addresses import addresses_of
from dicomframe.client.download import download
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.headers import retrieve_headers
from dicomframe.client.layout import DEFAULT_LAYOUT
from dicomframe.client.metadata import retrieve_metadata
from dicomframe.client.outcomes import OnFailure, check_on_failure
from dicomframe.dicom.paths import ResourcePath

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.tables.schema import DtypeBackend, OnBadValue


class RetrieveVerbs(ClientBase):
    """Retrieval of objects and metadata (PS3.18 section 10.4)."""

    def retrieve(self, path: ResourcePath, *, original: bool = False) -> Iterator[Dataset]:
        """Retrieve the objects of a study, series or instance, one at a time, as they are stored.

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
        ...     [dataset.Modality for dataset in client.retrieve(path)]
        ['CT']
        """
        return self._retriever.objects(path, original=original)

    def retrieve_study(self, study_uid: str, *, original: bool = False) -> Iterator[Dataset]:
        """Retrieve a study's objects (WADO-RS, PS3.18 section 10.4), one at a time, in their stored transfer syntax.

        Parameters
        ----------
        study_uid : str
            The study.
        original : bool
            Whether to give the objects as they were before all bulk updates.

        Yields
        ------
        pydicom.Dataset
            Read as it comes in; only one is held.

        Raises
        ------
        QueryError
            If the UID is malformed.
        NotFoundError
            If there is no such study.
        TruncatedBody, ConnectionFailed
            If the answer breaks off; what was yielded before is whole.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     [dataset.Modality for dataset in client.retrieve_study(uids[0])]
        ['CT']
        """
        return self._retriever.objects(ResourcePath(study_uid), original=original)

    def retrieve_series(
        self, study_uid: str, series_uid: str, *, original: bool = False
    ) -> Iterator[Dataset]:
        """Retrieve a series' objects; `retrieve_study` has the rest.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     [dataset.Modality for dataset in client.retrieve_series(*uids[:2])]
        ['CT']
        """
        return self._retriever.objects(ResourcePath(study_uid, series_uid), original=original)

    def retrieve_instance(
        self, study_uid: str, series_uid: str, instance_uid: str, *, original: bool = False
    ) -> Dataset:
        """Retrieve one object; `retrieve_study` has the errors.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.retrieve_instance(*uids) == ct
        True
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return self._retriever.instance(path, original=original)

    def retrieve_representative(self, path: ResourcePath) -> Dataset:
        """Retrieve the instance that stands for a resource: of a study's largest series of pictures, the middle one.

        Raises
        ------
        NotFoundError
            If there is no instance.

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
        ...     client.retrieve_representative(ResourcePath(uids[0])).Modality
        'CT'
        """
        return self._retriever.representative(path)

    def retrieve_metadata(
        self,
        study_uid: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        keywords: Sequence[str] | None = None,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        original: bool = False,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve all attributes but bulk data (PS3.18 section 10.4.1.1.2).

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            What to retrieve, at any level.
        keywords : sequence of str, optional
            Only these columns (keywords or eight hex digits) beside the three UIDs; all by default.
        dtype_backend, errors
            As for `Search.to_frame`.
        original : bool
            Whether to give the metadata as it was before all bulk updates.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row an instance.

        Raises
        ------
        NotFoundError
            If there is no such resource.
        QueryError
            If a UID or keyword is malformed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.retrieve_metadata(uids[0], keywords=["KVP"])["KVP"].tolist()
        [120.0]
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return self.collect_metadata(
            [path], keywords, dtype_backend, errors, original=original, progress=progress
        )

    def collect_metadata(
        self,
        paths: Sequence[ResourcePath],
        keywords: Sequence[str] | None = None,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        original: bool = False,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve the metadata of several resources into one table; `retrieve_metadata` has the rest.

        Warns
        -----
        IncompleteRetrievalWarning
            If some of them could not be retrieved; ``df.attrs["dicom"]["failed"]`` lists their UIDs and the error. If
            none could, the first one's error is raised.

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
        ...     client.collect_metadata([path], ["KVP"])["KVP"].tolist()
        [120.0]
        """
        return retrieve_metadata(
            self.session,
            list(paths),
            keywords,
            dtype_backend,
            errors,
            original=original,
            progress=self._bar(progress),
        )

    def retrieve_headers(
        self,
        study_uid: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        *,
        keywords: Sequence[str],
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        original: bool = False,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Read a few attributes of the objects themselves (WADO-RS, PS3.18 section 10.4), as they come in.

        For servers without metadata, or where the file is what counts; otherwise `retrieve_metadata` moves far fewer
        bytes. Memory is bounded by one object.

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            What to retrieve, at any level.
        keywords : sequence of str
            The attributes beside the three UIDs: keywords or eight hex digits. Bulk data is left out, as in metadata.
        dtype_backend, errors
            As for `Search.to_frame`.
        original : bool
            Whether to read the objects as they were before all bulk updates.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row an instance, in the order in which the server sends them: the UIDs and the columns asked for.

        Raises
        ------
        NotFoundError
            If there is no such resource.
        QueryError
            If a UID or keyword is malformed, or of group 0002.
        DecodeError, TruncatedBody
            If an object cannot be read, or the answer breaks off.
        UnexpectedAnswerError
            If an object of another study, series or instance comes.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     studies = local.connect().search_studies(ModalitiesInStudy="CR", limit=1).to_frame()
        ...     headers = local.connect().retrieve_headers(studies["StudyInstanceUID"][0], keywords=["Modality"])
        >>> headers["Modality"].tolist()
        ['CR']
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return self.collect_headers(
            [path], keywords, dtype_backend, errors, original=original, progress=progress
        )

    def collect_headers(
        self,
        paths: Sequence[ResourcePath],
        keywords: Sequence[str],
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        original: bool = False,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Read a few attributes of the objects of several resources; `retrieve_headers` has the rest.

        Warns
        -----
        IncompleteRetrievalWarning
            As for `collect_metadata`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     local.connect().collect_headers([], ["Modality"]).columns.tolist()[-1]
        'Modality'
        """
        return retrieve_headers(
            self._retriever,
            list(paths),
            keywords,
            dtype_backend,
            errors,
            original=original,
            progress=self._bar(progress),
        )

    def download(
        self,
        what: Any,
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
        what : str, pandas.DataFrame, ResourcePath or a list of UIDs
            A study's UID, or a table at any level.
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
            If the layout is no such path, or a UID is malformed.
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
