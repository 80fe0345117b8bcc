"""Objects without pixels: what else may be done with them."""

from __future__ import annotations

from dicomframe.errors import DecodeError

_REPORT = "it is a report, whose text is in the Dataset: client.retrieve_instance(...)"
_WAVEFORM = "df.dicom.plot_waveforms() draws its waveforms"
#: By modality, what to ask for in their place.
_ADVICE = {
    "RTSTRUCT": "planes(overlays=...) of its images draws its structures",
    "SR": _REPORT,
    "KO": _REPORT,
    "DOC": "client.retrieve_document(...) gives its document",
    **dict.fromkeys(("AU", "ECG", "EPS", "HD", "RESP", "EEG", "EMG", "EOG"), _WAVEFORM),
}


def no_pixels(modality: object, what: str = "There is no pixel data in this object") -> DecodeError:
    """Make the error of an object, or of a series, that has no pictures.

    Parameters
    ----------
    modality : object
        Modality (0008,0060), as far as it is known.
    what : str
        What is wrong.

    Examples
    --------
    >>> print(no_pixels("ECG"))
    There is no pixel data in this object: df.dicom.plot_waveforms() draws its waveforms.
    >>> print(no_pixels(None))
    There is no pixel data in this object.
    """
    advice = _ADVICE.get(str(modality or ""), "")
    return DecodeError(f"{what}{f': {advice}' if advice else ''}.")
