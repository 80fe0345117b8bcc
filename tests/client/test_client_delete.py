"""Deleting: planned, done, waited for, lost on the way, refused."""

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client import operations
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    NotBuiltError,
    NotFoundError,
    OperationFailedError,
    PermissionDeniedError,
    QueryError,
    TimedOut,
    UnavailableError,
    UnexpectedAnswerError,
)

STUDY = "1.2.826.0.5"


@pytest.fixture
def local():
    def instances():
        made = dcmread(get_testdata_file("CT_small.dcm", download=False))
        for number in range(6):
            made.StudyInstanceUID, made.SeriesInstanceUID = STUDY, f"{STUDY}.{number % 2}"
            made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{number % 2}.{number}"
            yield made

    with dfr.start_local() as service:
        client = service.connect(progress=False)
        client.store(instances())
        yield client


def left(client):
    return sorted(client.search_instances().to_frame()["SOPInstanceUID"])


def test_a_dry_run_tells_and_leaves_everything(local):
    for uids, count in (
        ((STUDY,), 6),
        ((STUDY, f"{STUDY}.0"), 3),
        ((STUDY, f"{STUDY}.0", f"{STUDY}.0.2"), 1),
    ):
        plan = local.delete(*uids, dry_run=True)
        assert plan["status"].tolist() == ["would go"] * count
        assert plan.columns.tolist() == [
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "SOPInstanceUID",
            "status",
            "error",
        ]
        assert set(plan["SOPInstanceUID"]) <= set(left(local))
    assert len(left(local)) == 6


def test_a_dry_run_of_what_is_not_there_is_as_the_deletion(local):
    with pytest.raises(NotFoundError):
        local.delete("1.9", dry_run=True)
    missing = ResourcePath(STUDY, f"{STUDY}.0", "1.9.9")
    plan = local.delete_many([ResourcePath("1.9"), missing, ResourcePath(STUDY, f"{STUDY}.0")], dry_run=True)
    assert plan["status"].tolist() == ["absent", "absent", "would go", "would go", "would go"]
    assert plan["SOPInstanceUID"].fillna("").tolist()[:2] == ["", "1.9.9"]
    assert plan["error"].iloc[0].startswith("NotFoundError")


def test_each_level(local):
    assert local.delete(STUDY, f"{STUDY}.0", f"{STUDY}.0.2")["status"].tolist() == ["deleted"]
    assert len(left(local)) == 5
    table = local.delete(STUDY, f"{STUDY}.0")
    assert table[["StudyInstanceUID", "SeriesInstanceUID", "status"]].iloc[0].tolist() == [
        STUDY,
        f"{STUDY}.0",
        "deleted",
    ]
    assert left(local) == [f"{STUDY}.1.{number}" for number in (1, 3, 5)]
    local.delete(STUDY)
    assert left(local) == []
    with pytest.raises(NotFoundError):
        local.delete(STUDY)


def test_many_finish_whatever_fails(local):
    table = local.delete_many(["1.9", ResourcePath(STUDY, f"{STUDY}.0"), ResourcePath(STUDY, f"{STUDY}.0")])
    assert table["status"].tolist() == ["absent", "deleted"]
    assert "NotFoundError" in table["error"][0]
    assert len(left(local)) == 3
    plan = local.delete_many(local.search_series(STUDY).to_frame(), dry_run=True)
    assert len(plan) == 3
    assert local.delete_many(local.search_studies().to_frame())["status"].tolist() == ["deleted"]
    with pytest.raises(NotFoundError):
        local.delete_many([STUDY], errors="raise")
    empty = local.delete_many([])
    assert (len(empty), empty.columns.tolist()) == (0, table.columns.tolist())


@pytest.mark.parametrize("wrong", ["../x", 5, [5], None])
def test_malformed_things_are_refused_before_anything_goes(local, wrong):
    with pytest.raises(QueryError):
        local.delete_many(wrong)
    with pytest.raises(QueryError):
        local.delete_many([STUDY], errors="ignore")
    assert len(left(local)) == 6


