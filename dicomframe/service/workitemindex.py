"""Work items in the index: how they are kept, found and searched.

The data set is kept as DICOM JSON without its Transaction UID, which is an access lock and must never be sent; what
may be searched by stands in columns of its own, and what lies within sequences in a table of values.
"""

# ruff: noqa: S608 - statements are put together from the names in this module and in attributes.py
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import orjson

from dicomframe.service.attributes import Comparable, comparable, fold_name, words_of
from dicomframe.service.datetimes import interval_of
from dicomframe.service.index import Connection
from dicomframe.service.matching import Clause, Test, column_clauses
from dicomframe.service.workitembody import DataSet, text_of, values_of
from dicomframe.service.workitemrules import SOP_INSTANCE_UID, STATE, TRANSACTION_UID, State


@dataclass(frozen=True, slots=True)
class WorkitemAttribute:
    """An attribute that work items may be searched by.

    Parameters
    ----------
    path : str
        Its keyword, behind the sequence's and a dot where it lies in one.
    tags : str
        The same in eight hex digits each.
    vr : str
        From the dictionary.
    column : str
        Its column; empty for what lies in a sequence.
    """

    path: str
    tags: str
    vr: str
    column: str = ""


SEARCHABLE: Final = (
    WorkitemAttribute("PatientName", "00100010", "PN", "patient_name"),
    WorkitemAttribute("PatientID", "00100020", "LO", "patient_id"),
    WorkitemAttribute("ReferencedRequestSequence.AccessionNumber", "0040A370.00080050", "SH"),
    WorkitemAttribute("ReferencedRequestSequence.RequestedProcedureID", "0040A370.00401001", "SH"),
    WorkitemAttribute("ScheduledProcedureStepStartDateTime", "00404005", "DT", "start"),
    WorkitemAttribute("ScheduledStationNameCodeSequence.CodeValue", "00404025.00080100", "SH"),
    WorkitemAttribute("ScheduledStationClassCodeSequence.CodeValue", "00404026.00080100", "SH"),
    WorkitemAttribute("ScheduledStationGeographicLocationCodeSequence.CodeValue", "00404027.00080100", "SH"),
    WorkitemAttribute("ProcedureStepState", STATE, "CS", "state"),
    WorkitemAttribute("StudyInstanceUID", "0020000D", "UI", "study_uid"),
)
_NESTED: Final = tuple(attribute for attribute in SEARCHABLE if not attribute.column)


@dataclass(frozen=True, slots=True)
class WorkitemFilter:
    """One attribute and the test that one of its values must pass."""

    attribute: WorkitemAttribute
    test: Test


@dataclass(frozen=True, slots=True)
class Workitem:
    """A work item as it is kept.

    Parameters
    ----------
    data_set : dict
        DICOM JSON without the Transaction UID.
    transaction_uid : str
        Its owner's; empty while it has none.
    """

    data_set: DataSet
    transaction_uid: str = ""

    @property
    def state(self) -> State:
        """Its Procedure Step State."""
        return cast("State", text_of(self.data_set, STATE))


def find(connection: Connection, partition: int, uid: str) -> Workitem | None:
    """Give a work item, None if there is none."""
    row = connection.execute(
        "SELECT data_set, transaction_uid FROM workitem WHERE partition = ? AND uid = ?", (partition, uid)
    ).fetchone()
    return None if row is None else Workitem(orjson.loads(row[0]), row[1])


def keep(writer: Connection, partition: int, workitem: Workitem) -> None:
    """Write a work item down, new or changed; it keeps its place among the others."""
    data_set = {tag: value for tag, value in workitem.data_set.items() if tag != TRANSACTION_UID}
    columns = {
        "partition": partition,
        "uid": text_of(data_set, SOP_INSTANCE_UID),
        "transaction_uid": workitem.transaction_uid,
        **_columns(data_set),
        "data_set": orjson.dumps(data_set, option=orjson.OPT_SORT_KEYS),
    }
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    (key,) = writer.execute(
        f"INSERT INTO workitem ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        f" ON CONFLICT (partition, uid) DO UPDATE SET {changes} RETURNING key",
        tuple(columns.values()),
    ).fetchone()
    writer.execute("DELETE FROM workitem_value WHERE workitem = ?", (key,))
    writer.executemany(
        "INSERT INTO workitem_value VALUES (?, ?, ?)",
        [(key, path, value) for path, value in sorted(_nested_values(data_set))],
    )


def search(
    connection: Connection, partition: int, filters: Sequence[WorkitemFilter], limit: int, offset: int
) -> list[DataSet]:
    """Give the data sets of the work items that pass all filters, newest first."""
    clauses: list[Clause] = [("w.partition = ?", [partition]), *map(_clause, filters)]
    rows = connection.execute(
        f"SELECT w.data_set FROM workitem w WHERE {' AND '.join(sql for sql, _ in clauses)}"
        " ORDER BY w.key DESC LIMIT ? OFFSET ?",
        [*(value for _, values in clauses for value in values), limit, offset],
    )
    return [orjson.loads(row[0]) for row in rows]


def _clause(filtered: WorkitemFilter) -> Clause:
    attribute = filtered.attribute
    if attribute.column:
        clauses = column_clauses(f"w.{attribute.column}", attribute.vr, filtered.test)
        return f"({' OR '.join(sql for sql, _ in clauses)})", [
            value for _, values in clauses for value in values
        ]
    ((sql, parameters),) = column_clauses("v.value", attribute.vr, filtered.test)
    return (
        f"EXISTS (SELECT 1 FROM workitem_value v WHERE v.workitem = w.key AND v.path = ? AND {sql})",
        [attribute.tags, *parameters],
    )


def _columns(data_set: DataSet) -> dict[str, Comparable | None]:
    name = next(iter(values_of(data_set, "00100010")), None) or {}
    groups = [fold_name(name.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
    others = "".join(f"={group}" for group in groups[1:] if group)
    words = " ".join(word for group in groups for word in words_of(group))
    start = interval_of(text_of(data_set, "00404005"))
    return {
        "state": text_of(data_set, STATE),
        "patient_name": groups[0] or None,
        "patient_name_groups": f"{others}=" if others else None,
        "patient_name_words": f" {words}" if words else None,
        "patient_id": comparable("LO", text_of(data_set, "00100020")),
        "study_uid": comparable("UI", text_of(data_set, "0020000D")),
        "start": start.first if start else None,
    }


def _nested_values(data_set: DataSet) -> set[tuple[str, str]]:
    """Give path and comparable form of what may be searched by within sequences."""
    found = set()
    for attribute in _NESTED:
        sequence, _, tag = attribute.tags.partition(".")
        for item in values_of(data_set, sequence):
            for value in values_of(item, tag):
                form = comparable(attribute.vr, str(value or ""))
                if form is not None:
                    found.add((attribute.tags, str(form)))
    return found
