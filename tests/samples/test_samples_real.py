"""The real files: found offline, in a stable order, DICOM alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from importlib.util import find_spec

import pytest
from pydicom import dcmread

from dicomframe.samples import SHOWN_REAL_PATIENTS, real_files
from dicomframe.samples import real as real_module

HAS_MORE = find_spec("data_store") is not None


def test_they_are_found_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refused)
    found = real_files()
    assert len(found) >= (255 if HAS_MORE else 188)
    assert len(set(found)) == len(found)
    assert all(path.is_file() for path in found)


def test_their_order_is_the_same_in_another_process() -> None:
    script = "from dicomframe.samples import real_files\nfor path in real_files(): print(path)"
    there = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert there.stdout.splitlines() == [str(path) for path in real_files()]


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own, about files that are odd on purpose
def test_only_dicom_is_among_them() -> None:
    for path in real_files():
        assert path.suffix not in {".py", ".json", ".txt", ".gz", ".dump", ".icc", ".md"}
        ds = dcmread(path, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID", "PatientID"])
        assert ds is not None


@pytest.mark.parametrize("missing", ["data_store", "pydicom"])
def test_a_package_that_is_not_installed_is_passed_over(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = real_files()
    monkeypatch.setattr(real_module, "find_spec", lambda name: None if name == missing else find_spec(name))
    fewer = real_files()
    assert set(fewer) <= set(whole)
    assert all(f"/{missing}/" not in path.as_posix() for path in fewer)
    assert len(fewer) < len(whole) or (missing == "data_store" and not HAS_MORE)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_those_worth_showing_come_with_pydicom_itself() -> None:
    home = find_spec("pydicom").submodule_search_locations[0]
    seen = {
        dcmread(path, force=True, stop_before_pixels=True, specific_tags=["PatientID", "Rows"]).get(
            "PatientID"
        )
        for path in real_files()
        if path.is_relative_to(home)
    }
    assert set(SHOWN_REAL_PATIENTS) <= seen
    assert isinstance(SHOWN_REAL_PATIENTS, list)  # a tuple would be a range to a search
