"""GET of studies, series and instances by attribute, fact by fact (azure-dicom-behaviour.md 28 to 37)."""

from __future__ import annotations

from urllib.parse import quote

import pytest

STUDY_V2 = {"00080020", "00080050", "00080090", "00081030", "00100010", "00100020", "00100030", "0020000D"}
STUDY_V1 = (STUDY_V2 - {"00081030"}) | {"00080005", "00080030", "00100040", "00200010"}
SERIES_V2 = {"00080060", "00081090", "0020000E", "00400244"}
SERIES_V1 = {"00080005", "00080060", "0008103E", "0020000E", "00400244"}
INSTANCE_V2 = {"00080018"}
INSTANCE_V1 = {"00080005", "00080016", "00080018", "00200013", "00280010", "00280011", "00280100"}


@pytest.fixture
def filled(http, dicom):
    """Three studies, stored in their order; the second has two series and three instances."""
    http.stored(
        dicom("1/1/1"),
        dicom(
            "2/1/1",
            PatientName="Müller^Anna=山田^花子",
            PatientID="pat_002",
            StudyDate="20240220",
            Modality="MR",
        ),
        dicom(
            "2/2/1",
            PatientName="Müller^Anna=山田^花子",
            PatientID="pat_002",
            StudyDate="20240220",
            Modality="PT",
        ),
        dicom(
            "2/2/2",
            PatientName="Müller^Anna=山田^花子",
            PatientID="pat_002",
            StudyDate="20240220",
            Modality="PT",
        ),
        dicom(
            "3/1/1",
            PatientName="Smith^Jonathan^Q",
            PatientID="100%[x]",
            StudyDate="20230101",
            StudyTime="0930",
        ),
    )
    return http


def studies(http, *pairs, **filters):
    reply = http.search("studies", *pairs, **filters)
    assert reply.status in {200, 204}, reply.body
    return reply.values("0020000D")


@pytest.mark.covers("fact 34")
def test_newest_first_and_pages(filled):
    assert studies(filled) == ["1.3", "1.2", "1.1"]
    assert studies(filled, limit=2) == ["1.3", "1.2"]
    assert studies(filled, limit=2, offset=2) == ["1.1"]
    assert filled.search("studies", offset=3).status == 204
    assert filled.search("instances", limit=2, offset=1).values("00080018") == ["1.2.2.2", "1.2.2.1"]


@pytest.mark.covers("fact 34")
def test_a_later_instance_does_not_move_its_study_up(filled, dicom):
    filled.stored(dicom("1/1/9"))
    assert studies(filled) == ["1.3", "1.2", "1.1"]


@pytest.mark.parametrize(
    ("route", "prefix", "expected"),
    [
        ("studies", "/v2", STUDY_V2),
        ("studies", "/v1", STUDY_V1),
        ("series", "/v2", STUDY_V2 | SERIES_V2),
        ("series", "/v1", STUDY_V1 | SERIES_V1),
        ("instances", "/v2", STUDY_V2 | SERIES_V2 | INSTANCE_V2),
        ("instances", "/v1", STUDY_V1 | SERIES_V1 | INSTANCE_V1),
        ("studies/1.1/series", "/v2", {"0020000D"} | SERIES_V2),
        ("studies/1.1/series", "/v1", {"0020000D"} | SERIES_V1),
        ("studies/1.1/instances", "/v2", {"0020000D"} | SERIES_V2 | INSTANCE_V2),
        ("studies/1.1/series/1.1.1/instances", "/v2", {"0020000D", "0020000E"} | INSTANCE_V2),
        ("studies/1.1/series/1.1.1/instances", "/v1", {"0020000D", "0020000E"} | INSTANCE_V1),
    ],
)
@pytest.mark.covers("fact 33")
def test_what_comes_back_by_default(http, dicom, route, prefix, expected):
    http.stored(dicom())
    http.prefix = prefix
    reply = http.get(route)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/dicom+json"
    (row,) = reply.json
    assert set(row) == expected
    assert list(row) == sorted(row)
    assert row.get("00080018", {}).get("Value", ["1.1.1.1"]) == ["1.1.1.1"]


