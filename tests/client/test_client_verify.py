"""Storing with ``verify=True``: what is said to be stored is looked up, whatever the server says or does."""

import io

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client import verify
from dicomframe.client.sources import encode_dataset
from dicomframe.dicom.parts import iter_parts
from dicomframe.errors import DecodeError, QueryError

CT = get_testdata_file("CT_small.dcm", download=False)
STUDY, SERIES = "1.2.826.0.3", "1.2.826.0.3.1"


def uid(number):
    return f"{SERIES}.{number}"


def dataset(number=0, study=STUDY, series=SERIES):
    made = dcmread(CT)
    made.StudyInstanceUID, made.SeriesInstanceUID = study, series
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid(number)
    return made


def entries(uids):
    """A DICOM JSON row each, as a search gives them."""
    return [
        {
            tag: {"vr": "UI", "Value": [value]}
            for tag, value in (("0020000D", STUDY), ("0020000E", SERIES), ("00080018", each))
        }
        for each in uids
    ]


def uids_in(asked):
    parts = iter_parts(asked.headers["Content-Type"], [asked.body])
    return [str(dcmread(io.BytesIO(part.read()), stop_before_pixels=True).SOPInstanceUID) for part in parts]


def all_stored(as_json, asked):
    items = [{"00081155": {"vr": "UI", "Value": [each]}} for each in uids_in(asked)]
    return as_json({"00081199": {"vr": "SQ", "Value": items}})


@pytest.mark.parametrize("partitions", [False, True])
def test_every_outcome_at_the_local_service(tmp_path, partitions):
    with dfr.start_local(partitions=partitions) as local:
        client = local.connect(progress=False, **({"partition": "trial"} if partitions else {}))
        client.store(dataset(0))
        text = tmp_path / "notes.txt"
        text.write_text("no DICOM " * 50)
        elsewhere = dataset(9, study="1.2.826.0.4")
        odd = dataset(10)
        odd.PatientBirthDate = "19801230"
        odd = encode_dataset(odd).replace(b"19801230", b"19801340")
        given = [dataset(0), dataset(1), dataset(1), text, elsewhere, odd]
        table = client.store(given, study_uid=STUDY, verify=True)
        assert table["status"].tolist() == ["exists", "stored", "exists", "unreadable", "failed", "warning"]
        assert table["verified"].fillna(value=False).tolist() == [True, True, True, False, False, True]
        assert table["verified"].isna().tolist() == [False, False, False, True, False, False]
        assert str(table["verified"].dtype) == "boolean"
        base = f"{client.url}/studies/{STUDY}"
        assert table.attrs["dicom"] == {"service": client.url, "retrieve_url": base}
        assert table["retrieve_url"].dropna().tolist() == [
            f"{base}/series/{SERIES}/instances/{uid(number)}" for number in (1, 10)
        ]
        assert client.store([], verify=True).columns[-1] == "verified"
        if partitions:
            other = local.connect(progress=False, partition="other")
            assert other.store(dataset(50), verify=True)["verified"].tolist() == [True]
            absent = verify.look_up(other.session, [(STUDY, SERIES, uid(1))])
            assert absent == {(STUDY, SERIES, uid(1)): verify.Presence(is_there=False)}


def test_a_server_that_loses_what_it_said_it_stored(serve, connect, as_json, reply):
    def answer(asked):
        if asked.method == "POST":
            return all_stored(as_json, asked)
        return as_json(entries([uid(1)])) if asked.params["offset"] == "0" else reply(204)

    client = connect(serve(answer).url)
    table = client.store([dataset(0), dataset(1)], verify=True)
    assert table["status"].tolist() == ["missing", "stored"]
    assert table["verified"].tolist() == [False, True]
    assert "does not list it; store it again" in table["reason"][0]
    with pytest.raises(DecodeError, match="1 of 2 were not stored"):
        client.store([dataset(0), dataset(1)], verify=True, errors="raise")
    assert "verified" not in client.store(dataset(0))


