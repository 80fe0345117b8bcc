"""Where the last pages of searches ended, so that the next ones need not count the rows in front of them again.

An offset says how many rows to pass over, and a database can only count them: read page by page, a million rows
would be passed over five thousand times. A page that begins at a row whose key is known costs the same wherever it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from dicomframe.service.selection import Place

_SEARCHES: Final = 16
#: More than the pages that a client asks for at once: they come in any order.
_PLACES: Final = 64


class Bookmarks:
    """Known places in searches and in the change feed, the last used ones, as long as nothing is written.

    Parameters
    ----------
    version : int
        Of the data that they are true of; those of the feed stay true.

    Examples
    --------
    >>> bookmarks = Bookmarks(version=1)
    >>> bookmarks.add("all studies", Place(offset=199, key=801))
    >>> bookmarks.nearest("all studies", 400), bookmarks.nearest("all studies", 198)
    (Place(offset=199, key=801), None)
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._searches: OrderedDict[Hashable, OrderedDict[int, Place]] = OrderedDict()

    def nearest(self, search: Hashable, offset: int) -> Place | None:
        """Give the last place that is known at or in front of an offset."""
        places = self._searches[search].values() if search in self._searches else ()
        return max((place for place in places if place.offset <= offset), default=None)

    def add(self, search: Hashable, place: Place) -> None:
        """Remember a place, and forget the ones that were longest not added to."""
        places = self._searches.setdefault(search, OrderedDict())
        self._searches.move_to_end(search)
        places[place.offset] = place
        places.move_to_end(place.offset)
        for known, most in ((places, _PLACES), (self._searches, _SEARCHES)):
            if len(known) > most:
                known.popitem(last=False)
