"""Rendered pictures and thumbnails (PS3.18 sections 10.4.1.1.3 and 10.4.1.1.4), from the server or made here.

Servers differ more here than anywhere: the cloud service has no thumbnails and ignores ``window`` and ``viewport``
without a word, Orthanc wants the window's function spelled out, others render nothing. Whatever a server does not do is
done here from the instance's pixels, and the picture says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from dicomframe.client.frames import REFUSALS, check_frame, no_such_frame
from dicomframe.client.retrieve import Retriever
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import BadRequestError, QueryError, ServiceError, printable
from dicomframe.images.picture import Picture, check_viewport, fit, read_picture
from dicomframe.images.windowing import Window, WindowLike, as_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Columns and rows that a thumbnail has at most, where nothing else is asked for.
THUMBNAIL: Final = (200, 200)
MEDIA_TYPES: Final = ("image/jpeg", "image/png")

#: The text of a warning (RFC 7234 section 5.5), whichever name is before it.
_WARNING: Final = re.compile(r'^299 [^"]*"([^"]{1,300})"')

_Route = Literal["rendered", "thumbnail"]


@dataclass(frozen=True, slots=True)
class Wish:
    """How a picture is to look; `of` checks what a caller gave.

    Parameters
    ----------
    frame : int, optional
        From 1.
    window : Window, optional
        By default the image's own.
    viewport : (int, int), optional
        Columns and rows that it is scaled to fit; by default the image's own.
    quality : int, optional
        Of a JPEG, 1 to 100; by default the server's.
    media_type : str
        ``"image/jpeg"`` or ``"image/png"``.
    """

    frame: int | None = None
    window: Window | None = None
    viewport: tuple[int, int] | None = None
    quality: int | None = None
    media_type: str = MEDIA_TYPES[0]

    @classmethod
    def of(
        cls,
        frame: Any = None,
        window: WindowLike | None = None,
        viewport: Any = None,
        quality: Any = None,
        media_type: Any = MEDIA_TYPES[0],
    ) -> Wish:
        """Check what a caller asks for.

        Raises
        ------
        QueryError
            If it is impossible.
        """
        if media_type not in MEDIA_TYPES:
            raise QueryError(f"media_type= must be {' or '.join(map(repr, MEDIA_TYPES))}.")
        if quality is not None:
            if (
                isinstance(quality, bool)
                or not isinstance(quality, int | np.integer)
                or not 1 <= quality <= 100
            ):
                raise QueryError("quality= is a whole number from 1 to 100.")
            if media_type != "image/jpeg":
                raise QueryError("quality= is for image/jpeg only: PNG has no losses.")
        number = None if frame is None else check_frame(frame)
        return cls(number, as_window(window), check_viewport(viewport), quality, media_type)


class Renderer:
    """Pictures from one service; it remembers what the server does not do.

    Parameters
    ----------
    retriever : Retriever
        Where the objects come from that are rendered here.
    """

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._session = retriever.session
        self._lacks: dict[_Route, str] = {}
        # Whether a picture was seen to change with the window.
        self._honours_window = False
        # Which of the ways to write a window this server understands.
        self._way_of_window = 0

    def rendered(self, path: ResourcePath, wish: Wish) -> Picture:
        """Give a picture of an instance; `Client.retrieve_rendered` documents it."""
        if self._session.address.is_azure and (wish.window or wish.viewport):
            return self._local(path, wish, "the cloud service ignores window= and viewport=")
        return self._served(path, "rendered", wish, lambda reason: self._local(path, wish, reason))

    def thumbnail(self, path: ResourcePath, wish: Wish) -> Picture:
        """Give a small picture of an instance; `Client.retrieve_thumbnail` documents it."""
        whole = replace(wish, viewport=None)

        def otherwise(reason: str) -> Picture:
            # A rendered picture is less to fetch than the object, also where it has to be scaled here.
            large = self._served(path, "rendered", whole, lambda why: self._local(path, whole, why))
            small = fit(large, *wish.viewport) if wish.viewport else _shrunk(large)
            scaled = "" if large.source == "local" else f"scaled here: {reason}"
            return Picture(small, large.source, large.media_type, _joined(large.reason, scaled))

        return self._served(path, "thumbnail", wish, otherwise)

    def _served(
        self, path: ResourcePath, route: _Route, wish: Wish, otherwise: Callable[[str], Picture]
    ) -> Picture:
        """Give the server's picture, or what else there is when it has none."""
        if route in self._lacks:
            return otherwise(self._lacks[route])
        try:
            picture, reason = self._ask(path, route, wish)
        except ServiceError as error:
            if error.status not in REFUSALS:
                raise
            picture, reason = None, f"the server answered {error.status} to {route}"
            status: int | None = error.status
        else:
            status = None
        if picture is not None:
            return picture
        made = otherwise(reason)
        # 404 may mean many things; here it means that there is no such route, since there was a picture after all.
        if status in {404, 405, 501}:
            self._lacks[route] = reason
        return made

    def _ask(self, path: ResourcePath, route: _Route, wish: Wish) -> tuple[Picture | None, str]:
        """Ask the server; without a picture where what it sent is not what was asked for, with the reason."""
        picture = self._picture(path, route, wish, wish.window)
        if wish.viewport and not _fits(picture, wish.viewport):
            return None, "the server ignores viewport="
        if wish.window and not self._honours_window and _is_grey(picture):
            # It may ignore the window without a word; only a picture that differs shows that it does not.
            if np.array_equal(self._picture(path, route, wish, None), picture):
                return None, "the server's picture is the same with and without window="
            self._honours_window = True
        return picture, ""

    def _picture(self, path: ResourcePath, route: _Route, wish: Wish, window: Window | None) -> Picture:
        frames = f"/frames/{wish.frame}" if wish.frame else ""
        target = f"{path.url_path}{frames}/{route}"
        ways = _ways_to_write(window)
        for at in range(min(self._way_of_window, len(ways) - 1), len(ways)):
            params = [*ways[at], *_other_words(wish)]
            try:
                answer = self._session.request(
                    "GET", target, params=params, headers={"Accept": wish.media_type}
                )
            except BadRequestError as error:
                refusal = error
                continue
            self._way_of_window = max(self._way_of_window, at)
            values, kind = read_picture(answer.content)
            warning = _WARNING.search(answer.headers.get("Warning", ""))
            return Picture(values, "server", kind, printable(warning[1]) if warning else "")
        raise refusal

    def _local(self, path: ResourcePath, wish: Wish, reason: str) -> Picture:
        """Render from the object's pixels."""
        from dicomframe.images.pixels import frame_count
        from dicomframe.images.voi_luts import voi_luts_of
        from dicomframe.images.windowing import default_window, display

        dataset = self._retriever.instance(path)
        number = wish.frame or 1
        count = frame_count(dataset)
        if number > count:
            raise no_such_frame(path, number, count)
        shown = display(dataset, number - 1, wish.window)
        if shown.ndim == 2 and wish.window is None and default_window(dataset, number - 1) is None:
            reason = _joined(reason, voi_luts_of(dataset, number - 1)[1])
        return Picture(fit(shown, *wish.viewport) if wish.viewport else shown, "local", reason=reason)


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _ways_to_write(window: Window | None) -> list[list[tuple[str, str]]]:
    """Give the ways to write a window: the service's two numbers, and the standard's with the function."""
    if window is None:
        return [[]]
    numbers = f"{window.center:.10g},{window.width:.10g}"
    full = [("window", f"{numbers},{window.function.lower().replace('_', '-')}")]
    return [[("window", numbers)], full] if window.function == "LINEAR" else [full]


def _other_words(wish: Wish) -> Iterator[tuple[str, str]]:
    if wish.viewport:
        yield "viewport", f"{wish.viewport[0]},{wish.viewport[1]}"
    if wish.quality is not None:
        yield "quality", str(wish.quality)


def _fits(picture: Picture, viewport: tuple[int, int]) -> bool:
    """Whether a picture fills a viewport in one direction, to a pixel; some servers fill up the other as well."""
    columns, rows = viewport
    height, width = picture.shape[:2]
    is_inside: bool = height <= rows and width <= columns
    return is_inside and min(rows - height, columns - width) <= 1


def _is_grey(picture: Picture) -> bool:
    return picture.ndim == 2 or bool((picture == picture[..., :1]).all())


def _shrunk(picture: Picture) -> NDArray[np.uint8]:
    is_larger = picture.shape[0] > THUMBNAIL[1] or picture.shape[1] > THUMBNAIL[0]
    return fit(picture, *THUMBNAIL) if is_larger else picture
