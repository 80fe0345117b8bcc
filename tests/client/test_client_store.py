"""Storing: whatever is given has its row, whatever the server does."""

import gzip
import io
import json
import os
import threading
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import dicomframe as dfr
from dicomframe.client.sources import Item, encode_dataset, iter_items
from dicomframe.client.store import batches
from dicomframe.client.stow import read_outcomes
from dicomframe.dicom.parts import iter_parts
from dicomframe.errors import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailed,
    NotFoundError,
    PermissionDeniedError,
    QueryError,
    UnavailableError,
    UnexpectedAnswerError,
)

CT = Path(get_testdata_file("CT_small.dcm", download=False))
COLUMNS = [
    "path",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "status",
    "code",
    "reason",
    "warnings",
    "retrieve_url",
]

STUDY_OF_MANY = "1.2.826.0.2"


def dataset(number=0, study="1.2.826.0.2"):
    made = dcmread(CT)
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{number}"
    return made


@pytest.fixture
def folder(tmp_path):
    """A folder of five instances in two sub-folders, beside things that are none."""
    root = tmp_path / "in"
    for number in range(5):
        target = root / ("a" if number < 3 else "b/c") / f"{number}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset(number).save_as(target)
    (root / "notes.txt").write_text("no DICOM, but long enough to be taken for something: " * 20)
    (root / "empty").touch()
    (root / "nothing here").mkdir()
    return root


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as service:
        yield service.connect(progress=False)


@pytest.fixture
def empty_local(local):
    local.delete_many(local.search_studies().to_frame())
    return local


# -- what can be given -----------------------------------------------------------------------------------------------


def test_a_folder(empty_local, folder):
    table = empty_local.store(folder)
    assert table.columns.tolist() == COLUMNS
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        **dict.fromkeys(COLUMNS, "string"),
        "code": "Int64",
    }
    rows = table.assign(path=table["path"].str.removeprefix(f"{folder}/")).set_index("path")
    assert rows["status"].to_dict() == {
        "a/0.dcm": "stored", "a/1.dcm": "stored", "a/2.dcm": "stored", "b/c/3.dcm": "stored", "b/c/4.dcm": "stored",
        "empty": "unreadable", "notes.txt": "unreadable", "nothing here": "unreadable",
    }  # fmt: skip
    assert rows.loc["notes.txt", "reason"] == rows.loc["empty", "reason"] == "this is no DICOM file"
    assert rows.loc["nothing here", "reason"] == "the folder is empty"
    found = empty_local.search_instances().to_frame()
    assert set(found["SOPInstanceUID"]) == set(rows["SOPInstanceUID"].dropna())
    assert table.attrs["dicom"] == {"service": empty_local.url}


def test_every_kind_of_source_in_the_order_given(empty_local, folder, tmp_path):
    single = tmp_path / "single.dcm"
    dataset(100).save_as(single)
    raw = io.BytesIO()
    dataset(101).save_as(raw)
    given = [
        str(single),
        raw.getvalue(),
        dataset(102),
        [folder / "a", (dataset(103),)],
        bytearray(b"none"),
        5,
        None,
    ]
    table = empty_local.store(iter(given), batch_size=2)
    assert table["SOPInstanceUID"].str.rsplit(".", n=1).str[-1].fillna("-").tolist() == [
        "100", "101", "102", "0", "1", "2", "103", "-", "-", "-",
    ]  # fmt: skip
    assert table["status"].tolist() == ["stored"] * 7 + ["unreadable"] * 3
    assert table["path"].notna().tolist() == [
        True,
        False,
        False,
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert "int" in table["reason"][8]
    paths = pd.DataFrame({"path": [str(single)]})
    assert empty_local.store(paths["path"])["status"].tolist() == ["exists"]


@pytest.mark.parametrize("wrong", [5, None, pd.DataFrame({"path": ["a"]})])
def test_what_cannot_be_stored(local, wrong):
    with pytest.raises(QueryError):
        local.store(wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": True},
        {"study_uid": "../1"},
        {"progress": "yes"},
        {"errors": "coerce"},
    ],
)
def test_malformed_options(local, options):
    with pytest.raises(QueryError):
        local.store(CT, **options)


def test_nothing_is_an_empty_typed_table(local):
    table = local.store([])
    assert (len(table), table.columns.tolist(), str(table.dtypes["code"])) == (0, COLUMNS, "Int64")


