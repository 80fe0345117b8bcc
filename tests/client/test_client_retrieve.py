"""Objects and metadata from servers that answer in every permitted way, and in some others."""

import copy
import io
import json
import tracemalloc

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.retrieve import ACCEPTS
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    BadRequestError,
    ConnectionFailed,
    DecodeError,
    IncompleteRetrievalError,
    IncompleteRetrievalWarning,
    NotAcceptableError,
    NotFoundError,
    QueryError,
    TruncatedBody,
    UnexpectedAnswerError,
)


def bytes_of(name, instance_uid, series_uid="1.3"):
    """Give a real file, made an instance of the study and series that the tests ask for."""
    dataset = dcmread(get_testdata_file(name, download=False))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (
        "1.2",
        series_uid,
        instance_uid,
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = instance_uid
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


CT, MR = bytes_of("CT_small.dcm", "1.4"), bytes_of("MR_small.dcm", "1.5")


def multipart(reply, parts, **options):
    body = MultipartWriter(parts)
    return reply(200, b"".join(body), {"Content-Type": body.content_type}, **options)


def written(dataset):
    """Give a Dataset's file again, without the preamble."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()[128:]


# -- objects ---------------------------------------------------------------------------------------------------------


def test_a_study_part_by_part(serve, connect, reply):
    site = serve(multipart(reply, [CT, MR]))
    datasets = list(connect(site.url).retrieve_study("1.2"))
    assert [dataset.Modality for dataset in datasets] == ["CT", "MR"]
    assert datasets[0] == dcmread(io.BytesIO(CT))
    assert written(datasets[0]) == written(dcmread(io.BytesIO(CT)))
    assert [asked.path for asked in site.asked] == ["/v2/studies/1.2"]
    assert site.asked[0].headers["Accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'


def test_the_three_levels(serve, connect, reply):
    site = serve(multipart(reply, [CT]))
    client = connect(site.url)
    assert len(list(client.retrieve_series("1.2", "1.3"))) == 1
    assert client.retrieve_instance("1.2", "1.3", "1.4").Modality == "CT"
    assert next(client.retrieve(ResourcePath("1.2", "1.3", "1.4"))).Modality == "CT"
    assert [asked.path for asked in site.asked] == [
        "/v2/studies/1.2/series/1.3",
        "/v2/studies/1.2/series/1.3/instances/1.4",
        "/v2/studies/1.2/series/1.3/instances/1.4",
    ]


@pytest.mark.parametrize("content_type", ["application/dicom", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
                                          "application/octet-stream"])  # fmt: skip
def test_a_single_part_answer(serve, connect, reply, content_type):
    site = serve(reply(200, CT, {"Content-Type": content_type}))
    assert connect(site.url).retrieve_instance("1.2", "1.3", "1.4").Modality == "CT"


@pytest.mark.parametrize("status", [406, 400])
@pytest.mark.parametrize("understood", ACCEPTS)
def test_servers_that_know_other_accept_headers(serve, connect, reply, status, understood):
    def answer(asked):
        return multipart(reply, [MR]) if asked.headers["Accept"] == understood else reply(status)

    site = serve(answer)
    client = connect(site.url)
    assert [dataset.Modality for dataset in client.retrieve_study("1.2")] == ["MR"]
    tried = len(site.asked)
    assert tried == ACCEPTS.index(understood) + 1
    list(client.retrieve_series("1.2", "1.3"))
    assert len(site.asked) == tried + 1


@pytest.mark.parametrize(("status", "kind"), [(406, NotAcceptableError), (400, BadRequestError)])
def test_a_server_that_accepts_nothing(serve, connect, reply, status, kind):
    with pytest.raises(kind):
        list(connect(serve(reply(status)).url).retrieve_study("1.2"))


def test_an_object_without_a_preamble(serve, connect, reply):
    bare = CT[132:]
    assert (
        connect(serve(multipart(reply, [bare])).url).retrieve_instance("1.2", "1.3", "1.4").Modality == "CT"
    )


def test_an_object_of_something_else_is_no_answer(serve, connect, reply):
    client = connect(serve(multipart(reply, [CT])).url)
    for ask in (
        lambda: list(client.retrieve_study("1.20")),
        lambda: list(client.retrieve_series("1.2", "1.30")),
        lambda: client.retrieve_instance("1.2", "1.3", "1.40"),
    ):
        with pytest.raises(UnexpectedAnswerError, match="another"):
            ask()


def test_an_object_cut_off_inside_a_whole_body_is_an_error(serve, connect, reply):
    client = connect(serve(multipart(reply, [CT[:-9000]])).url)
    with pytest.raises(TruncatedBody, match="is cut off"):
        client.retrieve_instance("1.2", "1.3", "1.4")


@pytest.mark.parametrize(
    ("name", "lost"),
    [("MR_small_RLE.dcm", 900), ("JPEG2000.dcm", 8), ("reportsi.dcm", 700), ("image_dfl.dcm", 99)],
)
def test_a_cut_is_noticed_where_the_last_element_has_no_length(serve, connect, reply, name, lost):
    """In fragments, in sequences and in what is deflated; pydicom leaves out what it cannot read, or all."""
    whole = bytes_of(name, "1.4")
    client = connect(serve(multipart(reply, [whole[:-lost]])).url)
    with pytest.raises(DecodeError):
        client.retrieve_instance("1.2", "1.3", "1.4")
    client = connect(serve(multipart(reply, [whole])).url)
    assert client.retrieve_instance("1.2", "1.3", "1.4").SOPInstanceUID == "1.4"


def test_a_large_object_that_is_cut_off(serve, connect, reply, monkeypatch):
    """Larger ones than are held in memory are looked at in their file."""
    from dicomframe.client import arriving

    monkeypatch.setattr(arriving, "SPOOL_BYTES", 1000)
    whole = bytes_of("MR_small_RLE.dcm", "1.4")
    client = connect(serve(multipart(reply, [whole[:-900]])).url)
    with pytest.raises(TruncatedBody):
        client.retrieve_instance("1.2", "1.3", "1.4")
    client = connect(serve(multipart(reply, [whole])).url)
    assert client.retrieve_instance("1.2", "1.3", "1.4").pixel_array.shape == (64, 64)


@pytest.mark.parametrize("garbage", [b"", b"no DICOM at all", b"\0" * 200, CT[:90] + b"DICM"])
def test_objects_that_are_none(serve, connect, reply, garbage):
    with pytest.raises(DecodeError):
        list(connect(serve(multipart(reply, [garbage])).url).retrieve_study("1.2"))


def test_an_answer_without_objects(serve, connect, reply):
    client = connect(serve(multipart(reply, [])).url)
    assert list(client.retrieve_study("1.2")) == []
    with pytest.raises(NotFoundError):
        client.retrieve_instance("1.2", "1.3", "1.4")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
def test_answers_of_another_kind(serve, connect, reply, content_type):
    site = serve(reply(200, b"[]", {"Content-Type": content_type}))
    with pytest.raises(UnexpectedAnswerError, match="not DICOM"):
        list(connect(site.url).retrieve_study("1.2"))


def test_a_cut_study_gives_whole_objects_and_then_an_error(serve, connect, reply):
    padded = CT + b"\xfc\xff\xfc\xff\x4f\x42\x00\x00\x00\x00\x10\x00" + b"\0" * 0x100000
    length = len(MultipartWriter([padded, MR]))
    site = serve(multipart(reply, [padded, MR], send_only=length - 3000))
    objects = connect(site.url).retrieve_study("1.2")
    assert next(objects).Modality == "CT"
    with pytest.raises(TruncatedBody):
        next(objects)


def test_a_body_that_ends_before_its_boundary(serve, connect, reply):
    body = MultipartWriter([CT])
    shortened = b"".join(body)[:-60]
    site = serve(reply(200, shortened, {"Content-Type": body.content_type}))
    with pytest.raises(TruncatedBody):
        list(connect(site.url).retrieve_study("1.2"))


def test_a_stream_of_many_passes_over_what_cannot_be_had(serve, connect, reply):
    """A bad object costs itself, a cut answer what stood behind the cut; both are told, and nothing else is missed."""
    padded = CT + b"\xfc\xff\xfc\xff\x4f\x42\x00\x00\x00\x00\x10\x00" + b"\0" * 0x100000
    answers = {
        "1.2": multipart(reply, [b"no DICOM", MR, b"none either", CT]),
        "1.3": multipart(reply, [padded, MR], send_only=len(MultipartWriter([padded, MR])) - 3000),
        "1.21": multipart(reply, [CT]),
        "1.22": multipart(reply, []),
        "1.23": reply(503),
        "1.5": multipart(reply, [MR]),
    }
    client = connect(serve(lambda asked: answers[asked.path.rpartition("/")[2]]).url)
    paths = [ResourcePath(uid) for uid in answers]
    paths[1], paths[-1] = ResourcePath("1.2", "1.3"), ResourcePath("1.2", "1.3", "1.5")
    given, stream = [], client.collect_datasets(paths)
    with (
        pytest.warns(IncompleteRetrievalWarning) as warned,
        pytest.raises(IncompleteRetrievalError) as caught,
    ):
        given.extend(dataset.Modality for dataset in stream)
    assert given == ["MR", "CT", "CT", "MR"]
    assert len(warned) == 6
    assert str(caught.value).startswith("Of 6 resources, 5")
    told = [(each["StudyInstanceUID"], each.get("SeriesInstanceUID")) for each in caught.value.failed]
    assert told == [
        ("1.2", None),
        ("1.2", None),
        ("1.2", "1.3"),
        ("1.21", None),
        ("1.22", None),
        ("1.23", None),
    ]
    reasons = ["no DICOM", "no DICOM", "cut off", "another", "no object", "503"]
    assert [
        words for words, each in zip(reasons, caught.value.failed, strict=True) if words not in each["error"]
    ] == []
    again = copy.copy(caught.value)
    assert (again.failed, str(again)) == (caught.value.failed, str(caught.value))


def test_a_bad_object_of_a_server_that_cannot_list_costs_only_itself(serve, connect, reply):
    answers = {
        "1.2": multipart(reply, [CT, b"no DICOM", MR, CT[:-9000], CT]),
        "1.22": multipart(reply, []),
        "1.3": multipart(reply, [b"no DICOM", CT]),
    }
    site = serve(lambda asked: answers.get(asked.path.rpartition("/")[2], reply(404)))
    client = connect(site.url)
    paths = [ResourcePath("1.2"), ResourcePath("1.22")]
    table = client.collect_pixels(paths)
    assert table["status"].tolist() == ["decoded", "failed", "decoded", "failed", "decoded", "failed"]
    words = table["error"].dropna().str.cat()
    assert all(each in words for each in ("no DICOM", "cut off", "no object"))
    counts, notes = client.collect_pixel_counts(paths)
    assert sum(count.tally.counts.sum() for count in counts) == 2 * 128 * 128 + 64 * 64
    assert len(notes) == 3
    volume = client.retrieve_volume("1.2", "1.3")
    assert volume.array.shape == (1, 128, 128)
    assert "no DICOM" in volume.problems.to_string()


def test_a_reset_is_typed(serve, connect, reply):
    with pytest.raises(ConnectionFailed):
        list(connect(serve(reply(reset=True)).url).retrieve_study("1.2"))


@pytest.mark.parametrize(
    "uids", [("",), ("..",), ("1.2/3",), ("1.2", "?"), ("1.2", "1.3", "x y"), (None,), (5,)]
)
def test_malformed_uids_ask_nothing(serve, connect, reply, uids):
    site = serve(reply(200))
    client = connect(site.url)
    verb = [client.retrieve_study, client.retrieve_series, client.retrieve_instance][len(uids) - 1]
    with pytest.raises(QueryError):
        verb(*uids)
    with pytest.raises(QueryError):
        client.retrieve_metadata(*uids)
    with pytest.raises(QueryError):
        client.delete(*uids)
    assert site.asked == []


def test_memory_is_bounded_by_the_chunk(serve, connect, reply, tmp_path):
    """A study is written to disk; what is held meanwhile does not grow with it."""
    large = CT + b"\0" * 30_000_000
    site = serve(multipart(reply, [large, large]))
    retriever = connect(site.url)._retriever
    tracemalloc.start()
    try:
        with (tmp_path / "out").open("wb") as file:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            sizes = [body.write_to(file) for body in retriever.bodies(ResourcePath("1.2"))]
            peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert sizes == [len(large)] * 2
    # The server runs in this process, but holds its body from before.
    assert peak < 8_000_000


# -- metadata --------------------------------------------------------------------------------------------------------

ROW = {
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "0020000E": {"vr": "UI", "Value": ["1.3"]},
    "00080018": {"vr": "UI", "Value": ["1.4"]},
    "00180060": {"vr": "DS", "Value": [120]},
    "00091001": {"vr": "LO", "Value": ["private"]},
}


def test_metadata(serve, connect, as_json):
    site = serve(as_json([ROW]))
    client = connect(site.url)
    table = client.retrieve_metadata("1.2", "1.3", "1.4")
    assert table["KVP"].tolist() == [120.0]
    assert table["00091001"].tolist() == [["private"]]
    assert table.attrs["dicom"]["service"] == client.url
    assert site.asked[0].path == "/v2/studies/1.2/series/1.3/instances/1.4/metadata"
    assert site.asked[0].headers["Accept"] == "application/dicom+json"


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_keywords_choose_columns_there_or_not(serve, connect, as_json, backend):
    client = connect(serve(as_json([ROW])).url)
    chosen = client.retrieve_metadata(
        "1.2", keywords=["KVP", "Rows", "StudyDate", "00091001"], dtype_backend=backend
    )
    assert chosen.columns.tolist() == [
        "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "KVP", "Rows", "StudyDate", "00091001",
    ]  # fmt: skip
    assert chosen[["Rows", "StudyDate"]].isna().all(axis=None)
    full = [{**ROW, "00280010": {"vr": "US", "Value": [5]}, "00080020": {"vr": "DA", "Value": ["20240101"]}}]
    there = connect(serve(as_json(full)).url).retrieve_metadata("1.2", keywords="Rows", dtype_backend=backend)
    assert there.dtypes["Rows"] == chosen.dtypes["Rows"]
    with pytest.raises(QueryError, match="Rows"):
        client.retrieve_metadata("1.2", keywords=["Rowz"])


@pytest.mark.parametrize(("status", "body"), [(204, b""), (200, b"[]"), (200, b"")])
def test_no_metadata_is_an_empty_typed_table(serve, connect, reply, status, body):
    table = connect(serve(reply(status, body)).url).retrieve_metadata("1.2", keywords=["KVP"])
    assert len(table) == 0
    assert str(table.dtypes["KVP"]) == "Float64"


def test_metadata_of_many_keeps_their_order(serve, connect, as_json):
    def answer(asked):
        study = asked.path.split("/")[3]
        return as_json([{**ROW, "0020000D": {"vr": "UI", "Value": [study]}}])

    site = serve(answer)
    paths = [ResourcePath(f"1.{number}") for number in range(30)]
    table = connect(site.url).collect_metadata(paths, ["KVP"])
    assert table["StudyInstanceUID"].tolist() == [path.study for path in paths]


def test_metadata_that_is_none(serve, connect, reply):
    with pytest.raises(DecodeError):
        connect(serve(reply(200, b"{broken")).url).retrieve_metadata("1.2")


# -- the instance that stands for the others --------------------------------------------------------------------------


def test_the_representative_is_the_middle_of_the_largest_series_of_pictures(serve, connect, reply, as_json):
    def row(series, instance, number, modality):
        values = {"0020000E": series, "00080018": instance, "00200013": number, "00080060": modality}
        return {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}

    rows = [row("1.9", f"1.9.{n}", n, "SR") for n in range(9)]
    rows += [row("1.5", f"1.5.{n}", n, "CT") for n in (5, 1, 3, 2, 4)]
    rows += [row("1.6", "1.6.1", 1, "CT")]
    site = serve(
        lambda asked: (
            as_json(rows, api_supported_versions="2")
            if asked.path.endswith("/instances")
            else multipart(reply, [bytes_of("CT_small.dcm", "1.5.3", "1.5")])
        )
    )
    client = connect(site.url)
    client.retrieve_representative(ResourcePath("1.2"))
    assert site.asked[-1].path == "/v2/studies/1.2/series/1.5/instances/1.5.3"
    rows.clear()
    with pytest.raises(NotFoundError):
        client.retrieve_representative(ResourcePath("1.2"))


# -- against the local service ----------------------------------------------------------------------------------------


def test_what_was_stored_comes_back(tmp_path):
    names = [
        "CT_small.dcm",
        "MR_small.dcm",
        "JPEG2000.dcm",
        "rtplan.dcm",
        "SC_rgb_rle_2frame.dcm",
        "waveform_ecg.dcm",
    ]
    files = [get_testdata_file(name, download=False) for name in names]
    with dfr.start_local(tmp_path / "service") as local:
        client = local.connect(progress=False)
        outcome = client.store(files)
        assert outcome["status"].isin(["stored", "warning"]).all()
        for file, row in zip(files, outcome.itertuples(), strict=True):
            original = dcmread(file)
            [back] = client.retrieve_study(row.StudyInstanceUID)
            assert back == original
            assert back.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        header = client.retrieve_metadata(outcome["StudyInstanceUID"][0])
        assert json.loads(dcmread(files[0]).to_json())["00180060"]["Value"] == header["KVP"].tolist()
