"""Figures of a cohort: the numbers drawn against pandas and numpy, what is told of what is not drawn, hostile text."""

from __future__ import annotations

import io
import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

import dicomframe as dfr
from dicomframe.errors import QueryError, TableError
from dicomframe.images.plots.page import DASHES, INKS, MARKERS

BACKENDS = ["numpy_nullable", "pyarrow"]
HOSTILE = [
    "$\\frac{",
    "<script>alert(1)</script>",
    "a\u202eb",
    "\x1b[31mred",
    "line\nbreak",
    "x" * 300,
    "日本",
    "_^{",
]


def attribute(vr, *values):
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def study(number, patient, date=None, modalities=("CT",), **more):
    row = {"0020000D": attribute("UI", f"1.2.{number}"), "00080061": attribute("CS", *modalities)}
    if patient:
        row["00100020"] = attribute("LO", patient)
        row["00100010"] = attribute("PN", {"Alphabetic": f"Name^{patient}"})
    if date:
        row["00080020"] = attribute("DA", date)
    return row | more


STUDIES = [
    study(1, "A", "20200115", ["CT", "SEG"]),
    study(2, "A", "20200301", ["MR"]),
    study(3, "B", "20191231", ["CT"]),
    study(4, "B", None, ["US"]),
    study(5, "C", "20200120", []),
    study(6, "", "20200120", ["CT"]),
    study(7, "D", "notadate", ["CT"]),
]


