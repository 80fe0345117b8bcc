"""Error bodies to errors: the server's own words, whichever of five shapes it speaks in.

The shapes are the user's reference's ``{"error": {...}}``, problem details (RFC 9457), DICOM JSON with failure
attributes, a JSON string, and plain text. Orthanc's own shape is read as well. UIDs, tokens, person names and the
values that were searched for are blotted out of the words, because error messages end in logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from dicomframe.errors import ERROR_OF_STATUS, ServiceError, printable

#: More of an error body than this is not read.
MOST_ERROR_BYTES = 64 * 1024
_MOST_WORDS = 600

#: What to do, by status.
HINTS: dict[int, str] = {
    400: "Check the request's parameters and their form.",
    401: "Sign in (az login), or give a fresh credential= whose tokens are for https://dicom.healthcareapis.azure.com.",
    403: "The identity lacks a role: 'DICOM Data Reader' to read, 'DICOM Data Owner' to write and delete.",
    404: "There is no such resource here; if nothing is found at all, check the service's URL and its version.",
    405: "This server does not offer the operation.",
    406: "The server has no representation of the kind that was asked for.",
    409: "It is there already, or another request holds it: see what is there before trying again.",
    413: "Send less at a time: a smaller batch_size=.",
    429: "The server is throttling: wait, or lower max_workers=.",
    501: "This server does not offer the operation.",
    503: "The service is busy or starting; try again later.",
}

# Also where it is glued to letters, as in "Instance1.2.840.10008.1_1".
_UID = re.compile(r"(?<![\d.])(?:[0-2](?:\.\d+){3,}|2\.25\.\d+)")
# A person name as DICOM writes it (PS3.5 section 6.2.1.1): words with carets between. These patterns are bounded,
# because they read what any server sends.
_NAME = re.compile(r"[\w.'-]{0,64}(?:\^[\w.'-]{0,64})+")
_TITLE = re.compile(r"<title[^<>]{0,100}>([^<]{0,1000})</title>", re.IGNORECASE)
_CHALLENGE = re.compile(r'(\w{1,40})="([^"]{0,1000})"')
_TAG_KEY = re.compile(r"[0-9A-Fa-f]{8}")


#: What Azure's service has beyond DICOMweb, by the end of its route.
_BEYOND_DICOMWEB = {
    "changefeed": "change feed",
    "changefeed/latest": "change feed",
    "extendedquerytags": "extended query tags",
    "workitems": "work items",
}


def hint_of_route(status: int, route: str) -> str:
    """Say that a server lacks what it has no route for; empty where the route says nothing.

    Examples
    --------
    >>> hint_of_route(404, "GET /dicom-web/changefeed/latest")
    'This server has no change feed; the Azure DICOM service has it.'
    """
    missing = next((name for end, name in _BEYOND_DICOMWEB.items() if route.endswith(f"/{end}")), "")
    if not missing or status not in {404, 405, 501}:
        return ""
    return (
        f"This server has no {missing}; the Azure DICOM service has {'them' if missing[-1] == 's' else 'it'}."
    )


@dataclass(frozen=True, slots=True)
class Words:
    """What a server said: a code, a message and further details, each empty where it said nothing."""

    code: str = ""
    message: str = ""
    details: tuple[str, ...] = ()


def error_of(
    status: int,
    route: str,
    content_type: str,
    body: bytes,
    *,
    hint: str = "",
    private: Sequence[str] = (),
    kind: type[ServiceError] | None = None,
    challenge: str = "",
) -> ServiceError:
    """Make the error of an answer.

    Parameters
    ----------
    status : int
        The HTTP status; it decides the class.
    route : str
        Verb and path.
    content_type : str
        The answer's.
    body : bytes
        The answer's, or its beginning.
    hint : str
        What to do, where more is known than the status says.
    private : sequence of str
        Texts that must not stand in a message.
    kind : type, optional
        The class, where it is not the status's.
    challenge : str
        The answer's WWW-Authenticate: a 401 often has no other words.
    """
    words = read_words(content_type, body)
    if not words.message:
        words = read_challenge(challenge)
    return (kind or ERROR_OF_STATUS.get(status, ServiceError))(
        status,
        route,
        code=blot(words.code, private),
        message=blot(words.message, private),
        details=[blot(detail, private) for detail in words.details],
        hint=hint or HINTS.get(status, ""),
    )


def read_challenge(challenge: str) -> Words:
    """Read what a WWW-Authenticate header says of a bearer token (RFC 6750 section 3).

    Examples
    --------
    >>> read_challenge('Bearer error="invalid_token", error_description="The token expired"')
    Words(code='invalid_token', message='The token expired', details=())
    >>> read_challenge('Basic realm="Orthanc"').message
    ''
    """
    said = {name.lower(): value for name, value in _CHALLENGE.findall(challenge)}
    return Words(said.get("error", ""), said.get("error_description", ""))


def blot(text: str, private: Sequence[str] = ()) -> str:
    """Cut a server's words to a readable length, without UIDs, names, private texts and what commands terminals.

    Examples
    --------
    >>> blot("Instance 1.2.840.10008.1 of Smith is not there", ["Smith"])
    'Instance <UID> of <...> is not there'
    >>> blot("PatientName Doe^Jane is not the study's")
    "PatientName <name> is not the study's"
    """
    text = " ".join(text.split())
    for secret in sorted({word for value in private for word in _pieces(value)}, key=len, reverse=True):
        text = re.sub(re.escape(secret), "<...>", text, flags=re.IGNORECASE)
    text = printable(_NAME.sub("<name>", _UID.sub("<UID>", text)))
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]} ..."


def _pieces(value: str) -> Iterator[str]:
    """Give a value and its parts: a server may quote a name without its wildcard or its carets, or as in the URL."""
    for piece in (value, *re.split(r"[\^*?=\s]+", value)):
        if len(piece) > 1:
            yield from (piece, quote(piece, safe=""))


def read_words(content_type: str, body: bytes) -> Words:
    """Read what an error body says; whatever it is, this does not raise.

    Examples
    --------
    >>> read_words("application/json", b'{"error": {"code": "BadDate", "message": "Invalid date"}}')
    Words(code='BadDate', message='Invalid date', details=())
    >>> read_words("text/plain", b"Not here.").message
    'Not here.'
    """
    text = body.decode("utf-8", "replace").strip()
    if text[:1] in {"{", "[", '"'}:
        try:
            return _words_of_json(orjson.loads(body))
        except (orjson.JSONDecodeError, RecursionError):
            return Words(message=text)
    if "html" in content_type.lower() or text[:15].lower().startswith(("<!doctype", "<html")):
        title = _TITLE.search(text)
        return Words(message=f"an HTML page{f' titled {title[1].strip()!r}' if title else ''}")
    return Words(message=text)


def _words_of_json(said: Any) -> Words:
    if isinstance(said, str):
        return Words(message=said)
    if isinstance(said, list):
        said = next((item for item in said if isinstance(item, dict)), {})
    if not isinstance(said, dict):
        return Words()
    if isinstance(said.get("error"), dict):
        return _words_of_reference(said["error"])
    if any(_TAG_KEY.fullmatch(key) for key in said):
        return _words_of_dicom(said)
    by_lower = {key.lower(): value for key, value in said.items()}
    message = _text(by_lower.get("detail")) or _text(by_lower.get("message")) or _text(by_lower.get("title"))
    title = _text(by_lower.get("title"))
    details = [title] if title and title != message else []
    details += _texts(by_lower.get("details")) + _texts(by_lower.get("errors"))
    kind = _text(by_lower.get("code")) or _text(by_lower.get("type"))
    # Most problem types are links to the RFC, which tell nobody anything.
    code = "" if kind.startswith(("http", "about:")) else kind
    return Words(code, message or _text(said.get("error")), tuple(details))


def _words_of_reference(error: Mapping[str, Any]) -> Words:
    return Words(_text(error.get("code")), _text(error.get("message")), tuple(_texts(error.get("details"))))


def _words_of_dicom(data: Mapping[str, Any]) -> Words:
    """Read the comments (0000,0902) and failure reasons (0008,1197) of a DICOM JSON answer."""
    from dicomframe.client.reasons import meaning_of_failure

    comments = list(dict.fromkeys(_find_values(data, "00000902")))
    codes = list(dict.fromkeys(_find_values(data, "00081197")))
    reasons = [f"{code}: {meaning_of_failure(int(code))}" for code in codes if str(code).isdecimal()]
    said = [*reasons, *map(str, comments)]
    return Words(message=said[0] if said else "", details=tuple(said[1:20]))


def _find_values(data: Any, tag: str) -> Iterator[Any]:
    if isinstance(data, dict):
        for key, value in data.items():
            if key == tag and isinstance(value, dict):
                listed = value.get("Value")
                yield from (
                    one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, str | int)
                )
            else:
                yield from _find_values(value, tag)
    elif isinstance(data, list):
        for item in data:
            yield from _find_values(item, tag)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    """Flatten details: texts, ``{"code", "message"}`` objects, or ASP.NET's lists by field."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        if "message" in value or "code" in value:
            code, message = _text(value.get("code")), _text(value.get("message"))
            return [f"{code}: {message}" if code and message else code or message]
        return [f"{field}: {text}" for field, listed in value.items() for text in _texts(listed)]
    return []
