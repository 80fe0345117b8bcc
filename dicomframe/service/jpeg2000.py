"""One frame as a JPEG 2000 codestream, without loss (1.2.840.10008.1.2.4.90; PS3.5 sections 8.2.4 and A.4.4)."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomframe.dicom.quiet import quiet
from dicomframe.service.pixels import CannotDecode, Decoded, Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: pylibjpeg-openjpeg always halves the picture five times, which smaller ones do not bear.
_LEAST_FOR_OPENJPEG: Final = 32
#: openjpeg's limit on the bits of a sample.
_MOST_BITS: Final = 24
#: Pillow's.
_MOST_BITS_OF_SMALL: Final = 16
#: Where the picture's size stands in a codestream of one component that begins with SOC and SIZ, and where SIZ ends
#: (ISO/IEC 15444-1 A.5.1).
_SIZE_OF_PICTURE: Final = slice(6, 40)
_AFTER_SIZE: Final = 45
_SIGNED: Final = 0x80
_START_OF_TILE: Final = b"\xff\x90"
_START_OF_DATA: Final = b"\xff\x93"
_END: Final = b"\xff\xd9"
#: Of the segment that begins a tile, with its marker.
_TILE_BYTES: Final = 12


def encode(frame: Decoded, layout: Layout) -> bytes:
    """Encode one frame.

    Parameters
    ----------
    frame : Decoded
        Its numbers.
    layout : Layout
        Their depth and sign.

    Returns
    -------
    bytes
        The codestream; its samples have the depth that Bits Stored says. Colours are not transformed: what comes
        out is in the frame's own colour space.

    Raises
    ------
    CannotDecode
        If the standard or the codec has no lossless form of it: samples of one bit, floating point, more than 24
        bits, or with something else in their unused bits.
    """
    values = _own_bits(frame.values, layout)
    if min(layout.rows, layout.columns) < _LEAST_FOR_OPENJPEG:
        return _small(values, layout)
    from pydicom.pixels import get_encoder
    from pydicom.uid import JPEG2000Lossless

    try:
        with quiet():
            return get_encoder(JPEG2000Lossless).encode(
                np.ascontiguousarray(values),
                encoding_plugin="pylibjpeg",
                rows=layout.rows,
                columns=layout.columns,
                samples_per_pixel=layout.samples,
                bits_allocated=layout.allocated,
                bits_stored=layout.stored,
                pixel_representation=int(layout.is_signed),
                # RGB is what keeps the encoder from transforming colours, whichever they are.
                photometric_interpretation="RGB" if layout.samples == 3 else frame.photometric,
                number_of_frames=1,
                planar_configuration=0,
            )
    except Exception:  # noqa: BLE001 - whatever the encoder says, it may repeat values of the file
        raise CannotDecode("The pixels cannot be brought into JPEG 2000.") from None


def _own_bits(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Check that the samples are all that is in the words, since nothing else would survive."""
    if layout.is_float or layout.allocated == 1 or layout.stored > _MOST_BITS:
        raise CannotDecode(
            f"JPEG 2000 takes whole numbers of 2 to {_MOST_BITS} bits, which these pixels are not."
        )
    if layout.high != layout.stored - 1:
        raise CannotDecode("Something else than the samples is in the pixel data; JPEG 2000 would lose it.")
    if layout.is_signed:
        # What stands above the sign says nothing (PS3.5 section 8.1.1); files have zeros or the sign there.
        unused = layout.allocated - layout.stored
        return (values << unused) >> unused
    if values.size and int(values.max()) >> layout.stored:
        raise CannotDecode("Something else than the samples is in the pixel data; JPEG 2000 would lose it.")
    return values


def _small(values: NDArray[Any], layout: Layout) -> bytes:
    """Encode a picture of fewer than 32 pixels a side: Pillow lets the number of halvings be chosen.

    Pillow knows unsigned samples of 16 bits only, and of one colour. An encoder takes half the range off unsigned
    samples first and codes what is left, and a decoder adds half of the range that the header names. So the samples
    are moved to where that leaves the same numbers to be coded, and then the header is told their true depth and sign.
    """
    if layout.stored > _MOST_BITS_OF_SMALL:
        raise CannotDecode(
            f"Pictures below {_LEAST_FOR_OPENJPEG} pixels a side of more than {_MOST_BITS_OF_SMALL} bits have no JPEG"
            " 2000 here."
        )
    half = 0 if layout.is_signed else 1 << layout.stored - 1
    moved = (values.astype(np.int32) + 32768 - half).astype(np.uint16)
    planes = moved.reshape(layout.rows, layout.columns, layout.samples)
    depth = layout.stored - 1 | (_SIGNED if layout.is_signed else 0)
    return _joined([_plane(planes[..., colour]) for colour in range(layout.samples)], depth)


def _plane(values: NDArray[Any]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(
        out, "JPEG2000", no_jp2=True, num_resolutions=1, irreversible=False
    )
    return out.getvalue()


def _joined(planes: Sequence[bytes], depth: int) -> bytes:
    """Make one codestream of several, each of one component, one tile, one layer and one resolution.

    Without a transformation of colours nothing ties components to each other, and the packets of one come after those
    of another (ISO/IEC 15444-1 B.12.1.1), so that they need only be told of in the header and put one after the other.
    """
    head = planes[0][: _start_of_tile(planes[0])]
    packets = b"".join(
        plane[plane.index(_START_OF_DATA, _start_of_tile(plane) + _TILE_BYTES) + 2 : -2] for plane in planes
    )
    components = struct.pack(">H", len(planes)) + bytes([depth, 1, 1]) * len(planes)
    size = head[_SIZE_OF_PICTURE] + components
    tile = struct.pack(">HHIBB", 10, 0, _TILE_BYTES + 2 + len(packets), 0, 1)
    return b"".join(
        (
            head[:4],
            struct.pack(">H", 2 + len(size)),
            size,
            head[_AFTER_SIZE:],
            _START_OF_TILE,
            tile,
            _START_OF_DATA,
            packets,
            _END,
        )
    )


def _start_of_tile(plane: bytes) -> int:
    return plane.index(_START_OF_TILE, _AFTER_SIZE)  # a width may look like a marker
