"""The lake that users hold, and the two ways to it: `sync` and `open_lake`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.client.progress import check_progress
from dicomframe.errors import LakeError, QueryError
from dicomframe.lake.about import about, about_of
from dicomframe.lake.delta import KEYS, SCHEMAS, Table, check_extra, is_table
from dicomframe.lake.reading import Moment, check_as_of, check_moment, compare, pages_of
from dicomframe.lake.syncing import claim, only_writer, read_unread, sync_tables

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.client import Client
    from dicomframe.dicom.paths import Level
    from dicomframe.lake.delta import DeltaTable
    from dicomframe.tables.schema import DtypeBackend

_OTHER_SERVICE: Final = (
    "This lake belongs to another service or partition; a lake is of one. Give another folder."
)


def sync(
    client: Client,
    lake: str | os.PathLike[str],
    *,
    follow: bool = False,
    interval: float = 30,
    storage_options: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
    progress: bool | str | None = None,
) -> Lake:
    """Bring a lake up to date with a service, from its change feed; make it if there is none.

    Each change counts exactly once, also when the program dies in the middle, or a batch is read twice.

    Parameters
    ----------
    client : Client
        The service. A lake belongs to one.
    lake : path or str
        A folder, or an address that Delta tables can have (``abfss://...``).
    follow : bool
        Whether to go on with what happens, until `stop` is set or it is interrupted.
    interval : float
        Seconds between questions while nothing happens.
    storage_options : mapping, optional
        What the storage needs to know, as deltalake takes it. It is kept nowhere.
    stop : threading.Event, optional
        Ends it between two batches when it is set.
    progress : bool or "auto", optional
        By default the client's.

    Returns
    -------
    Lake

    Raises
    ------
    LakeError
        If the folder holds another service's lake or cannot be written, another program is writing, or the extra is
        not installed.
    ServiceError, TransportError, DecodeError
        If the feed cannot be had. What was read before is in the lake.

    Examples
    --------
    >>> import tempfile
    >>> import dicomframe as dfr
    >>> from dicomframe.samples import real_files
    >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
    ...     client = local.connect(progress=False)
    ...     stored = client.store(real_files()[:3])
    ...     lake = dfr.sync(client, folder)
    ...     len(lake.to_frame("instance"))
    2
    """
    check_extra()
    if not os.fspath(lake):
        raise LakeError("A lake needs a folder, or an address that Delta tables can have.")
    made = Lake(os.fspath(lake), storage_options)
    made._create(client.url)  # noqa: SLF001 - the same module
    made.sync(client, follow=follow, interval=interval, stop=stop, progress=progress)
    return made


def open_lake(lake: str | os.PathLike[str], *, storage_options: Mapping[str, str] | None = None) -> Lake:
    """Open a lake to read it; no service is needed.

    Raises
    ------
    LakeError
        If there is none, or the extra is not installed.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> dfr.open_lake("/nowhere")
    Traceback (most recent call last):
    ...
    dicomframe.errors.LakeError: There is no lake at that place; dfr.sync(client, folder) makes one.
    """
    check_extra()
    found = Lake(os.fspath(lake), storage_options)
    found._about()  # noqa: SLF001 - the same module
    return found


class Lake:
    """What a service holds, as Delta tables: ``study``, ``series``, ``instance`` and ``changes``.

    `sync` and `open_lake` give it. The tables can be read by whatever reads Delta: DuckDB, Polars, Spark, Fabric.

    Parameters
    ----------
    folder : str
        Where it is.
    storage_options : mapping, optional
        What the storage needs to know.

    Examples
    --------
    >>> import tempfile
    >>> import dicomframe as dfr
    >>> from pydicom import dcmread, examples
    >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
    ...     client = local.connect(progress=False)
    ...     stored = client.store([dcmread(examples.get_path("ct"))])
    ...     lake = dfr.sync(client, folder)
    ...     lake, lake.sequence, lake.cursor["sequence"], lake.service == client.url, lake.folder == folder
    (<Lake after change 1>, 1, 1, True, True)
    """

    def __init__(self, folder: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._tables = {name: Table(folder, name, storage_options) for name in SCHEMAS}
        self._options = storage_options

    def __repr__(self) -> str:
        return f"<Lake after change {self.sequence:,}>"

    @property
    def service(self) -> str:
        """The address of the service that it is of."""
        return str(self._about()["service"])

    @property
    def sequence(self) -> int:
        """The number of the last change that is in it; 0 for none."""
        cursor = self.cursor
        return 0 if cursor is None else max(int(cursor["sequence"]), 0)

    @property
    def cursor(self) -> dict[str, Any] | None:
        """The place in the change feed that it has come to; None before the first change."""
        return self._place()[1]

    def _place(self, as_of: datetime | None = None) -> tuple[int, dict[str, Any] | None]:
        """Give the number of the last batch, and where it ended."""
        batch = self._tables["changes"].batch(as_of)
        if not batch:
            return 0, None
        where = f"batch = {batch} AND cursor IS NOT NULL"
        (text,) = self._tables["changes"].read(["cursor"], where, as_of)["cursor"].to_pylist()
        return batch, orjson.loads(text)

    def sync(
        self,
        client: Client,
        *,
        follow: bool = False,
        interval: float = 30,
        stop: threading.Event | None = None,
        progress: bool | str | None = None,
    ) -> int:
        """Take in what happened since; `dicomframe.sync` has the arguments and errors.

        Returns
        -------
        int
            How many changes there were.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
        ...     client = local.connect(progress=False)
        ...     dfr.sync(client, folder).sync(client)
        0
        """
        if client.url != self.service:
            raise LakeError(_OTHER_SERVICE)
        if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0 <= interval < 1e6:
            raise QueryError("interval must be a number of seconds, 0 or more.")
        with only_writer(self.folder):
            return sync_tables(
                self._tables,
                client,
                *self._place(),
                follow=follow,
                interval=interval,
                stop=stop,
                progress=client.progress if progress is None else check_progress(progress),
            )

    def to_frame(
        self,
        level: Level,
        *,
        as_of: datetime | int | None = None,
        dtype_backend: DtypeBackend = "numpy_nullable",
    ) -> pd.DataFrame:
        """Read a table with all its attributes, typed as a search's or metadata's is.

        Parameters
        ----------
        level : {"study", "series", "instance"}
            Which one. A study's and series' attributes are those of its newest instance.
        as_of : datetime or int, optional
            As it was at that time, which must have a time zone, or at that version of the Delta table.
        dtype_backend : {"numpy_nullable", "pyarrow"}
            Which family of dtypes the columns get.

        Returns
        -------
        pandas.DataFrame
            One row a study, series or instance, ordered by UIDs, with the service's address, so that
            ``df.dicom.series()`` and the like go on from it. Values that could not be read are in
            ``df.dicom.issues()``.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> from dicomframe.samples import real_files
        >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
        ...     client = local.connect(progress=False)
        ...     stored = client.store(real_files()[:3])
        ...     dfr.sync(client, folder).to_frame("study").dicom.level
        'study'
        """
        from dicomframe.tables.convert import from_pages

        if level not in KEYS:
            raise QueryError("level= is one of 'study', 'series', 'instance'.")
        check_as_of(as_of)
        found = self._tables[level].read([*KEYS[level], "json"], as_of=as_of)
        ordered = found.sort_by([(key, "ascending") for key in KEYS[level]])["json"]
        return from_pages(pages_of(ordered), level, dtype_backend, attrs={"service": self.service})

    def moment(self, as_of: datetime | None = None) -> Moment:
        """Hold its tables as they are now, or were at a time, however it goes on; for `dicomframe.cohort`."""
        check_moment(as_of)
        _, cursor = self._place(as_of)
        return Moment(self._tables, self.service, as_of, is_whole=not (cursor or {}).get("unread"))

    def changes(self) -> pd.DataFrame:
        """Give the changes that are in it, in the order of their numbers.

        Returns
        -------
        pandas.DataFrame
            ``sequence``, ``PartitionName``, the three UIDs, ``action``, ``timestamp`` (datetime64[us, UTC]), ``state``
            as it was when the change was read, and ``batch``, in which it came.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> from dicomframe.samples import real_files
        >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
        ...     client = local.connect(progress=False)
        ...     stored = client.store(real_files()[:3])
        ...     dfr.sync(client, folder).changes()["action"].tolist()
        ['create', 'create']
        """
        import pandas as pd

        columns = [name for name in SCHEMAS["changes"].names if name != "cursor"]
        found = self._tables["changes"].read(columns, "sequence IS NOT NULL").sort_by("sequence")
        text = pd.StringDtype("pyarrow", na_value=pd.NA)
        dtypes = {"string": text, "int64": pd.Int64Dtype()}
        table: pd.DataFrame = found.to_pandas(types_mapper=lambda kind: dtypes.get(str(kind)))
        return table

    def unread(self) -> pd.DataFrame:
        """Give the instances that the service calls current in its feed, and whose metadata it did not give.

        The lake does not hold them, or holds them as they were before. Each `sync` asks for them again; a change that
        comes later, such as their deletion, settles it too.

        Returns
        -------
        pandas.DataFrame
            The last change of each, with the columns of `changes`.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
        ...     len(dfr.sync(local.connect(progress=False), folder).unread())
        0
        """
        numbers = [entry["sequence"] for entry in read_unread(self._tables, self.cursor).values()]
        changes = self.changes()
        return changes[changes["sequence"].isin(numbers)].reset_index(drop=True)

    def delta(self, name: str) -> DeltaTable:
        """Give one of its Delta tables, ``study``, ``series``, ``instance`` or ``changes``, for other tools.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
        ...     dfr.sync(local.connect(), folder).delta("study").to_pyarrow_table().num_rows
        0
        """
        if name not in self._tables:
            raise QueryError(f"A lake has the tables {', '.join(self._tables)}.")
        return self._tables[name].open()

    def vacuum(self, *, hours: int = 168) -> int:
        """Delete the files of versions that were replaced longer ago, for good; what is in the lake now stays.

        Deleted and overwritten rows are in the files of earlier versions until then, and so is what writes left that
        were refused or died. Whoever else is writing meanwhile is refused.

        Parameters
        ----------
        hours : int
            For how long ``as_of=`` shall reach back. With 0, whatever the service has deleted is gone from the lake's
            storage, but for its UIDs.

        Returns
        -------
        int
            How many files there were.

        Raises
        ------
        LakeError
            If somebody else is writing.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
        ...     dfr.sync(local.connect(progress=False), folder).vacuum()
        0
        """
        if isinstance(hours, bool) or not isinstance(hours, int) or hours < 0:
            raise QueryError("hours= is a whole number, 0 or more.")
        with only_writer(self.folder):
            claim(self._tables)
            return sum(table.vacuum(hours) for table in self._tables.values())

    def check(self, client: Client) -> pd.DataFrame:
        """Hold the lake against what the service answers to a search of all instances.

        Returns
        -------
        pandas.DataFrame
            ``PartitionName`` and UIDs of instances that are in one of them only, and ``where``: ``"service"`` or
            ``"lake"``. What was stored since the last `sync` is in the service alone. Of a service without data
            partitions, all is in the default one, ``"Microsoft.Default"``.

        Examples
        --------
        >>> import tempfile
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local, tempfile.TemporaryDirectory() as folder:
        ...     client = local.connect(progress=False)
        ...     len(dfr.sync(client, folder).check(client))
        0
        """
        if client.url != self.service:
            raise LakeError(_OTHER_SERVICE)
        return compare(self._tables["instance"], client)

    def _create(self, service: str) -> None:
        """Make the tables that are not there, unless the place is another's."""
        changes = self._tables["changes"]
        if is_table(changes.uri, self._options) and self.service != service:
            raise LakeError(_OTHER_SERVICE)
        for table in self._tables.values():
            table.create(about(service))

    def _about(self) -> dict[str, Any]:
        """Read what the lake says of itself."""
        return about_of(self._tables["changes"], self._options)
