"""Every example in a docstring runs."""

import doctest
import importlib
import inspect
import pkgutil

import pandas as pd
import pytest

import dicomframe
from dicomframe.accessor import DicomColumn, DicomTable
from dicomframe.client.client import Client

MODULES = [
    module.name
    for module in pkgutil.walk_packages(dicomframe.__path__, "dicomframe.")
    if module.name != "dicomframe.__main__"
]


@pytest.mark.parametrize("name", ["dicomframe", *MODULES])
def test_examples_run(name):
    module = importlib.import_module(name)
    with pd.option_context("display.width", 120):
        found = doctest.testmod(module, extraglobs={"pd": pd})
    assert found.failed == 0


@pytest.mark.parametrize("kind", [Client, DicomTable, DicomColumn])
def test_every_public_method_has_an_example(kind):
    without = {
        name
        for name in dir(kind)
        if not name.startswith("_") and ">>>" not in (inspect.getdoc(getattr(kind, name)) or "")
    }
    assert not without


def test_there_are_examples():
    examples = [
        test for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name))
    ]
    assert sum(len(test.examples) for test in examples) > 80