def test_what_became_of_a_request_whose_answer_was_lost(serve, connect, as_json, reply):
    def answer(asked):
        if asked.method == "POST":
            return reply(reset=True)
        return as_json(entries([uid(1)])) if asked.params["offset"] == "0" else reply(204)

    client = connect(serve(answer).url)
    unsure = client.store([dataset(0), dataset(1)])
    assert unsure["status"].tolist() == ["unknown", "unknown"]
    table = client.store([dataset(0), dataset(1)], verify=True)
    assert table["status"].tolist() == ["failed", "stored"]
    assert table["reason"].str.contains("is not there").tolist() == [True, False]
    assert "it is there, although ConnectionFailed" in table["reason"][1]


@pytest.mark.parametrize(("status", "word"), [(403, "PermissionDeniedError"), (503, "UnavailableError")])
def test_a_search_that_fails_is_a_reason_not_an_error(serve, connect, as_json, reply, status, word):
    client = connect(
        serve(lambda asked: all_stored(as_json, asked) if asked.method == "POST" else reply(status)).url
    )
    table = client.store([dataset(0), dataset(1)], verify=True)
    assert table["status"].tolist() == ["stored", "stored"]
    assert table["verified"].isna().all()
    assert table["reason"].str.contains(f"could not be verified: {word}").all()


@pytest.mark.parametrize("garbage", [b"no JSON", b'{"a": 1}', b"[1]"])
def test_a_search_that_answers_garbage(serve, connect, as_json, reply, garbage):
    client = connect(
        serve(lambda asked: all_stored(as_json, asked) if asked.method == "POST" else reply(200, garbage)).url
    )
    table = client.store(dataset(0), verify=True)
    assert table["verified"].isna().all()
    assert "DecodeError" in table["reason"][0]


def test_a_study_that_is_not_there_may_be_a_404(serve, connect, as_json, reply):
    client = connect(
        serve(lambda asked: all_stored(as_json, asked) if asked.method == "POST" else reply(404)).url
    )
    assert client.store(dataset(0), verify=True)["status"].tolist() == ["missing"]


def test_a_large_series_is_read_until_all_are_met(serve, connect, as_json):
    """Newest first: what was just stored is on the first page of a thousand rows."""
    held = [uid(number) for number in range(1000, 0, -1)]

    def answer(asked):
        offset, limit = int(asked.params["offset"]), int(asked.params["limit"])
        return as_json(entries(held[offset : offset + limit]), api_supported_versions="v1, v2")

    site = serve(answer)
    session = connect(site.url).session
    recent = [(STUDY, SERIES, uid(number)) for number in (1000, 999)]
    assert {each.is_there for each in verify.look_up(session, recent).values()} == {True}
    assert len(site.asked) == 1
    found = verify.look_up(session, [(STUDY, SERIES, uid(1)), (STUDY, SERIES, "1.2.9"), ("", "", "1.2.9")])
    assert {address[2]: presence.is_there for address, presence in found.items()} == {
        uid(1): True,
        "1.2.9": False,
    }
    assert len(site.asked) <= 8


def test_a_server_that_ignores_the_offset_is_asked_by_name(serve, connect, as_json, reply):
    first = [uid(number) for number in range(200)]

    def answer(asked):
        wanted = asked.params.get("SOPInstanceUID")
        if wanted is None:
            return as_json(entries(first))
        return as_json(entries([wanted])) if wanted == uid(777) else reply(204)

    session = connect(serve(answer).url).session
    addresses = [(STUDY, SERIES, uid(number)) for number in (5, 777, 888)]
    found = verify.look_up(session, addresses)
    assert [found[address].is_there for address in addresses] == [True, True, False]


def test_malformed_uids_are_not_asked_for(serve, connect, reply):
    site = serve(reply(204))
    [(_, presence)] = verify.look_up(connect(site.url).session, [("../1", "1.2", "1.3")]).items()
    assert presence.is_there is None
    assert "QueryError" in presence.problem
    assert site.asked == []


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_verify_is_true_or_false(connect, serve, reply, wrong):
    with pytest.raises(QueryError, match="verify"):
        connect(serve(reply(200)).url).store(CT, verify=wrong)
