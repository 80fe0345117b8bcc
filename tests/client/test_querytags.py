"""Extended query tags from the client: added, watched, in error, taken away; and what can be searched."""

import json
import warnings
from dataclasses import replace

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client import operations
from dicomframe.client.querytags import COLUMNS, ERROR_COLUMNS, SUPPORTED_VRS, entries_of
from dicomframe.errors import (
    BadRequestError,
    ConflictError,
    ErroneousAttributesWarning,
    NotBuiltError,
    NotFoundError,
    PermissionDeniedError,
    QueryError,
    UnexpectedAnswerError,
    UnsearchableWarning,
)

STUDY = "1.2.826.0.7"


def instance(number, **attributes):
    made = dcmread(get_testdata_file("CT_small.dcm", download=False))
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{STUDY}.{number}", f"{STUDY}.{number}.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{number}.1.1"
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(operations, "_FIRST_PAUSE", 0.005)


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as service:
        client = service.connect(progress=False)
        client.store([instance(1, BodyPartExamined="HEAD"), instance(2, BodyPartExamined="CHEST")])
        # Version 1 stores values that its own search could not use.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bad = instance(3, BodyPartExamined="head, left")
        old = service.connect(api_version="v1", progress=False)
        assert old.store([bad])["status"].tolist() == ["stored"]
        yield service


@pytest.fixture
def client(local):
    client = local.connect(progress=False)
    yield client
    for path in client.query_tags()["path"]:
        client.delete_query_tag(path)


@pytest.fixture
def stepped():
    with dfr.start_local(operation_polls=2) as service:
        client = service.connect(progress=False)
        client.store([instance(1)])
        yield client


# -- what is asked of the service ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [
        ({"PatientAge": "Study"}, [{"path": "00101010", "vr": "AS", "level": "Study"}]),
        ({"00101010": "STUDY"}, [{"path": "00101010", "vr": "AS", "level": "Study"}]),
        ({"path": "PatientAge", "level": "study", "vr": "as"}, [{"path": "00101010", "vr": "AS", "level": "Study"}]),
        (
            [{"Path": "00111001", "Level": "Series", "VR": "LO", "PrivateCreator": "ACME"},
             {"path": "Rows", "level": "Instance"}],
            [{"path": "00111001", "vr": "LO", "level": "Series", "privateCreator": "ACME"},
             {"path": "00280010", "vr": "US", "level": "Instance"}],
        ),
        ({"SmallestImagePixelValue": "Instance"}, [{"path": "00280106", "vr": "US", "level": "Instance"}]),
        ({"path": "00101FFF", "level": "Study", "vr": "SH"}, [{"path": "00101FFF", "vr": "SH", "level": "Study"}]),
        ({"00110010": "Study"}, [{"path": "00110010", "vr": "LO", "level": "Study"}]),
    ],
)  # fmt: skip
def test_what_is_sent(wanted, entries):
    assert entries_of(wanted) == entries


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"PatientsAge": "Study"}, "Did you mean 'PatientAge'"),
        ({"OtherPatientIDsSequence": "Study"}, "SQ, which no service can search; supported are AE, AS"),
        ({"path": "00101002", "level": "Study", "vr": "SQ"}, "supported are AE, AS, CS, DA, DS, DT"),
        ({"PixelData": "Instance"}, "cannot|no service can search"),
        (
            {"ManufacturerModelName": "Series"},
            r"searchable already, at the level Series.*leave it out.*search_series\(ManufacturerModelName=",
        ),
        ({"0020000D": "Study"}, r"search_studies\(StudyInstanceUID="),
        ({"SOPInstanceUID": "Instance"}, r"search_instances\(SOPInstanceUID="),
        ({"PatientAge": "Patient"}, "'Study', 'Series' or 'Instance'"),
        ({"PatientAge": None}, "level"),
        ({"PatientAge": 1}, "texts"),
        ({"path": "PatientAge", "level": "Study", "vr": "LO"}, "AS, not 'LO'"),
        ({"path": "PatientAge", "level": "Study", "privateCreator": "ACME"}, "no private attribute"),
        ({"path": "00111001", "level": "Study", "vr": "LO"}, "needs its privateCreator"),
        ({"path": "00111001", "level": "Study", "privateCreator": "ACME"}, "needs its vr"),
        ({"path": "00111001", "level": "Study", "vr": "XX", "privateCreator": "ACME"}, "XX"),
        ({"path": "PatientAge", "level": "Study", "status": "Ready"}, "nothing else"),
        ({"PatientAge": "Study", "00101010": "Series"}, "twice"),
        ({}, "no tag to add"),
        ([], "no tag to add"),
        ("PatientAge", "with their levels"),
        (["PatientAge"], "with its level"),
        (5, "with their levels"),
        (None, "with their levels"),
        ({5: "Study"}, "texts"),
    ],
)
def test_what_is_refused_before_it_is_sent(serve, reply, connect, wanted, words):
    site = serve(reply(500))
    with pytest.raises(QueryError, match=words):
        connect(site.url).add_query_tags(wanted)
    assert site.asked == []


