"""JSON bytes to typed table against ``orjson.loads`` of the same bytes (its garbage collector off), in CPU seconds."""

import gc
import random
import statistics
import time

import orjson

import dicomframe as dfr


def study_rows(count):
    random.seed(1)

    def text(vr, value):
        return {"vr": vr, "Value": [value]}

    return [
        {
            "00080005": text("CS", "ISO_IR 192"),
            "00080020": text("DA", f"20{at % 25:02}{at % 12 + 1:02}{at % 28 + 1:02}"),
            "00080030": text("TM", f"{at % 24:02}{at % 60:02}{at * 7 % 60:02}"),
            "00080050": text("SH", f"A{at:08}"),
            "00080056": text("CS", "ONLINE"),
            "00080061": {"vr": "CS", "Value": ["CT", "MR"]},
            "00080090": {"vr": "PN", "Value": [{"Alphabetic": f"Doc^{at % 50}"}]},
            "00081030": text("LO", "CT Abdomen with contrast"),
            "00081190": text("UR", f"https://host/v2/studies/1.2.3.{at}"),
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"Family{at % 997}^Given{at % 31}"}]},
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


def cpu(work, page):
    started = time.process_time()
    work(page)
    return time.process_time() - started


def main():
    print(f"{'rows':>8} {'MB':>7} {'orjson ms':>10} {'table ms':>10} {'ratio':>6}   tolerant")
    for count, rounds in ((200, 60), (1_000, 30), (10_000, 9), (100_000, 3)):
        rows = study_rows(count)
        page = orjson.dumps(rows)
        for row in rows:
            row["00201208"]["Value"] = ["no number"]
        dirty = orjson.dumps(rows)
        del rows
        dfr.from_json(page), dfr.from_json(dirty)
        loads, table, tolerant = [], [], []
        for _ in range(rounds):
            gc.collect()
            gc.disable()
            loads.append(cpu(orjson.loads, page))
            gc.enable()
            table.append(cpu(dfr.from_json, page))
            tolerant.append(cpu(dfr.from_json, dirty))
        base, fast, slow = (statistics.median(times) * 1000 for times in (loads, table, tolerant))
        print(
            f"{count:8} {len(page) / 1e6:7.1f} {base:10.2f} {fast:10.2f} {fast / base:6.2f}   {slow / base:6.2f}"
        )


if __name__ == "__main__":
    main()
