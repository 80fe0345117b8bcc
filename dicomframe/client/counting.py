"""What is counted or decoded of many instances for figures: pixel values, and waveforms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dicomframe.client.collect import Row, _failed, _in_parallel, _rows, _table, _uids, instances_below
from dicomframe.client.download import explain
from dicomframe.client.outcomes import UID_COLUMNS
from dicomframe.client.progress import Progress
from dicomframe.client.retrieve import Retriever
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DicomFrameError, QueryError

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.images.tally import PixelCount

LINES: Final = ("modality", "series")


def pixel_counts(
    retriever: Retriever, paths: Sequence[ResourcePath], by: str, progress: Progress
) -> tuple[list[PixelCount], list[str]]:
    """Count the pixels of all instances, with as many objects in memory as there are workers.

    Returns
    -------
    counts : list of PixelCount
        One for each modality or series, and unit.
    notes : list of str
        What is not counted: images in colour, objects that could not be read, and why. A reason names nobody.
    """
    if by not in LINES:
        raise QueryError("by= is 'modality' or 'series'.")
    from dicomframe.images.tally import count_pixels

    def row(dataset: Dataset) -> Row:
        try:
            counted = count_pixels(dataset, _label(dataset, by))
        except DicomFrameError as error:
            return {"error": explain(error)}
        return {"key": _key(dataset, by), "count": counted}

    def work(path: ResourcePath) -> list[Row]:
        if path.level == "instance":
            return [row(retriever.instance(path))]
        rows: list[Row] = []
        try:
            rows.extend(map(row, retriever.objects(path)))
        except DicomFrameError as error:
            rows.append(_failed(path, error))
        return rows

    below = dict.fromkeys(each for path in dict.fromkeys(paths) for each in instances_below(retriever, path))
    found: dict[tuple[str, str], PixelCount] = {}
    reasons: Counter[str] = Counter()
    colour = 0
    for rows in _in_parallel(retriever, below, work, "Counting pixels", len(below), progress):
        for each in rows:
            counted = each.get("count")
            if "error" in each:
                reasons[each["error"]] += 1
            elif counted is None:
                colour += 1
            elif (key := (each["key"], counted.unit)) in found:
                found[key].add(counted)
            else:
                found[key] = counted
    return list(found.values()), _notes(colour, reasons)


def waveform_table(retriever: Retriever, paths: Sequence[ResourcePath], progress: Progress) -> pd.DataFrame:
    """Make the table of waveforms, one row a multiplex group."""
    from dicomframe.images.waveforms import waveforms

    def work(path: ResourcePath) -> list[Row]:
        chosen = retriever.representative_path(path)
        try:
            found = waveforms(retriever.instance(chosen))
        except DicomFrameError as error:
            return [_failed(chosen, error)]
        return [
            _uids(chosen) | {"label": wave.label, "waveform": wave, "group": number, "status": "decoded"}
            for number, wave in enumerate(found, 1)
        ]

    rows = _rows(retriever, paths, work, "Decoding waveforms", progress)
    table = _table(rows, retriever, ("label", "waveform", "status", "error"), "waveform")
    return _measured(table, rows)


def _measured(table: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """Put the typed columns in: what each waveform is."""
    import pandas as pd

    def column(dtype: Any, value: Any) -> Any:
        return pd.array([value(row) if "waveform" in row else pd.NA for row in rows], dtype=dtype)

    table.insert(len(UID_COLUMNS), "group", column("Int64", lambda row: row["group"]))
    measures = (
        ("channels", "Int64", lambda row: row["waveform"].samples.shape[1]),
        ("samples", "Int64", lambda row: row["waveform"].samples.shape[0]),
        ("frequency", "Float64", lambda row: row["waveform"].frequency),
        ("duration", "Float64", lambda row: row["waveform"].duration),
    )
    for at, (name, dtype, value) in enumerate(measures, len(UID_COLUMNS) + 2):
        table.insert(at, name, column(dtype, value))
    return table


def _key(dataset: Dataset, by: str) -> str:
    return str(dataset.get("SeriesInstanceUID" if by == "series" else "Modality") or "")


def _label(dataset: Dataset, by: str) -> str:
    """Name a line without naming a patient: the modality, and of a series its number and description."""
    modality = str(dataset.get("Modality") or "no modality")
    if by == "modality":
        return modality
    parts = (modality, dataset.get("SeriesNumber"), dataset.get("SeriesDescription"))
    return " ".join(str(part) for part in parts if part not in {None, ""})


def _notes(colour: int, reasons: Counter[str]) -> list[str]:
    notes = []
    if colour:
        notes.append(f"{colour:,} colour image{'s' * (colour != 1)} not counted: colours have no unit.")
    for reason, count in reasons.most_common(3):
        notes.append(f"{count:,} not counted: {reason[:120]}")
    others = sum(reasons.values()) - sum(count for _, count in reasons.most_common(3))
    if others:
        notes.append(f"{others:,} not counted for other reasons.")
    return notes