@pytest.mark.parametrize("tag", ["PatientsAge", "", "0010", None, 5, "../studies"])
def test_names_that_are_none(serve, reply, connect, tag):
    site = serve(reply(500))
    client = connect(site.url)
    for verb in (
        client.query_tag,
        client.query_tag_errors,
        client.reindex_query_tag,
        client.delete_query_tag,
    ):
        with pytest.raises(QueryError):
            verb(tag)
    with pytest.raises(QueryError):
        client.update_query_tag(tag, enabled=True)
    with pytest.raises(QueryError, match="True or False"):
        client.update_query_tag("PatientAge", enabled="yes")
    with pytest.raises(QueryError, match="'study', 'series'"):
        client.searchable("patient")
    assert site.asked == []


# -- a tag's life --------------------------------------------------------------------------------------------------


@pytest.mark.covers("Extended Query Tags", "Handle Async Operations")
def test_adding_watching_searching_deleting(stepped):
    empty = stepped.query_tags()
    operation = stepped.add_query_tags({"PatientSex": "Study"})
    tags = stepped.query_tags()
    assert (len(empty), list(empty.columns)) == (0, list(COLUMNS))
    assert empty.dtypes.astype(str).tolist() == tags.dtypes.astype(str).tolist()
    assert tags.loc[0, ["path", "keyword", "vr", "level", "status", "query_status", "errors"]].tolist() == [
        "00100040", "PatientSex", "CS", "Study", "Adding", "Enabled", 0,
    ]  # fmt: skip
    assert tags["operation_id"].tolist() == [operation.id]
    assert str(tags["errors"].dtype) == "Int64"
    with pytest.raises(QueryError, match="still being indexed"):
        stepped.search_studies(PatientSex="O").to_frame()
    with pytest.raises(ConflictError) as caught:
        stepped.add_query_tags({"PatientAge": "Study"})
    assert caught.value.operation_id == operation.id
    assert "client.operation(error.operation_id).wait()" in str(caught.value)
    with pytest.raises(ConflictError) as caught:
        stepped.reindex_query_tag("PatientSex")
    assert caught.value.operation_id == operation.id
    with pytest.raises(BadRequestError, match="being indexed"):
        stepped.delete_query_tag("PatientSex")
    assert stepped.operation(operation.id).wait().type == "reindex"
    assert stepped.query_tag("PatientSex")["status"].tolist() == ["Ready"]
    with pytest.raises(ConflictError, match="already") as caught:
        stepped.add_query_tags({"PatientSex": "Study"})
    assert caught.value.operation_id == ""

    found = stepped.search_studies(PatientSex="O").to_frame()
    assert found["PatientSex"].tolist() == ["O"]
    assert stepped.reindex_query_tag("00100040").wait().results == {"instances": 1, "errors": 0}

    deletion = stepped.delete_query_tag("PatientSex", background=True, wait=False)
    assert stepped.query_tag("PatientSex")["status"].tolist() == ["Deleting"]
    assert stepped.searchable().set_index("keyword")["status"]["PatientSex"] == "Deleting"
    deletion.wait()
    assert len(stepped.query_tags()) == 0
    for verb in (stepped.query_tag, stepped.query_tag_errors, stepped.delete_query_tag):
        with pytest.raises(NotFoundError):
            verb("PatientSex")
    with pytest.raises(NotFoundError):
        stepped.reindex_query_tag("PatientSex")
    with pytest.raises(NotFoundError):
        stepped.update_query_tag("PatientSex", enabled=True)


