"""JSON bytes to typed tables, against `orjson.loads` of the same bytes (garbage collector off for it).

CPU seconds, medians of interleaved rounds. Run it by itself: ``python tests/benchmarks/bench_tables.py``.
"""

import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import orjson

import dicomframe as dfr

GOALS = {"study 200": 3, "study 1000": 1.5, "study 10000": 1, "study 100000": 1, "metadata 5000": 1.1}
DIRTY_GOAL = 3


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


def spoilt(rows):
    """Give each row a value that its VR does not allow, and that no two rows share."""
    for at, row in enumerate(rows):
        row["00201208"] = text("IS", f"no number {at}")
    return rows


def cpu(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(page, dirty, rounds):
    """Give the medians in ms: orjson alone, table of the clean page, table of the dirty page."""
    times = [[], [], []]
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        times[0].append(cpu(lambda: orjson.loads(page)))
        gc.enable()
        times[1].append(cpu(lambda: dfr.from_json(page)))
        times[2].append(cpu(lambda: dfr.from_json(dirty)) if dirty else 0)
    return [statistics.median(some) * 1000 for some in times]


def pydicom_way(page):
    """Read a page as it is done today: a data set for each row."""
    from pydicom import Dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in json.loads(page):
            dataset = Dataset.from_json(row)
            for element in dataset:
                getattr(dataset, element.keyword, None)


def peak(count):
    """Give the peak memory of making a table, above what was there with the payload loaded, in payloads."""
    program = f"""
import orjson, re, sys
from pathlib import Path
sys.path.insert(0, {sys.path[0]!r})
import bench_tables, dicomframe as dfr
dfr.from_json(orjson.dumps(bench_tables.study_rows(2000)))
page = open(sys.argv[1], "rb").read()
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
table = dfr.from_json(page)
print((peak() - before) / len(page))
"""
    with tempfile.NamedTemporaryFile() as file:
        file.write(orjson.dumps(study_rows(count)))
        file.flush()
        answer = subprocess.run(
            [sys.executable, "-c", program, file.name], check=True, capture_output=True, text=True
        )
    return float(answer.stdout)


def main():
    print(
        f"{'rows':>15} {'MB':>6} {'orjson ms':>10} {'table ms':>9} {'ratio':>6} {'goal':>5} {'dirty':>6} {'goal':>5}"
    )
    for kind, count, rounds in (
        ("study", 200, 60),
        ("study", 1_000, 30),
        ("study", 10_000, 9),
        ("study", 100_000, 3),
        ("metadata", 5_000, 5),
    ):
        make = study_rows if kind == "study" else metadata_rows
        rows = make(count)
        page = orjson.dumps(rows)
        dirty = orjson.dumps(spoilt(rows)) if kind == "study" else None
        del rows
        dfr.from_json(page)
        base, clean, bad = compare(page, dirty, rounds)
        name = f"{kind} {count}"
        print(
            f"{name:>15} {len(page) / 1e6:6.1f} {base:10.2f} {clean:9.2f} {clean / base:6.2f} {GOALS[name]:5}"
            + (f" {bad / base:6.2f} {DIRTY_GOAL:5}" if dirty else "")
        )
    page = orjson.dumps(study_rows(10_000))
    ours = statistics.median(cpu(lambda: dfr.from_json(page)) for _ in range(5))
    print(f"pydicom, 10,000 rows: {cpu(lambda: pydicom_way(page)) / ours:.0f} times as long (goal 45)")
    print(
        f"peak memory, 100,000 rows: {peak(100_000):.2f} payloads beside the payload itself (goal 2 in all)"
    )


if __name__ == "__main__":
    main()