@pytest.mark.parametrize(
    ("status", "kind"), [(403, PermissionDeniedError), (405, NotBuiltError), (503, UnavailableError)]
)
def test_refusals(serve, connect, reply, status, kind):
    site = serve(reply(status))
    with pytest.raises(kind):
        connect(site.url).delete(STUDY)
    table = connect(site.url).delete_many([STUDY, "1.9"])
    assert table["status"].tolist() == ["failed", "failed"]


def test_an_answer_lost_on_the_way(serve, connect, reply):
    """The first attempt deleted it; the second finds nothing, which is what was wanted."""
    replies = [reply(reset=True), reply(404)]
    site = serve(lambda _: replies.pop(0))
    assert connect(site.url).delete(STUDY)["status"].tolist() == ["deleted"]


# -- deleting in the background ---------------------------------------------------------------------------------------


@pytest.fixture
def background(serve, reply, as_json, monkeypatch):
    monkeypatch.setattr(operations, "_FIRST_PAUSE", 0.01)

    def start(states, header="Operation-Location", host="http://inner-host:1234"):
        left_over = list(states)

        def answer(asked):
            if asked.method == "DELETE":
                link = f"{host}/v2/operations/abc"
                if header == "body":
                    return as_json({"id": "abc", "href": link}, 202)
                return reply(202, headers={header: link} if header else {})
            state = left_over.pop(0) if len(left_over) > 1 else left_over[0]
            return as_json({"operationId": "abc", "status": state}, 202 if state == "running" else 200)

        return serve(answer)

    return start


@pytest.mark.parametrize("header", ["Operation-Location", "Location", "body"])
@pytest.mark.parametrize("end", ["succeeded", "Completed"])
def test_it_is_followed_to_its_end(background, connect, header, end):
    site = background(["notStarted", "running", "running", end], header)
    assert connect(site.url).delete(STUDY)["status"].tolist() == ["deleted"]
    assert [asked.path for asked in site.asked] == [f"/v2/studies/{STUDY}"] + ["/v2/operations/abc"] * 4


def test_or_not(background, connect):
    site = background(["running"])
    assert connect(site.url).delete(STUDY, wait=False)["status"].tolist() == ["accepted"]
    assert len(site.asked) == 1
    without = background(["running"], header=None)
    assert connect(without.url).delete(STUDY)["status"].tolist() == ["accepted"]


def test_it_fails(background, connect):
    client = connect(background(["running", "failed"]).url)
    with pytest.raises(OperationFailedError, match="failed"):
        client.delete(STUDY)
    assert client.delete_many([STUDY])["status"].tolist() == ["failed"]


def test_it_never_ends(background, connect):
    session = connect(background(["running"]).url).session
    with pytest.raises(TimedOut, match="not ended"):
        operations.Operation(session, "operations/abc").wait(timeout=0.05)


def test_a_link_elsewhere_is_not_followed(background, serve, reply, connect):
    elsewhere = serve(reply(200))
    site = background(["running"], host=f"{elsewhere.url}/..")
    with pytest.raises(UnexpectedAnswerError):
        connect(site.url).delete(STUDY)
    assert elsewhere.asked == []


@pytest.mark.parametrize("refused", [429, 503])
def test_what_was_only_refused_before_was_not_deleted(serve, connect, reply, refused):
    """A first attempt that did nothing does not make a missing resource one that was deleted."""
    answers = iter([reply(refused, b"", {"Retry-After": "0"}), reply(404, b"")])
    site = serve(lambda _: next(answers))
    client = connect(site.url)
    table = client.delete_many([ResourcePath("1.2.3")])
    assert table["status"].tolist() == ["absent"]
    assert len(site.asked) == 2


@pytest.mark.parametrize("lost", [{"reset": True}, {"status": 502}])
def test_what_may_have_been_done_before_counts_as_deleted(serve, connect, reply, lost):
    answers = iter([reply(**lost), reply(404, b"")])
    table = connect(serve(lambda _: next(answers)).url).delete_many([ResourcePath("1.2.3")])
    assert table["status"].tolist() == ["deleted"]
