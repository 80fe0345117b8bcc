"""The service behind a table: search below its rows, retrieve, download, delete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomframe.accessor.base import UID_COLUMNS, TableBase, addresses
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL
from dicomframe.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.client.client import Client
    from dicomframe.client.operations import Operation
    from dicomframe.client.search import Search
    from dicomframe.client.update import BulkOperation
    from dicomframe.dicom.paths import Level, ResourcePath


class RemoteMethods(TableBase):
    """Methods that ask the service for what belongs to the rows."""

    __slots__ = ()

    def use(self, client: Client) -> pd.DataFrame:
        """Tell this table which service its rows are in, and give it back.

        Tables from a search know it already; this is for tables that were read from a file or joined.

        Raises
        ------
        QueryError
            If it is no client.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = dfr.from_json([{"0020000D": {"vr": "UI", "Value": [uids[0]]}}]).dicom.use(client)
        ...     len(table.dicom.series())
        1
        """
        if not isinstance(getattr(client, "url", None), str):
            raise QueryError(f"A client is needed, as dfr.connect() gives, not {type(client).__name__}.")
        known = dict(self._table.attrs.get("dicom", {}))
        self._table.attrs["dicom"] = known | {"service": client.url}
        return self._table

    def studies(self, **filters: Any) -> pd.DataFrame:
        """Search the studies that the rows belong to, one row a study.

        Parameters
        ----------
        **filters
            As in `Client.search_studies`: attributes in CamelCase, controls in lower case.

        Raises
        ------
        TableError
            If a UID column is missing, or a UID in it.
        NoClientError
            If the table does not know its service.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     len(table.dicom.studies())
        1
        """
        return search_around(self._client, self._table, "study", filters)

    def series(self, **filters: Any) -> pd.DataFrame:
        """Search the series of the rows' studies (or the rows' own series), one row a series; see `studies`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.series()["Modality"].tolist()
        ['CT']
        """
        return search_around(self._client, self._table, "series", filters)

    def instances(self, **filters: Any) -> pd.DataFrame:
        """Search the instances of the rows' studies or series (or the rows' own), one row each; see `studies`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     len(table.dicom.instances())
        1
        """
        return search_around(self._client, self._table, "instance", filters)

    def metadata(
        self, keywords: Sequence[str] | None = None, *, progress: bool | str | None = None
    ) -> pd.DataFrame:
        """Retrieve all attributes but bulk data, one row an instance (PS3.18 section 10.4.1.1.2).

        Parameters
        ----------
        keywords : sequence of str, optional
            Only these columns (keywords or eight hex digits), beside the three UIDs; all by default.
        progress : bool or "auto", optional
            By default the client's.

        Warns
        -----
        IncompleteRetrievalWarning
            If some rows' could not be retrieved; ``df.attrs["dicom"]["failed"]`` lists their UIDs and the error. If
            none could, the first one's error is raised.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.metadata(["KVP"])["KVP"].tolist()
        [120.0]
        """
        client = self._client
        return client.collect_metadata(addresses(self._table), keywords, progress=progress)

    def headers(self, keywords: Sequence[str], *, progress: bool | str | None = None) -> pd.DataFrame:
        """Read a few attributes of the objects themselves, one row an instance; see `Client.retrieve_headers`.

        Parameters
        ----------
        keywords : sequence of str
            Keywords or eight hex digits, beside the three UIDs.
        progress : bool or "auto", optional
            By default the client's.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     studies = local.connect().search_studies(ModalitiesInStudy="CR", limit=1).to_frame()
        ...     headers = studies.dicom.headers(["Modality"])
        >>> headers["Modality"].tolist()
        ['CR']
        """
        client = self._client
        return client.collect_headers(addresses(self._table), keywords, progress=progress)

    def datasets(self) -> Iterator[Dataset]:
        """Retrieve the objects of the rows, one at a time, as pydicom Datasets; see `Client.collect_datasets`.

        A stream: only one object is held. A row that fails does not end it; the error at its end tells which they are.

        Yields
        ------
        pydicom.Dataset

        Warns
        -----
        IncompleteRetrievalWarning
            When an object is passed over.

        Raises
        ------
        TableError
            If a UID column is missing, or a UID in it.
        IncompleteRetrievalError
            At the end, if some rows' objects could not be retrieved; its ``failed`` lists their UIDs and the error.
        ServiceError, TransportError, DecodeError
            If there is one row alone, or none of any row could be retrieved.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     [dataset.Modality for dataset in table.dicom.datasets()]
        ['CT']
        """
        return self._client.collect_datasets(addresses(self._table))

    def download(self, folder: str | Path, **options: Any) -> pd.DataFrame:
        """Save the objects of the rows as files; `Client.download` has the options and the columns returned.

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
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.download(folder)["status"].tolist()
        ['saved']
        """
        return self._client.download(self._table, folder, **options)

    def delete(self, *, dry_run: bool = False, progress: bool | str | None = None) -> pd.DataFrame:
        """Delete what the rows stand for, one outcome a row.

        Parameters
        ----------
        dry_run : bool
            Only tell which instances would go.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            UIDs, status and error.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     table.dicom.delete(dry_run=True)["status"].tolist()
        ['would go']
        """
        return self._client.delete_many(addresses(self._table), dry_run=dry_run, progress=progress)

    def update(self, *, dry_run: bool = False, **attributes: Any) -> Operation | BulkOperation | pd.DataFrame:
        """Give patient attributes new values in the rows' studies, whole, whatever the table's level.

        Parameters
        ----------
        dry_run : bool
            Only tell what would change, as a table.
        **attributes
            Keyword and new value; `Client.update_studies` has the rest.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     table = client.search_instances().to_frame()
        ...     plan = table.dicom.update(PatientName="New^Name", dry_run=True)
        >>> plan[["keyword", "after"]].values.tolist()
        [['PatientName', 'New^Name']]
        """
        return self._client.update_studies(self._table, dry_run=dry_run, **attributes)


def search_around(client: Client, table: pd.DataFrame, level: Level, filters: dict[str, Any]) -> pd.DataFrame:
    """Search at a level below, at or above the rows of a table, each UID once."""
    columns = UID_COLUMNS[: list(UID_KEYWORD_OF_LEVEL).index(level) + 1]
    here = table[[name for name in columns if name in table.columns]]
    return client.collect(level, [_search_at(client, level, filters, path) for path in addresses(here)])


def _search_at(client: Client, level: Level, filters: dict[str, Any], path: ResourcePath) -> Search:
    """Make the search for what lies at a level at, below or above an address; nothing is sent yet."""
    if level == "study":
        return client.search_studies(**{"StudyInstanceUID": path.study} | filters)
    if level == "series":
        own: dict[str, Any] = {"SeriesInstanceUID": path.series} if path.series else {}
        return client.search_series(path.study, **own | filters)
    own = {"SOPInstanceUID": path.instance} if path.instance else {}
    return client.search_instances(path.study, path.series, **own | filters)