@pytest.fixture(params=BACKENDS)
def table(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dfr.from_json(STUDIES, "study", request.param)


def texts(figure: Figure) -> list[str]:
    """Give every text of a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def image(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def bars(figure: Figure) -> dict[str, float]:
    [axes] = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(labels, [bar.get_width() for bar in axes.patches], strict=True))


# -- counts


def test_each_modality_of_a_study_counts(table):
    figure = table.dicom.counts()
    assert bars(figure) == {"CT": 4, "MR": 1, "SEG": 1, "US": 1, "missing": 1}
    assert figure.axes[0].get_xlabel() == "number of studies"
    assert any("each is counted" in text for text in texts(figure))


def test_a_modality_named_twice_is_there_once():
    assert bars(dfr.from_json([study(1, "A", None, ["CT", "CT"])]).dicom.counts()) == {"CT": 1}


def test_counts_of_any_column_are_those_of_pandas():
    values = (
        pd.Series(np.random.default_rng(1).integers(0, 30, 5000)).astype("Int64").mask(lambda each: each == 3)
    )
    drawn = bars(pd.DataFrame({"SeriesNumber": values}).dicom.counts("SeriesNumber", most=10))
    expected = values.value_counts(dropna=True).sort_index().sort_values(ascending=False, kind="stable")
    assert drawn.pop("missing") == values.isna().sum()
    assert drawn.pop("19 others") == expected.iloc[10:].sum()
    assert sorted(drawn.values()) == sorted(expected.iloc[:10])
    assert all(drawn[label] == expected[int(label)] for label in drawn)


def test_scanners():
    made = pd.DataFrame(
        {"Manufacturer": ["A", "A", None, None], "ManufacturerModelName": ["x", "x", "y", None]}
    )
    assert bars(made.astype("string").dicom.counts("scanner")) == {"A x": 2, "y": 1, "missing": 1}
    with pytest.raises(TableError, match=r"ManufacturerModelName.*fields="):
        made[[]].dicom.counts("scanner")


@pytest.mark.parametrize("by", ["month", "year"])
def test_counts_over_time(table, by):
    figure = table.dicom.counts(by)
    [axes] = figure.axes
    known = pd.Series(pd.to_datetime(["2020-01-15", "2020-03-01", "2019-12-31", "2020-01-20", "2020-01-20"]))
    expected = known.dt.to_period(by[0].upper()).value_counts().sort_index()
    *heights, missing = axes.patches
    assert [bar.get_height() for bar in heights] == expected.tolist()
    first = expected.index[0]
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in heights] == [
        (at - first).n for at in expected.index
    ]
    assert missing.get_height() == 2
    assert missing.get_hatch()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == str(first)
    assert labels[-1] == "no date"
    assert any("2 rows of 7 without a StudyDate" in text for text in texts(figure))


def test_dates_of_many_centuries_are_drawn():
    table = dfr.from_json([study(1, "A", "18000101"), study(2, "A", "99991231")])
    [axes] = table.dicom.counts("month").axes
    assert len(axes.patches) == 2
    assert len(axes.get_xticks()) <= 13


def test_sequences_and_texts_for_dates_are_refused():
    items = pd.DataFrame({"A": [[{"x": 1}], [{"x": 2}]]})
    with pytest.raises(TableError, match="sequences of items"):
        items.dicom.counts("A")
    with pytest.raises(TableError, match="no dates"):
        pd.DataFrame({"StudyDate": ["20200101"]}).dicom.counts("month")


# -- timeline


def marks(figure: Figure) -> dict[str, list[tuple[str, int]]]:
    """Give each modality's marks: date and line."""
    return {
        line.get_label(): sorted(
            (str(np.datetime64(when, "D")), int(np.floor(at + 0.5)))
            for when, at in zip(line.get_xdata(), line.get_ydata(), strict=True)
        )
        for line in figure.axes[0].lines
    }


def test_a_mark_for_each_modality_of_each_study(table):
    figure = table.dicom.timeline()
    # By their first study: B, A, then C and the one without an ID.
    assert marks(figure) == {
        "CT": [("2019-12-31", 0), ("2020-01-15", 1), ("2020-01-20", 2)],
        "MR": [("2020-03-01", 1)],
        "SEG": [("2020-01-15", 1)],
        "not told": [("2020-01-20", 3)],
    }
    assert figure.axes[0].get_ylabel() == "patient"
    assert "Patients are in the order of their first study." in "".join(texts(figure))
    assert table.dicom.timeline(labels="PatientID").axes[0].get_ylabel() == "PatientID"
    said = " ".join(texts(figure))
    assert "2 studies without a StudyDate are not drawn" in said.replace("\n", " ")
    assert "1 study without a PatientID share one line" in said.replace("\n", " ")


def test_nobody_is_named_unless_asked(table):
    assert not {"A", "B", "C", "Name^A"} & set(texts(table.dicom.timeline()))
    assert {"A", "B", "C"} <= set(texts(table.dicom.timeline(labels="PatientID")))
    with pytest.raises(TableError, match=r"'Nickname'.*fields="):
        table.dicom.timeline(labels="Nickname")


def test_marks_of_one_study_do_not_hide_each_other(table):
    lines = {line.get_label(): line for line in table.dicom.timeline().axes[0].lines}
    (ct,) = [y for y in lines["CT"].get_ydata() if np.floor(y + 0.5) == 1]
    (seg,) = lines["SEG"].get_ydata()
    assert abs(ct - seg) > 0.2
    assert len({line.get_marker() for line in lines.values()}) == len(lines)


def test_patients_beyond_the_bound_are_told():
    rows = [study(n, f"P{n % 40}", f"2020{1 + n % 12:02}01") for n in range(50)]
    figure = dfr.from_json(rows).dicom.timeline(most=10)
    # Ten of the forty have two studies.
    assert len(figure.axes[0].lines[0].get_xdata()) == 20
    assert any("30 further patients" in text for text in texts(figure))


def test_rows_of_a_study_are_one_study():
    table = dfr.from_json([study(1, "A", "20200101")] * 3)
    assert len(table.dicom.timeline().axes[0].lines[0].get_xdata()) == 1


def test_a_table_without_modality_says_how_to_get_it(table):
    said = texts(table.drop(columns="ModalitiesInStudy").dicom.timeline())
    assert any("fields=['ModalitiesInStudy']" in text for text in said)


# -- missing values


def test_the_map_tells_absent_from_unreadable(table):
    figure = table.dicom.missing(["StudyDate", "PatientID", "StudyInstanceUID"])
    axes, shares = figure.axes
    drawn = axes.images[0].get_array()
    white, absent, unreadable = (1, 1, 1), to_rgb(INKS[0]), to_rgb(INKS[1])
    np.testing.assert_allclose(drawn[0], [white] * 3 + [absent] + [white] * 2 + [unreadable])
    np.testing.assert_allclose(drawn[1], [white] * 5 + [absent] + [white])
    np.testing.assert_allclose(drawn[2], [white] * 7)
    widths = [bar.get_width() for bar in shares.patches]
    np.testing.assert_allclose(widths, [100 / 7, 100 / 7, 0, 100 / 7])
    assert [tuple(mark) for mark in axes.lines[0].get_xydata()] == [(6.5, 0)]
    assert any("1 cell (crosses)" in text for text in texts(figure))


def test_unreadable_rows_are_found_again_after_a_selection(table):
    drawn = table.iloc[[6, 0]].dicom.missing(["StudyDate"]).axes[0].images[0].get_array()
    np.testing.assert_allclose(drawn[0], [to_rgb(INKS[1]), (1, 1, 1)])


def test_bins_hold_the_shares_of_their_rows():
    values = pd.Series(np.random.default_rng(0).random(1234)).where(lambda each: each > 0.3)
    axes, shares = pd.DataFrame({"A": values}).dicom.missing().axes
    blue = axes.images[0].get_array()[0]
    size = 7
    expected = [values.isna()[at : at + size].mean() for at in range(0, 1234, size)]
    ink = np.array(to_rgb(INKS[0]))
    np.testing.assert_allclose(blue, 1 + np.array(expected)[:, None] * (ink - 1))
    assert shares.patches[0].get_width() == pytest.approx(100 * values.isna().mean())


# -- all of them


FIGURES = {
    "counts": lambda df: df.dicom.counts(),
    "counts of a column": lambda df: df.dicom.counts("PatientID"),
    "month": lambda df: df.dicom.counts("month"),
    "timeline": lambda df: df.dicom.timeline(labels="PatientID"),
    "missing": lambda df: df.dicom.missing(),
}


@pytest.mark.parametrize("name", FIGURES)
def test_an_empty_table_gives_a_figure_that_says_so(name):
    table = dfr.from_json([], "study").assign(ModalitiesInStudy=pd.Series(dtype="object"))
    figure = FIGURES[name](table)
    assert any("no rows" in text or "no studies" in text for text in texts(figure))
    assert image(figure).size


@pytest.mark.parametrize("name", FIGURES)
def test_hostile_text_is_drawn_as_text(name):
    rows = [study(n, text, "20200101", [text]) for n, text in enumerate(HOSTILE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dfr.errors.IssuesWarning)
        table = dfr.from_json(rows)
    table["$\\frac{"] = "x"
    figure = FIGURES[name](table)
    assert image(figure).size
    for text in texts(figure):
        assert not {"\u202e", "\x1b"} & set(text)
        assert len(text) < 400


@pytest.mark.parametrize("name", FIGURES)
def test_pyplot_is_left_alone(name, table):
    from matplotlib import pyplot as plt

    assert isinstance(FIGURES[name](table), Figure)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("name", "lacking"), [("counts", "ModalitiesInStudy"), ("month", "StudyDate"), ("timeline", "PatientID")]
)
def test_a_missing_column_is_named_with_what_to_do(name, lacking, table):
    with pytest.raises(TableError, match=f"{lacking}.*fields="):
        FIGURES[name](table.drop(columns=lacking))


@pytest.mark.parametrize("most", [0, -1, True, 2.5])
def test_a_bound_below_one_is_refused(most, table):
    for draw in (table.dicom.counts, table.dicom.timeline):
        with pytest.raises(QueryError, match="most="):
            draw(most=most)


def test_two_columns_of_one_name_are_refused(table):
    twice = pd.concat([table, table[["StudyDate"]]], axis=1)
    with pytest.raises(TableError, match="2 columns"):
        twice.dicom.timeline()


def test_inks_marks_and_dashes_can_be_told_apart():
    assert len(set(INKS)) == len(set(MARKERS)) == len(INKS) == len(DASHES)


def test_a_large_table_is_summed_before_it_is_drawn():
    """Not timed: what is drawn stays small, however many rows there are."""
    count = 100_000
    numbers = np.arange(count)
    table = pd.DataFrame(
        {
            "StudyInstanceUID": pd.Series(numbers).astype("string"),
            "PatientID": pd.Series(numbers // 3).astype("string"),
            "StudyDate": np.datetime64("2000-01-01", "s") + (numbers % 9000).astype("timedelta64[D]"),
            "Modality": pd.Series(np.array(["CT", "MR", "US"])[numbers % 3]).astype("string"),
        }
    )
    assert len(table.dicom.missing().axes[0].images[0].get_array()[0]) <= 200
    assert sum(len(line.get_xdata()) for line in table.dicom.timeline().axes[0].lines) == 90
    assert bars(table.dicom.counts()) == {"CT": 33334, "MR": 33333, "US": 33333}


# -- small tables


def extents(figure, artists):
    """The boxes of what is written, in pixels."""
    renderer = figure.canvas.get_renderer()
    return [artist.get_window_extent(renderer) for artist in artists if artist.get_text()]


@pytest.mark.parametrize("count", [1, 3, 9, 10, 25])
def test_the_words_of_a_timeline_are_whole_and_apart(count):
    days = [f"2025{month:02}{day:02}" for month in (6, 7, 8, 9, 10) for day in (1, 9, 17, 24, 28)]
    table = dfr.from_json([study(at, f"P{at}", days[at]) for at in range(count)])
    figure = table.dicom.timeline()
    figure.canvas.draw()
    [axes] = figure.axes
    [label] = extents(figure, [axes.yaxis.label])
    assert label.y0 >= 0
    assert label.y1 <= figure.bbox.height
    dates = extents(figure, axes.get_xticklabels())
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(dates))


def test_what_is_counted_has_whole_ticks():
    table = dfr.from_json([study(1, "A", "20250601"), study(2, "B", "20250701")])
    along = {"counts": "x", "missing": "x", "month": "y"}
    for name, which in along.items():
        figure = table.dicom.counts("month") if name == "month" else getattr(table.dicom, name)()
        figure.canvas.draw()
        ticks = getattr(figure.axes[0], f"get_{which}ticks")()
        assert all(float(tick).is_integer() for tick in ticks)


def test_the_legend_of_what_is_missing_tells_its_inks_apart_where_nothing_is():
    table = dfr.from_json([study(1, "A", "20250601")])[["PatientID", "StudyDate"]]
    figure = table.dicom.missing()
    absent, unreadable = figure.axes[1].get_legend().get_patches()
    assert absent.get_facecolor() != unreadable.get_facecolor()
    assert unreadable.get_hatch()
