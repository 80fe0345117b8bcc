"""The cohort browser from Python's side: which rows pass, what is counted, what is kept. Clicks: tests/browser."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.errors import QueryError

VALUE = st.sampled_from(["CT", "MR", "", None])
ROW = st.tuples(
    VALUE,
    st.sampled_from(["F", "M", None]),
    st.sampled_from(["000Y", "041Y", "018M", "099Y", "N-A", None]),
    st.one_of(st.none(), st.dates(dt.date(1880, 1, 1), dt.date(2030, 1, 1))),
    st.sampled_from(["Chest routine", "HEAD with contrast", None]),
)


def table_of(rows):
    table = pd.DataFrame(
        rows, columns=["Modality", "PatientSex", "PatientAge", "StudyDate", "StudyDescription"]
    )
    table = table.astype(
        dict.fromkeys(["Modality", "PatientSex", "PatientAge", "StudyDescription"], "string")
    )
    table["StudyDate"] = pd.to_datetime(table["StudyDate"]).astype("datetime64[s]")
    return table


@settings(max_examples=20)  # each makes some fifty widgets
@given(
    st.lists(ROW, min_size=1, max_size=30),
    st.sets(st.sampled_from(["CT", "MR", "(missing)"])),
    st.sampled_from([None, (1, 60), (None, 2), (50, None)]),
    st.sampled_from(["", "chest", "contrast head"]),
)
def test_the_rows_that_pass_are_those_a_loop_finds(rows, modality, ages, words):
    table = table_of(rows)
    browser = table.dicom.browse()
    years = table["PatientAge"].dicom.years
    there = {each or "(missing)" for each in table["Modality"].fillna("")}
    modality &= there
    browser.choose(modality=sorted(modality), ages=ages, description=words, missing=False)

    def passes(at):
        row, age = table.iloc[at], years.iloc[at]
        if (
            modality
            and (row["Modality"] if pd.notna(row["Modality"]) and row["Modality"] else "(missing)")
            not in modality
        ):
            return False
        if ages is not None:
            low, high = ages
            if pd.isna(age) or (low is not None and age < low) or (high is not None and age >= high + 1):
                return False
        text = "" if pd.isna(row["StudyDescription"]) else row["StudyDescription"].lower()
        return all(word in text for word in words.split())

    expected = [at for at in range(len(table)) if passes(at)]
    assert browser.selected.index.tolist() == expected
    assert browser.count == len(expected)
    assert browser.attrition["rows"].iloc[-1] == len(expected)
    assert browser.attrition["excluded"].sum() == len(table) - len(expected)
    browser.close()


def test_counts_follow_the_other_facets_not_their_own():
    table = table_of(
        [
            ("CT", "F", "041Y", None, None),
            ("CT", "M", None, None, None),
            ("MR", "F", None, None, None),
            (None, None, None, None, None),
        ]
    )
    browser = table.dicom.browse()
    assert browser.counts("modality") == {"CT": 2, "MR": 1, "(missing)": 1}
    browser.choose(modality="CT")
    assert browser.counts("modality") == {"CT": 2, "MR": 1, "(missing)": 1}
    assert browser.counts("sex") == {"F": 1, "M": 1, "(missing)": 0}
    browser.choose(sex="(missing)")
    assert browser.counts("modality") == {"CT": 0, "MR": 0, "(missing)": 1}


def test_rows_without_a_date_or_age_are_kept_until_they_are_left_out():
    table = table_of([("CT", "F", None, None, None), ("CT", "F", "041Y", dt.date(2024, 5, 6), None)])
    browser = table.dicom.browse()
    assert browser.count == 2
    browser.choose(dates=("2024-05-06", "2024-05-06"))
    assert browser.selected.index.tolist() == [0, 1]
    assert browser.attrition["step"].tolist() == [
        "all rows",
        "Study date: 2024-05-06 to 2024-05-06 or missing",
    ]
    browser.choose(dates=("2024-05-06", "2024-05-06"), missing=False)
    assert browser.selected.index.tolist() == [1]
    assert browser.attrition["step"].tolist()[1] == "Study date: 2024-05-06 to 2024-05-06"
    browser.choose(dates=(None, None), missing=False)
    assert browser.selected.index.tolist() == [1]
    browser.choose()
    assert browser.count == 2


def test_a_row_with_several_modalities_has_each():
    table = pd.DataFrame({"ModalitiesInStudy": [["CT", "SR"], ["CT"], [], None]})
    browser = table.dicom.browse()
    assert browser.counts("modality") == {"CT": 2, "SR": 1, "(missing)": 2}
    browser.choose(modality=["CT", "SR"])
    assert browser.selected.index.tolist() == [0, 1]


def test_the_selection_knows_its_service_and_types():
    with dfr.start_local(samples=True) as local:
        table = local.connect().search_series(limit=40, fields=["PatientSex", "Manufacturer"]).to_frame()
        browser = table.dicom.browse()
        browser.choose(modality="CT")
        browser.wait()
        assert "data:image/jpeg" in browser._list.value
        selected = browser.selected
        assert selected.dtypes.equals(table.dtypes)
        assert set(selected["Modality"]) == {"CT"}
        assert selected.dicom.instances()["SeriesInstanceUID"].isin(selected["SeriesInstanceUID"]).all()
        browser.close()


def test_it_is_told_to_others_and_shown_without_widgets():
    table = table_of([("CT", "F", None, None, None), ("MR", "F", None, None, None)])
    browser = table.dicom.browse()
    seen = []
    browser.observe(lambda change: seen.append(change.new), "count")
    browser.choose(modality="MR")
    assert seen == [1]
    bundle = browser._repr_mimebundle_()
    assert bundle["text/plain"] == "<CohortBrowser: 1 of 2 rows; Modality: MR>"
    assert "Modality: MR" in bundle["text/html"]


@pytest.mark.parametrize(
    "choice",
    [
        {"modality": "XX"},
        {"sex": ["F", "Q"]},
        {"dates": "2024"},
        {"dates": ("yesterday", None)},
        {"ages": (1, 2, 3)},
        {"ages": ("a", "b")},
        {"scanner": "any"},
    ],
)
def test_bad_choices_change_nothing(choice):
    table = table_of([("CT", "F", "041Y", dt.date(2024, 5, 6), None), ("MR", "M", None, None, None)])
    browser = table.dicom.browse()
    browser.choose(modality="MR")
    with pytest.raises(QueryError):
        browser.choose(**choice)
    assert browser.selected.index.tolist() == [1]


def test_ticks_stay_over_choices_and_pages():
    table = table_of([("CT", "F", None, None, None), ("MR", "M", None, None, None)] * 10)
    table.index = pd.Index([f"r{number}" for number in range(20)])
    browser = table.dicom.browse()
    seen = []
    browser.observe(lambda change: seen.append(change.new), "ticked_count")
    assert browser.ticked.empty
    assert browser.ticked.dtypes.equals(table.dtypes)
    browser._list._hear(None, {"kind": "tick", "places": [1, 4], "ticked": True}, [])
    assert browser.ticked.index.tolist() == ["r1", "r4"]
    assert browser._list.ticked == [1, 4]
    browser._later.click()
    assert browser._list.ticked == []
    browser._list._hear(None, {"kind": "tick", "places": [9], "ticked": True}, [])
    assert browser._list.ticked == [9]
    browser.choose(modality="MR")
    assert browser._list.ticked == [1, 9]
    assert "3 rows ticked, 1 of them left out by the choice" in browser._ticked_status.value
    assert browser.ticked.index.tolist() == ["r1", "r4", "r9"]
    browser._list._hear(None, {"kind": "tick", "places": [1], "ticked": False}, [])
    browser._tick_all.click()
    assert browser.ticked_count == 11
    assert repr(browser) == "<CohortBrowser: 10 of 20 rows; Modality: MR; 11 ticked>"
    browser._untick.click()
    assert browser._untick.disabled
    assert seen == [2, 3, 2, 11, 0]
    assert "0 rows ticked<" in browser._ticked_status.value


def test_rows_are_ticked_from_python():
    table = table_of(
        [("CT", "F", None, None, None), ("MR", "M", None, None, None), ("MR", "F", None, None, None)]
    )
    table.index = [7, 8, 8]
    browser = table.dicom.browse()
    for rows, expected in [
        (table[table["Modality"] == "CT"], [0]),
        (table["PatientSex"] == "F", [0, 2]),
        ((table["PatientSex"] == "M").to_numpy(), [1]),
        (table[table["PatientSex"] == "M"], [1]),
        (table.iloc[1:], [1, 2]),
        (table[["PatientSex"]].iloc[2:], [2]),
        ([8, 8], [1, 2]),
        (table.index, [0, 1, 2]),
        ([], []),
        (None, [0, 1, 2]),
    ]:
        browser.tick(ticked=False)
        browser.tick(rows)
        assert np.flatnonzero(browser._ticks).tolist() == expected
    browser.tick([7], ticked=False)
    assert browser.ticked.index.tolist() == [8, 8]
    for bad in ([9], [True], "8", 8, table.reset_index(drop=True)):
        with pytest.raises(QueryError):
            browser.tick(bad)
    assert browser.ticked_count == 2


def test_a_label_that_rows_share_ticks_none_that_is_not_meant():
    table = table_of([("CT", "F", None, None, None), ("MR", "M", None, None, None)])
    table["ModalitiesInStudy"] = pd.Series([["CT", "SR"], ["MR"]], dtype=object)
    table = pd.concat([table, table.iloc[:1]])
    table["Row"] = pd.array([1, pd.NA, 3], dtype="Int64")
    table.index = ["a", "a", "a"]
    browser = table.dicom.browse()
    for at in range(3):
        browser.tick(table.iloc[[at]])
        assert np.flatnonzero(browser._ticks).tolist() == [at]
        browser.tick(table.iloc[[at]], ticked=False)
    changed = table.iloc[:1].assign(Modality="PT")
    without = table.iloc[:1].drop(columns="Row")
    for doubtful, words in [
        (["a"], "3 rows share the labels"),
        (without, "2 rows share the labels"),
        (changed, "values of none"),
    ]:
        with pytest.raises(QueryError, match=words):
            browser.tick(doubtful)
    assert browser.ticked_count == 0


def test_ticks_are_read_and_counted_with_the_lock_of_those_who_set_them():
    browser = table_of([("CT", "F", None, None, None)] * 3).dicom.browse()
    owned = []

    class Watched(np.ndarray):
        def sum(self, *args, **kwargs):
            owned.append(browser._showing._is_owned())
            return super().sum(*args, **kwargs)

        def copy(self, *args, **kwargs):
            owned.append(browser._showing._is_owned())
            return super().copy(*args, **kwargs)

        def __and__(self, other):
            owned.append(browser._showing._is_owned())
            return np.asarray(self) & other

    browser._ticks = browser._ticks.view(Watched)
    seen = []
    browser.observe(lambda _: seen.append(browser._showing._is_owned()), "ticked_count")
    browser._tick_all.click()
    assert len(browser.ticked) == 3
    assert len(owned) >= 4
    assert all(owned)
    assert seen == [False]


def test_rows_of_which_it_cannot_be_told_which_are_meant_are_not_ticked():
    table = table_of([("CT", "F", None, None, None), ("MR", "M", None, None, None)] * 2)
    table.index = [3, 1, 2, 1]
    browser = table.dicom.browse()
    mask = table["PatientSex"] == "F"
    for unclear in (table.iloc[[1]], mask.sort_index(), mask.reset_index(drop=True)):
        with pytest.raises(QueryError):
            browser.tick(unclear)
    with pytest.raises(QueryError, match="One bool a row"):
        browser.tick(np.array([True], object))  # nor is it the label 1
    assert browser.ticked_count == 0
    browser.tick(table.iloc[[1, 3]])
    browser.tick(table.iloc[[0]])
    assert np.flatnonzero(browser._ticks).tolist() == [0, 1, 3]
    browser.tick(np.array([True, False, False, False], object), ticked=False)
    assert np.flatnonzero(browser._ticks).tolist() == [1, 3]


@pytest.mark.parametrize(
    "words",
    [
        None,
        {"kind": "tick"},
        {"kind": "tick", "places": [2], "ticked": True},
        {"kind": "tick", "places": [-1], "ticked": True},
        {"kind": "tick", "places": [True], "ticked": True},
        {"kind": "tick", "places": "0", "ticked": True},
        {"kind": "tick", "places": [0], "ticked": 1},
        {"kind": "other", "places": [0], "ticked": True},
    ],
)
def test_words_of_the_page_that_make_no_sense_tick_nothing(words):
    browser = table_of([("CT", "F", None, None, None)] * 2).dicom.browse()
    browser._list._hear(None, words, [])
    assert browser.ticked_count == 0


def test_hostile_texts_stay_texts():
    hostile = '<img src=x onerror="window.hostile=1">\u202e\x1b[31m'
    table = pd.DataFrame(
        {"Modality": [hostile], "StudyDescription": [hostile], "ManufacturerModelName": [hostile]}
    )
    browser = table.dicom.browse()
    browser.choose(modality=hostile)
    html = browser._list.value + browser._attrition.value + browser._repr_mimebundle_()["text/html"]
    assert "<img" not in html
    assert "\x1b" not in repr(browser) + html
    assert "\u202e" not in repr(browser) + html


def test_many_rows_are_counted_as_columns():
    count = 100_000
    chance = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "Modality": pd.array(chance.choice(["CT", "MR", "US"], count), "string"),
            "PatientAge": pd.array([f"{age:03}Y" for age in chance.integers(0, 100, count)], "string"),
            "StudyDate": pd.Timestamp("2020-01-01") + pd.to_timedelta(chance.integers(0, 1500, count), "D"),
        }
    )
    browser = table.dicom.browse()
    browser.choose(modality="MR", ages=(40, 49), missing=False)
    years = table["PatientAge"].str[:3].astype(int)
    assert browser.count == int(((table["Modality"] == "MR") & years.between(40, 49)).sum())


def test_an_age_comes_from_the_date_of_birth_where_there_is_no_other():
    table = pd.DataFrame(
        {
            "PatientBirthDate": pd.to_datetime(
                ["2000-02-29", "2000-02-29", "1970-05-06", None, "2024-01-01"]
            ),
            "StudyDate": pd.to_datetime(["2018-02-28", "2018-03-01", "2024-05-06", "2024-05-06", None]),
        }
    )
    ages = table.dicom.browse()._controls["ages"].span._values
    np.testing.assert_array_equal(ages, [17, 18, 54, np.nan, np.nan])
    browser = table.dicom.browse()
    browser.choose(ages=(18, 54), missing=False)
    assert browser.selected.index.tolist() == [1, 2]


def test_no_value_is_out_of_reach():
    values = [f"scanner {at}" for at in range(300) for _ in range(2)]
    table = pd.DataFrame({"ManufacturerModelName": pd.array([*values, "rare", None], "string")})
    browser = table.dicom.browse()
    counts = browser.counts("scanner")
    assert counts["(missing)"] == 1, "rows without a value are listed, however few they are"
    control = browser._controls["scanner"]
    assert "rare" not in counts
    assert "101 rarer values" in control.box.children[2].value
    browser.choose(scanner="rare")
    assert browser.selected.index.tolist() == [600]
    assert control._select.value == ("rare",)


@pytest.mark.parametrize("dtype", ["object", "string", "arrow", "UTC"])
def test_dates_of_any_table(dtype):
    texts = ["2024-05-06", "2020-01-01", None]
    column = {
        "object": pd.Series([*texts[:1], "nonsense", None], dtype=object),
        "string": pd.Series(["20240506", "20200101", None], dtype="string"),
        "arrow": pd.Series([*map(pd.Timestamp, texts)]).astype("timestamp[s][pyarrow]"),
        "UTC": pd.to_datetime(pd.Series(texts), utc=True),
    }[dtype]
    browser = pd.DataFrame({"StudyDate": column}).dicom.browse()
    browser.choose(dates=("2024-01-01", None), missing=False)
    assert browser.selected.index.tolist() == [0]


def test_a_joined_table_with_two_columns_of_a_name_and_two_rows_of_a_label():
    table = pd.DataFrame([["CT", "CT"], ["MR", "XX"]], columns=["Modality", "Modality"], index=[7, 7])
    browser = table.dicom.browse()
    browser.choose(modality="MR")
    assert browser.selected.iloc[0].tolist() == ["MR", "XX"]


def test_words_wait_for_a_pause_of_the_keys():
    import asyncio

    table = table_of([("CT", "F", None, None, "Chest routine"), ("CT", "F", None, None, None)])
    browser = table.dicom.browse()
    seen = []
    browser.observe(lambda change: seen.append(change.new), "count")

    async def type_word():
        for end in range(1, 6):
            browser._controls["description"]._field.value = "chest"[:end]
        assert browser.count == 2
        await asyncio.sleep(0.5)
        # Set from Python, it does not come back a moment later.
        browser.choose(description="nowhere")
        browser._page = 3
        await asyncio.sleep(0.5)
        assert browser._page == 3

    asyncio.run(type_word())
    assert seen == [1, 0]


def test_an_age_that_is_no_number_is_said_to_be_no_bound():
    browser = table_of([("CT", "F", "041Y", None, None), ("CT", "F", "020Y", None, None)]).dicom.browse()
    ages = browser._controls["ages"]
    for wrong in ("old", "nan", "<b>"):
        ages._from.value = wrong
        assert browser.count == 2
        assert "is no number" in ages._count.value
        assert "<b>" not in ages._count.value
    ages._from.value = "40,5"
    assert browser.selected.index.tolist() == [0]
    assert "1 rows" in ages._count.value


def test_closed_it_leaves_no_widget_behind():
    table = table_of([("CT", "F", "041Y", None, None)])
    browser = table.dicom.browse()
    inside = [each for control in browser._controls.values() for each in (control.box, *control.box.children)]
    browser.close()
    assert all(each.comm is None for each in (browser, *inside))
