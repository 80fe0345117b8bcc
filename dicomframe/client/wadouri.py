"""WADO-URI: one instance by the parameters of a query (PS3.18 section 9), as an object or as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from dicomframe.client.arriving import WholeBody, checked, read_dataset
from dicomframe.client.incoming import Answer
from dicomframe.client.rendered import MEDIA_TYPES, Wish
from dicomframe.client.retrieve import Retriever
from dicomframe.dicom.paths import ResourcePath, check_uid
from dicomframe.errors import DicomFrameError, NotBuiltError, NotFoundError, QueryError
from dicomframe.images.picture import Picture, read_picture

if TYPE_CHECKING:
    from pydicom import Dataset

OBJECT: Final = "application/dicom"


def retrieve_uri(
    retriever: Retriever,
    path: ResourcePath,
    content_type: str,
    wish: Wish,
    transfer_syntax: str | None = None,
    wado_url: str | None = None,
) -> Dataset | Picture:
    """Retrieve an instance; `dicomframe.client.client.Client.retrieve_uri` documents it."""
    if content_type == OBJECT and (wish.window or wish.viewport or wish.quality or wish.frame):
        raise QueryError(
            "frame=, window=, viewport= and quality= are for pictures: content_type='image/jpeg' or 'image/png'."
        )
    if transfer_syntax is not None and content_type != OBJECT:
        raise QueryError("transfer_syntax= is for objects: content_type='application/dicom'.")
    try:
        answer = _ask(retriever, _query(path, content_type, wish, transfer_syntax), wado_url)
    except (NotFoundError, NotBuiltError) as error:
        if error.status != 404 or _answers(retriever, path, wado_url) or not _is_there(retriever, path):
            raise
        route = error.route
    else:
        if content_type != OBJECT:
            values, kind = read_picture(answer.content)
            return Picture(values, "server", kind)
        return checked(read_dataset(WholeBody(answer)), path)
    raise NotBuiltError(
        404,
        route,
        message="the instance is there, but WADO-URI is not at this place of the server",
        hint="wado_url= says where it is (Orthanc: '/wado'); retrieve_instance and retrieve_rendered need no WADO-URI.",
    )


def _ask(retriever: Retriever, query: str, wado_url: str | None) -> Answer:
    session = retriever.session
    if wado_url is None:
        return session.request("GET", f"wado?{query}", headers={"Accept": "*/*"})
    if not isinstance(wado_url, str) or "?" in wado_url or "#" in wado_url or not wado_url.strip("/"):
        raise QueryError("wado_url= is a URL or a path without '?', such as '/wado'.")
    base, _, last = urljoin(f"{session.address.origin}/", wado_url.rstrip("/")).rpartition("/")
    if not urlsplit(base).netloc:
        raise QueryError("wado_url= is a URL or a path without '?', such as '/wado'.")
    return session.request("GET", f"{last}?{query}", headers={"Accept": "*/*"}, base=base)


def _query(path: ResourcePath, content_type: str, wish: Wish, transfer_syntax: str | None) -> str:
    """Write the query (PS3.18 sections 9.1.2 and 9.1.3) as it stands: Orthanc does not decode the slash of a type."""
    return "&".join(
        f"{name}={value}" for name, value in _parameters(path, content_type, wish, transfer_syntax)
    )


def _parameters(
    path: ResourcePath, content_type: str, wish: Wish, transfer_syntax: str | None
) -> Iterator[tuple[str, Any]]:
    yield "requestType", "WADO"
    yield from zip(("studyUID", "seriesUID", "objectUID"), path.uids, strict=True)
    yield "contentType", content_type
    if transfer_syntax is not None:
        is_any = transfer_syntax == "*"
        yield "transferSyntax", "*" if is_any else check_uid(transfer_syntax, "transfer_syntax")
    if wish.frame is not None:
        yield "frameNumber", wish.frame
    if wish.window is not None:
        yield "windowCenter", f"{wish.window.center:.10g}"
        yield "windowWidth", f"{wish.window.width:.10g}"
    if wish.viewport is not None:
        yield "columns", wish.viewport[0]
        yield "rows", wish.viewport[1]
    if wish.quality is not None:
        yield "imageQuality", wish.quality


def _answers(retriever: Retriever, path: ResourcePath, wado_url: str | None) -> bool:
    """Whether WADO-URI has the object itself: then what is missing is a frame of it, or pixels."""
    try:
        _ask(retriever, _query(path, OBJECT, Wish(), None), wado_url)
    except DicomFrameError:
        return False
    return True


def _is_there(retriever: Retriever, path: ResourcePath) -> bool:
    """Whether the instance can be had in another way."""
    try:
        for _ in retriever.bodies(path):
            return True
    except DicomFrameError:
        return False
    return False


def check_content_type(content_type: Any) -> str:
    """Give the argument back if it is one that is accepted."""
    if content_type not in {OBJECT, *MEDIA_TYPES}:
        raise QueryError(f"content_type= must be one of {', '.join(map(repr, (OBJECT, *MEDIA_TYPES)))}.")
    return str(content_type)
