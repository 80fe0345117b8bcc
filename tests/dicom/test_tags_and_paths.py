"""The dictionary's attributes, and resource addresses."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary

from dicomframe.dicom.paths import ResourcePath, check_uid
from dicomframe.dicom.tags import ALL_VRS, attribute, find, from_tag, suggest
from dicomframe.errors import QueryError


def test_every_entry_of_the_dictionary_is_found_by_tag_and_by_keyword():
    for number, (vr, vm, name, retired, keyword) in DicomDictionary.items():
        if vr == "NONE":
            continue
        known = from_tag(f"{number:08X}")
        assert (known.vr, known.vm, known.keyword, known.retired) == (vr, vm, keyword, bool(retired))
        assert known.name in {name, "Retired-blank"}
        assert set(known.vr.split(" or ")) <= ALL_VRS
        if keyword:
            assert attribute(keyword) is known


@pytest.mark.parametrize("name", ["00100010", "0010,0010", "(0010,0010)", "( 0010, 0010 )", "PatientName"])
def test_ways_to_write_a_tag(name):
    assert attribute(name).keyword == "PatientName"
    assert attribute(name).column == "PatientName"


def test_tags_that_the_dictionary_lacks():
    private = from_tag("00091001")
    assert (private.vr, private.vm, private.keyword, private.column) == ("UN", "1-n", "", "00091001")
    assert private.is_private
    assert private.vr_is_open
    creator = from_tag("00090010")
    assert (creator.vr, creator.vm, creator.vr_is_open) == ("LO", "1", False)
    overlay = from_tag("60023000")
    assert (overlay.vr, overlay.keyword, overlay.is_private) == ("OB or OW", "", False)
    assert attribute("SmallestImagePixelValue").vr_is_open
    assert not attribute("PatientName").is_multiple
    assert attribute("ImageType").is_multiple


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("PatientsName", "PatientName"),
        ("patientname", "PatientName"),
        ("Patient Name", "PatientName"),
        ("StudyInstanceUid", "StudyInstanceUID"),
        ("Modalty", "Modality"),
    ],
)
def test_misspelt_keywords_are_answered_with_the_nearest(wrong, meant):
    assert find(wrong) is None
    assert meant in suggest(wrong)
    with pytest.raises(QueryError, match=f"Did you mean .*{meant}"):
        attribute(wrong)


def test_what_is_nothing_like_a_keyword_gets_no_advice():
    with pytest.raises(QueryError, match=r"no DICOM keyword\. A keyword") as caught:
        attribute("?" * 500)
    assert len(str(caught.value)) < 250


uids = st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5}){1,4}", fullmatch=True)


@given(st.lists(uids, min_size=1, max_size=3), st.lists(st.integers(1, 10**6), max_size=3))
def test_addresses_survive_their_url(parts, frames):
    address = ResourcePath(*parts, frames=tuple(frames) if len(parts) == 3 else ())
    assert address.uids == tuple(parts)
    assert address.level == ("study", "series", "instance")[len(parts) - 1]
    for url in (
        address.url_path,
        f"https://host/v2/partitions/p/{address.url_path}",
        f"/v1/{address.url_path}/metadata",
    ):
        assert ResourcePath.parse(url) == address
    assert pickle.loads(pickle.dumps(address)) == address  # noqa: S301 - our own bytes
    assert len({address, ResourcePath.parse(address.url_path)}) == 1


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "1/2", "1.2 3", "1" * 65, "1.2\n", "%2e", "1.2?x", None, 12, "é", "..\\.."]
)
def test_unsafe_uids_are_refused_without_being_repeated(uid):
    with pytest.raises(QueryError, match="StudyInstanceUID must be") as caught:
        check_uid(uid, "StudyInstanceUID")
    if isinstance(uid, str) and len(uid) > 4:
        assert uid not in str(caught.value)


def test_padding_of_uids_is_cut_off_and_odd_ones_of_real_archives_are_taken():
    assert check_uid("1.2.3\0") == "1.2.3"
    assert check_uid("1.2.3 ") == "1.2.3"
    assert check_uid("01.002.a-B") == "01.002.a-B"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ResourcePath("1.2", instance="1.2.3"), "series is missing"),
        (lambda: ResourcePath("1.2", frames=(1,)), "below an instance"),
        (lambda: ResourcePath("1", "2", "3", (0,)), "start at 1"),
        (lambda: ResourcePath.parse("/v2/series/1.2"), "names no study"),
        (lambda: ResourcePath.parse("studies/1/series/2/instances/3/frames/1-2"), "commas"),
        (lambda: ResourcePath.parse("studies/1 2"), "StudyInstanceUID"),
    ],
)
def test_addresses_that_cannot_be(make, words):
    with pytest.raises(QueryError, match=words):
        make()
