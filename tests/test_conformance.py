"""The conformance page: up to date, every fact and every route with a test, every mark with a meaning."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from dicomframe.service.app import ROUTES

SPEC = importlib.util.spec_from_file_location("conformance", Path(__file__).with_name("conformance.py"))
conformance = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(conformance)


@pytest.fixture(scope="module")
def covered():
    return conformance.covered()


def test_the_page_is_up_to_date():
    """Otherwise: make conformance."""
    assert conformance.PAGE.read_text(encoding="utf-8") == conformance.page().rstrip() + "\n"


def test_every_fact_has_a_line_and_a_test(covered):
    facts = conformance.data()["facts"]
    assert list(facts) == [str(number) for number in range(1, 60)]
    assert [number for number in facts if f"fact {number}" not in covered] == []


def test_every_built_route_has_a_test(covered):
    headings = conformance.data()["routes"]
    built = [f"{route.method} {route.path}" for route in ROUTES if route.handler]
    untested = [route for route in built if not conformance.showing(route, covered, headings)]
    assert untested == []


def test_marks_mean_something(covered):
    facts = conformance.data()["facts"]
    routes = {f"route {route.method} {route.path}" for route in ROUTES}
    for what in covered:
        if re.match(r"(?i)facts?\b", what):
            assert what.removeprefix("fact ") in facts, what
        if what.lower().startswith("route "):
            assert what in routes, what


def test_routes_of_the_data_exist():
    routes = {f"{route.method} {route.path}" for route in ROUTES}
    assert set(conformance.data()["routes"]) <= routes
