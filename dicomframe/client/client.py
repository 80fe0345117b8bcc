"""The facade: every verb of the service as one method; and the way from a table back to its client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dicomframe.client import delete as deletion
from dicomframe.client import store as storage
from dicomframe.client.addresses import addresses_of
from dicomframe.client.download import DEFAULT_LAYOUT, download
from dicomframe.client.outcomes import OnFailure, check_on_failure
from dicomframe.client.progress import Progress, check_progress
from dicomframe.client.retrieve import Retriever
from dicomframe.client.search import PAGE_SIZE, Search
from dicomframe.client.session import Session
from dicomframe.dicom.paths import Level, ResourcePath
from dicomframe.errors import NoClientError

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.tables.schema import DtypeBackend, OnBadValue

#: The latest client of each service. They are kept, so that a table finds the one that made it in passing.
_clients: dict[str, Client] = {}


def client_for(url: str) -> Client:
    """Give the latest client of a service, which a table names by its URL.

    Parameters
    ----------
    url : str
        `Client.url`.

    Raises
    ------
    NoClientError
        If none has been made in this process.
    """
    client = _clients.get(url)
    if client is None:
        raise NoClientError(
            f"No client of {url} is connected in this process. Connect first: dicomframe.connect(url)."
        )
    return client


class Client:
    """A DICOM service (DICOMweb, PS3.18), through which tables, objects and files come and go.

    `dicomframe.connect` makes one. It may be used from many threads, and as a context manager.

    Parameters
    ----------
    url : str
        ``https://<workspace>-<service>.dicom.azurehealthcareapis.com``, or any DICOMweb base URL.
    credential : optional
        An azure-identity credential, a token, or a callable that returns one. None means ``DefaultAzureCredential``
        for an Azure service and no token for another.
    api_version : {"v2", "v1"}
        The version of the API; a URL with a path of its own is taken as it is.
    partition : str, optional
        The data partition.
    max_workers : int
        How many requests may run at the same time.
    timeout : (float, float)
        Seconds to wait for a connection, and for the next bytes of an answer.
    retries : int
        How often a request is sent again after 429, 502, 503, 504 or a cut connection.
    progress : bool or "auto"
        Whether long calls show a bar; ``"auto"``: in terminals and notebooks.
    verify : bool or str
        Whether TLS certificates are checked, or the path of a CA bundle.
    **transport
        ``adapter`` and ``backoff`` of `dicomframe.client.session.Session`, for tests and special transports.

    Attributes
    ----------
    url : str
        The base URL, version and partition included.
    max_workers : int
        As given.
    session : Session
        The way to the service.

    Raises
    ------
    QueryError
        If an argument is malformed, or a token would go over plain http to another machine.
    """

    def __init__(
        self,
        url: str,
        credential: Any = None,
        *,
        api_version: str = "v2",
        partition: str | None = None,
        max_workers: int = 8,
        timeout: tuple[float, float] = (5, 60),
        retries: int = 5,
        progress: bool | str = "auto",
        verify: bool | str = True,
        **transport: Any,
    ) -> None:
        self.session = Session(
            url,
            credential,
            api_version=api_version,
            partition=partition,
            timeout=timeout,
            retries=retries,
            verify=verify,
            max_workers=max_workers,
            **transport,
        )
        self.url = self.session.base
        self.max_workers = max_workers
        self._progress: Progress = check_progress(progress)
        self._retriever = Retriever(self.session)
        _clients[self.url] = self

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def close(self) -> None:
        """Close the connections that are kept open."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- search ------------------------------------------------------------------------------------------------------

    def search_studies(
        self,
        *,
        fuzzy: bool = False,
        fields: str | Sequence[str] | None = None,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> Search:
        """Search studies (QIDO-RS, PS3.18 section 10.6); nothing is sent until the search is read.

        Parameters
        ----------
        fuzzy : bool
            Whether person names match by the beginnings of their words.
        fields : str or sequence of str, optional
            Attributes to return beside the default ones, by keyword; ``"all"`` for all that the service has.
        limit : int, optional
            The most rows in all; by default all there are.
        page_size : int
            Rows to ask for at a time; the service takes at most 200.
        **filters
            What attributes must be, by keyword, or by eight hex digits in ``**{"00100020": ...}``. Text may hold the
            wildcards ``*`` and ``?``. Dates are dates, datetimes or text, ranges are ``(start, end)`` with None for an
            open end, or slices. A list means any of its values.

        Returns
        -------
        Search

        Raises
        ------
        QueryError
            If a filter is no keyword, or its value cannot be searched for.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     search = local.connect().search_studies(StudyDate=("2024-01-01", None), ModalitiesInStudy=["CT", "MR"])
        ...     len(search.to_frame())
        0
        """
        return Search.of(
            self.session,
            "study",
            filters=filters,
            fuzzy=fuzzy,
            fields=fields,
            limit=limit,
            page_size=page_size,
        )

    def search_series(
        self,
        study_uid: Any = None,
        *,
        fuzzy: bool = False,
        fields: str | Sequence[str] | None = None,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> Search:
        """Search series, in all studies or below some; `search_studies` documents the other arguments.

        Parameters
        ----------
        study_uid : str or list of str, optional
            The study, or studies, to search in.
        """
        return Search.of(
            self.session,
            "series",
            filters=filters,
            study_uid=study_uid,
            fuzzy=fuzzy,
            fields=fields,
            limit=limit,
            page_size=page_size,
        )

    def search_instances(
        self,
        study_uid: Any = None,
        series_uid: Any = None,
        *,
        fuzzy: bool = False,
        fields: str | Sequence[str] | None = None,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> Search:
        """Search instances, everywhere or below a study or series; `search_studies` documents the other arguments.

        Parameters
        ----------
        study_uid, series_uid : str or list of str, optional
            What to search in. A series without its study becomes a filter.
        """
        return Search.of(
            self.session,
            "instance",
            filters=filters,
            study_uid=study_uid,
            series_uid=series_uid,
            fuzzy=fuzzy,
            fields=fields,
            limit=limit,
            page_size=page_size,
        )

    def collect(
        self,
        level: Level,
        searches: Sequence[Search],
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
    ) -> pd.DataFrame:
        """Read several searches of one level into one table, each UID once; the first one's limit holds for all.

        Parameters
        ----------
        level : {"study", "series", "instance"}
            What a row is; it types the table if there are no searches.
        searches : sequence of Search
            Of this client.
        dtype_backend, errors
            As for `Search.to_frame`.
        """
        search = Search.united(searches) if searches else Search(self.session, level, [])
        return search.to_frame(dtype_backend, errors)

    # -- retrieve ----------------------------------------------------------------------------------------------------

    def retrieve(self, path: ResourcePath) -> Iterator[Dataset]:
        """Retrieve the objects of a study, series or instance, one at a time, as they are stored."""
        return self._retriever.objects(path)

    def retrieve_study(self, study_uid: str) -> Iterator[Dataset]:
        """Retrieve a study's objects (WADO-RS, PS3.18 section 10.4), one at a time, in their stored transfer syntax.

        Parameters
        ----------
        study_uid : str
            The study.

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
        """
        return self._retriever.objects(ResourcePath(study_uid))

    def retrieve_series(self, study_uid: str, series_uid: str) -> Iterator[Dataset]:
        """Retrieve a series' objects; `retrieve_study` has the rest."""
        return self._retriever.objects(ResourcePath(study_uid, series_uid))

    def retrieve_instance(self, study_uid: str, series_uid: str, instance_uid: str) -> Dataset:
        """Retrieve one object; `retrieve_study` has the errors."""
        return self._retriever.instance(ResourcePath(study_uid, series_uid, instance_uid))

    def retrieve_representative(self, path: ResourcePath) -> Dataset:
        """Retrieve the instance that stands for a resource: of a study's largest series of pictures, the middle one.

        Raises
        ------
        NotFoundError
            If there is no instance.
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
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return self._retriever.metadata([path], keywords, dtype_backend, errors)

    def collect_metadata(
        self,
        paths: Sequence[ResourcePath],
        keywords: Sequence[str] | None = None,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
    ) -> pd.DataFrame:
        """Retrieve the metadata of several resources into one table; `retrieve_metadata` has the rest."""
        return self._retriever.metadata(list(paths), keywords, dtype_backend, errors)

    def download(
        self,
        what: Any,
        folder: str | Path,
        *,
        layout: str = DEFAULT_LAYOUT,
        errors: OnFailure = "rows",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Save objects as files. Called again, it keeps what is whole and fetches what is not.

        Parameters
        ----------
        what : str, pandas.DataFrame, ResourcePath or a list of UIDs
            A study's UID, or a table at any level.
        folder : str or pathlib.Path
            Made if it is not there. A hidden file in it remembers which files are whole.
        layout : str
            The path of a file in it, with ``{StudyInstanceUID}``, ``{SeriesInstanceUID}`` and ``{SOPInstanceUID}``.
        errors : {"rows", "raise"}
            Whether failures are rows, or the first is raised when all else is done.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row an instance: the UIDs, ``path``, ``status`` (``"saved"``, ``"kept"``, ``"failed"``), ``bytes``
            (Int64) and ``error``. A study or series of which nothing came has one row without the deeper UIDs.

        Raises
        ------
        QueryError
            If the layout is no such path, or a UID is malformed.
        TableError
            If a table lacks UIDs.
        OSError
            If the folder cannot be made.
        """
        return download(
            self._retriever,
            addresses_of(what),
            folder,
            layout=layout,
            errors=check_on_failure(errors),
            progress=self._progress if progress is None else check_progress(progress),
        )

    # -- write -------------------------------------------------------------------------------------------------------

    def store(
        self,
        sources: Any,
        study_uid: str | None = None,
        batch_size: int = storage.BATCH_SIZE,
        *,
        errors: OnFailure = "rows",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Store instances (STOW-RS, PS3.18 section 10.5), in batches, several at a time.

        Parameters
        ----------
        sources : path, bytes, pydicom.Dataset, or an iterable of them
            A folder is walked. Files are streamed from disk; Datasets are written as DICOM files first.
        study_uid : str, optional
            The study that all must belong to.
        batch_size : int
            Instances a request; a request that the server finds too large is halved.
        errors : {"rows", "raise"}
            Whether failures are rows, or an error when all else is done.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row for each file or object, in the order given: ``path``, the three UIDs, ``status``, ``code`` (Int64:
            failure or warning reason, or the HTTP status of a request that failed as a whole), ``reason`` and
            ``warnings``. The status is ``"stored"``; ``"warning"``: stored, with a warning; ``"exists"``: it was there
            already; ``"failed"``: refused; ``"unreadable"``: never sent, because it is no DICOM file or cannot be
            read; ``"unknown"``: sent, and the answer does not speak of it.

        Raises
        ------
        QueryError
            If an argument is malformed.
        ServiceError, TransportError
            If not one request went through.
        """
        return storage.store(
            self.session,
            sources,
            study_uid=study_uid,
            batch_size=batch_size,
            errors=check_on_failure(errors),
            progress=self._progress if progress is None else check_progress(progress),
        )

    def delete(
        self,
        study_uid: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        dry_run: bool = False,
        wait: bool = True,
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
        """
        path = ResourcePath(study_uid, series_uid, instance_uid)
        return deletion.delete_many(self.session, [path], dry_run=dry_run, wait=wait, errors="raise")

    def delete_many(
        self,
        paths: Iterable[ResourcePath],
        *,
        dry_run: bool = False,
        wait: bool = True,
        errors: OnFailure = "rows",
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Delete several resources; one that fails does not stop the others.

        Parameters
        ----------
        paths : iterable of ResourcePath, or whatever `download` takes
            What to delete.
        dry_run, wait
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
        """
        return deletion.delete_many(
            self.session,
            addresses_of(paths),
            dry_run=dry_run,
            wait=wait,
            errors=check_on_failure(errors),
            progress=self._progress if progress is None else check_progress(progress),
        )
