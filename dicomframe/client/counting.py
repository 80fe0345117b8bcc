"""What is counted or decoded of many instances for figures: pixel values, and waveforms."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from dicomframe.client.collect import Row, collected, failed_row, in_parallel, instances_below, uids_of
from dicomframe.client.datasets import objects_or_failures
from dicomframe.client.outcomes import UID_COLUMNS, explain
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
        return [
            failed_row(path, found) if isinstance(found, DicomFrameError) else row(found)
            for found in objects_or_failures(retriever, path)
        ]

    below = list(
        dict.fromkeys(each for path in dict.fromkeys(paths) for each in instances_below(retriever, path))
    )
    total = _Total()

    def count(path: ResourcePath) -> list[Row]:
        # Added up as they come: what is counted of one instance is as large as the sum.
        total.add(work(path))
        return []

    failed: dict[ResourcePath, list[Row]] = {}
    in_parallel(retriever, below, count, failed, "Counting pixels", len(below), progress)
    for rows in failed.values():
        total.add(rows)
    return total.counts(), _notes(total.colour, total.reasons)


class _Total:
    """The sum of what several threads count."""

    def __init__(self) -> None:
        self.colour = 0
        self.reasons: Counter[str] = Counter()
        self._found: dict[tuple[str, str], PixelCount] = {}
        self._lock = threading.Lock()

    def add(self, rows: Iterable[Row]) -> None:
        """Take the rows of some instances in."""
        with self._lock:
            for each in rows:
                counted = each.get("count")
                if "error" in each:
                    self.reasons[each["error"]] += 1
                elif counted is None:
                    self.colour += 1
                elif (key := (each["key"], counted.unit)) in self._found:
                    self._found[key].add(counted)
                else:
                    self._found[key] = counted

    def counts(self) -> list[PixelCount]:
        """Give the counts in an order that does not hang on which thread was first."""
        return [count for _, count in sorted(self._found.items())]


def waveform_table(retriever: Retriever, paths: Sequence[ResourcePath], progress: Progress) -> pd.DataFrame:
    """Make the table of waveforms, one row a multiplex group."""
    from dicomframe.images.waveforms import waveforms

    def work(path: ResourcePath) -> list[Row]:
        chosen = retriever.representative_path(path)
        try:
            found = waveforms(retriever.instance(chosen))
        except DicomFrameError as error:
            return [failed_row(chosen, error)]
        return [
            uids_of(chosen) | {"label": wave.label, "waveform": wave, "group": number, "status": "decoded"}
            for number, wave in enumerate(found, 1)
        ]

    columns = ("label", "waveform", "status", "error")
    return collected(
        retriever, paths, work, "Decoding waveforms", progress, columns, "waveform", finish=_measured
    )


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
    return " ".join(str(part) for part in parts if part is not None and str(part))


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
