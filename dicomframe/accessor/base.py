"""What all groups of methods stand on: the table, its client, the addresses of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from dicomframe.errors import NoClientError, TableError

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.client.client import Client
    from dicomframe.dicom.paths import ResourcePath

Result = TypeVar("Result")

UID_COLUMNS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class TableBase:
    """Holds the table; constructing it does nothing else, because pandas 3 does so at each access."""

    __slots__ = ("_table",)

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    @property
    def _client(self) -> Client:
        url = self._table.attrs.get("dicom", {}).get("service")
        if url is None:
            if not set(UID_COLUMNS) & {*self._table.columns, *self._table.index.names}:
                raise TableError(
                    "This table has no UID column, so its rows name nothing in a DICOM service:"
                    " client.search_studies(...).to_frame() gives tables that do. If its cells are DICOM JSON, convert"
                    " it first: df.dicom.convert_dtypes()."
                )
            raise NoClientError("This table does not know its service. Tell it with df.dicom.use(client).")
        from dicomframe.client.client import client_for

        return client_for(url)


def check_rows(table: pd.DataFrame, what: str) -> None:
    """Refuse a table without rows where one is needed: most often a search found nothing."""
    if not len(table):
        raise TableError(
            f"This table has no rows, so there is nothing for {what}. Did the search find anything?"
        )


def addresses(table: pd.DataFrame, *, distinct: bool = True) -> list[ResourcePath]:
    """Give the addresses of a table's rows, at the deepest level with a UID column."""
    from dicomframe.client.addresses import addresses_of_table

    return addresses_of_table(table, distinct=distinct)


def for_each(
    client: Client, paths: Sequence[ResourcePath], work: Callable[[ResourcePath], Result], what: str
) -> list[Result]:
    """Do the work for each address, as many at a time as the client may; results in the addresses' order."""
    from dicomframe.client.progress import progress_bar
    from dicomframe.client.workers import Workers, in_order

    results: list[Result] = []
    with (
        progress_bar(client.progress, what, len(paths), "row") as bar,
        Workers(client.max_workers, "table") as workers,
    ):
        for result in in_order(workers, work, paths, client.max_workers):
            results.append(result)
            bar.update()
    return results
