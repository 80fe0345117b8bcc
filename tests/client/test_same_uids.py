"""Different objects with the same UIDs, and answers that hold more than what was asked for: nothing goes silently."""

import io
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.identity import read_identity
from dicomframe.dicom.dicomjson import from_dataset
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DecodeError, DicomFrameError, IncompleteSearchWarning, UnexpectedAnswerError


def made(series="", instance="", **values):
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.SeriesInstanceUID += series
    dataset.SOPInstanceUID += instance
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(file := io.BytesIO())
    return file.getvalue()


ONE, OTHER = made(PatientComments="one"), made(PatientComments="other")
ELSEWHERE, NEXT = made(series=".9"), made(instance=".9")
UIDS = read_identity(io.BytesIO(ONE))
STUDY = ResourcePath(UIDS.study)
INSTANCE = ResourcePath(UIDS.study, UIDS.series, UIDS.instance)


@pytest.fixture
def sending(serve, connect, reply, as_json):
    """Give a client of a server that sends these objects whatever is asked for, and lists each address once."""

    def start(*contents, lists=True, **options):
        uids = dict.fromkeys(
            (each.series, each.instance) for each in map(read_identity, map(io.BytesIO, contents))
        )
        rows = [
            {"0020000E": {"vr": "UI", "Value": [series]}, "00080018": {"vr": "UI", "Value": [instance]}}
            for series, instance in uids
        ]

        def answer(asked):
            if asked.path.endswith("/instances"):
                found = as_json(rows[int(asked.params["offset"]) :], api_supported_versions="2")
                return found if lists else reply(404)
            body = MultipartWriter(list(contents))
            return reply(200, b"".join(body), {"Content-Type": body.content_type})

        return connect(serve(answer).url, **options)

    return start


@pytest.fixture
def stored_twice():
    with dfr.start_local() as service:
        client = service.connect(progress=False)
        assert (
            client.store([dcmread(io.BytesIO(each)) for each in (ONE, ELSEWHERE)])["status"]
            .eq("stored")
            .all()
        )
        yield client


def contents_in(folder):
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("asked", [STUDY, INSTANCE], ids=["study", "instance"])
def test_different_objects_with_the_same_uids_are_all_kept_and_none_as_the_file(
    sending, lists, asked, tmp_path
):
    third = made(PatientComments="third")
    client = sending(ONE, OTHER, OTHER, third, lists=lists)
    table = client.download(asked, tmp_path)
    assert table["status"].tolist() == ["ambiguous"]
    assert table["error"][0].startswith(
        "UnexpectedAnswerError: 200: the server sent different objects with the same"
    )
    assert (Path(table["path"][0]).read_bytes(), table["bytes"][0]) == (ONE, len(ONE))
    assert contents_in(tmp_path) == sorted([ONE, OTHER, third])
    assert list(tmp_path.rglob("*.dcm")) == list(tmp_path.rglob("*.part")) == []
    with pytest.raises(UnexpectedAnswerError, match="different objects"):
        client.download(asked, tmp_path, errors="raise")
    assert contents_in(tmp_path) == sorted([ONE, OTHER, third])


def test_what_was_ambiguous_is_fetched_again_and_says_so(sending, tmp_path):
    sending(ONE, OTHER).download(STUDY, tmp_path)
    table = sending(OTHER).download(STUDY, tmp_path)
    assert table["status"].tolist() == ["saved"]
    assert "Different objects came" in table["error"][0]
    assert Path(table["path"][0]).read_bytes() == OTHER
    assert contents_in(tmp_path) == sorted([ONE, OTHER, OTHER])
    assert sending(OTHER).download(STUDY, tmp_path)["status"].tolist() == ["kept"]


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("asked", [STUDY, INSTANCE], ids=["study", "instance"])
def test_the_same_object_twice_is_one(sending, lists, asked, tmp_path):
    table = sending(ONE, ONE, lists=lists).download(asked, tmp_path)
    assert (table["status"].tolist(), table["error"].isna().all()) == (["saved"], True)
    assert contents_in(tmp_path) == [ONE]
    assert sending(ONE).download(asked, tmp_path)["status"].tolist() == ["kept"]


def test_one_instance_in_two_series_is_two_rows(sending, tmp_path):
    client = sending(ONE, ELSEWHERE, lists=False)
    table = client.download(STUDY, tmp_path / "usual")
    assert table["status"].tolist() == ["saved"] * 2
    assert table["SOPInstanceUID"].nunique() == 1
    assert contents_in(tmp_path / "usual") == sorted([ONE, ELSEWHERE])
    # One name is not enough for both.
    table = client.download(STUDY, tmp_path / "flat", layout="{SOPInstanceUID}.dcm")
    assert contents_in(tmp_path / "flat") == [ONE]
    assert table["status"].tolist() == ["saved", "failed"]
    assert "another series has the same file name" in table["error"][1]


