"""The reference's "QIDO-RS (Query)": each block, table row and line as written, at all levels, then ours."""

import datetime as dt
from fnmatch import fnmatchcase

import pytest
import requests
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.errors import QueryError

CT = get_testdata_file("CT_small.dcm", download=False)
TOKEN = "a-token"
ROOT = "1.2.826.0.60"

#: Four studies; the first has a CT and an MR series, of two instances and one.
STUDIES = {
    "1": {
        "PatientName": "Smith^John", "PatientID": "PATA001", "PatientBirthDate": "19800203", "StudyDate": "20240115",
        "StudyTime": "101500", "AccessionNumber": "ACC1", "ReferringPhysicianName": "House^Gregory",
        "StudyID": "ST1", "StudyDescription": "Head routine",
    },
    "2": {
        "PatientName": "Smithers^Anna", "PatientID": "PATB001", "PatientBirthDate": "19771224", "StudyDate": "20240131",
        "StudyTime": "235959", "AccessionNumber": "ACC2", "ReferringPhysicianName": "Wilson^James",
        "StudyID": "ST2", "StudyDescription": "Knee",
    },
    "3": {
        "PatientName": "Goldsmith^Eve", "PatientID": "PAT001", "PatientBirthDate": "20010911", "StudyDate": "20240201",
        "StudyTime": "080000", "AccessionNumber": "ACC3", "ReferringPhysicianName": "House^Gregory",
        "StudyID": "ST3", "StudyDescription": "Head follow-up",
    },
    "4": {
        "PatientName": "Jones^Tom", "PatientID": "XPATA001", "PatientBirthDate": "19500505", "StudyDate": "20231231",
        "StudyTime": "120000", "AccessionNumber": "ACC4", "ReferringPhysicianName": "Cuddy^Lisa",
        "StudyID": "ST4", "StudyDescription": "Abdomen",
    },
}  # fmt: skip
SERIES = {
    "1.1": {
        "Modality": "CT", "SeriesNumber": "3", "SeriesDescription": "Axial 5 mm",
        "PerformedProcedureStepStartDate": "20240115",
    },
    "1.2": {
        "Modality": "MR", "SeriesNumber": "4", "SeriesDescription": "Sagittal",
        "PerformedProcedureStepStartDate": "20240116",
    },
    "2.1": {
        "Modality": "MR", "SeriesNumber": "3", "SeriesDescription": "Coronal",
        "PerformedProcedureStepStartDate": "20240131",
    },
    "3.1": {
        "Modality": "CT", "SeriesNumber": "5", "SeriesDescription": "Axial 1 mm",
        "PerformedProcedureStepStartDate": "20240201",
    },
    "4.1": {
        "Modality": "US", "SeriesNumber": "1", "SeriesDescription": "Liver",
        "PerformedProcedureStepStartDate": "20231231",
    },
}  # fmt: skip
INSTANCES = ["1.1.1", "1.1.2", "1.2.1", "2.1.1", "3.1.1", "4.1.1"]
#: So many further studies of nobody in particular make pages necessary.
FILLERS = 210

TAGS = {
    "StudyDate": "00080020", "StudyTime": "00080030", "AccessionNumber": "00080050", "ModalitiesInStudy": "00080061",
    "ReferringPhysicianName": "00080090", "PatientName": "00100010", "PatientID": "00100020",
    "PatientBirthDate": "00100030", "StudyInstanceUID": "0020000D", "StudyID": "00200010",
    "StudyDescription": "00081030", "Modality": "00080060", "SeriesInstanceUID": "0020000E",
    "SeriesNumber": "00200011", "SeriesDescription": "0008103E", "PerformedProcedureStepStartDate": "00400244",
    "SOPInstanceUID": "00080018",
}  # fmt: skip


def uid(short):
    return f"{ROOT}.{short}"


