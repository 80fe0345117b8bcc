"""Instances that have come in, on their way into the index: those of all requests that wait, in one transaction."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from dicomframe.errors import DecodeError
from dicomframe.service.acceptance import ALREADY_STORED, Refusal, Verdict, judge
from dicomframe.service.attributes import ApiVersion
from dicomframe.service.blobs import NewBlob
from dicomframe.service.header import PREAMBLE, read_header
from dicomframe.service.offload import Together
from dicomframe.service.rows import AlreadyStored, NewInstance
from dicomframe.service.tagindex import Tag, indexed_tags

if TYPE_CHECKING:
    from dicomframe.service.blobs import Blobs
    from dicomframe.service.index import Index
    from dicomframe.service.offload import Offload

#: What became of an instance.
Outcome = Verdict | Refusal

#: A request with more instances lets those of others in between.
_INSTANCES_AT_ONCE: Final = 8
#: So much metadata is held at the most before it is written; one header alone may be larger.
_METADATA_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Arrived:
    """Instances of one request.

    Parameters
    ----------
    partition : int
        The partition's key.
    version : {"v1", "v2"}
        Whose rules apply.
    study : str, optional
        The study that the request named.
    blobs : sequence of NewBlob
        Their bytes, whole.
    """

    partition: int
    version: ApiVersion
    study: str | None
    blobs: Sequence[NewBlob]


class Intake:
    """The way of instances into one service.

    Parameters
    ----------
    index, blobs, offload
        The service's.
    """

    def __init__(self, index: Index, blobs: Blobs, offload: Offload) -> None:
        self._index = index
        self._blobs = blobs
        self._store_together: Together[Arrived, list[Outcome]] = Together(offload, self._store_all)

    async def store(self, arrived: Arrived) -> list[Outcome]:
        """Store instances; say what became of each when that is written down."""
        outcomes: list[Outcome] = []
        for start in range(0, len(arrived.blobs), _INSTANCES_AT_ONCE):
            some = arrived.blobs[start : start + _INSTANCES_AT_ONCE]
            outcomes += await self._store_together(
                Arrived(arrived.partition, arrived.version, arrived.study, some)
            )
        return outcomes

    def _store_all(self, waiting: Sequence[Arrived]) -> list[list[Outcome] | Exception]:
        extended = indexed_tags(self._index.reader)
        results: list[list[_Item]] = []
        judged: list[_Item] = []
        size = 0
        for arrived in waiting:
            results.append([_Item(blob) for blob in arrived.blobs])
            for item in results[-1]:
                self._judge(item, arrived, extended)
                judged.append(item)
                size += len(item.new.metadata) if item.new else 0
                if size > _METADATA_BYTES:
                    self._write(judged)
                    judged, size = [], 0
        self._write(judged)
        return [_outcomes(items) for items in results]

    def _judge(self, item: _Item, arrived: Arrived, extended: Sequence[Tag]) -> None:
        try:
            transfer_syntax, verdict = _judged(item.blob, arrived, extended)
        except Exception as error:  # noqa: BLE001 - a refusal, or what only this request fails with
            item.outcome = error
            return
        item.outcome = verdict
        item.new = NewInstance(
            arrived.partition,
            verdict.uids,
            transfer_syntax,
            verdict.pieces,
            verdict.metadata,
            partial(self._blobs.keep, item.blob),
        )

    def _write(self, items: Sequence[_Item]) -> None:
        taken = [(item, item.outcome, item.new) for item in items if item.new]
        problems: Sequence[Exception | None]
        try:
            problems = self._index.store([new for _, _, new in taken]) if taken else ()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            problems = [error] * len(taken)
        for (item, verdict, _), problem in zip(taken, problems, strict=True):
            item.new = None
            if isinstance(problem, AlreadyStored) and isinstance(verdict, Verdict):
                item.outcome = Refusal(ALREADY_STORED, verdict.sop_class, verdict.uids[2])
            else:
                item.outcome = problem or verdict


@dataclass(slots=True)
class _Item:
    """One instance: what becomes of it, and what the index is to be told of it."""

    blob: NewBlob
    outcome: Verdict | Exception | None = None
    new: NewInstance | None = None


def _outcomes(items: Sequence[_Item]) -> list[Outcome] | Exception:
    """Give what became of a request's instances, or what it fails with as a whole."""
    outcomes: list[Outcome] = []
    for item in items:
        if isinstance(item.outcome, Verdict | Refusal):
            outcomes.append(item.outcome)
        else:
            return item.outcome or RuntimeError("An instance was passed over.")
    return outcomes


def _judged(blob: NewBlob, arrived: Arrived, extended: Sequence[Tag]) -> tuple[str, Verdict]:
    if blob.path.stat().st_size < len(PREAMBLE):
        raise Refusal(272, comments=("The part is empty, or too short for a DICOM file.",))
    with blob.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            header = read_header(data)
        except DecodeError as error:
            raise Refusal(272, comments=(str(error),)) from None
        return header.transfer_syntax, judge(header, arrived.version, arrived.study, extended)
