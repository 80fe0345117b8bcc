"""The frames of a stored image, one at a time: as stored, uncompressed, or as numbers (PS3.5 section 8).

Uncompressed frames are cut out of the file by this module's own code; pydicom's decoders are asked for one
compressed frame at a time. No more than one frame is ever decoded at once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dicomframe.dicom.quiet import quiet
from dicomframe.service.fragments import BadFragments, Span, frames_of
from dicomframe.service.header import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomframe.service.stored_file import StoredFile, swapped, word_bytes

if TYPE_CHECKING:
    from dicomframe.service.header import Raw

#: Transfer syntaxes whose pixels are not compressed frame by frame.
NATIVE: Final = {IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE}

PIXEL_DATA: Final = 0x7FE00010
_FLOAT: Final = 0x7FE00008
_DOUBLE: Final = 0x7FE00009
_EXTENDED_OFFSETS: Final = 0x7FE00001
#: Colour in which two neighbours share their chrominance (PS3.3 C.7.6.3.1.2).
_HALF_CHROMINANCE: Final = {"YBR_FULL_422", "YBR_PARTIAL_422"}


class NoPixelData(Exception):
    """An object without pixel data."""


class CannotDecode(Exception):
    """Pixels that are damaged, incompletely described, or of a kind that nothing here reads.

    The message says which of these, and holds no value of the file but its transfer syntax.
    """


@dataclass(frozen=True, slots=True)
class Layout:
    """The Image Pixel attributes (PS3.3 C.7.6.3), as they describe one frame.

    Parameters
    ----------
    rows, columns, samples : int
        Its size, and the samples a pixel.
    allocated, stored, high : int
        Bits Allocated, Bits Stored and High Bit.
    is_signed, is_planar, is_float : bool
        Of the samples: two's complement; one plane after another; floating point.
    photometric : str
        The Photometric Interpretation.
    """

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high: int
    is_signed: bool
    is_planar: bool
    is_float: bool
    photometric: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The little-endian dtype of a sample."""
        if self.allocated == 1:
            return np.dtype(np.uint8)
        kind = "f" if self.is_float else "i" if self.is_signed else "u"
        return np.dtype(f"<{kind}{self.allocated // 8}")

    @property
    def frame_bits(self) -> int:
        """The length of an uncompressed frame."""
        samples = 2 if self.photometric in _HALF_CHROMINANCE else self.samples
        return self.rows * self.columns * samples * self.allocated


class Decoded(NamedTuple):
    """One frame: (rows, columns) or (rows, columns, samples), and the colour space that it is in."""

    values: NDArray[Any]
    photometric: str


