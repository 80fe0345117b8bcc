"""Pixel data to numpy: every transfer syntax that pydicom's decoders know, colours as RGB (PS3.3 C.7.6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError
from dicomframe.images.lut import modality_values, palette
from dicomframe.images.no_pixels import no_pixels
from dicomframe.images.reading import reading
from dicomframe.images.suv import suv_factor

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

#: Part of a transfer syntax's name -> the package whose decoder would help; the first that fits counts. Those of
#: pylibjpeg do nothing without pylibjpeg itself.
_HELP = (
    ("JPIP", "the provider that the image's Pixel Data Provider URL names"),
    ("MPEG", "PyAV (pip install av)"),
    ("HEVC", "PyAV (pip install av)"),
    ("SMPTE", "PyAV (pip install av)"),
    ("High-Throughput", "pylibjpeg-openjpeg (pip install 'pylibjpeg[openjpeg]')"),
    ("JPEG XL", "imagecodecs (pip install imagecodecs)"),
    ("JPEG-LS", "pyjpegls (pip install pyjpegls)"),
    ("JPEG 2000", "pylibjpeg-openjpeg (pip install 'pylibjpeg[openjpeg]')"),
    ("JPEG", "pylibjpeg-libjpeg (pip install 'pylibjpeg[libjpeg]')"),
    ("RLE", "pylibjpeg-rle (pip install 'pylibjpeg[rle]')"),
)

_EXACT_FRAMES: Any = {"allow_excess_frames": False}

#: Names of transfer syntaxes that came into the standard after pydicom's dictionary.
_NEWER_SYNTAXES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}


@reading("the image")
def pixels(ds: Dataset, *, modality_lut: bool = False, suv: bool = False) -> NDArray[Any]:
    """Decode all frames of an image.

    Parameters
    ----------
    ds : pydicom.Dataset
        With Pixel Data, Float Pixel Data or Double Float Pixel Data.
    modality_lut : bool
        Give greyscale values in the modality's unit (Hounsfield units for CT, PS3.3 C.11.1; Gy for a dose) as
        float64, instead of the stored ones; `dicomframe.images.units.unit_of` names it. Colour is never touched.
    suv : bool
        Give PET values as SUVbw in g/ml, float64; see `dicomframe.images.suv.suv_factor`.

    Returns
    -------
    ndarray
        Shape (frames, rows, columns), or (frames, rows, columns, 3) for colour; one frame gives frames = 1.
        The dtype is that of the stored values: uint8 to int32, float32 or float64. YBR and PALETTE COLOR
        come as RGB.

    Raises
    ------
    DecodeError
        If there is no pixel data, it is damaged, or no decoder for its transfer syntax is installed; the message
        names the transfer syntax and the package that would help. With `suv`, also if the image is no PET image,
        or a tag that this takes is missing.

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> pixels(dcmread(examples.get_path("ct"))).shape
    (1, 128, 128)
    """
    # Asked first, because it costs nothing to find that a tag is missing.
    factor = suv_factor(ds) if suv else 1.0
    frames = _decode(ds, None)
    if not (modality_lut or suv) or frames.ndim == 4:
        return frames
    if "PerFrameFunctionalGroupsSequence" not in ds:
        return modality_values(frames, ds) * factor
    return np.stack([modality_values(frame, ds, number) * factor for number, frame in enumerate(frames)])


@reading("the image")
def frame_pixels(ds: Dataset, frame: int = 0, *, modality_lut: bool = False) -> NDArray[Any]:
    """Decode one frame; the others of a multi-frame image are not touched.

    Parameters
    ----------
    ds : pydicom.Dataset
        As for `pixels`.
    frame : int
        Frame index, from 0; negative ones count from the end.
    modality_lut : bool
        As for `pixels`.

    Returns
    -------
    ndarray
        Shape (rows, columns) or (rows, columns, 3).

    Raises
    ------
    DecodeError
        As for `pixels`; and if there is no such frame.
    """
    count = frame_count(ds)
    if not -count <= frame < count:
        raise DecodeError(f"There is no frame {frame}: the image has {count}, counted from 0.")
    values: NDArray[Any] = _decode(ds, frame % count)[0]
    return modality_values(values, ds, frame % count) if modality_lut and values.ndim == 2 else values


@reading("the frame")
def decode_frame(data: bytes, image: Dataset, transfer_syntax: str) -> NDArray[Any]:
    """Decode the bytes of one frame, as a service sends it by itself (PS3.18 section 10.4.1.1.6).

    Parameters
    ----------
    data : bytes
        Native pixels, or one compressed frame without the items and offsets around it.
    image : pydicom.Dataset
        The image's attributes: Rows, Columns, the bits, Photometric Interpretation; the palette if it has one. It
        need not hold pixel data, and is not changed.
    transfer_syntax : str
        The UID of the transfer syntax that `data` is in.

    Returns
    -------
    ndarray
        Shape (rows, columns) or (rows, columns, 3); else as for `pixels`.

    Raises
    ------
    DecodeError
        As for `pixels`; and if there are fewer native bytes than the attributes call for.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    syntax = UID(transfer_syntax)
    frame = Dataset()
    frame.update({element.tag: element for element in image if element.tag.group == 0x0028})
    frame.NumberOfFrames = 1
    frame.file_meta = FileMetaDataset()
    frame.file_meta.TransferSyntaxUID = syntax
    frame.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise DecodeError(_no_decoder(syntax))
    if syntax.is_encapsulated:
        frame.PixelData = encapsulate([data])
        frame["PixelData"].is_undefined_length = True
    else:
        needed = frame_bytes(image)
        if len(data) < needed:
            raise DecodeError(f"The frame is cut off: {len(data)} bytes of {needed} are there.")
        setattr(frame, _native_keyword(image), data[:needed] + bytes(needed % 2))
    values: NDArray[Any] = _decode(frame, 0)[0]
    return values


