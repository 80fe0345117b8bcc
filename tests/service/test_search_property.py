"""Random data, random queries: the service against a matcher that was written without looking at it."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

WORDS = ["Ann", "ann", "Änn", "Smith", "Smi", "O'Neil", "de[x]", "x%y", "a_b", "50%", "Ω", "ß"]
NAMES = st.builds("^".join, st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))
TEXTS = st.builds(" ".join, st.lists(st.sampled_from(WORDS), min_size=1, max_size=2))
DATES = st.sampled_from(["19991231", "20200101", "20200229", "20240115", "20240116"])
STUDIES = st.lists(
    st.fixed_dictionaries({
        "PatientName": NAMES, "PatientID": TEXTS, "StudyDate": DATES, "modalities": st.lists(
            st.sampled_from(["CT", "MR", "PT"]), min_size=1, max_size=2, unique=True),
    }),
    min_size=1, max_size=8,
)  # fmt: skip


@st.composite
def patterns(draw, texts):
    """A value, some of its characters replaced by wildcards."""
    text = draw(texts)
    at = draw(st.integers(0, len(text)))
    return draw(
        st.sampled_from([text, text[:at] + "*", "*" + text[at:], text[:at] + "?" + text[at + 1 :], "*"])
    )


RANGES = st.one_of(
    DATES,
    DATES.map(lambda date: f"{date}-"),
    DATES.map(lambda date: f"-{date}"),
    st.tuples(DATES, DATES).map(lambda pair: "-".join(sorted(pair))),
)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "PatientName": patterns(NAMES), "PatientID": patterns(TEXTS), "StudyDate": RANGES,
        "ModalitiesInStudy": st.sampled_from(["CT", "MR", "PT", "US", "?T"]),
    },
)  # fmt: skip


def same(value: str, pattern: str, *, accents: bool) -> bool:
    def plain(text: str) -> str:
        if not accents:
            text = "".join(
                char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char)
            )
        return text.casefold()

    regex = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in plain(pattern))
    return re.fullmatch(regex, plain(value), re.DOTALL) is not None


def within(date: str, wanted: str) -> bool:
    if "-" not in wanted:
        return date == wanted
    low, high = wanted.split("-")
    return (not low or date >= low) and (not high or date <= high)


def passes(study: dict, query: dict) -> bool:
    return (
        same(study["PatientName"], query.get("PatientName", "*"), accents=False)
        and same(study["PatientID"], query.get("PatientID", "*"), accents=True)
        and within(study["StudyDate"], query.get("StudyDate", "-"))
        and any(same(each, query.get("ModalitiesInStudy", "*"), accents=True) for each in study["modalities"])
    )


def words(name: str) -> list[str]:
    bare = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return [word for word in re.split(r"[\W]+", bare.casefold()) if word]


def fuzzy(name: str, phrase: str) -> bool:
    have, wanted = words(name), words(phrase)
    starts = range(len(have) - len(wanted) + 1)
    return any(all(have[at + n].startswith(word) for n, word in enumerate(wanted)) for at in starts)


def test_search_equals_brute_force(http, dicom):
    seen = 0

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STUDIES, st.lists(QUERIES, min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 3))
    def run(studies, queries, limit, offset):
        nonlocal seen
        for uid in http.get("studies").values("0020000D"):
            assert http("DELETE", f"studies/{uid}").status == 204
        files = [
            dicom(f"{number}/{place}/1", Modality=modality,
                  **{key: study[key] for key in ("PatientName", "PatientID", "StudyDate")})
            for number, study in enumerate(studies)
            for place, modality in enumerate(study["modalities"])
        ]  # fmt: skip
        http.stored(*files)
        for query in queries:
            expected = [f"1.{n}" for n, study in enumerate(studies) if passes(study, query)][::-1]
            assert http.search("studies", **query).values("0020000D") == expected
            paged = http.search("studies", **query, limit=limit, offset=offset).values("0020000D")
            assert paged == expected[offset : offset + limit]
            rows = http.search("series", **query).values("0020000E")
            assert rows == [
                f"1.{n}.{place}"
                for n in (int(uid[2:]) for uid in expected)
                for place in reversed(range(len(studies[n]["modalities"])))
            ]
            seen += len(expected)
            phrase = query.get("PatientName", "").replace("*", "").replace("?", "")
            if words(phrase):
                found = http.search("studies", PatientName=phrase, fuzzymatching="true").values("0020000D")
                assert (
                    found
                    == [f"1.{n}" for n, study in enumerate(studies) if fuzzy(study["PatientName"], phrase)][
                        ::-1
                    ]
                )

    run()
    assert seen > 100
