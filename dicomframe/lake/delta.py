"""The one place that speaks to Delta tables: make, merge, append, read (extra ``lake``).

A merge is told from a number which rows are newer, so that the same batch can be merged twice. An append names its
batch: Delta refuses a second one of the same number, by whichever program.

Who writes claims the tables first. From then on Delta refuses whoever claimed them before, who might hold something
older: what they wrote until then is as if they had died there, and is done again from the last batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
from pyarrow import compute

from dicomframe.errors import LakeError

if TYPE_CHECKING:
    from deltalake import CommitProperties
    from deltalake import DeltaTable as DeltaTable  # noqa: PLC0414 - for the annotations of this package

Name = Literal["study", "series", "instance", "changes"]
#: The name under which batches are counted in the tables' logs.
_APPLICATION: Final = "dicomframe"
#: The name under which claims are.
_WRITER: Final = "dicomframe writer"

_TEXTS: Final = pa.list_(pa.string())
_UIDS: Final = (("PartitionName", pa.string()), ("StudyInstanceUID", pa.string()))
_SERIES_UID: Final = ("SeriesInstanceUID", pa.string())
_INSTANCE_UID: Final = ("SOPInstanceUID", pa.string())
_MOMENT: Final = pa.timestamp("us", "UTC")
#: What each table holds beside the attributes of its level: the number and time of the change that it is from, and all
#: of its attributes as DICOM JSON, of which typed tables are made without loss.
_OWN: Final = (("sequence", pa.int64()), ("timestamp", _MOMENT), ("json", pa.string()))
SCHEMAS: Final[Mapping[Name, pa.Schema]] = {
    "study": pa.schema(
        [
            *_UIDS,
            ("PatientID", pa.string()),
            ("PatientName", pa.string()),
            ("PatientBirthDate", pa.date32()),
            ("PatientSex", pa.string()),
            ("PatientAge", pa.string()),
            ("StudyDate", pa.date32()),
            ("StudyDescription", pa.string()),
            ("AccessionNumber", pa.string()),
            ("ModalitiesInStudy", _TEXTS),
            ("NumberOfStudyRelatedSeries", pa.int64()),
            ("NumberOfStudyRelatedInstances", pa.int64()),
            ("disagrees", _TEXTS),
            *_OWN,
            ("batch", pa.int64()),
        ]
    ),
    "series": pa.schema(
        [
            *_UIDS,
            _SERIES_UID,
            ("Modality", pa.string()),
            ("SeriesNumber", pa.int64()),
            ("SeriesDescription", pa.string()),
            ("BodyPartExamined", pa.string()),
            ("Manufacturer", pa.string()),
            ("ManufacturerModelName", pa.string()),
            ("NumberOfSeriesRelatedInstances", pa.int64()),
            ("disagrees", _TEXTS),
            *_OWN,
            ("batch", pa.int64()),
        ]
    ),
    "instance": pa.schema(
        [
            *_UIDS,
            _SERIES_UID,
            _INSTANCE_UID,
            ("SOPClassUID", pa.string()),
            ("PatientID", pa.string()),
            ("Modality", pa.string()),
            ("InstanceNumber", pa.int64()),
            ("NumberOfFrames", pa.int64()),
            ("Rows", pa.int64()),
            ("Columns", pa.int64()),
            *_OWN,
        ]
    ),
    "changes": pa.schema(
        [
            *_UIDS,
            _SERIES_UID,
            _INSTANCE_UID,
            ("sequence", pa.int64()),
            ("timestamp", _MOMENT),
            ("action", pa.string()),
            ("state", pa.string()),
            ("batch", pa.int64()),
            ("cursor", pa.string()),
        ]
    ),
}
KEYS: Final[Mapping[Name, tuple[str, ...]]] = {
    "study": ("PartitionName", "StudyInstanceUID"),
    "series": ("PartitionName", "StudyInstanceUID", "SeriesInstanceUID"),
    "instance": ("PartitionName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}
#: What says which of two rows is newer.
_ORDER: Final[Mapping[Name, str]] = {"study": "batch", "series": "batch", "instance": "sequence"}
#: Of which columns Delta's log keeps the least and greatest values. The log stays when rows and files are deleted: no
#: patient's name or identifier may be in it.
_IN_LOG: Final = frozenset({*KEYS["instance"], "sequence", "batch"})
#: A predicate with tens of thousands of values ends the process: its reader goes down once for each of them.
_MOST_IN_SQL: Final = 500
#: In rows to merge: whether the row is to be taken away.
GONE: Final = "gone"


def is_table(uri: str, options: Mapping[str, str] | None) -> bool:
    """Tell whether there is a Delta table."""
    from deltalake import DeltaTable

    return bool(DeltaTable.is_deltatable(uri, dict(options or {})))


class Table:
    """One Delta table of a lake.

    Parameters
    ----------
    folder : str
        The lake's folder or address.
    name : {"study", "series", "instance", "changes"}
        Which one.
    options : mapping, optional
        What the storage needs to know.
    """

    def __init__(self, folder: str, name: Name, options: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.uri = f"{folder.rstrip('/')}/{name}"
        self._options = dict(options or {}) or None
        self._claimed = 0

    def create(self, description: str) -> None:
        """Make it, empty; nothing is done if it is there."""
        from deltalake import DeltaTable
        from deltalake.exceptions import CommitFailedError

        if "://" not in self.uri:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        # Of programs that make it at the same moment, one does.
        try:
            DeltaTable.create(
                self.uri,
                SCHEMAS[self.name],
                mode="ignore",
                name=f"dicomframe {self.name}",
                description=description,
                configuration={
                    "delta.dataSkippingStatsColumns": ",".join(
                        each for each in SCHEMAS[self.name].names if each in _IN_LOG
                    ),
                    # Without the log of an earlier time, Delta gives what is left for what was then.
                    "delta.enableExpiredLogCleanup": "false",
                },
                storage_options=self._options,
            )
        except CommitFailedError:
            if not is_table(self.uri, self._options):
                raise

    def open(self, as_of: datetime | int | None = None) -> DeltaTable:
        """Open it, as it is now or was."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            table = DeltaTable(self.uri, storage_options=self._options)
            if as_of is not None:
                table.load_as_version(as_of)
        except (DeltaError, ValueError) as error:
            raise LakeError(
                f"The table {self.name!r} of the lake cannot be opened ({type(error).__name__})."
            ) from None
        # Of a time before its first version, Delta gives the first one.
        if isinstance(as_of, datetime) and as_of.timestamp() * 1000 < (table.metadata().created_time or 0):
            raise LakeError(
                "as_of= lies before the lake was made; what the service held then, it cannot tell."
            )
        return table

    def read(
        self,
        columns: Sequence[str],
        where: str | None = None,
        as_of: datetime | int | None = None,
        *,
        among: tuple[str, Collection[str] | Collection[int]] | None = None,
    ) -> pa.Table:
        """Read columns, of all rows, or of those that a SQL predicate or one column's values choose."""
        from deltalake.exceptions import DeltaError

        table = self.open(as_of)
        schema = pa.schema([SCHEMAS[self.name].field(name) for name in columns])
        try:
            if among is None:
                found = pa.table(table.scan(list(columns), where))
            elif len(among[1]) <= _MOST_IN_SQL:
                found = pa.table(table.scan(list(columns), is_one_of(*among)))
            else:
                reader = pa.RecordBatchReader.from_stream(table.scan(list(columns)))
                found = _chosen(reader, schema, *among)
        except (pa.ArrowException, DeltaError, OSError) as error:
            # Its words may hold the storage's address.
            raise LakeError(
                f"The table {self.name!r} of the lake cannot be read ({type(error).__name__}). If lake.vacuum() has"
                " deleted that version's files, read a later one; begin a cohort anew."
            ) from None
        return found.cast(schema)

    def merge(self, rows: pa.Table) -> None:
        """Put newer rows in place of older ones, take those away that are `GONE`; the same again changes nothing."""
        if not rows.num_rows:
            return
        same = " AND ".join(f"t.{key} = s.{key}" for key in KEYS[self.name])
        values = {name: f"s.{name}" for name in SCHEMAS[self.name].names}
        newer = f"s.{_ORDER[self.name]} >= t.{_ORDER[self.name]}"
        merger = self._open_claimed().merge(
            rows, same, source_alias="s", target_alias="t", commit_properties=self._properties()
        )
        merger = merger.when_matched_delete(f"{newer} AND s.{GONE}").when_matched_update(
            values, predicate=newer
        )
        self._commit(lambda: merger.when_not_matched_insert(values, predicate=f"NOT s.{GONE}").execute())

    def append(self, rows: pa.Table, batch: int) -> None:
        """Append the rows of a batch, unless a batch of that number was."""
        from deltalake import write_deltalake

        table = self._open_claimed()
        if (done := table.transaction_version(_APPLICATION)) is not None and done >= batch:
            raise LakeError(OTHER_WRITER)
        properties = self._properties(batch)
        self._commit(lambda: write_deltalake(table, rows, mode="append", commit_properties=properties))

    def claim(self, number: int | None = None) -> int:
        """Refuse the writes of all who claimed it before; give the claim's number, by which to claim other tables.

        Raises
        ------
        LakeError
            If somebody claimed it with that number or a later one.
        """
        from deltalake import write_deltalake

        table = self.open()
        last = table.transaction_version(_WRITER) or 0
        self._claimed = last + 1 if number is None else number
        if self._claimed <= last:
            raise LakeError(OTHER_WRITER)
        nothing, properties = SCHEMAS[self.name].empty_table(), self._properties()
        self._commit(lambda: write_deltalake(table, nothing, mode="append", commit_properties=properties))
        return self._claimed

    def vacuum(self, hours: int) -> int:
        """Delete the files that no version of the last hours needs; give how many.

        Also those that no version knows: of writes that were refused, or died.
        """
        table, gone = self._open_claimed(), [0]

        def work() -> None:
            gone[0] = len(table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True))

        self._commit(work)
        return gone[0]

    def _open_claimed(self) -> DeltaTable:
        table = self.open()
        if (table.transaction_version(_WRITER) or 0) != self._claimed:
            raise LakeError(OTHER_WRITER)
        return table

    def _properties(self, batch: int | None = None) -> CommitProperties:
        """Give a write its claim, and batch: Delta refuses it if there was another since the table was opened."""
        from deltalake import CommitProperties, Transaction

        transactions = [] if batch is None else [Transaction(_APPLICATION, batch)]
        if self._claimed:
            transactions.append(Transaction(_WRITER, self._claimed))
        return CommitProperties(app_transactions=transactions)

    def batch(self, as_of: datetime | None = None) -> int:
        """Give the number of the last batch; 0 for none."""
        return self.open(as_of).transaction_version(_APPLICATION) or 0

    def _commit(self, work: Any) -> None:
        from deltalake.exceptions import CommitFailedError, DeltaError

        try:
            work()
        except CommitFailedError:
            raise LakeError(OTHER_WRITER) from None
        except DeltaError as error:
            # Its words may hold rows or the storage's address.
            raise LakeError(
                f"The table {self.name!r} of the lake cannot be written ({type(error).__name__})."
            ) from None


