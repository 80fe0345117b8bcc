"""Extended query tags: added, indexed, watched, in error, let be searched, taken away."""

import json
import threading

import pytest

from dicomframe.service import tagindex
from dicomframe.service.querytags import MOST_TAGS
from dicomframe.service.service import Service

ASYNC = {"Prefer": "respond-async"}
AGE = "00101010"


def post(http, body, path="extendedquerytags"):
    return http("POST", path, {"Content-Type": "application/json"}, json.dumps(body).encode())


def patch(http, path, body):
    return http("PATCH", f"extendedquerytags/{path}", body=json.dumps(body).encode())


def local(link):
    return link[link.index("/v", 10) :]


def finish(http, reply):
    """Follow an operation to its end and give its body."""
    assert reply.status == 202, reply.body
    for _ in range(2000):
        seen = http.get(local(reply.json["href"]))
        if seen.status == 200:
            return seen.json
        threading.Event().wait(0.005)
    raise AssertionError


def added(http, *entries):
    return finish(http, post(http, list(entries)))


def aged(dicom, uids, age, **more):
    return dicom(uids, raw={AGE: ("AS", age)}, **more)


# -- adding --------------------


@pytest.mark.covers("fact 48")
def test_a_tag_passes_through_its_states(stepped, dicom):
    stepped.stored(aged(dicom, "1/1/1", "042Y"))
    reply = post(stepped, [{"path": "PatientAge", "level": "Study"}])
    link = reply.headers["operation-location"]
    assert (reply.status, reply.headers["location"], reply.json["href"]) == (202, link, link)
    tag = stepped.get("extendedquerytags/PatientAge").json
    operation = {"id": reply.json["id"], "href": link}
    assert tag == {
        "path": AGE,
        "vr": "AS",
        "level": "Study",
        "status": "Adding",
        "queryStatus": "Enabled",
        "operation": operation,
    }
    assert "still being indexed" in stepped.search("studies", PatientAge="042Y").message
    seen = [stepped.get(local(link)) for _ in range(3)]
    assert [(each.status, each.json["status"], each.json["percentComplete"]) for each in seen] == [
        (202, "running", 33),
        (202, "running", 66),
        (200, "succeeded", 100),
    ]
    assert seen[-1].json["type"] == "reindex"
    assert [local(url) for url in seen[-1].json["resources"]] == [f"/v2/extendedquerytags/{AGE}"]
    assert stepped.get(local(link).replace("/v2/", "/v1/")).json["status"] == "completed"
    ready = stepped.get(f"extendedquerytags/{AGE}").json
    assert ready == {name: value for name, value in tag.items() if name != "operation"} | {"status": "Ready"}
    assert stepped.search("studies", PatientAge="042Y").values(AGE) == ["042Y"]

    accepted = stepped("DELETE", f"extendedquerytags/{AGE}", ASYNC)
    assert stepped.get(f"extendedquerytags/{AGE}").json["status"] == "Deleting"
    assert "being deleted" in stepped.search("studies", PatientAge="042Y").message
    assert "being deleted" in stepped("DELETE", f"extendedquerytags/{AGE}").message
    assert patch(stepped, AGE, {"queryStatus": "Enabled"}).status == 200
    assert post(stepped, {}, f"extendedquerytags/{AGE}/reindex").status == 400
    assert finish(stepped, accepted)["status"] == "succeeded"
    assert stepped.get("extendedquerytags").json == []
    assert stepped.search("studies", PatientAge="042Y").status == 400


@pytest.mark.covers("fact 47")
def test_the_next_add_waits_for_the_running_one(stepped):
    first = post(stepped, [{"path": "PatientAge", "level": "Study"}])
    refused = post(stepped, [{"path": "PatientSex", "level": "Study"}])
    assert (refused.status, refused.headers["location"]) == (409, first.json["href"])
    assert refused.headers["content-type"].startswith("text/plain")
    assert first.json["href"] in refused.body.decode()
    assert post(stepped, {}, "extendedquerytags/PatientAge/reindex").status == 409
    busy = stepped("DELETE", "extendedquerytags/PatientAge")
    assert (busy.status, "being indexed" in busy.message) == (400, True)
    assert [tag["path"] for tag in stepped.get("extendedquerytags").json] == [AGE]
    finish(stepped, first)
    assert post(stepped, [{"path": "PatientSex", "level": "Study"}]).status == 202


