"""docs/reference.md names each public name once, and no other."""

import inspect
import re
from pathlib import Path

import pytest

import dicomframe as dfr
from dicomframe import errors, samples, scaleout
from dicomframe.accessor import DicomColumn, DicomTable
from dicomframe.cli import main
from dicomframe.client.changefeed import ChangeFeed
from dicomframe.client.following import ChangeFollower
from dicomframe.client.operations import Operation
from dicomframe.client.search import Search
from dicomframe.cohorts.cohort import Cohort
from dicomframe.lake.lake import Lake

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
LISTED = re.findall(r"^\| `([^`]+)` \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

COMMANDS = {name for name in LISTED if name.startswith("dicomframe ")}

#: What joins the modules of the client with each other.
BETWEEN_MODULES = {"search.of", "search.united", "search.own_columns", "operation.of", "lake.moment"}


@pytest.fixture(scope="module")
def public():
    """Give the public names as the page writes them."""
    with dfr.start_local() as local, local.connect(progress=False) as client:
        holders = {
            "local": local,
            "client": client,
            "search": Search,
            "feed": ChangeFeed,
            "following": ChangeFollower,
            "operation": Operation,
            "cohort": Cohort,
            "lake": Lake,
            "df.dicom": DicomTable,
            "column.dicom": DicomColumn,
        }
        names = {
            f"{prefix}.{name}" for prefix, holder in holders.items() for name in dir(holder) if name[0] != "_"
        }
    names |= {f"dfr.{name}" for name in dfr.__all__} | {f"samples.{name}" for name in samples.__all__}
    names |= {f"scaleout.{name}" for name in scaleout.__all__}
    names |= {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    names.add("lake.folder")  # an attribute of the object, not of its class
    return names - BETWEEN_MODULES


def test_it_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert {f"dicomframe {command}" for command in commands} == COMMANDS


def test_it_lists_every_public_name(public):
    assert sorted(public - set(LISTED)) == []


def test_it_lists_no_other(public):
    assert sorted(set(LISTED) - public - COMMANDS) == []


def test_it_lists_each_once():
    assert len(LISTED) == len(set(LISTED))