def frame_bytes(image: Dataset) -> int:
    """Give how many bytes a native frame has by its attributes (PS3.5 section 8.1.1), without padding.

    Raises
    ------
    DecodeError
        If an attribute that it takes is missing or no number.
    """
    with reading("the image's size"):
        rows, columns, bits = (int(image[name].value) for name in ("Rows", "Columns", "BitsAllocated"))
        samples = int(image.get("SamplesPerPixel") or 1)
    if image.get("PhotometricInterpretation") == "YBR_FULL_422":
        return rows * columns * 2 * bits // 8
    return -(-rows * columns * samples * bits // 8)


def _native_keyword(image: Dataset) -> str:
    """Tell which of the three elements holds the pixels; those with a fraction have no Pixel Representation."""
    bits = int(image.get("BitsAllocated", 0))
    if image.get("PixelRepresentation") is not None or bits < 32:
        return "PixelData"
    return "FloatPixelData" if bits == 32 else "DoubleFloatPixelData"


def frame_count(ds: Dataset) -> int:
    """Give NumberOfFrames, 1 where it is missing, empty or no positive number."""
    try:
        with reading("the number of frames"):
            return max(int(ds.get("NumberOfFrames") or 1), 1)
    except DecodeError:
        return 1


def has_pixels(ds: Dataset) -> bool:
    """Say whether an object has one of the three elements that hold pixels (PS3.3 C.7.6.3 and C.7.6.24)."""
    return any(keyword in ds for keyword in _PIXEL_KEYWORDS)


def _decode(ds: Dataset, frame: int | None) -> NDArray[Any]:
    """Decode one frame or all into (frames, rows, columns[, 3])."""
    from pydicom.pixels import get_decoder

    if not has_pixels(ds):
        raise no_pixels(ds.get("Modality"))
    syntax = _transfer_syntax(ds)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise DecodeError(_no_decoder(syntax)) from None
    if not decoder.is_available:
        raise DecodeError(_no_decoder(syntax))
    with reading(f"the pixel data ({syntax.name})"):
        _check_fragments(ds, syntax)
        # Padding after the last frame is padding, even where it is long enough for another frame.
        values, image = decoder.as_array(ds, index=frame, **_EXACT_FRAMES)
    shape = (-1, int(image["rows"]), int(image["columns"]))
    if int(image["samples_per_pixel"]) > 1:
        return values.reshape(*shape, int(image["samples_per_pixel"]))
    values = _without_foreign_bits(values.reshape(shape), ds)
    return palette(values, ds) if image["photometric_interpretation"] == "PALETTE COLOR" else values


def _transfer_syntax(ds: Dataset) -> UID:
    """Give the transfer syntax; without one in the file meta information, the encoding it was read with."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    declared = getattr(ds, "file_meta", {}).get("TransferSyntaxUID")
    if declared:
        syntax: UID = declared
        return syntax
    implicit, little = ds.original_encoding
    if little is None:
        raise DecodeError("The object names no transfer syntax, so its pixel data cannot be read.")
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _check_fragments(ds: Dataset, syntax: UID) -> None:
    """Refuse encapsulated data that ends inside a fragment (PS3.5 A.4): some codecs fill up what is missing."""
    if not syntax.is_encapsulated:
        return
    data = ds.get("PixelData") or b""
    at = 0
    while at + 8 <= len(data) and data[at : at + 4] == b"\xfe\xff\x00\xe0":
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    if at == 0 or at > len(data):
        raise DecodeError(
            f"The pixel data ({syntax.name}) is empty or cut off: {len(data)} bytes of {at} are there."
        )


def _no_decoder(syntax: UID) -> str:
    name = _NEWER_SYNTAXES.get(str(syntax), syntax.name)
    helper = next((package for part, package in _HELP if part in name), None)
    advice = f"{helper} would help." if helper else "No package is known to read it."
    name = name if name == str(syntax) else f"{name} ({syntax})"
    return f"No decoder is installed for the transfer syntax {name}. {advice}"


def _without_foreign_bits(values: NDArray[Any], ds: Dataset) -> NDArray[Any]:
    """Take out what old files keep beside the sample, such as overlays in the high bits (PS3.5 section 8.1.1)."""
    allocated, stored = int(ds.get("BitsAllocated", 0)), int(ds.get("BitsStored", 0))
    high = int(ds.get("HighBit", stored - 1))
    if values.dtype.kind not in "iu" or values.dtype.itemsize * 8 != allocated or not 0 < stored < allocated:
        return values
    low, top = (
        (-(1 << stored - 1), (1 << stored - 1) - 1) if values.dtype.kind == "i" else (0, (1 << stored) - 1)
    )
    if values.size == 0 or (high == stored - 1 and values.min() >= low and values.max() <= top):
        return values
    return (values << (allocated - 1 - high)) >> (allocated - stored)
