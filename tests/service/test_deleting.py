"""DELETE at three levels, and the change rows that belong to what happened."""

from __future__ import annotations

import sqlite3

import pytest


def changes(http, tmp_path):
    connection = sqlite3.connect(tmp_path / "data" / "index.sqlite")
    rows = connection.execute(
        "SELECT sequence, action, study, series, instance, version FROM change"
    ).fetchall()
    connection.close()
    return rows


def test_an_instance_takes_empty_series_and_studies_with_it(anyhow, dicom):
    anyhow.stored(dicom("1/1/1"), dicom("1/1/2"), dicom("1/2/1"))
    reply = anyhow("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.1")
    assert (reply.status, reply.body) == (204, b"")
    assert anyhow.get("instances").values("00080018") == ["1.1.2.1", "1.1.1.2"]
    assert anyhow("DELETE", "studies/1.1/series/1.1.1").status == 204
    assert anyhow.get("series").values("0020000E") == ["1.1.2"]
    assert anyhow("DELETE", "studies/1.1").status == 204
    for route in ("studies", "series", "instances"):
        assert anyhow.get(route).status == 204


@pytest.mark.parametrize(
    "route", ["studies/1.9", "studies/1.1/series/1.9", "studies/1.1/series/1.1.1/instances/1.9"]
)
def test_what_is_not_there_cannot_be_deleted(http, dicom, route):
    http.stored(dicom())
    reply = http("DELETE", route)
    assert reply.status == 404
    assert "cannot be found" in reply.message
    assert len(http.get("instances").json) == 1


def test_a_malformed_uid_is_explained_and_deletes_nothing(http, dicom):
    http.stored(dicom())
    for route, name in (("studies/x", "study"), ("studies/1.1/series/x", "series"),
                        ("studies/1.1/series/1.1.1/instances/x", "SOP instance")):  # fmt: skip
        reply = http("DELETE", route)
        assert reply.status == 400
        assert f"The {name} UID in the path is malformed" in reply.message
    assert len(http.get("instances").json) == 1


def test_a_second_delete_is_404(http, dicom):
    http.stored(dicom())
    assert [http("DELETE", "studies/1.1").status for _ in range(2)] == [204, 404]


def test_parameters_are_refused(http, dicom):
    http.stored(dicom())
    reply = http("DELETE", "studies/1.1?dry_run=true")
    assert reply.status == 400
    assert "dry_run" in reply.message
    assert http.get("studies/1.1").status == 200


def test_bytes_are_removed(http, dicom, tmp_path):
    http.stored(dicom("1/1/1"), dicom("1/1/2"))
    http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.1")
    assert [path.name for path in (tmp_path / "data").rglob("*.dcm")] == ["2.dcm"]
    assert http.service.index.garbage() == []


def test_a_version_is_never_used_again(http, dicom):
    http.stored(dicom("1/1/1"))
    http("DELETE", "studies/1.1")
    http.stored(dicom("1/1/1"))
    assert http.get("studies/1.1/metadata").headers["etag"] == "2-1"


def test_every_change_is_written(http, dicom, tmp_path):
    http.stored(dicom("1/1/1"), dicom("1/1/2"))
    http.store(dicom("1/1/1"))  # exists: no change
    http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.1")
    http.stored(dicom("1/1/1"))
    assert changes(http, tmp_path) == [
        (1, "Create", "1.1", "1.1.1", "1.1.1.1", 1),
        (2, "Create", "1.1", "1.1.1", "1.1.1.2", 2),
        (3, "Delete", "1.1", "1.1.1", "1.1.1.1", 1),
        (4, "Create", "1.1", "1.1.1", "1.1.1.1", 3),
    ]


def test_timestamps_never_go_back(http, dicom, tmp_path, monkeypatch):
    http.stored(dicom("1/1/1"))
    monkeypatch.setattr("dicomframe.service.rows.time.time_ns", lambda: 1)
    http.stored(dicom("1/1/2"))
    connection = sqlite3.connect(tmp_path / "data" / "index.sqlite")
    times = [row[0] for row in connection.execute("SELECT timestamp FROM change ORDER BY sequence")]
    connection.close()
    assert times[0] <= times[1]