def test_the_six_routes(anyhow, dicom):
    anyhow.stored(dicom("1/1/1"), dicom("2/1/1"), dicom("2/2/1"), dicom("2/2/2"))
    assert len(anyhow.get("studies").json) == 2
    assert len(anyhow.get("series").json) == 3
    assert len(anyhow.get("instances").json) == 4
    assert anyhow.get("studies/1.2/series").values("0020000E") == ["1.2.2", "1.2.1"]
    assert anyhow.get("studies/1.2/instances").values("00080018") == ["1.2.2.2", "1.2.2.1", "1.2.1.1"]
    assert anyhow.get("studies/1.2/series/1.2.2/instances").values("00080018") == ["1.2.2.2", "1.2.2.1"]
    assert anyhow.get("studies/1.9/series").status == 204
    assert anyhow.get("studies/1.2/series/1.1.1/instances").status == 204


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"PatientID": "PAT_002"}, ["1.2"]),
        ({"00100020": "pat_002"}, ["1.2"]),
        ({"PatientID": "pat%002"}, []),
        ({"PatientID": "100%[x]"}, ["1.3"]),
        ({"PatientID": "100%*"}, ["1.3"]),
        ({"PatientID": "*[x]"}, ["1.3"]),
        ({"PatientID": "*[x*"}, ["1.3"]),
        ({"PatientID": "PAT?0*"}, ["1.2", "1.1"]),
        ({"PatientID": "P[A]T*"}, []),
        ({"PatientID": "*"}, ["1.3", "1.2", "1.1"]),
        ({"PatientName": "muller^anna"}, ["1.2"]),
        ({"PatientName": "MÜLLER^ANNA"}, ["1.2"]),
        ({"PatientName": "Müll*"}, ["1.2"]),
        ({"PatientName": "山田^花子"}, ["1.2"]),
        ({"PatientName": "山田*"}, ["1.2"]),
        ({"PatientName": "Müller^Anna=山田^花子"}, ["1.2"]),
        ({"PatientName": "Müller^Anna=別人"}, []),
        ({"PatientName": "*^An?a"}, ["1.2"]),
        ({"PatientName": "Smith"}, []),
        ({"PatientName": "*smith*"}, ["1.3"]),
        ({"StudyDescription": "HEAD ROUTINE"}, ["1.3", "1.2", "1.1"]),
        ({"StudyDescription": "Héad routine"}, []),
        ({"StudyDate": "20240220"}, ["1.2"]),
        ({"StudyDate": "20240115-20240220"}, ["1.2", "1.1"]),
        ({"StudyDate": "20240116-"}, ["1.2"]),
        ({"StudyDate": "-20231231"}, ["1.3"]),
        ({"StudyTime": "0930"}, ["1.3"]),
        ({"StudyTime": "10"}, ["1.2", "1.1"]),
        ({"StudyTime": "0900-1000"}, ["1.3"]),
        ({"StudyTime": "1015-1015"}, ["1.2", "1.1"]),
        ({"StudyID": "st1"}, ["1.3", "1.2", "1.1"]),
        ({"ModalitiesInStudy": "pt"}, ["1.2"]),
        ({"ModalitiesInStudy": "C*"}, ["1.3", "1.1"]),
        ({"StudyInstanceUID": "1.3"}, ["1.3"]),
        ({"PatientBirthDate": "19800203", "ModalitiesInStudy": "MR"}, ["1.2"]),
        ({"ReferringPhysicianName": "house^gregory", "AccessionNumber": "a1", "limit": 1}, ["1.3"]),
    ],
)
def test_matching(filled, filters, expected):
    assert studies(filled, *filters.items()) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("jo", ["1.3", "1.1"]),
        ("jo do", []),
        ("do jo", ["1.1"]),
        ("smi jon q", ["1.3"]),
        ("smi q", []),
        ("ohn", []),
        ("ANN", ["1.2"]),
        ("mul", ["1.2"]),
        ("山", ["1.2"]),
        ("Smith*", ["1.3"]),
        ("Smith^Jon*", ["1.3"]),
    ],
)
@pytest.mark.covers("fact 35")
def test_fuzzy_names(filled, value, expected):
    assert studies(filled, PatientName=value, fuzzymatching="true") == expected
    assert studies(filled, PatientName=value, FuzzyMatching="TRUE") == expected


