"""The gallery: rows in order, everything escaped, failures told, plain text elsewhere."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import dicomframe as dfr
from dicomframe.errors import NoClientError, QueryError, TableError
from dicomframe.widgets.gallery import Gallery, escaped

HOSTILE = [
    "<script>window.hostile = 1</script>",
    '"><img src=x onerror="window.hostile = 1">',
    "' onmouseover='window.hostile = 1",
    "\u202eevil\u202c",
    "\x1b[31mred\x1b[0m",
    "$\\mathrm{x}$ **bold** </table></div>",
]


class Reader(HTMLParser):
    """Collects what a browser would make of HTML: its elements with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def pictures(count, failed=()):
    rows = [
        {"picture": None, "status": "failed", "error": HOSTILE[0]}
        if at in failed
        else {"picture": np.full((2, 3), at, np.uint8), "status": "rendered", "error": None}
        for at in range(count)
    ]
    return pd.DataFrame(rows, columns=["picture", "status", "error"])


def gallery(values, failed=(), name="StudyDescription"):
    table = pd.DataFrame({name: values})
    return Gallery(table, pictures(len(table), failed), [name], HOSTILE[1])


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text):
    read = Reader(gallery([text], name=text)._repr_html_())
    assert {tag for tag, _ in read.elements} <= set(
        "div table caption thead tbody tr th td bdi img p span".split()
    )
    names = {name for _, attributes in read.elements for name in attributes}
    assert names <= {
        "class",
        "style",
        "tabindex",
        "role",
        "aria-label",
        "scope",
        "alt",
        "width",
        "height",
        "src",
    }
    assert all(letter.isprintable() for letter in "".join(read.texts))


@given(st.text(max_size=60))
def test_any_text_comes_out_as_one_text(text):
    read = Reader(f"<b>{escaped(text)}</b>")
    assert [tag for tag, _ in read.elements] == ["b"]
    if text.isprintable():
        assert "".join(read.texts) == text


def test_pictures_are_our_own_and_in_order():
    read = Reader(gallery(["a", "b", "c"])._repr_html_())
    images = [attributes for tag, attributes in read.elements if tag == "img"]
    assert [each["alt"] for each in images] == [f"picture of row {at}, 3 by 2 pixels" for at in range(3)]
    for at, each in enumerate(images):
        head, data = each["src"].split(",")
        assert head == "data:image/jpeg;base64"
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert shown.shape == (2, 3)
        assert abs(int(shown.mean()) - at) <= 2


def test_a_failed_picture_says_why():
    shown = gallery(["a", "b"], failed=[1])
    assert "&lt;script&gt;" in shown._repr_html_()
    assert HOSTILE[0] in str(shown)
    assert len(re.findall("<img", shown._repr_html_())) == 1


def test_plain_text_commands_no_terminal():
    shown = str(gallery(HOSTILE))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert len(shown.splitlines()) == len(HOSTILE) + 2


@pytest.fixture(scope="module")
def series():
    with dfr.start_local(samples=True) as local:
        client = local.connect()
        yield client.search_series(limit=30, fields=["PatientSex", "PatientAge"]).to_frame()


def test_names_are_not_shown_unasked(series):
    shown = series.dicom.gallery(most=3)
    assert "27 further rows" in str(shown)
    for name in series["PatientName"].head(3):
        assert name not in shown._repr_html_()
    assert series["PatientName"].iloc[0] in str(series.dicom.gallery(["PatientName"], most=1))


def test_index_and_size(series):
    shown = series.iloc[5:7].dicom.gallery(["Modality"], size=32)
    assert shown.table.index.tolist() == [5, 6]
    assert max(picture.shape[0] for picture in shown.pictures["picture"]) <= 32


def test_an_empty_table(series):
    shown = series.iloc[:0].dicom.gallery()
    assert "No rows" in str(shown)
    assert "0 rows" in shown._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"columns": ["Nothing"]}, TableError),
        ({"columns": "Modality"}, QueryError),
        ({"size": 5}, QueryError),
        ({"size": True}, QueryError),
        ({"most": 0}, QueryError),
    ],
)
def test_bad_input(series, arguments, error):
    with pytest.raises(error):
        series.dicom.gallery(**arguments)
    if "columns" in arguments:
        with pytest.raises(error):
            series.dicom.browse(**arguments)


def test_a_table_without_a_service():
    with pytest.raises(NoClientError):
        pd.DataFrame({"StudyInstanceUID": ["1.2"]}).dicom.gallery()


def test_a_saved_notebook_stays_small(monkeypatch):
    monkeypatch.setattr("dicomframe.widgets.gallery.MOST_CHARACTERS", 3000)
    noise = np.random.default_rng(1).integers(0, 255, (20, 20)).astype(np.uint8)
    rows = [{"picture": noise, "status": "rendered", "error": None}] * 9
    shown = Gallery(pd.DataFrame({"Modality": ["CT"] * 9}), pd.DataFrame(rows), ["Modality"])._repr_html_()
    assert sum(map(len, re.findall("<img[^>]*>", shown))) <= 3000
    assert shown.count("<img") + shown.count("left out: ") == 9
    assert shown.count("<img") >= 1


def test_mathematics_is_left_alone():
    assert re.match('<div class="[^"]*mathjax_ignore tex2jax_ignore', gallery(["$x$"])._repr_html_())


def test_two_columns_of_a_name():
    table = pd.DataFrame([["CT", "MR"]], columns=["Modality", "Modality"])
    assert "CT" in str(Gallery(table, pictures(1), ["Modality"]))
