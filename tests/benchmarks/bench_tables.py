"""JSON bytes to typed tables, against `orjson.loads` of the same bytes (garbage collector off for it).

The garbage collector is off for orjson alone, never for ours.
"""

from __future__ import annotations

import json
import random
import tempfile
import warnings

import orjson
from measure import Row, medians, python

import dicomframe as dfr

GOALS = {"study 200": 3, "study 1000": 1.5, "study 10000": 1, "study 100000": 1, "metadata 5000": 1.1}
DIRTY_GOAL = 3
SIZES = (
    ("study", 200, 40),
    ("study", 1_000, 20),
    ("study", 10_000, 7),
    ("study", 100_000, 3),
    ("metadata", 5_000, 5),
)
#: Rows, rounds and goal; a round of 100,000 rows takes the peer most of a minute.
PYDICOM_SIZES = [(1_000, 9, None), (10_000, 5, 45), (100_000, 1, 45)]


def text(vr, value):
    return {"vr": vr, "Value": [value]}


def study_rows(count):
    """Make rows of 18 attributes, as a search for studies gives them."""
    return [
        {
            "00080005": text("CS", "ISO_IR 192"),
            "00080020": text("DA", f"20{at % 25:02}{at % 12 + 1:02}{at % 28 + 1:02}"),
            "00080030": text("TM", f"{at % 24:02}{at % 60:02}{at * 7 % 60:02}"),
            "00080050": text("SH", f"A{at:08}"),
            "00080056": text("CS", "ONLINE"),
            "00080061": {"vr": "CS", "Value": ["CT", "MR"]},
            "00080090": text("PN", {"Alphabetic": f"Doc^{at % 50}"}),
            "00081030": text("LO", "CT Abdomen with contrast"),
            "00081190": text("UR", f"https://host/v2/studies/1.2.826.0.1.3680043.8.498.{at}"),
            "00100010": text("PN", {"Alphabetic": f"Family{at % 997}^Given{at % 31}"}),
            "00100020": text("LO", f"P{at:07}"),
            "00100030": text("DA", f"19{at % 90 + 10:02}{at % 12 + 1:02}{at % 28 + 1:02}"),
            "00100040": text("CS", "FM"[at % 2]),
            "00101010": text("AS", f"{at % 90:03}Y"),
            "0020000D": text("UI", f"1.2.826.0.1.3680043.8.498.{at}"),
            "00200010": text("SH", str(at)),
            "00201206": text("IS", at % 5),
            "00201208": text("IS", at % 500),
        }
        for at in range(count)
    ]


def metadata_rows(count):
    """Make instances of 142 attributes, five of them sequences and some multiple, as metadata has them."""
    from pydicom.datadict import DicomDictionary

    chance = random.Random(7)
    values = {
        "LO": lambda: f"text {chance.randrange(1000)}",
        "SH": lambda: f"T{chance.randrange(1000)}",
        "CS": lambda: chance.choice(["ORIGINAL", "YES", "NO"]),
        "DS": lambda: round(chance.random() * 500, 4),
        "IS": lambda: chance.randrange(1000),
        "US": lambda: chance.randrange(65536),
        "FD": chance.random,
        "UI": lambda: f"1.2.826.0.1.{chance.randrange(10**9)}",
        "DA": lambda: f"2024{chance.randrange(1, 13):02}{chance.randrange(1, 29):02}",
        "TM": lambda: f"{chance.randrange(24):02}{chance.randrange(60):02}{chance.randrange(60):02}",
        "PN": lambda: {"Alphabetic": f"Name^{chance.randrange(100)}"},
    }
    entries = [
        (f"{tag:08X}", vr, vm)
        for tag, (vr, vm, _, retired, keyword) in sorted(DicomDictionary.items())
        if vr in values and keyword and not retired and 0x00080000 < tag < 0x00400000 and tag != 0x0020000D
    ]
    plain = sorted(chance.sample(entries, 136))
    sizes = {tag: 1 if vm == "1" else 3 if vm.startswith("3") else 2 for tag, _, vm in plain}

    def code():
        return {
            "00080100": text("SH", values["SH"]()),
            "00080102": text("SH", "DCM"),
            "00080104": {"vr": "LO"},
        }

    def reference():
        return {"00081150": text("UI", "1.2.840.10008.5.1.4.1.1.2"), "00081155": text("UI", values["UI"]())}

    sequences = {
        "00081032": lambda: [code()],
        "00081140": lambda: [reference() for _ in range(3)],
        "00081199": lambda: [reference()],
        "00400275": lambda: [
            {"00400007": text("LO", values["LO"]()), "00400008": {"vr": "SQ", "Value": [code()]}}
        ],
        "00082218": lambda: [code()],
    }
    return [
        {
            **{tag: {"vr": vr, "Value": [values[vr]() for _ in range(sizes[tag])]} for tag, vr, _ in plain},
            **{tag: {"vr": "SQ", "Value": make()} for tag, make in sequences.items()},
            "0020000D": text("UI", f"1.2.{at}"),
        }
        for at in range(count)
    ]


