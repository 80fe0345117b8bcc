"""What a search sends, from what a caller gave: pure formatting and checking (PS3.18 section 8.3.4).

CamelCase arguments are attributes, checked against the dictionary before anything is sent; lower-case ones are
controls. A list means any of its values; because the service matches one value a key, it becomes one query for each
combination, and their answers are united by UID.

Examples
--------
>>> queries = build_queries("study", filters={"StudyDate": ("2024-01-01", None), "ModalitiesInStudy": ["CT", "MR"]})
>>> [query.params for query in queries]
[(('StudyDate', '20240101-'), ('ModalitiesInStudy', 'CT')), (('StudyDate', '20240101-'), ('ModalitiesInStudy', 'MR'))]
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dicomframe.client.filtervalues import RANGE_VRS, format_range, format_value
from dicomframe.dicom import tags
from dicomframe.dicom.paths import Level, check_uid
from dicomframe.errors import QueryError

#: The controls of a search; everything else is an attribute.
CONTROLS = ("fuzzy", "fields", "limit", "page_size")
#: More combinations of listed values than this are a mistake.
MOST_QUERIES = 10_000

# UN stands for private attributes, which may be anything.
_SEARCHABLE = tags.ALL_VRS - tags.BINARY_VRS - {"SQ"} | {"UN"}
# A refused search must not carry these into a message or a log: whatever may tell who somebody is.
_PRIVATE_VRS = frozenset({"PN", "LO", "SH", "LT", "ST", "UT", "UC", "UN"})


@dataclass(frozen=True, slots=True)
class Query:
    """One request of a search, without its page.

    Parameters
    ----------
    route : str
        The path below the service's base.
    params : tuple of (str, str)
        Filters and controls, not yet encoded.
    private : tuple of str
        The values among them that must not appear in a message.
    """

    route: str
    params: tuple[tuple[str, str], ...] = ()
    private: tuple[str, ...] = ()


def build_queries(
    level: Level,
    *,
    filters: Mapping[str, Any],
    study_uid: Any = None,
    series_uid: Any = None,
    fuzzy: bool = False,
    fields: str | Sequence[str] | None = None,
) -> list[Query]:
    """Make the queries of a search.

    Parameters
    ----------
    level : {"study", "series", "instance"}
        What is searched for.
    filters : mapping
        Attribute, by keyword or eight hex digits, to what it must be.
    study_uid, series_uid : str or list of str, optional
        What to search below.
    fuzzy : bool
        Whether person names match by the beginnings of their words.
    fields : str or sequence of str, optional
        Further attributes to return; ``"all"`` for all that the service has.

    Returns
    -------
    list of Query
        None at all if a list of values is empty: nothing can match it.

    Raises
    ------
    QueryError
        If something is no keyword, malformed, reversed, or given twice.
    """
    filters = dict(filters)
    if series_uid is not None and study_uid is None:
        _refuse_both(filters, "SeriesInstanceUID", "series_uid")
        filters["SeriesInstanceUID"], series_uid = series_uid, None
    if study_uid is not None:
        _refuse_both(filters, "StudyInstanceUID", "study_uid")
    if series_uid is not None:
        _refuse_both(filters, "SeriesInstanceUID", "series_uid")
    return _queries(_routes(level, study_uid, series_uid), _named(filters), fuzzy, fields)


def build_workitem_queries(
    *, filters: Mapping[str, Any], fuzzy: bool = False, fields: str | Sequence[str] | None = None
) -> list[Query]:
    """Make the queries of a search for work items; `build_queries` has the rest.

    Parameters
    ----------
    filters : mapping
        As for `build_queries`; an attribute within a sequence is named with a dot, as
        ``"ReferencedRequestSequence.AccessionNumber"`` or ``"0040A370.00080050"``.
    """
    return _queries(["workitems"], _named(filters, find=_find_nested), fuzzy, fields)


def _queries(
    routes: Sequence[str],
    named: Sequence[tuple[tags.Attribute, Any]],
    fuzzy: bool,
    fields: str | Sequence[str] | None,
) -> list[Query]:
    controls = [("fuzzymatching", "true")] if _flag(fuzzy, "fuzzy") else []
    controls += [("includefield", field) for field in _fields(fields)]
    choices = [[(key.column, text) for text in _texts(key, value)] for key, value in named]
    count = len(routes) * math.prod(map(len, choices))
    if count > MOST_QUERIES:
        raise QueryError(
            f"The lists of values make {count} combinations, each a request of its own; {MOST_QUERIES} are accepted."
        )
    private = {key.column for key, _ in named if key.vr in _PRIVATE_VRS or key.tag.startswith("0010")}
    return [
        Query(route, (*chosen, *controls), tuple(text for name, text in chosen if name in private))
        for route in routes
        for chosen in itertools.product(*choices)
    ]


def _routes(level: Level, study_uid: Any, series_uid: Any) -> list[str]:
    """Give the paths to search at; a list of UIDs gives one each."""
    last = {"study": "studies", "series": "series", "instance": "instances"}[level]
    studies = [f"studies/{uid}/" for uid in _uids(study_uid, "study_uid")] if study_uid is not None else [""]
    series = [f"series/{uid}/" for uid in _uids(series_uid, "series_uid")] if series_uid is not None else [""]
    return [f"{study}{one}{last}" for study in studies for one in series]


def _uids(given: Any, name: str) -> list[str]:
    listed = _listed(_uid_column(given, name))
    return list(dict.fromkeys(check_uid(uid, name) for uid in ([given] if listed is None else listed)))


def _uid_column(given: Any, name: str) -> Any:
    """Give the column of a table that holds the UIDs; anything else as it is."""
    if not hasattr(given, "columns"):
        return given
    keyword = {"study_uid": "StudyInstanceUID", "series_uid": "SeriesInstanceUID"}[name]
    if list(given.columns).count(keyword) != 1:
        raise QueryError(
            f"{name} may be a table with one column {keyword}, or its UIDs; this table has no such."
        )
    return given[keyword]


def _refuse_both(filters: Mapping[str, Any], keyword: str, argument: str) -> None:
    if any(found.keyword == keyword for found in map(tags.find, filters) if found):
        raise QueryError(f"{argument} is given, so {keyword} cannot be a filter as well.")


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise QueryError(f"{name} must be True or False.")
    return value


def _fields(fields: str | Sequence[str] | None) -> list[str]:
    listed = [] if fields is None else [fields] if isinstance(fields, str) else fields
    listed = list(listed) if isinstance(listed, Iterable) else [None]
    if any(not isinstance(field, str) for field in listed):
        raise QueryError("fields must be 'all', a keyword, or a list of keywords.")
    if any(field.lower() == "all" for field in listed):
        return ["all"]
    return list(dict.fromkeys(tags.attribute(field).column for field in listed))


def _find_nested(name: str) -> tags.Attribute | None:
    """Find an attribute, also one within a sequence; it is named and numbered by its path then."""
    parts = [tags.find(part) for part in name.split(".")]
    path = [part for part in parts if part is not None]
    if len(path) < len(parts) or any(part.vr != "SQ" for part in path[:-1]):
        return None
    return replace(
        path[-1], tag=".".join(part.tag for part in path), keyword=".".join(part.column for part in path)
    )


def _named(
    filters: Mapping[str, Any], find: Callable[[str], tags.Attribute | None] = tags.find
) -> list[tuple[tags.Attribute, Any]]:
    """Find each filter's attribute in the dictionary."""
    named: dict[str, tuple[tags.Attribute, Any]] = {}
    for name, value in filters.items():
        if not isinstance(name, str):
            raise QueryError("Filters are named by keyword or eight hex digits.")
        key = find(name)
        if key is None:
            _refuse_name(name)
        else:
            if key.tag in named:
                raise QueryError(f"{key.column} is given twice, by keyword and by number.")
            if not _SEARCHABLE.intersection(key.vr.split(" or ")):
                raise QueryError(f"{key.column} is of VR {key.vr}, which cannot be searched.")
            named[key.tag] = (key, value)
    return list(named.values())


