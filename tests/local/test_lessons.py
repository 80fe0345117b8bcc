"""The lessons go into a folder of the user's own, keep what was done there, and open in JupyterLab on loopback."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from dicomframe import lessons
from dicomframe.cli import main
from dicomframe.errors import DicomFrameError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_all_lessons_are_copied_and_own_work_stays(tmp_path):
    copied = lessons.copy_lessons(tmp_path / "new" / "folder")
    assert [path.name for path in copied] == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    copied[0].write_text("mine")
    copied[1].unlink()
    assert lessons.copy_lessons(tmp_path / "new" / "folder") == [copied[1]]
    assert copied[0].read_text() == "mine"


def test_copies_have_no_links_that_lead_nowhere(tmp_path):
    texts = [path.read_text(encoding="utf-8") for path in lessons.copy_lessons(tmp_path)]
    assert not [text for text in texts if "](../" in text]
    (lake,) = [text for text in texts if "# A lake" in text]
    assert "The guide (`docs/lake.md` in the repository) says" in lake
    (widgets,) = [text for text in texts if "docs/widgets.md" in text]
    assert "For looking things up: `docs/widgets.md` in the repository." in widgets
    assert json.loads(lake)["nbformat"] == 4


def test_each_lesson_leads_to_those_beside_it():
    lessons_there = sorted(NOTEBOOKS.glob("*.ipynb"))
    for before, after in pairwise(lessons_there):
        assert re.search(
            rf"Next:\s*(\\n\",\s*\")?\[[^]]+\]\({after.name}\)", before.read_text(encoding="utf-8")
        )
        assert re.search(rf"Before: \[[^]]+\]\({before.name}\)", after.read_text(encoding="utf-8"))


def test_the_wheel_brings_them(tmp_path, monkeypatch):
    # As it is when installed: the notebooks lie within the package.
    shutil.copytree(NOTEBOOKS, tmp_path / "package" / "notebooks")
    monkeypatch.setattr(lessons, "_PLACES", (tmp_path / "package" / "notebooks",))
    assert len(lessons.copy_lessons(tmp_path / "folder")) == len(list(NOTEBOOKS.glob("*.ipynb")))


def test_none_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "_PLACES", (tmp_path / "none",))
    with pytest.raises(DicomFrameError, match="no lessons"):
        lessons.copy_lessons(tmp_path)


def test_without_jupyterlab(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lessons.importlib.util, "find_spec", lambda name: None)
    assert main(["lab", str(tmp_path)]) == 1
    assert "dicomframe[notebook,samples]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_opens_them_on_loopback(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dicomframe",
            "lab",
            str(tmp_path / "lessons"),
            "--port",
            "0",
            "--no-browser",
            "--allow-root",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")},
    )
    try:
        said = ""
        while not re.search(r"http://127\.0\.0\.1:\d+/lab", said):
            line = process.stdout.readline()
            assert line, said
            said += line
        assert "lessons copied" in said
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.stdout.close()
        process.wait(timeout=300)