def test_paths_that_are_no_files(local, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    table = local.store([tmp_path, tmp_path / "missing.dcm", "bad\0name"])
    assert set(table["status"]) == {"unreadable"}
    reasons = {Path(row.path).name: row.reason for row in table.itertuples()}
    assert reasons == {
        "dangling": "there is no such file or folder",
        "loop": "a link to a folder is not followed",
        "pipe": "it is no regular file",
        "missing.dcm": "there is no such file or folder",
        "bad\0name": reasons["bad\0name"],
    }


def test_a_walk_names_files_as_pathlib_does(tmp_path, monkeypatch):
    for name in ("b/2", "b/10", "B/1", "a.dcm", "b.dcm", "c-d/e", "c/d/e", "c/d.f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"none")

    def walk(path):
        inside = sorted(path.iterdir()) if path.is_dir() else None
        return [str(path)] if inside is None else [name for each in inside for name in walk(each)]

    monkeypatch.chdir(tmp_path)
    for given in (tmp_path, f"{tmp_path}//", ".", "./b/", "b/../c", "a.dcm", "./a.dcm"):
        assert [item.path for item in iter_items(given)] == walk(Path(given)), given


def test_a_name_that_is_no_text_is_shown_as_its_escape(local, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path / "CT_") + b"\xff.dcm")
    Path(odd).write_bytes(CT.read_bytes())
    table = local.store([odd, tmp_path / "none"])
    assert table["path"].tolist() == [f"{tmp_path}/CT_\\udcff.dcm", str(tmp_path / "none")]
    assert table["status"].tolist()[0] in {"stored", "exists"}


def test_a_file_that_cannot_be_read(local):
    """Root may read every file, but not this process's memory at address 0."""
    table = local.store(["/proc/self/mem", CT])
    assert table["status"].tolist()[0] == "unreadable"
    assert table["reason"][0] == "Input/output error"
    assert table["status"].tolist()[1] in {"stored", "exists"}


def test_a_folder_without_dicom_sends_nothing(serve, connect, reply, tmp_path):
    for name in ("letter.txt", "picture.png"):
        (tmp_path / name).write_bytes(b"\x89PNG or some other thing" * 20)
    site = serve(reply(200))
    table = connect(site.url).store(tmp_path, verify=True)
    assert table["status"].tolist() == ["unreadable"] * 2
    assert table["verified"].isna().all()
    assert table["reason"].tolist() == ["this is no DICOM file"] * 2
    assert site.asked == []


@pytest.mark.parametrize(
    "missing", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_a_dataset_without_a_uid_is_a_row(local, missing):
    """What cannot be sent never is; what can, the service judges."""
    made = dataset(30, study=f"1.2.826.0.30.{len(missing)}")
    delattr(made, missing)
    table = local.store([made, dataset(31, study=f"1.2.826.0.31.{len(missing)}")], verify=True)
    assert table["status"][0] in {"unreadable", "failed"}
    assert table["reason"].notna()[0]
    assert table["status"][1] == "stored"
    assert table["verified"].fillna(value=False).tolist() == [False, True]


def test_a_dicomdir_is_no_instance(local):
    table = local.store(get_testdata_file("DICOMDIR", download=False))
    assert table["status"].tolist() == ["unreadable"]
    assert "DICOMDIR" in table["reason"][0]


# -- Datasets --------------------------------------------------------------------------------------------------------


def test_a_dataset_made_by_hand_gets_a_header(empty_local):
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientID, made.Modality = "hand", "OT"
    before = made.to_json()
    assert empty_local.store(made)["status"].tolist() == ["stored"]
    assert made.to_json() == before
    assert not hasattr(made, "file_meta")
    [back] = empty_local.retrieve_study(made.StudyInstanceUID)
    assert back == made
    assert back.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert back.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID


def test_a_dataset_keeps_its_transfer_syntax():
    for name in ("JPEG2000.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "image_dfl.dcm"):
        original = dcmread(get_testdata_file(name, download=False))
        again = dcmread(io.BytesIO(encode_dataset(original)))
        assert again.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        assert again == original


def test_a_dataset_that_cannot_be_written(local):
    broken = dataset()
    broken.Rows = 1
    broken["Rows"]._value = "many"
    table = local.store([broken, CT])
    assert table["status"].tolist()[0] == "unreadable"
    assert "cannot be encoded" in table["reason"][0]
    assert table["status"].tolist()[1] in {"stored", "exists"}


# -- the service's own words -----------------------------------------------------------------------------------------


def test_again_and_twice_in_one_request(empty_local):
    assert empty_local.store(dataset(1))["status"].tolist() == ["stored"]
    again = empty_local.store(dataset(1))
    assert again[["status", "code", "reason"]].iloc[0].tolist() == [
        "exists",
        45070,
        "the instance exists already",
    ]
    twice = empty_local.store([dataset(2), dataset(2), dataset(3)])
    assert sorted(twice["status"].tolist()[:2]) == ["exists", "stored"]
    assert twice["status"].tolist()[2] == "stored"


def test_a_damaged_copy_is_told_from_the_whole_one(empty_local):
    """Both name the same instance, and the service names neither of the damaged ones: each row has its own outcome."""
    whole, other = (encode_dataset(dataset(number)) for number in (1, 2))
    given = [whole[: len(whole) // 2], other[: len(other) // 3], whole, other, whole]
    table = empty_local.store(given, verify=True)
    assert table["status"].tolist() == ["failed", "failed", "stored", "stored", "exists"]
    assert table["warnings"].str.contains("cut off").tolist()[:2] == [True, True]
    assert table["verified"].tolist() == [True] * 5
    assert empty_local.store([other, whole[:-5], other])["status"].tolist() == ["exists", "failed", "exists"]


def test_copies_of_an_instance_are_never_on_their_way_at_once(serve, connect, as_json):
    sent = []

    def answer(asked):
        uids = uids_in(asked)
        sent.append(uids)
        return as_json(stow_answer(uids))

    numbers = [1, 2, 1, 3, 1, 2]
    table = connect(serve(answer).url).store([dataset(number) for number in numbers])
    assert table["status"].tolist() == ["stored"] * 6
    assert [[uid.rpartition(".")[2] for uid in uids] for uids in sent] == [["1", "2", "3"], ["1", "2"], ["1"]]
    assert table["SOPInstanceUID"].str.rpartition(".")[2].tolist() == [str(number) for number in numbers]


def test_the_wrong_study(empty_local):
    table = empty_local.store([dataset(1), dataset(1, "1.2.826.0.3")], study_uid="1.2.826.0.2")
    assert table["status"].tolist() == ["stored", "failed"]
    assert table["code"][1] in {43264, 43265}
    assert len(table["reason"][1]) > 10


def test_warnings_name_the_attribute(empty_local):
    odd = dataset(7)
    odd.PatientID = ""
    table = empty_local.store(odd)
    assert table["status"].tolist() == ["warning"]
    assert table["code"].tolist() == [1]
    assert "0010,0020" in table["warnings"][0]


# -- requests --------------------------------------------------------------------------------------------------------


def stow_answer(stored=(), failed=(), code=45070):
    def entries(uids, **more):
        return {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}, **more} for uid in uids]}

    answer = {"00081199": entries(stored)} if stored else {}
    reason = {"00081197": {"vr": "US", "Value": [code]}}
    return answer | ({"00081198": entries(failed, **reason)} if failed else {})


def uids_in(asked):
    parts = iter_parts(asked.headers["Content-Type"], [asked.body])
    return [
        str(dcmread(io.BytesIO(part.read()), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        for part in parts
    ]


def accept_all(as_json):
    return lambda asked: as_json(stow_answer(uids_in(asked)))


def test_batches_by_count(serve, connect, as_json):
    site = serve(accept_all(as_json))
    table = connect(site.url).store([dataset(number) for number in range(23)], batch_size=10)
    assert table["status"].tolist() == ["stored"] * 23
    assert sorted(len(uids_in(asked)) for asked in site.asked) == [3, 10, 10]
    asked = site.asked[0]
    assert asked.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert asked.headers["Accept"] == "application/dicom+json"
    assert asked.headers["Content-Length"] == str(len(asked.body))


def test_batches_by_bytes():
    items = [Item(number, size=size) for number, size in enumerate([40, 40, 40, 500, 1, 1])]
    assert [[item.number for item in batch] for batch in batches(items, 3, 100)] == [[0, 1], [2], [3], [4, 5]]
    assert list(batches([], 3, 100)) == []


def test_no_more_requests_at_once_than_workers(serve, connect, as_json):
    running, most, lock = [0], [0], threading.Lock()

    def answer(asked):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        reply = as_json(stow_answer(uids_in(asked)))
        threading.Event().wait(0.05)
        with lock:
            running[0] -= 1
        return reply

    table = connect(serve(answer).url, max_workers=3).store(
        [dataset(number) for number in range(12)], batch_size=1
    )
    assert table["status"].tolist() == ["stored"] * 12
    assert 2 <= most[0] <= 3


def test_a_batch_that_is_too_large_is_halved(serve, connect, reply, as_json):
    def answer(asked):
        uids = uids_in(asked)
        return (
            reply(413)
            if len(uids) > 3 or any(uid.endswith(".5") for uid in uids)
            else as_json(stow_answer(uids))
        )

    site = serve(answer)
    table = connect(site.url).store([dataset(number) for number in range(11)], batch_size=11)
    assert table["status"].tolist() == ["stored"] * 5 + ["failed"] + ["stored"] * 5
    assert table["code"][5] == 413
    assert "TooLargeError" in table["reason"][5]


def test_a_retried_batch_says_what_exists_may_mean(serve, connect, reply, as_json):
    """The first attempt stored it, its answer was lost: the second says that it exists already."""
    seen = set()

    def answer(asked):
        uids = uids_in(asked)
        if not seen:
            seen.update(uids)
            return reply(reset=True)
        return as_json(stow_answer(failed=uids), 409)

    site = serve(answer)
    table = connect(site.url).store([dataset(1), dataset(2)])
    assert table["status"].tolist() == ["exists", "exists"]
    assert table["reason"].str.contains("sent 2 times").all()
    assert site.asked[0].body == site.asked[1].body


@pytest.mark.parametrize("status", [200, 202, 400, 409, 415])
def test_an_answer_is_read_whatever_its_status(serve, connect, reply, status):
    def answer(asked):
        first, *others = uids_in(asked)
        body = json.dumps(stow_answer([first], others, code=272)).encode()
        return reply(status, body)  # Orthanc sends no Content-Type here

    table = connect(serve(answer).url).store([dataset(1), dataset(2)])
    assert table["status"].tolist() == ["stored", "failed"]
    assert table["reason"].tolist() == [pd.NA, "general processing failure"]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"no JSON", b"[]", b'{"00081199": {"vr": "SQ"}}', b'{"00081190": 5}']
)
def test_what_the_answer_does_not_speak_of_is_unknown(serve, connect, reply, body):
    table = connect(serve(reply(200, body)).url).store([dataset(1)])
    assert table["status"].tolist() == ["unknown"]
    assert "does not speak" in table["reason"][0]


def test_failures_without_uids_fall_to_those_that_are_left():
    items = [Item(number, uids=item.uids) for number, item in enumerate(iter_items([dataset(1), dataset(2)]))]
    failure = {"00081197": {"vr": "US", "Value": [272]}}
    answer = stow_answer(["1.2.826.0.2.1.1"]) | {"00081198": {"vr": "SQ", "Value": [failure]}}
    assert [outcome.status for outcome in read_outcomes(json.dumps(answer).encode(), items)] == [
        "stored",
        "failed",
    ]
    answer["00081198"]["Value"] = [failure, failure]
    assert [outcome.status for outcome in read_outcomes(json.dumps(answer).encode(), items)] == [
        "stored",
        "unknown",
    ]


# -- whole requests that fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadRequestError), (401, AuthenticationError), (403, PermissionDeniedError), (404, NotFoundError),
     (409, ConflictError), (503, UnavailableError)],
)  # fmt: skip
def test_if_no_request_goes_through_it_is_an_error(serve, connect, reply, status, kind):
    site = serve(reply(status, b"plain words"))
    with pytest.raises(kind, match="plain words"):
        connect(site.url).store([dataset(1), "/no/such/file"])