def test_fuzzy_is_for_names_only(filled):
    assert studies(filled, PatientID="pat", fuzzymatching="true") == []


@pytest.mark.covers("fact 35")
def test_fuzzy_phrase_across_given_and_family_name(http, dicom):
    http.stored(dicom(PatientName="John^Doe"))
    assert studies(http, PatientName="jo do", fuzzymatching="true") == ["1.1"]


def test_filters_of_all_levels_at_the_instance_level(filled):
    reply = filled.search("instances", PatientID="pat_002", Modality="PT", SOPInstanceUID="1.2.2.2")
    assert reply.values("00080018") == ["1.2.2.2"]
    assert filled.search("series", PatientID="pat_002", Modality="PT").values("0020000E") == ["1.2.2"]
    assert filled.search("series", SeriesNumber="03", SeriesDescription="axial*", Modality="MR").status == 200
    assert (
        filled.search("studies/1.2/instances", Modality="PT", ManufacturerModelName="scanner one").status
        == 200
    )
    assert (
        filled.search("series", PerformedProcedureStepStartDate="20240116", SeriesInstanceUID="1.2.1").status
        == 200
    )


def test_filter_keys_come_back(filled):
    (row,) = filled.search("studies", StudyTime="0930", ModalitiesInStudy="CT").json
    assert row["00080030"] == {"vr": "TM", "Value": ["0930"]}
    assert row["00080061"] == {"vr": "CS", "Value": ["CT"]}


@pytest.mark.covers("fact 36")
def test_modalities_filter_returns_all_modalities(filled):
    (row,) = filled.search("studies", ModalitiesInStudy="PT").json
    assert row["00080061"]["Value"] == ["MR", "PT"]


@pytest.mark.covers("fact 36")
def test_counts_come_on_request(filled):
    assert "00201208" not in filled.get("studies?includefield=all").json[0]
    fields = "NumberOfStudyRelatedInstances,ModalitiesInStudy"
    rows = filled.get(f"studies?includefield={fields}").json
    assert [(row["00201208"]["Value"], row["00080061"]["Value"]) for row in rows] == [
        ([1], ["CT"]), ([3], ["MR", "PT"]), ([1], ["CT"]),
    ]  # fmt: skip
    rows = filled.get("studies/1.2/series?includefield=00201209").json
    assert [row["00201209"] for row in rows] == [{"vr": "IS", "Value": [2]}, {"vr": "IS", "Value": [1]}]


@pytest.mark.covers("fact 32")
def test_include_fields(filled):
    row = filled.get("studies?limit=1&includefield=PatientSex&includefield=00280010,Modality").json[0]
    assert set(row) == STUDY_V2 | {"00100040", "00280010", "00080060"}
    assert row["00280010"] == {"vr": "US", "Value": [2]}
    everything = filled.get("studies?limit=1&IncludeField=ALL").json[0]
    assert set(everything) == STUDY_V2 | {"00080005", "00080030", "00100040", "00200010"}
    everything = filled.get("studies/1.1/instances?includefield=all").json[0]
    assert set(everything) == {"0020000D", "00080005", "00200011", "0008103E"} | SERIES_V2 | INSTANCE_V1


@pytest.mark.covers("fact 32")
def test_an_include_field_takes_the_newest_instances_value(filled, dicom):
    filled.stored(dicom("2/1/2", PatientName="X", raw={"00100040": ("CS", "F")}))
    assert filled.get("studies?includefield=PatientSex").values("00100040") == ["M", "F", "M"]
    assert filled.get("studies/1.2/series?includefield=PatientSex").values("00100040") == ["M", "F"]


