"""Downloads: whole or not there, taken up again, inside the folder, one row each."""

import errno
import gzip
import io
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tracemalloc
from io import BytesIO, FileIO
from pathlib import Path

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.folder import Folder
from dicomframe.client.identity import Identity, read_identity
from dicomframe.client.layout import DEFAULT_LAYOUT, LEDGER, Layout
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    DecodeError,
    DicomFrameError,
    FolderError,
    IncompleteSearchWarning,
    NotFoundError,
    QueryError,
    TableError,
    TruncatedBody,
    UnavailableError,
)

STUDY, SERIES = "1.2.826.0.1", "1.2.826.0.1.1"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Eight instances of one series and two of another."""
    folder = tmp_path_factory.mktemp("files")
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.StudyInstanceUID = STUDY
    dataset.preamble = bytes(128)
    for number in range(10):
        dataset.SeriesInstanceUID = SERIES if number < 8 else f"{SERIES}9"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number}"
        dataset.InstanceNumber = number
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def local(files):
    with dfr.start_local() as service:
        client = service.connect(progress=False)
        assert client.store(files)["status"].eq("stored").all()
        yield client


def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.dcm"))


def test_a_study_is_saved_and_then_kept(local, files, tmp_path):
    folder = tmp_path / "out"
    table = local.download(STUDY, folder)
    assert table["status"].tolist() == ["saved"] * 10
    assert table.dtypes.astype(str).to_dict()["bytes"] == "Int64"
    assert listed(folder) == sorted(
        f"{STUDY}/{row.SeriesInstanceUID}/{row.SOPInstanceUID}.dcm" for row in table.itertuples()
    )
    for row in table.itertuples():
        original = next(file for file in files if read_identity(file).instance == row.SOPInstanceUID)
        assert Path(row.path).read_bytes()[128:] == original.read_bytes()[128:]
        assert Path(row.path).stat().st_size == row.bytes
    again = local.download(STUDY, folder)
    assert again["status"].tolist() == ["kept"] * 10
    assert again["bytes"].tolist() == sorted(table["bytes"].tolist())
    assert not list(folder.rglob("*.part"))


def test_what_is_missing_or_cut_is_fetched_again(local, tmp_path):
    folder = tmp_path / "out"
    paths = [Path(path) for path in local.download(STUDY, folder)["path"]]
    whole = paths[1].read_bytes()
    paths[0].unlink()
    paths[1].write_bytes(whole[:-100])
    paths[2].write_bytes(b"")
    table = local.download(STUDY, folder).set_index("path")["status"]
    assert table[[str(path) for path in paths[:3]]].tolist() == ["saved"] * 3
    assert table.value_counts().to_dict() == {"kept": 7, "saved": 3}
    assert paths[1].read_bytes() == whole


def test_what_a_killed_download_left_goes_with_the_next_one(local, tmp_path):
    folder = tmp_path / "out"
    code = (
        "import os, signal, sys\n"
        "from dicomframe.client import folder\n"
        "import dicomframe as dfr\n"
        "write = folder._write_all\n"
        "def write_some(file, data):\n"
        "    write(file, data[:1000])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "folder._write_all = write_some\n"
        "dfr.connect(sys.argv[1], progress=False).download(sys.argv[2], sys.argv[3])\n"
    )
    url = local.url.removesuffix("/v2")
    killed = subprocess.run([sys.executable, "-c", code, url, STUDY, str(folder)], timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(folder.glob(".dicomframe-*.part"))
    living = Folder(folder, Layout())
    assert not list(folder.glob(".dicomframe-*.part"))
    mine = Path(living._unfinished.name())
    mine.write_bytes(b"half")
    assert local.download(STUDY, folder)["status"].eq("saved").all()
    assert mine.exists()
    mine.unlink()
    living.close()
    assert sorted(path.name for path in folder.iterdir()) == [LEDGER, STUDY]


def test_a_file_of_unknown_origin_is_not_trusted(local, tmp_path):
    folder = tmp_path / "out"
    target = folder / Layout().path_of(Identity(STUDY, SERIES, f"{SERIES}.3"))
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half a file of another program")
    local.download(ResourcePath(STUDY, SERIES, f"{SERIES}.3"), folder)
    assert dcmread(target).InstanceNumber == 3


@pytest.mark.parametrize(
    "ledger",
    [
        b"",
        b"garbage\n\xff",
        b'{"path": "x"}\n[]\n{"path": "y", "bytes": "many"}\n',
        b'{"path": "x", "bytes": 1e999}\n' + b"[" * 100_000,
        None,
    ],
    ids=["empty", "garbage", "without sizes", "without bounds", "none"],
)
def test_a_damaged_ledger_costs_time_not_files(local, tmp_path, ledger):
    folder = tmp_path / "out"
    local.download(STUDY, folder)
    path = folder / ".dicomframe-download.jsonl"
    path.unlink() if ledger is None else path.write_bytes(ledger)
    assert local.download(STUDY, folder)["status"].tolist() == ["saved"] * 10


def test_tables_of_each_level(local, tmp_path):
    series = local.search_series(STUDY, SeriesInstanceUID=f"{SERIES}9").to_frame()
    assert len(local.download(series, tmp_path / "series")) == 2
    instances = local.search_instances(STUDY).to_frame()
    assert local.download(instances, tmp_path / "instances")["status"].tolist() == ["saved"] * 10
    assert len(local.download(instances.head(3), tmp_path / "three")) == 3
    assert len(local.download([STUDY, STUDY], tmp_path / "list")) == 10
    empty = local.download(local.search_studies(PatientID="nobody").to_frame(), tmp_path / "none")
    assert (len(empty), str(empty.dtypes["bytes"])) == (0, "Int64")


def test_a_flat_layout(local, tmp_path):
    table = local.download(STUDY, tmp_path / "out", layout="ct-{SOPInstanceUID}")
    assert {Path(path).parent for path in table["path"]} == {tmp_path / "out"}


@pytest.mark.parametrize(
    "layout",
    ["{PatientName}/{SOPInstanceUID}", "{StudyInstanceUID}.dcm", "/out/{SOPInstanceUID}", "../{SOPInstanceUID}",
     "a/../{SOPInstanceUID}", "{SOPInstanceUID.__class__}", "{SOPInstanceUID!r}", "{SOPInstanceUID:>9}", "{}",
     ".hidden/{SOPInstanceUID}",
     "{SOPInstanceUID", "a//{SOPInstanceUID}", "C:\\{SOPInstanceUID}", "{0}", "a\n{SOPInstanceUID}", ""],
)  # fmt: skip
def test_layouts_that_are_refused(local, tmp_path, layout):
    with pytest.raises(QueryError, match="layout"):
        local.download(STUDY, tmp_path / "out", layout=layout)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "uid",
    ["../../etc/passwd", "..", "a/b", "a\\b", "/etc/passwd", "C:1.2", "", "x" * 65, "1.2\0.3", "1\u2024\u2024\uff0f2",
     "1.2\u202e", "\u0661.2", "1.2\n", ".hidden", ".dicomframe-download.jsonl", "~root/1", "$HOME", "%2e%2e"],
)  # fmt: skip
def test_uids_do_not_lead_out_of_the_folder(uid):
    with pytest.raises(QueryError):
        Layout(DEFAULT_LAYOUT).path_of(Identity("1.2", "1.3", uid))


@pytest.mark.parametrize("uid", ["CON", "nul", "com1.2", "LPT9.dcm", "AUX.", "1.2."])
@pytest.mark.parametrize(
    "layout", ["{SOPInstanceUID}", "{SOPInstanceUID}/x.dcm", "{StudyInstanceUID}/{SOPInstanceUID}"]
)
def test_names_that_windows_takes_for_something_else(uid, layout, monkeypatch):
    uids = Identity("1.2", "1.3", uid)
    assert uid in Layout(layout).path_of(uids)
    monkeypatch.setattr(Layout, "on_windows", True)
    with pytest.raises(QueryError, match=r"not .*safe"):
        Layout(layout).path_of(uids)
    with pytest.raises(QueryError, match="plain names"):
        Layout(f"{uid}/{layout}")
    assert Layout("CONE/{SOPInstanceUID}.dcm").path_of(Identity("1", "2", "1.2.840")) == "CONE/1.2.840.dcm"


def test_names_that_are_too_long_for_a_file():
    layout = Layout("{StudyInstanceUID}{SeriesInstanceUID}{SOPInstanceUID}" + "x" * 70)
    with pytest.raises(QueryError, match=r"not .*safe"):
        layout.path_of(Identity("1" * 64, "2" * 64, "3" * 64))
    assert len(layout.path_of(Identity("1" * 61, "2" * 60, "3" * 64))) == 255


def test_a_listing_with_a_hostile_uid_stops_nobody_else(serve, connect, reply, as_json, files, tmp_path):
    """A file of the ledger's name would be the ledger."""
    hostile = ".dicomframe-download.jsonl"
    good = read_identity(files[0])

    def row(uid):
        uids = {"0020000D": good.study, "0020000E": good.series, "00080018": uid}
        return {tag: {"vr": "UI", "Value": [value]} for tag, value in uids.items()}

    def answer(asked):
        if asked.path.endswith("/instances"):
            return as_json([row(hostile), row(good.instance)], api_supported_versions="2")
        if "/instances/" in asked.path:
            return reply(200, files[0].read_bytes(), {"Content-Type": "application/dicom"})
        return reply(500)

    table = connect(serve(answer).url).download(good.study, tmp_path, layout="{SOPInstanceUID}")
    assert table.set_index("SOPInstanceUID")["status"].to_dict() == {
        good.instance: "saved",
        hostile: "failed",
    }
    assert {path.name for path in tmp_path.iterdir()} == {good.instance, hostile}
    assert json.loads((tmp_path / hostile).read_text())["path"] == good.instance


