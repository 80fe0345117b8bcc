"""POST of instances, fact by fact (azure-dicom-behaviour.md 1 to 15)."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from dicomframe.service.server import Server
from dicomframe.service.service import Service

OTHER = {"FailedSOPSequence": "00081198", "ReferencedSOPSequence": "00081199"}


def item(reply, sequence="00081199", at=0):
    return reply.json[sequence]["Value"][at]


def reason(reply, at=0):
    return item(reply, "00081198", at)["00081197"]["Value"][0]


def comments(reply, sequence="00081199", at=0):
    failed = item(reply, sequence, at)["00741048"].get("Value", [])
    return [each["00000902"]["Value"][0] for each in failed]


def test_what_is_stored_comes_back_with_its_urls(anyhow, dicom):
    reply = anyhow.store(dicom("1/1/1"), dicom("1/1/2"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/dicom+json"
    assert "00081190" not in reply.json
    assert "00081198" not in reply.json
    assert [each["00081155"]["Value"] for each in reply.json["00081199"]["Value"]] == [
        ["1.1.1.1"],
        ["1.1.1.2"],
    ]
    assert item(reply)["00081150"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]
    url = item(reply)["00081190"]["Value"][0]
    assert url.startswith("http://127.0.0.1")
    assert url.endswith("/v2/studies/1.1/series/1.1.1/instances/1.1.1.1")
    assert anyhow.get(url.split("/", 3)[3].join(["/", ""])).status == 200


@pytest.mark.covers("fact 57")
def test_the_host_header_does_not_shape_urls(http, dicom):
    assert "evil" not in http.store(dicom(), host="evil.example").body.decode()


@pytest.mark.covers("fact 57")
def test_a_configured_base_shapes_urls(http, dicom):
    http.service.base_url = "https://dicom.example:8443"
    assert item(http.store(dicom()))["00081190"]["Value"][0].startswith(
        "https://dicom.example:8443/v2/studies/"
    )


@pytest.mark.covers("fact 1")
def test_retrieve_url_stands_at_the_top_when_the_route_names_the_study(http, dicom):
    reply = http.store(dicom(), study="1.1")
    assert reply.json["00081190"]["Value"][0].endswith("/v2/studies/1.1")


@pytest.mark.covers("fact 1")
def test_another_study_than_the_routes_is_refused(http, dicom):
    reply = http.store(dicom("2/1/1"), study="1.1")
    assert (reply.status, reason(reply)) == (409, 43264)
    assert "00081190" not in reply.json
    assert "not the one" in comments(reply, "00081198")[0]
    mixed = http.store(dicom("2/1/1"), dicom("1/1/1"), study="1.1")
    assert mixed.status == 202
    assert mixed.json["00081190"]["Value"]


@pytest.mark.covers("fact 2")
def test_no_parts_is_204(http):
    for body in (b"--test--\r\n", b""):
        reply = http("POST", "studies", {"Content-Type": "multipart/related; boundary=test"}, body)
        assert (reply.status, reply.body) == (204, b"")


@pytest.mark.covers("fact 2")
def test_an_empty_single_body_is_409(http):
    reply = http("POST", "studies", {"Content-Type": "application/dicom"})
    assert (reply.status, reason(reply)) == (409, 272)
    assert "00081155" not in item(reply, "00081198")


@pytest.mark.parametrize("garbage", [b"", b"\0", b"no DICOM file" * 50, bytes(1000), b"\x02\x00" * 500])
@pytest.mark.covers("fact 2")
def test_unreadable_parts_are_failed_items(http, dicom, garbage):
    reply = http.store(garbage, dicom())
    assert (reply.status, reason(reply)) == (202, 272)
    assert "00081155" not in item(reply, "00081198")
    assert comments(reply, "00081198")


def test_a_single_body_is_stored(http, dicom):
    assert http("POST", "studies", {"Content-Type": "application/dicom"}, dicom()).status == 200
    assert http.get("studies/1.1").status == 200


@pytest.mark.covers("fact 3")
def test_the_same_file_twice_in_one_request(http, dicom):
    reply = http.store(dicom(), dicom())
    assert (reply.status, reason(reply)) == (202, 45070)
    again = http.store(dicom())
    assert (again.status, reason(again)) == (409, 45070)
    assert item(again, "00081198")["00081155"]["Value"] == ["1.1.1.1"]


@pytest.mark.parametrize("tag", ["00080016", "00080018", "0020000D", "0020000E"])
@pytest.mark.parametrize("value", [None, ("UI", ""), ("UI", "1.2.x"), ("UI", "1" * 65), ("UI", "1.2.")])
@pytest.mark.covers("fact 4", "fact 12")
def test_the_four_uids_are_required(http, v1, dicom, tag, value):
    for ask in (http, v1):
        reply = ask.store(dicom(raw={tag: value}))
        assert (reply.status, reason(reply)) == (409, 43264)
        assert f"({tag[:4].lower()},{tag[4:].lower()})" in comments(reply, "00081198")[0]
    assert http.get("instances").status == 204


@pytest.mark.parametrize("patient_id", [None, "\0ABC", "a" * 65])
@pytest.mark.covers("fact 4", "fact 10")
def test_a_missing_or_invalid_patient_id_is_refused(http, v1, dicom, patient_id):
    for ask in (http, v1):
        reply = ask.store(dicom(PatientID=patient_id))
        assert (reply.status, reason(reply)) == (409, 43264)
        assert "(0010,0020)" in comments(reply, "00081198")[0]


@pytest.mark.covers("fact 4")
def test_an_empty_patient_id(http, v1, dicom):
    refused = v1.store(dicom(PatientID=""))
    assert (refused.status, reason(refused)) == (409, 43264)
    reply = http.store(dicom(PatientID=""))
    assert (reply.status, item(reply)["00081196"]["Value"]) == (202, [1])
    assert "PatientID is empty" in comments(reply)[0]


@pytest.mark.covers("fact 5", "fact 6")
def test_an_invalid_value_is_a_warning_and_leaves_metadata_but_not_the_file(http, dicom):
    file = dicom(StudyDate="2024-01-15", StudyDescription="x" * 65)
    reply = http.store(file)
    assert (reply.status, item(reply)["00081196"]["Value"]) == (202, [1])
    assert [text[:23] for text in comments(reply)] == ["DICOM100: (0008,0020) -", "DICOM100: (0008,1030) -"]
    (metadata,) = http.get("studies/1.1/metadata").json
    assert "00080020" not in metadata
    assert "00081030" not in metadata
    assert "00100010" in metadata
    assert "00080020" not in http.get("studies").json[0]
    assert http.search("studies", StudyDescription="x" * 65).status == 204
    assert http.search("studies", StudyDescription="*").status == 204
    kept = http.get(
        "studies/1.1/series/1.1.1/instances/1.1.1.1", accept="application/dicom; transfer-syntax=*"
    )
    assert b"2024-01-15" in kept.body


@pytest.mark.covers("fact 5", "fact 6")
def test_a_bad_nested_value_takes_the_top_levels_of_the_same_tag(http, dicom):
    nested = {"00080104": ("LO", "fine"), "00100040": ("CS", "lower case")}
    reply = http.store(dicom(raw={"00081032": ("SQ", [nested])}))
    assert (reply.status, item(reply)["00081196"]["Value"]) == (202, [1])
    (comment,) = comments(reply)
    assert comment.startswith("DICOM100: (0010,0040) - ")
    (metadata,) = http.get("studies/1.1/metadata").json
    assert "00100040" not in metadata
    assert metadata["00081032"]["Value"] == [{"00080104": {"vr": "LO", "Value": ["fine"]}}]


def test_a_bad_nested_uid_does_not_lose_the_instance(http, dicom):
    http.store(dicom(raw={"00081115": ("SQ", [{"0020000E": ("UI", "bad uid")}])}))
    assert http.get("series").values("0020000E") == ["1.1.1"]


@pytest.mark.covers("fact 7")
def test_success_items_and_failed_attributes(http, v1, dicom):
    assert item(http.store(dicom("1/1/1")))["00741048"] == {"vr": "SQ"}
    assert "00741048" not in item(v1.store(dicom("1/1/2")))


@pytest.mark.covers("fact 8")
def test_version_1_looks_at_searched_attributes_only(v1, dicom):
    reply = v1.store(dicom("1/1/1", StudyDate="2024-01-15"))
    assert (reply.status, reason(reply)) == (409, 43264)
    reply = v1.store(dicom("1/1/2", raw={"00100040": ("CS", "not valid")}))
    assert reply.status == 200
    assert "00081196" not in item(reply)
    assert v1.get("studies/1.1/metadata").json[0]["00100040"]["Value"] == ["not valid"]
    nested = v1.store(dicom("1/1/3", raw={"00081032": ("SQ", [{"00080020": ("DA", "never")}])}))
    assert nested.status == 200


def implicit(dicom):
    """The same elements without VRs."""
    out = bytearray()
    for tag, value in (
        ("00080016", b"1.2.840.10008.5.1.4.1.1.2\0"), ("00080018", b"1.1.1.1\0"), ("00080060", b"CT"),
        ("00090010", b"PRIVATE "), ("00091001", b"secret"), ("00100010", b"Doe^John"), ("00100020", b"PAT001"),
        ("0020000D", b"1.1\0"), ("0020000E", b"1.1.1\0"), ("00280103", b"\1\0"), ("00280106", b"\xff\xff"),
    ):  # fmt: skip
        out += struct.pack("<HHL", int(tag[:4], 16), int(tag[4:], 16), len(value)) + value
    syntax = b"1.2.840.10008.1.2\0"
    meta = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(syntax)) + syntax
    return bytes(128) + b"DICM" + meta + bytes(out)


@pytest.mark.covers("fact 9")
def test_implicit_vr(http, v1, dicom):
    reply = http.store(implicit(dicom))
    assert (reply.status, item(reply)["00081196"]["Value"]) == (202, [45063])
    (metadata,) = http.get("studies/1.1/metadata").json
    assert not any(int(tag[3], 16) % 2 for tag in metadata)
    assert metadata["00280106"] == {"vr": "SS", "Value": [-1]}
    http("DELETE", "studies/1.1")
    reply = v1.store(implicit(dicom))
    assert (reply.status, item(reply)["00081196"]["Value"]) == (200, [45063])


@pytest.mark.covers("fact 10")
def test_trailing_nulls_stay_and_match(http, dicom):
    assert http.store(dicom(AccessionNumber="A1\0\0", PatientName="Doe^John\0\0")).status == 200
    (metadata,) = http.get("studies/1.1/metadata").json
    assert metadata["00080050"]["Value"] == ["A1\0\0"]
    assert len(http.search("studies", AccessionNumber="A1").json) == 1
    assert len(http.search("studies", AccessionNumber="A1\0").json) == 1
    assert len(http.search("studies", PatientName="doe^john").json) == 1


@pytest.mark.covers("fact 10")
def test_a_null_inside_is_a_warning(http, dicom):
    reply = http.store(dicom(AccessionNumber="A\0B1"))
    assert reply.status == 202
    assert "(0008,0050)" in comments(reply)[0]


SEARCHED = {
    "PatientName": "a^b^c^d^e^f", "PatientBirthDate": "1980", "AccessionNumber": "x" * 17, "StudyDate": "never",
    "ReferringPhysicianName": "x" * 65, "StudyDescription": "x" * 65, "Modality": "ct",
    "PerformedProcedureStepStartDate": "20240230", "ManufacturerModelName": "a\x01b",
}  # fmt: skip


@pytest.mark.covers("fact 4", "fact 5", "fact 8")
@pytest.mark.parametrize("keyword", SEARCHED)
def test_a_searched_value_is_refused_by_version_1_only(http, v1, dicom, keyword):
    file = dicom(**{keyword: SEARCHED[keyword]})
    refused = v1.store(file)
    assert (refused.status, reason(refused)) == (409, 43264)
    reply = http.store(file)
    assert (reply.status, item(reply)["00081196"]["Value"]) == (202, [1])
    assert comments(reply) == comments(refused, "00081198")
    assert SEARCHED[keyword] not in comments(reply)[0]
    assert http.search("series", (keyword, "*" if "Date" not in keyword else "19000101-")).status == 204


@pytest.mark.covers("fact 10")
def test_a_null_inside_a_searched_value_is_refused_by_version_1(v1, dicom):
    reply = v1.store(dicom(AccessionNumber="A\0B1"))
    assert (reply.status, reason(reply)) == (409, 43264)
    assert v1.store(dicom(AccessionNumber="A1\0")).status == 200


@pytest.mark.covers("fact 11")
def test_an_empty_patient_id_does_not_overwrite(http, dicom):
    http.stored(dicom("1/1/1"))
    assert http.store(dicom("1/1/2", PatientID="", PatientName="New^Name")).status == 202
    (row,) = http.search("studies", PatientID="pat001").json
    assert row["00100020"]["Value"] == ["PAT001"]
    assert row["00100010"]["Value"] == [{"Alphabetic": "New^Name"}]


@pytest.mark.covers("fact 12")
def test_uids_with_leading_zeros_and_trailing_spaces(http, dicom):
    assert http.store(dicom(StudyInstanceUID="1.02.003 ")).status == 200
    assert http.get("studies/1.02.003/metadata").status == 200


def post(http, content_type, body, **headers):
    return http("POST", "studies", {"Content-Type": content_type, **headers}, body)


@pytest.mark.covers("fact 13")
def test_only_the_first_part_may_lack_a_content_type(http, dicom, multipart):
    body = multipart(dicom("1/1/1"), head=b"")
    assert post(http, 'multipart/related; type="application/dicom"; boundary=test', body).status == 200
    assert post(http, "multipart/related; boundary=test", body).status == 415
    two = multipart(dicom("1/1/2"), dicom("1/1/3"), head=b"")
    refused = post(http, 'multipart/related; type="application/dicom"; boundary=test', two)
    assert refused.status == 415
    assert "Content-Type" in refused.message
    assert len(http.get("instances").json) == 1  # nothing of a refused request is stored


@pytest.mark.parametrize(
    ("content_type", "status", "words"),
    [
        ('multipart/related; type="application/dicom"', 415, "boundary"),
        ('multipart/related; type="application/dicom+json"; boundary=test', 415, "application/dicom"),
        ('multipart/related; type="application/dicom"; boundary=test; start="<1>"', 400, "start"),
        ("application/json", 415, "Content-Type"),
        ("text/html", 415, "Content-Type"),
        ("multipart/form-data; boundary=test", 415, "Content-Type"),
        ("", 415, "Content-Type"),
    ],
)  # fmt: skip
@pytest.mark.covers("fact 13")
def test_content_types_that_are_refused(http, dicom, multipart, content_type, status, words):
    reply = post(http, content_type, multipart(dicom()))
    assert reply.status == status
    assert words in reply.message


@pytest.mark.covers("fact 13")
def test_another_part_type_is_415(http, dicom, multipart):
    body = multipart(dicom(), head=b"Content-Type: application/octet-stream\r\n")
    reply = post(http, "multipart/related; boundary=test", body)
    assert reply.status == 415
    assert "application/dicom" in reply.message


@pytest.mark.covers("fact 14")
def test_no_type_parameter_and_form_data_part_headers(http, dicom, multipart):
    head = b'Content-Disposition: form-data; name="dicomfile"; filename="a.dcm"\r\nContent-Type: application/dicom\r\n'
    assert post(http, "multipart/related; boundary=test", multipart(dicom(), head=head)).status == 200


@pytest.mark.covers("fact 15")
def test_many_values_of_a_single_valued_attribute(http, v1, dicom):
    reply = v1.store(dicom("1/1/1", AccessionNumber="A1\\B2"))
    assert reply.status == 200
    assert reply.headers["warning"].startswith("299 127.0.0.1")
    assert "AccessionNumber" in reply.headers["warning"]
    assert len(v1.search("studies", AccessionNumber="A1").json) == 1
    assert v1.search("studies", AccessionNumber="B2").status == 204
    assert "warning" not in http.store(dicom("1/1/2", AccessionNumber="A1\\B2")).headers


def test_a_body_that_is_cut_off_stores_nothing(anyhow, dicom, multipart):
    body = multipart(dicom("1/1/1"), dicom("1/1/2"))
    for cut in (len(body) - 5, len(body) - 200, 400, 3):
        reply = post(anyhow, 'multipart/related; type="application/dicom"; boundary=test', body[:cut])
        assert reply.status == 400
        assert "multipart" in reply.message
    assert anyhow.get("instances").status == 204


def test_the_preamble_is_zeroed(http, dicom):
    file = dicom()
    http.stored(file)
    kept = http.get(
        "studies/1.1/series/1.1.1/instances/1.1.1.1", accept="application/dicom; transfer-syntax=*"
    )
    assert kept.body == bytes(128) + file[128:]


@pytest.mark.covers("fact 58")
def test_a_file_without_a_preamble_gets_one(http, dicom):
    file = dicom()
    http.stored(file[132:])
    kept = http.get(
        "studies/1.1/series/1.1.1/instances/1.1.1.1", accept="application/dicom; transfer-syntax=*"
    )
    assert kept.body == bytes(128) + file[128:]


def test_every_place_to_cut_a_file_is_noticed(http, dicom):
    file = dicom()
    for cut in range(132, len(file) - 1, 7):
        reply = http("POST", "studies", {"Content-Type": "application/dicom"}, file[:cut])
        assert reply.status in {409, 202}
        if reply.status == 202:  # cut between two elements: whole elements, but something is missing
            http("DELETE", "studies/1.1")
    http.stored(file)


@pytest.mark.covers("fact 16")
def test_accept_of_a_store(http, strict, dicom):
    assert http.store(dicom("1/1/1"), accept=None).status == 200
    assert http.store(dicom("1/1/2"), accept="application/json").headers["content-type"] == "application/json"
    refused = http.store(dicom("1/1/3"), accept="application/xml")
    assert refused.status == 406
    assert "application/dicom+json" in refused.message
    assert strict.store(dicom(), accept=None).status == 406


def test_unknown_parameters_are_refused(http, dicom, multipart):
    reply = http("POST", "studies?overwrite=true", {"Content-Type": "application/dicom"}, dicom())
    assert reply.status == 400
    assert "overwrite" in reply.message


def test_a_body_beyond_the_limit_is_413(http, dicom, monkeypatch):
    monkeypatch.setattr("dicomframe.service.store.MOST_BYTES", 1000)
    for content_type in ("application/dicom", "multipart/related; boundary=test"):
        reply = post(http, content_type, bytes(100_000))
        assert reply.status == 413
        assert "1000 bytes" in reply.message
    assert http.get("instances").status == 204


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(tmp_path):
    with (
        Server(Service.open(tmp_path)) as server,
        socket.create_connection(server._socket.getsockname(), 30) as client,
    ):
        client.sendall(
            b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
            b"Content-Length: 5000000000\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_messages_never_repeat_values(http, dicom):
    reply = http.store(dicom(PatientID="Secret\x01Id", PatientName="Secret^Name=" * 9))
    assert reply.status == 409
    assert b"Secret" not in reply.body


@pytest.mark.covers("fact 34")
def test_the_newest_instance_gives_study_and_series_their_values(http, dicom):
    http.stored(dicom("1/1/1", StudyDescription="old", Modality="CT"))
    http.stored(dicom("1/1/2", StudyDescription="new", Modality="MR"))
    assert http.search("studies", StudyDescription="old").status == 204
    assert http.search("studies", StudyDescription="new").values("00081030") == ["new"]
    assert http.search("series", Modality="MR").values("00080060") == ["MR"]
    http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.2")
    assert http.search("studies", StudyDescription="old").values("00081030") == ["old"]
    assert http.search("series", Modality="MR").status == 204


@pytest.mark.covers("fact 11", "fact 34")
@pytest.mark.parametrize("later", [None, "", "bad"])
@pytest.mark.parametrize("keyword", SEARCHED)
def test_what_a_later_instance_lacks_is_not_taken_away(http, dicom, keyword, later):
    """Statement v2: invalid values "can return results if they are already stored correctly by a previous instance"."""
    http.stored(dicom("1/1/1"))
    row = http.get("series").json[0]
    http.stored(dicom("1/1/2", **{keyword: SEARCHED[keyword] if later == "bad" else later}))
    assert http.get("series").json == [row]
    value = next(iter(row[TAGS[keyword]]["Value"]))
    value = value["Alphabetic"] if isinstance(value, dict) else value
    assert http.search("series", (keyword, value)).json == [row]
    http.stored(dicom("1/1/3", **{keyword: {"Modality": "MR"}.get(keyword, "19990101")}))
    assert http.search("series", (keyword, value)).status == 204


TAGS = {
    "PatientName": "00100010", "PatientBirthDate": "00100030", "AccessionNumber": "00080050", "StudyDate": "00080020",
    "ReferringPhysicianName": "00080090", "StudyDescription": "00081030", "Modality": "00080060",
    "PerformedProcedureStepStartDate": "00400244", "ManufacturerModelName": "00081090",
}  # fmt: skip


@pytest.mark.covers("fact 34")
@pytest.mark.parametrize("version", ["/v1", "/v2"])
def test_the_latest_series_values_are_answered(http, dicom, version):
    http.stored(dicom("1/1/1"))
    http.stored(
        dicom("1/1/2", SeriesDescription="newer", ManufacturerModelName="Scanner Two", SeriesNumber="4")
    )
    http.prefix = version
    (row,) = http.get(
        "studies/1.1/series?includefield=SeriesDescription,ManufacturerModelName,SeriesNumber"
    ).json
    assert [row[tag]["Value"] for tag in ("0008103E", "00081090", "00200011")] == [
        ["newer"],
        ["Scanner Two"],
        [4],
    ]
    assert http.search("series", ManufacturerModelName="scanner one").status == 204


def test_nothing_unfinished_is_left(http, dicom, tmp_path):
    http.store(b"garbage", dicom(), dicom())
    files = [path.name for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()]
    assert sorted(files) == ["1.dcm", "lock"]
    assert json.loads(http.get("studies/1.1/metadata").body)
