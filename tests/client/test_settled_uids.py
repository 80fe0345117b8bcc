"""UIDs that the route names and the server leaves out of its rows."""

import pytest

import dicomframe as dfr


def uid(text):
    return {"vr": "UI", "Value": [text]}


STUDIES = {"1.2": ["1.2.1", "1.2.2"], "1.3": ["1.3.1"]}


@pytest.fixture
def client(serve, connect, as_json):
    """Connect to a server whose rows have their own UID alone."""

    def answer(asked):
        parts = asked.path.split("/")[1:]
        study = parts[parts.index("studies") + 1]
        tag = "0020000E" if parts[-1] == "series" else "00080018"
        rows = [{tag: uid(one), "0020000D": {"vr": "UI"}} if one == "1.2.2" else {tag: uid(one)}
                for one in STUDIES[study]]  # fmt: skip
        return as_json(rows, api_supported_versions="2")

    return connect(serve(answer).url)


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_they_are_filled_and_the_rows_come_back_as_they_came(client, backend):
    search = client.search_series(["1.2", "1.3"])
    table = search.to_frame(backend)
    assert table["StudyInstanceUID"].tolist() == ["1.2", "1.2", "1.3"]
    assert table.dicom.to_json() == [row for page in search.pages() for row in page]
    assert table.iloc[::-1].dicom.to_json() == table.dicom.to_json()[::-1]
    edited = table.assign(StudyInstanceUID="1.9")
    assert [row["0020000D"]["Value"] for row in edited.dicom.to_json()] == [["1.9"]] * 3


def test_instances_below_a_series_can_be_addressed(client):
    table = client.search_instances("1.2", "1.2.7").to_frame()
    assert table[["StudyInstanceUID", "SeriesInstanceUID"]].to_numpy().tolist() == [["1.2", "1.2.7"]] * 2
    assert table.dicom.level == "instance"
    assert [row.keys() & {"0020000E"} for row in table.dicom.to_json()] == [set(), set()]


def test_they_outlast_a_concatenation(client):
    tables = [client.search_series(study).to_frame() for study in STUDIES]
    joined = dfr.concat(tables)
    assert joined["StudyInstanceUID"].tolist() == ["1.2", "1.2", "1.3"]