def test_no_service_there(connect, serve, reply):
    with pytest.raises(ConnectionFailed):
        connect("http://127.0.0.1:9").store(dataset(1))
    with pytest.raises(UnexpectedAnswerError):
        connect(serve(reply(200, b"<html>", {"Content-Type": "text/html"})).url).store(dataset(1))
    # It may have been stored all the same: nobody here knows.
    silent = connect(serve(reply(200, pause=1)).url, timeout=(1, 0.1)).store(dataset(1))
    assert silent["status"].tolist() == ["unknown"]
    assert "silent" in silent["reason"][0]


def test_one_failed_request_stops_no_other(serve, connect, reply, as_json):
    def answer(asked):
        uids = uids_in(asked)
        return reply(500, b"disk full") if uids == ["1.2.826.0.2.1.2"] else as_json(stow_answer(uids))

    client = connect(serve(answer).url, max_workers=1)
    table = client.store([dataset(number) for number in range(5)], batch_size=1)
    assert table["status"].tolist() == ["stored", "stored", "failed", "stored", "stored"]
    assert table["code"][2] == 500
    assert "disk full" in table["reason"][2]
    with pytest.raises(UnavailableError, match="disk full"):
        client.store([dataset(number) for number in range(5)], batch_size=1, errors="raise")


