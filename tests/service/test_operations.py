"""Long operations: started, polled, ended, resumed after the process died."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomframe.service.blobs import Blobs
from dicomframe.service.service import Service
from dicomframe.service.work import WORK

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


def test_whoever_asks_while_it_is_being_done_does_not_do_it_once_more(tmp_path, dicom, http_for, monkeypatch):
    work, calls = WORK["delete"], []
    begun, may_end = threading.Event(), threading.Event()

    def slow(service, job):
        calls.append(job.id)
        if len(calls) == 1:
            begun.set()
            assert may_end.wait(300)
        return work(service, job)

    monkeypatch.setitem(WORK, "delete", slow)
    folder = tmp_path / "data"
    with Service.open(folder, operation_polls=0) as one, Service.open(folder, operation_polls=0) as other:
        http = http_for(one)
        http.stored(dicom())
        path = _path(http("DELETE", "studies/1.1", ASYNC).json["href"])
        with ThreadPoolExecutor() as pool:
            first = pool.submit(http.get, path)
            try:
                assert begun.wait(300)
                meanwhile = [http_for(service).get(path) for service in (one, other)]
            finally:
                may_end.set()
            assert [each.json["status"] for each in meanwhile] == ["running", "running"]
            assert first.result(300).json["results"] == {"instancesDeleted": 1}
        assert http_for(other).get(path).json["results"] == {"instancesDeleted": 1}
    assert len(calls) == 1


def test_what_ends_while_another_process_starts_is_not_done_again(tmp_path, dicom, http_for, monkeypatch):
    first = Service.open(tmp_path / "data", operation_polls=0)
    http = http_for(first)
    http.stored(dicom())
    path = _path(http("DELETE", "studies/1.1", ASYNC).json["href"])
    is_alive = Blobs.is_alive

    def after_it_ended(blobs, owner):
        monkeypatch.undo()
        assert http.get(path).json["results"] == {"instancesDeleted": 1}
        first.close()
        return is_alive(blobs, owner)

    monkeypatch.setattr(Blobs, "is_alive", after_it_ended)
    with Service.open(tmp_path / "data") as second:
        second.operations.close()  # waits for what it runs
        assert http_for(second).get(path).json["results"] == {"instancesDeleted": 1}


def test_what_a_dead_process_left_is_done_by_one_that_lives(tmp_path, dicom, http_for):
    folder = tmp_path / "data"
    body = b'{"studyInstanceUids": ["1.1"], "changeDataset": {"00100020": {"vr": "LO", "Value": ["New"]}}}'
    with Service.open(folder) as living:
        http = http_for(living)
        http.stored(dicom(), dicom("2/1/1"))
        with Service.open(folder, operation_polls=5) as dead:
            links = [
                http_for(dead)("DELETE", "studies/1.2", ASYNC).json["href"],
                http_for(dead)(
                    "POST", "studies/$bulkUpdate", {"Content-Type": "application/json"}, body
                ).json["href"],
            ]
            assert http.get(_path(links[0])).json["status"] == "notStarted"
        # It is asked whether another update runs, and who does that.
        assert http("POST", "studies/$bulkUpdate", {"Content-Type": "application/json"}, body).status in {
            202,
            409,
        }
        living.operations._thread.submit(int).result(300)  # behind both
        results = [http.get(_path(link)).json["results"] for link in links]
        assert [results[0]["instancesDeleted"], results[1]["instanceUpdated"]] == [1, 1]
