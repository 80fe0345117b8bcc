"""A picture that is ready to be shown, and who made it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.reading import reading

#: Pixels that a viewport may have in each direction.
MOST_PIXELS = 16_384


class Picture(np.ndarray):
    """An array of uint8, shape (rows, columns) or (rows, columns, 3) for RGB, that remembers who made it.

    It is a NumPy array in every way; at the end of a notebook cell it shows itself. Slices and copies keep the three
    attributes; what is calculated from it, or read back from a file, is a plain array.

    Parameters
    ----------
    values : ndarray of uint8
        The picture; it is not copied.
    source : {"server", "local"}
        Whether the server rendered it, or this process from the instance's pixels.
    media_type : str
        What the server's bytes were: ``"image/jpeg"`` has losses. Empty where none were decoded.
    reason : str
        Why it was made here, or otherwise than asked; empty where it is simply what was asked for.

    Examples
    --------
    >>> picture = Picture(np.zeros((2, 3), np.uint8), "local", reason="the server renders nothing")
    >>> picture.shape, picture[:1].source, type(picture * 2).__name__
    ((2, 3), 'local', 'ndarray')
    """

    source: str
    media_type: str
    reason: str

    def __new__(cls, values: NDArray[np.uint8], source: str, media_type: str = "", reason: str = "") -> Self:
        """Look at an array as a picture."""
        made = np.asarray(values, dtype=np.uint8).view(cls)
        made.source, made.media_type, made.reason = source, media_type, reason
        return made

    def __array_finalize__(self, made_from: Any) -> None:
        self.source = getattr(made_from, "source", "")
        self.media_type = getattr(made_from, "media_type", "")
        self.reason = getattr(made_from, "reason", "")

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        result = np.asarray(array)
        return result[()] if result.ndim == 0 else result

    def _repr_png_(self) -> bytes | None:
        is_picture = self.dtype == np.uint8 and (self.ndim == 2 or (self.ndim == 3 and self.shape[2] == 3))
        if not is_picture or self.size == 0:
            return None
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.asarray(self)).save(buffer, "PNG")
        return buffer.getvalue()


@reading("the picture")
def read_picture(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """Decode an image file, whatever its server called it.

    Returns
    -------
    ndarray of uint8
        Shape (rows, columns), or (rows, columns, 3) for colour. Sixteen bits are brought to eight.
    str
        The media type that the bytes themselves show.

    Raises
    ------
    DecodeError
        If it is no image, or one that is cut off.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise DecodeError(f"The {len(data)} bytes that came are no image.") from None
    with image:
        kind = Image.MIME.get(image.format or "", "")
        if image.mode.startswith("I"):
            return (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8), kind
        is_grey = image.mode in {"1", "L", "LA"}
        return np.array(image.convert("L" if is_grey else "RGB"), dtype=np.uint8), kind


def fit(picture: NDArray[np.uint8], columns: int, rows: int) -> NDArray[np.uint8]:
    """Scale a picture so that it fills a viewport in one direction and does not exceed it in the other.

    Parameters
    ----------
    picture : ndarray of uint8
        Shape (rows, columns) or (rows, columns, 3).
    columns, rows : int
        The viewport (PS3.18 section 8.3.5.1.3).

    Examples
    --------
    >>> fit(np.zeros((20, 40), np.uint8), columns=10, rows=10).shape
    (5, 10)
    """
    size = fitted(picture.shape, columns, rows)
    if size == picture.shape[:2]:
        return picture
    from PIL import Image

    scaled = Image.fromarray(np.asarray(picture)).resize(size[::-1], Image.Resampling.LANCZOS)
    return np.asarray(scaled, dtype=np.uint8)


def fitted(shape: Sequence[int], columns: int, rows: int) -> tuple[int, int]:
    """Give the rows and columns that a picture of a shape has in a viewport."""
    factor = min(rows / shape[0], columns / shape[1])
    return max(round(shape[0] * factor), 1), max(round(shape[1] * factor), 1)


def check_viewport(viewport: Any) -> tuple[int, int] | None:
    """Give a viewport back as (columns, rows) if it is one.

    Raises
    ------
    QueryError
        If it is not a pair of whole numbers from 1 to 16,384.
    """
    if viewport is None:
        return None
    try:
        columns, rows = viewport
        sides = int(columns), int(rows)
        is_whole = (columns, rows) == sides and not isinstance(viewport, str)
    except (TypeError, ValueError, OverflowError):
        is_whole = False
        sides = 0, 0
    if not is_whole or not all(1 <= side <= MOST_PIXELS for side in sides):
        raise QueryError(
            f"viewport= is a pair of whole numbers, (columns, rows), each from 1 to {MOST_PIXELS}."
        )
    return sides