def made(short):
    study, series, _ = short.split(".")
    dataset = dcmread(CT)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(study), uid(f"{study}.{series}")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(short)
    filler = {"PatientName": "Nobody", "PatientID": f"F{study}", "StudyDate": "19990101", "Modality": "OT"}
    for keyword, value in (STUDIES.get(study, filler) | SERIES.get(f"{study}.{series}", {})).items():
        setattr(dataset, keyword, value)
    dataset.PixelData, dataset.Rows, dataset.Columns = b"\0\0", 1, 1
    return dataset


@pytest.fixture(scope="module")
def local():
    with dfr.start_local(token=TOKEN) as service:
        outcome = service.connect().store(
            [
                made(short)
                for short in [*INSTANCES, *(f"{number}.1.1" for number in range(100, 100 + FILLERS))]
            ]
        )
        assert set(outcome["status"]) <= {"stored", "warning"}
        yield service


@pytest.fixture
def get(as_written, local):
    """Send a line or block of the reference; it has no token of its own."""

    def send(block, **names):
        first, _, rest = block.strip().partition("\n")
        rest = rest if "Accept:" in rest else "Accept: application/dicom+json"
        block = f"{first}\n{rest}\nAuthorization: Bearer {TOKEN}"
        return as_written(local.url, block, {f"{{{name}}}": value for name, value in names.items()})

    return send


@pytest.fixture(scope="module")
def client(local):
    return local.connect()


def values_of(short):
    """All attributes of an instance's study and series that can be searched for."""
    study, series, _ = short.split(".")
    return (
        STUDIES[study]
        | SERIES[f"{study}.{series}"]
        | {
            "StudyInstanceUID": uid(study),
            "SeriesInstanceUID": uid(f"{study}.{series}"),
            "SOPInstanceUID": uid(short),
        }
        | {
            "ModalitiesInStudy": [
                each["Modality"] for key, each in SERIES.items() if key.split(".")[0] == study
            ]
        }
    )


def expected(level, **wanted):
    """The oracle: what is stored, looked through value by value."""
    depth = {"study": 1, "series": 2, "instance": 3}[level]
    found = set()
    for short in INSTANCES:
        held = values_of(short)
        if all(_matches(held[keyword], value) for keyword, value in wanted.items()):
            found.add(uid(".".join(short.split(".")[:depth])))
    return sorted(found)


def _matches(held, wanted):
    listed = held if isinstance(held, list) else [held]
    if "-" in wanted and wanted.replace("-", "").isdigit():
        low, _, high = wanted.partition("-")
        return any((low or "0") <= value <= (high or "9" * 8) for value in listed)
    return any(fnmatchcase(value.lower(), wanted.lower()) for value in listed)


LEVELS = {
    "study": ("/v1/studies", "StudyInstanceUID"),
    "series": ("/v1/series", "SeriesInstanceUID"),
    "instance": ("/v1/instances", "SOPInstanceUID"),
}


def check_everywhere(get, client, keyword, value, levels=("study", "series", "instance"), ours=None):
    """Search by a keyword and by its number, at each level, under both versions; then with the client."""
    for level in levels:
        route, own = LEVELS[level]
        right = expected(level, **{keyword: value})
        assert right, "a search that finds nothing shows nothing"
        for name in (keyword, TAGS[keyword]):
            for version in ("v1", "v2"):
                path = route.replace("v1", version)
                said = get(f"GET {path}?{name}={value.replace(' ', '%20')}&limit=200")
                assert said.status == 200, (level, name, said.body)
                assert said.values(TAGS[own]) == right, (level, name, version)
        search = {
            "study": client.search_studies,
            "series": client.search_series,
            "instance": client.search_instances,
        }
        table = search[level](**{keyword: value if ours is None else ours}).to_frame()
        assert sorted(table[own]) == right, level


# -- the four searches -----------------------------------------------------------------------------------------------


@pytest.mark.covers("Search Studies")
def test_search_studies(get, client):
    said = get("""
GET /v1/studies?PatientName=Smith*&StudyDate=20240101-20240131
Accept: application/dicom+json
""")
    assert said.headers["content-type"] == "application/dicom+json"
    assert said.values("0020000D") == [uid("1"), uid("2")]
    table = client.search_studies(PatientName="Smith*", StudyDate=("2024-01-01", "2024-01-31")).to_frame()
    assert sorted(table["StudyInstanceUID"]) == [uid("1"), uid("2")]