@pytest.mark.covers("fact 15")
def test_only_the_first_value_is_searched(http, dicom):
    http.stored(dicom(AccessionNumber="A1\\B2"))
    assert studies(http, AccessionNumber="A1") == ["1.1"]
    assert studies(http, AccessionNumber="B2") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("PatientsName=x", "did you mean PatientName"),
        ("patientname=x", "did you mean PatientName"),
        ("Rows=2", "Rows cannot be searched"),
        ("00091001=2", "00091001 cannot be searched"),
        ("foo=1", "'foo' is no attribute"),
        ("=1", "'' is no attribute"),
        ("Modality=CT", "Modality cannot be searched by here"),
        ("SOPInstanceUID=1.2", "SOPInstanceUID cannot be searched by here"),
        ("ReferencedRequestSequence.AccessionNumber=1", "no attribute"),
        ("PatientID=1&PatientID=2", "PatientID is given twice"),
        ("PatientID=1&00100020=2", "PatientID is given twice"),
        ("PatientID=", "PatientID has no value"),
        ("PatientID", "PatientID has no value"),
        ("PatientID=%20%20", "PatientID has no value"),
        ("PatientID=a%00b", "control characters"),
        ("PatientID=%FF", "percent-encoded UTF-8"),
        ("StudyDate=2024-01-15", "YYYYMMDD"),
        ("StudyDate=20240230", "YYYYMMDD"),
        ("StudyDate=2024", "YYYYMMDD"),
        ("StudyDate=-", "at least one"),
        ("StudyDate=20240201-20240101", "end lies before its start"),
        ("StudyDate=20240101-20240201-20240301", "YYYYMMDD"),
        ("StudyDate=2024*", "YYYYMMDD"),
        ("StudyTime=25", "HHMMSS"),
        ("StudyInstanceUID=1.2,1.3", "one UID"),
        ("StudyInstanceUID=1.2*", "one UID"),
        ("limit=0", "from 1 to 200"),
        ("limit=201", "from 1 to 200"),
        ("limit=-1", "from 1 to 200"),
        ("limit=1.5", "from 1 to 200"),
        ("limit=", "from 1 to 200"),
        ("limit=%D9%A1", "from 1 to 200"),
        ("limit=1&Limit=2", "limit is given twice"),
        ("offset=-1", "from 0"),
        ("offset=99999999999999999999", "from 0"),
        ("fuzzymatching=1", "true or false"),
        ("fuzzymatching=true&PatientName=%22jo%22", '\'"\''),
        ("fuzzymatching=true&PatientName=%5E", "must hold a word"),
        ("includefield=PatientsSex", "PatientsSex"),
        ("includefield=patientsex", "patientsex"),
        ("includefield=", "'all'"),
        ("includefield=0008ZZZZ", "'all'"),
        ("includefield=00080003", "'all'"),
        ("includefield=all&includefield=PatientSex", "stands alone"),
        ("includefield=all,PatientSex", "stands alone"),
        ("&".join(f"x{number}=1" for number in range(300)), "200 parameters"),
    ],
)  # fmt: skip
@pytest.mark.covers("fact 28", "fact 29", "fact 31", "fact 35", "fact 37")
def test_refusals(filled, query, words):
    reply = filled.get(f"studies?{query}")
    assert reply.status == 400
    assert words in reply.message


@pytest.mark.parametrize(
    ("route", "key"),
    [
        ("studies/1.2/series", "PatientID"),
        ("studies/1.2/series", "StudyInstanceUID"),
        ("studies/1.2/series", "ModalitiesInStudy"),
        ("studies/1.2/instances", "PatientName"),
        ("studies/1.2/series/1.2.1/instances", "Modality"),
        ("studies/1.2/series/1.2.1/instances", "SeriesInstanceUID"),
    ],
)
@pytest.mark.covers("fact 29", "fact 30")
def test_levels_are_strict(filled, route, key):
    reply = filled.search(route, (key, "1.2"))
    assert reply.status == 400
    assert key in reply.message
    assert "Accepted are" in reply.message


