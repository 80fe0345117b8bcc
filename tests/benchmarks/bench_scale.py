"""Archives of a million: searches in a large index, and real series metadata searched to one table.

The indexes are filled directly, because what is measured is asking them, not filling them.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from bench_service import Caller, body_of
from canned_server import instance
from measure import Row, local_service, python

from dicomframe.service.attributes import Row as IndexRow
from dicomframe.service.metadata import SEPARATOR, piece_of
from dicomframe.service.schema import COLUMNS
from dicomframe.service.service import Service

_SERIES_A_STUDY = 2
_INSTANCES_A_SERIES = 50
#: Up to so many rows, a search is too short and too small to be measured by one.
_SMALL = 10_000


def pieces(**values):
    """Make metadata of text attributes: ``_00080060=("CS", "CT")``."""
    made = {}
    for name, (vr, value) in values.items():
        tag = name[1:].encode()
        made[tag] = piece_of(
            int(tag, 16), vr, [{"Alphabetic": value} if vr == "PN" else value] if value else []
        )
    return made


def insert(writer, level, rows):
    """Insert rows of a level: key, parents, and what `IndexRow.of` made."""
    names = [*COLUMNS[level], *(["version", "transfer_syntax"] if level == "instance" else [])]
    parents = {"study": [], "series": ["study"], "instance": ["study", "series"]}[level]
    columns = ["key", "partition", *parents, *names]
    answers = ["key", "v1", "v2", *(["metadata"] if level == "instance" else [])]
    narrow, wide = [], []
    for key, above, row, metadata in rows:
        more = [key, "1.2.840.10008.1.2.1"] if level == "instance" else []
        narrow.append((key, 1, *above, *row.columns.values(), *more))
        wide.append((key, *row.answers, *([metadata] if level == "instance" else [])))
    for table, names_, values in ((level, columns, narrow), (f"{level}_json", answers, wide)):
        marks = ", ".join("?" * len(names_))
        writer.executemany(f"INSERT INTO {table} ({', '.join(names_)}) VALUES ({marks})", values)  # noqa: S608


def fill(folder, instances):
    """Make an archive of so many instances."""
    with Service.open(folder) as service, service.index.transaction() as writer:
        key = 0
        for number in range(max(instances // (_SERIES_A_STUDY * _INSTANCES_A_SERIES), 1)):
            study = pieces(
                _0020000D=("UI", f"1.2.9.{number}"),
                _00100010=("PN", f"Family{number % 997}^Given{number % 31}"),
                _00100020=("LO", f"P{number:07}"),
                _00080020=("DA", f"20{number % 25:02}{number % 12 + 1:02}{number % 28 + 1:02}"),
                _00080050=("SH", f"A{number:07}"),
                _00081030=("LO", f"Study of kind {number % 50}"),
            )
            key += 1
            study_key = key
            insert(writer, "study", [(study_key, (), IndexRow.of("study", study), None)])
            for at in range(_SERIES_A_STUDY):
                modality = ("CT", "MR")[at]
                series = pieces(_0020000E=("UI", f"1.2.9.{number}.{at}"), _00080060=("CS", modality))
                key += 1
                series_key = key
                insert(writer, "series", [(series_key, (study_key,), IndexRow.of("series", series), None)])
                below = []
                for image in range(_INSTANCES_A_SERIES):
                    own = pieces(_00080018=("UI", f"1.2.9.{number}.{at}.{image}"))
                    key += 1
                    whole = study | series | own
                    metadata = b"{" + SEPARATOR.join(whole[tag] for tag in sorted(whole)) + b"}"
                    below.append((key, (study_key, series_key), IndexRow.of("instance", own), metadata))
                insert(writer, "instance", below)
        writer.execute("UPDATE counter SET version = ?", (key,))


def large_index(instances):
    """Indexed searches, also far into the rows; and what a store costs."""
    size = f"{instances:,} instances"
    with tempfile.TemporaryDirectory(prefix="dicomframe-bench-") as folder:
        fill(Path(folder) / "full", instances)
        os.sync()
        studies = max(instances // (_SERIES_A_STUDY * _INSTANCES_A_SERIES), 1)
        far = min(100_000, instances // 2)
        with local_service("--data", Path(folder) / "full") as (url, _):
            caller = Caller(f"{url}/v2")
            for what, route in (
                ("one study by its UID", "studies?StudyInstanceUID=1.2.9.{}"),
                ("one patient", "studies?PatientID=P{:07}"),
                ("a name", "studies?PatientName=Family{}^*"),
                ("a month of studies", "studies?StudyDate=20{:02}0101-20{:02}0131"),
                ("series of a modality", "series?Modality=CT&limit=100"),
                ("instances of a modality", "instances?Modality=CT&limit=100"),
                ("instances of a modality, far in", f"instances?Modality=CT&limit=100&offset={far}"),
                ("all instances, far in", f"instances?limit=100&offset={far}"),
            ):
                waits = []
                for turn in range(40):
                    number = turn * 7919 % studies
                    filled = route.format(*[number % 25] * 2) if "0131" in route else route.format(number)
                    began = time.perf_counter()
                    assert caller("GET", filled) in {200, 204}
                    waits.append(time.perf_counter() - began)
                p95 = sorted(waits)[int(len(waits) * 0.95)] * 1000
                yield Row(f"search: {what}, 95 of 100 within", size, p95, "ms", 50)
        costs = {}
        for name in ("empty", "full"):
            with local_service("--data", Path(folder) / name) as (url, _):
                caller = Caller(f"{url}/v2")
                waits = []
                for number in range(60):
                    file = instance(number + 1, 20_000)
                    began = time.perf_counter()
                    assert caller("POST", "studies", body_of(file)) in {200, 202}
                    waits.append(time.perf_counter() - began)
                costs[name] = statistics.median(waits[10:])
        yield Row(
            "a store, against one into an empty archive", size, costs["full"] / costs["empty"], "x", 1.3
        )


#: Why small tables need more than three times their size.
PEAK_LIMIT = (
    "the table of 10,000 rows is 2.3 MB. 1.5 MB are its UIDs, kept to find rows that come twice; the rest is groups of"
    " pages while they are read, half a megabyte of text in several copies, and what allocators keep. Arrow's asks the"
    " kernel for huge pages, so memory comes 2 MB, or 0.9 tables, at a time: two or three such steps are the peak."
    " Unchanged code gave 2.3 to 4.1 tables from run to run; without huge pages 2.4 to 3.3, in the median 2.9."
)


def fill_series(folder, table):
    """Make an archive of the rows of idc-index-data: real studies and series, without instances."""
    with Service.open(folder) as service, service.index.transaction() as writer:
        keys: dict[str, int] = {}
        key = 0
        for row in table.itertuples():
            if row.StudyInstanceUID not in keys:
                key += 1
                keys[row.StudyInstanceUID] = key
                study = pieces(
                    _0020000D=("UI", row.StudyInstanceUID),
                    _00100020=("LO", row.PatientID),
                    _00080020=("DA", row.StudyDate.replace("-", "")),
                    _00081030=("LO", row.StudyDescription),
                )
                insert(writer, "study", [(key, (), IndexRow.of("study", study), None)])
            key += 1
            series = pieces(
                _0020000E=("UI", row.SeriesInstanceUID),
                _00080060=("CS", row.Modality),
                _00081090=("LO", row.ManufacturerModelName),
            )
            above = (keys[row.StudyInstanceUID],)
            insert(writer, "series", [(key, above, IndexRow.of("series", series), None)])
        writer.execute("UPDATE counter SET version = ?", (key,))


_SEARCH = """
import json, sys, time
from measure import cpu_of, forget_peak, peak_bytes
import dicomframe as dfr
client = dfr.connect(sys.argv[1], progress=False)
# Enough pages for all workers to have been at work: what they hold then, they hold whatever is searched.
client.search_series(limit=4000).to_frame()
forget_peak()
before = peak_bytes()
service = int(sys.argv[2])
began, busy, served = time.perf_counter(), time.process_time(), cpu_of(service)
table = client.search_series().to_frame()
print(json.dumps({
    "rows": len(table), "cpu": time.process_time() - busy, "wall": time.perf_counter() - began,
    "served": cpu_of(service) - served,
    "peak": (peak_bytes() - before) / table.memory_usage(deep=True).sum(),
    "complete": table.attrs["dicom"]["completeness"] == "complete",
}))
"""


def real_series(counts):
    """Real series metadata, searched to one table; growth against the smallest."""
    import pandas as pd

    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    except ImportError:
        yield Row("real series to one table", "", 0, "rows", note="not run: pip install 'dicomframe[bench]'")
        return

    columns = "StudyInstanceUID SeriesInstanceUID PatientID StudyDate StudyDescription Modality ManufacturerModelName"
    source = pd.read_parquet(IDC_INDEX_PARQUET_FILEPATH, columns=columns.split()).astype("string").fillna("")
    first = None
    for count in counts:
        part = source.head(count)
        with tempfile.TemporaryDirectory(prefix="dicomframe-bench-") as folder:
            fill_series(folder, part)
            os.sync()  # what filling left to be written, the search need not wait for
            with local_service("--data", folder) as (url, service):
                runs = [python(_SEARCH, url, service.pid) for _ in range(5 if len(part) <= _SMALL else 1)]
        assert all(run["rows"] == len(part) and run["complete"] for run in runs), runs
        found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        each = (found["cpu"] + found["served"]) / found["rows"]
        first = first or each
        size = f"{len(part):,} series"
        note = f"(CPU: {found['cpu']:.1f} s here, {found['served']:.1f} s the service; {found['wall']:.1f} s in all)"
        yield Row(
            "real series to one table, a row against the smallest size",
            size,
            each / first,
            "x CPU",
            1.5,
            note=note,
        )
        yield Row("the same, peak memory", size, found["peak"], "tables", 3, limit=PEAK_LIMIT)


def rows(quick=False):
    """Give all rows, or the same at sizes that take a moment."""
    yield from large_index(2_000 if quick else 1_000_000)
    yield from real_series([500] if quick else [10_000, 100_000, 2_000_000])