@pytest.mark.covers("fact 45")
def test_an_array_or_one_object(http, strict):
    entry = {"path": "PatientAge", "level": "Study"}
    assert "array" in post(strict, entry).message
    assert added(strict, entry)["status"] == "succeeded"
    assert finish(http, post(http, entry))["status"] == "succeeded"
    again = post(http, [entry])
    assert (again.status, "already" in again.message) == (409, True)


@pytest.mark.covers("fact 45")
@pytest.mark.parametrize(
    "name",
    [
        "PatientName",
        "StudyInstanceUID",
        "ModalitiesInStudy",
        "ManufacturerModelName",
        "00081090",
        "SOPInstanceUID",
    ],
)
def test_core_attributes_are_searchable_already(http, name):
    reply = post(http, [{"path": name, "level": "Series"}])
    assert reply.status == 400
    assert "always searchable" in reply.message


@pytest.mark.covers("fact 46")
def test_ds_is_taken_unless_strict(http, strict):
    assert added(http, {"path": "PatientWeight", "level": "Study"})["status"] == "succeeded"
    refused = post(strict, [{"path": "PatientWeight", "level": "Study"}])
    assert refused.status == 400
    assert "DS, which cannot be searched" in refused.message
    assert "DA, DT" in refused.message


@pytest.mark.covers("fact 46")
def test_a_standard_vr_may_be_left_out_but_not_differ(http):
    reply = post(http, [{"path": "PatientAge", "vr": "LO", "level": "Study"}])
    assert (reply.status, "AS, not LO" in reply.message) == (400, True)
    added(
        http,
        {"path": "PatientAge", "vr": "as", "level": "study", "privateCreator": None},
        {"path": "SmallestImagePixelValue",
         "vr": "SS", "level": "INSTANCE"},
    )  # fmt: skip
    tags = http.get("extendedquerytags").json
    assert [(tag["path"], tag["vr"], tag["level"]) for tag in tags] == [
        (AGE, "AS", "Study"),
        ("00280106", "SS", "Instance"),
    ]


@pytest.mark.covers("fact 46")
def test_a_private_tag_needs_creator_and_vr(http):
    assert (
        "needs its privateCreator" in post(http, [{"path": "00111001", "vr": "LO", "level": "Study"}]).message
    )
    assert (
        "needs its vr"
        in post(http, [{"path": "00111001", "privateCreator": "ACME", "level": "Study"}]).message
    )
    assert (
        "takes no privateCreator"
        in post(http, [{"path": "PatientAge", "privateCreator": "ACME", "level": "Study"}]).message
    )
    assert (
        "64 characters"
        in post(
            http, [{"path": "00111001", "vr": "LO", "privateCreator": "A" * 65, "level": "Study"}]
        ).message
    )
    added(http, {"path": "00111001", "vr": "LO", "privateCreator": "ACME", "level": "Study"})
    assert http.get("extendedquerytags/00111001").json["privateCreator"] == "ACME"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "one or more"),
        ("text", "array"),
        ([5], "object"),
        ([{}], "path"),
        ([{"path": "PatientAge"}], "Study, Series or Instance"),
        ([{"path": "PatientAge", "level": "Patient"}], "Study, Series or Instance"),
        ([{"path": "PatientAge", "level": 1}], "texts"),
        ([{"path": "PatientsAge", "level": "Study"}], "did you mean PatientAge"),
        ([{"path": "(0010,1010)", "level": "Study"}], "eight hex digits"),
        ([{"path": "patientAge", "level": "Study"}], "PatientAge"),
        ([{"path": "PatientAge", "level": "Study", "vr": "XX"}], "supported are AE"),
        ([{"path": "PatientAge", "level": "Study", "kind": "x"}], "'kind'"),
        ([{"path": "00101002", "level": "Study", "vr": "SQ"}], "supported are AE, AS, CS, DA, DS, DT"),
        ([{"path": "PixelData", "level": "Instance"}], "cannot be searched"),
        ([{"path": "00101FFF", "level": "Study"}], "in no dictionary"),
        ([{"path": "PatientAge", "level": "Study"}, {"path": AGE, "level": "Series"}], "twice"),
    ],
)
def test_bodies_that_are_refused(http, body, words):
    reply = post(http, body)
    assert reply.status == 400
    assert words in reply.message
    assert http.get("extendedquerytags").json == []
    assert http("POST", "extendedquerytags", body=b"{").status == 400


