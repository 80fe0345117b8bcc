"""WADO-RS: objects, as they are stored (PS3.18 section 10.4), and which of them there are.

Without a transfer syntax in the Accept header the service transcodes to Explicit VR Little Endian; ``*`` asks for the
bytes as stored, at all three levels. Servers that know no such parameter are asked without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dicomframe.client.arriving import ObjectBody, WholeBody, are_same, checked, read_dataset
from dicomframe.client.incoming import Answer
from dicomframe.client.search import Search
from dicomframe.client.session import Session
from dicomframe.dicom import tags
from dicomframe.dicom.multipart import MediaType
from dicomframe.dicom.parts import fill_parts
from dicomframe.dicom.paths import Level, ResourcePath
from dicomframe.errors import (
    BadRequestError,
    DecodeError,
    NotAcceptableError,
    NotBuiltError,
    NotFoundError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from pydicom import Dataset

#: What is asked for, one after the other, until a server has it.
ACCEPTS = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/dicom"',
    "application/dicom; transfer-syntax=*",
    "*/*",
)
#: Asks for the first version of what was updated in bulk; servers that know no such header ignore it.
ORIGINAL = {"msdicom-request-original": "true"}
# A study is shown by an image of it, if it has any.
_NOT_PICTURES = frozenset(
    {"AU", "DOC", "ECG", "HD", "KO", "PLAN", "PR", "REG", "RTPLAN", "RTRECORD", "RTSTRUCT", "RWV", "SR"}
)


class Listing(list[dict[str, Any]]):
    """Rows of a search.

    Attributes
    ----------
    is_whole : bool
        Whether they are known to be all there are: the server may have ended before, or rows may have moved.
    """

    is_whole: bool = True


class Retriever:
    """Retrieval from one service; it remembers which Accept header the server understands.

    Parameters
    ----------
    session : Session
        The way to the service.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._accept = 0

    def bodies(self, path: ResourcePath, *, original: bool = False) -> Iterator[ObjectBody]:
        """Yield the objects of a study, series or instance as they come in.

        Each is valid until the next is asked for; memory is bounded by the chunk.

        Parameters
        ----------
        path : ResourcePath
            What to retrieve.
        original : bool
            Whether the first version is wanted of what was updated since.

        Raises
        ------
        NotFoundError
            If there is no such resource.
        TruncatedBody
            If the answer ends before its end; what came before is whole.
        ServiceError, TransportError
            If the service refuses or the connection is cut.
        """
        with self._ask(path, ORIGINAL if original else {}) as answer:
            media = MediaType.parse(answer.content_type)
            if media.type.startswith("multipart/"):
                yield from fill_parts(answer.content_type, answer.fill)
            elif media.type in {"application/dicom", "application/octet-stream"}:
                yield WholeBody(answer)
            else:
                raise UnexpectedAnswerError(
                    answer.status,
                    answer.route,
                    message=f"the answer is of type {media.type[:80] or 'none'!r}, not DICOM",
                )

    def _ask(self, path: ResourcePath, more: Mapping[str, str]) -> Answer:
        """Ask in the way that this server understands; find that out at the first refusal."""
        first = self._accept
        for at in range(first, len(ACCEPTS)):
            headers = {"Accept": ACCEPTS[at], "Accept-Encoding": "identity", **more}
            try:
                answer = self.session.request("GET", path.url_path, headers=headers, stream=True)
            except (NotAcceptableError, BadRequestError) as error:
                refusal = error
            else:
                self._accept = at
                return answer
        raise refusal

    def objects(self, path: ResourcePath, *, original: bool = False) -> Iterator[Dataset]:
        """Yield the objects as Datasets, one at a time.

        Raises
        ------
        UnexpectedAnswerError
            If the server sends an object of another study, series or instance.
        """
        for body in self.bodies(path, original=original):
            yield checked(read_dataset(body), path)

    def instance(self, path: ResourcePath, *, original: bool = False) -> Dataset:
        """Retrieve the one object of an instance.

        Raises
        ------
        UnexpectedAnswerError
            If the answer holds another object as well: nobody can tell which is right.
        """
        found: Dataset | None = None
        for body in self.bodies(path, original=original):
            dataset = checked(read_dataset(body), path)
            if found is not None and not are_same(found, dataset):
                raise UnexpectedAnswerError(
                    200, f"GET /{path.url_path}", message="the server sent different objects for one instance"
                )
            found = dataset
        if found is not None:
            return found
        raise NotFoundError(404, f"GET /{path.url_path}", message="the answer holds no object")

    def instances_of(
        self, path: ResourcePath, fields: Sequence[str] = (), width: int | None = None
    ) -> Listing:
        """Search the instances of a study or series; each a mapping from keyword to its first value.

        Parameters
        ----------
        path : ResourcePath
            The study or series.
        fields : sequence of str
            Further attributes to ask for.
        width : int, optional
            The most requests at a time; by default the session's.
        """
        try:
            return self._below(path, "instance", fields, width)
        except (NotFoundError, NotBuiltError):
            # Some servers list instances below a series only.
            series = self._below(path, "series") if path.level == "study" else Listing()
            if not series:
                raise
        below = [ResourcePath(path.study, row["SeriesInstanceUID"]) for row in series]
        listings = [series, *(self._below(each, "instance", fields, width) for each in below)]
        listed = Listing(row for each in listings[1:] for row in each)
        listed.is_whole = all(each.is_whole for each in listings)
        return listed

    def _below(
        self, path: ResourcePath, level: Level, fields: Sequence[str] = (), width: int | None = None
    ) -> Listing:
        search = Search.of(
            self.session,
            level,
            filters={},
            study_uid=path.study,
            series_uid=path.series,
            fields=list(fields),
            limit=None,
            page_size=200,
        )
        search.width = width
        rows = [_first_values(row) for page in search.pages() for row in page]
        listed = Listing(
            {"StudyInstanceUID": path.study, "SeriesInstanceUID": path.series, **row} for row in rows
        )
        listed.is_whole = search.completeness == "complete"
        return listed

    def representative(self, path: ResourcePath) -> Dataset:
        """Retrieve the instance that stands for a resource; see `representative_path`."""
        return self.instance(self.representative_path(path))

    def representative_path(self, path: ResourcePath) -> ResourcePath:
        """Find the instance that stands for a resource: the middle one, of a study's largest series of pictures.

        Raises
        ------
        NotFoundError
            If there is no instance.
        """
        if path.level == "instance":
            return path
        rows = self.instances_of(path, fields=["InstanceNumber", "Modality"])
        series: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            series.setdefault(str(row.get("SeriesInstanceUID") or ""), []).append(row)
        if not series:
            raise NotFoundError(404, f"GET /{path.url_path}", message="there are no instances")
        chosen = max(
            series.values(), key=lambda each: (each[0].get("Modality") not in _NOT_PICTURES, len(each))
        )
        chosen.sort(key=_instance_number)
        row = chosen[len(chosen) // 2]
        if not (row.get("SeriesInstanceUID") and row.get("SOPInstanceUID")):
            raise DecodeError("The server's list of instances lacks their UIDs.")
        return ResourcePath(path.study, row["SeriesInstanceUID"], row["SOPInstanceUID"])


def _first_values(row: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for tag, attribute in row.items():
        values = attribute.get("Value") if isinstance(attribute, dict) else None
        known = tags.find(tag)
        if known and isinstance(values, list) and values:
            found[known.column] = values[0]
    return found


def _instance_number(row: dict[str, Any]) -> tuple[float, str]:
    try:
        number = float(row.get("InstanceNumber") or 0)
    except (TypeError, ValueError):
        number = 0.0
    return number, str(row.get("SOPInstanceUID"))