def spoilt(rows, step=1):
    """Give each row, or each second one, a value that its VR does not allow, and that no two rows share."""
    for at, row in enumerate(rows):
        if at % step == 0:
            row["00201208"] = text("IS", f"no number {at}")
    return rows


def pydicom_way(page):
    """Read a page as it is done today: a data set for each row."""
    from pydicom import Dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in json.loads(page):
            dataset = Dataset.from_json(row)
            for element in dataset:
                getattr(dataset, element.keyword, None)


_PEAK = """
import json, sys
import orjson
from bench_tables import study_rows
from measure import peak_bytes
import dicomframe as dfr
dfr.from_json(orjson.dumps(study_rows(2000)))
page = open(sys.argv[1], "rb").read()
before = peak_bytes()
table = dfr.from_json(page)
print(json.dumps({"peak": (peak_bytes() - before) / len(page)}))
"""


#: What a page of 200 rows, and the tolerant reader, cannot go below.
PAGE_LIMIT = (
    "at the edge: five runs on a loaded machine gave 2.7 to 3.2, where Arrow's reader gave 3.1 to 3.6. Fixed costs of a"
    " small page, each paid with cold caches: structs take 0.45 times orjson.loads to decode and 0.5 to take apart, 18"
    " columns in Arrow's form about 1.0, pandas' arrays and the DataFrame 0.65. Neither text columns made of joined"
    " bytes nor dates read by pairs of digits were quicker."
)
DIRTY_LIMIT = (
    "each bad value makes a row of the issues table in Python: to read it and say why not takes 0.4 times orjson.loads"
    " for 200 of them, texts for people and notes 0.4, the rows' names 0.2. At 200 rows the fixed costs of a small"
    " page come on top of it, 2.7 to 3.2 times; five runs gave 3.5 to 4.4 for a bad value in every row, where"
    " Arrow's reader gave 4.3 to 4.8, and 3.3 to 4.1 for every second row, where rows of dicts gave 4.4 to 5.0."
)
METADATA_LIMIT = "at the edge: two runs of the same code gave 0.99 and 1.11, earlier ones 1.07 to 1.13."
PEAK_LIMIT = (
    "the payload is 1 and the table 0.5; 0.15 to 0.2 are kept by allocators. Without giving memory back to the system"
    " while the parts' columns are put together, it is 2.0 to 2.1."
)
PYDICOM_LIMIT = "both sides are measured in one run, and the peer's time varies: 38 to 57 times were seen."


def _against_orjson(kind, count, rounds):
    """Give a table's time, clean and dirty, in those of orjson alone."""
    made = study_rows(count) if kind == "study" else metadata_rows(count)
    page = orjson.dumps(made)
    works = {"orjson": lambda: orjson.loads(page), "clean": lambda: dfr.from_json(page)}
    if kind == "study":
        # A column of texts alone is still read by Arrow; one of numbers and texts only by the tolerant reader.
        mixed, dirty = orjson.dumps(spoilt(made, step=2)), orjson.dumps(spoilt(made))
        works |= {"mixed": lambda: dfr.from_json(mixed), "dirty": lambda: dfr.from_json(dirty)}
    del made
    times = medians(works, rounds, without_gc=frozenset({"orjson"}))
    size = f"{count:,} rows"
    what = "QIDO" if kind == "study" else "metadata of 142 columns"
    goal = GOALS.get(f"{kind} {count}")
    yield Row(
        f"{what} to a typed table, against orjson.loads",
        size,
        times["clean"] / times["orjson"],
        "x CPU",
        goal,
        limit=METADATA_LIMIT if kind == "metadata" else PAGE_LIMIT if count <= 200 else "",
    )
    for name, rows_that_are in (("dirty", "every row"), ("mixed", "every second row")):
        if name in times:
            ratio = times[name] / times["orjson"]
            yield Row(
                f"the same with a bad value in {rows_that_are}",
                size,
                ratio,
                "x CPU",
                DIRTY_GOAL,
                limit=DIRTY_LIMIT,
            )


def _against_pydicom(count, rounds, goal):
    """Give how many times as long a data set for each row takes."""
    page = orjson.dumps(study_rows(count))
    times = medians({"ours": lambda: dfr.from_json(page), "pydicom": lambda: pydicom_way(page)}, rounds)
    ratio = times["pydicom"] / times["ours"]
    what = "QIDO to a typed table, against pydicom"
    return Row(what, f"{count:,} rows", ratio, "x CPU", goal, True, limit=PYDICOM_LIMIT)


def rows(quick=False):
    """Give all rows, or the same at sizes that take a moment."""
    for kind, count, rounds in SIZES:
        if not quick or count <= 1_000:
            yield from _against_orjson(kind, count, 1 if quick else rounds)
    for count, rounds, goal in [(200, 1, None)] if quick else PYDICOM_SIZES:
        yield _against_pydicom(count, rounds, goal)
    count = 1_000 if quick else 100_000
    with tempfile.NamedTemporaryFile() as file:
        file.write(orjson.dumps(study_rows(count)))
        file.flush()
        # The payload itself is one of the two.
        peak = 1 + python(_PEAK, file.name)["peak"]
    yield Row("peak memory, payload included", f"{count:,} rows", peak, "payloads", 2, limit=PEAK_LIMIT)
