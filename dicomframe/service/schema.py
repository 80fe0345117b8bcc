"""The index's tables, on one screen, made from the searched attributes."""

from __future__ import annotations

from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import API_VERSIONS, NAME_COLUMNS, SEARCHABLE

#: Raised when the tables change, with a migration from each older number.
SCHEMA_NUMBER = 3

#: The rows of a study or series in the order of their keys, which is how a search below it is paged.
_ORDERED_BELOW = [
    "CREATE INDEX series_newest_of_study ON series (study);",
    "CREATE INDEX instance_newest_of_study ON instance (study);",
    "CREATE INDEX instance_newest_of_series ON instance (series);",
]
#: By an older number: what leads to the next one.
MIGRATIONS = {2: _ORDERED_BELOW}


def _columns_of(level: Level) -> list[str]:
    names: list[str] = []
    for attribute in SEARCHABLE:
        if attribute.level == level:
            names.append(attribute.column)
            if attribute.vr == "PN":
                names += [pattern.format(attribute.column) for pattern in NAME_COLUMNS]
    return names


#: The searched columns of each level's table.
COLUMNS: dict[Level, list[str]] = {level: _columns_of(level) for level in ("study", "series", "instance")}


def statements() -> list[str]:
    """Give the statements that make the tables, in their order."""
    indexes = [
        f"CREATE INDEX {level}_{column} ON {level} (partition, {column})"
        # Few values have a second group or a study ID; where there is none, no filter can match.
        + (f" WHERE {column} IS NOT NULL;" if column != "uid" else ";")
        for level, columns in COLUMNS.items()
        for column in columns
        if not column.endswith("_words") and (level, column) != ("study", "uid")
    ]
    indexes += [f"CREATE INDEX {level}_newest ON {level} (partition);" for level in COLUMNS]
    indexes += _ORDERED_BELOW
    tables = _TABLES.format(
        study=", ".join(COLUMNS["study"]),
        series=", ".join(COLUMNS["series"]),
        answers=", ".join(API_VERSIONS),
        modalities=_GATHER_MODALITIES,
    )
    return [*tables.strip().split(";\n"), *indexes]


_GATHER_MODALITIES = (
    "UPDATE study SET modalities = (SELECT char(92) || group_concat(modality, char(92)) || char(92)"
    " FROM (SELECT DISTINCT modality FROM series WHERE series.study = study.key AND modality IS NOT NULL))"
    " WHERE key ="
)
_TABLES = r"""
CREATE TABLE partition (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL);
CREATE TABLE counter (version INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE study (key INTEGER PRIMARY KEY, partition INTEGER NOT NULL, {study}, modalities TEXT,
    UNIQUE (partition, uid));
CREATE TABLE series (key INTEGER PRIMARY KEY, partition INTEGER NOT NULL, study INTEGER NOT NULL, {series},
    UNIQUE (study, uid));
CREATE INDEX series_modality_of_study ON series (study, modality);
CREATE TABLE instance (key INTEGER PRIMARY KEY, partition INTEGER NOT NULL, study INTEGER NOT NULL,
    series INTEGER NOT NULL, uid TEXT NOT NULL, version INTEGER NOT NULL, transfer_syntax TEXT NOT NULL,
    UNIQUE (series, uid));
CREATE INDEX instance_of_study ON instance (study, version);
CREATE INDEX instance_of_series ON instance (series, version);
CREATE TABLE study_json (key INTEGER PRIMARY KEY, {answers});
CREATE TABLE series_json (key INTEGER PRIMARY KEY, {answers});
CREATE TABLE instance_json (key INTEGER PRIMARY KEY, {answers}, metadata BLOB NOT NULL);
-- What ModalitiesInStudy is searched in and answered from: \CT\MR\, whatever happens to the study's series.
CREATE TRIGGER series_added AFTER INSERT ON series BEGIN {modalities} NEW.study; END;
CREATE TRIGGER series_changed AFTER UPDATE OF modality ON series BEGIN {modalities} NEW.study; END;
CREATE TRIGGER series_gone AFTER DELETE ON series BEGIN {modalities} OLD.study; END;
-- Microseconds since 1970, UTC; never smaller than the row's before.
CREATE TABLE change (sequence INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, action TEXT NOT NULL,
    partition INTEGER NOT NULL, study TEXT NOT NULL, series TEXT NOT NULL, instance TEXT NOT NULL,
    version INTEGER NOT NULL);
CREATE INDEX change_timestamp ON change (timestamp);
-- The first version of each instance that was updated since; the tables above describe its newest.
CREATE TABLE original (key INTEGER PRIMARY KEY, version INTEGER NOT NULL, metadata BLOB NOT NULL);
-- How far bulk updates have come: a study that is done, written together with its new versions.
CREATE TABLE updated_study (operation TEXT NOT NULL, study TEXT NOT NULL, instances INTEGER NOT NULL,
    problem TEXT NOT NULL, PRIMARY KEY (operation, study));
-- Versions whose rows are gone and whose bytes are to be removed.
CREATE TABLE garbage (version INTEGER PRIMARY KEY);
-- Long operations; the owner is the process that does the work.
CREATE TABLE operation (id TEXT PRIMARY KEY, type TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
    status TEXT NOT NULL, percent INTEGER NOT NULL, polls INTEGER NOT NULL, payload TEXT NOT NULL,
    resources TEXT NOT NULL, results TEXT NOT NULL, owner TEXT NOT NULL);
-- Work items: what they are searched by, and the data set as DICOM JSON without its Transaction UID. A start is
-- microseconds since the year 1, UTC.
CREATE TABLE workitem (key INTEGER PRIMARY KEY, partition INTEGER NOT NULL, uid TEXT NOT NULL, state TEXT NOT NULL,
    transaction_uid TEXT NOT NULL, patient_name TEXT, patient_name_groups TEXT, patient_name_words TEXT,
    patient_id TEXT, study_uid TEXT, start INTEGER, data_set BLOB NOT NULL, UNIQUE (partition, uid));
CREATE TABLE workitem_value (workitem INTEGER NOT NULL, path TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX workitem_value_found ON workitem_value (path, value);
CREATE INDEX workitem_value_of ON workitem_value (workitem);
-- Extended query tags, of all partitions; the operation is the latest one on the tag.
CREATE TABLE tag (key INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, vr TEXT NOT NULL,
    creator TEXT NOT NULL, level TEXT NOT NULL, status TEXT NOT NULL, enabled INTEGER NOT NULL,
    operation TEXT NOT NULL);
-- Their values; the owner is the study, series or instance, the version that of the instance that the value is from.
-- The columns of values have no type: the VR decides it.
CREATE TABLE tag_value (tag INTEGER NOT NULL, owner INTEGER NOT NULL, partition INTEGER NOT NULL, value,
    value_groups, value_words, version INTEGER NOT NULL, PRIMARY KEY (tag, owner)) WITHOUT ROWID;
CREATE INDEX tag_value_searched ON tag_value (tag, partition, value);
CREATE INDEX tag_value_groups ON tag_value (tag, partition, value_groups) WHERE value_groups IS NOT NULL;
CREATE TABLE tag_error (tag INTEGER NOT NULL, instance INTEGER NOT NULL, created INTEGER NOT NULL,
    message TEXT NOT NULL, PRIMARY KEY (tag, instance)) WITHOUT ROWID;
CREATE INDEX tag_error_of_instance ON tag_error (instance);
"""
