"""The reference's list of DICOMweb standards."""

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

import dicomframe as dfr


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as running:
        yield running


@pytest.mark.covers("UPS-RS")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_ups_rs_worklist(local, version):
    """UPS-RS (Worklist): the reference says "not currently supported"; the real service has it since, so we do."""
    item = dfr.new_workitem(
        ProcedureStepLabel="Read chest CT",
        ScheduledProcedureStepStartDateTime="20240115103000",
        PatientID=version,
    )
    connection = HTTPConnection(urlsplit(local.url).netloc, timeout=300)
    kind = {"Content-Type": "application/dicom+json", "Accept": "application/dicom+json"}
    connection.request("POST", f"/{version}/workitems?1.2.{version[1]}", json.dumps([item]), kind)
    created = connection.getresponse()
    created.read()
    assert created.status == 201
    connection.request("GET", f"/{version}/workitems?PatientID={version}", headers={"Accept": kind["Accept"]})
    found = connection.getresponse()
    assert [row["00080018"]["Value"] for row in json.loads(found.read())] == [[f"1.2.{version[1]}"]]
    connection.close()

    client = local.connect(api_version=version)
    uid = client.create_workitem(item)
    lock = client.change_workitem_state(uid, "IN PROGRESS")
    client.update_workitem(uid, {"ProcedureStepLabel": "Read again"}, lock)
    assert client.retrieve_workitem(uid).ProcedureStepLabel == "Read again"
    assert len(client.search_workitems(PatientID=version).to_frame()) == 2