def test_one_bad_entry_adds_none(http):
    added(http, {"path": "PatientSex", "level": "Study"})
    for bad in ("PatientName", "PatientSex"):
        reply = post(http, [{"path": "PatientAge", "level": "Study"}, {"path": bad, "level": "Study"}])
        assert reply.status in {400, 409}
    assert len(http.get("extendedquerytags").json) == 1


def test_there_is_an_end_to_it(http):
    many = [
        {"path": f"0011{0x1000 + n:04X}", "vr": "LO", "privateCreator": "ACME", "level": "Study"}
        for n in range(MOST_TAGS)
    ]
    added(http, *many[:-1])
    more = post(http, [many[-1], {"path": "PatientAge", "level": "Study"}])
    assert (more.status, "128" in more.message) == (400, True)
    added(http, many[-1])
    assert post(http, [{"path": "PatientAge", "level": "Study"}]).status == 400
    assert len(http.get("extendedquerytags").json) == 100
    assert [tag["path"] for tag in http.get("extendedquerytags?limit=200&offset=126").json] == [
        each["path"] for each in many[126:]
    ]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "offset=-1", "limit=1&limit=2", "name=x", "limit=%D9%A1"]
)
def test_pages_that_are_refused(http, query):
    assert http.get(f"extendedquerytags?{query}").status == 400


def test_what_is_not_there(http, strict):
    for method, path in (
        ("GET", "extendedquerytags/PatientAge"),
        ("DELETE", "extendedquerytags/PatientAge"),
        ("GET", "extendedquerytags/00101010/errors"),
        ("POST", "extendedquerytags/00101010/reindex"),
    ):
        assert http(method, path).status == 404
        assert (
            http(method, path.replace("PatientAge", "PatientsAge").replace("00101010", "0010101")).status
            == 400
        )
        assert http(method, f"{path}?x=1").status == 400
    assert patch(http, AGE, {"queryStatus": "Enabled"}).status == 404
    added(strict, {"path": "PatientAge", "level": "Study"})
    assert strict("POST", "extendedquerytags/PatientAge/reindex").status == 404


@pytest.mark.parametrize(
    "body", [{}, [], {"queryStatus": "On"}, {"queryStatus": None}, {"status": "Enabled"}, "Enabled",
             {"queryStatus": "Enabled", "level": "Study"}],
)  # fmt: skip
def test_patches_that_are_refused(http, body):
    added(http, {"path": "PatientAge", "level": "Study"})
    assert patch(http, AGE, body).status == 400


def test_a_tag_can_be_switched_off_and_on(http, dicom):
    added(http, {"path": "PatientAge", "level": "Study"})
    http.stored(aged(dicom, "1/1/1", "042Y"))
    off = patch(http, AGE, {"querystatus": "disabled"})
    assert (off.status, off.json["queryStatus"]) == (200, "Disabled")
    refused = http.search("studies", PatientAge="042Y")
    assert refused.status == 400
    assert "disabled" in refused.message
    assert patch(http, "PatientAge", {"queryStatus": "Enabled"}).json["queryStatus"] == "Enabled"
    reply = http.search("studies", PatientAge="042Y")
    assert (reply.status, "erroneous-dicom-attributes" in reply.headers) == (200, False)


