"""What docs/servers.md says that Orthanc lacks, asked of Orthanc; each is refused by a typed error, not by silence."""

import pytest
from pydicom.data import get_testdata_file

from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client
from dicomframe.errors import NotAcceptableError, NotBuiltError, NotFoundError

pytestmark = pytest.mark.orthanc

UID = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
TAG = "BodyPartExamined"


@pytest.fixture(scope="module")
def client(orthanc):
    with Client(orthanc.dicom_web, progress=False, backoff=Backoff(2, 0.01, 0.05)) as connected:
        connected.store(get_testdata_file("CT_small.dcm", download=False))
        yield connected


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (NotBuiltError, lambda client: client.delete(UID)),
        (NotAcceptableError, lambda client: client.update_studies([UID], PatientName="A^B")),
        (NotFoundError, lambda client: client.change_feed().to_frame()),
        (NotFoundError, lambda client: client.latest_change()),
        (NotFoundError, lambda client: next(client.follow_changes())),
        (NotFoundError, lambda client: client.query_tags()),
        (NotFoundError, lambda client: client.add_query_tags({TAG: "Series"})),
        (NotFoundError, lambda client: client.query_tag_errors(TAG)),
        (NotFoundError, lambda client: client.reindex_query_tag(TAG)),
        (NotFoundError, lambda client: client.delete_query_tag(TAG)),
        (NotFoundError, lambda client: client.operation("0" * 32).refresh()),
        (NotFoundError, lambda client: client.partitions()),
        (NotFoundError, lambda client: client.export([UID], "folder")),
        (NotFoundError, lambda client: client.search_workitems().to_frame()),
        (NotFoundError, lambda client: client.retrieve_workitem("1.2.3")),
    ],
)
def test_it_is_refused(client, error, ask):
    with pytest.raises(error):
        ask(client)


def test_it_ignores_what_it_does_not_know(client):
    """Unknown filters find everything, fuzzy matching finds nothing, and the original is the one version."""
    unknown = client.session.request("GET", "studies", params=[("StudyInstanceUID", UID), ("foo", "bar")])
    assert len(unknown.json()) == 1
    assert client.search_studies(PatientName="comp", fuzzy=True).to_frame().empty
    assert len(client.search_studies(PatientName="comp*").to_frame()) >= 1
    assert len(client.retrieve_metadata(UID, original=True)) == 1