@pytest.mark.covers("fact 28")
@pytest.mark.parametrize("control", ["LIMIT=1", "Limit=1", "OFFSET=2", "FuzzyMatching=TRUE&PatientName=ann",
                                     "IncludeField=All&limit=1", "INCLUDEFIELD=PatientSex&Offset=2"])  # fmt: skip
def test_controls_have_no_letter_case(filled, control):
    lower = control.replace("TRUE", "true").replace("All", "all")
    name, _, rest = lower.partition("=")
    assert filled.get(f"studies?{control}").json == filled.get(f"studies?{name.lower()}={rest}").json
    assert len(filled.get(f"studies?{control}").json) == 1


@pytest.mark.covers("fact 28")
@pytest.mark.parametrize(
    "query", ["patientID=1", "PATIENTID=1", "includefield=patientSex", "includefield=PATIENTSEX"]
)
def test_keywords_have_letter_case(filled, query):
    reply = filled.get(f"studies?{query}")
    assert reply.status == 400
    assert "case-sensitive" in reply.message
    assert filled.get("studies?0020000d=1.1").status == 200


@pytest.mark.covers("fact 29")
@pytest.mark.parametrize(
    ("route", "key"),
    [("studies/1.2/series", "StudyInstanceUID"), ("studies/1.2/series", "0020000D"),
     ("studies/1.2/instances", "StudyInstanceUID"), ("studies/1.2/series/1.2.1/instances", "0020000E"),
     ("studies/1.2/series/1.2.1/instances", "StudyInstanceUID")],
)  # fmt: skip
def test_a_uid_of_the_path_is_no_filter(filled, route, key):
    reply = filled.search(route, (key, "1.2"))
    assert reply.status == 400
    assert "cannot be searched by here" in reply.message


@pytest.mark.covers("fact 32")
@pytest.mark.parametrize(
    ("route", "field", "values"),
    [
        ("studies", "SOPInstanceUID", ["1.3.1.1", "1.2.2.2", "1.1.1.1"]),
        ("studies", "00280010", [2, 2, 2]),
        ("series", "InstanceNumber", [1, 1, 1, 1]),
        ("studies/1.2/series", "PatientID", ["pat_002", "pat_002"]),
        ("studies/1.2/series/1.2.2/instances", "StudyDate", ["20240220", "20240220"]),
        ("studies", "00091001", [None, None, None]),
    ],
)  # fmt: skip
def test_any_tag_may_be_included_at_any_level(filled, route, field, values):
    from dicomframe.dicom.tags import attribute

    reply = filled.get(f"{route}?includefield={field}")
    assert reply.status == 200
    assert reply.values(attribute(field).tag) == values


@pytest.mark.covers("fact 32")
def test_a_private_tag_may_be_included(http, dicom):
    http.stored(dicom(raw={"00090010": ("LO", "ACME"), "00091001": ("LO", "private")}))
    assert http.get("studies?includefield=00091001").values("00091001") == ["private"]


@pytest.mark.covers("fact 34")
@pytest.mark.parametrize(
    ("route", "tag", "order"),
    [("studies", "0020000D", ["1.3", "1.2", "1.1"]), ("series", "0020000E", ["1.3.1", "1.2.2", "1.2.1", "1.1.1"]),
     ("instances", "00080018", ["1.3.1.1", "1.2.2.2", "1.2.2.1", "1.2.1.1", "1.1.1.1"])],
)  # fmt: skip
def test_the_newest_comes_first_at_every_level(filled, route, tag, order):
    assert filled.get(route).values(tag) == order
    assert filled.search(route, limit=2, offset=1).values(tag) == order[1:3]


@pytest.mark.parametrize(
    ("value", "found"),
    [("müller^ANNA", True), ("MULLER^anna", True), ("muller^ännä", True), ("Mueller^Anna", False)],
)
def test_names_match_without_case_and_accents(filled, value, found):
    assert studies(filled, PatientName=value) == (["1.2"] if found else [])


