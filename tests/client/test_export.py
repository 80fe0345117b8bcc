"""Export from the client: what is sent, what comes of it, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

import dicomframe as dfr
from dicomframe.client.operations import Operation
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    BadRequestError,
    ConnectionFailed,
    NotBuiltError,
    NotFoundError,
    QueryError,
    TableError,
    UnexpectedAnswerError,
)

CONTAINER = "https://account.blob.core.windows.net/export"


def dataset(study, series=1, instance=1):
    made = Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"1.{study}", f"1.{study}.{series}"
    made.SOPInstanceUID = f"1.{study}.{series}.{instance}"
    made.PatientName, made.PatientID, made.Modality = "Some^Name", f"P{study}", "OT"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def client(root):
    with dfr.start_local(export_root=root) as local:
        connected = local.connect(progress=False)
        connected.store([dataset(1, 1, 1), dataset(1, 1, 2), dataset(1, 2), dataset(2)])
        yield connected


@pytest.mark.parametrize(
    ("what", "exported"),
    [
        ("1.1", 3),
        (["1.1", "1.2"], 4),
        (ResourcePath("1.1", "1.1.1"), 2),
        ([ResourcePath("1.1", "1.1.1", "1.1.1.1"), ResourcePath("1.1", "1.1.1"), "1.2"], 3),
        ("all", 4),
        ("studies", 4),
        ("instances", 3),
    ],
)
def test_to_a_folder_of_a_local_service(client, root, tmp_path, what, exported):
    tables = {"studies": client.search_studies, "instances": lambda: client.search_instances("1.1")}
    if isinstance(what, str) and what in tables:
        what = tables[what]().to_frame()
    folder = tmp_path.name  # a path of its own below the root
    operation = client.export(what, folder)
    assert isinstance(operation, Operation)
    assert operation.wait().type == "export"
    assert (operation.results["exported"], operation.results["skipped"]) == (exported, 0)
    found = list((root / folder / operation.id / "results").rglob("*.dcm"))
    assert len(found) == exported
    for path in found:
        study, series, instance = (
            path.relative_to(root / folder / operation.id / "results").with_suffix("").parts
        )
        original = client.retrieve_instance(study, series, instance)
        assert pydicom.dcmread(path) == original


@pytest.mark.xdist_group("azurite")
def test_to_a_container(client, container, capsys, caplog):
    caplog.set_level("DEBUG")
    token = container.sas()
    for to in (
        f"{container.url}?{token}",
        {"connection_string": container.connection_string, "container": container.name},
    ):
        operation = client.export(["1.2", "1.9"], to, progress=True)
        operation.wait()
        assert (operation.results["exported"], operation.results["skipped"]) == (1, 1)
        assert f"{operation.id}/results/1.2/1.2.1/1.2.1.1.dcm" in container.blobs()
        errors = container.blobs()[operation.results["errorHref"].split(f"{container.name}/")[1]]
        assert json.loads(errors)["identifier"] == "1.9"
        shown = capsys.readouterr()
        secret = token.rpartition("sig=")[2]
        ours = "".join(
            record.getMessage() for record in caplog.records if record.name.startswith("dicomframe")
        )
        assert secret not in shown.out + shown.err + ours + repr(operation) + str(operation.results)


def test_the_requests_are_those_of_the_documents(serve, connect, as_json):
    site = serve(as_json({"id": "7", "href": "https://inside/v2/operations/7"}, 202))
    client = connect(site.url)
    assert client.export(["1.2", ResourcePath("1.3", "4.5.6")], CONTAINER).id == "7"
    client.export("all", f"{CONTAINER}?sv=1&sig=abc")
    client.export(ResourcePath("1.2", "3.4", "5.6"), {"connection_string": "A=B", "container": "c"})
    bodies = [json.loads(asked.body) for asked in site.asked]
    assert bodies == [
        {
            "source": {"type": "identifiers", "settings": {"values": ["1.2", "1.3/4.5.6"]}},
            "destination": {
                "type": "azureblob",
                "settings": {"blobContainerUri": CONTAINER, "useManagedIdentity": True},
            },
        },
        {
            "destination": {
                "type": "azureblob",
                "settings": {"blobContainerUri": f"{CONTAINER}?sv=1&sig=abc", "useManagedIdentity": False},
            }
        },
        {
            "source": {"type": "identifiers", "settings": {"values": ["1.2/3.4/5.6"]}},
            "destination": {
                "type": "azureblob",
                "settings": {"connectionString": "A=B", "blobContainerName": "c"},
            },
        },
    ]
    assert {(asked.method, asked.path, asked.headers["Content-Type"]) for asked in site.asked} == {
        ("POST", "/v2/export", "application/json")
    }


def test_a_data_partition_exports_its_own(tmp_path):
    with dfr.start_local(partitions=True, export_root=tmp_path) as local:
        for name in ("one", "two"):
            client = local.connect(partition=name, progress=False)
            client.store([dataset(1)] if name == "one" else [dataset(2), dataset(3)])
        operation = client.export("all", "out").wait()
        assert operation.results["exported"] == 2
        assert sorted(path.name for path in Path(tmp_path).rglob("*.dcm")) == ["1.2.1.1.dcm", "1.3.1.1.dcm"]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("not a uid", QueryError),
        ([], QueryError),
        (None, QueryError),
        (["1.2", None], QueryError),
        (pd.DataFrame({"PatientID": ["1"]}), TableError),
        (pd.DataFrame({"StudyInstanceUID": [None]}), TableError),
        (pd.DataFrame({"StudyInstanceUID": []}), QueryError),
    ],
)
def test_bad_sources_are_refused_before_anything_is_sent(serve, connect, reply, what, error):
    site = serve(reply(500))
    with pytest.raises(error):
        connect(site.url).export(what, CONTAINER)
    assert site.asked == []


@pytest.mark.parametrize(
    "to",
    [
        None, "", 5, {}, {"connection_string": "secret"}, {"connection_string": "secret", "container": ""},
        {"connection_string": "secret", "container": "c", "more": 1}, "http://account.example/secret",
        "ftp://host/secret", "https://host", "https://host/", "https://[/secret", "https://user:secret@host/c",
        "https://host/c#secret",
    ],
)  # fmt: skip
def test_bad_destinations_are_refused_before_anything_is_sent(serve, connect, reply, to):
    site = serve(reply(500))
    with pytest.raises(QueryError) as caught:
        connect(site.url).export("1.2", to)
    assert "secret" not in str(caught.value)
    assert site.asked == []


def test_only_a_local_service_exports_to_a_folder(connect):
    with pytest.raises(QueryError, match="Only a local service"):
        connect("https://ws-name.dicom.azurehealthcareapis.com", "token").export("1.2", "folder")


def test_no_token_stands_in_an_error(serve, connect, as_json):
    quoting = {"error": {"code": "Bad", "message": "sv=1&sig=aSecret%2Fx or aSecret/x or AKEY= is wrong"}}
    client = connect(serve(as_json(quoting, 400)).url)
    for to in (
        f"{CONTAINER}?sv=1&sig=aSecret%2Fx",
        {
            "connection_string": "AccountName=a;AccountKey=AKEY=;SharedAccessSignature=aSecret",
            "container": "c",
        },
    ):
        with pytest.raises(BadRequestError) as caught:
            client.export("1.2", to)
        secret = "AKEY" if isinstance(to, dict) else "aSecret"
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value)


def test_the_local_service_says_why_not(client):
    with pytest.raises(BadRequestError, match="this machine"):
        client.export("1.2", f"{CONTAINER}?sig=x")
    with pytest.raises(BadRequestError, match="export root"):
        client.export("1.2", "../out")
    with dfr.start_local() as local, pytest.raises(BadRequestError, match="export root"):
        local.connect().export("1.2", "out")


def test_servers_without_export_and_odd_ones(serve, connect, reply, as_json):
    with pytest.raises(NotFoundError, match="has no export"):
        connect(serve(reply(404)).url).export("1.2", CONTAINER)
    with pytest.raises(NotBuiltError, match="has no export"):
        connect(serve(reply(405)).url).export("1.2", CONTAINER)
    said = {"error": {"code": "NotInstalled", "message": "pip install x"}}
    with pytest.raises(NotBuiltError, match="pip install x") as caught:
        connect(serve(as_json(said, 501)).url).export("1.2", CONTAINER)
    assert "has no export" not in str(caught.value)
    with pytest.raises(UnexpectedAnswerError):
        connect(serve(as_json({}, 202)).url).export("1.2", CONTAINER)
    site = serve(reply(200))
    site.stop()
    with pytest.raises(ConnectionFailed):
        connect(site.url).export("1.2", CONTAINER)
