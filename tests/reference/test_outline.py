"""Completeness: each entry of the user's reference is shown by at least one test that says so.

A test says so with ``@pytest.mark.covers("Store Single Instance")`` for a heading and
``@pytest.mark.covers("Study Level: StudyDate")`` for a row or item under one. Letter case and punctuation do not
matter, and a row's own name is enough where no other entry has it.
"""

import json
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent
OUTLINE = runpy.run_path(str(HERE / "outline.py"))["OUTLINE"]

# Runs in a process of its own, because a run of single files has not collected the others.
COLLECT = """
import json, sys, pytest
class Collector:
    found = []
    def pytest_collection_modifyitems(self, items):
        for item in items:
            for mark in item.iter_markers("covers"):
                self.found += map(str, mark.args)
collector = Collector()
code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[2:]], plugins=[collector])
open(sys.argv[1], "w").write(json.dumps(sorted(set(collector.found))))
sys.exit(int(code))
"""


def plain(text):
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def entries():
    """Each entry's name, and the texts of marks that stand for it."""
    named = []
    for headings in OUTLINE.values():
        for heading, rows in headings.items():
            if rows:
                named += [(f"{heading}: {row}", [f"{heading} {row}", row]) for row in rows]
            else:
                named.append((heading, [heading]))
    counted = Counter(plain(text) for _, texts in named for text in texts)
    return {name: {plain(text) for text in texts if counted[plain(text)] == 1} for name, texts in named}


@pytest.fixture(scope="module")
def covered(tmp_path_factory):
    files = [str(path) for path in TESTS.rglob("test_*.py") if "mark.covers(" in path.read_text("utf-8")]
    told = tmp_path_factory.mktemp("outline") / "covered.json"
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, str(told), *files],
        capture_output=True, text=True, cwd=TESTS.parent, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {plain(text) for text in json.loads(told.read_text())}


ENTRIES = entries()


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_of_the_reference_has_a_test(covered, name):
    assert ENTRIES[name] & covered, f"no test is marked covers({name!r})"


def test_the_outline_names_nothing_twice():
    assert all(ENTRIES.values()), [name for name, texts in ENTRIES.items() if not texts]
