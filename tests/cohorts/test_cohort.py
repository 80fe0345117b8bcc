"""Steps, what they leave, what they take away and why: no row is lost without a word."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread, examples
from pydicom.uid import generate_uid

import dicomframe as dfr
from dicomframe.cohorts.running import Outcome, run_step
from dicomframe.errors import IncompleteRetrievalWarning, NoClientError, QueryError, TableError


@pytest.fixture(scope="module")
def gaps():
    """Give a cohort of which some have no sex, and one no date."""
    with dfr.start_local() as local:
        client = local.connect(progress=False)
        file = dcmread(examples.get_path("ct"))
        for number, sex in enumerate(["F", "F", "M", "O", "", "", "F", "M"]):
            file.PatientID, file.PatientSex = f"P{number % 5}", sex
            file.StudyDate = "" if number == 3 else f"2024010{number + 1}"
            file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
            file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            client.store([file])
        yield dfr.cohort(client).step("everyone", fields=["PatientSex", "ModalitiesInStudy"])


def outcome_of(table, **step):
    """Run one step on a table."""
    made = dfr.cohort().step("all").step("step", **step).steps[1]
    return run_step(made, Outcome(table, table.iloc[:0], table.dicom.issues()), None)


@pytest.fixture
def everyone(cohort_client):
    return dfr.cohort(cohort_client).step(
        "everyone", fields=["PatientAge", "PatientSex", "ModalitiesInStudy"]
    )


def test_nothing_is_asked_before_a_result_is_wanted():
    cohort = dfr.cohort().step("all").step("women", PatientSex="F")
    assert [step.action for step in cohort.steps] == ["search", "keep"]
    with pytest.raises(NoClientError, match=r"dfr\.cohort\(client"):
        cohort.to_frame()


def test_each_row_of_a_step_is_left_or_removed(everyone):
    adults = everyone.step("adults", PatientAge=(18, None))
    before, after, gone = everyone.to_frame(), adults.to_frame(), adults.removed("adults")
    assert 0 < len(gone) < len(before)
    uids = [*after["StudyInstanceUID"], *gone["StudyInstanceUID"]]
    assert sorted(uids) == sorted(before["StudyInstanceUID"])
    assert (after["PatientAge"].dicom.years >= 18).all()
    assert set(gone["why"]) <= {
        "PatientAge does not match",
        "PatientAge is missing",
        "PatientAge cannot be compared",
    }
    assert after.dtypes.equals(before.dtypes)


def test_the_flow_counts(everyone):
    series = everyone.step("CT series", level="series", Modality="CT")
    instances = series.step("slices", level="instance")
    flow = instances.flow().set_index("step")
    table = instances.to_frame()
    assert flow.loc["slices", "rows"] == flow.loc["slices", "instances"] == len(table)
    assert (
        flow.loc["slices", "series"] == flow.loc["CT series", "rows"] == table["SeriesInstanceUID"].nunique()
    )
    assert flow.loc["CT series", "patients"] == table["PatientID"].nunique()
    assert flow.loc["everyone", "rows"] - flow.loc["CT series", "removed"] == flow.loc["CT series", "studies"]
    assert set(series.removed("CT series")["why"]) == {"no series was found"}
    assert pd.isna(flow.loc["everyone", "instances"])
    assert flow["completeness"].tolist()[0] == "complete"
    # What is known of the study goes down with its series and instances.
    assert table["PatientSex"].notna().any()
    sexes = everyone.to_frame().set_index("StudyInstanceUID")["PatientSex"]
    assert (table["PatientSex"].fillna("") == table["StudyInstanceUID"].map(sexes).fillna("")).all()


def test_going_up_again(everyone):
    up = everyone.step("CT series", level="series", Modality="CT").step("their studies", level="study")
    assert up.to_frame()["StudyInstanceUID"].is_unique
    assert up.flow()["rows"].tolist()[-1] == up.flow()["studies"].tolist()[1]


@pytest.mark.parametrize("several", [True, False])
def test_what_goes_up_is_what_is_known_of_the_study(several):
    with dfr.start_local() as local:
        client = local.connect(progress=False)
        file = dcmread(examples.get_path("ct"))
        for _ in range(2 if several else 1):
            file.SeriesInstanceUID = generate_uid()
            file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            client.store([file])
        of_patients = pd.DataFrame({"PatientID": [file.PatientID], "died": [True]})
        uids = client.search_series().to_frame()["SeriesInstanceUID"].tolist()
        of_series = pd.DataFrame({"SeriesInstanceUID": uids, "grade": range(len(uids))})
        series = (
            dfr.cohort(client)
            .step("all", fields=["PatientSex"])
            .step("series", level="series", fields=["SeriesNumber"])
            .step("of patients", join=of_patients, on="PatientID")
            .step("of series", join=of_series, on="SeriesInstanceUID")
        )
        assert {"died", "grade", "SeriesNumber", "PatientSex"} <= set(series.to_frame())
        studies = series.step("studies", level="study").to_frame()
        assert studies["died"].tolist() == [True]
        assert studies["PatientSex"].tolist() == [file.PatientSex]
        assert not {"SeriesInstanceUID", "Modality", "SeriesNumber", "grade"} & set(studies)


def test_what_could_not_be_retrieved_is_told_apart():
    with dfr.start_local() as local:
        client = local.connect(progress=False)
        file = dcmread(examples.get_path("ct"))
        for _ in range(2):
            file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            client.store([file])
        slices = dfr.cohort(client).step("slices", level="instance")
        assert len(slices.to_frame()) == 2
        client.delete(file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID)
        known = slices.step("known", metadata=["KVP"], KVP=(1, None))
        kept = slices.step("kept", metadata=["KVP"], KVP=(1, None), missing="keep").step("later", KVP=120)
        with pytest.warns(IncompleteRetrievalWarning):
            assert known.flow()["unreadable"].tolist() == [0, 1]
        with pytest.warns(IncompleteRetrievalWarning):
            assert kept.flow()["unreadable"].tolist() == [0, 1, 1]
        why = ["KVP could not be retrieved"]
        assert known.removed("known")["why"].tolist() == kept.removed("later")["why"].tolist() == why
        issues = known.issues().set_index("SOPInstanceUID")
        assert issues.loc[file.SOPInstanceUID, "reason"].startswith("could not be retrieved: 404")


def test_a_step_is_done_once_and_shared(cohort_client, monkeypatch):
    asked = []
    search = type(cohort_client).search_studies
    monkeypatch.setattr(
        type(cohort_client),
        "search_studies",
        lambda *given, **named: asked.append(1) or search(*given, **named),
    )
    base = dfr.cohort(cohort_client).step("all", fields=["PatientSex"])
    women, men = base.step("women", PatientSex="F"), base.step("men", PatientSex="M")
    assert len(women.to_frame()) + len(men.to_frame()) <= len(base.to_frame())
    women.flow(), men.removed("men")
    assert len(asked) == 1


def test_a_result_that_is_changed_changes_no_cohort(everyone):
    table = everyone.to_frame()
    table["PatientID"] = "x"
    table.attrs["dicom"]["completeness"] = "truncated"
    assert "x" not in set(everyone.to_frame()["PatientID"])
    assert everyone.step("next", PatientID="*").to_frame().attrs["dicom"]["completeness"] == "complete"


def test_without_keeps_what_cannot_be_said(gaps):
    table = gaps.to_frame()
    left = gaps.step("no women", without={"PatientSex": "F"})
    assert len(left.to_frame()) == (table["PatientSex"].fillna("") != "F").sum()
    strict = gaps.step("surely none", without={"PatientSex": "F"}, missing="drop")
    assert len(strict.to_frame()) == table["PatientSex"].isin(["M", "O"]).sum()
    unknown = int(table["PatientSex"].isna().sum())
    assert unknown > 0
    assert left.flow()["unknown"].tolist() == strict.flow()["unknown"].tolist() == [0, unknown]
    assert (strict.removed("surely none")["why"] == "PatientSex is missing").sum() == unknown
    # Only what matches all of it goes.
    both = gaps.step("both", without={"PatientSex": "F", "ModalitiesInStudy": "CT"})
    assert set(both.removed("both")["PatientSex"]) == {"F"}


def test_missing_can_stay_or_be_refused(gaps):
    table = gaps.to_frame()
    kept = gaps.step("women or unknown", PatientSex="F", missing="keep")
    assert len(kept.to_frame()) == table["PatientSex"].isin(["F"]).sum() + table["PatientSex"].isna().sum()
    with pytest.raises(TableError, match="cannot say of"):
        gaps.step("women", PatientSex="F", missing="raise").to_frame()


def test_a_function_keeps(everyone):
    kept = everyone.step("odd", keep=lambda table: table["PatientID"].str.len() % 2 == 1)
    assert len(kept.to_frame()) + len(kept.removed("odd")) == len(everyone.to_frame())
    assert set(kept.removed("odd")["why"]) <= {"the function does not match", "the answer is missing"}
    for answer in (lambda table: True, lambda table: [True], lambda table: ["x"] * len(table)):
        with pytest.raises(TableError, match="True, False or NA for each row"):
            everyone.step("bad", keep=answer).to_frame()


def test_a_value_that_cannot_be_compared_is_told():
    ages = ("042Y", "N-A", "")
    table = dfr.from_json(
        [
            {
                "00100020": {"vr": "LO", "Value": [str(at)]},
                "00101010": {"vr": "AS", "Value": [age]} if age else {"vr": "AS"},
            }
            for at, age in enumerate(ages)
        ]
    )
    outcome = outcome_of(table, PatientAge=(18, None))
    assert outcome.table["PatientID"].tolist() == ["0"]
    assert outcome.removed["why"].tolist() == ["PatientAge cannot be compared", "PatientAge is missing"]
    assert (outcome.unknown, outcome.unreadable) == (2, 0)


def test_an_issue_is_called_unreadable(everyone):
    table = dfr.from_json(
        [
            {"0020000D": {"vr": "UI", "Value": [f"1.{at}"]}, "00080020": {"vr": "DA", "Value": [text]}}
            for at, text in enumerate(("20240115", "yesterday", ""))
        ]
    )
    outcome = outcome_of(table, StudyDate=("2024-01-01", None))
    assert outcome.removed["why"].tolist() == ["StudyDate could not be read", "StudyDate is missing"]
    assert (outcome.unknown, outcome.unreadable) == (2, 1)


def test_metadata_is_read_for_instances(cohort_client):
    slices = (
        dfr.cohort(cohort_client)
        .step("CT", ModalitiesInStudy="CT")
        .step("series", level="series", Modality="CT")
        .step("slices", level="instance")
    )
    thin = slices.step("thin", metadata=["SliceThickness"], SliceThickness=(None, 3))
    assert (thin.to_frame()["SliceThickness"] <= 3).all()
    assert len(thin.to_frame()) + len(thin.removed("thin")) == len(slices.to_frame())
    assert "SliceThickness" in thin.removed("thin")
    none = slices.step("none", PatientID="nobody").step("thin", metadata=["KVP"], KVP=120)
    assert len(none.to_frame()) == 0


class TestJoin:
    def outcomes(self, everyone):
        ids = everyone.to_frame()["PatientID"].dropna().unique()
        return pd.DataFrame({"PatientID": ids[::2], "died": np.arange(len(ids[::2])) % 2 == 0})

    def test_rows_without_a_partner_go(self, everyone):
        outcomes = self.outcomes(everyone)
        joined = everyone.step("with an outcome", join=outcomes, on="PatientID")
        table = everyone.to_frame()
        expected = table["PatientID"].isin(outcomes["PatientID"])
        assert 0 < expected.sum() < len(table)
        assert len(joined.to_frame()) == expected.sum()
        assert joined.to_frame()["died"].notna().all()
        why = joined.removed("with an outcome")["why"].value_counts()
        assert why["not in the joined table"] == (~expected & table["PatientID"].notna()).sum()
        dead = joined.step("died", keep={"died": True})
        assert dead.to_frame()["died"].all()

    def test_or_stay(self, everyone):
        joined = everyone.step("outcome", join=self.outcomes(everyone), on="PatientID", how="left")
        assert len(joined.to_frame()) == len(everyone.to_frame())
        assert joined.to_frame()["died"].isna().any()

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_files(self, everyone, tmp_path, suffix):
        outcomes = self.outcomes(everyone)
        path = tmp_path / f"outcomes.{suffix}"
        outcomes.to_csv(path, index=False) if suffix == "csv" else outcomes.to_parquet(path)
        joined = everyone.step("outcome", join=path, on="PatientID")
        assert len(joined.to_frame()) == everyone.to_frame()["PatientID"].isin(outcomes["PatientID"]).sum()

    def test_identifiers_keep_their_zeros(self, tmp_path):
        table = dfr.from_json(
            [{"00100020": {"vr": "LO", "Value": ["007"]}}, {"00100020": {"vr": "LO", "Value": ["7"]}}]
        )
        path = tmp_path / "o.csv"
        path.write_text("PatientID,grade\n007,2\n")
        outcome = outcome_of(table, join=path, on="PatientID")
        assert outcome.table[["PatientID", "grade"]].to_numpy().tolist() == [["007", 2]]

    def test_what_would_double_or_hide_rows_is_refused(self, everyone):
        outcomes = self.outcomes(everyone)
        cases = {
            "must have one row each": pd.concat([outcomes, outcomes]),
            "is in both tables": outcomes.assign(StudyDate=1),
            "leading zeros": pd.DataFrame({"PatientID": [1, 2]}),
            "the joined table has no column": pd.DataFrame({"patient": ["1"]}),
        }
        for message, table in cases.items():
            with pytest.raises(TableError, match=message):
                everyone.step("outcome", join=table, on="PatientID").to_frame()
        with pytest.raises(TableError, match="the cohort has no column"):
            everyone.step("outcome", join=pd.DataFrame({"id": ["1"]}), on="id").to_frame()
        with pytest.raises(TableError, match=r"\.csv or \.parquet"):
            everyone.step("outcome", join="o.xlsx", on="PatientID").to_frame()

    def test_missing_keys_are_no_partners(self):
        table = dfr.from_json([{"00100020": {"vr": "LO"}}, {"00100020": {"vr": "LO", "Value": ["1"]}}])
        other = pd.DataFrame({"PatientID": [None, "1"], "grade": [1, 2]})
        outcome = outcome_of(table, join=other, on="PatientID")
        assert outcome.table["grade"].tolist() == [2]
        assert outcome.removed["why"].tolist() == ["PatientID is missing"]


@pytest.mark.parametrize("action", ["first", "last"])
def test_one_row_a_patient(everyone, gaps, action):
    table = gaps.to_frame()
    one = gaps.step("one each", **{action: "StudyDate"})
    assert one.removed("one each")["why"].tolist().count("StudyDate is missing") == 1
    assert len(one.to_frame()) == table.dropna(subset=["StudyDate"])["PatientID"].nunique()
    assert (
        len(gaps.step("or unknown", **{action: "StudyDate"}, missing="keep").to_frame())
        == len(one.to_frame()) + 1
    )
    one = everyone.step("one each", **{action: "StudyDate"})
    table = everyone.to_frame().dropna(subset=["StudyDate", "PatientID"])
    by_patient = table.groupby("PatientID")["StudyDate"]
    expected = by_patient.min() if action == "first" else by_patient.max()
    found = one.to_frame().set_index("PatientID")["StudyDate"]
    assert found.index.is_unique
    assert found.sort_index().tolist() == expected.sort_index().tolist()
    assert f"not the {action} by StudyDate" in set(one.removed("one each")["why"])


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["20240101", "20240202", None])),
        max_size=12,
    ),
    st.randoms(),
)
def test_the_choice_among_equals_does_not_hang_on_the_order_of_rows(rows, chance):
    def attribute(vr, value):
        return {"vr": vr, "Value": [value]} if value else {"vr": vr}

    listed = [
        {
            "0020000D": {"vr": "UI", "Value": [f"1.{at}"]},
            "00100020": attribute("LO", patient),
            "00080020": attribute("DA", day),
        }
        for at, (patient, day) in enumerate(rows)
    ]

    def chosen(listed):
        table = dfr.from_json(listed, level="study")
        outcome = outcome_of(table, first="StudyDate")
        assert len(outcome.table) + len(outcome.removed) == len(table)
        return set(outcome.table["StudyInstanceUID"])

    shuffled = list(listed)
    chance.shuffle(shuffled)
    assert chosen(listed) == chosen(shuffled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "says nothing"),
        ({"PatientSex": "F", "without": {"PatientSex": "M"}}, "says keep, without"),
        ({"level": "series", "first": "StudyDate"}, "says search, first"),
        ({"first": "StudyDate", "last": "StudyDate"}, "says first, last"),
        ({"level": "patient"}, "level= is one of"),
        ({"PatientSex": "F", "missing": "ignore"}, "missing= is one of"),
        ({"join": "x.csv"}, "needs on="),
        ({"PatientSex": "F", "on": "PatientID"}, "needs join="),
        ({"join": "x.csv", "on": "PatientID", "how": "outer"}, "how= is one of"),
        ({"patient_sex": "F"}, "no DICOM keyword"),
        ({"PatientsSex": "F"}, "PatientSex"),
        ({"PatientSex": "F", "fuzzy": True}, "belong to a search"),
        ({"KVP": 120, "metadata": ["KVP"]}, "level='instance'"),
        ({"level": "series", "keep": lambda table: True}, "by a function in a step behind it"),
        ({"PatientSex": "F", "keep": lambda table: True}, "not by both"),
        ({"level": "series", "StudyDate": "never"}, "StudyDate"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "nothing",
)
def test_a_step_that_does_not_say_one_thing_is_refused_when_it_is_made(arguments, message):
    with pytest.raises(QueryError, match=message):
        dfr.cohort().step("all").step("bad", **arguments)


def test_names():
    with pytest.raises(QueryError, match="names tell steps apart"):
        dfr.cohort().step("all").step("all", PatientSex="F")
    for name in ("", " ", "x" * 201, 7):
        with pytest.raises(QueryError, match="needs a name"):
            dfr.cohort().step(name)
    with pytest.raises(QueryError, match="no step 'none'"):
        dfr.cohort(dfr.start_local().connect()).step("all").removed("none")


def test_a_cohort_without_steps():
    with pytest.raises(TableError, match="no steps yet"):
        dfr.cohort().to_frame()
    assert repr(dfr.cohort()) == "<Cohort without steps>"


def test_it_shows_itself_without_asking_and_without_values(everyone):
    later = everyone.step("<b>secret</b>", PatientID="Secret")
    assert "not done yet" in repr(later)
    assert "<b>" not in later._repr_html_()
    assert "Secret" not in repr(later)
    later.flow()
    assert repr(later).endswith(": 0>")


def test_a_search_that_fails_leaves_the_steps_before_it(everyone):
    bad = everyone.step("series", level="series", ManufacturerModelName="x", BodyPartExamined="HEAD")
    with pytest.raises(dfr.errors.DicomFrameError):
        bad.to_frame()
    assert "everyone: 1" in repr(bad)


def test_truncated_is_told(cohort_service):
    cohort = dfr.cohort(cohort_service.connect(progress=False)).step("all").step("more", PatientID="*")
    cohort.to_frame()
    first = cohort._stages[0]
    done = first.outcome
    first.outcome = Outcome(done.table, done.removed, done.issues, completeness="drifted")
    assert cohort.to_frame().attrs["dicom"]["completeness"] == "drifted"


def test_what_a_step_was_given_may_change_or_run_out(gaps):
    wanted, outcomes = ["F"], pd.DataFrame({"PatientID": ["P0"], "grade": [1]})
    women = gaps.step("women", PatientSex=wanted)
    others = gaps.step("others", PatientSex=(sex for sex in ("M", "O")))
    graded = gaps.step("graded", join=outcomes, on="PatientID")
    wanted.append("M")
    outcomes["grade"] = 7
    assert set(women.to_frame()["PatientSex"]) == {"F"}
    assert set(others.to_frame()["PatientSex"]) == {"M", "O"}
    assert set(graded.to_frame()["grade"]) == {1}


def test_somebody_may_be_called_na(tmp_path):
    table = dfr.from_json([{"00100020": {"vr": "LO", "Value": ["NA"]}}])
    (tmp_path / "o.csv").write_text("PatientID,grade\nNA,NA\n")
    outcome = outcome_of(table, join=tmp_path / "o.csv", on="PatientID")
    assert outcome.table["PatientID"].tolist() == ["NA"]
    assert outcome.table["grade"].isna().all()


def test_large_numbers_and_a_column_that_is_ours():
    table = dfr.from_json([{"00100020": {"vr": "LO", "Value": [name]}} for name in ("1", "2")])
    other = pd.DataFrame({"PatientID": ["1"], "n": np.array([2**63 + 1], dtype="uint64")})
    outcome = outcome_of(table, join=other, on="PatientID", how="left")
    assert outcome.table["n"].tolist()[0] == 2**63 + 1
    with pytest.raises(TableError, match="'why'"):
        outcome_of(table, join=other.assign(why="x"), on="PatientID")


def test_the_answer_of_a_function_is_for_these_rows(gaps):
    with pytest.raises(TableError, match="each row"):
        gaps.step("odd", keep=lambda table: pd.Series([True], index=[99])).to_frame()
