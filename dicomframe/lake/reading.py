"""The tables of a lake as they were at one moment, read into typed tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.errors import LakeError, QueryError
from dicomframe.lake.delta import KEYS
from dicomframe.lake.rows import HELD, Key
from dicomframe.lake.syncing import partition_of
from dicomframe.tables.convert import from_pages
from dicomframe.tables.jsontext import dumps, loads

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.client import Client
    from dicomframe.lake.delta import Table

#: Where a service without data partitions has everything.
_DEFAULT_PARTITION: Final = "Microsoft.Default"
#: Rows that become one page of JSON.
_ROWS_A_PAGE: Final = 2_000
_LEVELS: Final[tuple[Level, ...]] = tuple(UID_KEYWORD_OF_LEVEL)


class Moment:
    """The tables of studies, series and instances as they were at one moment, however the lake goes on.

    Parameters
    ----------
    tables : mapping
        The lake's.
    service : str
        The address of its service.
    as_of : datetime, optional
        When; by default now.
    is_whole : bool
        Whether the lake held all that it should.

    Raises
    ------
    LakeError
        If a study is in several partitions.
    """

    def __init__(
        self, tables: Mapping[Any, Table], service: str, as_of: datetime | None, *, is_whole: bool
    ) -> None:
        self._tables = tables
        self._versions = {level: tables[level].open(as_of).version() for level in _LEVELS}
        uids = tables["study"].read(["StudyInstanceUID"], as_of=self._versions["study"])["StudyInstanceUID"]
        if len(uids.unique()) < len(uids):
            raise LakeError(
                "The lake holds a study in several partitions; a cohort cannot tell their rows apart. Make it of a lake"
                " of one: dfr.sync(dfr.connect(url, partition=...), folder)."
            )
        self._attrs = {"service": service, "completeness": "complete" if is_whole else "truncated"}

    def table(
        self, level: Level, keywords: Sequence[str], studies: Collection[str] | None, *, every: bool = False
    ) -> pd.DataFrame:
        """Give attributes of a level's rows, its own and those of the levels above.

        Parameters
        ----------
        level : {"study", "series", "instance"}
            What a row is.
        keywords : sequence of str
            The columns that are there in any case, with or without values.
        studies : collection of str, optional
            Only what belongs to these.
        every : bool
            Whether the columns are all that there are.

        Raises
        ------
        QueryError
            If the lake does not hold an attribute at that level.
        """
        above = _LEVELS[: _LEVELS.index(level)]
        wanted = dict.fromkeys(tags.attribute(keyword).tag for keyword in keywords)
        held = [HELD.get(each) for each in (*above, level)]
        for tag in wanted:
            if None not in held and not any(tag in each for each in held if each is not None):
                raise QueryError(
                    f"A lake does not hold {tags.from_tag(tag).column} of a {level}; search instances, in a step with"
                    " level='instance'."
                )
        known = {each: dict(self._items(each, wanted, studies, every=every)) for each in above}

        def pages() -> Iterator[bytes]:
            page: list[str] = []
            for key, item in self._items(level, wanted, studies, every=every):
                over: dict[str, Any] = {}
                for each in above:
                    over |= known[each].get(key[: len(KEYS[each])], {})
                page.append(dumps(over | item))
                if len(page) == _ROWS_A_PAGE:
                    yield as_page(page)
                    page.clear()
            yield as_page(page)

        return from_pages(pages(), level, attrs=self._attrs, keywords=keywords)

    def _items(
        self, level: Level, wanted: Collection[str], studies: Collection[str] | None, *, every: bool
    ) -> Iterator[tuple[Key, dict[str, Any]]]:
        among = None if studies is None else ("StudyInstanceUID", studies)
        if studies is not None and not studies:
            return
        found = self._tables[level].read([*KEYS[level], "json"], as_of=self._versions[level], among=among)
        found = found.sort_by([(key, "ascending") for key in KEYS[level]])
        for batch in found.to_batches(max_chunksize=_ROWS_A_PAGE):
            for row in batch.to_pylist():
                item = loads(row.pop("json").encode())
                if not every:
                    item = {tag: item[tag] for tag in wanted if tag in item}
                yield tuple(row.values()), item


def compare(instances: Table, client: Client) -> pd.DataFrame:
    """Hold a lake's instances against a search for all; `Lake.check` documents it."""
    keys = list(KEYS["instance"])
    here = instances.read(keys).to_pandas()
    there = client.search_instances().to_frame()[keys[1:]]
    name = partition_of(client.url)
    if name is None:
        # Searches without a partition find what is in the default one, and feeds may name it or not.
        name = _DEFAULT_PARTITION
        here["PartitionName"] = here["PartitionName"].replace("", name)
    there.insert(0, "PartitionName", name)
    joined = there.merge(here.astype(there.dtypes), how="outer", on=keys, indicator="where")
    joined["where"] = joined["where"].map({"left_only": "service", "right_only": "lake"}).astype("string")
    only: pd.DataFrame = joined[joined["where"].notna()].reset_index(drop=True)
    return only


def pages_of(texts: pa.ChunkedArray) -> Iterator[bytes]:
    """Make pages of JSON of a column."""
    for start in range(0, len(texts), _ROWS_A_PAGE):
        yield as_page(texts.slice(start, _ROWS_A_PAGE).to_pylist())


def as_page(texts: Sequence[str]) -> bytes:
    """Make one page of JSON of its rows."""
    return b"[%b]" % b",".join(text.encode("utf-8", "surrogatepass") for text in texts)


def check_as_of(as_of: Any) -> None:
    """Refuse what is neither a version nor a moment that is the same everywhere.

    Raises
    ------
    QueryError
        If it is that.
    """
    if as_of is None or (isinstance(as_of, int) and not isinstance(as_of, bool) and as_of >= 0):
        return
    if not isinstance(as_of, datetime):
        raise QueryError("as_of= is a datetime with a time zone, or the number of a version of the table.")
    if as_of.tzinfo is None:
        raise QueryError(
            "as_of= has no time zone: datetime.now(UTC), or when.astimezone() for this machine's."
        )


def check_moment(as_of: Any) -> None:
    """Refuse what is no moment of all tables at once.

    Raises
    ------
    QueryError
        If it is that.
    """
    check_as_of(as_of)
    if isinstance(as_of, int):
        raise QueryError(
            "as_of= is a datetime with a time zone here: the number of a version is of one table."
        )
