"""The client against the local service while that misbehaves: nothing is lost, doubled or passed over in silence."""

from __future__ import annotations

import copy
import hashlib
import json
import urllib.request

import pydicom
import pytest
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client
from dicomframe.client.session import InProcessAdapter
from dicomframe.errors import (
    IncompleteSearchWarning,
    ThrottledError,
    TransportError,
    UnavailableError,
)
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service

STUDIES = 30
INSTANCES = 3 * STUDIES


def made(study: int, instance: int) -> pydicom.Dataset:
    """A small instance of its own UIDs, in a study of three series of one instance."""
    dataset = copy.deepcopy(made.original)
    dataset.StudyInstanceUID = f"1.2.{study}"
    dataset.SeriesInstanceUID = f"1.2.{study}.{instance}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{study}.{instance}.1"
    dataset.PatientID = f"P{study}"
    dataset.StudyDate = "20240115"
    dataset.PatientAge = "042Y"
    return dataset


made.original = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))


@pytest.fixture(scope="module")
def filled():
    """Start a service with 30 studies of three series of one instance each."""
    with dfr.start_local(faults={}) as local:
        outcome = local.connect().store([made(study, one) for study in range(STUDIES) for one in range(3)])
        assert set(outcome["status"]) == {"stored"}
        yield local


@pytest.fixture
def faults(filled):
    """Give the filled service's faults, and clear them at the end."""
    yield filled.faults
    filled.faults.clear()


@pytest.fixture
def client(filled, connect):
    """Connect with retries of milliseconds to the filled service, one request after the other."""
    return connect(filled.url, max_workers=1, backoff=Backoff(retries=8, first=0.002, most=0.01))


@pytest.fixture(params=["loopback", "in process"])
def empty(request, connect):
    """Connect to an empty service of the test's own, over both transports; give the client and the faults."""
    backoff = Backoff(retries=8, first=0.002, most=0.01)
    if request.param == "loopback":
        with dfr.start_local(faults={}) as local:
            yield connect(local.url, max_workers=1, backoff=backoff), local.faults
    else:
        with Service.open(faults={}) as service:
            adapter = InProcessAdapter(handler(service.app))
            yield (
                Client("http://127.0.0.1:80", adapter=adapter, max_workers=1, backoff=backoff),
                service.faults,
            )


FLAKY = {
    "latency": {"latency": {"seconds": 0.001, "jitter": 0.002}},
    "429": {"throttle": {"probability": 0.4, "retry_after": 0}},
    "503 without a wait": {"throttle": {"status": 503, "probability": 0.4, "retry_after": None}},
    "502": {"error": {"status": 502, "probability": 0.4}},
    "reset before": {"reset": {"probability": 0.4}},
    "reset after": {"reset": {"when": "after", "probability": 0.4}},
    "reset within": {"reset": {"when": "within", "probability": 0.4}},
    "cut length": {"truncate": {"framing": "length", "probability": 0.4}},
    "cut chunks": {"truncate": {"framing": "chunked", "probability": 0.4}},
    "cut to nothing": {"truncate": {"keep": 0, "probability": 0.4}},
    "all at once": {
        "throttle": {"probability": 0.1, "retry_after": 0},
        "error": {"status": 504, "probability": 0.1},
        "reset": [{"probability": 0.1}, {"when": "within", "probability": 0.1}],
        "truncate": {"probability": 0.1},
    },
}


@pytest.mark.parametrize("name", FLAKY)
def test_a_search_is_complete_all_the_same(client, faults, name):
    faults.set(seed=11, **FLAKY[name])
    found = client.search_instances(page_size=10).to_frame()
    assert sum(faults.counts.values()) > 0
    assert len(found) == found["SOPInstanceUID"].nunique() == INSTANCES
    assert found.attrs["dicom"]["completeness"] == "complete"


@pytest.mark.parametrize("name", FLAKY)
def test_metadata_comes_whole(client, faults, name):
    faults.set(seed=5, **FLAKY[name])
    for study in range(8):
        table = client.retrieve_metadata(f"1.2.{study}", keywords=["PatientID"])
        assert table["PatientID"].tolist() == [f"P{study}"] * 3
    assert sum(faults.counts.values()) > 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"throttle": {"retry_after": 0}}, ThrottledError),
        ({"throttle": {"status": 503, "retry_after": 0}}, UnavailableError),
        ({"throttle": {"retry_after": 3600}}, ThrottledError),  # longer than anybody waits: told at once
        ({"error": True}, UnavailableError),
        ({"reset": True}, TransportError),
        ({"reset": {"when": "within"}}, TransportError),
    ],
)
def test_what_does_not_pass_is_told(client, faults, fault, error):
    faults.set(**fault)
    with pytest.raises(error) as caught:
        client.search_studies(PatientName="Compressed*").to_frame()
    assert "Compressed" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "verdicts"),
    [
        ({"drift": {"count": 1}}, {"drifted"}),
        ({"drift": {"change": "remove", "count": 1}}, {"drifted"}),
        ({"drift": {"change": "remove", "rows": 3, "count": 2}}, {"drifted"}),
        ({"drift": {"change": "insert", "rows": 200}}, {"drifted"}),
        ({"ignore_offset": True}, {"drifted", "truncated"}),
        ({"ignore_offset": {"count": 1}}, {"drifted"}),
    ],
)
def test_a_search_whose_rows_move_says_so_and_doubles_none(client, faults, fault, verdicts):
    faults.set(**fault)
    search = client.search_studies(page_size=7)
    with pytest.warns(IncompleteSearchWarning):
        found = search.to_frame()
    assert search.completeness in verdicts
    assert found["StudyInstanceUID"].is_unique
    assert 7 <= len(found) <= STUDIES
    faults.clear()
    assert len(search.to_frame()) == STUDIES
    assert search.completeness == "complete"


