"""The reference's "Error Handling": statuses and the error format, as the service sends and the client reads them."""

import json

import pytest
import requests
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client
from dicomframe.errors import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    ServiceError,
    TooLargeError,
    UnavailableError,
)

CT = get_testdata_file("CT_small.dcm", download=False)
ACCEPT = {"Accept": "application/dicom+json"}

FORMAT = """
{
  "error": {
    "code": "RequestValidationError",
    "message": "Invalid StudyDate format",
    "details": [{
      "code": "InvalidDateFormat",
      "message": "Expected YYYYMMDD, received: 2024-01-15"
    }]
  }
}
"""
PROBLEM = json.dumps(
    {
        "type": "InvalidDate",
        "title": "Invalid StudyDate format",
        "status": 400,
        "detail": "Expected YYYYMMDD",
        "instance": "/v2/studies",
    }
)

#: Code -> class, and what its resolution in the reference becomes in the message.
ERRORS = {
    400: (BadRequestError, "request's parameters"),  # "Check request format/parameters"
    401: (AuthenticationError, "fresh token"),  # "Refresh token"
    403: (PermissionDeniedError, "role"),  # "Check RBAC permissions"
    404: (NotFoundError, "no such resource"),  # "Resource doesn't exist"
    409: (ConflictError, "there already, or another request holds it"),  # "Duplicate or locked resource"
    413: (TooLargeError, "smaller batch_size"),  # "Reduce batch size"
    503: (UnavailableError, "try again later"),  # "Retry with backoff"
}


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as service:
        yield service


@pytest.fixture(scope="module")
def guarded():
    with dfr.start_local(token="own", read_only_token="read") as service:
        yield service


@pytest.fixture
def error(serve_reply):
    """Give the error that an answer becomes."""

    def of(status, body, content_type):
        with serve_reply(body.encode(), status, content_type) as url:
            client = Client(url, "token", backoff=Backoff(1, 0.001, 0.002))
            with pytest.raises(ServiceError) as caught:
                client.search_studies().to_frame()
        return caught.value

    return of


def as_error(status, kind, error):
    assert type(error) is kind
    assert error.status == status
    assert error.route == "GET /v2/studies"
    assert isinstance(error, ServiceError)
    return str(error)


@pytest.mark.parametrize(
    "status",
    [pytest.param(each, marks=pytest.mark.covers(f"Common Status Codes: {each}")) for each in ERRORS],
)
def test_each_status_is_an_error_of_its_own_in_all_three_shapes(error, status):
    kind, resolution = ERRORS[status]
    reference = error(status, FORMAT, "application/json")
    said = as_error(status, kind, reference)
    assert (reference.code, reference.message) == ("RequestValidationError", "Invalid StudyDate format")
    assert reference.details == ("InvalidDateFormat: Expected YYYYMMDD, received: 2024-01-15",)
    assert "Expected YYYYMMDD, received: 2024-01-15" in said

    problem = error(status, PROBLEM, "application/problem+json")
    as_error(status, kind, problem)
    assert (problem.code, problem.message) == ("InvalidDate", "Expected YYYYMMDD")
    assert problem.details == ("Invalid StudyDate format",)

    plain = error(status, "The date is wrong.", "text/plain")
    as_error(status, kind, plain)
    assert (plain.code, plain.message, plain.details) == ("", "The date is wrong.", ())
    assert all(resolution in str(each) for each in (reference, problem, plain))
    assert len({each for each, _ in ERRORS.values()}) == len(ERRORS)


def asked(service, method, path, **options):
    return requests.request(method, f"{service.url}/v2/{path}", timeout=300, **{"headers": ACCEPT, **options})


@pytest.mark.covers("Common Status Codes: 200")
def test_200_success(local):
    stored = asked(
        local, "POST", "studies", data=open_bytes(CT), headers=ACCEPT | {"Content-Type": "application/dicom"}
    )
    assert stored.status_code in {200, 409}
    assert asked(local, "GET", "studies").status_code == 200
    assert len(local.connect().search_studies().to_frame()) == 1


