"""Bulk update: new values, new versions, the first version kept."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import python_encoding
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset

from dicomframe.service.header import read_header, read_layout
from dicomframe.service.service import Service
from dicomframe.service.splicing import Change, splice

NEW_NAME = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}}
ORIGINAL = {"Msdicom-Request-Original": "true"}
AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}
FIRST = "studies/1.1/series/1.1.1/instances/1.1.1.1"


def ask(http, studies, dataset, route="studies/$bulkUpdate"):
    body = json.dumps({"studyInstanceUids": studies, "changeDataset": dataset}).encode()
    return http("POST", route, {"Content-Type": "application/json"}, body)


def path_of(reply):
    link = reply.headers["location"]
    return link[link.index("/v") :]


def ended(http, reply):
    """The operation's body when it has ended; the one thread works in order, so waiting for it is enough."""
    assert reply.status == 202, reply.body
    http.service.operations._thread.submit(lambda: None).result(timeout=60)
    body = http.get(path_of(reply))
    assert body.status == 200
    return body.json


def update(http, studies, dataset):
    body = ended(http, ask(http, studies, dataset))
    assert body["status"] == "succeeded", body
    return body["results"]


def file_of(http, path=FIRST, **headers):
    reply = http("GET", path, AS_STORED | headers)
    assert reply.status == 200, reply.body
    return reply.body


def name_in(content):
    return str(pydicom.dcmread(io.BytesIO(content)).PatientName)


def changes(http):
    return http.service.index.reader.execute(
        "SELECT action, instance, version FROM change ORDER BY sequence"
    ).fetchall()


# -- what it does --------------------------------------------------------------------------------------------------


def test_an_update_changes_file_metadata_and_search(anyhow, dicom):
    anyhow.stored(dicom("1/1/1"), dicom("1/1/2"), dicom("1/2/1"), dicom("2/1/1"))
    before = file_of(anyhow)
    etag = anyhow.get("studies/1.1/metadata").headers["etag"]
    accepted = ask(anyhow, ["1.1"], NEW_NAME)
    assert accepted.status == 202
    assert accepted.json["id"] == path_of(accepted).rpartition("/")[2]
    assert accepted.json["href"] == accepted.headers["location"]
    body = ended(anyhow, accepted)
    assert (body["type"], body["status"], body["percentComplete"]) == ("update", "succeeded", 100)
    assert body["results"] == {"studyUpdated": 1, "studyFailed": 0, "instanceUpdated": 3, "errors": []}
    # File, metadata at three levels, search: the new name; the other study: the old one.
    assert name_in(file_of(anyhow)) == "New^Name"
    assert anyhow.get("studies/1.1/metadata").values("00100010") == [{"Alphabetic": "New^Name"}] * 3
    assert anyhow.search("studies", PatientName="new^name").values("0020000D") == ["1.1"]
    assert anyhow.search("studies", PatientName="Doe^John").values("0020000D") == ["1.2"]
    assert anyhow.search("instances", PatientName="New^Name").status == 200
    assert anyhow.get("studies/1.2/metadata").values("00100010") == [{"Alphabetic": "Doe^John"}]
    assert anyhow.get("studies/1.1/metadata").headers["etag"] not in {etag, ""}
    # All but the name and the implementation class is as it was.
    old, new = pydicom.dcmread(io.BytesIO(before)), pydicom.dcmread(io.BytesIO(file_of(anyhow)))
    assert new.file_meta.ImplementationClassUID == "1.3.6.1.4.1.311.129"
    assert new.file_meta.FileMetaInformationGroupLength == len(_meta_of(file_of(anyhow)))
    old.PatientName = "New^Name"
    assert old == new
    assert new.PixelData == old.PixelData


def _meta_of(content):
    end = 132 + 12 + struct.unpack("<L", content[140:144])[0]
    assert content[end : end + 2] != b"\x02\x00"
    return content[144:end]


