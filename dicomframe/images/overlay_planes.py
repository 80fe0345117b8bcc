"""Overlay planes: drawings of one bit over an image, in the groups 6000 to 601E (PS3.3 C.9.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, eq=False)
class OverlayPlane:
    """One overlay plane, where it lies over the image.

    Parameters
    ----------
    array : ndarray of bool
        Shape (frames, rows, columns) of the image; frames is 1 where the overlay is the same on all of them.
    group : int
        ``0x6000`` to ``0x601E``.
    kind : str
        ``"G"``, graphics, or ``"R"``, a region of interest.
    label, description : str
        As the object tells them; they may hold anything.
    first_frame : int
        The image's frame, from 1, that the first of the overlay's lies on.
    """

    array: NDArray[np.bool_]
    group: int
    kind: str = "G"
    label: str = field(default="", repr=False)
    description: str = field(default="", repr=False)
    first_frame: int = 1


@reading("the overlays")
def overlay_planes(ds: Dataset) -> list[OverlayPlane]:
    """Decode all overlay planes of an image.

    Parameters
    ----------
    ds : pydicom.Dataset

    Returns
    -------
    list of OverlayPlane
        In order of their groups; what lies beyond the image's edges is cut off. Empty where there is none.

    Raises
    ------
    DecodeError
        If one is damaged, or kept in bits of the pixels, as objects before 2004 had it (PS3.3 C.9.2, retired).

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> overlay_planes(dcmread(examples.get_path("ct")))
    []
    """
    return [
        _plane(ds, group)
        for group in range(0x6000, 0x6020, 2)
        if (group, 0x0010) in ds or (group, 0x3000) in ds
    ]


def _plane(ds: Dataset, group: int) -> OverlayPlane:
    if (group, 0x3000) not in ds:
        raise DecodeError(
            f"The overlay in group {group:04X} has no data of its own; it may be in bits of the pixels."
        )
    bits = ds.overlay_array(group)
    bits = bits.reshape(-1, *bits.shape[-2:]).astype(bool)
    origin = [int(each) for each in _value(ds, group, 0x0050, [1, 1])]
    rows, columns = int(ds.get("Rows") or bits.shape[1]), int(ds.get("Columns") or bits.shape[2])
    placed = np.zeros((len(bits), rows, columns), dtype=bool)
    # Origin is 1\1 for the image's first pixel, and may lie outside of it.
    down, right = origin[0] - 1, origin[1] - 1
    inside = bits[:, max(-down, 0) : max(rows - down, 0), max(-right, 0) : max(columns - right, 0)]
    top, left = max(down, 0), max(right, 0)
    placed[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return OverlayPlane(
        array=placed,
        group=group,
        kind=str(_value(ds, group, 0x0040, "G")),
        label=str(_value(ds, group, 0x1500, "")),
        description=str(_value(ds, group, 0x0022, "")),
        first_frame=int(_value(ds, group, 0x0051, 1)),
    )


def _value(ds: Dataset, group: int, element: int, default: Any) -> Any:
    found = ds.get((group, element))
    return default if found is None or found.value is None or found.value == "" else found.value
