"""Dates, times and date-times of a whole column at once, from the bytes of their texts.

Only what is written as the standard prefers is read here: ``YYYYMMDD``, ``HHMMSS`` with or without six digits of
fraction, and both together. Everything else is told, and read value by value (`dicomframe.tables.cells`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dicomframe.tables.schema import Kind

Octets = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_POINT = np.uint8((ord(".") - ord("0")) % 256)
_DAY = 8
_SECONDS = 6
_MICROSECONDS = 13
#: The lengths of a text that may be exact: a cell of such a length gives back the text it came from.
_LENGTHS: dict[Kind, tuple[int, ...]] = {
    "date": (_DAY,),
    "time": (_SECONDS, _MICROSECONDS),
    "datetime": (_DAY + _SECONDS, _DAY + _MICROSECONDS),
}


class Moments(NamedTuple):
    """What could be read of a column of texts.

    Parameters
    ----------
    values : ndarray of int64, shape (rows,)
        Seconds since 1970 for dates, microseconds since 1970 for date-times, microseconds since midnight for times.
    exact : ndarray of bool, shape (rows,)
        Where the value was read, and says exactly what the text said.
    """

    values: Numbers
    exact: Mask


def read_moments(kind: Kind, texts: pa.StringArray) -> Moments:
    """Read a column of texts without nulls.

    Parameters
    ----------
    kind : {"date", "datetime", "time"}
        What they are.
    texts : pyarrow.StringArray
        The texts.

    Examples
    --------
    >>> found = read_moments("date", pa.array(["19700102", "19700230", "1970"]))
    >>> found.values.tolist(), found.exact.tolist()
    ([86400, 0, 0], [True, False, False])
    """
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    lengths = np.diff(ends)
    octets = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    values = np.zeros(len(texts), np.int64)
    exact = np.zeros(len(texts), np.bool_)
    for length in _LENGTHS[kind]:
        here: Any = lengths == length
        if here.all():
            rows = octets[ends[0] : ends[-1]].reshape(-1, length)
            here = slice(None)
        elif here.any():
            rows = octets[ends[:-1][here][:, None] + np.arange(length)]
        else:
            continue
        values[here], exact[here] = _read(kind, rows - np.uint8(ord("0")))
    values[~exact] = 0
    return Moments(values, exact)


def _read(kind: Kind, digits: Octets) -> tuple[Numbers, Mask]:
    if kind == "time":
        return _read_time(digits)
    day, is_day = _read_day(digits[:, :_DAY])
    if kind == "date":
        return day * 86_400, is_day
    time, is_time = _read_time(digits[:, _DAY:])
    return day * 86_400_000_000 + time, is_day & is_time


def _number(digits: Octets) -> Numbers:
    """Read each row of digits as one number."""
    number = digits[:, 0].astype(np.int64)
    for place in range(1, digits.shape[1]):
        number *= 10
        number += digits[:, place]
    return number


def _read_day(digits: Octets) -> tuple[Numbers, Mask]:
    year, month, day = _number(digits[:, :4]), _number(digits[:, 4:6]), _number(digits[:, 6:])
    right = (digits <= 9).all(axis=1) & (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    # A day past the end of its month lands in the next one.
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    return days.astype(np.int64), right & (days.astype("datetime64[M]") == months)


def _read_time(digits: Octets) -> tuple[Numbers, Mask]:
    hour, minute, second = (_number(digits[:, start : start + 2]) for start in (0, 2, 4))
    # 60 is a leap second, and rare enough for the other way.
    right = (digits[:, :_SECONDS] <= 9).all(axis=1) & (hour <= 23) & (minute <= 59) & (second <= 59)
    time = ((hour * 60 + minute) * 60 + second) * 1_000_000
    if digits.shape[1] == _MICROSECONDS:
        micro = _number(digits[:, _SECONDS + 1 :])
        right &= (digits[:, _SECONDS] == _POINT) & (digits[:, _SECONDS + 1 :] <= 9).all(axis=1)
        # Zeros are not written by us, so a cell could not give them back.
        right &= micro > 0
        time += micro
    return time, right