@pytest.mark.covers("fact 52")
def test_the_original_is_the_first_version_for_ever(http, dicom):
    stored = dicom()
    http.stored(stored)
    update(http, ["1.1"], NEW_NAME)
    update(http, ["1.1"], {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Third^Name"}]}})
    assert name_in(file_of(http)) == "Third^Name"
    for path in (FIRST, "studies/1.1/series/1.1.1", "studies/1.1"):
        headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'} | ORIGINAL
        body = http("GET", path, headers).body
        assert bytes(128) + stored[128:] in body
        assert b"Name" not in body
        meta = http("GET", f"{path}/metadata", ORIGINAL)
        assert meta.values("00100010") == [{"Alphabetic": "Doe^John"}]
        assert meta.headers["etag"] != http.get(f"{path}/metadata").headers["etag"]
        assert (
            http("GET", f"{path}/metadata", ORIGINAL | {"If-None-Match": meta.headers["etag"]}).status == 304
        )
    # The version in between is gone, on disk too; the feed tells of all three.
    assert changes(http) == [("Create", "1.1.1.1", 1), ("Update", "1.1.1.1", 2), ("Update", "1.1.1.1", 3)]
    assert [http.service.blobs.path(version).exists() for version in (1, 2, 3)] == [True, False, True]
    assert http.service.index.garbage() == []


@pytest.mark.covers("fact 52")
def test_of_what_was_never_updated_the_original_is_what_is_there(http, dicom):
    http.stored(dicom("1/1/1"))
    update(http, ["1.1"], NEW_NAME)
    http.stored(dicom("1/1/2", PatientName="Later^Stored"))
    assert http("GET", "studies/1.1/metadata", ORIGINAL).values("00100010") == [
        {"Alphabetic": "Doe^John"},
        {"Alphabetic": "Later^Stored"},
    ]
    # The newest version is the same in both; their tags must differ all the same.
    tags = [http("GET", "studies/1.1/metadata", headers).headers["etag"] for headers in (ORIGINAL, {})]
    assert tags[0] != tags[1]
    assert http("GET", FIRST, AS_STORED | {"Msdicom-Request-Original": "perhaps"}).status == 400
    assert http("GET", FIRST, AS_STORED | {"Msdicom-Request-Original": "FALSE"}).status == 200


@pytest.mark.parametrize("path", ["studies/1.1", "studies/1.1/series/1.1.1", FIRST])
def test_a_deletion_removes_the_original_too(http, dicom, path):
    http.stored(dicom())
    update(http, ["1.1"], NEW_NAME)
    assert http("DELETE", path).status == 204
    assert http("GET", path, {"Accept": "*/*"} | ORIGINAL).status == 404
    assert not [version for version in (1, 2) if http.service.blobs.path(version).exists()]
    assert http.service.index.reader.execute("SELECT count(*) FROM original").fetchone() == (0,)
    http.stored(dicom())
    assert http("GET", f"{path}/metadata", ORIGINAL).values("00100010") == [{"Alphabetic": "Doe^John"}]


def test_every_kind_of_attribute(http, dicom):
    dataset = {
        "PatientName": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00100020": {"vr": "LO", "Value": ["NEW-ID"]},
        "00100030": {"vr": "DA", "Value": ["19990101"]},
        "00100032": {"vr": "TM", "Value": ["101500"]},
        "00100040": {"vr": "CS", "Value": ["F"]},
        "00101000": {"vr": "LO", "Value": ["A", "B"]},
        "00101010": {"vr": "AS", "Value": ["042Y"]},
        "00101030": {"vr": "DS", "Value": [70.5]},
        "00104000": {"vr": "LT", "Value": ["two\r\nlines \\ and a backslash"]},
        "00403001": {"vr": "LO", "Value": ["quiet"]},
        "00080050": {"vr": "SH", "Value": ["ACC-2"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Änne"}]},
        "00081030": {"vr": "LO", "Value": ["Knee"]},
    }
    http.stored(dicom())
    update(http, ["1.1"], dataset)
    read = pydicom.dcmread(io.BytesIO(file_of(http)))
    assert str(read.PatientName) == "Yamada^Tarou=山田^太郎"
    assert (read.PatientID, read.PatientBirthDate, read.PatientSex) == ("NEW-ID", "19990101", "F")
    assert list(read.OtherPatientIDs) == ["A", "B"]
    assert (read.PatientAge, read.PatientWeight, read.AccessionNumber) == ("042Y", 70.5, "ACC-2")
    assert read.PatientComments == "two\r\nlines \\ and a backslash"
    assert str(read.ReferringPhysicianName) == "Müller^Änne"
    assert list(read.keys()) == sorted(read.keys())  # each in its place
    row = http.search("studies", PatientID="NEW-ID", includefield="PatientWeight").json[0]
    assert row["00101030"]["Value"] == [70.5]
    assert row["00081030"]["Value"] == ["Knee"]
    assert http.search("studies", AccessionNumber="ACC-2").status == 200
    assert http.search("studies", ReferringPhysicianName="muller*").status == 200


def test_the_newest_version_decides_the_study(http, dicom):
    http.stored(
        dicom("1/1/1", PatientName="A^A"), dicom("1/1/2", PatientName="B^B", StudyDescription="of the second")
    )
    update(http, ["1.1"], NEW_NAME)
    row = http.search("studies", StudyInstanceUID="1.1").json[0]
    assert (row["00100010"]["Value"], row["00081030"]["Value"]) == (
        [{"Alphabetic": "New^Name"}],
        ["of the second"],
    )
    assert http.search("studies", PatientName="B^B").status == 204
    # A study keeps its place in "newest first".
    http.stored(dicom("2/1/1"))
    update(http, ["1.1"], NEW_NAME)
    assert http.get("studies").values("0020000D") == ["1.2", "1.1"]


# -- the bytes -------------------------------------------------------------------------------------------------------

REAL = (
    "CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "693_J2KI.dcm", "SC_rgb_jpeg_gdcm.dcm",
    "MR_small_implicit.dcm", "rtplan.dcm", "reportsi.dcm", "OBXXXX1A_rle_2frame.dcm",
)  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files_keep_every_other_element(http, name):
    content = Path(get_testdata_file(name, download=False)).read_bytes()
    assert http.store(content).status in {200, 202}
    row = http.get("instances").json[0]
    study, series, instance = (row[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    dataset = NEW_NAME | {"00104000": {"vr": "LT", "Value": ["a comment"]}}
    update(http, [study], dataset)
    path = f"studies/{study}/series/{series}/instances/{instance}"
    old = pydicom.dcmread(io.BytesIO(content), force=True)
    new = pydicom.dcmread(io.BytesIO(file_of(http, path)))
    assert (new.PatientName, new.PatientComments) == ("New^Name", "a comment")
    assert new.file_meta.TransferSyntaxUID == old.file_meta.TransferSyntaxUID
    for tag in old.keys() | new.keys():
        if tag not in {0x00100010, 0x00104000}:
            assert new.get_item(tag).value == old.get_item(tag).value, tag
    if "PixelData" in old and name != "OBXXXX1A_rle_2frame.dcm":
        np.testing.assert_array_equal(new.pixel_array, old.pixel_array)
    assert file_of(http, path, **ORIGINAL)[132:] == content[132:]


@pytest.mark.parametrize(
    ("declared", "other", "name", "expected"),
    [
        ("ISO_IR 100", "Ärzte", "Müller^Jörg", "ISO_IR 100"),
        ("ISO_IR 100", "plain", "山田^太郎", "ISO_IR 192"),
        (None, "plain", "Müller^Jörg", "ISO_IR 192"),
        ("ISO_IR 192", "Ärzte", "山田^太郎", "ISO_IR 192"),
        ("ISO_IR 144", "Люк", "Иванов^Иван", "ISO_IR 144"),
        ("\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "Yamada^Tarou=山田^太郎", "\\ISO 2022 IR 87"),
    ],
)
def test_names_are_written_in_a_character_set_that_has_them(http, dicom, declared, other, name, expected):
    codec = python_encoding.get(declared or "", "ascii") if declared and "\\" not in declared else "ascii"
    raw = {
        "00080005": ("CS", declared) if declared else None,
        "00081030": ("LO", other if isinstance(other, bytes) else other.encode(codec)),
    }
    http.stored(dicom(raw=raw))
    groups = dict(zip(("Alphabetic", "Ideographic"), name.split("="), strict=False))
    update(http, ["1.1"], {"00100010": {"vr": "PN", "Value": [groups]}})
    read = pydicom.dcmread(io.BytesIO(file_of(http)))
    shown = read.SpecificCharacterSet
    assert ("\\".join(shown) if not isinstance(shown, str) else shown) == expected
    assert str(read.PatientName) == name
    assert read.StudyDescription == ("山田" if isinstance(other, bytes) else other)
    metadata = http.get(f"{FIRST}/metadata").json[0]
    assert metadata["00100010"]["Value"] == [groups]
    assert metadata["00080005"]["Value"][-1] == expected.split("\\")[-1]


def test_a_name_that_the_file_cannot_hold_fails_its_study_and_no_other(http, dicom):
    raw = {"00080005": ("CS", "ISO_IR 100"), "00081030": ("LO", "Ärzte".encode("latin_1"))}
    http.stored(dicom("1/1/1"), dicom("1/1/2", raw=raw), dicom("2/1/1"))
    body = ended(
        http, ask(http, ["1.1", "1.2"], {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "山田"}]}})
    )
    assert body["status"] == "failed"
    results = body["results"]
    assert (results["studyUpdated"], results["studyFailed"], results["instanceUpdated"]) == (1, 1, 1)
    assert results["errors"][0] == "Failed to update instances for study 1.1"
    assert "Character Set" in results["errors"][1]
    assert "1.1.1.2" in results["errors"][1]
    assert "山田" not in json.dumps(body, ensure_ascii=False)
    # All of a study or nothing of it.
    assert http.get("studies/1.1/metadata").values("00100010") == [{"Alphabetic": "Doe^John"}] * 2
    assert http.get("studies/1.2/metadata").values("00100010") == [{"Alphabetic": "山田"}]
    assert not list(http.service.blobs._incoming.glob("[!l]*"))


@pytest.mark.parametrize("length", range(1, 9))
def test_a_deflated_file_stays_of_even_length(http, length):
    content = Path(get_testdata_file("image_dfl.dcm", download=False)).read_bytes()
    http.store(content)
    row = http.get("instances").json[0]
    study, series, instance = (row[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    update(http, [study], {"00100020": {"vr": "LO", "Value": ["abcdefghi"[:length]]}})
    rewritten = file_of(http, f"studies/{study}/series/{series}/instances/{instance}")
    meta = 132 + 12 + len(_meta_of(rewritten))
    assert (len(rewritten) - meta) % 2 == 0  # PS3.5 section A.5
    assert pydicom.dcmread(io.BytesIO(rewritten)).PatientID == "abcdefghi"[:length]


KEYWORDS = [
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "PatientComments",
    "StudyDescription",
    "PatientAge",
]


@given(
    present=st.dictionaries(
        st.sampled_from([*KEYWORDS, "StudyID", "SeriesNumber"]), st.just("1"), min_size=1
    ),
    changed=st.dictionaries(
        st.sampled_from(KEYWORDS), st.text("aé山0 ", min_size=1, max_size=12), min_size=1
    ),
    syntax=st.sampled_from(
        ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"]
    ),
    pixels=st.binary(max_size=50),
)
def test_splicing_is_what_pydicom_would_have_written(present, changed, syntax, pixels):
    changed = {keyword: "012Y" if keyword == "PatientAge" else text for keyword, text in changed.items()}
    before = Dataset()
    before.SpecificCharacterSet = "ISO_IR 192"
    before.SOPClassUID, before.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2"
    for keyword, value in present.items():
        setattr(before, keyword, "012Y" if keyword == "PatientAge" else value)
    before.BitsAllocated, before.PixelRepresentation = 8, 0
    before.add_new(0x7FE00010, "OW", pixels + b"\0" * (len(pixels) % 2))
    before.file_meta = FileMetaDataset()
    before.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    before.save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    changes = [
        Change(int(tag_for_keyword(keyword)), dictionary_VR(keyword), text)
        for keyword, text in changed.items()
    ]
    out = bytearray()
    splice(data, read_header(data), read_layout(data), changes, out.extend)
    for keyword, text in changed.items():
        setattr(before, keyword, text)
    expected = io.BytesIO()
    before.save_as(expected, enforce_file_format=True)
    start = 144 + len(_meta_of(bytes(out)))
    wanted = expected.getvalue()[144 + len(_meta_of(expected.getvalue())) :]
    if syntax.endswith(".99"):
        assert zlib.decompress(bytes(out[start:]), -15) == zlib.decompress(wanted, -15)
    else:
        assert bytes(out[start:]) == wanted


# -- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 51")
def test_version_1_has_no_update_and_letter_case_does_not_matter(http, v1, dicom):
    http.stored(dicom())
    assert ask(v1, ["1.1"], NEW_NAME).status == 404
    assert ended(http, ask(http, ["1.1"], NEW_NAME, route="Studies/$BULKUPDATE"))["status"] == "succeeded"
    assert http.get("studies/$bulkUpdate").status == 405


@pytest.mark.covers("fact 51")
def test_an_unknown_study_succeeds_with_nothing(http):
    results = update(http, ["1.2.3"], NEW_NAME)
    assert results == {"studyUpdated": 0, "studyFailed": 0, "instanceUpdated": 0, "errors": []}
    assert changes(http) == []


@pytest.mark.covers("fact 51")
@pytest.mark.parametrize(
    ("name", "attribute", "words"),
    [
        ("00080018", {"vr": "UI", "Value": ["1.2"]}, "(0008,0018) - The attribute cannot be updated"),
        ("00101002", {"vr": "SQ", "Value": []}, "cannot be updated"),
        ("00091001", {"vr": "LO", "Value": ["x"]}, "cannot be updated"),
        ("Nonsense", {"vr": "LO", "Value": ["x"]}, "cannot be updated"),
        ("00100010", {"vr": "PN"}, "null"),
        ("00100010", {"vr": "PN", "Value": []}, "null"),
        ("00100010", {"vr": "PN", "Value": [None]}, "null"),
        ("00100020", {"vr": "LO", "Value": ["  "]}, "null"),
        ("00100010", {"vr": "LO", "Value": ["x"]}, "VR PN"),
        ("00100010", "Secret^Name", "VR PN"),
        ("00100010", {"vr": "PN", "Value": ["Secret^Name"]}, "one that PN allows"),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "Secret^Name" * 9}]}, "at most 64"),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "A"}, {"Alphabetic": "B"}]}, "one value only"),
        ("00100020", {"vr": "LO", "Value": [5]}, "one that LO allows"),
        ("00100030", {"vr": "DA", "Value": ["20240230"]}, "calendar"),
        ("00101030", {"vr": "DS", "Value": [True]}, "one that DS allows"),
        ("00101030", {"vr": "DS", "Value": [1 / 3]}, "16 characters"),
        ("00100040", {"vr": "CS", "Value": ["weiblich"]}, "upper-case"),
    ],
)
def test_bad_attributes_are_told_in_a_failed_attributes_sequence(http, dicom, name, attribute, words):
    http.stored(dicom())
    reply = ask(http, ["1.1"], {name: attribute})
    assert (reply.status, reply.headers["content-type"]) == (400, "application/dicom+json")
    items = reply.json["00741048"]
    assert items["vr"] == "SQ"
    (comment,) = (item["00000902"]["Value"][0] for item in items["Value"])
    assert comment.startswith("DICOM100: ")
    assert words in comment
    assert "Secret" not in comment
    assert changes(http) == [("Create", "1.1.1.1", 1)]
    assert http.service.operations.running("update") is None


