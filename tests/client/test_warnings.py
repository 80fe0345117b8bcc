"""Warnings point at the user's line, not into this package."""

import re
from pathlib import Path

import pytest

import dicomframe
from dicomframe.errors import DicomFrameWarning, IncompleteSearchWarning, UnsearchableWarning


def row(number):
    return {"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}}


def endless(as_json):
    """Give a server that ends the search before its end."""
    return lambda asked: (
        as_json([row(n) for n in range(3)], Warning='299 s "There are additional results"')
        if asked.params["offset"] == "0"
        else as_json([])
    )


@pytest.mark.parametrize(
    "read",
    [
        lambda search: search.to_frame(),
        lambda search: list(search.pages()),
        lambda search: search.completeness,
        lambda search: search.issues,
    ],
)
def test_a_search_that_is_cut(serve, connect, as_json, read):
    search = connect(serve(endless(as_json)).url).search_studies(page_size=3)
    with pytest.warns(IncompleteSearchWarning) as warned:
        read(search)
    assert [each.filename for each in warned] == [__file__]


def test_a_search_below_a_table(serve, connect, as_json):
    client = connect(serve(endless(as_json)).url)
    table = dicomframe.from_json([row(1)]).dicom.use(client)
    with pytest.warns(IncompleteSearchWarning) as warned:
        table.dicom.studies()
    assert [each.filename for each in warned] == [__file__]


def test_a_filter_that_may_be_none(serve, connect, as_json, reply):
    site = serve(lambda asked: reply(500) if "tags" in asked.path else as_json([]))
    client = connect(site.url, retries=0)
    with pytest.warns(UnsearchableWarning) as warned:
        client.search_studies(KVP=120).to_frame()
    assert [each.filename for each in warned] == [__file__]


def test_all_warnings_are_given_so():
    """`warnings.warn` with a fixed depth is right for one way in, and wrong for the next."""
    package = Path(dicomframe.__file__).parent
    files = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"^\s*warnings\.warn\(", path.read_text("utf-8"), re.MULTILINE)
    }
    assert files == {"errors.py"}
    assert issubclass(IncompleteSearchWarning, DicomFrameWarning)