# -- errors --------------------


@pytest.fixture
def erroneous(v1, http, dicom):
    """A tag with one error: version 1 stored a bad age before anybody searched by ages."""
    v1.stored(aged(dicom, "1/1/1", "42 years"), aged(dicom, "2/1/1", "042Y"))
    assert added(http, {"path": "PatientAge", "level": "Study"})["results"] == {"instances": 2, "errors": 1}
    return http


@pytest.mark.covers("fact 49")
def test_an_error_disables_the_tag(erroneous):
    tag = erroneous.get("extendedquerytags/PatientAge").json
    assert (tag["status"], tag["queryStatus"], tag["errors"]["count"]) == ("Ready", "Disabled", 1)
    assert local(tag["errors"]["href"]) == f"/v2/extendedquerytags/{AGE}/errors"
    [error] = erroneous.get(local(tag["errors"]["href"])).json
    assert error.pop("createdTime").startswith("20")
    assert error == {
        "studyInstanceUid": "1.1",
        "seriesInstanceUid": "1.1.1",
        "sopInstanceUid": "1.1.1.1",
        "errorMessage": "The value must be three digits and one of D, W, M and Y.",
        "partitionName": "Microsoft.Default",
    }
    assert erroneous.get(f"extendedquerytags/{AGE}/errors?offset=1").json == []
    assert erroneous.get(f"extendedquerytags/{AGE}/errors?limit=0").status == 400
    assert "disabled" in erroneous.search("studies", PatientAge="042Y").message


@pytest.mark.covers("fact 49")
def test_enabled_again_its_answers_say_so(erroneous):
    patch(erroneous, AGE, {"queryStatus": "Enabled"})
    for name in ("PatientAge", AGE):
        reply = erroneous.search("studies", **{name: "042Y"})
        assert (reply.status, reply.headers["erroneous-dicom-attributes"]) == (200, name)
    nothing = erroneous.search("studies", PatientAge="043Y")
    assert (nothing.status, nothing.headers["erroneous-dicom-attributes"]) == (204, "PatientAge")
    assert "erroneous-dicom-attributes" not in erroneous.search("studies", PatientID="PAT001").headers


@pytest.mark.covers("Reindex Studies")
def test_the_error_goes_with_its_instance(erroneous):
    assert erroneous("DELETE", "studies/1.1").status == 204
    assert "errors" not in erroneous.get(f"extendedquerytags/{AGE}").json
    again = finish(erroneous, post(erroneous, {}, f"extendedquerytags/{AGE}/reindex"))
    assert again["results"] == {"instances": 1, "errors": 0}
    assert erroneous.get(f"extendedquerytags/{AGE}").json["queryStatus"] == "Disabled"
    patch(erroneous, AGE, {"queryStatus": "Enabled"})
    assert "erroneous-dicom-attributes" not in erroneous.search("studies", PatientAge="042Y").headers


@pytest.mark.covers("fact 50")
def test_files_that_version_2_stored_cause_none(http, dicom):
    reply = http.store(aged(dicom, "1/1/1", "42 years"))
    assert reply.status == 202
    assert added(http, {"path": "PatientAge", "level": "Study"})["results"] == {"instances": 1, "errors": 0}
    assert http.get(f"extendedquerytags/{AGE}").json["queryStatus"] == "Enabled"


@pytest.mark.covers("fact 8")
def test_version_1_refuses_bad_values_of_tags(v1, http, dicom):
    bad = aged(dicom, "1/1/1", "42 years")
    added(http, {"path": "PatientAge", "level": "Study"})
    refused = v1.store(bad)
    assert refused.status == 409
    [item] = refused.json["00081198"]["Value"]
    assert item["00081197"]["Value"] == [43264]
    assert "(0010,1010)" in json.dumps(item["00741048"])
    other_vr = dicom("2/1/1", raw={AGE: ("LO", "042Y")})
    assert v1.store(other_vr).status == 409
    # Version 2 stores them without the value, so that no error comes of it.
    assert http.store(bad, other_vr).status == 202
    assert "errors" not in http.get(f"extendedquerytags/{AGE}").json
    assert AGE not in http.get("studies/1.2/metadata").json[0]