@pytest.mark.parametrize(
    "kind",
    [
        "empty_number",
        "decimal_integer",
        "dashed_date",
        "lower_age",
        "null_value",
        "plain_name",
        "text_number",
    ],
)
def test_bad_values_cost_a_value_at_most_and_never_a_row(client, faults, kind):
    good = client.retrieve_metadata("1.2.3")
    faults.set(seed=2, bad_values={"kinds": [kind], "share": 1})
    url = f"{client.session.base}/studies/1.2.3/metadata"
    request = urllib.request.Request(url, headers={"Accept": "application/dicom+json"})
    with urllib.request.urlopen(request) as answer:
        sent = json.load(answer)
    faults.set(seed=2, bad_values={"kinds": [kind], "share": 1})
    table = client.retrieve_metadata("1.2.3")
    assert faults.counts == {"bad_values": 1}
    assert table["SOPInstanceUID"].tolist() == good["SOPInstanceUID"].tolist()
    # What could not be read is in the issues, or still in the table, or came as an empty value; and all goes back.
    told = table.dicom.issues()
    for column in good.columns:
        for row, uid in enumerate(table["SOPInstanceUID"]):
            before, now = str(good[column][row]), str(table[column][row])
            known = ((told["SOPInstanceUID"] == uid) & (told["keyword"] == column)).sum()
            assert known or now == before or now.upper() == before or kind in {"empty_number", "null_value"}
    assert table.dicom.to_json() == sent


def test_each_bad_value_has_its_row_among_the_issues(client, faults):
    faults.set(seed=2, bad_values={"kinds": ["dashed_date"], "share": 0.5})
    found = client.search_studies().to_frame()
    issues = found.dicom.issues()
    assert len(found) == STUDIES
    assert 5 < len(issues) < STUDIES
    dated = issues[issues["keyword"] == "StudyDate"]
    assert set(dated["raw"]) == {"2024-01-15"}
    lost = found[found["StudyDate"].isna()]
    assert sorted(lost["StudyInstanceUID"]) == sorted(dated["StudyInstanceUID"])


@pytest.mark.parametrize("name", FLAKY)
def test_a_store_accounts_for_every_instance(empty, name):
    client, faults = empty
    faults.set(seed=3, **FLAKY[name])
    outcome = client.store([made(1, one) for one in range(20)], batch_size=2)
    assert sum(faults.counts.values()) > 0
    assert len(outcome) == 20
    # What an attempt stored whose answer was lost, the next one finds there.
    assert set(outcome["status"]) <= {"stored", "exists"}
    faults.clear()
    there = client.search_instances().to_frame()
    assert sorted(there["SOPInstanceUID"]) == sorted(outcome["SOPInstanceUID"])


def test_a_store_that_never_hears_back(empty):
    client, faults = empty
    faults.set(reset={"when": "after"})
    outcome = client.store([made(1, 0), made(1, 1)])
    assert set(outcome["status"]) <= {"unknown", "failed"}
    assert outcome["reason"].str.len().gt(10).all()
    faults.clear()
    # They are there, and storing again says so instead of doubling them.
    assert set(client.store([made(1, 0), made(1, 1)])["status"]) == {"exists"}


@pytest.mark.parametrize("name", FLAKY)
def test_a_download_is_whole(client, faults, name, tmp_path):
    faults.set(seed=4, **FLAKY[name])
    table = client.search_instances("1.2.5").to_frame()
    for _ in range(10):
        outcome = client.download(table, tmp_path)
        assert sorted(outcome["SOPInstanceUID"]) == sorted(table["SOPInstanceUID"])
        assert (outcome["error"].isna() == outcome["status"].isin(["saved", "kept"])).all()
        if outcome["error"].isna().all():
            break
    assert sum(faults.counts.values()) > 0
    assert outcome["error"].isna().all()
    assert not list(tmp_path.rglob("*.part"))
    for one in range(3):
        path = tmp_path / f"1.2.5/1.2.5.{one}/1.2.5.{one}.1.dcm"
        assert pydicom.dcmread(path).PixelData == made.original.PixelData


def test_a_download_that_broke_off_is_taken_up(client, faults, tmp_path):
    table = client.search_instances("1.2.6").to_frame()
    faults.set(reset={"when": "within", "path": "studies/{}/series/1.2.6.1"})
    first = client.download(table, tmp_path)
    assert first["error"].notna().sum() == 1
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}
    assert len(before) == 2
    faults.set(error={"path": "studies/1.2.6/series/1.2.6.0"})  # what is there is not asked for again
    second = client.download(table, tmp_path)
    assert second["error"].isna().all()
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.rglob("*.dcm")}
    assert len(digests) == 3


def test_a_deletion_whose_answer_is_lost(empty):
    client, faults = empty
    client.store([made(1, 0), made(2, 0)])
    faults.set(reset={"when": "after", "method": "DELETE", "count": 1})
    gone = client.delete("1.2.1")
    assert len(gone) >= 1
    faults.clear()
    assert client.search_studies().to_frame()["StudyInstanceUID"].tolist() == ["1.2.2"]