@pytest.mark.parametrize(
    ("value", "found"), [("Größe", True), ("GRÖSSE", True), ("Grosse", False), ("größe", True)]
)
def test_other_text_matches_without_case_and_with_accents(http, dicom, value, found):
    http.stored(dicom(StudyDescription="Größe"))
    assert studies(http, StudyDescription=value) == (["1.1"] if found else [])


@pytest.mark.parametrize(
    ("query", "words"),
    [("SeriesNumber=abc", "whole number"), ("SeriesNumber=1.5", "whole number"),
     ("PerformedProcedureStepStartDate=x", "YYYYMMDD"), ("SeriesInstanceUID=x", "one UID")],
)  # fmt: skip
def test_refusals_of_series_filters(filled, query, words):
    reply = filled.get(f"series?{query}")
    assert reply.status == 400
    assert words in reply.message


@pytest.mark.parametrize("key", ["StudyTime", "StudyID"])
def test_a_strict_service_lacks_the_references_filters(strict, key):
    reply = strict.search("studies", (key, "10"))
    assert reply.status == 400
    assert key in reply.message
    assert strict.search("series", SeriesNumber="3").status == 400


def test_a_strict_service_takes_wildcards_literally(strict, dicom):
    strict.stored(dicom(PatientID="PAT*"))
    assert studies(strict, PatientID="PA*") == []
    assert studies(strict, PatientID="PAT*") == ["1.1"]


def test_values_that_sql_or_patterns_might_trip_over(http, dicom):
    nasty = ["%", "_", "[", "]", "[^a]", "'", '"', "';--", "\\n", "a'b", "{}", "?*["]
    for number, value in enumerate(nasty, start=1):
        http.stored(
            dicom(f"{number}/1/1", StudyDescription=value.replace("\\", "/"), PatientName=f"{value[0]}^x")
        )
    for number, value in enumerate(nasty, start=1):
        if not {"*", "?", "\\"} & set(value):
            assert studies(http, StudyDescription=value) == [f"1.{number}"]
            assert f"1.{number}" in studies(http, StudyDescription=f"*{value}*")
        if value[0] not in "*?\\":
            assert f"1.{number}" in studies(http, PatientName=f"{value[0]}^*")
    assert len(studies(http, StudyDescription="*")) == len(nasty)


def test_names_with_pattern_characters_in_their_other_groups(http, dicom):
    http.stored(dicom("1/1/1", PatientName="A=[b]=c"), dicom("2/1/1", PatientName="A=b=c"))
    assert studies(http, PatientName="[b]") == ["1.1"]
    assert studies(http, PatientName="b") == ["1.2"]
    assert studies(http, PatientName="a=[b]*") == ["1.1"]


def test_invalid_percent_text_and_surrogates(http):
    for query in ("PatientName=%ED%A0%80", "PatientName=%C3%28", "%FF=1"):
        assert http.get(f"studies?{query}").status == 400
    assert http.get(f"studies?PatientName={quote('😀')}").status == 204


@pytest.mark.covers("fact 16")
def test_accept_of_a_search(filled, strict):
    assert filled.get("studies", accept=None).status == 200
    for route in (
        "series",
        "instances",
        "studies/1.1/series",
    ):  # the reference asks for these with the header
        assert filled.get(route, accept=None).status == 406
    assert filled.get("studies", accept="application/json").headers["content-type"] == "application/json"
    assert filled.get("studies", accept="text/html, application/dicom+json;q=0.1").status == 200
    refused = filled.get("studies", accept="application/dicom+xml")
    assert refused.status == 406
    assert "application/dicom+json" in refused.message
    assert filled.get("studies", accept="application/dicom+json;q=0").status == 406
    assert strict.get("studies", accept=None).status == 406
    assert strict.get("studies").status == 204


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        ("application/json, application/dicom+json", "application/json"),
        ("application/json;q=0.9, application/dicom+json", "application/dicom+json"),
        ("*/*, application/json", "application/dicom+json"),
        ("application/*;q=0.2, application/json;q=0.1", "application/dicom+json"),
        # The range that names a type most closely decides (RFC 9110 section 12.5.1): what is refused stays refused.
        ("application/dicom+json;q=0, */*", "application/json"),
        ("*/*, application/dicom+json;q=0.5", "application/json"),
        ("application/*;q=0, */*", None),
    ],
)
def test_what_an_accept_header_likes_best(filled, accept, sent):
    reply = filled.get("studies", accept=accept)
    assert (reply.headers["content-type"] if reply.status == 200 else None) == sent