@pytest.mark.covers("fact 51")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "studyInstanceUids"),
        (b"{", "no JSON"),
        (b'{"studyInstanceUids": ["1.2"]}', "changeDataset"),
        (b'{"studyInstanceUids": [], "changeDataset": {"00100010": {}}}', "1 to 50"),
        (json.dumps({"studyInstanceUids": ["1.2"] * 51, "changeDataset": NEW_NAME}).encode(), "1 to 50"),
        (json.dumps({"studyInstanceUids": ["1.2", "a"], "changeDataset": NEW_NAME}).encode(), "no UID"),
        (json.dumps({"studyInstanceUids": "1.2", "changeDataset": NEW_NAME}).encode(), "1 to 50"),
        (b'{"studyInstanceUids": ["1.2"], "changeDataset": {}}', "at least one attribute"),
        (
            b'{"studyInstanceUids": ["1.2"], "changeDataset": {}, "more": 1}',
            "studyInstanceUids and changeDataset",
        ),
    ],
)
def test_a_malformed_body(http, body, words):
    reply = http("POST", "studies/$bulkUpdate", {"Content-Type": "application/json"}, body)
    assert reply.status == 400
    assert words in reply.message


def test_other_content_and_queries_are_refused(http):
    body = json.dumps({"studyInstanceUids": ["1.2"], "changeDataset": NEW_NAME}).encode()
    assert http("POST", "studies/$bulkUpdate", {"Content-Type": "text/plain"}, body).status == 415
    assert http("POST", "studies/$bulkUpdate?x=1", {}, body).status == 400
    assert http("POST", "studies/$bulkUpdate", {"Content-Type": None}, body).status == 202


