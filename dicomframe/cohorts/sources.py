"""Where a cohort's rows come from: a service that is searched, or a lake that is read.

Both answer the same two questions, so that steps need not know which it is.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pandas as pd

from dicomframe.accessor.remote import search_around
from dicomframe.client.addresses import addresses_of_table
from dicomframe.cohorts.matching import match_all
from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.errors import QueryError
from dicomframe.tables.schema import LEVEL_KEYWORDS

if TYPE_CHECKING:
    from dicomframe.client.client import Client
    from dicomframe.lake.lake import Lake
    from dicomframe.lake.reading import Moment

_PLURAL: Final = {"study": "studies", "series": "series", "instance": "instances"}


class Source(Protocol):
    """What a cohort asks."""

    def search(
        self,
        level: Level,
        around: pd.DataFrame | None,
        filters: Mapping[str, Any],
        *,
        fuzzy: bool,
        fields: Sequence[str],
    ) -> pd.DataFrame:
        """Give what matches, below, at or above the rows of a table, if there is one; each UID once."""

    def metadata(self, table: pd.DataFrame, keywords: Sequence[str]) -> pd.DataFrame:
        """Give attributes of instances, beside their UIDs; what could not be had is in ``attrs["dicom"]["failed"]``."""


class ServiceSource:
    """A service.

    Parameters
    ----------
    client : Client
        The way to it.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def search(
        self,
        level: Level,
        around: pd.DataFrame | None,
        filters: Mapping[str, Any],
        *,
        fuzzy: bool,
        fields: Sequence[str],
    ) -> pd.DataFrame:
        """Search it."""
        options: dict[str, Any] = {**filters, "fuzzy": fuzzy, "fields": list(fields) or None}
        if around is not None:
            return search_around(self.client, around, level, options)
        found: pd.DataFrame = getattr(self.client, f"search_{_PLURAL[level]}")(**options).to_frame()
        return found

    def metadata(self, table: pd.DataFrame, keywords: Sequence[str]) -> pd.DataFrame:
        """Retrieve it."""
        return self.client.collect_metadata(addresses_of_table(table), list(keywords))


class LakeSource:
    """A lake, as it was when the first step was done, or at a time.

    Parameters
    ----------
    lake : Lake
        The lake.
    as_of : datetime, optional
        At which time.
    """

    def __init__(self, lake: Lake, as_of: datetime | None = None) -> None:
        self._lake = lake
        self._as_of = as_of
        self._lock = threading.Lock()
        self._moment: Moment | None = None

    def search(
        self,
        level: Level,
        around: pd.DataFrame | None,
        filters: Mapping[str, Any],
        *,
        fuzzy: bool,
        fields: Sequence[str],
    ) -> pd.DataFrame:
        """Choose among its rows as the service does among its own; a value that is missing matches nothing.

        Raises
        ------
        QueryError
            If it asks for what only a service has: fuzzy matching, or attributes that the lake's table does not hold.
        """
        if fuzzy:
            raise QueryError("fuzzy= is the service's own matching, which a lake does not have; use * and ?.")
        above = list(UID_KEYWORD_OF_LEVEL)[: list(UID_KEYWORD_OF_LEVEL).index(level)]
        asked = {tags.attribute(name).column: value for name, value in filters.items()}
        every = [each.lower() for each in fields] == ["all"]
        further = [] if every else [tags.attribute(each).column for each in fields]
        wanted = [keyword for each in (level, *above) for keyword in LEVEL_KEYWORDS[each]]
        wanted = list(dict.fromkeys([*wanted, *asked, *further]))
        moment = self._pinned()
        studies = None if around is None else around["StudyInstanceUID"].unique().tolist()
        found = moment.table(level, wanted, studies, every=every)
        stays = np.ones(len(found), dtype=bool)
        if around is not None:
            keys = [UID_KEYWORD_OF_LEVEL[each] for each in (*above, level)]
            keys = [name for name in keys if name in around.columns]
            stays &= pd.MultiIndex.from_frame(found[keys]).isin(pd.MultiIndex.from_frame(around[keys]))
        for verdict in match_all(found, asked).values():
            stays &= verdict.yes
        return found[stays].reset_index(drop=True)

    def metadata(self, table: pd.DataFrame, keywords: Sequence[str]) -> pd.DataFrame:
        """Read it from the instances' JSON; no service is needed."""
        wanted = [*UID_KEYWORD_OF_LEVEL.values(), *keywords]
        studies = table["StudyInstanceUID"].unique().tolist()
        return self._pinned().table("instance", wanted, studies)

    def _pinned(self) -> Moment:
        """Give the lake's tables as they are when it is first asked: no two steps see different ones."""
        with self._lock:
            if self._moment is None:
                self._moment = self._lake.moment(self._as_of)
            return self._moment


def source_of(given: Client | Lake | Source | None, as_of: datetime | None = None) -> Source | None:
    """Make a source of what a cohort is given."""
    from dicomframe.client.client import Client

    if as_of is not None and (given is None or isinstance(given, Client)):
        raise QueryError("as_of= is for a lake; a service tells only how things are now.")
    if isinstance(given, Client):
        return ServiceSource(given)
    if given is None or hasattr(given, "search"):
        return given  # type: ignore[return-value]
    if not hasattr(given, "moment"):
        raise QueryError("A cohort is of a client or of a lake: dfr.cohort(client), dfr.cohort(lake).")
    return LakeSource(given, as_of)
