"""Disks without room, and folders that cannot be written: no more is asked for, and each row says why."""

import errno
import io
import itertools
import os
from io import FileIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicomframe.client import folder as module
from dicomframe.client.identity import read_identity
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DicomFrameError, FolderError


def made(number, study=""):
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.StudyInstanceUID += study
    dataset.SOPInstanceUID += f".{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(file := io.BytesIO())
    return file.getvalue()


CONTENTS = {study: [made(number, study) for number in range(10)] for study in (".1", ".2", ".3")}
STUDIES = [read_identity(io.BytesIO(contents[0])).study for contents in CONTENTS.values()]
INSTANCES = [
    ResourcePath(uids.study, uids.series, uids.instance)
    for contents in CONTENTS.values()
    for uids in map(read_identity, map(io.BytesIO, contents))
]


@pytest.fixture
def site(serve, reply, as_json):
    """A service of three studies; it lists none that it is not to list."""
    by_path = {
        path.url_path: content
        for path, content in zip(INSTANCES, itertools.chain(*CONTENTS.values()), strict=True)
    }
    by_path |= dict(zip((f"studies/{study}" for study in STUDIES), CONTENTS.values(), strict=True))

    def answer(asked):
        path = asked.path.removeprefix("/v2/")
        if path.endswith("/instances"):
            if not site.lists:
                return reply(404)
            below = [each for each in INSTANCES if path == f"studies/{each.study}/instances"]
            rows = [
                {
                    "0020000E": {"vr": "UI", "Value": [each.series]},
                    "00080018": {"vr": "UI", "Value": [each.instance]},
                }
                for each in below
            ]
            return as_json(rows[int(asked.params["offset"]) :], api_supported_versions="2")
        if path.endswith("/series"):
            return reply(404)
        found = by_path[path]
        body = MultipartWriter(found if isinstance(found, list) else [found])
        return reply(200, b"".join(body), {"Content-Type": body.content_type})

    site = serve(answer)
    site.lists = True
    return site


@pytest.fixture
def no_room(monkeypatch):
    """Have a disk that takes so many files, or none at all: then it says so when they are made."""

    def start(files, number=errno.ENOSPC):
        taken = set()

        class Full(FileIO):
            def __init__(self, name, mode="r"):
                if files == 0 and "x" in mode:
                    raise OSError(number, os.strerror(number), name)
                super().__init__(name, mode)

            def write(self, data):
                if str(self.name).endswith(".part"):
                    if self.name not in taken and len(taken) >= files:
                        raise OSError(number, os.strerror(number))
                    taken.add(self.name)
                return super().write(data)

        monkeypatch.setattr(module, "FileIO", Full)
        return monkeypatch

    return start


def bodies_asked(site):
    return [asked.path for asked in site.asked if not asked.path.endswith(("/instances", "/series"))]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_no_more_is_asked_for_once_the_disk_is_full(site, connect, no_room, number, tmp_path):
    client = connect(site.url, max_workers=2)
    disk = no_room(4, number)
    table = client.download(INSTANCES, tmp_path)
    assert table["status"].tolist().count("saved") == 4
    failed = table[table["status"] == "failed"]
    assert (len(table), len(failed)) == (30, 26)
    assert (
        failed["error"].str.startswith("FolderError: The object could not be written on this machine").all()
    )
    assert failed["error"].str.contains(os.strerror(number), regex=False).all()
    # Those that were under way at the same time, and none of the others.
    assert len(bodies_asked(site)) <= 4 + 2
    with pytest.raises(FolderError):
        client.download(INSTANCES, tmp_path, errors="raise")
    disk.undo()
    again = client.download(INSTANCES, tmp_path)
    assert again["status"].value_counts().to_dict() == {"saved": 26, "kept": 4}
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("lists", [True, False])
def test_of_studies_no_more_is_asked_for_either(site, connect, no_room, lists, tmp_path):
    site.lists = lists
    client = connect(site.url, max_workers=1)
    disk = no_room(14)
    table = client.download(STUDIES, tmp_path)
    assert bodies_asked(site) == [f"/v2/studies/{study}" for study in STUDIES[:2]]
    assert not any(STUDIES[2] in asked.path for asked in site.asked)
    assert table["status"].tolist().count("saved") == 14
    failed = table[table["status"] == "failed"]
    assert failed["error"].str.startswith("FolderError: ").all()
    assert failed["StudyInstanceUID"].tolist() == [STUDIES[1]] * (6 if lists else 1) + [STUDIES[2]]
    disk.undo()
    again = client.download(STUDIES, tmp_path)
    assert len(again) == 30
    assert set(again["status"]) <= {"saved", "kept"}


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_sent(site, connect, no_room, tmp_path):
    no_room(0, errno.EACCES)
    with pytest.raises(
        FolderError, match=r"folder .* cannot be written on this machine \(Permission denied\)"
    ):
        connect(site.url).download(STUDIES, tmp_path)
    assert site.asked == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can make files")
@pytest.mark.parametrize("folder", ["/proc/self", "/proc/self/out"])
def test_a_real_folder_that_cannot_be_written(site, connect, folder):
    with pytest.raises(FolderError, match="the service is not to blame"):
        connect(site.url).download(STUDIES, folder)
    assert site.asked == []


def test_what_is_in_a_folder_that_cannot_be_written_is_kept(site, connect, no_room, tmp_path):
    client = connect(site.url)
    client.download(STUDIES[:1], tmp_path)
    del site.asked[:]
    no_room(0, errno.EROFS)
    table = client.download(STUDIES[:2], tmp_path)
    assert table["status"].tolist() == ["kept"] * 10 + ["failed"] * 10
    assert table["error"].dropna().str.contains("Read-only file system").all()
    assert bodies_asked(site) == []


def test_it_is_an_error_of_both_kinds():
    assert issubclass(FolderError, DicomFrameError)
    assert issubclass(FolderError, OSError)