def test_deleting_at_once_and_in_the_background(client):
    client.add_query_tags({"PatientAge": "Study", "PatientSex": "Study"}).wait()
    assert client.delete_query_tag("PatientAge") is None
    assert client.delete_query_tag("PatientSex", background=True).status == "succeeded"


@pytest.mark.covers("fact 49")
def test_errors_are_listed_and_warned_of(client):
    client.add_query_tags({"BodyPartExamined": "Series"}).wait()
    tag = client.query_tag("BodyPartExamined")
    assert tag[["query_status", "errors"]].iloc[0].tolist() == ["Disabled", 1]
    errors = client.query_tag_errors("BodyPartExamined")
    assert list(errors.columns) == list(ERROR_COLUMNS)
    assert errors.loc[0, ["StudyInstanceUID", "SOPInstanceUID", "partition"]].tolist() == [
        f"{STUDY}.3", f"{STUDY}.3.1.1", "Microsoft.Default",
    ]  # fmt: skip
    assert "upper-case letters" in errors.loc[0, "message"]
    assert str(errors["created"].dtype) == "datetime64[us, UTC]"
    assert len(errors.dicom.series()) == 1
    search = client.search_series(BodyPartExamined="HEAD")
    with pytest.raises(QueryError, match=r"disabled.*query_tag_errors.*update_query_tag"):
        search.to_frame()
    assert client.searchable().set_index("keyword")["status"]["BodyPartExamined"] == "Disabled"
    assert client.update_query_tag("BodyPartExamined", enabled=True)["query_status"].tolist() == ["Enabled"]
    with pytest.warns(ErroneousAttributesWarning, match=r"query_tag_errors\('BodyPartExamined'\)"):
        table = search.to_frame()
    assert table["SeriesInstanceUID"].tolist() == [f"{STUDY}.1.1"]
    assert table.attrs["dicom"]["erroneous_attributes"] == ["BodyPartExamined"]
    json.dumps(table.attrs["dicom"])
    with pytest.warns(ErroneousAttributesWarning):
        assert list(client.search_series(BodyPartExamined="FOOT").pages()) == []
    assert "erroneous_attributes" not in client.search_series().to_frame().attrs["dicom"]


def test_no_errors_is_a_table_of_the_same_dtypes(client):
    client.add_query_tags({"PatientAge": "Study"}).wait()
    errors = client.query_tag_errors("PatientAge")
    assert (len(errors), str(errors["created"].dtype)) == (0, "datetime64[us, UTC]")
    assert client.update_query_tag("PatientAge", enabled=False)["query_status"].tolist() == ["Disabled"]


# -- what can be searched ------------------------------------------------------------------------------------------


def test_what_is_searchable_is_what_the_service_says(client):
    client.add_query_tags({"PatientAge": "Study", "AcquisitionDateTime": "Instance"}).wait()
    table = client.searchable()
    assert [str(table[name].dtype) for name in ("ranges", "wildcards", "fuzzy")] == ["boolean"] * 3
    assert set(table["source"]) == {"core", "reference", "extended"}
    by_keyword = table.set_index("keyword")
    assert by_keyword.loc["PatientName", ["vr", "level", "source", "wildcards", "fuzzy"]].tolist() == [
        "PN", "study", "core", True, True,
    ]  # fmt: skip
    assert by_keyword.loc["StudyID", ["source", "status"]].tolist() == ["reference", "Ready"]
    assert by_keyword.loc["AcquisitionDateTime", ["level", "source", "ranges", "status"]].tolist() == [
        "instance", "extended", True, "Ready",
    ]  # fmt: skip
    # Every row is true: the service takes the filter at its level and not above it.
    values = {"DA": "20240115", "TM": "10", "DT": "2024", "UI": "1.2", "IS": "1", "AS": "042Y"}
    routes = {"study": "studies", "series": "series", "instance": "instances"}
    for at, (level, route) in enumerate(routes.items()):
        own = client.searchable(level)
        for row in table.itertuples():
            params = [(row.keyword, values.get(row.vr, "x"))]
            answer = client.session.request(
                "GET", route, params=params, headers={"Accept": "*/*"}, accept_status=(400,)
            )
            assert (
                (answer.status < 400) == (list(routes).index(row.level) <= at) == (row.tag in set(own["tag"]))
            )


