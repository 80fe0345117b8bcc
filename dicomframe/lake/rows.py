"""Changes to rows: instances as they came, series and studies made of their instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
import pyarrow as pa

from dicomframe.dicom import feed, tags
from dicomframe.lake.delta import GONE, SCHEMAS, Name
from dicomframe.tables.convert import from_json
from dicomframe.tables.jsontext import dumps, loads

Item = Mapping[str, Any]
Key = tuple[str, ...]

_UID_NAMES: Final = ("studyInstanceUid", "seriesInstanceUid", "sopInstanceUid")
_MODALITY = "00080060"


def _tags(keywords: str) -> tuple[str, ...]:
    return tuple(tags.attribute(keyword).tag for keyword in keywords.split())


#: The attributes of the patient, study and general series modules that tables of them hold (PS3.3 section A.1.4).
_STUDY_TAGS: Final = _tags(
    """
    SpecificCharacterSet StudyDate StudyTime AccessionNumber InstitutionName ReferringPhysicianName StudyDescription
    TimezoneOffsetFromUTC PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge PatientSize
    PatientWeight PatientComments StudyInstanceUID StudyID
    """
)
_SERIES_TAGS: Final = _tags(
    """
    SpecificCharacterSet SeriesDate SeriesTime Modality Manufacturer InstitutionName StationName SeriesDescription
    ManufacturerModelName BodyPartExamined DeviceSerialNumber SoftwareVersions ProtocolName PatientPosition
    StudyInstanceUID SeriesInstanceUID SeriesNumber Laterality FrameOfReferenceUID PerformedProcedureStepStartDate
    PerformedProcedureStepStartTime
    """
)

#: The attributes that tables of studies and series hold; instances hold all of theirs.
HELD: Final[Mapping[str, frozenset[str]]] = {
    "study": frozenset({*_STUDY_TAGS, "00080061", "00201206", "00201208"}),
    "series": frozenset({*_SERIES_TAGS, "00201209"}),
}


def entry_uids(entry: Mapping[str, Any]) -> Key | None:
    """Give the partition and UIDs of a change; None where it does not name an instance.

    Padding is none of a UID's: a deletion may come without the one that an instance was stored with.
    """
    uids = [uid.rstrip(" \0") if isinstance(uid := entry.get(name), str) else "" for name in _UID_NAMES]
    return (str(entry.get("partitionName") or ""), *uids) if all(uids) else None


def change_rows(entries: Sequence[Mapping[str, Any]], batch: int, cursor: Mapping[str, Any]) -> pa.Table:
    """Make the rows of the table of changes; the last one holds the cursor.

    Without changes it is a row for the cursor alone.
    """
    rows: list[dict[str, Any]] = []
    for entry in entries:
        uids = entry_uids(entry) or [entry.get(name) for name in ("partitionName", *_UID_NAMES)]
        rows.append(
            dict(
                zip(
                    SCHEMAS["changes"].names,
                    [uid if isinstance(uid, str) else None for uid in uids],
                    strict=False,
                )
            )
            | {
                "sequence": feed.sequence_of(entry),
                "timestamp": feed.microseconds_of(entry.get("timestamp")),
                "action": lower(entry.get("action")),
                "state": lower(entry.get("state")),
                "batch": batch,
            }
        )
    rows = rows or [{"batch": batch}]
    rows[-1]["cursor"] = orjson.dumps(cursor).decode()
    return _table(rows, SCHEMAS["changes"])


def lower(value: Any) -> str | None:
    """Give a word of the feed, which servers write in any letter case; None for what is none."""
    return value.strip().lower() if isinstance(value, str) else None


def instance_rows(changes: Mapping[Key, tuple[Mapping[str, Any], Item | None]]) -> pa.Table:
    """Make rows of instances, from their last change and what they hold now; None for those that are gone."""
    present = [key for key, (_, item) in changes.items() if item is not None]
    typed = from_json([_with_uids(changes[key][1] or {}, key) for key in present], "instance", "pyarrow")
    at = {key: place for place, key in enumerate(present)}
    columns = {
        name: typed[name].tolist() if name in typed.columns else [None] * len(present)
        for name in SCHEMAS["instance"].names
    }
    rows = []
    for key, (entry, item) in changes.items():
        row: dict[str, Any] = {} if item is None else {name: each[at[key]] for name, each in columns.items()}
        row |= dict(
            zip(
                ("PartitionName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), key, strict=True
            )
        )
        row |= {
            "sequence": feed.sequence_of(entry),
            "timestamp": feed.microseconds_of(entry.get("timestamp")) or 0,
            "json": None if item is None else dumps(_with_uids(item, key)),
            GONE: item is None,
        }
        rows.append(row)
    return _table(rows, SCHEMAS["instance"].append(pa.field(GONE, pa.bool_())))


def _with_uids(item: Item, key: Key) -> dict[str, Any]:
    """Give metadata the UIDs of its change, which count."""
    uids = zip(("0020000D", "0020000E", "00080018"), key[1:], strict=True)
    return {**item, **{tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids}}


def group_rows(name: Name, instances: pa.Table, keys: Iterable[Key], batch: int) -> pa.Table:
    """Make rows of series or studies of all of their instances; the keys that have none any more are gone.

    What the instances of one disagree about is taken from the newest of them, and named in ``disagrees``.
    """
    names = ("PartitionName", "StudyInstanceUID", "SeriesInstanceUID")[: 2 if name == "study" else 3]
    groups: dict[Key, list[dict[str, Any]]] = {key: [] for key in keys}
    for row in instances.to_pylist():
        if (key := tuple(row[each] for each in names)) in groups:
            groups[key].append(row)
    made = {key: _grouped(name, rows) for key, rows in groups.items() if rows}
    typed = from_json(
        [item for item, _ in made.values()], "study" if name == "study" else "series", "pyarrow"
    )
    columns = {
        column: typed[column].tolist() if column in typed.columns else [None] * len(made)
        for column in SCHEMAS[name].names
    }
    at = {key: place for place, key in enumerate(made)}
    rows = []
    for key, members in groups.items():
        made_row: dict[str, Any] = {}
        if members:
            item, disagrees = made[key]
            made_row |= {column: each[at[key]] for column, each in columns.items()}
            made_row |= {"disagrees": disagrees, "json": dumps(item)}
            made_row |= {which: max(each[which] for each in members) for which in ("sequence", "timestamp")}
        rows.append(made_row | dict(zip(names, key, strict=True)) | {"batch": batch, GONE: not members})
    return _table(rows, SCHEMAS[name].append(pa.field(GONE, pa.bool_())))


def _grouped(name: Name, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Make the attributes of a series or study of those of its instances; tell about which they disagree."""
    rows = sorted(rows, key=lambda row: row["sequence"])
    wanted = _STUDY_TAGS if name == "study" else _SERIES_TAGS
    # One after the other, and no more of each than is wanted: all at once are hundreds of MB of a large study.
    items = [
        {tag: item[tag] for tag in (*wanted, _MODALITY) if tag in item}
        for item in (loads(row["json"].encode()) for row in rows)
    ]
    item: dict[str, Any] = {tag: items[-1][tag] for tag in wanted if tag in items[-1]}
    disagrees = [
        tags.from_tag(tag).column
        for tag in wanted
        if tag != "00080005" and any(each.get(tag) != item.get(tag) for each in items)
    ]
    count = {"vr": "IS", "Value": [len(rows)]}
    if name == "series":
        return item | {"00201209": count}, disagrees
    modalities = {value for each in items for value in _texts_of(each.get(_MODALITY))}
    series = {row["SeriesInstanceUID"] for row in rows}
    item |= {
        "00080061": {"vr": "CS", "Value": sorted(modalities)} if modalities else {"vr": "CS"},
        "00201206": {"vr": "IS", "Value": [len(series)]},
        "00201208": count,
    }
    return item, disagrees


def _texts_of(attribute: Any) -> list[str]:
    """Give the texts among an attribute's values, whatever a server may send for one."""
    values = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Make an Arrow table; whatever pandas calls missing is null."""
    columns = []
    for field in schema:
        cells = [row.get(field.name) for row in rows]
        columns.append(pa.array(cells, field.type, from_pandas=True))
    return pa.Table.from_arrays(columns, schema=schema)