@pytest.mark.covers("Common Status Codes: 202")
def test_202_accepted(serve_reply):
    """An operation's address, in ``Operation-Location`` or ``Location``, is what an accepted request gives."""
    body = json.dumps(
        {"operationId": "a1", "type": "reindex", "status": "running", "percentComplete": 50}
    ).encode()
    with serve_reply(
        body, 202, "application/json", Operation_Location="http://127.0.0.1/v2/operations/a1"
    ) as url:
        operation = dfr.connect(url).operation("a1")
        operation.refresh()
        assert (operation.status, operation.done, operation.percent) == ("running", False, 50)


def open_bytes(path):
    with open(path, "rb") as file:  # noqa: PTH123 - as a user would
        return file.read()


def test_400_bad_request(local):
    said = asked(local, "GET", "studies", params={"StudyDate": "2024-01-15"})
    assert said.status_code == 400
    assert said.json() == json.loads(FORMAT)


def test_401_unauthorized(guarded):
    said = asked(guarded, "GET", "studies")
    assert (said.status_code, said.headers["WWW-Authenticate"]) == (401, "Bearer")
    with pytest.raises(AuthenticationError, match="az login"):
        dfr.connect(guarded.url).search_studies().to_frame()


def test_403_forbidden(guarded):
    said = asked(guarded, "DELETE", "studies/1.2.3", headers={"Authorization": "Bearer read"})
    assert said.status_code == 403
    with pytest.raises(PermissionDeniedError, match="DICOM Data Owner"):
        guarded.connect(credential="read").delete("1.2.3")


def test_404_not_found(local):
    assert asked(local, "GET", "studies/1.2.3/metadata").status_code == 404
    with pytest.raises(NotFoundError):
        local.connect().retrieve_metadata("1.2.3")


def test_409_conflict(local):
    """A duplicate is a row, because it is one of many; that nothing at all was stored is the status."""
    headers = ACCEPT | {"Content-Type": "application/dicom"}
    for _ in range(2):
        said = asked(local, "POST", "studies", data=open_bytes(CT), headers=headers)
    assert said.status_code == 409
    table = local.connect().store(CT)
    assert (table["status"][0], table["code"][0]) == ("exists", 45070)


def test_413_payload_too_large(monkeypatch):
    """The client halves the batch until it fits; what does not fit alone is a row that says so."""
    from pydicom import dcmread

    from dicomframe.service import store

    monkeypatch.setattr(store, "MOST_BYTES", 100_000)  # of the hosted service's 4 GB
    with dfr.start_local() as small:
        said = asked(
            small,
            "POST",
            "studies",
            data=b"x" * 200_000,
            headers=ACCEPT | {"Content-Type": "application/dicom"},
        )
        assert said.status_code == 413
        files = []
        for number in range(8):
            files.append(dcmread(CT))
            files[-1].SOPInstanceUID = files[-1].file_meta.MediaStorageSOPInstanceUID = (
                f"1.2.826.0.57.{number}"
            )
        files[5].PixelData *= 4
        files[5].NumberOfFrames = 4
        client = small.connect()
        table = client.store(files)
        assert table["status"].tolist() == ["stored"] * 5 + ["failed"] + ["stored"] * 2
        assert table["code"][5] == 413
        assert "smaller batch_size" in table["reason"][5]
        with pytest.raises(TooLargeError):
            client.store(files[5])


@pytest.mark.covers("Error Response Format")
def test_error_response_format(error, local):
    """The client reads the reference's JSON as written, and the local service sends just it."""
    caught = error(400, FORMAT, "application/json")
    assert str(caught).splitlines()[:2] == [
        "400 RequestValidationError: Invalid StudyDate format",
        "  - InvalidDateFormat: Expected YYYYMMDD, received: 2024-01-15",
    ]
    assert asked(local, "GET", "studies", params={"StudyDate": "2024-01-15"}).json() == json.loads(FORMAT)
    for path in ("studies?Nonsense=1", "studies/1.2.3", "nowhere", "studies/..1/metadata"):
        answer = asked(local, "GET", path)
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message", "details"}
        assert answer.headers["Content-Type"] == "application/json"
