"""Reading what real files hold: pydicom's warnings go to the log, its errors become one kind."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dicomframe.dicom.quiet import FILTERS_LOCK
from dicomframe.errors import DecodeError, DicomFrameError

if TYPE_CHECKING:
    from pydicom import Dataset

log = logging.getLogger(__name__)

#: From the first quotation mark to the last one of its kind: a value may hold some itself.
_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Read attributes or pixel data, also as a decorator.

    pydicom converts an element when it is first looked at, so any look may warn about a value that is not as the
    standard wants it, or raise what the value's conversion or a C library raises.

    Parameters
    ----------
    what : str
        What is being read, for messages: ``"the pixel data"``.

    Raises
    ------
    DecodeError
        In place of any other error. Those of dicomframe pass.
    """
    with FILTERS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except DicomFrameError:
            raise
        except Exception as error:
            raise DecodeError(f"{what[0].upper()}{what[1:]} cannot be read: {_reason(error)}") from error
        finally:
            for warning in caught:
                log.warning("while reading %s: %s", what, _without_values(str(warning.message)))
            caught.clear()


def private_value(ds: Dataset, group: int, element: int, creator: str) -> Any:
    """Give the value of a private element (PS3.5 section 7.8), None where there is none."""
    try:
        return ds.private_block(group, creator)[element].value
    except KeyError:
        return None


def numbers_of(item: Dataset, keyword: str) -> list[float]:
    """Give the numbers of an element of one value or several; an empty one keeps its place, as NaN.

    Raises
    ------
    ValueError, TypeError
        If a value is no number.
    """
    value = item.get(keyword)
    if value is None:
        return []
    several = isinstance(value, (list, tuple)) or hasattr(value, "append")
    values = value if several else [value]
    return [math.nan if number in {None, ""} else float(number) for number in values]


def _reason(error: Exception) -> str:
    """Give the last line of a message: pydicom lists the decoders it tried first, and the reason after."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


def _without_values(words: str) -> str:
    """Leave out what stands in quotes: pydicom repeats values there, which may be names and UIDs.

    Examples
    --------
    >>> _without_values("Invalid value for VR PN: 'O'Neil^Jean'. See the standard.")
    'Invalid value for VR PN: …. See the standard.'
    """
    return _QUOTED.sub("…", words)