def test_on_azure_the_reference_extras_need_a_tag(serve, as_json, connect):
    tags = [{"path": "00080030", "vr": "TM", "level": "Study", "status": "Ready", "queryStatus": "Enabled"}]
    site = serve(lambda asked: as_json(tags if "tags" in asked.path else []))
    client = connect(site.url)
    client.session.address = replace(client.session.address, is_azure=True)
    table = client.searchable().set_index("keyword")
    assert table.loc["StudyID", ["source", "status"]].tolist() == ["reference", "needs a tag"]
    assert table.loc["StudyTime", ["source", "status", "ranges"]].tolist() == ["extended", "Ready", True]
    assert not table["wildcards"].any()
    assert client.search_studies(StudyTime="10").to_frame().empty
    with pytest.raises(QueryError, match=r"add_query_tags\(\{'StudyID': 'Study'\}\)"):
        client.search_studies(StudyID="ST1").to_frame()


def test_a_usual_search_costs_no_further_request(serve, as_json, connect):
    site = serve(lambda _: as_json([]))
    client = connect(site.url)
    client.search_studies(PatientName="Smith*", StudyID="1", fields="all", fuzzy=True).to_frame()
    client.search_series(Modality="CT", PatientID="1").to_frame()
    client.search_instances("1.2", "1.2.3", SOPInstanceUID="1.2.3.4").to_frame()
    assert [asked.path for asked in site.asked if "tags" in asked.path] == []


def test_a_tag_is_asked_about_once(client):
    client.add_query_tags({"PatientAge": "Study"}).wait()
    asked = []
    request = client.session.request
    client.session.request = lambda method, route, **more: (
        asked.append(route),
        request(method, route, **more),
    )[1]
    for _ in range(3):
        client.search_studies(PatientAge="042Y").to_frame()
    assert asked.count("extendedquerytags") == 1
    # Somebody else may add it at any time, so a refusal is asked for each time.
    for _ in range(2):
        with pytest.raises(QueryError, match="Rows is not searchable"):
            client.search_studies(Rows=5).to_frame()
    assert asked.count("extendedquerytags") == 3


def test_what_another_client_has_added_is_found(local, client):
    with pytest.raises(QueryError):
        client.search_studies(PatientAge="042Y").to_frame()
    local.connect(progress=False).add_query_tags({"PatientAge": "Study"}).wait()
    client.search_studies(PatientAge="042Y").to_frame()
    client.delete_query_tag("PatientAge")
    with pytest.raises(QueryError, match="not searchable"):
        client.search_studies(PatientAge="042Y").to_frame()


@pytest.mark.covers("fact 30")
@pytest.mark.parametrize(
    ("search", "words"),
    [
        (
            lambda client: client.search_studies(Modality="CT"),
            "Modality belongs to the level series.*search_series",
        ),
        (
            lambda client: client.search_series(STUDY, PatientName="x"),
            "PatientName belongs to the level study",
        ),
        (lambda client: client.search_instances(STUDY, f"{STUDY}.1", Modality="CT"), "without study_uid="),
        (lambda client: client.search_instances(Rows=5), r"add_query_tags\(\{'Rows': 'Instance'\}\)"),
        (lambda client: client.search_studies(**{"00111001": "x"}), '"privateCreator"'),
        (lambda client: client.search_series(STUDY, PatientAge="042Y"), "of the level study"),
        (lambda client: client.search_studies(Rows=5), "Searchable here are StudyInstanceUID, .*PatientAge"),
    ],
)
def test_filters_are_refused_before_they_are_sent(client, search, words):
    client.add_query_tags({"PatientAge": "Study"}).wait()
    sent = search(client)
    with pytest.raises(QueryError, match=words):
        sent.to_frame()
    with pytest.raises(QueryError, match=words):
        list(sent.pages())


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404},
        {"status": 405},
        {"status": 501},
        {"body": b"<html></html>"},
        {"body": b'{"a": 1}'},
        {"body": b"[5]"},
    ],
)
def test_a_server_without_tags_is_let_be(serve, reply, as_json, connect, answer):
    """Orthanc and others search by what they like."""
    other = reply(
        **answer,
        headers={"Content-Type": "text/html" if b"html" in answer.get("body", b"") else "application/json"},
    )
    site = serve(lambda asked: other if "tags" in asked.path else as_json([]))
    client = connect(site.url)
    for _ in range(3):
        assert client.search_studies(Rows=512).to_frame().empty
        assert client.search_studies(Modality="CT").to_frame().empty
    assert len([asked for asked in site.asked if "tags" in asked.path]) == 1
    with pytest.raises((NotFoundError, NotBuiltError, UnexpectedAnswerError)):
        client.query_tags()
    assert set(client.searchable()["source"]) == {"core", "reference"}


