"""Series made by hand: arrays as single-frame objects on a grid that a test chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

#: The root of UIDs that tests make.
ROOT = "1.2.826.0.1.3680043.10.1599"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def image(pixels: NDArray[Any], **attributes: Any) -> Dataset:
    """Make an image object of (rows, columns) or (frames, rows, columns) of int16 or uint16."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.1"
    ds.PatientID = "test"
    ds.Modality = "CT"
    ds.FrameOfReferenceUID = f"{ROOT}.9"
    if pixels.ndim == 3:
        ds.NumberOfFrames = len(pixels)
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    put(ds, **attributes)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return ds


def put(ds: Dataset, **attributes: Any) -> Dataset:
    """Set attributes; None takes one away, and a list of Datasets is a sequence."""
    for keyword, value in attributes.items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        elif isinstance(value, list) and value and isinstance(value[0], Dataset):
            setattr(ds, keyword, Sequence(value))
        else:
            setattr(ds, keyword, value)
    return ds


def item(**attributes: Any) -> Dataset:
    return put(Dataset(), **attributes)


def decimals(numbers: ArrayLike) -> list[float]:
    """Round to what DS holds."""
    return [float(f"{number:.8g}") for number in np.ravel(numbers)]


def series(
    array: NDArray[Any],
    *,
    orientation: ArrayLike = AXIAL,
    origin: ArrayLike = (0.0, 0.0, 0.0),
    step: ArrayLike = (0.0, 0.0, 2.0),
    spacing: ArrayLike = (1.0, 1.0),
    first: int = 1,
    **attributes: Any,
) -> list[Dataset]:
    """Make one object a slice; instance numbers go up with the slices, from ``first``."""
    return [
        image(
            plane,
            **{
                "SOPInstanceUID": f"{ROOT}.1.1.{first + number}",
                "InstanceNumber": first + number,
                "ImageOrientationPatient": decimals(orientation),
                "ImagePositionPatient": decimals(np.asarray(origin) + number * np.asarray(step)),
                "PixelSpacing": decimals(spacing),
                "SliceThickness": 2.0,
                **attributes,
            },
        )
        for number, plane in enumerate(array)
    ]


def numbered(slices: int, rows: int = 4, columns: int = 5) -> NDArray[np.int16]:
    """Make an array in which every voxel has another value."""
    return np.arange(slices * rows * columns, dtype=np.int16).reshape(slices, rows, columns)
