"""Export: to Azure Blob Storage (Azurite) and to folders; what it refuses, what it skips, what a kill leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dicomframe.service.service import Service

pytestmark = pytest.mark.xdist_group("azurite")  # one emulator for all


@pytest.fixture
def root(tmp_path):
    return tmp_path / "exports"


@pytest.fixture
def http(tmp_path, root, http_for, dicom):
    with Service.open(tmp_path / "data", export_root=root) as service:
        opened = http_for(service)
        opened.stored(dicom("1/1/1"), dicom("1/1/2"), dicom("1/2/1"), dicom("2/1/1"), dicom("3/1/1"))
        yield opened


def ask(http, destination, values=None, route="export", **more):
    body = {"destination": destination} | more
    if values is not None:
        body["source"] = {"type": "identifiers", "settings": {"values": values}}
    return http("POST", route, {"Content-Type": "application/json"}, json.dumps(body).encode())


def path_of(reply):
    link = reply.headers["location"]
    return link[link.index("/v") :]


def ended(http, reply):
    assert reply.status == 202, reply.body
    http.service.operations._thread.submit(lambda: None).result(timeout=60)
    body = http.get(path_of(reply))
    assert body.status == 200
    return body.json


def folder(path="out"):
    return {"type": "folder", "settings": {"path": path}}


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def stored_file(dicom, uids):
    return bytes(128) + dicom(uids)[128:]


def expected(dicom, operation, *uids):
    named = {}
    for each in uids:
        study, series, instance = each.split("/")
        name = f"{operation}/results/1.{study}/1.{study}.{series}/1.{study}.{series}.{instance}.dcm"
        named[name] = stored_file(dicom, each)
    return named


VALUES = ["1.1/1.1.1", "1.1/1.1.1/1.1.1.2", "1.2", "1.3/1.3.1/1.3.1.9", "1.9"]
UNKNOWN = ["1.3/1.3.1/1.3.1.9", "1.9"]


# -- to Azure Blob Storage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["connection string", "container with SAS", "documented letter case"])
def test_to_a_container(http, dicom, container, how):
    settings = {
        "connection string": {
            "connectionString": container.connection_string,
            "blobContainerName": container.name,
        },
        "container with SAS": {"blobContainerUri": f"{container.url}?{container.sas()}"},
        "documented letter case": {
            "BlobContainerUri": f"{container.url}?{container.sas()}",
            "UseManagedIdentity": False,
        },
    }[how]
    accepted = ask(http, {"type": "azureblob", "settings": settings}, VALUES)
    operation = accepted.json["id"]
    assert accepted.json["href"] == accepted.headers["location"]
    body = ended(http, accepted)
    assert (body["type"], body["status"]) == ("export", "succeeded")
    log = f"{operation}/errors.log"
    assert body["results"] == {"exported": 3, "skipped": 2, "errorHref": f"{container.url}/{log}"}
    blobs = container.blobs()
    lines = [json.loads(line) for line in blobs.pop(log).splitlines()]
    assert blobs == expected(dicom, operation, "1/1/1", "1/1/2", "2/1/1")
    assert [line["identifier"] for line in lines] == UNKNOWN
    assert all(set(line) == {"timestamp", "identifier", "error"} for line in lines)
    # What is secret is told to nobody and kept no longer than needed.
    rows = http.service.index.reader.execute("SELECT * FROM operation").fetchall()
    for secret in ("sig=", "AccountKey", "connectionString"):
        assert secret not in str(rows)
        assert secret not in json.dumps(body) + str(accepted)


def test_a_large_object_is_uploaded_in_blocks(http, dicom, container):
    pixels = bytes(range(256)) * 20_000
    http.stored(dicom("4/1/1", raw={"7FE00010": ("OW", pixels)}))
    settings = {"blobContainerUri": f"{container.url}?{container.sas()}"}
    body = ended(http, ask(http, {"type": "azureblob", "settings": settings}, ["1.4"]))
    assert body["results"]["exported"] == 1
    (blob,) = (content for name, content in container.blobs().items() if name.endswith(".dcm"))
    assert blob.endswith(pixels)


def test_everything_is_exported_where_no_source_is_given(http, container):
    settings = {"blobContainerUri": f"{container.url}?{container.sas()}"}
    body = ended(http, ask(http, {"type": "azureblob", "settings": settings}))
    assert body["results"]["exported"] == 5
    assert len(container.blobs()) == 6


def test_a_container_that_cannot_be_used(http, container):
    def refused(**settings):
        reply = ask(http, {"type": "azureblob", "settings": settings}, ["1.1"])
        assert reply.status == 400
        assert "sig" not in reply.message
        return reply.message

    missing = container.connection_string
    assert "ContainerNotFound" in refused(connectionString=missing, blobContainerName="not-there")
    wrong = container.sas()[:-6] + "AAAA%3D"
    assert "cannot be used" in refused(blobContainerUri=f"{container.url}?{wrong}")
    dead = container.connection_string.replace(container.endpoint, "http://127.0.0.1:9/devstoreaccount1")
    read_only = container.sas("rl")
    assert "AuthorizationPermissionMismatch" in refused(blobContainerUri=f"{container.url}?{read_only}")
    assert "cannot be used" in refused(connectionString=dead, blobContainerName="x")
    assert http.service.operations.running("export") is None


def test_a_destination_that_takes_nothing_ends_in_failure(tmp_path, http_for, dicom, container):
    with Service.open(tmp_path / "other", operation_polls=0) as service:  # begins when it is asked for
        http = http_for(service)
        http.stored(*(dicom(f"5/1/{number}") for number in range(1, 9)))
        settings = {"blobContainerUri": f"{container.url}?{container.sas()}"}
        accepted = ask(http, {"type": "azureblob", "settings": settings}, ["1.5"])
        assert container.blobs() == {f"{accepted.json['id']}/errors.log": b""}
        container.client.delete_container()
        body = http.get(path_of(accepted)).json
    assert body["status"] == "failed"
    assert (body["results"]["exported"], body["results"]["skipped"]) == (0, 8)


def test_it_says_what_to_install(http, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    settings = {"blobContainerUri": "http://127.0.0.1:10000/devstoreaccount1/x?sig=abc"}
    reply = ask(http, {"type": "azureblob", "settings": settings}, ["1.1"])
    assert reply.status == 501
    assert "dicomframe[export]" in reply.message


LOCAL = "http://127.0.0.1:1/devstoreaccount1"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blobContainerUri": "https://account.blob.core.windows.net/export?sig=x"}, "on this machine"),
        ({"blobContainerUri": "http://10.0.0.5/export"}, "on this machine"),
        ({"blobContainerUri": "http://127.0.0.1.example.org/export"}, "on this machine"),
        ({"blobContainerUri": "http://localhost@example.org/export"}, "on this machine"),
        ({"blobContainerUri": "http://evil@127.0.0.1/export"}, "on this machine"),
        ({"blobContainerUri": "file://127.0.0.1/export"}, "on this machine"),
        ({"blobContainerUri": "http://["}, "on this machine"),
        ({"blobContainerUri": "http://127.0.0.1:1"}, "names no container"),
        (
            {"connectionString": "AccountName=devstoreaccount1;AccountKey=abc=", "blobContainerName": "x"},
            "on this machine",
        ),
        (
            {
                "connectionString": "AccountName=a;SharedAccessSignature=s;BlobEndpoint=https://a.blob.core.windows.net",
                "blobContainerName": "x",
            },
            "on this machine",
        ),
        (
            {
                "connectionString": f"AccountName=mine;AccountKey=abc=;BlobEndpoint={LOCAL}",
                "blobContainerName": "x",
            },
            "SAS token",
        ),
        ({"connectionString": "UseDevelopmentStorage=true"}, "blobContainerName"),
        ({"blobContainerName": "x"}, "blobContainerName"),
        ({"connectionString": "UseDevelopmentStorage=true", "blobContainerName": "a/b"}, "blobContainerName"),
        ({"blobContainerUri": f"{LOCAL}/x", "connectionString": "UseDevelopmentStorage=true"}, "either"),
        ({"blobContainerUri": f"{LOCAL}/x", "useManagedIdentity": True}, "no managed identity"),
        ({"blobContainerUri": f"{LOCAL}/x", "useManagedIdentity": "yes"}, "true or false"),
        ({"blobContainerUri": 5}, "texts"),
        ({"blobContainerUri": f"{LOCAL}/x", "more": 1}, "settings of azureblob"),
        ({}, "either"),
    ],
)
def test_containers_elsewhere_and_malformed_ones_are_refused(http, settings, words):
    reply = ask(http, {"type": "azureblob", "settings": settings}, ["1.1"])
    assert reply.status == 400
    assert words in reply.message
    assert "windows.net" not in reply.message


# -- to folders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_to_a_folder(http, dicom, root, version):
    accepted = ask(http, folder("a/b"), VALUES, route=f"/{version}/export")
    body = ended(http, accepted)
    operation = accepted.json["id"]
    assert body["status"] == ("completed" if version == "v1" else "succeeded")
    assert body["results"]["exported"] == 3
    found = files(root / "a" / "b")
    lines = [json.loads(line) for line in found.pop(f"{operation}/errors.log").splitlines()]
    assert [line["identifier"] for line in lines] == UNKNOWN
    assert found == expected(dicom, operation, "1/1/1", "1/1/2", "2/1/1")
    assert body["results"]["errorHref"] == (root / "a" / "b" / operation / "errors.log").as_uri()


def test_the_newest_version_is_exported(http, root):
    change = {"studyInstanceUids": ["1.2"], "changeDataset": {"00100020": {"vr": "LO", "Value": ["NEW-ID"]}}}
    ended(http, http("POST", "studies/$bulkUpdate", {}, json.dumps(change).encode()))
    ended(http, ask(http, folder(), ["1.2"]))
    (content,) = (content for name, content in files(root).items() if name.endswith(".dcm"))
    assert b"NEW-ID" in content


@pytest.mark.parametrize("path", ["..", "../elsewhere", "a/../../elsewhere", "/etc", "link/inside"])
def test_no_path_leads_out_of_the_root(http, root, tmp_path, path):
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    reply = ask(http, folder(path), ["1.1"])
    assert reply.status == 400
    assert "out of the service's export root" in reply.message
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_absolute_path_below_the_root_is_taken(http, root):
    assert ended(http, ask(http, folder(str(root / "x")), ["1.2"]))["results"]["exported"] == 1
    assert (root / "x").is_dir()


def test_without_a_root_there_are_no_folders(tmp_path, http_for):
    with Service.open(tmp_path / "data") as service:
        reply = ask(http_for(service), folder(), ["1.1"])
        assert reply.status == 400
        assert "export root" in reply.message


def test_a_folder_that_cannot_be_made(http, root):
    root.mkdir()
    (root / "file").write_bytes(b"")
    assert ask(http, folder("file/below"), ["1.1"]).status == 400


@pytest.mark.parametrize("settings", [{}, {"path": 5}, {"path": "a\0b"}, {"path": "a", "more": 1}, None, "a"])
def test_malformed_folders(http, settings):
    assert ask(http, {"type": "folder", "settings": settings}, ["1.1"]).status == 400


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "source and destination"),
        (b"{", "no JSON"),
        (b'{"source": null}', "source and destination"),
        (b'{"destination": {}, "more": 1}', "source and destination"),
        (b'{"destination": {}}', "type must be azureblob"),
        (b'{"destination": {"type": "ftp"}}', "type must be azureblob"),
        (b'{"destination": 5}', "type must be azureblob"),
    ],
)
def test_malformed_bodies(http, body, words):
    reply = http("POST", "export", {"Content-Type": "application/json"}, body)
    assert reply.status == 400
    assert words in reply.message
    assert http("POST", "export?x=1", {}, b"{}").status == 400


@pytest.mark.parametrize(
    "source",
    [
        {}, [], "1.1", {"type": "identifiers"}, {"type": "identifiers", "settings": {}},
        {"type": "identifiers", "settings": {"values": []}}, {"type": "identifiers", "settings": {"values": "1.1"}},
        {"type": "tables", "settings": {"values": ["1.1"]}}, {"type": "identifiers", "settings": {"values": [5]}},
        {"type": "identifiers", "settings": {"values": ["a"]}}, {"type": "identifiers", "settings": {"values": [""]}},
        {"type": "identifiers", "settings": {"values": ["1.1/"]}},
        {"type": "identifiers", "settings": {"values": ["1.1/../.."]}},
        {"type": "identifiers", "settings": {"values": ["1/1/1/1"]}},
    ],
)  # fmt: skip
def test_malformed_sources(http, source):
    assert ask(http, folder(), source=source).status == 400


def test_data_partitions(tmp_path, http_for, dicom, multipart):
    with Service.open(tmp_path / "data", partitions=True, export_root=tmp_path / "out") as service:
        http = http_for(service)
        for name in ("one", "two"):
            headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=test'}
            assert (
                http("POST", f"partitions/{name}/studies", headers, multipart(dicom(PatientID=name))).status
                == 200
            )
        assert ask(http, folder()).status == 400
        assert ask(http, folder(), route="partitions/three/export").status == 400
        assert ended(http, ask(http, folder("2"), route="partitions/two/export"))["results"]["exported"] == 1
        (content,) = (content for name, content in files(tmp_path / "out").items() if name.endswith(".dcm"))
        assert b"two" in content


def test_what_is_deleted_meanwhile_is_skipped_and_told(http, root, monkeypatch):
    from dicomframe.service.destinations import FolderDestination

    real = FolderDestination.put

    def deleting(self, name, source):
        real(self, name, source)
        if name.endswith(".dcm"):
            http("DELETE", "studies/1.1/series/1.1.1/instances/1.1.1.2")

    monkeypatch.setattr(FolderDestination, "put", deleting)
    results = ended(http, ask(http, folder(), ["1.1/1.1.1"]))["results"]
    assert (results["exported"], results["skipped"]) == (1, 1)
    (log,) = (content for name, content in files(root).items() if name.endswith("errors.log"))
    assert json.loads(log)["identifier"] == "1.1/1.1.1/1.1.1.2"


def test_what_cannot_be_written_is_skipped_and_told(http, root):
    accepted = ask(http, folder(), ["1.1", "1.2"])
    operation = accepted.json["id"]
    ended(http, accepted)
    # Once more by the same name, as after a kill; one series' folder has become a file meanwhile.
    series = root / "out" / operation / "results" / "1.1" / "1.1.1"
    for path in series.iterdir():
        path.unlink()
    series.rmdir()
    series.write_bytes(b"in the way")
    from dicomframe.service import export
    from dicomframe.service.operations import Job

    payload = {"partition": 1, "identifiers": ["1.1", "1.2"], "destination": folder()}
    results = export.work(http.service, Job(operation, "export", payload, lambda _: None))
    assert (results["exported"], results["skipped"]) == (2, 2)
    log = (root / "out" / operation / "errors.log").read_bytes().splitlines()
    assert [json.loads(line)["identifier"] for line in log] == ["1.1/1.1.1/1.1.1.1", "1.1/1.1.1/1.1.1.2"]
    assert not list(root.rglob("*.part"))


def test_it_is_resumed_at_the_next_start(tmp_path, http_for, dicom):
    with Service.open(tmp_path / "data", operation_polls=5, export_root=tmp_path / "out") as first:
        http = http_for(first)
        http.stored(dicom())
        accepted = ask(http, folder(), ["1.1"])
    with Service.open(tmp_path / "data", export_root=tmp_path / "out") as second:
        second.operations._thread.submit(lambda: None).result(timeout=60)
        body = http_for(second).get(path_of(accepted)).json
        assert (body["status"], body["results"]["exported"]) == ("succeeded", 1)
    assert any(Path(name).suffix == ".dcm" for name in files(tmp_path / "out"))
