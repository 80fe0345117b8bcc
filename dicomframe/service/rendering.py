"""GET of rendered images and thumbnails (PS3.18 sections 8.3.5 and 10.4): JPEG or PNG for the eye."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dicomframe.service import negotiation
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import bad_request, not_acceptable
from dicomframe.service.frames import check_numbers, numbers_of, open_pixels
from dicomframe.service.negotiation import JPEG
from dicomframe.service.picture import Window, picture, warning_of
from dicomframe.service.pixels import CannotDecode, Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

#: The user's reference says 90, the real service does 100.
QUALITY: Final = 90
_STRICT_QUALITY: Final = 100
_THUMBNAIL_SIDE: Final = 200
#: Pixels a side that a picture may be scaled to.
MOST_SIDE: Final = 8192
#: JPEG's own limit is 65,535.
_MOST_JPEG_SIDE: Final = 65_500
_FUNCTIONS: Final[dict[str, str]] = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_WHOLE = re.compile(r"[0-9]{1,5}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,12}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Viewport:
    """What a picture must fit in, and which part of it is shown (PS3.18 section 8.3.5.1.3).

    Parameters
    ----------
    columns, rows : int
        The picture is made as large as fits, its proportions kept.
    left, top : float
        Where the shown part begins, in pixels of the image.
    width, height : float, optional
        Its size, by default up to the edges; a negative one mirrors it.
    grows : bool
        Whether a smaller picture is enlarged.
    """

    columns: int
    rows: int
    left: float = 0.0
    top: float = 0.0
    width: float | None = None
    height: float | None = None
    grows: bool = True

    def __call__(self, image: Image) -> Image:
        """Cut, mirror and scale.

        Raises
        ------
        Fault
            400 if the part lies outside of the image.
        """
        from PIL.Image import Resampling, Transpose

        width = image.width - self.left if self.width is None else self.width
        height = image.height - self.top if self.height is None else self.height
        right, bottom = self.left + abs(width), self.top + abs(height)
        box = (round(self.left), round(self.top), round(right), round(bottom))
        if box[2] > image.width or box[3] > image.height or box[0] >= box[2] or box[1] >= box[3]:
            raise bad_request(
                f"The part of the image that viewport names is empty or lies outside of its {image.width} columns and"
                f" {image.height} rows.",
                "InvalidViewport",
            )
        if box != (0, 0, *image.size):
            image = image.crop(box)
        if width < 0:
            image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
        if height < 0:
            image = image.transpose(Transpose.FLIP_TOP_BOTTOM)
        factor = min(self.columns / image.width, self.rows / image.height)
        if not self.grows:
            factor = min(factor, 1.0)
        size = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
        return image if size == image.size else image.resize(size, Resampling.BICUBIC)


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a picture is made.

    Parameters
    ----------
    media_type : {"image/jpeg", "image/png"}
        What it is sent as.
    quality : int
        Of JPEG, 1 to 100.
    window : Window, optional
        By default the image's own.
    viewport : Viewport, optional
        By default the picture is as large as the image.
    """

    media_type: str
    quality: int = QUALITY
    window: Window | None = None
    viewport: Viewport | None = None

    def render(self, pixels: Pixels, index: int) -> bytes:
        """Give the bytes of a frame's picture.

        Raises
        ------
        CannotDecode
            If the frame cannot be decoded.
        Fault
            406 if it is too large for JPEG, and as for `Viewport`.
        """
        from PIL import Image

        values: NDArray[Any] = picture(pixels, index, self.window)
        image = Image.fromarray(values)
        if self.viewport is not None:
            image = self.viewport(image)
        out = io.BytesIO()
        if self.media_type != JPEG:
            image.save(out, "PNG")
        elif max(image.size) > _MOST_JPEG_SIDE:
            raise not_acceptable(
                "The image is too large for JPEG; ask for image/png, or for a smaller viewport."
            )
        else:
            image.save(out, "JPEG", quality=self.quality, subsampling="4:4:4")
        return out.getvalue()


async def rendered(call: Call) -> Answer:
    """Send a frame as a picture: the one that the path names, else the first.

    ``quality``, ``window`` and ``viewport`` are read; the real service knows the first alone, so a strict service
    ignores the others as it does any unknown parameter.
    """
    media_type = negotiation.picture(call.header(b"accept"))
    given = single_values(call, ("quality", "window", "viewport"))
    strict = call.service.strict
    rendering = Rendering(
        media_type,
        quality_of(given.get("quality"), _STRICT_QUALITY if strict else QUALITY),
        None if strict else window_of(given.get("window")),
        None if strict else viewport_of(given.get("viewport")),
    )
    return await send(call, rendering, _frame_of(call))