@pytest.mark.covers("fact 15")
def test_version_1_warns_of_several_values(v1, dicom):
    added(v1, {"path": "BodyPartExamined", "level": "Series"})
    reply = v1.store(dicom("1/1/1", raw={"00180015": ("CS", "HEAD\\NECK")}))
    assert "BodyPartExamined" in reply.headers["warning"]
    assert v1.search("series", BodyPartExamined="HEAD").status == 200
    assert v1.search("series", BodyPartExamined="NECK").status == 204


def test_another_vr_in_an_older_file_is_an_error(http, dicom):
    http.stored(dicom("1/1/1", raw={AGE: ("LO", "042Y")}))
    added(http, {"path": "PatientAge", "level": "Study"})
    [error] = http.get(f"extendedquerytags/{AGE}/errors").json
    assert error["errorMessage"] == "The value is of VR LO, the extended query tag of AS."


# -- values follow what is stored --------------------


@pytest.mark.covers("fact 34", "Index Extended Tags")
def test_the_latest_stored_instance_decides(http, dicom):
    added(http, {"path": "PatientAge", "level": "Study"}, {"path": "BodyPartExamined", "level": "Instance"})
    part = "00180015"
    http.stored(dicom("1/1/1", raw={AGE: ("AS", "042Y"), part: ("CS", "HEAD")}))
    http.stored(dicom("1/1/2", raw={AGE: ("AS", "043Y"), part: ("CS", "NECK")}))
    assert http.search("studies", PatientAge="042Y").status == 204
    assert http.search("studies", PatientAge="043Y").values("0020000D") == ["1.1"]
    assert http.search("instances", BodyPartExamined="HEAD").values("00080018") == ["1.1.1.1"]
    http.stored(dicom("1/1/3"))
    assert http.search("studies", PatientAge="043Y").status == 200, "what is missing takes nothing away"
    assert http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.2").status == 204
    assert http.search("studies", PatientAge="043Y").status == 200, "the newest that is left has none"
    assert http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.3").status == 204
    assert http.search("studies", PatientAge="043Y").status == 204
    assert http.search("studies", PatientAge="042Y").status == 200
    assert http.search("instances", BodyPartExamined="NECK").status == 204
    assert http("DELETE", "studies/1.1").status == 204
    assert http.service.index.reader.execute("SELECT count(*) FROM tag_value").fetchone() == (0,)


def test_reindexing_does_not_replace_what_is_newer(stepped, dicom):
    stepped.stored(aged(dicom, "1/1/1", "041Y"), aged(dicom, "1/1/2", "042Y"))
    reply = post(stepped, [{"path": "PatientAge", "level": "Study"}])
    stepped.stored(aged(dicom, "1/1/3", "043Y"), aged(dicom, "2/1/1", "050Y"))
    finish(stepped, reply)
    assert stepped.search("studies", PatientAge="043Y").values("0020000D") == ["1.1"]
    assert stepped.search("studies", PatientAge="050Y").values("0020000D") == ["1.2"]
    assert stepped.search("studies", PatientAge="04?Y").values(AGE) == ["043Y"]


@pytest.mark.parametrize(("level", "route"), [("Study", "studies"), ("Series", "series")])
def test_reindexing_goes_by_versions_not_by_the_order_of_rows(http, dicom, level, route):
    """An instance that is updated stays in its row and becomes the newest."""
    http.stored(aged(dicom, "1/1/1", "041Y"), aged(dicom, "1/1/2", "042Y"))
    with http.service.index.transaction() as writer:
        writer.execute("UPDATE instance SET version = 3 WHERE key = 1")
    added(http, {"path": "PatientAge", "level": level})
    assert http.search(route, PatientAge="041Y").status == 200
    assert http.search(route, PatientAge="042Y").status == 204