def _refuse_name(name: str) -> None:
    if name[:1].islower():
        near = difflib.get_close_matches(name, CONTROLS, n=1, cutoff=0.6) or tags.suggest(name, 1)
        advice = f" Did you mean {near[0]!r}?" if near else ""
        raise QueryError(
            f"{name[:64]!r} is no control of a search.{advice} Controls are {', '.join(CONTROLS)}; "
            "attributes are named by their CamelCase keyword."
        )
    tags.attribute(name)


def _listed(value: Any) -> list[Any] | None:
    """Give the values of a list, set, array or column; None for a single one."""
    if hasattr(value, "columns"):
        raise QueryError("A table is no list of values; give one of its columns, like df['PatientID'].")
    if isinstance(value, str | bytes | tuple | slice | Mapping) or getattr(value, "ndim", None) == 0:
        return None
    return list(value) if isinstance(value, Iterable) else None


def _texts(key: tags.Attribute, value: Any) -> list[str]:
    """Format what one filter was given: a value, a range, or several."""
    listed = _listed(value)
    if listed is not None:
        return list(dict.fromkeys(text for each in listed for text in _texts(key, each)))
    if isinstance(value, slice):
        if value.step is not None:
            raise QueryError(f"{key.column}: a slice is a range from start to stop; it has no step.")
        value = (value.start, value.stop)
    if isinstance(value, tuple):
        if key.vr not in RANGE_VRS or len(value) != 2:
            raise QueryError(
                f"{key.column}: a tuple is a range (start, end) of dates or times; "
                "for any of several values give a list."
            )
        return [format_range(key, *value)]
    return [format_value(key, value)]