def test_one_instance_in_two_series_of_a_listed_study(stored_twice, tmp_path):
    """The service tells instances by all three UIDs; its search gives both, of which the table has one."""
    with pytest.warns(IncompleteSearchWarning):
        table = stored_twice.download(STUDY, tmp_path)
    assert (table["status"].tolist(), len(contents_in(tmp_path))) == (["saved"] * 2, 2)


@pytest.mark.parametrize(
    "contents", [(ONE, NEXT), (NEXT, ONE), (ONE, b"junk")], ids=["behind", "in front", "junk"]
)
def test_what_comes_beside_the_one_that_was_asked_for_is_told(
    sending, contents, tmp_path, serve, connect, reply
):
    body = MultipartWriter(list(contents))
    client = connect(serve(reply(200, b"".join(body), {"Content-Type": body.content_type})).url)
    table = client.download(INSTANCE, tmp_path)
    assert table["status"].tolist() == ["saved"]
    assert table["error"][0].startswith(
        "The answer held something else as well, which is not kept: DecodeError: "
    )
    assert contents_in(tmp_path) == [ONE]
    with pytest.raises((UnexpectedAnswerError, DecodeError)):
        client.retrieve_instance(*INSTANCE.uids)


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("first", ["cut", "whole"])
def test_a_cut_copy_takes_nothing_from_a_whole_one(sending, lists, first, tmp_path):
    parts = [ONE[:-900], ONE] if first == "cut" else [ONE, ONE[:-900]]
    table = sending(*parts, ONE[:-950], lists=lists).download(STUDY, tmp_path)
    assert table["status"].tolist() == ["saved"]
    assert "cut off" in table["error"][0]
    assert Path(table["path"][0]).read_bytes() == ONE
    assert sending(ONE).download(STUDY, tmp_path)["status"].tolist() == ["kept"]


def test_of_two_cut_copies_the_longer_one_is_kept(sending, tmp_path):
    table = sending(ONE[:-900], ONE[:-950], lists=False).download(STUDY, tmp_path)
    assert (table["status"].tolist(), table["bytes"].tolist()) == (["damaged"], [len(ONE) - 900])
    assert contents_in(tmp_path) == [ONE[:-900]]


def test_what_came_whole_after_all_raises_nothing(sending, tmp_path):
    table = sending(ONE[:-900], ONE, lists=False).download(STUDY, tmp_path, errors="raise")
    assert (table["status"].tolist(), contents_in(tmp_path)) == (["saved"], [ONE])


def test_one_data_set_is_not_chosen_among_several(sending):
    assert sending(ONE, ONE).retrieve_instance(*INSTANCE.uids).PatientComments == "one"
    for contents, words in (((ONE, OTHER), "different objects"), ((ONE, NEXT), "another SOPInstanceUID")):
        client = sending(*contents)
        with pytest.raises(UnexpectedAnswerError, match=words):
            client.retrieve_instance(*INSTANCE.uids)
        if contents == (ONE, OTHER):
            pixels = client.search_instances(UIDS.study).to_frame().assign(StudyInstanceUID=UIDS.study).dicom
            assert pixels.use(client).dicom.pixels()["status"].tolist() == ["failed"]


def test_streams_and_tables_have_each_of_them(sending):
    client = sending(ONE, OTHER)
    assert [each.PatientComments for each in client.retrieve_study(UIDS.study)] == ["one", "other"]
    assert client.retrieve_headers(UIDS.study, keywords=["PatientComments"])["PatientComments"].tolist() == [
        "one",
        "other",
    ]


def test_metadata_of_another_instance_is_refused(serve, connect, as_json):
    rows = [from_dataset(dcmread(io.BytesIO(each)), bulk="drop") for each in (ONE, NEXT)]
    for sent in (rows, rows[1:]):
        with pytest.raises(DicomFrameError, match="another SOPInstanceUID"):
            connect(serve(as_json(sent)).url).retrieve_metadata(*INSTANCE.uids)
    # Two of the same are two rows, and one without its UID is what was asked for.
    assert len(connect(serve(as_json(rows[:1] * 2)).url).retrieve_metadata(*INSTANCE.uids)) == 2
    del rows[0]["00080018"]
    assert len(connect(serve(as_json(rows[:1])).url).retrieve_metadata(*INSTANCE.uids)) == 1