OTHER_WRITER: Final = (
    "Another program writes to this lake; let one of them do it."
    " The changes of this batch are not counted twice."
)


def _chosen(
    reader: pa.RecordBatchReader, schema: pa.Schema, column: str, values: Collection[str] | Collection[int]
) -> pa.Table:
    """Read the rows in which a column has one of some values, a batch at a time."""
    wanted = pa.array(list(values), schema.field(column).type)
    # Filters do not know the types in which texts are read.
    batches = (batch.cast(schema) for batch in reader)
    return pa.Table.from_batches(
        (batch.filter(compute.is_in(batch.column(column), value_set=wanted)) for batch in batches), schema
    )


def is_one_of(column: str, values: Iterable[str] | Iterable[int]) -> str:
    """Write a predicate: a column is one of some numbers, or of some texts, whatever is in them.

    Examples
    --------
    >>> is_one_of("StudyInstanceUID", ["1.2", "it's"])
    "StudyInstanceUID IN ('1.2', 'it''s')"
    """
    quoted = (
        "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value) for value in values
    )
    return f"{column} IN ({', '.join(quoted)})"


def check_extra() -> None:
    """Refuse with a hint where the extra is not installed."""
    try:
        import deltalake  # noqa: F401
    except ImportError:
        raise LakeError("A lake needs the package deltalake: pip install 'dicomframe[lake]'.") from None
