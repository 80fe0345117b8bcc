"""Pictures that were made before, given again only once the service has said that the instance is still the same.

The service counts the versions of an instance, and sends the number as the ETag of its metadata. Whenever a picture
is asked for again, the service is asked with ``If-None-Match`` whether the number holds: 304 is a short answer, and
anything else means that the picture is made anew. So an old picture never passes for that of an updated instance.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from dicomframe.client.frames import REFUSALS
from dicomframe.client.session import Session
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import ServiceError
from dicomframe.images.picture import Picture

#: Pixels that are kept, in bytes: 1,600 thumbnails of 200 by 200 without colour.
MOST_BYTES: Final = 64 * 1024 * 1024
# Digits without quotes: the service's number of a version. Other servers' ETags may stand for the JSON alone, and stay
# as they are when only the pixels change.
_VERSION: Final = re.compile(r"[0-9]{1,19}")

_Known = tuple[str, Picture]


class PictureCache:
    """Pictures of one service, the least recently used go first.

    Parameters
    ----------
    session : Session
        The way to the service.
    most_bytes : int
        How much is kept.
    """

    def __init__(self, session: Session, most_bytes: int = MOST_BYTES) -> None:
        self._session = session
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, _Known] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._has_versions = True

    def picture(self, path: ResourcePath, look: Hashable, make: Callable[[], Picture]) -> Picture:
        """Give a picture of an instance, the one kept if it still holds.

        Parameters
        ----------
        path : ResourcePath
            Of an instance.
        look : hashable
            What else the picture depends on.
        make : callable
            Makes it.
        """
        key = path, look
        with self._lock:
            version, kept = self._kept.get(key, ("", None))
        # Asked for before the picture is made: if the instance is updated in between, the picture is only made again.
        now = self._version(path, version)
        if kept is not None and now == version:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
            return kept.copy()
        made = make()
        self._keep(key, now, made)
        return made

    def _version(self, path: ResourcePath, known: str) -> str:
        """Ask for an instance's version; empty where the server tells none that says all."""
        if not self._has_versions:
            return ""
        headers = {"Accept": "application/dicom+json"} | ({"If-None-Match": known} if known else {})
        try:
            answer = self._session.request(
                "GET", f"{path.url_path}/metadata", headers=headers, accept_status=(304,)
            )
        except ServiceError as error:
            if error.status not in REFUSALS:
                raise
            # What is wrong with the instance, the request for its picture will tell.
            return ""
        if answer.status == 304:
            return known
        version = answer.headers.get("ETag", "")
        if _VERSION.fullmatch(version):
            return version
        self._has_versions = False
        return ""

    def _keep(self, key: Hashable, version: str, picture: Picture) -> None:
        with self._lock:
            _, old = self._kept.pop(key, ("", None))
            self._bytes -= old.nbytes if old is not None else 0
            if not version or picture.nbytes > self._most_bytes // 4:
                return
            # A copy: the caller may draw on theirs.
            self._kept[key] = version, picture.copy()
            self._bytes += picture.nbytes
            while self._bytes > self._most_bytes:
                _, (_, gone) = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes
