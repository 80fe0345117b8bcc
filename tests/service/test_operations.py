"""Long operations: started, polled, ended, resumed after the process died."""

import pytest

from dicomframe.service.service import Service

ASYNC = {"Prefer": "respond-async, wait=10"}


def _path(link):
    return link[link.index("/v2/") :]


@pytest.mark.covers("fact 48", "route GET operations/{}")
def test_a_deletion_in_the_background_passes_through_its_states(stepped, dicom):
    stepped.stored(dicom())
    accepted = stepped("DELETE", "studies/1.1", ASYNC)
    assert accepted.status == 202
    link = accepted.headers["operation-location"]
    assert accepted.headers["location"] == link == accepted.json["href"]
    path = _path(link)
    seen = [stepped.get(path) for _ in range(4)]
    assert [(each.status, each.json["status"], each.json["percentComplete"]) for each in seen] == [
        (202, "running", 33),
        (202, "running", 66),
        (200, "succeeded", 100),
        (200, "succeeded", 100),
    ]
    assert seen[-1].json["type"] == "delete"
    assert stepped.get(path.replace("/v2/", "/v1/")).json["status"] == "completed"
    assert stepped.get("studies").status == 204


def test_a_strict_service_deletes_at_once(strict, dicom):
    strict.stored(dicom())
    assert strict("DELETE", "studies/1.1", ASYNC).status == 204
    body = b'[{"path": "PatientAge", "level": "Study"}]'
    assert strict("POST", "extendedquerytags", {"Content-Type": "application/json"}, body).status == 202
    strict.service.operations.close()  # waits for what it runs
    assert strict("DELETE", "extendedquerytags/PatientAge", ASYNC).status == 204


def test_it_needs_something_to_delete(stepped):
    assert stepped("DELETE", "studies/1.2", ASYNC).status == 404
    assert stepped.get("operations/0").status == 404


def test_what_a_dead_process_left_is_done_at_the_next_start(tmp_path, dicom, http_for):
    with Service.open(tmp_path / "data", operation_polls=5) as first:
        http = http_for(first)
        http.stored(dicom())
        link = http("DELETE", "studies/1.1", ASYNC).json["href"]
    with Service.open(tmp_path / "data") as second:
        second.operations.close()  # waits for what it runs
        assert http_for(second).get(_path(link)).json["status"] == "succeeded"
        assert second.index.find(1, ["1.1"]) == []