@pytest.mark.covers("Search Series")
def test_search_series(get, client):
    said = get(
        """
GET /v1/studies/{studyInstanceUID}/series?Modality=CT
Accept: application/dicom+json
""",
        studyInstanceUID=uid("1"),
    )
    assert said.values("0020000E") == [uid("1.1")]
    assert client.search_series(uid("1"), Modality="CT").to_frame()["SeriesInstanceUID"].tolist() == [
        uid("1.1")
    ]


@pytest.mark.covers("Search Instances")
def test_search_instances(get, client):
    said = get(
        """
GET /v1/studies/{studyUID}/series/{seriesUID}/instances
Accept: application/dicom+json
""",
        studyUID=uid("1"),
        seriesUID=uid("1.1"),
    )
    assert said.values("00080018") == [uid("1.1.1"), uid("1.1.2")]
    table = client.search_instances(uid("1"), uid("1.1")).to_frame()
    assert sorted(table["SOPInstanceUID"]) == [uid("1.1.1"), uid("1.1.2")]


@pytest.mark.covers("Search All Studies")
def test_search_all_studies(get, client):
    said = get("GET /v1/studies?offset=0&limit=100&fuzzymatching=false&includefield=all")
    assert said.status == 200
    assert len(said.json) == 100
    assert all("00100040" in row for row in said.json), "PatientSex comes with includefield=all"
    table = client.search_studies(fuzzy=False, fields="all").to_frame()
    assert len(table) == len(STUDIES) + FILLERS
    assert table["PatientSex"].notna().all()


# -- the tables ------------------------------------------------------------------------------------------------------


def rows(heading, values):
    return [
        pytest.param(*each, id=each[0], marks=pytest.mark.covers(f"{heading}: {each[0]}")) for each in values
    ]


@pytest.mark.parametrize(
    ("keyword", "value"),
    rows(
        "Study Level",
        [
            ("StudyDate", "20240115"),
            ("StudyTime", "101500"),
            ("AccessionNumber", "ACC2"),
            ("ModalitiesInStudy", "MR"),
            ("ReferringPhysicianName", "House^Gregory"),
            ("PatientName", "Smith*"),
            ("PatientID", "PATA001"),
            ("PatientBirthDate", "19771224"),
            ("StudyInstanceUID", uid("1")),
            ("StudyID", "ST3"),
            ("StudyDescription", "Head routine"),
        ],
    ),
)
def test_study_level(get, client, keyword, value):
    """Each parameter of the table, also of series and instances by their study."""
    check_everywhere(get, client, keyword, value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "20240101-20240131"),
        ("StudyTime", "100000-120000"),
        ("PatientBirthDate", "19770101-19801231"),
        ("PatientName", "*smith*"),
        ("ReferringPhysicianName", "House*"),
    ],
)
def test_ranges_and_wildcards_of_the_study_level(get, client, keyword, value):
    check_everywhere(get, client, keyword, value, ours=_ours(keyword, value))


def _ours(keyword, value):
    if keyword == "StudyTime":
        return (dt.time(10), dt.time(12))
    return tuple(value.split("-")) if "-" in value else value


@pytest.mark.parametrize(
    ("keyword", "value"),
    rows(
        "Series Level",
        [
            ("Modality", "CT"),
            ("SeriesInstanceUID", uid("1.2")),
            ("SeriesNumber", "3"),
            ("SeriesDescription", "Axial 5 mm"),
            ("PerformedProcedureStepStartDate", "20240116"),
        ],
    ),
)
def test_series_level(get, client, keyword, value):
    """Each parameter of the table, over all studies and within one, also of instances by their series."""
    check_everywhere(get, client, keyword, value, levels=("series", "instance"))
    within = [each for each in expected("series", **{keyword: value}) if each.startswith(uid("1."))]
    said = get(f"GET /v1/studies/{uid('1')}/series?{keyword}={value.replace(' ', '%20')}")
    assert said.values("0020000E") == within
    table = client.search_series(uid("1"), **{keyword: value}).to_frame()
    assert sorted(table["SeriesInstanceUID"]) == within
    below = get(f"GET /v1/studies/{uid('1')}/instances?{keyword}={value.replace(' ', '%20')}")
    assert below.values("00080018") == [
        each for each in expected("instance", **{keyword: value}) if each.startswith(uid("1."))
    ]


