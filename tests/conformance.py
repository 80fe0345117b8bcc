"""Writes docs/conformance.md from the route table, its descriptions and the tests' marks: ``make conformance``.

A test says what it shows with ``@pytest.mark.covers(...)``: ``"fact 41"``, ``"route GET studies/{}"`` with the path as
in the route table, or a heading of the user's reference. The tests are collected for that, not run.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "conformance.md"

# In a process of its own: a run of single tests has not collected the others.
COLLECT = """
import json, sys, pytest
class Collector:
    found = {}
    def pytest_collection_modifyitems(self, items):
        for item in items:
            file, _, name = item.nodeid.partition("[")[0].partition("::")
            for mark in item.iter_markers("covers"):
                for what in mark.args:
                    self.found[str(what), f"{file} {name.replace('::', '.')}"] = None
collector = Collector()
code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[2:]], plugins=[collector])
open(sys.argv[1], "w").write(json.dumps(sorted(collector.found)))
sys.exit(int(code))
"""

HEAD = """\
# Conformance

What the local service answers, and which tests show it. This page is written by `make conformance` from the route
table (`dicomframe/service/app.py`), the descriptions of the routes (`dicomframe/service/openapi/`) and the marks of
the tests; a test fails when it is out of date. The same description, with parameters and schemas, is served by every
local service as OpenAPI 3.1 under `/v1/api.yaml` and `/v2/api.yaml`, and schemathesis holds the service to it.

Every answer carries `api-supported-versions`. Paths are written without version and partition, `{}` for any one
segment and `{*}` for the rest.
"""


@functools.cache
def covered() -> dict[str, list[str]]:
    """Give the tests by what they cover: ``{"fact 39": ["service/test_versions.py test_x"]}``."""
    files = [
        path.relative_to(ROOT).as_posix()
        for path in sorted(TESTS.rglob("test_*.py"))
        if "node_modules" not in path.parts and "mark.covers(" in path.read_text(encoding="utf-8")
    ]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "covered.json"
        done = subprocess.run(
            [sys.executable, "-c", COLLECT, str(told), *files],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"The tests cannot be collected:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        found: dict[str, list[str]] = {}
        for what, test in json.loads(told.read_text(encoding="utf-8")):
            found.setdefault(what, []).append(test.removeprefix("tests/"))
    return found


def data() -> dict[str, Any]:
    """Give the facts by number, and the headings by route."""
    return tomllib.loads((TESTS / "conformance.toml").read_text(encoding="utf-8"))


def page() -> str:
    """Give the page's text."""
    found, known = covered(), data()
    return "\n".join(
        [HEAD, *_routes(found, known["routes"]), *_facts(found, known["facts"]), *_headings(found)]
    )


def showing(route: str, found: dict[str, list[str]], headings: dict[str, list[str]]) -> list[str]:
    """Give the marks that show a route: its own, and those of the headings that tell of it and of their rows."""
    about = headings.get(route, [])
    return [what for what in found if what == f"route {route}" or what.partition(": ")[0] in about]


def _routes(found: dict[str, list[str]], headings: dict[str, list[str]]) -> Iterator[str]:
    from dicomframe.service.app import ROUTES
    from dicomframe.service.openapi.document import DESCRIPTIONS, EXTRAS
    from dicomframe.service.openapi.parts import Variant

    yield "## Routes\n"
    yield "| route | versions | answers | headers | shown by |"
    yield "| --- | --- | --- | --- | --- |"
    for route in ROUTES:
        if route.handler is None:
            continue
        key = f"{route.method} {route.path}"
        described = DESCRIPTIONS[route.method, route.path](Variant(route.versions[-1]))["responses"]
        headers = {
            name
            for answer in described.values()
            for name in answer.get("headers", ())
            if name != "api-supported-versions"
        }
        tests = [test for what in (f"route {key}", *headings.get(key, ())) for test in found.get(what, ())]
        versions = ", ".join(route.versions) + (
            "; not strict" if (route.method, route.path) in EXTRAS else ""
        )
        cells = [f"`{key}`", versions, ", ".join(sorted(described)), _codes(sorted(headers)), _tests(tests)]
        yield f"| {' | '.join(cells)} |"
    yield ""
    missing = [f"`{route.method} {route.path}`" for route in ROUTES if route.handler is None]
    if missing:
        yield f"Not built, answered with 501: {', '.join(missing)}.\n"
    else:
        yield "Every route of the table is built; none answers 501.\n"


def _facts(found: dict[str, list[str]], facts: dict[str, str]) -> Iterator[str]:
    yield "## What the real service does\n"
    yield "Numbered as the tests name them. Where the user's reference and the real service collide, the reference wins"
    yield "by default, and a strict service (`--strict`) answers as the real one.\n"
    yield "| | fact | shown by |"
    yield "| --- | --- | --- |"
    for number, words in facts.items():
        yield f"| {number} | {words.replace('|', chr(92) + '|')} | {_tests(found.get(f'fact {number}', []))} |"
    yield ""


def _headings(found: dict[str, list[str]]) -> Iterator[str]:
    headings = sorted(what for what in found if not what.startswith(("fact ", "route ")))
    yield "## The user's reference\n"
    if not headings:
        yield "No test names a heading of it yet."
        return
    yield "| heading | shown by |"
    yield "| --- | --- |"
    for heading in headings:
        yield f"| {heading.replace('|', chr(92) + '|')} | {_tests(found[heading])} |"
    yield ""


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _tests(tests: list[str]) -> str:
    """Give tests file by file, each with the names in it."""
    by_file: dict[str, list[str]] = {}
    for test in dict.fromkeys(tests):
        file, _, name = test.partition(" ")
        by_file.setdefault(file, []).append(name)
    return "; ".join(
        f"`{file}`" + (": " if any(names) else "") + ", ".join(f"`{name}`" for name in names if name)
        for file, names in by_file.items()
    )


if __name__ == "__main__":
    PAGE.write_text(page().rstrip() + "\n", encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is written.\n")
