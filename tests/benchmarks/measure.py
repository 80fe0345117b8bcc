"""What all benchmarks share: CPU seconds, medians of interleaved rounds, peak memory, rows of the table of results.

Every work that is measured for memory or start-up runs in a process of its own; works that are compared run in turns in
one process, so that a noisy machine is noisy for all of them.
"""

from __future__ import annotations

import gc
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure, and the goal that it is held against."""

    work: str
    size: str
    figure: float
    unit: str
    goal: float | None = None
    least: bool = False  # whether the goal is the least that the figure should be, not the most
    note: str = ""
    limit: str = ""  # what holds the figure back; the page tells it where the goal is missed

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "met" if (self.figure >= self.goal if self.least else self.figure <= self.goal) else "MISSED"

    @property
    def goal_text(self) -> str:
        return "" if self.goal is None else f"{'≥' if self.least else '≤'} {self.goal:g}"


def cpu(work: Callable[[], object]) -> float:
    """Give the CPU seconds of this process that a work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def wall(work: Callable[[], object]) -> float:
    """Give the seconds that a work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[Callable[[], object]], float] = cpu,
    without_gc: frozenset[str] = frozenset(),
) -> dict[str, float]:
    """Do the works in turns and give each one's median; the first round, which warms up, does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            gc.collect()
            if name in without_gc:
                gc.disable()
            taken = clock(work)
            gc.enable()
            if number:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def python(program: str, *arguments: object) -> dict[str, float]:
    """Run a program in a process of its own and read the JSON that it prints last."""
    answer = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{HERE}"},
        timeout=900,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def peak_bytes(pid: int | str = "self") -> int:
    """Give the most memory that a process has had, as Linux counts it."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def forget_peak(pid: int | str = "self") -> None:
    """Have the kernel count the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_of(pid: int) -> float:
    """Give the CPU seconds that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(*command: object):
    """Run a server that prints its URL; give the URL and the process; end it by its id."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{HERE}"},
    )
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def canned(*options: object):
    """Run `canned_server.py`."""
    return started(sys.executable, HERE / "canned_server.py", *options)


def local_service(*options: object):
    """Run ``dicomframe serve`` on a free port."""
    return started(sys.executable, "-m", "dicomframe", "serve", "--port", 0, *options)
