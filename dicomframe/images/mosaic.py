"""Siemens' mosaics: all slices of a volume side by side in one picture, as its MR scanners write them.

No standard describes them. What is read here is what Siemens' conformance statements and private headers say: Image
Type has the value MOSAIC, (0019,100A) of the block "SIEMENS MR HEADER" the number of tiles, and the CSA header
(0029,1010) the normal along which they follow each other.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.images.reading import private_value

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pydicom import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """How a mosaic is made up.

    Parameters
    ----------
    count : int
        Tiles that hold a slice, row by row from the upper left; the rest is black.
    tile : (int, int)
        Rows and columns of one.
    step : float or None
        From slice to slice in mm.
    normal : ndarray of float64, shape (3,), or None
        The way in which slices follow each other, as the CSA header tells it.
    marks : dict
        What tells one mosaic of a series from the next.
    """

    count: int
    tile: tuple[int, int]
    step: float | None
    normal: NDArray[np.float64] | None
    marks: dict[str, Hashable] = field(default_factory=dict)

    def cut(self, picture: NDArray[Any], number: int) -> NDArray[Any]:
        """Cut out one tile, counted from 0."""
        rows, columns = self.tile
        down, right = divmod(number, picture.shape[1] // columns)
        return picture[down * rows : (down + 1) * rows, right * columns : (right + 1) * columns]


def is_mosaic(item: Any) -> bool:
    """Tell whether an object, or a table's row of it, calls itself a mosaic."""
    image_type = item.get("ImageType")
    return isinstance(image_type, Iterable) and "MOSAIC" in [str(value).upper() for value in image_type]


def mosaic_of(ds: Dataset) -> Mosaic | None:
    """Tell how a mosaic is made up; None of any other object, and of a mosaic that does not say it.

    Parameters
    ----------
    ds : pydicom.Dataset
    """
    if not is_mosaic(ds):
        return None
    header = csa_values(private_value(ds, 0x0029, 0x10, "SIEMENS CSA HEADER"))
    count = _whole(private_value(ds, 0x0019, 0x0A, "SIEMENS MR HEADER")) or _whole(
        next(iter(header.get("NumberOfImagesInMosaic", [])), None)
    )
    rows, columns = int(ds.get("Rows") or 0), int(ds.get("Columns") or 0)
    if not count:
        return None
    side = math.isqrt(count - 1) + 1
    if not rows or not columns or rows % side or columns % side:
        return None
    spacing = ds.get("SpacingBetweenSlices") or next(iter(header.get("SpacingBetweenSlices", [])), None)
    normal = header.get("SliceNormalVector")
    return Mosaic(
        count=count,
        tile=(rows // side, columns // side),
        step=abs(float(spacing)) if spacing else None,
        normal=np.array([float(each) for each in normal]) if normal and len(normal) == 3 else None,
        marks={
            name: float(value)
            for name, keyword in (("EchoTime", "EchoTime"), ("AcquisitionNumber", "AcquisitionNumber"))
            if (value := ds.get(keyword)) is not None
        },
    )


def csa_values(header: Any) -> dict[str, list[str]]:
    """Read a CSA header of the version that begins with ``SV10``: name to values, as text.

    Parameters
    ----------
    header : bytes or None

    Returns
    -------
    dict
        Empty where it is none, or where it breaks off.
    """
    if not isinstance(header, bytes) or header[:4] != b"SV10":
        return {}
    found: dict[str, list[str]] = {}
    try:
        (count,) = struct.unpack_from("<I", header, 8)
        at = 16
        for _ in range(min(count, 1000)):
            name, items = struct.unpack_from("<64s12xI", header, at)
            at += 84
            values = []
            for _ in range(min(items, 10_000)):
                (length,) = struct.unpack_from("<4xI", header, at)
                value = header[at + 16 : at + 16 + length].split(b"\0")[0].decode("latin-1").strip()
                at += 16 + (length + 3) // 4 * 4
                values += [value] if value else []
            found[name.split(b"\0")[0].decode("latin-1")] = values
    except struct.error:
        return {}
    return found


def _whole(value: Any) -> int:
    try:
        number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)
    except (TypeError, ValueError):
        return 0
    return max(number, 0)
