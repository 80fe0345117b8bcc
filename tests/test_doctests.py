"""Every example in a docstring runs."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pandas as pd
import pytest

import dicomframe
from dicomframe import samples
from dicomframe.accessor import DicomColumn, DicomTable
from dicomframe.client.changefeed import ChangeFeed
from dicomframe.client.client import Client
from dicomframe.client.following import ChangeFollower
from dicomframe.client.operations import Operation
from dicomframe.client.search import Search
from dicomframe.cohorts.cohort import Cohort
from dicomframe.images.document import Document
from dicomframe.images.layers import Overlay, Overlays
from dicomframe.images.picture import Picture
from dicomframe.images.volume import Plane, Volume
from dicomframe.images.waveforms import Waveform
from dicomframe.lake.lake import Lake
from dicomframe.local import LocalService
from dicomframe.widgets.browser import CohortBrowser
from dicomframe.widgets.gallery import Gallery
from dicomframe.widgets.viewer import Viewer

MODULES = [
    module.name
    for module in pkgutil.walk_packages(dicomframe.__path__, "dicomframe.")
    if module.name != "dicomframe.__main__"
]

#: What joins the modules of the client with each other.
BETWEEN_MODULES = {"of", "united", "own_columns", "moment", "set_state", "report", "join"}

#: What users hold, beside what the test of methods below has.
CLASSES = [
    Client, Cohort, CohortBrowser, ChangeFollower, Document, Gallery, Lake, LocalService, Overlay, Overlays, Picture,
    Plane, Viewer, Volume, Waveform, samples.Patient, samples.Scanner, samples.Study,
]  # fmt: skip


@pytest.mark.parametrize("name", ["dicomframe", *MODULES])
def test_examples_run(name):
    module = importlib.import_module(name)
    with pd.option_context("display.width", 120):
        found = doctest.testmod(module, extraglobs={"pd": pd})
    assert found.failed == 0


@pytest.mark.parametrize("kind", [Client, DicomTable, DicomColumn, Search, Operation, ChangeFeed])
def test_every_public_method_has_an_example(kind):
    public = {name for name in dir(kind) if not name.startswith("_")} - BETWEEN_MODULES
    without = {name for name in public if ">>>" not in (inspect.getdoc(getattr(kind, name)) or "")}
    assert not without


@pytest.mark.parametrize("kind", CLASSES)
def test_every_public_class_has_an_example(kind):
    """Its own, and of each method, unless the class's own shows it."""
    own = inspect.getdoc(kind) or ""
    assert ">>>" in own
    theirs = {
        name: value
        for each in kind.__mro__
        if each.__module__.startswith("dicomframe.")
        for name, value in vars(each).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }
    without = {
        name
        for name, value in theirs.items()
        if ">>>" not in (inspect.getdoc(value) or "") and f".{name}" not in own
    }
    assert without - BETWEEN_MODULES == set()


def test_there_are_examples():
    examples = [
        test for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name))
    ]
    assert sum(len(test.examples) for test in examples) > 80


@pytest.mark.parametrize("name", [name for name in dir(Client) if name.startswith(("collect_", "search"))])
def test_what_reads_many_tells_each_parameter(name):
    verb = getattr(Client, name)
    told, _, _ = (inspect.getdoc(verb) or "").partition("Returns\n---")
    missing = {
        each
        for each in inspect.signature(verb).parameters
        if each != "self" and not re.search(rf"\b{each}\b", told)
    }
    assert "Parameters\n---" in told
    assert not missing
