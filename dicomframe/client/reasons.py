"""Failure and warning reasons of a STOW-RS answer, as data (PS3.18 section 10.5.3, PS3.4 B.2.3, PS3.7 annex C)."""

from __future__ import annotations

#: The service has this very instance already: an outcome of its own, because nothing was lost.
EXISTS_ALREADY = 45070

#: FailureReason (0008,1197).
FAILURES: dict[int, str] = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0107: "attribute list error",
    0x0110: "general processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0116: "attribute value out of range",
    0x0117: "invalid SOP instance UID",
    0x0118: "no such SOP class",
    0x0119: "class and instance do not fit together",
    0x0120: "a required attribute is missing",
    0x0121: "a required attribute has no value",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0210: "duplicate invocation",
    0x0213: "resource limitation",
    0xA700: "out of resources",
    0xA701: "out of resources: cannot determine the number of matches",
    0xA900: "validation failed: the data set does not match its SOP class or a required attribute is invalid",
    0xA901: "the instance belongs to another study than the one that was named",
    0xB00E: "the instance exists already",
    0xB00F: "another request is storing the same instance at this moment",
    0xC000: "cannot understand the instance",
    0xC122: "transfer syntax not supported",
}

#: WarningReason (0008,1196).
WARNINGS: dict[int, str] = {
    1: "stored; attributes with invalid values cannot be searched and are left out of the metadata",
    0xB000: "stored; data elements were coerced",
    0xB006: "stored; elements were discarded",
    0xB007: "stored; the data set does not match its SOP class",
}


def meaning_of_failure(code: int) -> str:
    """Say what a failure reason means.

    Examples
    --------
    >>> meaning_of_failure(45070)
    'the instance exists already'
    >>> meaning_of_failure(0xA7FF), meaning_of_failure(9)
    ('out of resources', 'a reason that is not in the standard')
    """
    known = FAILURES.get(code)
    if known is not None:
        return known
    # PS3.18 table I.2-2 gives whole ranges: A7xx, A9xx, Cxxx.
    for start, width in ((0xA700, 0x100), (0xA900, 0x100), (0xC000, 0x1000)):
        if start <= code < start + width:
            return FAILURES[start]
    return "a reason that is not in the standard"


def meaning_of_warning(code: int) -> str:
    """Say what a warning reason means."""
    return WARNINGS.get(code, "stored, with a warning that is not in the standard")
