"""The benchmarks run; how fast anything is, is no matter of a test."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "module",
    [
        *("tables", "wire", "service", "scale", "changefeed", "start"),
        pytest.param(
            "viewer", marks=pytest.mark.slow
        ),  # JupyterLab, a browser and three notebooks are opened
    ],
)
def test_each_runs_at_a_small_size(module):
    for program in {"service": ["wrk", "Orthanc"], "viewer": ["chromium"]}.get(module, []):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            reason = f"{program} is not installed"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    ran = subprocess.run(
        [sys.executable, str(HERE), "--quick", "--only", module],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) > 2


def test_the_page_says_what_holds_back_each_missed_goal(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    from measure import Row

    bench = runpy.run_path(str(HERE / "__main__.py"), run_name="bench")
    rows = [
        Row("slow", "1", 3.0, "x", 2, limit="the disk."),
        Row("quick", "1", 1.0, "x", 2, limit="nothing."),
        Row("odd", "1", 3.0, "x", 4, least=True),
    ]
    told = bench["page"](rows).partition("## What holds back")[2].splitlines()
    assert told[2:] == [
        "- **slow**, 1 (3.00 x, goal ≤ 2): the disk.",
        "- **odd**, 1 (3.00 x, goal ≥ 4): not looked into yet.",
    ]
    assert "What holds back" not in bench["page"](rows[1:2])
