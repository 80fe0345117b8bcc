"""The picture that a saved notebook shows in place of a live viewer."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

#: It has at most this many pixels each way, and small ones are enlarged up to four times.
STILL_SIDE = 512


def png_of(pixels: NDArray[np.uint8], spacing: tuple[float, float]) -> bytes:
    """Write a picture with the proportions of its pixels, in a size for a notebook.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns, 3)
    spacing : (float, float)
        Between rows and between columns, in any unit.

    Examples
    --------
    >>> png_of(np.zeros((4, 4, 3), np.uint8), (2.0, 1.0))[1:4]
    b'PNG'
    """
    from PIL import Image

    rows, columns = pixels.shape[:2]
    down, across = spacing[0] / min(spacing), spacing[1] / min(spacing)
    scale = min(STILL_SIDE / max(rows * down, columns * across), 4.0)
    size = max(round(columns * across * scale), 1), max(round(rows * down * scale), 1)
    is_grey = bool((pixels == pixels[..., :1]).all())
    image = Image.fromarray(pixels[..., 0] if is_grey else pixels)
    if size != (columns, rows):
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
