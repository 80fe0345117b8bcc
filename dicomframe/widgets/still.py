"""The picture that a saved notebook shows in place of a live viewer."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: It has at most this many pixels each way, and small ones are enlarged up to four times.
STILL_SIDE = 512
#: Seconds without a change before it is renewed.
QUIET = 1.0


class Still:
    """The output after a live view: a picture that is renewed once the view has rested.

    Parameters
    ----------
    bundle : callable
        Gives the picture, by media type.
    is_live : callable
        Whether there still is a view that it stands for.
    """

    def __init__(self, bundle: Callable[[], dict[str, str]], is_live: Callable[[], bool]) -> None:
        self._bundle = bundle
        self._is_live = is_live
        self._shown: Any = None
        self._timer: threading.Timer | None = None

    def show(self) -> None:
        """Show it as an output of its own; the one shown last is the one that is renewed."""
        from IPython.display import display

        self._shown = display(self._bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def changed(self, _: Any = None) -> None:
        """Renew it after a while, unless the view changes again before."""
        self.close()
        self._timer = threading.Timer(QUIET, self._renew)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Renew it no more, until there is another change."""
        if self._timer is not None:
            self._timer.cancel()

    def _renew(self) -> None:
        if self._shown is not None and self._is_live():
            self._shown.update(self._bundle(), raw=True)


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
