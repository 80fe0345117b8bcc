"""From objects to a volume: one slice each, sorted along the normal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomframe.errors import DecodeError
from dicomframe.images.pixels import frame_pixels
from dicomframe.images.reading import reading
from dicomframe.images.volume import Volume, affine_of
from dicomframe.images.windowing import default_window

if TYPE_CHECKING:
    from pydicom import Dataset

PROBLEM_COLUMNS = ("what", "where", "SOPInstanceUID", "frame", "detail")


def volume_of(datasets: Iterable[Dataset]) -> Volume:
    """Assemble single-frame objects of one series into a volume.

    Raises
    ------
    DecodeError
        If there is no image with a position.
    """
    import pandas as pd

    found: list[tuple[float, Any, Dataset]] = []
    with reading("the position"):
        for ds in datasets:
            direction = np.array([float(number) for number in ds.ImageOrientationPatient])
            position = np.array([float(number) for number in ds.ImagePositionPatient])
            found.append((float(np.cross(direction[:3], direction[3:]) @ position), position, ds))
    if not found:
        raise DecodeError("There is no image with a position.")
    found.sort(key=lambda each: each[0])
    first = found[0][2]
    direction = np.array([float(number) for number in first.ImageOrientationPatient])
    normal = np.cross(direction[:3], direction[3:])
    count = len(found)
    step = (
        (found[-1][1] - found[0][1]) / (count - 1)
        if count > 1
        else normal * float(first.get("SliceThickness") or 1)
    )
    values = np.stack([frame_pixels(ds, modality_lut=True) for _, _, ds in found])
    whole = bool((values == np.round(values)).all()) and values.min() >= -32768 and values.max() <= 32767
    middle = found[count // 2][2]
    slices = pd.DataFrame(
        {
            "SOPInstanceUID": pd.array([str(ds.SOPInstanceUID) for _, _, ds in found], dtype="string"),
            "frame": pd.array([1] * count, dtype="Int64"),
            **{name: [float(each[1][axis]) for each in found] for axis, name in enumerate("xyz")},
        }
    )
    return Volume(
        array=values.astype(np.int16 if whole else np.float32),
        affine=affine_of(
            found[0][1], step, direction[:3], direction[3:], [float(each) for each in first.PixelSpacing]
        ),
        problems=pd.DataFrame(
            {name: pd.array([], dtype="Int64" if name == "frame" else "string") for name in PROBLEM_COLUMNS}
        ),
        slices=slices,
        unit="HU" if first.get("Modality") == "CT" else "",
        modality=str(first.get("Modality") or ""),
        frame_of_reference_uid=str(first.get("FrameOfReferenceUID") or ""),
        window=default_window(middle),
        inverted=str(middle.get("PhotometricInterpretation")) == "MONOCHROME1",
    )