def test_what_was_updated_since_comes_with_overwrite(files, tmp_path):
    with dfr.start_local() as local:
        client = local.connect()
        client.store(files)
        client.download(STUDY, tmp_path)
        client.update_studies(STUDY, PatientName="New^Name").wait()
        kept = client.download(STUDY, tmp_path)
        assert set(kept["status"]) == {"kept"}
        assert "New" not in str(dcmread(kept["path"][0]).PatientName)
        fresh = client.download(STUDY, tmp_path, overwrite=True)
        assert set(fresh["status"]) == {"saved"}
        assert {str(dcmread(path).PatientName) for path in fresh["path"]} == {"New^Name"}
        assert set(client.download(STUDY, tmp_path)["status"]) == {"kept"}
        with pytest.raises(QueryError, match="overwrite"):
            client.download(STUDY, tmp_path, overwrite="changed")


def test_files_have_the_modes_that_the_user_gives_files(local, tmp_path):
    before = os.umask(0o027)
    try:
        table = local.download(STUDY, tmp_path / "out")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in table["path"]} == {0o640}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750


def test_a_server_cannot_choose_a_path(serve, connect, reply, as_json, tmp_path):
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    raw = Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()
    uid = str(dataset.StudyInstanceUID).encode()
    series = str(dataset.SeriesInstanceUID).encode()
    evil = raw.replace(uid, b"1.2".ljust(len(uid), b"\0")).replace(
        series, b"../../evil".ljust(len(series), b"x")
    )
    body = MultipartWriter([evil])
    site = serve(
        lambda asked: (
            as_json([])
            if asked.path.endswith("instances")
            else reply(200, b"".join(body), {"Content-Type": body.content_type})
        )
    )
    table = connect(site.url).download("1.2", tmp_path / "deep" / "out")
    assert table["status"].tolist() == ["failed"]
    assert "QueryError" in table["error"][0]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


