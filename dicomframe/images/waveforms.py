"""Waveforms (PS3.3 C.10.9): the samples of electrocardiograms, pressures, sounds, in their units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

#: Bits Allocated and Sample Interpretation -> dtype (PS3.3 C.10.9.1.5). MB and AB are mu-law and A-law.
_DTYPES: Final = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (8, "MB"): "u1",
    (8, "AB"): "u1",
    (16, "SS"): "<i2",
    (16, "US"): "<u2",
    (32, "SL"): "<i4",
    (32, "UL"): "<u4",
    (64, "SV"): "<i8",
    (64, "UV"): "<u8",
}
_REQUIRED: Final = (
    "NumberOfWaveformChannels",
    "NumberOfWaveformSamples",
    "SamplingFrequency",
    "WaveformBitsAllocated",
    "WaveformSampleInterpretation",
    "WaveformData",
)


@dataclass(frozen=True)
class Waveform:
    """One multiplex group: channels that were sampled together.

    Parameters
    ----------
    samples : ndarray of float64, shape (samples, channels)
        In `units`; NaN where the file says padding.
    channels : tuple of str
        Each channel's label, else what its source is called; as it is in the file.
    units : tuple of str
        Each channel's unit as a UCUM code (``"uV"``, ``"mm[Hg]"``); empty where the file tells none, and the numbers
        are those stored.
    frequency : float
        Samples a second, in Hz.
    start : float
        When the group begins after the beginning of the acquisition, in seconds.
    skew : tuple of float
        How much later than that each channel was sampled, in seconds.
    label : str
        What the group is called.

    Examples
    --------
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> rhythm, beat = waveforms(dcmread(get_testdata_file("waveform_ecg.dcm", download=False)))
    >>> rhythm.samples.shape, rhythm.units[0], rhythm.duration
    ((10000, 12), 'uV', 10.0)
    """

    samples: NDArray[np.float64]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    frequency: float
    start: float = 0.0
    skew: tuple[float, ...] = ()
    label: str = ""

    @property
    def duration(self) -> float:
        """How long it is, in seconds."""
        return len(self.samples) / self.frequency

    def __repr__(self) -> str:
        """Tell its size; labels can name people."""
        count, channels = self.samples.shape
        return f"Waveform({channels} channels, {count} samples, {self.frequency:g} Hz)"

    def to_frame(self) -> pd.DataFrame:
        """Give the samples as a table: a row a sample, by time in seconds; a column a channel.

        Examples
        --------
        >>> Waveform(np.zeros((2, 1)), ("I",), ("uV",), 500.0).to_frame().index.tolist()
        [0.0, 0.002]
        """
        import pandas as pd

        index = pd.Index(self.start + np.arange(len(self.samples)) / self.frequency, name="seconds")
        return pd.DataFrame(self.samples, index=index, columns=list(self.channels))


@reading("the waveform")
def waveforms(ds: Dataset) -> list[Waveform]:
    """Decode all multiplex groups of an object (PS3.3 C.10.9).

    Parameters
    ----------
    ds : pydicom.Dataset
        With a Waveform Sequence.

    Returns
    -------
    list of Waveform
        Sample times sensitivity times correction factor, plus baseline (C.10.9.1.4.2), as far as they are there.

    Raises
    ------
    DecodeError
        If there are no waveforms, or they are cut off or described in a way that the standard does not know.

    Examples
    --------
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> waveforms(dcmread(get_testdata_file("waveform_ecg.dcm", download=False)))[1]
    Waveform(12 channels, 1200 samples, 1000 Hz)
    """
    groups = ds.get("WaveformSequence")
    if not groups:
        raise DecodeError("The object has no waveforms (Waveform Sequence).")
    big = getattr(ds, "original_encoding", (None, True))[1] is False
    return [_waveform(group, number, ">" if big else "<") for number, group in enumerate(groups, 1)]


def _waveform(group: Dataset, number: int, order: str) -> Waveform:
    lacking = [name for name in _REQUIRED if group.get(name) is None]
    if lacking:
        raise DecodeError(f"Multiplex group {number} of the waveforms lacks {', '.join(lacking)}.")
    stored = _stored(group, number, order)
    definitions = list(group.get("ChannelDefinitionSequence") or [])
    if len(definitions) != stored.shape[1]:
        raise DecodeError(
            f"Multiplex group {number} has {stored.shape[1]} channels, but {len(definitions)} are described."
        )
    frequency = float(group.SamplingFrequency)
    if not frequency > 0:
        raise DecodeError(f"Multiplex group {number} has a sampling frequency of {frequency:g} Hz.")
    samples = _linear(stored, group)
    samples[_padding(stored, group, order)] = np.nan
    for at, channel in enumerate(definitions):
        sensitivity = _number(channel, "ChannelSensitivity", 1.0)
        correction = _number(channel, "ChannelSensitivityCorrectionFactor", 1.0)
        samples[:, at] *= sensitivity * correction
        samples[:, at] += _number(channel, "ChannelBaseline", 0.0)
    return Waveform(
        samples,
        tuple(_name(channel, at) for at, channel in enumerate(definitions, 1)),
        tuple(_unit(channel) for channel in definitions),
        frequency,
        _number(group, "MultiplexGroupTimeOffset", 0.0) / 1000,
        tuple(
            _number(channel, "ChannelTimeSkew", 0.0) + _number(channel, "ChannelSampleSkew", 0.0) / frequency
            for channel in definitions
        ),
        str(group.get("MultiplexGroupLabel") or ""),
    )


def _stored(group: Dataset, number: int, order: str) -> NDArray[Any]:
    """Give the samples as they are stored: shape (samples, channels)."""
    dtype = _dtype(group, order)
    shape = int(group.NumberOfWaveformSamples), int(group.NumberOfWaveformChannels)
    length = shape[0] * shape[1] * dtype.itemsize
    data = bytes(group.WaveformData)
    if len(data) < length:
        raise DecodeError(f"Multiplex group {number} is cut off: {len(data)} bytes of {length} are there.")
    return np.frombuffer(data[:length], dtype).reshape(shape)


def _dtype(group: Dataset, order: str) -> np.dtype[Any]:
    kind = int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation)
    if kind not in _DTYPES:
        accepted = ", ".join(f"{bits} {name}" for bits, name in _DTYPES)
        raise DecodeError(
            f"Samples of {kind[0]} bits, {kind[1][:16]!r}, are unknown. The standard has {accepted}."
        )
    return np.dtype(_DTYPES[kind].replace("<", order))


def _linear(stored: NDArray[Any], group: Dataset) -> NDArray[np.float64]:
    """Give numbers on a linear scale: what is companded, expanded (ITU-T G.711)."""
    law = str(group.WaveformSampleInterpretation)
    return _expansion(law)[stored] if law in {"MB", "AB"} else stored.astype(np.float64)


@cache
def _expansion(law: str) -> NDArray[np.float64]:
    """Give the 16-bit value of each byte of mu-law or A-law sound."""
    codes = np.arange(256, dtype=np.int64) ^ (0xFF if law == "MB" else 0x55)
    sign, exponent, mantissa = codes & 0x80, (codes >> 4) & 7, codes & 0xF
    if law == "MB":
        size = (((mantissa << 3) + 0x84) << exponent) - 0x84
        return np.where(sign, -size, size).astype(np.float64)
    size = np.where(
        exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0)
    )
    return np.where(sign, size, -size).astype(np.float64)


def _padding(stored: NDArray[Any], group: Dataset, order: str) -> NDArray[np.bool_]:
    """Tell which samples are padding (Waveform Padding Value), whose bytes are those of a sample."""
    value = group.get("WaveformPaddingValue")
    width = stored.dtype.itemsize
    if value is None or not isinstance(value, bytes) or len(value) < width:
        return np.zeros(stored.shape, dtype=np.bool_)
    mask: NDArray[np.bool_] = stored == np.frombuffer(value[:width], _dtype(group, order))[0]
    return mask


def _number(item: Dataset, keyword: str, default: float) -> float:
    value = item.get(keyword)
    return default if value is None or value == "" else float(value)


def _name(channel: Dataset, number: int) -> str:
    source = channel.get("ChannelSourceSequence") or []
    named = channel.get("ChannelLabel") or (source[0].get("CodeMeaning") if source else "")
    return str(named or f"channel {number}")


def _unit(channel: Dataset) -> str:
    if channel.get("ChannelSensitivity") is None:
        return ""
    units = channel.get("ChannelSensitivityUnitsSequence") or []
    return str(units[0].get("CodeValue") or "") if units else ""