@pytest.mark.parametrize("status", [401, 403])
def test_where_one_cannot_be_sure_one_is_warned(serve, reply, as_json, connect, status):
    site = serve(lambda asked: reply(status) if "tags" in asked.path else as_json([]))
    client = connect(site.url)
    with pytest.warns(UnsearchableWarning, match="Rows may not be searchable"):
        assert client.search_studies(Rows=512).to_frame().empty
    with pytest.raises(QueryError, match="belongs to the level series"):
        client.search_studies(Modality="CT").to_frame()


# -- other servers -------------------------------------------------------------------------------------------------


def tag_json(**more):
    return {
        "path": "00101010",
        "vr": "AS",
        "level": "Study",
        "status": "Ready",
        "queryStatus": "Enabled",
        **more,
    }


def test_letter_case_does_not_matter(serve, as_json, connect):
    shouted = {"Path": "0018990c", "VR": "FD", "Level": "instance", "Status": "Ready", "QueryStatus": "Enabled",
               "Errors": {"Count": 2, "Href": "x"}, "Operation": {"Id": "abc"}, "Extra": 1}  # fmt: skip
    table = connect(serve(as_json([shouted])).url).query_tags()
    assert table.loc[0, ["path", "errors", "operation_id", "level"]].tolist() == [
        "0018990C",
        2,
        "abc",
        "instance",
    ]


@pytest.mark.parametrize("body", [b"{}", b"5", b"[{}]", b'[{"path": 5}]', b"null", b'"x"'])
def test_answers_that_are_no_tags(serve, reply, connect, body):
    client = connect(serve(reply(200, body, {"Content-Type": "application/json"})).url)
    if body != b"null":
        with pytest.raises(UnexpectedAnswerError):
            client.query_tags()
    with pytest.raises(UnexpectedAnswerError):
        client.query_tag("PatientAge")


def test_a_server_that_ignores_offset(serve, as_json, connect):
    many = [tag_json(path=f"0011{n:04X}") for n in range(200)]
    assert len(connect(serve(as_json(many)).url).query_tags()) == 200
    errors = [{"studyInstanceUid": f"1.{n}", "createdTime": "nonsense"} for n in range(200)]
    table = connect(serve(as_json(errors)).url).query_tag_errors("PatientAge")
    assert (len(table), table["created"].isna().all()) == (200, True)
    with pytest.raises(UnexpectedAnswerError):
        connect(serve(as_json({"a": 1})).url).query_tag_errors("PatientAge")


@pytest.mark.covers("Reindex Studies")
def test_a_service_without_reindexing_explains_itself(serve, reply, as_json, connect):
    running = tag_json(status="Adding", operation={"id": "abc", "href": "https://inner/v2/operations/abc"})
    tag = [tag_json()]
    site = serve(lambda asked: reply(404) if asked.method == "POST" else as_json(tag[0]))
    client = connect(site.url)
    with pytest.raises(NotBuiltError, match=r"delete_query_tag.*add_query_tags.*not done unasked") as caught:
        client.reindex_query_tag("PatientAge")
    assert caught.value.status == 404
    tag[0] = running
    assert client.reindex_query_tag("PatientAge").id == "abc"
    assert {asked.method for asked in site.asked} == {"GET", "POST"}


