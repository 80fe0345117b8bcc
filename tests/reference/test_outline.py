"""Completeness: each entry of the user's reference is shown by at least one test that says so.

A test says so with ``@pytest.mark.covers("Store Single Instance")`` for a heading and
``@pytest.mark.covers("Study Level: StudyDate")`` for a row or item under one. Letter case and punctuation do not
matter, and a row's own name is enough where no other entry has it. A test marked with the heading alone shows those
of its rows whose names stand in the test, in its parameters or in its text.
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
import inspect, json, sys, pytest
class Collector:
    found = []
    def pytest_collection_modifyitems(self, items):
        for item in items:
            for mark in item.iter_markers("covers"):
                # A parametrized test shows what its parameters name, any other what its text names.
                text = item.callspec.id if hasattr(item, "callspec") else inspect.getsource(item.function)
                self.found += [(str(name), text) for name in mark.args]
collector = Collector()
code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[2:]], plugins=[collector])
open(sys.argv[1], "w").write(json.dumps(sorted(set(collector.found))))
sys.exit(int(code))
"""


def plain(text):
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def entries():
    """Each entry's name, and when it is shown: by a mark of its own, or by its heading's with the row's name."""
    named = {}
    for headings in OUTLINE.values():
        for heading, rows in headings.items():
            if not rows:
                named[heading] = ({plain(heading)}, None)
            for row in rows:
                named[f"{heading}: {row}"] = (
                    {plain(f"{heading} {row}"), plain(row)},
                    (plain(heading), plain(row)),
                )
    counted = Counter(text for texts, _ in named.values() for text in texts)
    return {
        name: ({text for text in texts if counted[text] == 1}, under)
        for name, (texts, under) in named.items()
    }


def is_shown(entry, covered):
    texts, under = entry
    return any(
        name in texts or (under is not None and name == under[0] and f" {under[1]} " in f" {text} ")
        for name, text in covered
    )


@pytest.fixture(scope="module")
def covered(tmp_path_factory):
    files = [str(path) for path in TESTS.rglob("test_*.py") if "mark.covers(" in path.read_text("utf-8")]
    told = tmp_path_factory.mktemp("outline") / "covered.json"
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, str(told), *files],
        capture_output=True, text=True, cwd=TESTS.parent, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {(plain(name), plain(text)) for name, text in json.loads(told.read_text())}


ENTRIES = entries()


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_of_the_reference_has_a_test(covered, name):
    if not is_shown(ENTRIES[name], covered):
        pytest.fail(f"no test is marked covers({name!r})", pytrace=False)


def test_the_outline_names_nothing_twice():
    assert all(texts for texts, _ in ENTRIES.values())


def test_what_is_not_shown_is_noticed():
    entry = ENTRIES["Supported VR Types: DA"]
    heading = plain("Supported VR Types")
    assert is_shown(entry, {("supported vr types da", "")})
    assert is_shown(entry, {(heading, "da")})
    assert not is_shown(entry, {(heading, "day"), ("supported vr types dt", "da"), ("delete study", "da")})
    assert not is_shown(ENTRIES["Delete Study"], {("delete series", "delete study")})