@pytest.mark.covers("Common Parameters: offset")
def test_offset(get, client):
    """Default 0; pages that begin where the one before ended hold everything once."""
    first, again = get("GET /v1/studies?limit=5"), get("GET /v1/studies?offset=0&limit=5")
    assert first.body == again.body
    seen = []
    for offset in range(0, 300, 100):
        seen += get(f"GET /v1/studies?offset={offset}&limit=100").values("0020000D")
    assert len(seen) == len(set(seen)) == len(STUDIES) + FILLERS
    assert get("GET /v1/studies?offset=300").status == 204
    assert get("GET /v1/studies?offset=-1").status == 400
    search = client.search_studies(page_size=50)
    assert sorted(search.to_frame()["StudyInstanceUID"]) == sorted(seen)
    assert search.completeness == "complete"


@pytest.mark.covers("Common Parameters: limit")
def test_limit(get, client):
    """Default 100, at most 200; ours is the total, however many pages that takes."""
    assert len(get("GET /v1/studies").json) == 100
    assert len(get("GET /v1/studies?limit=200").json) == 200
    for wrong in ("0", "201", "-1", "many", ""):
        said = get(f"GET /v1/studies?limit={wrong}")
        assert said.status == 400
        assert "limit" in said.json["error"]["message"]
    search = client.search_studies(limit=205)
    assert len(search.to_frame()) == 205
    assert search.completeness == "truncated"
    with pytest.raises(QueryError):
        client.search_studies(limit=0)


@pytest.mark.covers("Common Parameters: fuzzymatching")
def test_fuzzymatching(get, client):
    """Words of a name by their beginnings, in any case; without it, the name as a whole."""
    fuzzy = get("GET /v1/studies?fuzzymatching=true&PatientName=jo")
    assert fuzzy.values("0020000D") == [uid("1"), uid("4")]
    assert get("GET /v1/studies?fuzzymatching=false&PatientName=jo").status == 204
    assert get("GET /v1/studies?PatientName=jo").status == 204
    assert get("GET /v1/studies?fuzzymatching=maybe&PatientName=jo").status == 400
    for route, tag in (("series", "0020000E"), ("instances", "00080018")):
        assert get(f"GET /v1/{route}?fuzzymatching=true&PatientName=eve%20gold").status == 204
        assert get(f"GET /v1/{route}?fuzzymatching=true&PatientName=gold%20eve").values(tag)
    table = client.search_studies(PatientName="jo", fuzzy=True).to_frame()
    assert sorted(table["StudyInstanceUID"]) == [uid("1"), uid("4")]


@pytest.mark.covers("Common Parameters: includefield")
def test_includefield(get, client):
    """``all``, a keyword, a number, several with commas."""
    [bare] = get("GET /v2/studies?PatientID=PATA001").json
    assert not {"00100040", "00101010", "00080070"} & set(bare)
    for written in ("PatientSex,Manufacturer", "00100040,00080070"):
        [row] = get(f"GET /v2/studies?PatientID=PATA001&includefield={written}").json
        assert set(row) == set(bare) | {"00100040", "00080070"}
    [everything] = get("GET /v2/studies?PatientID=PATA001&includefield=all").json
    assert {"00100040", "00200010", "00080030"} <= set(everything)
    assert get("GET /v2/studies?includefield=NoSuchThing").status == 400
    table = client.search_studies(PatientID="PATA001", fields=["PatientSex", "00080070"]).to_frame()
    assert table[["PatientSex", "Manufacturer"]].notna().all(axis=None)
    assert "PatientSex" in client.search_studies(PatientID="PATA001", fields="all").to_frame()


