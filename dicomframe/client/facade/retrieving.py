"""WADO-RS: objects and metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dicomframe.client.addresses import address_of, addresses_of
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.headers import retrieve_headers
from dicomframe.client.metadata import retrieve_metadata
from dicomframe.dicom.paths import ResourcePath

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.client.addresses import Address, Addresses
    from dicomframe.tables.schema import DtypeBackend, OnBadValue


class RetrieveVerbs(ClientBase):
    """Retrieval of objects and metadata (PS3.18 section 10.4)."""

    def retrieve(self, path: Address | pd.DataFrame, *, original: bool = False) -> Iterator[Dataset]:
        """Retrieve the objects of a study, series or instance, one at a time, as they are stored.

        Parameters
        ----------
        path : str, tuple of str, mapping, pandas.Series, ResourcePath, or pandas.DataFrame of one row
            A study's UID, or one to three UIDs from the study down; or a row with UID columns.
        original : bool
            Whether to give the objects as they were before all bulk updates.

        Yields
        ------
        pydicom.Dataset
            As for `retrieve_study`, which has the errors, too.

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
        return self._retriever.objects(address_of(path), original=original)

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

    def retrieve_representative(self, path: Address | pd.DataFrame) -> Dataset:
        """Retrieve the instance that stands for a resource: of a study's largest series of pictures, the middle one.

        Parameters
        ----------
        path : str, tuple of str, mapping, pandas.Series, ResourcePath, or pandas.DataFrame of one row
            As for `retrieve`.

        Raises
        ------
        QueryError
            If it is no one resource, or a UID is malformed.
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
        return self._retriever.representative(address_of(path))

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
        paths: Addresses,
        keywords: Sequence[str] | None = None,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        original: bool = False,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Retrieve the metadata of several resources into one table; `retrieve_metadata` has the rest.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice counts twice.
        keywords, dtype_backend, errors, original
            As for `retrieve_metadata`.
        progress : bool or "auto", optional
            By default the client's.

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
            addresses_of(paths, distinct=False),
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
        paths: Addresses,
        keywords: Sequence[str],
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        original: bool = False,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Read a few attributes of the objects of several resources; `retrieve_headers` has the rest.

        Parameters
        ----------
        paths : pandas.DataFrame or iterable of addresses
            Studies, series or instances, as `download` takes them; what is named twice counts twice.
        keywords, dtype_backend, errors, original
            As for `retrieve_headers`.
        progress : bool or "auto", optional
            By default the client's.

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
            addresses_of(paths, distinct=False),
            keywords,
            dtype_backend,
            errors,
            original=original,
            progress=self._bar(progress),
        )