async def thumbnail(call: Call) -> Answer:
    """Send the first frame as a small picture, by default of at most 200 pixels a side."""
    call.refuse_if_strict()
    media_type = negotiation.thumbnail(call.header(b"accept"))
    given = single_values(call, ("quality", "window", "viewport"))
    rendering = Rendering(
        media_type,
        quality_of(given.get("quality"), QUALITY),
        window_of(given.get("window")),
        viewport_of(given.get("viewport")) or Viewport(_THUMBNAIL_SIDE, _THUMBNAIL_SIDE, grows=False),
    )
    return await send(call, rendering, 1)


async def send(call: Call, rendering: Rendering, number: int) -> Answer:
    """Send the picture of a frame.

    Parameters
    ----------
    call : Call
        The request; its UIDs name the instance.
    rendering : Rendering
        How the picture is made.
    number : int
        The frame, from 1.

    Raises
    ------
    Fault
        404 if there is no such instance or frame, or no pixel data; 406 if it cannot be decoded.
    """
    pixels = await open_pixels(call)
    check_numbers([number], pixels.count)
    try:
        content = await call.service.offload.lengthy(rendering.render, pixels, number - 1)
    except CannotDecode as problem:
        raise not_acceptable(f"{problem} So the image cannot be rendered.") from None
    headers = {"Content-Type": rendering.media_type}
    if warning := warning_of(pixels, number - 1, rendering.window):
        headers["Warning"] = f'299 {call.base.split("/")[2]}: "{warning}"'
    return Answer(body=content, headers=headers)


def single_values(call: Call, names: tuple[str, ...]) -> Mapping[str, str]:
    """Give the query parameters of these names; others are ignored, as the real service does.

    Raises
    ------
    Fault
        400 if one is given twice.
    """
    values: dict[str, str] = {}
    for name, value in call.query():
        if name in values:
            raise bad_request(f"The query parameter {name} is given twice.")
        if name in names:
            values[name] = value
    return values


def quality_of(text: str | None, default: int) -> int:
    """Read a JPEG quality, or raise a 400."""
    if text is None:
        return default
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= 100:
        raise bad_request("The quality must be a whole number from 1 to 100.", "InvalidQuality")
    return int(text)


def window_of(text: str | None) -> Window | None:
    """Read ``center,width`` or ``center,width,function``, or raise a 400."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    numbers = [number for part in parts[:2] if (number := _number(part)) is not None]
    function = _FUNCTIONS.get(parts[2].lower() if len(parts) > 2 else "linear")
    if len(numbers) == 2 and len(parts) <= 3 and function is not None:
        window = Window(numbers[0], numbers[1], function)
        if window.is_possible:
            return window
    raise bad_request(
        "The window must be center,width or center,width,function, such as 40,400 or 40,400,sigmoid; the function one"
        " of linear, linear-exact and sigmoid; the width at least 1 for linear, above 0 for the others.",
        "InvalidWindow",
    )


def viewport_of(text: str | None) -> Viewport | None:
    """Read ``columns,rows`` or ``columns,rows,left,top,width,height``, or raise a 400; the last four may be empty."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    sides = [int(part) for part in parts[:2] if _WHOLE.fullmatch(part) and 1 <= int(part) <= MOST_SIDE]
    rest = [_number(part) for part in parts[2:]]
    is_read = all(number is not None or not part for number, part in zip(rest, parts[2:], strict=True))
    if len(sides) == 2 and len(parts) in {2, 6} and is_read:
        left, top, width, height = rest or (None, None, None, None)
        if (left or 0) >= 0 and (top or 0) >= 0:
            return Viewport(sides[0], sides[1], left or 0.0, top or 0.0, width, height)
    raise bad_request(
        f"The viewport must be columns,rows of 1 to {MOST_SIDE}, such as 512,512; four more numbers may follow: left,"
        " top, width and height of the part of the image that is shown.",
        "InvalidViewport",
    )


def _number(text: str) -> float | None:
    return float(text) if _DECIMAL.fullmatch(text) else None


def _frame_of(call: Call) -> int:
    if not call.names:
        return 1
    numbers = numbers_of(call.names[0])
    if len(numbers) > 1:
        raise bad_request("One frame can be rendered at a time, such as frames/1/rendered.", "InvalidFrames")
    return numbers[0]