class Pixels:
    """The frames of one stored image.

    Parameters
    ----------
    file : StoredFile
        The image.

    Raises
    ------
    NoPixelData
        If it is none.
    """

    def __init__(self, file: StoredFile) -> None:
        self.file = file
        tags = (PIXEL_DATA, _FLOAT, _DOUBLE)
        found = next(((tag, raw) for tag in tags if (raw := file.raw(tag)) is not None), None)
        if found is None or found[1].start == found[1].end:
            raise NoPixelData
        self._tag, self._raw = found
        self.count = max(file.whole(0x00280008, 1), 1)
        self.is_native = file.transfer_syntax in NATIVE

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a stored image.

        Raises
        ------
        NoPixelData
            If it is none.
        FileNotFoundError
            If it was deleted.
        """
        return cls(StoredFile.open(path))

    @cached_property
    def layout(self) -> Layout:
        """How a frame is laid out; attributes that files leave out take the value that they mostly have.

        Raises
        ------
        CannotDecode
            If Rows, Columns or Bits Allocated are missing or impossible.
        """
        file = self.file
        is_float = self._tag != PIXEL_DATA
        samples = file.whole(0x00280002, 1)
        default_bits = {PIXEL_DATA: 0, _FLOAT: 32, _DOUBLE: 64}[self._tag]
        allocated = default_bits or file.whole(0x00280100)
        stored = file.whole(0x00280101) or allocated
        layout = Layout(
            rows=file.whole(0x00280010),
            columns=file.whole(0x00280011),
            samples=samples,
            allocated=allocated,
            stored=stored,
            high=file.whole(0x00280102, stored - 1),
            is_signed=file.whole(0x00280103) == 1,
            is_planar=file.whole(0x00280006) == 1,
            is_float=is_float,
            photometric=file.text(0x00280004) or ("RGB" if samples == 3 else "MONOCHROME2"),
        )
        if not (layout.rows > 0 and layout.columns > 0 and allocated in {1, 8, 16, 32, 64} and samples > 0):
            raise CannotDecode(
                "The image's Rows, Columns, Samples per Pixel or Bits Allocated are missing or impossible."
            )
        if not 0 < stored <= allocated or not stored - 1 <= layout.high < allocated:
            raise CannotDecode("The image's Bits Allocated, Bits Stored and High Bit contradict each other.")
        return layout

    def as_stored(self, index: int) -> bytes:
        """Give one frame's bytes as they are in the file: for compressed ones, its bitstream.

        Parameters
        ----------
        index : int
            From 0, below `count`.

        Raises
        ------
        CannotDecode
            If they are not there.
        """
        if self.is_native:
            return self._cut(index, turn_round=False)
        data = self.file.data
        return b"".join(data[start:end] for start, end in self._fragments(index))

    def uncompressed(self, index: int) -> bytes:
        """Give one frame as Explicit VR Little Endian has it: PixelData's part, without padding.

        Frames of one bit a sample begin with the first bit of the first byte. Colour that was compressed as YBR
        comes as RGB, colour by pixel.

        Raises
        ------
        CannotDecode
            If it cannot be decoded.
        """
        return self._cut(index, turn_round=True) if self.is_native else self.packed(self.decoded(index))

    def packed(self, frame: Decoded) -> bytes:
        """Give the bytes of a frame that was compressed.

        Raises
        ------
        CannotDecode
            If its samples have one bit, which the decoders give as bytes.
        """
        if self.layout.allocated == 1:
            raise CannotDecode("Compressed samples of one bit cannot be brought into an uncompressed form.")
        values = frame.values
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()

    def decoded(self, index: int) -> Decoded:
        """Give one frame as numbers, colour by pixel.

        Raises
        ------
        CannotDecode
            If it cannot be decoded.
        """
        return self._native(index) if self.is_native else self._decompressed(index)

    def _native(self, index: int) -> Decoded:
        layout = self.layout
        content = self._cut(index, turn_round=True)
        if layout.allocated == 1:
            bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
            samples = bits[: layout.frame_bits]
        else:
            samples = np.frombuffer(content, layout.dtype)
        rows, columns = layout.rows, layout.columns
        if layout.photometric in _HALF_CHROMINANCE:
            return Decoded(_with_whole_chrominance(samples, layout), layout.photometric.replace("_422", ""))
        if layout.samples == 1:
            return Decoded(samples.reshape(rows, columns), layout.photometric)
        if layout.is_planar:
            return Decoded(
                samples.reshape(layout.samples, rows, columns).transpose(1, 2, 0), layout.photometric
            )
        return Decoded(samples.reshape(rows, columns, layout.samples), layout.photometric)

    def _decompressed(self, index: int) -> Decoded:
        from pydicom.encaps import encapsulate
        from pydicom.pixels import get_decoder
        from pydicom.uid import UID

        layout = self.layout
        syntax = UID(self.file.transfer_syntax)
        frame = self.as_stored(index)
        try:
            with quiet():
                decoder: Any = get_decoder(syntax)
                values, properties = decoder.as_array(
                    encapsulate([frame], has_bot=False),
                    index=0,
                    number_of_frames=1,
                    rows=layout.rows,
                    columns=layout.columns,
                    samples_per_pixel=layout.samples,
                    bits_allocated=layout.allocated,
                    bits_stored=layout.stored,
                    pixel_representation=int(layout.is_signed),
                    planar_configuration=int(layout.is_planar),
                    photometric_interpretation=layout.photometric,
                    pixel_keyword="PixelData",
                )
        except NotImplementedError:
            raise CannotDecode(f"Nothing here decodes the transfer syntax {syntax}.") from None
        except Exception:  # noqa: BLE001 - each decoder has errors of its own
            # Not chained: a decoder's words may repeat values of the file.
            raise CannotDecode(
                f"The pixel data is damaged, or not of its transfer syntax {syntax}."
            ) from None
        return Decoded(values, str(properties["photometric_interpretation"]))

    def _fragments(self, index: int) -> list[Span]:
        if index >= len(self._frames):
            raise CannotDecode(
                f"The pixel data has {len(self._frames)} of the {self.count} frames that are announced."
            )
        return self._frames[index]

    @cached_property
    def _frames(self) -> list[list[Span]]:
        raw: Raw = self._raw
        table = self.file.words(_EXTENDED_OFFSETS)
        offsets = [offset for (offset,) in struct.iter_unpack("<Q", table[: len(table) // 8 * 8])]
        try:
            return frames_of(self.file.data, raw.start, raw.end, self.count, offsets)
        except BadFragments as problem:
            raise CannotDecode(f"The encapsulated pixel data is damaged: {problem}.") from None

    def _cut(self, index: int, *, turn_round: bool) -> bytes:
        """Cut one frame out of uncompressed pixel data, its words turned round where the file is big-endian."""
        layout, raw = self.layout, self._raw
        first = index * layout.frame_bits
        start, end = first // 8, (first + layout.frame_bits + 7) // 8
        if raw.start + end > raw.end:
            raise CannotDecode("The pixel data is shorter than Rows, Columns and Number of Frames announce.")
        width = 1
        if turn_round and self.file.header.big_endian:
            width = max(word_bytes(raw.vr), layout.allocated // 8)
        # A frame may begin or end within a word.
        before, behind = start % width, -end % width
        content = self.file.data[raw.start + start - before : min(raw.start + end + behind, raw.end)]
        content = swapped(content, width)[before : before + end - start]
        if layout.frame_bits % 8 or first % 8:
            return _bits_of(content, first % 8, layout.frame_bits)
        return content


def _bits_of(content: bytes, first: int, count: int) -> bytes:
    """Take bits out of bytes; least significant bits come first (PS3.5 section 8.1.1)."""
    unpacked = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    return np.packbits(unpacked[first : first + count], bitorder="little").tobytes()


def _with_whole_chrominance(samples: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Give each pixel its chrominance: Y1 Y2 Cb Cr stands for two pixels."""
    if layout.columns % 2:
        raise CannotDecode("The colours are subsampled, but the number of columns is odd.")
    pairs = samples.reshape(layout.rows, layout.columns // 2, 4)
    whole = np.empty((layout.rows, layout.columns, 3), samples.dtype)
    whole[..., 0] = pairs[..., :2].reshape(layout.rows, layout.columns)
    whole[..., 1:] = np.repeat(pairs[..., 2:], 2, axis=1)
    return whole
