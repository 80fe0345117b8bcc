"""Recipes: what was written down does the same again, and text from elsewhere can do nothing else."""

from datetime import UTC, date, datetime, time

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.errors import QueryError

VALUES = st.one_of(
    st.text(alphabet="abc0123:-*?'\"#{}[]&!ä ", min_size=1).filter(str.strip),
    st.dates(),
    st.tuples(st.dates(max_value=date(2000, 1, 1)), st.dates(min_value=date(2000, 1, 2))),
    st.tuples(st.none(), st.dates()),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.text(alphabet="abcnoyes01", min_size=1), min_size=1),
)


@given(
    st.dictionaries(
        st.sampled_from(["PatientID", "StudyDate", "InstanceNumber", "grade"]), VALUES, min_size=1
    )
)
def test_any_filter_comes_back(filters):
    cohort = (
        dfr.cohort().step("all").step("some", keep=filters).step("none", without=filters, missing="raise")
    )
    again = dfr.cohort(recipe=cohort.to_yaml())
    assert again.steps == cohort.steps


def test_a_whole_recipe_comes_back_and_does_the_same(cohort_client, tmp_path):
    cohort = (
        dfr.cohort(cohort_client)
        .step("all", fields=["PatientAge", "PatientSex"], StudyDate=("1990-01-01", None), fuzzy=False)
        .step("adults", PatientAge=(18, None))
        .step("no phantoms", without={"PatientID": "*PHANTOM*"})
        .step("one each", last=["StudyDate"], missing="keep")
        .step("with an outcome", join=tmp_path / "o.csv", on="PatientID", how="left")
        .step("series", level="series")
        .step("slices", level="instance")
        .step("thin", metadata=["SliceThickness"], SliceThickness=(None, 5))
    )
    ids = cohort_client.search_studies().to_frame()["PatientID"].dropna().unique()
    pd.DataFrame({"PatientID": ids, "grade": 1}).to_csv(tmp_path / "o.csv", index=False)
    again = dfr.cohort(cohort_client, cohort.to_yaml())
    assert again.to_yaml() == cohort.to_yaml()
    pd.testing.assert_frame_equal(again.to_frame(), cohort.to_frame())
    pd.testing.assert_frame_equal(again.flow(), cohort.flow())


def test_a_file_beside_its_recipe(cohort_client, tmp_path):
    ids = cohort_client.search_studies().to_frame()["PatientID"].dropna().unique()
    pd.DataFrame({"PatientID": ids[:3], "grade": 1}).to_csv(tmp_path / "o.csv", index=False)
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "cohort: 1\nsteps:\n- {name: all}\n- {name: graded, join: o.csv, on: PatientID}\n", encoding="utf-8"
    )
    assert dfr.cohort(cohort_client, path).to_frame()["PatientID"].nunique() == 3


def test_moments_and_numbers_of_numpy_and_pandas():
    filters = {
        "StudyDate": pd.Timestamp("2024-01-15"),
        "AcquisitionDateTime": datetime(2024, 1, 15, 10, 30, tzinfo=UTC),
        "StudyTime": time(10, 30),
        "InstanceNumber": np.int64(3),
        "SliceThickness": np.float32(0.5),
    }
    text = dfr.cohort().step("all").step("some", keep=filters).to_yaml()
    again = dfr.cohort(recipe=text).steps[1].filters
    assert again["InstanceNumber"] == 3
    assert again["SliceThickness"] == 0.5
    assert again["StudyTime"] == "10:30:00"


def test_what_no_text_can_hold():
    base = dfr.cohort().step("all")
    for step in (
        {"keep": lambda table: table["PatientID"] == "1"},
        {"join": pd.DataFrame({"PatientID": ["1"]}), "on": "PatientID"},
        {"PatientID": object()},
    ):
        with pytest.raises(QueryError, match="no recipe can hold"):
            base.step("odd", **step).to_yaml()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has cohort: and steps:"),
        ("[1]", "has cohort: and steps:"),
        ("cohort: 1\nsteps: {}", "has cohort: and steps:"),
        ("cohort: 2\nsteps: []", "another version"),
        ("cohort: 1\nsteps: [1]", "has no name:"),
        ("cohort: 1\nsteps: [{name: 7}]", "has no name:"),
        ("cohort: 1\nsteps: [{name: a, where: {}}]", "'where'"),
        ("cohort: 1\nsteps: [{name: a, keep: [1]}]", "attributes and their values"),
        ("cohort: 1\nsteps: [{name: a, keep: {StudyDate: {since: 1}}}]", "from: and to:"),
        ("cohort: 1\nsteps: [{name: a, keep: {StudyDate: 1, StudyDate: 2}}]", "no YAML"),
        ("cohort: 1\nsteps: &a [*a]", "no YAML"),
        ("cohort: 1\nsteps: [{name: a, keep: {PatientID: 7}}]", "PatientID"),
        ("cohort: !!python/object/apply:os.system ['true']\nsteps: []", "no YAML"),
        ("a: [", "no YAML"),
        ("cohort: 1\nsteps: [{name: a, fuzzy: no}]", "true or false"),
        ("cohort: 1\nsteps: [{name: a, keep: {StudyDate: 2024-99-99}}]", "no YAML"),
        ("[" * 5000, "no YAML"),
        ("#" * 1_000_001, "at most"),
    ],
)
def test_what_is_no_recipe(text, message):
    with pytest.raises(QueryError, match=message):
        dfr.cohort(recipe=text)


def test_it_is_plain_yaml():
    text = dfr.cohort().step("all", PatientID="007", StudyDate=(date(2024, 1, 1), None)).to_yaml()
    assert yaml.safe_load(text)["steps"][0]["keep"] == {
        "PatientID": "007",
        "StudyDate": {"from": date(2024, 1, 1)},
    }


def test_text_without_quotes_stays_what_it_looks_like():
    text = "cohort: 1\nsteps: [{name: a}, {name: on, keep: {PatientID: 007, PatientSex: no, StudyTime: 10:30, x: 1e5}}]"
    filters = dfr.cohort(recipe=text).steps[1].filters
    assert filters == {"PatientID": "007", "PatientSex": "no", "StudyTime": "10:30", "x": "1e5"}