def test_a_hopeless_store_is_given_up_soon(serve, connect, reply):
    site = serve(reply(403))
    with pytest.raises(PermissionDeniedError):
        connect(site.url, max_workers=2).store([dataset(number) for number in range(40)], batch_size=1)
    assert len(site.asked) < 10


def test_errors_raise_speaks_of_single_instances_too(local):
    with pytest.raises(Exception, match="were not stored"):
        local.store([dataset(1), "/no/such/file"], errors="raise")


def test_a_file_that_vanishes_while_it_is_sent(serve, connect, as_json, tmp_path):
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.dcm")
        dataset(number).save_as(paths[-1])

    def sources():
        yield paths
        paths[2].unlink()

    table = connect(serve(accept_all(as_json)).url).store(sources(), batch_size=10)
    assert table["status"].tolist() == ["stored", "stored", "unreadable", "stored"]
    assert table["reason"][2] == "No such file or directory"


def test_files_are_streamed(serve, connect, as_json, tmp_path):
    """A body larger than what may be held goes from disk to the socket."""
    large = dataset(1)
    large.PixelData = b"\0" * 60_000_000
    large.Rows, large.Columns = 5000, 6000
    large.save_as(tmp_path / "large.dcm")
    del large
    lengths = []

    def answer(asked):
        lengths.append(len(asked.body))
        asked.body = b""
        return as_json(stow_answer(["1.2.826.0.2.1.1"]))

    site = serve(answer)
    client = connect(site.url)
    tracemalloc.start()
    try:
        table = client.store(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert table["status"].tolist() == ["stored"]
    assert lengths[0] > 60_000_000
    # The server of this test holds the body once; the client would be the second.
    assert peak < 75_000_000


def test_batches_that_fail_are_not_held_until_the_end(serve, connect, reply, as_json):
    """What is made on the way, such as Datasets out of a generator, is let go of when its row is known."""
    held = []

    def answer(asked):
        held.append(tracemalloc.get_traced_memory()[0])
        asked.body = b""
        return as_json(stow_answer([f"{STUDY_OF_MANY}.1.0"])) if len(held) == 1 else reply(status=404)

    def made():
        for number in range(8):
            one = dataset(number, STUDY_OF_MANY)
            one.PixelData = bytes(4_000_000)
            yield one

    client = connect(serve(answer).url, max_workers=1)
    tracemalloc.start()
    try:
        table = client.store(made(), batch_size=1)
    finally:
        tracemalloc.stop()
    assert table["status"].tolist() == ["stored"] + ["failed"] * 7
    assert held[-1] < held[2] + 8_000_000


def bytearray_file(body):
    return type("File", (), {"read": lambda _: bytearray(body)})()


def test_open_files_that_cannot_be_read_cost_their_own_row(empty_local, folder, tmp_path):
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    at_end = io.BytesIO()
    at_end.write(path.read_bytes())
    packed = io.BytesIO(gzip.compress(path.read_bytes())[:-400])
    with gzip.open(packed) as cut, (tmp_path / "new").open("wb") as for_writing:
        outcome = empty_local.store([path, cut, for_writing, at_end, path])
    assert outcome["status"].eq("unreadable").tolist() == [False, True, True, True, False]
    for reason, words in zip(
        outcome["reason"].iloc[1:4], ["(EOFError)", "for writing", "seek(0)"], strict=True
    ):
        assert words in reason


def test_open_files(empty_local, folder):
    client = empty_local
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file())
    body = path.read_bytes()
    with path.open("rb") as opened, path.open() as as_text:
        outcome = client.store([io.BytesIO(body), opened, as_text])
    assert len(outcome) == 3
    assert set(outcome["SOPInstanceUID"].head(2)) == {str(dcmread(path).SOPInstanceUID)}
    assert outcome["path"].fillna("").tolist() == ["", str(path), str(path)]
    assert outcome["status"].isin(["stored", "exists", "warning"]).tolist() == [True, True, False]
    assert "open for text" in outcome["reason"].iloc[2] or "closed" in outcome["reason"].iloc[2]
    assert len(client.store(io.BytesIO(body))) == 1
    assert client.store(bytearray_file(body))["status"].isin(["exists", "warning"]).all()
    assert client.store(opened)["reason"].str.contains("closed").all()


def test_what_was_downloaded_can_be_stored_again(empty_local, folder, tmp_path):
    client = empty_local
    client.store(folder)
    found = client.search_studies().to_frame()
    client.download(found, tmp_path / "copy")
    again = client.store(tmp_path / "copy", errors="raise")
    assert again["status"].eq("exists").all()