# -- wildcards and dates ---------------------------------------------------------------------------------------------


def lines(heading, values):
    return [
        pytest.param(*each[1:], id=each[0], marks=pytest.mark.covers(f"{heading}: {each[0]}"))
        for each in values
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    lines(
        "Wildcard Matching",
        [
            ("Prefix match", "GET /v1/studies?PatientName=Smith*", ["1", "2"]),
            ("Contains match", "GET /v1/studies?PatientName=*Smith*", ["1", "2", "3"]),
            ("Single character wildcard", "GET /v1/studies?PatientID=PAT?001", ["1", "2"]),
        ],
    ),
)
def test_wildcard_matching(get, client, line, found):
    assert get(line).values("0020000D") == [uid(each) for each in found]
    keyword, _, value = line.partition("?")[2].partition("=")
    check_everywhere(get, client, keyword, value)


@pytest.mark.parametrize(
    ("line", "found", "ours"),
    lines(
        "Date Range Queries",
        [
            ("Exact date", "GET /v1/studies?StudyDate=20240115", ["1"], dt.date(2024, 1, 15)),
            (
                "Date range",
                "GET /v1/studies?StudyDate=20240101-20240131",
                ["1", "2"],
                (dt.date(2024, 1, 1), "2024-01-31"),
            ),
            ("On or before", "GET /v1/studies?StudyDate=-20240115", ["1", "4"], (None, "20240115")),
            (
                "On or after",
                "GET /v1/studies?StudyDate=20240101-",
                ["1", "2", "3"],
                slice("2024-01-01", None),
            ),
        ],
    ),
)
def test_date_range_queries(get, client, line, found, ours):
    known = {uid(study) for study in STUDIES}
    right = [uid(study) for study in found]
    assert get(line).status == 200
    # The fillers are older than all, so they come only with "on or before", and push the others to a second page.
    pages = [get(f"{line}&limit=200&offset={offset}").values("0020000D") for offset in (0, 200)]
    assert sorted(known & {*pages[0], *pages[1]}) == right
    table = client.search_studies(StudyDate=ours).to_frame()
    assert sorted(known & set(table["StudyInstanceUID"])) == right
    assert len(table) == len(right) + (FILLERS if "=-" in line else 0) == sum(map(len, pages))
    for route in ("series", "instances"):
        assert get(line.replace("/studies", f"/{route}")).status == 200


# -- the example -----------------------------------------------------------------------------------------------------

PYTHON = '''
def search_studies(base_url: str, token: str, **params) -> list:
    """Search for DICOM studies using QIDO-RS."""
    response = requests.get(
        f"{base_url}/v1/studies",
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/dicom+json"
        },
        params=params
    )

    return response.json()

# Example usage
studies = search_studies(
    base_url="https://workspace-dicom.dicom.azurehealthcareapis.com",
    token=token,
    PatientName="Smith*",
    StudyDate="20240101-20240131",
    ModalitiesInStudy="CT",
    limit=50
)

for study in studies:
    patient_name = study.get("00100010", {}).get("Value", [{}])[0].get("Alphabetic", "Unknown")
    study_date = study.get("00080020", {}).get("Value", [""])[0]
    print(f"Patient: {patient_name}, Date: {study_date}")
'''


@pytest.mark.covers("Python Search Example")
def test_python_search_example(executed, local, client, capsys):
    there = "https://workspace-dicom.dicom.azurehealthcareapis.com"
    assert there in PYTHON
    executed(PYTHON.replace(there, local.url), requests=requests, token=TOKEN)
    assert capsys.readouterr().out == "Patient: Smith^John, Date: 20240115\n"

    table = client.search_studies(
        PatientName="Smith*", StudyDate=("2024-01-01", "2024-01-31"), ModalitiesInStudy="CT", limit=50
    ).to_frame()
    assert table["PatientName"].tolist() == ["Smith^John"]
    assert table["StudyDate"].dt.date.tolist() == [dt.date(2024, 1, 15)]