# -- failures --------------------------------------------------------------------------------------------------------


def test_unknown_and_malformed_things(local, tmp_path):
    table = local.download(["1.9.9", STUDY], tmp_path / "out")
    assert table["status"].value_counts().to_dict() == {"saved": 10, "failed": 1}
    failed = table[table["status"] == "failed"].iloc[0]
    assert failed["StudyInstanceUID"] == "1.9.9"
    assert "NotFoundError" in failed["error"]
    with pytest.raises(NotFoundError):
        local.download("1.9.9", tmp_path / "out", errors="raise")
    for wrong in ("../x", 5, [5], None):
        with pytest.raises(QueryError):
            local.download(wrong, tmp_path / "other")
    with pytest.raises(TableError, match="StudyInstanceUID"):
        local.download(pd.DataFrame({"a": [1]}), tmp_path / "other")
    with pytest.raises(TableError, match="StudyInstanceUID"):
        local.download(pd.DataFrame({"SOPInstanceUID": ["1.2"]}), tmp_path / "other")
    with pytest.raises(TableError, match="no UID"):
        local.download(pd.DataFrame({"StudyInstanceUID": ["1.2", None]}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_folder_that_cannot_be_one_is_refused_before_any_request(tmp_path, serve, connect, reply):
    asked = []
    client = connect(serve(lambda request: asked.append(request) or reply(404)).url)
    (tmp_path / "file").write_text("x")
    for folder, words in (
        (tmp_path / "file", "a file .* in the way. Give another folder"),
        (str(tmp_path / "file"), "in the way"),
        (tmp_path / "file" / "below", "in the way"),
        ("a\0b", "that is no path"),
        (5, "text or pathlib.Path, not int"),
        (None, "not NoneType"),
    ):
        with pytest.raises(QueryError, match=words):
            client.download(STUDY, folder)
    with pytest.raises(FolderError, match="cannot be written on this machine"):
        client.download(STUDY, tmp_path / ("long" * 100))
    assert not asked
    assert (tmp_path / "file").read_text() == "x"


@pytest.fixture
def stubborn(serve, reply, as_json, files):
    """A service of our ten instances, of which the bulk answer is cut and one instance always fails."""
    contents = {read_identity(file).instance: file.read_bytes() for file in files}
    series = {read_identity(file).instance: read_identity(file).series for file in files}

    def start(spoil):
        def answer(asked):
            *_, kind, uid = ["", *asked.path.split("/")]
            if asked.path.endswith("/instances"):
                rows = [
                    {
                        tag: {"vr": "UI", "Value": [uid]}
                        for tag, uid in (("0020000E", series[name]), ("00080018", name))
                    }
                    for name in contents
                ]
                return as_json(rows[int(asked.params["offset"]) :], api_supported_versions="2")
            spoilt = spoil(kind, uid, asked)
            if spoilt is not None:
                return spoilt
            body = MultipartWriter(list(contents.values()) if kind == "studies" else [contents[uid]])
            return reply(200, b"".join(body), {"Content-Type": body.content_type})

        return serve(answer)

    return start


def test_a_cut_study_is_completed_one_by_one(stubborn, connect, reply, files, tmp_path):
    body = MultipartWriter([file.read_bytes() for file in files])
    whole, kind = b"".join(body), {"Content-Type": body.content_type}
    site = stubborn(
        lambda level, *_: (
            reply(200, whole, kind, send_only=len(whole) * 2 // 3) if level == "studies" else None
        )
    )
    table = connect(site.url).download(STUDY, tmp_path / "out")
    assert table["status"].tolist() == ["saved"] * 10
    singly = [asked for asked in site.asked if "/instances/" in asked.path]
    assert 0 < len(singly) < 10
    assert not list((tmp_path / "out").rglob("*.part"))


def test_one_that_fails_does_not_stop_the_others(stubborn, connect, reply, tmp_path):
    def spoil(level, uid, _):
        if level == "studies":
            return reply(503)
        return reply(500, b"disk broken") if uid.endswith(".4") else None

    client = connect(stubborn(spoil).url)
    table = client.download(STUDY, tmp_path / "out")
    assert table["status"].value_counts().to_dict() == {"saved": 9, "failed": 1}
    [error] = table["error"].dropna()
    assert "disk broken" in error
    assert table.loc[table["status"] == "failed", "SOPInstanceUID"].tolist() == [f"{SERIES}.4"]
    with pytest.raises(UnavailableError):
        client.download(STUDY, tmp_path / "out", errors="raise")


def test_truncated_single_instances_are_tried_again(stubborn, connect, reply, files, tmp_path):
    seen = set()
    contents = {read_identity(file).instance: file.read_bytes() for file in files}

    def spoil(level, uid, _):
        if level == "studies":
            return reply(404)
        if uid in seen:
            return None
        seen.add(uid)
        body = MultipartWriter([contents[uid]])
        whole = b"".join(body)
        return reply(200, whole, {"Content-Type": body.content_type}, send_only=len(whole) // 2)

    table = connect(stubborn(spoil).url).download(STUDY, tmp_path / "out")
    assert table["status"].tolist() == ["saved"] * 10


def of_parts(reply, *parts):
    body = MultipartWriter(list(parts))
    return reply(200, b"".join(body), {"Content-Type": body.content_type})


@pytest.fixture(params=["native", "in fragments"])
def picture(request):
    """Give one object, whole, and cut off within its pixels."""
    name = "MR_small.dcm" if request.param == "native" else "MR_small_RLE.dcm"
    content = Path(get_testdata_file(name, download=False)).read_bytes()
    return content, content[:-1500]


def test_an_object_cut_off_in_a_whole_body_is_damaged_until_it_comes_whole(
    serve, connect, reply, as_json, picture, tmp_path
):
    """What came is kept, but not under the name of a whole file."""
    whole, cut = picture
    uids = read_identity(io.BytesIO(whole))
    other = dcmread(get_testdata_file("CT_small.dcm", download=False))
    other.StudyInstanceUID = uids.study
    other.save_as(file := io.BytesIO())
    other = file.getvalue()
    rows = [
        {
            tag: {"vr": "UI", "Value": [uid]}
            for tag, uid in (("0020000E", each.series), ("00080018", each.instance))
        }
        for each in (uids, read_identity(io.BytesIO(other)))
    ]
    sent = {"now": cut}

    def answer(asked):
        if asked.path.endswith("/instances"):
            return as_json(rows[int(asked.params["offset"]) :], api_supported_versions="2")
        return (
            of_parts(reply, sent["now"])
            if "/instances/" in asked.path
            else of_parts(reply, sent["now"], other)
        )

    site = serve(answer)
    client = connect(site.url)
    table = client.download(uids.study, tmp_path)
    assert table["status"].tolist() == ["saved", "damaged"]
    row = table.iloc[1]
    assert (row["SOPInstanceUID"], row["bytes"]) == (uids.instance, len(cut))
    assert "cut off" in row["error"]
    assert row["path"].endswith(".dcm.damaged")
    assert Path(row["path"]).read_bytes() == cut
    # With all others, then twice by itself.
    assert len([asked for asked in site.asked if "/instances/" in asked.path]) == 2
    with pytest.raises(TruncatedBody, match="cut off"):
        client.download(uids.study, tmp_path, errors="raise")
    sent["now"] = whole
    again = client.download(uids.study, tmp_path).set_index("SOPInstanceUID")["status"]
    assert (again[uids.instance], sorted(again)) == ("saved", ["kept", "saved"])
    assert not list(tmp_path.rglob("*.damaged"))
    assert not list(tmp_path.rglob("*.part"))
    assert set(client.download(uids.study, tmp_path)["status"]) == {"kept"}


# Within the preamble, group 0002, its instance's UID and its series' UID, and directly in front of that.
@pytest.mark.parametrize("kept", [0, 100, 131, 150, 330, 480, 500, 640, 800])
def test_an_object_cut_off_within_its_header_is_damaged_too(stubborn, connect, reply, files, kept, tmp_path):
    contents = {read_identity(file).instance: file.read_bytes() for file in files}
    cut = next(iter(contents))
    sent = {**contents, cut: contents[cut][:kept]}

    def spoil(level, uid, _):
        if level == "studies":
            return of_parts(reply, *sent.values())
        return of_parts(reply, sent[uid])

    site = stubborn(spoil)
    client = connect(site.url)
    table = client.download(STUDY, tmp_path).set_index("SOPInstanceUID")
    assert table["status"].value_counts().to_dict() == {"saved": 9, "damaged": 1}
    row = table.loc[cut]
    assert (row["status"], row["bytes"], row["SeriesInstanceUID"]) == ("damaged", kept, SERIES)
    assert row["error"].startswith("TruncatedBody: The server sent an object that is cut off")
    assert Path(row["path"]).read_bytes() == sent[cut]
    assert row["path"].endswith(f"{cut}.dcm.damaged")
    # The others came with all, in front of it and behind it.
    assert {asked.path.rpartition("/")[2] for asked in site.asked if "/instances/" in asked.path} == {cut}
    assert len(listed(tmp_path)) == 9
    sent[cut] = contents[cut]
    assert client.download(STUDY, tmp_path)["status"].value_counts().to_dict() == {"kept": 9, "saved": 1}
    assert not list(tmp_path.rglob("*.damaged"))


def test_a_header_without_uids_from_a_server_that_cannot_list(serve, connect, reply, files, tmp_path):
    """Nobody can tell which instance that was, so the study says so; the others are there."""
    contents = [file.read_bytes() for file in files]
    contents[3] = contents[3][:300]
    site = serve(lambda asked: reply(404) if asked.path.endswith("instances") else of_parts(reply, *contents))
    table = connect(site.url).download(STUDY, tmp_path)
    assert table["status"].tolist() == ["saved"] * 9 + ["failed"]
    assert "cut off" in table.iloc[-1]["error"]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 10


@pytest.mark.parametrize(
    "wanted", [ResourcePath("1.2.9"), ResourcePath(STUDY, "1.2.9"), ResourcePath(STUDY, SERIES)]
)
def test_objects_of_another_study_or_series_are_refused(serve, connect, reply, files, wanted, tmp_path):
    contents = [file.read_bytes() for file in files]
    site = serve(lambda asked: reply(404) if asked.path.endswith("instances") else of_parts(reply, *contents))
    table = connect(site.url).download(wanted, tmp_path)
    right = 8 if wanted.series == SERIES else 0
    assert table["status"].tolist() == ["saved"] * right + ["failed"]
    assert f"another {wanted.level}" in table.iloc[-1]["error"]
    assert len(listed(tmp_path)) == right


def test_an_object_that_is_cut_off_once_is_whole_in_the_end(stubborn, connect, reply, files, tmp_path):
    contents = {read_identity(file).instance: file.read_bytes() for file in files}
    seen = set()

    def spoil(level, uid, _):
        if level == "studies":
            return reply(404)
        if uid in seen:
            return None
        seen.add(uid)
        return of_parts(reply, contents[uid][:-900])

    table = connect(stubborn(spoil).url).download(STUDY, tmp_path)
    assert table["status"].tolist() == ["saved"] * 10
    assert not list(tmp_path.rglob("*.damaged"))


def test_what_came_is_kept_where_the_second_try_gives_nothing(stubborn, connect, reply, files, tmp_path):
    content = files[0].read_bytes()
    answers = [of_parts(reply, content[:-900]), reply(404)]
    site = stubborn(lambda level, *_: answers.pop(0) if level == "instances" else None)
    uids = read_identity(files[0])
    table = connect(site.url).download(ResourcePath(uids.study, uids.series, uids.instance), tmp_path)
    assert (table["status"].tolist(), table["bytes"].tolist()) == (["damaged"], [len(content) - 900])


def test_a_damaged_object_of_a_server_that_cannot_list(serve, connect, reply, picture, tmp_path):
    whole, cut = picture
    study = read_identity(io.BytesIO(whole)).study
    site = serve(lambda asked: reply(404) if asked.path.endswith("instances") else of_parts(reply, cut))
    assert connect(site.url).download(study, tmp_path)["status"].tolist() == ["damaged"]
    assert listed(tmp_path) == []


def test_items_within_items_without_end_cost_one_row(stubborn, connect, reply, files, tmp_path):
    level = struct.pack("<HH2sHLHHL", 8, 6, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    hostile = files[4].read_bytes()[:132] + struct.pack("<HH2sH", 2, 16, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    hostile += level * 5000

    def spoil(kind, uid, _):
        if kind == "studies":
            return of_parts(reply, files[0].read_bytes(), hostile)
        return of_parts(reply, hostile) if uid.endswith(".4") else None

    client = connect(stubborn(spoil).url)
    table = client.download(STUDY, tmp_path)
    assert table["status"].value_counts().to_dict() == {"saved": 9, "damaged": 1}
    assert "TruncatedBody" in table["error"].dropna().item()
    for read in (client.retrieve_headers, client.retrieve_instance):
        options = {"keywords": ["Modality"]} if read == client.retrieve_headers else {}
        with pytest.raises(DecodeError):
            read(STUDY, SERIES, f"{SERIES}.4", **options)


def test_each_failure_has_its_own_reason(stubborn, connect, reply, tmp_path):
    """Although several workers fail at the same time."""

    def spoil(level, uid, _):
        if level == "studies":
            return reply(404)
        return reply(403, f"not number {uid[-1]}".encode(), pause=0.01)

    table = connect(stubborn(spoil).url, max_workers=8).download(STUDY, tmp_path)
    for row in table.itertuples():
        assert f"not number {row.SOPInstanceUID[-1]}" in row.error


@pytest.fixture
def capped(serve, reply, as_json, files):
    """A service that lists four of ten instances and says that there are more; `cut` cuts the study's answer."""
    contents = {read_identity(file).instance: file.read_bytes() for file in files}

    def start(cut):
        def answer(asked):
            if asked.path.endswith("/instances"):
                uids = list(contents)[:4][int(asked.params["offset"]) :][: int(asked.params["limit"])]
                rows = [
                    {
                        tag: {"vr": "UI", "Value": [value]}
                        for tag, value in (("0020000E", SERIES), ("00080018", uid))
                    }
                    for uid in uids
                ]
                return as_json(rows, Warning='299 test: "There are additional results that can be requested"')
            if "/instances/" in asked.path:
                return of_parts(reply, contents[asked.path.rpartition("/")[2]])
            body = MultipartWriter(list(contents.values()))
            whole = b"".join(body)
            shown = len(whole) // 4 if cut else None
            return reply(200, whole, {"Content-Type": body.content_type}, send_only=shown)

        return serve(answer)

    return start


def test_more_instances_than_the_server_lists_are_downloaded(capped, connect, tmp_path):
    client = connect(capped(cut=False).url)
    for _ in range(2):
        with pytest.warns(IncompleteSearchWarning):
            assert len(client.download(STUDY, tmp_path)) == len(listed(tmp_path)) == 10
    with pytest.warns(IncompleteSearchWarning):
        pixels = client.collect_pixels([ResourcePath(STUDY)])
    assert pixels["status"].tolist() == ["decoded"] * 10


def test_a_list_that_has_an_end_is_no_proof_that_all_came(capped, connect, tmp_path):
    """Of the listed ones each is there; that there may be others is told by a row of the study's own."""
    with pytest.warns(IncompleteSearchWarning):
        table = connect(capped(cut=True).url).download(STUDY, tmp_path)
    assert table["status"].tolist() == ["saved"] * 4 + ["failed"]
    assert table["SOPInstanceUID"].isna().tolist() == [False] * 4 + [True]
    assert "TruncatedBody" in table["error"].dropna().item()


def test_failures_do_not_hold_the_buffers_they_came_through(serve, connect, reply, as_json, tmp_path):
    """What was received of each is let go of, not kept until the last one of many has failed."""
    cut = reply(
        body=b"--b\r\n\r\n" + bytes(8_000_000),
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'},
    )
    held = []

    def answer(asked):
        if "/instances" not in asked.path:
            held.append(tracemalloc.get_traced_memory()[0])
            return cut
        return as_json([])

    client = connect(serve(answer).url, max_workers=1)
    tracemalloc.start()
    try:
        table = client.download([ResourcePath(f"1.2.{number}") for number in range(8)], tmp_path)
    finally:
        tracemalloc.stop()
    assert table["status"].tolist() == ["failed"] * 8
    assert held[-1] < held[1] + 4_000_000


def test_the_wrong_instance_is_not_saved_under_the_right_name(stubborn, connect, reply, files, tmp_path):
    body = MultipartWriter([files[0].read_bytes()])
    other = reply(200, b"".join(body), {"Content-Type": body.content_type})
    site = stubborn(lambda level, *_: other if level == "instances" else reply(404))
    table = connect(site.url).download(ResourcePath(STUDY, SERIES, f"{SERIES}.5"), tmp_path / "out")
    assert table["status"].tolist() == ["failed"]
    assert "another instance" in table["error"][0]
    assert listed(tmp_path / "out") == []


def test_a_server_that_cannot_list_is_streamed(serve, connect, reply, files, tmp_path):
    body = MultipartWriter([file.read_bytes() for file in files])
    whole, kind = b"".join(body), {"Content-Type": body.content_type}
    site = serve(lambda asked: reply(404) if asked.path.endswith("instances") else reply(200, whole, kind))
    assert connect(site.url).download(STUDY, tmp_path / "out")["status"].tolist() == ["saved"] * 10
    cut = serve(
        lambda asked: (
            reply(404)
            if asked.path.endswith("instances")
            else reply(200, whole, kind, send_only=len(whole) * 2 // 3)
        )
    )
    table = connect(cut.url).download(STUDY, tmp_path / "cut")
    # Nobody knows what else there was: the study itself has a failed row beside those that came.
    assert 0 < (table["status"] == "saved").sum() < 10
    assert table.iloc[-1][["StudyInstanceUID", "status"]].tolist() == [STUDY, "failed"]
    assert "TruncatedBody" in table.iloc[-1]["error"]


def test_a_stopped_server(local, tmp_path):
    client = dfr.connect("http://127.0.0.1:9", progress=False)
    table = client.download([STUDY, "1.2.3"], tmp_path / "out")
    assert table["status"].tolist() == ["failed", "failed"]
    assert table["error"].str.contains("ConnectionFailed").all()
    with pytest.raises(DicomFrameError):
        client.download(STUDY, tmp_path / "out", errors="raise")


def test_a_broken_off_download_leaves_whole_files_only(local, tmp_path, monkeypatch):
    """Ctrl-C in the middle: what has a name is whole, and the next call goes on."""
    from dicomframe.client import folder as module

    saved = []
    original = module.Folder.save

    def save(self, body, expected=None):
        if len(saved) == 4:
            raise KeyboardInterrupt
        saved.append(1)
        return original(self, body, expected)

    monkeypatch.setattr(module.Folder, "save", save)
    with pytest.raises(KeyboardInterrupt):
        local.download(STUDY, tmp_path / "out")
    monkeypatch.undo()
    assert len(listed(tmp_path / "out")) == 4
    assert all(dcmread(path).Rows for path in (tmp_path / "out").rglob("*.dcm"))
    assert local.download(STUDY, tmp_path / "out")["status"].value_counts().to_dict() == {
        "kept": 4,
        "saved": 6,
    }


def test_the_ledger_moves_with_the_folder(local, tmp_path):
    local.download(STUDY, tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert local.download(STUDY, tmp_path / "moved")["status"].tolist() == ["kept"] * 10
    lines = (tmp_path / "moved" / ".dicomframe-download.jsonl").read_text().splitlines()
    assert [set(json.loads(line)) for line in lines if line] == [{"path", "bytes"}] * 10


@pytest.fixture
def full_for_the_ledger(monkeypatch):
    """Have a disk that has room for objects, and none for the ledger."""
    from dicomframe.client import folder as module

    class Full(FileIO):
        def write(self, data):
            if str(self.name).endswith(".jsonl"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(module, "FileIO", Full)
    return monkeypatch


def test_a_ledger_that_cannot_be_written_makes_no_file_a_failure(local, full_for_the_ledger, tmp_path):
    table = local.download(STUDY, tmp_path, errors="raise")
    assert table["status"].tolist() == ["saved"] * 10
    for row in table.itertuples():
        assert Path(row.path).stat().st_size == row.bytes
        assert "file is written" in row.error
        assert "No space left" in row.error
    full_for_the_ledger.undo()
    again = local.download(STUDY, tmp_path)
    assert (again["status"].tolist(), again["error"].isna().all()) == (["saved"] * 10, True)
    assert set(local.download(STUDY, tmp_path)["status"]) == {"kept"}


def test_a_ledger_that_is_something_else(local, tmp_path):
    (tmp_path / ".dicomframe-download.jsonl").mkdir()
    table = local.download(STUDY, tmp_path)
    assert table["status"].tolist() == ["saved"] * 10
    assert table["error"].str.contains("Is a directory").all()


def test_a_disk_without_room_for_objects(local, tmp_path, monkeypatch):
    from dicomframe.client import folder as module

    class Full(FileIO):
        def write(self, data):
            if str(self.name).endswith(".part") and self.tell() + len(data) > 20_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(module, "FileIO", Full)
    table = local.download(STUDY, tmp_path)
    assert table["status"].tolist() == ["failed"] * 10
    assert table["error"].str.contains("No space left").all()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    assert local.download(STUDY, tmp_path)["status"].tolist() == ["saved"] * 10


def test_what_the_system_takes_in_parts_is_written_whole(local, tmp_path, monkeypatch):
    from dicomframe.client import folder as module

    class Reluctant(FileIO):
        def write(self, data):
            return super().write(data[:1000])

    usual = local.download(STUDY, tmp_path / "usual")
    monkeypatch.setattr(module, "FileIO", Reluctant)
    table = local.download(STUDY, tmp_path / "in parts")
    assert table["bytes"].tolist() == usual["bytes"].tolist()
    for path, other in zip(table["path"], usual["path"], strict=True):
        assert Path(path).read_bytes() == Path(other).read_bytes()


def test_a_file_that_only_pydicom_can_read_is_named_by_what_is_in_it(serve, connect, reply, tmp_path):
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    whole = BytesIO()
    del dataset.file_meta
    dataset.save_as(whole, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert not whole.getvalue().startswith(bytes(128))
    path = ResourcePath(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    site = serve(reply(200, whole.getvalue(), {"Content-Type": "application/dicom"}))
    table = connect(site.url).download(path, tmp_path)
    assert table["status"].tolist() == ["saved"]
    assert Path(table["path"][0]).read_bytes() == whole.getvalue()
    assert Path(table["path"][0]).stem == dataset.SOPInstanceUID


def test_paths_are_written_as_python_writes_them(local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (".", "a//b/", tmp_path / "c"):
        table = local.download(STUDY, folder, layout="{SeriesInstanceUID}/{SOPInstanceUID}.dcm")
        expected = [
            str(Path(folder) / row.SeriesInstanceUID / f"{row.SOPInstanceUID}.dcm")
            for row in table.itertuples()
        ]
        assert table["path"].tolist() == expected
        assert all(Path(path).is_file() for path in expected)
        again = local.download(STUDY, folder, layout="{SeriesInstanceUID}/{SOPInstanceUID}.dcm")
        assert set(again["status"]) == {"kept"}
        assert set(again["path"]) == set(expected)


def test_a_study_that_comes_compressed_although_nobody_asked_for_it(
    stubborn, connect, reply, files, tmp_path
):
    body = MultipartWriter([file.read_bytes() for file in files])
    packed = gzip.compress(b"".join(body))
    kind = {"Content-Type": body.content_type, "Content-Encoding": "gzip"}
    site = stubborn(lambda level, *_: reply(200, packed, kind) if level == "studies" else None)
    table = connect(site.url).download(STUDY, tmp_path)
    assert not any("/instances/" in asked.path for asked in site.asked)
    assert sorted(Path(path).read_bytes() for path in table["path"]) == sorted(
        file.read_bytes() for file in files
    )


def test_few_pages_of_the_list_are_asked_for_in_vain(serve, connect, reply, as_json, tmp_path):
    def answer(asked):
        if not asked.path.endswith("/instances"):
            return reply(404)
        start, most = int(asked.params["offset"]), int(asked.params["limit"])
        rows = [
            {
                "0020000E": {"vr": "UI", "Value": [SERIES]},
                "00080018": {"vr": "UI", "Value": [f"1.2.{number}"]},
            }
            for number in range(300)
        ]
        return as_json(rows[start : start + most], api_supported_versions="2")

    site = serve(answer)
    assert len(connect(site.url).download(STUDY, tmp_path)) == 300
    assert sum(asked.path.endswith("/instances") for asked in site.asked) <= 3