def test_batches_report_how_far_they_are(http, dicom, monkeypatch):
    monkeypatch.setattr(tagindex, "BATCH", 2)
    http.stored(*(aged(dicom, f"{n}/1/1", f"{n:03}Y") for n in range(1, 6)))
    seen = []
    change = http.service.operations._change
    monkeypatch.setattr(
        http.service.operations, "_change", lambda key, **values: (seen.append(values), change(key, **values))
    )
    added(http, {"path": "PatientAge", "level": "Study"})
    assert [values["percent"] for values in seen if "percent" in values] == [40, 80, 99, 100]
    assert http.search("studies", PatientAge="005Y").status == 200


def test_what_a_dead_process_left_is_done_at_the_next_start(tmp_path, dicom, http_for):
    with Service.open(tmp_path / "data", operation_polls=5) as first:
        http = http_for(first)
        http.stored(aged(dicom, "1/1/1", "042Y"))
        post(http, [{"path": "PatientAge", "level": "Study"}])
    with Service.open(tmp_path / "data") as second:
        second.operations.close()  # waits for what it runs
        http = http_for(second)
        assert http.get(f"extendedquerytags/{AGE}").json["status"] == "Ready"
        assert http.search("studies", PatientAge="042Y").status == 200


def test_many_values_go_in_many_steps(http, dicom, monkeypatch):
    monkeypatch.setattr(tagindex, "_BATCH_OF_VALUES", 2)
    http.stored(*(aged(dicom, f"{n}/1/1", "042Y") for n in range(1, 6)))
    added(http, {"path": "PatientAge", "level": "Study"}, {"path": "PatientSex", "level": "Study"})
    assert http("DELETE", "extendedquerytags/PatientAge").status == 204
    assert [tag["path"] for tag in http.get("extendedquerytags").json] == ["00100040"]
    assert http.service.index.reader.execute("SELECT count(*) FROM tag_value").fetchone() == (5,)
    # Added anew, it starts from nothing.
    added(http, {"path": "PatientAge", "level": "Instance"})
    assert http.search("studies", PatientAge="042Y").status == 400
    assert len(http.search("instances", PatientAge="042Y").json) == 5


def test_a_deletion_that_fails_says_so(http, monkeypatch):
    added(http, {"path": "PatientAge", "level": "Study"})
    monkeypatch.setattr(tagindex, "forget_tag", lambda *_: 1 / 0)
    assert http("DELETE", "extendedquerytags/PatientAge").status == 500
    monkeypatch.undo()
    assert http.get("extendedquerytags/PatientAge").json["status"] == "Deleting"
    assert http("DELETE", "extendedquerytags/PatientAge").status == 204


def test_tags_are_those_of_all_partitions(tmp_path, dicom, http_for):
    with Service.open(tmp_path / "data", partitions=True) as service:
        everything = http_for(service)
        one, two = (http_for(service, prefix=f"/v2/partitions/{name}") for name in ("one", "two"))
        one.stored(aged(dicom, "1/1/1", "042Y"))
        two.stored(aged(dicom, "1/1/1", "042Y"), aged(dicom, "2/1/1", "042Y"))
        added(everything, {"path": "PatientAge", "level": "Study"})
        assert len(one.search("studies", PatientAge="042Y").json) == 1
        assert len(two.search("studies", PatientAge="042Y").json) == 2
        assert "/partitions/" not in json.dumps(everything.get("extendedquerytags").json)


def test_over_the_wire_as_in_process(anyhow, dicom):
    anyhow.stored(aged(dicom, "1/1/1", "042Y"))
    added(anyhow, {"path": "PatientAge", "level": "Study"})
    assert patch(anyhow, AGE, {"queryStatus": "Enabled"}).status == 200
    assert anyhow.search("studies", PatientAge="042Y").status == 200
    assert anyhow("DELETE", f"extendedquerytags/{AGE}").status == 204
