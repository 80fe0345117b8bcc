"""Where an element is in an object, sequences and items on the way, and its bytes there.

The bytes are those of Explicit VR Little Endian: little endian, pixel data decompressed, frames one behind the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomframe.dicom import tags
from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    from pydicom import Dataset

_PIXEL_DATA: Final = "7FE00010"
#: Bytes of a word, of the VRs whose words a big-endian object holds the other way round.
_WIDTHS: Final = {
    **dict.fromkeys(("OW", "US", "SS", "AT"), 2),
    **dict.fromkeys(("OF", "OL", "UL", "SL", "FL"), 4),
    **dict.fromkeys(("OD", "OV", "UV", "SV", "FD"), 8),
}


@dataclass(frozen=True, slots=True)
class ElementPath:
    """Where an element is in an object: tags, and between them item numbers from 1.

    Parameters
    ----------
    steps : tuple of (str, int)
        Each sequence's tag and the item's number.
    tag : str
        The element's own tag.
    """

    steps: tuple[tuple[str, int], ...]
    tag: str

    @classmethod
    def parse(cls, text: Any) -> ElementPath:
        """Read a path with tags or keywords and slashes.

        Raises
        ------
        QueryError
            If it is none.

        Examples
        --------
        >>> str(ElementPath.parse("WaveformSequence/1/WaveformData"))
        '54000100/1/54001010'
        """
        pieces = text.strip("/").split("/") if isinstance(text, str) else []
        numbers = pieces[1::2]
        if len(pieces) % 2 != 1 or not all(re.fullmatch("[1-9][0-9]{0,8}", each) for each in numbers):
            raise QueryError(
                "An element's path is its tag or keyword, behind those of the sequences that it is in and the numbers"
                " of their items, from 1: 'WaveformSequence/1/WaveformData'."
            )
        found = [tags.attribute(each).tag for each in pieces[::2]]
        return cls(tuple(zip(found[:-1], map(int, numbers), strict=True)), found[-1])

    def __str__(self) -> str:
        return "/".join([*(f"{tag}/{number}" for tag, number in self.steps), self.tag])


def places_in_json(obj: dict[str, Any], tag: str) -> Iterator[tuple[ElementPath, dict[str, Any]]]:
    """Yield an attribute of a DICOM JSON object wherever it stands."""
    for name, attribute in sorted(obj.items()):
        if not isinstance(attribute, dict):
            continue
        if name.upper() == tag:
            yield ElementPath((), tag), attribute
        items = attribute.get("Value") if attribute.get("vr") == "SQ" else None
        for number, item in enumerate(items if isinstance(items, list) else (), 1):
            if isinstance(item, dict):
                for inner, found in places_in_json(item, tag):
                    yield ElementPath(((name.upper(), number), *inner.steps), tag), found


def places_in(dataset: Dataset, tag: str) -> list[ElementPath]:
    """Find an element wherever it stands in a data set.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> item, ds = Dataset(), Dataset()
    >>> item.WaveformData, ds.WaveformSequence = b"ab", [item]
    >>> [str(path) for path in places_in(ds, "54001010")]
    ['54000100/1/54001010']
    """
    with reading("the object"):
        return list(_walk(dataset, int(tag, 16)))


def _walk(dataset: Dataset, tag: int) -> Iterator[ElementPath]:
    for key in sorted(dataset.keys()):
        element = dataset.get_item(key)
        name = f"{int(key):08X}"
        if key == tag:
            yield ElementPath((), name)
        if element is not None and (element.VR or tags.from_tag(name).vr) == "SQ":
            for number, item in enumerate(dataset[key].value, 1):
                for inner in _walk(item, tag):
                    yield ElementPath(((name, number), *inner.steps), inner.tag)


def decoded_content_of(dataset: Dataset, path: ElementPath) -> bytes | None:
    """Give the bytes of an element; pixel data decompressed, as Explicit VR Little Endian has them."""
    syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if str(path) == _PIXEL_DATA and "PixelData" in dataset and syntax is not None and syntax.is_encapsulated:
        with reading(f"the pixel data ({syntax.name})"):
            dataset.decompress(generate_instance_uid=False)
            return bytes(dataset.PixelData)
    return content_of(dataset, path)


def content_of(dataset: Dataset, path: ElementPath) -> bytes | None:
    """Give the bytes of an element's value, in little endian; None if there is no such element.

    Raises
    ------
    DecodeError
        If the object cannot be read there, or it is a sequence.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.EncapsulatedDocument = b"%PDF"
    >>> content_of(ds, ElementPath.parse("EncapsulatedDocument"))
    b'%PDF'
    """
    with reading("the element"):
        for tag, number in path.steps:
            items = dataset[int(tag, 16)].value if int(tag, 16) in dataset else None
            if not isinstance(items, Sequence) or number > len(items):
                return None
            dataset = items[number - 1]
        element: Any = dataset.get_item(int(path.tag, 16))
        if element is None:
            return None
        content = b"" if element.value is None else element.value
        if not isinstance(content, bytes):
            raise DecodeError("The element holds no bytes but values; the metadata have them.")
        is_little = getattr(element, "is_little_endian", dataset.original_encoding[1] is not False)
        width = 1 if is_little else _WIDTHS.get(element.VR or "", 1)
        return np.frombuffer(content, f"u{width}").byteswap().tobytes() if width > 1 else content