def test_one_at_a_time(stepped, dicom):
    stepped.stored(dicom())
    first = ask(stepped, ["1.1"], NEW_NAME)
    second = ask(stepped, ["1.1"], NEW_NAME)
    assert second.status == 409
    assert first.json["id"] in second.message
    assert second.headers["location"] == first.json["href"]
    seen = [stepped.get(path_of(first)) for _ in range(3)]
    assert [(each.status, each.json["status"]) for each in seen] == [
        (202, "running"), (202, "running"), (200, "succeeded"),
    ]  # fmt: skip
    assert ask(stepped, ["1.1"], NEW_NAME).status == 202


def test_the_new_values_are_not_kept_with_the_operation(http, dicom):
    http.stored(dicom())
    update(http, ["1.1"], {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Secret^Name"}]}})
    assert "Secret" not in str(http.service.index.reader.execute("SELECT * FROM operation").fetchall())


def test_two_who_ask_at_the_same_time_update_once(tmp_path, http_for, dicom):
    with Service.open(tmp_path / "data", operation_polls=0) as service:  # done when it is asked for
        http = http_for(service)
        http.stored(*(dicom(f"1/1/{number}") for number in range(1, 6)))
        accepted = ask(http, ["1.1"], NEW_NAME)
        threads = [threading.Thread(target=http.get, args=(path_of(accepted),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        body = http.get(path_of(accepted)).json
        assert (body["status"], body["results"]["instanceUpdated"]) == ("succeeded", 5)
        assert [action for action, _, _ in changes(http)].count("Update") == 5


def test_data_partitions(tmp_path, dicom, http_for, multipart):
    with Service.open(tmp_path / "data", partitions=True) as service:
        http = http_for(service)
        for name in ("one", "two"):
            headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=test'}
            assert http("POST", f"partitions/{name}/studies", headers, multipart(dicom())).status == 200
        assert ask(http, ["1.1"], NEW_NAME).status == 400
        assert ask(http, ["1.1"], NEW_NAME, "partitions/three/studies/$bulkUpdate").status == 400
        body = ended(http, ask(http, ["1.1"], NEW_NAME, "partitions/one/studies/$bulkUpdate"))
        assert body["results"]["instanceUpdated"] == 1
        names = [http.get(f"partitions/{name}/studies").values("00100010")[0] for name in ("one", "two")]
        assert names == [{"Alphabetic": "New^Name"}, {"Alphabetic": "Doe^John"}]


def test_readers_get_whole_objects_while_updates_go_on(anyhow, dicom):
    anyhow.stored(dicom("1/1/1", raw={"7FE00010": ("OW", bytes(300_000))}), dicom("1/1/2"))
    stop = threading.Event()
    problems: list[object] = []
    read = 0

    def reads():
        nonlocal read
        while not stop.is_set():
            reply = anyhow("GET", FIRST, AS_STORED)
            metadata = anyhow.get("studies/1.1/metadata")
            names = {each["Alphabetic"] for each in metadata.values("00100010")}
            read += 1
            if reply.status != 200 or len(names) != 1 or len(reply.body) < 300_000:
                problems.append((reply.status, names))

    threads = [threading.Thread(target=reads) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(12):
        update(anyhow, ["1.1"], {"00100010": {"vr": "PN", "Value": [{"Alphabetic": f"Name^{number}"}]}})
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert read


# -- deletions, kills --------------------------------------------------------------------------------------------------


def test_what_is_deleted_while_it_is_rewritten_is_passed_over(http, dicom, monkeypatch):
    from dicomframe.service import update as module

    http.stored(dicom("1/1/1"), dicom("1/1/2"))
    real = module.splice

    def deleting(*arguments):
        real(*arguments)
        http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.2")

    monkeypatch.setattr(module, "splice", deleting)
    assert update(http, ["1.1"], NEW_NAME)["instanceUpdated"] == 1
    assert http.get("studies/1.1/metadata").values("00080018") == ["1.1.1.1"]


def test_a_file_that_is_gone_fails_its_study(http, dicom):
    http.stored(dicom())
    http.service.blobs.path(1).unlink()
    results = ended(http, ask(http, ["1.1"], NEW_NAME))["results"]
    assert results["studyFailed"] == 1
    assert "missing" in results["errors"][1]


KILLED = """
import os, signal, sys
from dicomframe.service import versions
from dicomframe.service.service import Service
import dicomframe.service.update as update
service = Service.open(sys.argv[1])
place, after = sys.argv[2], int(sys.argv[3])
calls = 0
def die_at(function):
    def counted(*arguments, **more):
        global calls
        calls += 1
        if calls > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return counted
if place == "keep":
    service.blobs.keep = die_at(service.blobs.keep)
elif place == "splice":
    update.splice = die_at(update.splice)
else:
    service.blobs.remove = die_at(service.blobs.remove)
changes = [[0x00100010, "PN", "New^Name"]]
with service.index.transaction() as writer:
    payload = {"partition": 1, "studies": ["1.1", "1.2"], "changes": changes}
    operation = service.operations.insert(writer, "update", payload)
print(operation.id, flush=True)
service.operations.schedule(operation)
service.operations._thread.shutdown()
"""


@pytest.mark.parametrize(
    ("place", "after"), [("splice", 1), ("keep", 0), ("keep", 2), ("keep", 4), ("remove", 0), ("remove", 1)]
)
def test_kill_9_leaves_whole_versions_and_is_resumed_without_a_second_update(
    tmp_path, http_for, dicom, place, after
):
    data = tmp_path / "data"
    with Service.open(data) as service:
        http = http_for(service)
        http.stored(*(dicom(f"{study}/1/{number}") for study in (1, 2) for number in (1, 2, 3)))
        update(http, ["1.1"], {"00100020": {"vr": "LO", "Value": ["second version"]}})
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(data), place, str(after)],
        capture_output=True, text=True, timeout=60, env=dict(os.environ), check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    with Service.open(data, operation_polls=0) as service:
        http = http_for(service)  # resumed, but not before it is asked for: what did the kill leave?
        for study in ("1.1", "1.2"):
            names = [each["Alphabetic"] for each in http.get(f"studies/{study}/metadata").values("00100010")]
            assert names in (["Doe^John"] * 3, ["New^Name"] * 3)
            files = [
                file_of(http, f"studies/{study}/series/{study}.1/instances/{study}.1.{n}") for n in (1, 2, 3)
            ]
            assert [name_in(content) for content in files] == names
        body = http.get(f"operations/{killed.stdout.strip()}").json
        assert body["status"] == "succeeded"
        assert body["results"] == {"studyUpdated": 2, "studyFailed": 0, "instanceUpdated": 6, "errors": []}
        updates = [instance for action, instance, _ in changes(http) if action == "Update"]
        assert sorted(updates) == sorted(
            [f"1.1.1.{n}" for n in (1, 2, 3)] * 2 + [f"1.2.1.{n}" for n in (1, 2, 3)]
        )
        for study in ("1.1", "1.2"):
            assert (
                http.get(f"studies/{study}/metadata").values("00100010") == [{"Alphabetic": "New^Name"}] * 3
            )
            original = http("GET", f"studies/{study}/metadata", ORIGINAL)
            assert original.values("00100010") == [{"Alphabetic": "Doe^John"}] * 3
            assert original.values("00100020") == ["PAT001"] * 3
        # Six originals, six newest; nothing else lies about.
        assert len(list((data / "blobs").rglob("*.dcm"))) == 12
        assert service.index.garbage() == []


def test_files_of_a_large_transaction_that_never_ended_are_swept(tmp_path, http_for, dicom):
    with Service.open(tmp_path) as service:
        http_for(service).stored(dicom())
        for version in (2, 999, 1000, 2500):
            service.blobs.path(version).parent.mkdir(parents=True, exist_ok=True)
            service.blobs.path(version).write_bytes(b"orphan")
    with Service.open(tmp_path) as service:
        assert [path.stem for path in (tmp_path / "blobs").rglob("*.dcm")] == ["1"]
