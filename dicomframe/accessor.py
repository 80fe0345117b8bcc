"""``df.dicom`` and ``series.dicom``: check the columns, find the client, delegate. They hold no state.

pandas 3 builds an accessor at each access, so constructing one does nothing but keep the table; every heavier
import is in the method that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import pandas as pd

from dicomframe.errors import DicomFrameError, NoClientError, TableError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pydicom import Dataset

    from dicomframe.client.client import Client
    from dicomframe.client.search import Search
    from dicomframe.dicom.paths import Level, ResourcePath
    from dicomframe.tables.schema import DtypeBackend, OnBadValue

Result = TypeVar("Result")

#: More pictures than this in one figure cannot be told apart.
MOST_PICTURES = 48


class DicomTable:
    """What a table of DICOM attributes can do, as ``df.dicom``.

    Parameters
    ----------
    table : pandas.DataFrame
        A typed table from a search, `dicomframe.from_json` or another method of this accessor; or, for
        `convert_dtypes`, one of raw DICOM JSON objects.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> page = '[{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00101010": {"vr": "AS", "Value": ["042Y"]}}]'
    >>> df = dfr.from_json(page)
    >>> df.dicom.level
    'study'
    >>> df["PatientAge"].dicom.years.tolist()
    [42.0]
    """

    __slots__ = ("_table",)

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    # -- the table itself ------------------------------------------------------------------------------------------

    def convert_dtypes(
        self, dtype_backend: DtypeBackend = "numpy_nullable", errors: OnBadValue = "coerce"
    ) -> pd.DataFrame:
        """Make a typed table of one whose cells are DICOM JSON attributes (PS3.18 annex F).

        Parameters
        ----------
        dtype_backend : {"numpy_nullable", "pyarrow"}
            Which family of dtypes the columns get.
        errors : {"coerce", "raise"}
            Whether a value that its VR does not allow becomes missing and one row of `issues`, or raises.

        Returns
        -------
        pandas.DataFrame
            One row a row of this table, with its index.

        Raises
        ------
        ValueRefused
            With ``errors="raise"``, at the first value that cannot be read.

        Examples
        --------
        >>> raw = pd.DataFrame([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}])
        >>> raw.dicom.convert_dtypes().loc[0, "StudyInstanceUID"]
        '1.2'
        """
        from dicomframe.tables.convert import convert_dtypes

        return convert_dtypes(self._table, dtype_backend=dtype_backend, errors=errors)

    @property
    def level(self) -> Level:
        """What a row is: ``"study"``, ``"series"`` or ``"instance"``, from the UID columns that are there.

        Raises
        ------
        TableError
            If there is no StudyInstanceUID column.
        """
        from dicomframe.tables.convert import level_of_table

        return level_of_table(self._table)

    @property
    def schema(self) -> pd.DataFrame:
        """The columns: keyword, tag, VR, VM, name, dtype, and how many values are there."""
        from dicomframe.tables.convert import schema

        return schema(self._table)

    def issues(self) -> pd.DataFrame:
        """Give the values of this table's rows that could not be read: UIDs, keyword, VR, raw text and reason."""
        from dicomframe.tables.convert import issues

        return issues(self._table)

    def to_json(self) -> list[dict[str, Any]]:
        """Give the rows back as DICOM JSON objects (PS3.18 annex F), with what was edited since in its new form."""
        from dicomframe.tables.convert import to_json

        return to_json(self._table)

    def names(self, keyword: str = "PatientName") -> pd.DataFrame:
        """Take the names in a PN column apart (PS3.5 section 6.2.1).

        Parameters
        ----------
        keyword : str
            The column.

        Returns
        -------
        pandas.DataFrame
            ``string`` columns: ``family_name``, ``given_name``, ``middle_name``, ``name_prefix``, ``name_suffix``,
            ``ideographic`` and ``phonetic``; missing where a name has no such part.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> df = dfr.from_json([{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Phonetic": "C"}]}}])
        >>> df.dicom.names()[["given_name", "phonetic"]].values.tolist()
        [['B', 'C']]
        """
        from dicomframe.tables.person_names import names

        return names(self._table, keyword)

    # -- the service behind it -------------------------------------------------------------------------------------

    def use(self, client: Client) -> pd.DataFrame:
        """Tell this table which service its rows are in, and give it back.

        Tables from a search know it already; this is for tables that were read from a file or joined.
        """
        known = dict(self._table.attrs.get("dicom", {}))
        self._table.attrs["dicom"] = known | {"service": client.url}
        return self._table

    @property
    def _client(self) -> Client:
        url = self._table.attrs.get("dicom", {}).get("service")
        if url is None:
            raise NoClientError("This table does not know its service. Tell it with df.dicom.use(client).")
        from dicomframe.client.client import client_for

        return client_for(url)

    def _search(self, level: Level, columns: Sequence[str], filters: dict[str, Any]) -> pd.DataFrame:
        """Search at a level below (or beside) the addresses that some of the UID columns give."""
        here = self._table[[name for name in columns if name in self._table.columns]]
        client = self._client
        return client.collect(level, [_search_at(client, level, filters, path) for path in _addresses(here)])

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
        """
        return self._search("study", _UID_COLUMNS[:1], filters)

    def series(self, **filters: Any) -> pd.DataFrame:
        """Search the series of the rows' studies (or the rows' own series), one row a series; see `studies`."""
        return self._search("series", _UID_COLUMNS[:2], filters)

    def instances(self, **filters: Any) -> pd.DataFrame:
        """Search the instances of the rows' studies or series (or the rows' own), one row each; see `studies`."""
        return self._search("instance", _UID_COLUMNS, filters)

    def metadata(self, keywords: Sequence[str] | None = None) -> pd.DataFrame:
        """Retrieve all attributes but bulk data, one row an instance (PS3.18 section 10.4.1.1.2).

        Parameters
        ----------
        keywords : sequence of str, optional
            Only these columns (keywords or eight hex digits), beside the three UIDs; all by default.
        """
        client = self._client
        return client.collect_metadata(_addresses(self._table), keywords)

    def datasets(self) -> Iterator[Dataset]:
        """Retrieve the objects of the rows, one at a time, as pydicom Datasets."""
        client = self._client
        for path in _addresses(self._table):
            yield from client.retrieve(path)

    def download(self, folder: str | Path, **options: Any) -> pd.DataFrame:
        """Save the objects of the rows as files; `Client.download` has the options and the columns returned."""
        return self._client.download(self._table, folder, **options)

    def delete(self, *, dry_run: bool = False) -> pd.DataFrame:
        """Delete what the rows stand for, one outcome a row.

        Parameters
        ----------
        dry_run : bool
            Only tell which instances would go.

        Returns
        -------
        pandas.DataFrame
            UIDs, status and error.
        """
        return self._client.delete_many(_addresses(self._table), dry_run=dry_run)

    # -- pictures --------------------------------------------------------------------------------------------------

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
            uids = {name: str(dataset.get(name, "")) for name in _UID_COLUMNS}
            try:
                rows.append(
                    {**uids, "pixels": pixels(dataset, modality_lut=modality_lut), "status": "decoded"}
                )
            except DicomFrameError as error:
                rows.append({**uids, "status": "failed", "error": str(error)})
        table = pd.DataFrame(rows, columns=[*_UID_COLUMNS, "pixels", "status", "error"])
        text = dict.fromkeys([*_UID_COLUMNS, "status", "error"], "string")
        return table.astype(text).pipe(_with_attrs, self._table)

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
        pictures = _for_each(
            _addresses(table, distinct=False), partial(_representative, client), client.max_workers
        )
        left_out = len(self._table) - len(table)
        note = f"{left_out} further rows are not drawn (most={most})" if left_out > 0 else None
        return montage(pictures, columns=columns, titles=titles, window=window, note=note)


class DicomColumn:
    """What one column of a DICOM table can do, as ``series.dicom``: parts of person names, ages in years.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> page = '[{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Smith^Anna^^Dr"}]}}]'
    >>> names = dfr.from_json(page)["PatientName"].dicom
    >>> names.family_name[0], names.given_name[0], names.name_prefix[0]
    ('Smith', 'Anna', 'Dr')
    """

    __slots__ = ("_column",)

    def __init__(self, column: pd.Series[Any]) -> None:
        self._column = column

    def _part(self, name: str) -> pd.Series[Any]:
        from dicomframe.tables.person_names import component

        return component(self._column, cast("Any", name))

    @property
    def family_name(self) -> pd.Series[Any]:
        """First component of the alphabetic group (PS3.5 section 6.2.1)."""
        return self._part("family_name")

    @property
    def given_name(self) -> pd.Series[Any]:
        """Second component."""
        return self._part("given_name")

    @property
    def middle_name(self) -> pd.Series[Any]:
        """Third component."""
        return self._part("middle_name")

    @property
    def name_prefix(self) -> pd.Series[Any]:
        """Fourth component."""
        return self._part("name_prefix")

    @property
    def name_suffix(self) -> pd.Series[Any]:
        """Fifth component."""
        return self._part("name_suffix")

    @property
    def ideographic(self) -> pd.Series[Any]:
        """The ideographic group of each name, missing where there is none."""
        return self._group("ideographic")

    @property
    def phonetic(self) -> pd.Series[Any]:
        """The phonetic group of each name, missing where there is none."""
        return self._group("phonetic")

    def _group(self, which: Literal["ideographic", "phonetic"]) -> pd.Series[Any]:
        from dicomframe.tables.person_names import group

        return group(self._column, which)

    @property
    def years(self) -> pd.Series[Any]:
        """Ages (AS, ``042Y``, ``018M``, ``003W``, ``011D``) in years, ``Float64``; missing where it is no age."""
        from dicomframe.tables.person_names import years

        return years(self._column)


_UID_COLUMNS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def _addresses(table: pd.DataFrame, *, distinct: bool = True) -> list[ResourcePath]:
    from dicomframe.client.addresses import addresses_of_table

    return addresses_of_table(table, distinct=distinct)


def _for_each(
    paths: Sequence[ResourcePath], work: Callable[[ResourcePath], Result], max_workers: int
) -> list[Result]:
    """Do the work for each address, a bounded number at a time; results in the addresses' order."""
    with ThreadPoolExecutor(max_workers, thread_name_prefix="dicomframe") as workers:
        return list(workers.map(work, paths))


def _search_at(client: Client, level: Level, filters: dict[str, Any], path: ResourcePath) -> Search:
    """Make the search for what lies at a level at, below or above an address; nothing is sent yet."""
    if level == "study":
        return client.search_studies(**{"StudyInstanceUID": path.study} | filters)
    if level == "series":
        own: dict[str, Any] = {"SeriesInstanceUID": path.series} if path.series else {}
        return client.search_series(path.study, **own | filters)
    own = {"SOPInstanceUID": path.instance} if path.instance else {}
    return client.search_instances(path.study, path.series, **own | filters)


def _representative(client: Client, path: ResourcePath) -> Dataset | DicomFrameError:
    """Retrieve the one instance that stands for a row; an error stands for itself."""
    try:
        return client.retrieve_representative(path)
    except DicomFrameError as error:
        return error


def _with_attrs(table: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Carry over which service the rows are in, and nothing that belongs to the source's own cells."""
    service = source.attrs.get("dicom", {}).get("service")
    table.attrs["dicom"] = {"service": service} if service else {}
    return table


pd.api.extensions.register_dataframe_accessor("dicom")(DicomTable)
pd.api.extensions.register_series_accessor("dicom")(DicomColumn)
