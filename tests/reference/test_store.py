"""The reference's "STOW-RS (Store)" and "Batch Store Operations": each block as written, then ours."""

import io
from pathlib import Path

import pytest
import requests
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.dicom.parts import iter_parts

CT = dcmread(get_testdata_file("CT_small.dcm", download=False))
TOKEN = "a-token"

SINGLE = """
POST /v1/studies HTTP/1.1
Host: workspace-dicom.dicom.azurehealthcareapis.com
Authorization: Bearer {token}
Content-Type: multipart/related; type="application/dicom"; boundary=myboundary
Accept: application/dicom+json

--myboundary
Content-Type: application/dicom

{DICOM P10 binary}
--myboundary--
"""

MULTIPLE = """
POST /v1/studies HTTP/1.1
Content-Type: multipart/related; type="application/dicom"; boundary=myboundary

--myboundary
Content-Type: application/dicom

{DICOM instance 1}
--myboundary
Content-Type: application/dicom

{DICOM instance 2}
--myboundary--
"""

TO_STUDY = """
POST /v1/studies/{studyInstanceUID}
Content-Type: multipart/related; type="application/dicom"; boundary=myboundary
"""

PYTHON = '''
import requests
from pydicom import dcmread
from io import BytesIO

def store_dicom(dicom_path: str, base_url: str, token: str) -> dict:
    """Store a DICOM file using STOW-RS."""
    with open(dicom_path, "rb") as f:
        dicom_data = f.read()

    boundary = "myboundary"
    body = (
        f"--{boundary}\\r\\n"
        f"Content-Type: application/dicom\\r\\n\\r\\n"
    ).encode() + dicom_data + f"\\r\\n--{boundary}--".encode()

    response = requests.post(
        f"{base_url}/v1/studies",
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json"
        },
        data=body
    )

    return response.json()
'''

BATCHES = '''
def batch_store(dicom_files: list, base_url: str, token: str, batch_size: int = 50):
    """Store multiple DICOM files in batches."""
    boundary = "batch_boundary"

    for i in range(0, len(dicom_files), batch_size):
        batch = dicom_files[i:i + batch_size]

        body_parts = []
        for filepath in batch:
            with open(filepath, "rb") as f:
                body_parts.append(
                    f"--{boundary}\\r\\nContent-Type: application/dicom\\r\\n\\r\\n".encode()
                    + f.read()
                )

        body = b"\\r\\n".join(body_parts) + f"\\r\\n--{boundary}--".encode()

        response = requests.post(
            f"{base_url}/v1/studies",
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'
            },
            data=body,
            timeout=300
        )

        if response.status_code != 200:
            print(f"Batch {i//batch_size} failed: {response.text}")
'''

ANSWER = b"""
{
  "00081190": {
    "vr": "UR",
    "Value": ["https://workspace-dicom.dicom.azurehealthcareapis.com/v1/studies/1.2.3.4.5"]
  },
  "00081198": {
    "vr": "SQ",
    "Value": []
  },
  "00081199": {
    "vr": "SQ",
    "Value": [{
      "00081150": { "vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"] },
      "00081155": { "vr": "UI", "Value": ["1.2.3.4.5.6.7.8.9"] },
      "00081190": { "vr": "UR", "Value": ["https://...instances/1.2.3.4.5.6.7.8.9"] }
    }]
  }
}
"""


@pytest.fixture(scope="module")
def local():
    with dfr.start_local(token=TOKEN) as service:
        yield service


@pytest.fixture(scope="module")
def unguarded():
    with dfr.start_local() as service:
        yield service


@pytest.fixture
def file(request):
    """Make CT files, of one study for each test."""
    study = f"1.2.826.0.55.{sum(request.node.name.encode())}"

    def make(number=1, **changes):
        made = dcmread(io.BytesIO(_bytes(CT)))
        made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.1"
        made.SOPInstanceUID = f"{study}.1.{number}"
        for keyword, value in changes.items():
            setattr(made, keyword, value)
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        return _bytes(made)

    make.study = study
    return make


