"""Servers' own words, in every shape they come in, without what must not be told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomframe.client.answers import blot, error_of, read_words
from dicomframe.client.reasons import FAILURES, meaning_of_failure
from dicomframe.errors import BadRequestError, ConflictError, NotBuiltError, NotFoundError, ServiceError

REFERENCE = {
    "error": {
        "code": "RequestValidationError",
        "message": "Invalid StudyDate format",
        "details": [{"code": "InvalidDateFormat", "message": "Expected YYYYMMDD, received: 2024-01-15"}],
    }
}
PROBLEM = {
    "type": "https://tools.ietf.org/html/rfc9110",
    "title": "Bad Request",
    "status": 400,
    "detail": "No such partition.",
    "errors": {"limit": ["Must be positive."]},
}
ORTHANC = {"Message": "Bad request", "Details": "Unknown tag", "HttpStatus": 400}
STOW = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [45070]}}]}}
COMMENT = {"00741048": {"vr": "SQ", "Value": [{"00000902": {"vr": "LO", "Value": ["DICOM100: no"]}}]}}


@pytest.mark.parametrize(
    ("content_type", "body", "code", "message", "details"),
    [
        ("application/json", json.dumps(REFERENCE), "RequestValidationError", "Invalid StudyDate format",
         ("InvalidDateFormat: Expected YYYYMMDD, received: 2024-01-15",)),
        ("application/problem+json", json.dumps(PROBLEM), "", "No such partition.",
         ("Bad Request", "limit: Must be positive.")),
        ("application/problem+json", '{"title": "Busy"}', "", "Busy", ()),
        ("text/plain", "The resource is gone.", "", "The resource is gone.", ()),
        ("application/json", '"Work item is already canceled."', "", "Work item is already canceled.", ()),
        ("", json.dumps(ORTHANC), "", "Bad request", ("Unknown tag",)),
        ("application/dicom+json", json.dumps(STOW), "", "45070: the instance exists already", ()),
        ("application/dicom+json", json.dumps(COMMENT), "", "DICOM100: no", ()),
        ("application/json", '{"error": "invalid_token"}', "", "invalid_token", ()),
        ("text/html", "<html><head><title>502 Bad Gateway</title>", "", "an HTML page titled '502 Bad Gateway'", ()),
        ("", "<!DOCTYPE html><p>", "", "an HTML page", ()),
        ("application/json", "{broken", "", "{broken", ()),
        ("application/json", "[1, 2]", "", "", ()),
        ("", "", "", "", ()),
    ],
)  # fmt: skip
def test_each_shape(content_type, body, code, message, details):
    words = read_words(content_type, body.encode())
    assert (words.code, words.message, words.details) == (code, message, details)


@given(st.text(), st.binary())
def test_no_body_makes_it_raise(content_type, body):
    assert isinstance(error_of(500, "GET /v2/studies", content_type, body), ServiceError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "details", "00081198", "00081197", "Value", "title"]), inner
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_makes_it_raise(value):
    assert isinstance(error_of(500, "", "application/json", json.dumps(value).encode()), ServiceError)


def test_class_and_hint_follow_the_status():
    assert isinstance(error_of(409, "", "", b""), ConflictError)
    assert isinstance(error_of(405, "", "", b""), NotBuiltError)
    error = error_of(400, "GET /v2/studies", "application/json", json.dumps(REFERENCE).encode())
    assert isinstance(error, BadRequestError)
    assert (error.status, error.route, error.code) == (400, "GET /v2/studies", "RequestValidationError")
    assert "Expected YYYYMMDD" in str(error)
    assert "az login" in str(error_of(401, "", "", b""))
    assert type(error_of(418, "", "", b"")) is ServiceError


def test_uids_and_searched_values_are_blotted_out():
    said = "PatientName smith^ANNA* not found in 1.2.840.10008.5.1; try 'Smith' in version 1.2.3"
    assert blot(said, ["Smith^Anna*"]) == "PatientName <...> not found in <UID>; try '<...>' in version 1.2.3"
    assert "abc.def" not in blot("token abc.def refused", ["abc.def"])
    assert blot("work item 2.25.46028470923809858523821898465208219439.") == "work item <UID>."
    assert len(blot("x " * 5000)) < 700


def test_reasons_have_their_numbers():
    assert {code: meaning_of_failure(code) for code in (272, 43264, 43265, 45070, 45071)} == {
        code: FAILURES[code] for code in (272, 43264, 43265, 45070, 45071)
    }
    assert meaning_of_failure(0xC123) == FAILURES[0xC000]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda client: client.change_feed().to_frame(), "no change feed"),
        (lambda client: client.latest_change(), "no change feed"),
        (lambda client: client.query_tags(), "no extended query tags"),
        (lambda client: client.search_workitems().to_frame(), "no work items"),
        (lambda client: client.export("all", "https://account.blob.core.windows.net/c?sas"), "no export"),
        (lambda client: client.update_studies(["1.2"], PatientID="X"), "no bulk update"),
    ],
)
@pytest.mark.parametrize("status", [404, 501])
def test_what_a_server_lacks_is_named(serve, reply, connect, call, words, status):
    with pytest.raises((NotFoundError, NotBuiltError), match=words):
        call(connect(serve(reply(status, b"no")).url))


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.5.1", "2.25.329800735698586629295641978511506172918", "1.2.3.4"]
)
@pytest.mark.parametrize(
    "around", ["UID{}", "x{}y", "_{}_", "file-{}.dcm", "({})", "{}/{}", "Instance{}isbad", "é{}é"]
)
def test_uids_glued_to_letters(uid, around):
    assert uid not in blot(around.format(uid, uid))
    assert "<UID>" in blot(around.format(uid, uid))


def test_what_is_no_uid():
    for words in ("version 1.2", "10.0.0.1 refused", "127.0.0.1:8080", "at 2024-01-15 10:30:00.123"):
        assert blot(words) == words