@pytest.mark.covers("fact 33")
def test_all_fields_of_v1_are_no_fewer_than_those_of_v2(v1, filled):
    old = v1.get("series?includefield=all&StudyInstanceUID=1.1").json
    new = filled.get("series?includefield=all&StudyInstanceUID=1.1").json
    assert "00081030" in new[0]
    assert [row.keys() for row in old] == [row.keys() for row in new]


def test_person_names_with_all_groups_come_back(filled):
    row = filled.search("studies", StudyInstanceUID="1.2").json[0]
    assert row["00100010"]["Value"] == [{"Alphabetic": "Müller^Anna", "Ideographic": "山田^花子"}]


def test_modalities_follow_what_happens_to_series(filled):
    assert filled("DELETE", "studies/1.2/series/1.2.2").status == 204
    assert studies(filled, ModalitiesInStudy="PT") == []
    assert studies(filled, ModalitiesInStudy="?T") == ["1.3", "1.1"]
    (row,) = filled.get("studies?StudyInstanceUID=1.2&includefield=ModalitiesInStudy").json
    assert row["00080061"]["Value"] == ["MR"]


def test_a_narrow_filter_beside_wide_ones(http, dicom, monkeypatch):
    """Whatever way the search goes, its rows are the same."""
    http.stored(
        *[dicom(f"{n}/{n % 3}/1", PatientID=f"P{n % 7}", Modality=("CT", "MR")[n % 2]) for n in range(30)]
    )
    asked = [
        http.search(
            level, PatientID="p3", Modality="MR", StudyDate="20240115-", limit=3, offset=offset
        ).values("0020000D")
        for level in ("series", "instances")
        for offset in (0, 2)
    ]
    assert asked == [["1.17", "1.3"], [], ["1.17", "1.3"], []]
    monkeypatch.setattr("dicomframe.service.selection.NARROW", 0)
    monkeypatch.setattr("dicomframe.service.index.NARROW", 0)
    walked = [
        http.search(
            level, PatientID="p3", Modality="MR", StudyDate="20240115-", limit=3, offset=offset
        ).values("0020000D")
        for level in ("series", "instances")
        for offset in (0, 2)
    ]
    assert walked == asked


@pytest.mark.covers("fact 37", "fact 38")
def test_a_misspelt_date_is_answered_in_the_references_words(http):
    assert http.get("studies?StudyDate=2024-01-15").json == {
        "error": {
            "code": "RequestValidationError",
            "message": "Invalid StudyDate format",
            "details": [{"code": "InvalidDateFormat", "message": "Expected YYYYMMDD, received: 2024-01-15"}],
        }
    }
    time = http.get("studies?StudyTime=9:30").json["error"]
    assert (time["message"], time["details"]) == (
        "Invalid StudyTime format",
        [{"code": "InvalidTimeFormat", "message": "Expected HHMMSS.FFFFFF, received: 9:30"}],
    )
    backwards = http.get("studies?StudyDate=20240131-20240101").json["error"]
    assert backwards["details"][0]["code"] == "InvalidRange"


@pytest.mark.parametrize(
    "query", ["PatientBirthDate=1980-02-03", "StudyDate=Smith^John", "StudyDate=1980 Smith"]
)
def test_what_may_identify_is_not_repeated(http, query):
    reply = http.get(f"studies?{query.replace(' ', '%20')}")
    assert reply.status == 400
    assert "YYYYMMDD" in reply.message
    assert not any(word in reply.message for word in ("1980", "Smith", "02-03"))