def _bytes(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def instances(service, study):
    return sorted(service.connect().search_instances(study).to_frame()["SOPInstanceUID"])


@pytest.mark.covers("Store Single Instance")
def test_store_single_instance(as_written, local, file):
    names = {"{token}": TOKEN, "{DICOM P10 binary}": file()}
    said = as_written(local.url, SINGLE, names)
    assert said.status == 200
    assert said.headers["content-type"] == "application/dicom+json"
    assert said.json["00081199"]["Value"][0]["00081155"]["Value"] == [f"{file.study}.1.1"]
    again = as_written(local.url, SINGLE, names)
    assert (again.status, again.json["00081198"]["Value"][0]["00081197"]["Value"]) == (409, [45070])
    assert as_written(local.url, SINGLE, names | {"{token}": "another"}).status == 401

    table = local.connect(api_version="v1").store([file(), file(2)])
    assert table["status"].tolist() == ["exists", "stored"]


@pytest.mark.covers("Store Multiple Instances")
def test_store_multiple_instances(as_written, unguarded, file):
    said = as_written(unguarded.url, MULTIPLE, {"{DICOM instance 1}": file(1), "{DICOM instance 2}": file(2)})
    assert said.status == 200
    assert instances(unguarded, file.study) == [f"{file.study}.1.{number}" for number in (1, 2)]

    table = unguarded.connect().store([file(3), file(4)])
    assert table["status"].tolist() == ["stored", "stored"]
    assert len(instances(unguarded, file.study)) == 4


@pytest.mark.covers("Store to Specific Study")
def test_store_to_specific_study(as_written, unguarded, file):
    body = MULTIPLE.partition("\n\n")[2]
    stranger = file(9, StudyInstanceUID="1.2.826.0.56")
    names = {"{studyInstanceUID}": file.study, "{DICOM instance 1}": file(1), "{DICOM instance 2}": stranger}
    said = as_written(unguarded.url, f"{TO_STUDY}\n{body}", names)
    assert said.status == 202
    assert said.json["00081190"]["Value"] == [f"{unguarded.url}/v1/studies/{file.study}"]
    assert said.json["00081198"]["Value"][0]["00081197"]["Value"] == [43264]

    table = unguarded.connect().store([file(2), stranger], study_uid=file.study)
    assert table["status"].tolist() == ["stored", "failed"]
    assert table["code"][1] == 43264
    assert instances(unguarded, file.study) == [f"{file.study}.1.{number}" for number in (1, 2)]
    assert instances(unguarded, "1.2.826.0.56") == []


@pytest.mark.covers("Python STOW-RS Example")
def test_python_stow_rs_example(executed, local, file, tmp_path):
    path = tmp_path / "one.dcm"
    path.write_bytes(file())
    scope = executed(PYTHON)
    said = scope["store_dicom"](str(path), local.url, TOKEN)
    assert said["00081199"]["Value"][0]["00081155"]["Value"] == [f"{file.study}.1.1"]

    path.write_bytes(file(2))
    assert local.connect().store(str(path))["status"].tolist() == ["stored"]


@pytest.mark.covers("Store Response")
def test_store_response(serve_reply, unguarded, file):
    """The reference's JSON as written is understood, and the local service's has its form."""
    made = file(SOPInstanceUID="1.2.3.4.5.6.7.8.9", StudyInstanceUID="1.2.3.4.5")
    with serve_reply(ANSWER) as url:
        table = dfr.connect(url).store(made, study_uid="1.2.3.4.5")
    assert table["status"].tolist() == ["stored"]
    assert table["retrieve_url"].tolist() == ["https://...instances/1.2.3.4.5.6.7.8.9"]
    assert table.attrs["dicom"]["retrieve_url"].endswith("/v1/studies/1.2.3.4.5")

    said = requests.post(
        f"{unguarded.url}/v1/studies/{file.study}",
        data=file(),
        headers={"Content-Type": "application/dicom", "Accept": "application/dicom+json"},
        timeout=300,
    ).json()
    study = f"{unguarded.url}/v1/studies/{file.study}"
    assert said == {
        "00081190": {"vr": "UR", "Value": [study]},
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                    "00081155": {"vr": "UI", "Value": [f"{file.study}.1.1"]},
                    "00081190": {
                        "vr": "UR",
                        "Value": [f"{study}/series/{file.study}.1/instances/{file.study}.1.1"],
                    },
                }
            ],
        },
    }


@pytest.mark.covers("Response Tags: 00081190")
def test_response_tag_retrieve_url(unguarded, file):
    """What stands there can be retrieved, of the study and of each instance; it is in the table."""
    table = unguarded.connect().store([file(1), file(2)], study_uid=file.study)
    stored = [dcmread(io.BytesIO(_retrieved(url))) for url in table["retrieve_url"]]
    assert [each.SOPInstanceUID for each in stored] == table["SOPInstanceUID"].tolist()
    whole = requests.get(
        table.attrs["dicom"]["retrieve_url"],
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        timeout=300,
    )
    assert len(list(iter_parts(whole.headers["Content-Type"], [whole.content]))) == 2


def _retrieved(url):
    answer = requests.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=300)
    assert answer.status_code == 200
    return answer.content


@pytest.mark.covers("Response Tags: 00081198")
def test_response_tag_failed_sop_sequence(unguarded, file):
    broken = file(7, PatientID=None)
    table = unguarded.connect().store([file(1), broken[:200], file(1)])
    assert table["status"].tolist() == ["stored", "unreadable", "exists"]
    said = requests.post(
        f"{unguarded.url}/v2/studies",
        data=broken[:300],
        headers={"Content-Type": "application/dicom", "Accept": "application/dicom+json"},
        timeout=300,
    )
    assert said.status_code == 409
    assert said.json()["00081198"]["Value"][0]["00081197"]["Value"][0] in {272, 43264}


@pytest.mark.covers("Response Tags: 00081199")
def test_response_tag_referenced_sop_sequence(unguarded, file):
    client = unguarded.connect()
    table = client.store([file(number) for number in range(3)], verify=True)
    assert table["status"].tolist() == ["stored"] * 3
    assert table["verified"].all()
    assert instances(unguarded, file.study) == sorted(table["SOPInstanceUID"])


@pytest.mark.covers("Batch Store Operations")
def test_batch_store_operations(executed, local, file, tmp_path, capsys):
    paths = []
    for number in range(120):
        path = tmp_path / f"{number:03}.dcm"
        path.write_bytes(file(number))
        paths.append(str(path))
    scope = executed(BATCHES, requests=requests)
    scope["batch_store"](paths[:110], local.url, TOKEN)
    assert capsys.readouterr().out == ""
    assert len(instances(local, file.study)) == 110
    scope["batch_store"](paths[:2], local.url, TOKEN)
    assert "Batch 0 failed" in capsys.readouterr().out

    table = local.connect().store(Path(paths[0]).parent)
    assert table["status"].value_counts().to_dict() == {"exists": 110, "stored": 10}
    assert len(instances(local, file.study)) == 120
