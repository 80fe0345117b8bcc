"""``make bench``: every benchmark, one table of ratios, and docs/benchmarks.md.

``--quick`` runs each at sizes that take a moment and writes nothing: it shows that the benchmarks work, not how fast
anything is. ``--only start wire`` runs some.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measure import ROOT, Row

MODULES = ("tables", "wire", "service", "scale", "changefeed", "start", "viewer")
PACKAGES = (
    "dicomframe",
    "pandas",
    "pyarrow",
    "orjson",
    "msgspec",
    "pydicom",
    "requests",
    "uvicorn",
    "dicomweb-client",
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=MODULES, default=MODULES)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only:
        for row in importlib.import_module(f"bench_{name}").rows(quick=options.quick):
            rows.append(row)
            figure = f"{row.figure:10.2f} {row.unit:<8} {row.goal_text:>9} {row.verdict}"
            print(f"{row.work:<62} {row.size:>19} {figure} {row.note}", flush=True)
    if not options.quick and set(options.only) == set(MODULES):
        (ROOT / "docs" / "benchmarks.md").write_text(page(rows), encoding="utf-8")
    return 0


def page(rows: list[Row]) -> str:
    """Write the page of results."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench` in one run, on one machine, side by side: CPU seconds unless another unit is named,",
        "medians of interleaved rounds. A ratio says how many times as much, or as little, as the peer named.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}. {versions}.",
        "",
        "| work | size | figure | goal | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        last = f"{row.verdict} {row.note}".strip()
        lines.append(f"| {row.work} | {row.size} | {row.figure:.2f} {row.unit} | {row.goal_text} | {last} |")
    missed = [row for row in rows if row.verdict == "MISSED"]
    if missed:
        lines += ["", "## What holds back what missed its goal", ""]
    for row in missed:
        figure = f"{row.figure:.2f} {row.unit}, goal {row.goal_text}"
        lines.append(f"- **{row.work}**, {row.size} ({figure}): {row.limit or 'not looked into yet.'}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(code)
