"""The benchmarks run; how fast anything is, is no matter of a test."""

import os
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