def test_an_add_whose_answer_was_lost_is_found_again(serve, reply, as_json, connect):
    replies = [reply(reset=True), reply(409, b"busy", {"Location": "https://inner/v2/operations/abc"})]
    adding = [tag_json(operation={"id": "abc"}, status="Adding")]
    site = serve(lambda asked: replies.pop(0) if asked.method == "POST" else as_json(adding))
    assert connect(site.url).add_query_tags({"PatientAge": "Study"}).id == "abc"
    # Somebody else's operation is not taken for one's own.
    replies += [reply(reset=True), reply(409, b"busy", {"Location": "https://inner/v2/operations/other"})]
    with pytest.raises(ConflictError) as caught:
        connect(site.url).add_query_tags({"PatientSex": "Study"})
    assert caught.value.operation_id == "other"


def test_a_deletion_whose_answer_was_lost(serve, reply, connect):
    replies = [reply(reset=True), reply(404)]
    assert connect(serve(lambda _: replies.pop(0)).url).delete_query_tag("PatientAge") is None


def test_other_refusals(serve, reply, connect):
    client = connect(serve(reply(403)).url)
    for call in (client.query_tags, client.searchable, lambda: client.add_query_tags({"PatientAge": "Study"}),
                 lambda: client.delete_query_tag("PatientAge")):  # fmt: skip
        with pytest.raises(PermissionDeniedError):
            call()
    stopped = serve(reply(200))
    stopped.stop()
    with pytest.raises(dfr.errors.ConnectionFailed):
        connect(stopped.url).query_tags()
    with pytest.raises(dfr.errors.ConnectionFailed):
        connect(stopped.url).searchable()


def test_a_value_searched_for_stays_out_of_messages(serve, reply, as_json, connect):
    tags = [tag_json(path="00111001", vr="PN")]
    site = serve(lambda asked: as_json(tags) if "tags" in asked.path else reply(400, b"no SECRET^NAME here"))
    with pytest.raises(BadRequestError) as caught:
        connect(site.url).search_studies(**{"00111001": "SECRET^NAME"}).to_frame()
    assert "SECRET" not in str(caught.value)


def test_the_supported_vrs_are_those_of_the_documents():
    assert set(SUPPORTED_VRS) == set("AE AS CS DA DS DT FD FL IS LO PN SH SL SS TM UI UL US".split())


# -- deleting studies in the background ----------------------------------------------------------------------------


@pytest.mark.covers("Delete Operations")
def test_deleting_in_the_background_when_asked(stepped):
    table = stepped.delete(f"{STUDY}.1", background=True, wait=False)
    assert table["status"].tolist() == ["accepted"]
    assert len(stepped.search_studies().to_frame()) == 1
    stepped.store([instance(2)])
    assert stepped.delete(f"{STUDY}.2", background=True)["status"].tolist() == ["deleted"]
    assert stepped.search_studies().to_frame()["StudyInstanceUID"].tolist() == [f"{STUDY}.1"]
    many = stepped.delete_many([f"{STUDY}.1", f"{STUDY}.9"], background=True)
    assert many["status"].tolist() == ["deleted", "absent"]
    assert stepped.search_studies().to_frame().empty


def test_a_bar_shows_how_far_a_deletion_is(stepped, monkeypatch):
    seen = []
    from dicomframe.client import operations as module

    original = module.progress_bar

    def watched(progress, *arguments, shows_bytes):
        seen.append((progress, *arguments, shows_bytes))
        return original(False, *arguments)

    monkeypatch.setattr(module, "progress_bar", watched)
    stepped.delete(f"{STUDY}.1", background=True, progress=True)
    assert seen == [(True, "Operation", 100, "%", False)]


def test_tables_of_tags_survive_parquet(client, tmp_path):
    client.add_query_tags({"PatientAge": "Study"}).wait()
    table = client.query_tags()
    table.to_parquet(tmp_path / "tags.parquet")
    with pd.option_context("mode.string_storage", "pyarrow"):  # pandas 2 would make Python's objects of texts
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tags.parquet"), table)
