"""pydicom's own JSON of its own files, and pydicom's own values of it, as the oracle."""

import json
import warnings
from pathlib import Path

import pydicom.data
import pytest
from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue

import dicomframe as dfr
from dicomframe.tables.schema import column_of


@pytest.fixture(scope="module")
def headers():
    """Give the JSON of pydicom's files without pixels, as far as pydicom can write it."""
    found = []
    # Not by get_testdata_files, which tries to download what is not installed.
    for path in sorted(Path(pydicom.data.__file__).parent.rglob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                header = json.loads(dcmread(path, stop_before_pixels=True).to_json(bulk_data_threshold=10**9))
            except Exception:  # noqa: BLE001, S112 - broken on purpose, most of them
                continue
        if header:
            found.append(header)
    assert len(found) > 60
    return found


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_headers_of_all_real_files_come_back(headers, backend):
    # Together in one page, so that a column holds what very different files have under its tag.
    table = dfr.from_json(json.dumps(headers).encode(), "instance", backend)
    assert table.dicom.to_json() == headers


def test_each_header_alone_comes_back(headers):
    for header in headers:
        assert dfr.from_json(json.dumps([header]).encode(), "instance").dicom.to_json() == [header]


def test_cells_have_the_values_that_pydicom_reads(headers):
    compared = 0
    for header in headers:
        table = dfr.from_json([header], "instance")
        for tag, attribute in header.items():
            column = column_of(tag, attribute["vr"])
            if (
                column.kind not in {"text", "integer", "float"}
                or "Value" not in attribute
                or column.vr != attribute["vr"]
            ):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    value = Dataset.from_json({tag: attribute})[tag].value
                except Exception:  # noqa: BLE001, S112 - pydicom raises where a value is missing or bad
                    continue
            expected = list(value) if isinstance(value, MultiValue | list) else [value]
            cell = table.loc[0, column.name]
            found = cell if column.multiple else [cell]
            if not column.multiple and len(expected) > 1:
                continue
            if column.vr == "AT":
                assert [int(one, 16) for one in found] == [int(one) for one in expected]
            elif column.kind == "text":
                assert [str(one) for one in found if one is not None] == [
                    str(one) for one in expected if one is not None
                ]
            else:
                assert found == [float(one) if column.kind == "float" else int(one) for one in expected]
            compared += 1
    assert compared > 2_000
