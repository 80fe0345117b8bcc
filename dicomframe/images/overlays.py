"""Segmentations, structure sets and doses over a volume, registered by the frame of reference (PS3.3 C.7.4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.doses import doses
from dicomframe.images.layers import PALETTE, Overlay, Overlays
from dicomframe.images.reading import reading
from dicomframe.images.segmentations import segments
from dicomframe.images.structures import structures

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.images.volume import Volume

__all__ = ["MODALITIES", "PALETTE", "Overlay", "Overlays", "overlays_of"]

#: Modalities of the objects that can lie over a volume.
MODALITIES = ("SEG", "RTSTRUCT", "RTDOSE")

#: SOP Class UID -> modality, for objects that do not name theirs.
_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
}


def overlays_of(ds: Dataset, onto: Volume, *, registered: bool = False) -> Overlays:
    """Lay what a Segmentation, RT Structure Set or RT Dose holds over a volume.

    Parameters
    ----------
    ds : pydicom.Dataset
        Segmentation (PS3.3 A.51), Label Map Segmentation, RT Structure Set (A.19) or RT Dose (A.18).
    onto : Volume
        Its grid and frame of reference count; the grids need not be parallel, nor equally fine.
    registered : bool
        Lay it there although it names another frame of reference, or none: you know that the coordinates fit.

    Returns
    -------
    Overlays
        A list of `Overlay`: one a segment, one a region of interest, or one dose. Its ``problems``, a table, has what
        could not be used and why.

    Raises
    ------
    QueryError
        If the frame of reference is not the volume's, or its slices do not lie on its grid.
    DecodeError
        If it is another kind of object, or cannot be read.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> overlays_of(Dataset(), onto=None)
    Traceback (most recent call last):
    ...
    dicomframe.errors.DecodeError: This is no segmentation, structure set or dose (SEG, RTSTRUCT, RTDOSE).
    """
    with reading("the header"):
        modality = _CLASSES.get(str(ds.get("SOPClassUID") or "")) or str(ds.get("Modality") or "")
        if modality not in MODALITIES:
            raise DecodeError(f"This is no segmentation, structure set or dose ({', '.join(MODALITIES)}).")
        if not registered:
            _check_reference(_references(ds, modality), onto)
    if not onto.is_regular:
        raise QueryError(
            "The volume's slices are not evenly spaced, so that its grid is not where they lie, and an overlay would be"
            " drawn on the wrong ones: see volume.problems. Make a volume of slices that are."
        )
    if modality == "RTSTRUCT":
        found = structures(ds, onto, registered=registered)
    else:
        read: Callable[[Dataset, Volume], Overlays] = segments if modality == "SEG" else doses
        found = read(ds, onto)
    found[:] = [
        replace(overlay, affine=onto.affine, frame_of_reference_uid=onto.frame_of_reference_uid)
        for overlay in found
    ]
    return found


def _references(ds: Dataset, modality: str) -> set[str]:
    """Give the frames of reference that an object's coordinates are in."""
    if modality != "RTSTRUCT":
        return {str(ds.get("FrameOfReferenceUID") or "")}
    rois = ds.get("StructureSetROISequence") or []
    own = str(ds.get("FrameOfReferenceUID") or "")
    return {str(roi.get("ReferencedFrameOfReferenceUID") or own) for roi in rois} or {own}


def _check_reference(references: Iterable[str], onto: Volume) -> None:
    """Refuse an object of which nothing lies in the volume's frame of reference."""
    named = {each for each in references if each}
    if onto.frame_of_reference_uid in named:
        return
    if named and onto.frame_of_reference_uid:
        reason = "lies in another frame of reference than the volume"
    else:
        reason = "cannot be placed: it, or the volume, names no frame of reference"
    raise QueryError(
        f"The overlay {reason}. Choose the series that it was drawn on, or give registered=True if you know that "
        "the coordinates fit."
    )
