"""The address of a study, series, instance or frames, as an immutable value (PS3.18 section 10.1).

Examples
--------
>>> address = ResourcePath("1.2", "1.2.3")
>>> address.level, address.url_path
('series', 'studies/1.2/series/1.2.3')
>>> ResourcePath.parse("/v2/studies/1.2/series/1.2.3/instances/1.2.3.4/frames/1,2").frames
(1, 2)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Real
from typing import Literal, Self

from dicomframe.dicom.words import a_kind
from dicomframe.errors import QueryError

Level = Literal["study", "series", "instance"]

#: The UID attributes from the top down, and the level that each one names.
UID_KEYWORD_OF_LEVEL: dict[Level, str] = {
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
}

# Wider than PS3.5 section 9.1: real archives hold leading zeros, and the service documents letters and hyphens.
_UID = re.compile(r"[0-9A-Za-z.\-]{1,64}")
_PATH = re.compile(
    r"studies/(?P<study>[^/]+)"
    r"(?:/series/(?P<series>[^/]+)(?:/instances/(?P<instance>[^/]+)(?:/frames/(?P<frames>[^/]+))?)?)?",
    re.IGNORECASE,
)


def check_uid(uid: object, keyword: str = "UID") -> str:
    """Give a UID back if it is safe in a URL and as a file name.

    Parameters
    ----------
    uid : object
        What the caller gave. Trailing spaces and nulls, which are padding, are cut off.
    keyword : str
        What it is called in the message.

    Raises
    ------
    QueryError
        If it is no text of 1 to 64 digits, letters, dots and hyphens, or consists of dots alone.
    """
    text = uid.rstrip(" \0") if isinstance(uid, str) else None
    if text is None or not _UID.fullmatch(text) or not text.strip("."):
        given = f"this text of {len(uid)} characters" if isinstance(uid, str) else a_kind(uid)
        advice = ""
        if isinstance(uid, Real):
            advice = (
                " A number has lost digits of it: read such columns as text, pandas.read_csv(..., dtype=str)."
            )
        elif hasattr(uid, "iloc"):
            advice = " Give one UID: df['StudyInstanceUID'].iloc[0], for example."
        raise QueryError(
            f"{keyword} must be text of 1 to 64 characters of 0-9, A-Z, a-z, '.' and '-', not {given}.{advice}"
        )
    return text


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """Where something is in a DICOMweb service.

    Parameters
    ----------
    study, series, instance : str, optional
        The UIDs, each only with the ones before it.
    frames : tuple of int
        Frame numbers, from 1; only with an instance.

    Raises
    ------
    QueryError
        If a UID is malformed, one is missing above another, or a frame number is below 1.
    """

    study: str
    series: str | None = None
    instance: str | None = None
    frames: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "study", check_uid(self.study, "StudyInstanceUID"))
        if self.series is not None:
            object.__setattr__(self, "series", check_uid(self.series, "SeriesInstanceUID"))
        if self.instance is not None:
            if self.series is None:
                raise QueryError(
                    "An instance is addressed by its study, series and instance UID; the series is missing."
                )
            object.__setattr__(self, "instance", check_uid(self.instance, "SOPInstanceUID"))
        if self.frames and self.instance is None:
            raise QueryError("Frames are addressed below an instance; its UID is missing.")
        if any(frame < 1 for frame in self.frames):
            raise QueryError("Frame numbers start at 1.")

    @property
    def level(self) -> Level:
        """The level that the address names."""
        if self.instance is not None:
            return "instance"
        return "study" if self.series is None else "series"

    @property
    def uids(self) -> tuple[str, ...]:
        """The one to three UIDs, from the study down."""
        return tuple(uid for uid in (self.study, self.series, self.instance) if uid is not None)

    @property
    def url_path(self) -> str:
        """The path below the service's base, without a slash in front."""
        parts = [
            f"{name}/{uid}" for name, uid in zip(("studies", "series", "instances"), self.uids, strict=False)
        ]
        if self.frames:
            parts.append(f"frames/{','.join(map(str, self.frames))}")
        return "/".join(parts)

    @classmethod
    def parse(cls, url_path: str) -> Self:
        """Read the address that a URL's path ends with; what stands before ``studies`` or after it is ignored.

        Raises
        ------
        QueryError
            If there is no ``studies/{uid}`` in it, or a UID or frame list is malformed.
        """
        match = _PATH.search(url_path)
        if match is None:
            raise QueryError("The path names no study: studies/{uid} is missing.")
        listed = match["frames"]
        if listed is not None and not re.fullmatch(r"\d+(,\d+)*", listed):
            raise QueryError("Frames are listed as numbers with commas between: frames/1,2,3.")
        frames = tuple(map(int, listed.split(","))) if listed else ()
        return cls(match["study"], match["series"], match["instance"], frames)
