"""POST of instances (STOW-RS, PS3.18 section 10.5).

The body streams to temporary files; nothing is stored before it has come in whole, so that a request that is cut
off or malformed stores nothing and can be made again.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import orjson

from dicomframe.dicom.multipart import MediaType, MultipartParser, PartBegin, PartData
from dicomframe.errors import DecodeError
from dicomframe.service import negotiation
from dicomframe.service.acceptance import Refusal, Verdict
from dicomframe.service.blobs import NewBlob
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import Fault, bad_request, unsupported_media_type
from dicomframe.service.intake import Arrived, Outcome
from dicomframe.service.negotiation import DICOM, MULTIPART

#: The hosted service's limit on one request.
MOST_BYTES: Final = 4 << 30


async def store(call: Call) -> Answer:
    """Store the instances in the body: 200, 202, 204, or 409 where none could be."""
    json_type = negotiation.json_type(call.header(b"accept"), required=call.service.strict)
    call.refuse_query()
    media = _media_type(call)
    announced = call.header(b"content-length") or ""
    if announced.isdecimal():
        _within_limit(MOST_BYTES, int(announced))  # before gigabytes of it have come in
    with ExitStack() as unfinished:
        receive = _receive_parts if media.type == MULTIPART else _receive_file
        blobs = await receive(call, unfinished)
        if not blobs:
            return Answer(HTTPStatus.NO_CONTENT)
        study = call.uids[0] if call.uids else None
        outcomes = await call.service.intake.store(Arrived(call.partition, call.version, study, blobs))
    report = _Report(call)
    for outcome in outcomes:
        report.add(outcome)
    return report.answer(json_type)


def _media_type(call: Call) -> MediaType:
    media = MediaType.parse(call.header(b"content-type") or "")
    if media.type == DICOM:
        return media
    if media.type != MULTIPART:
        raise unsupported_media_type(
            f'The body must be {MULTIPART}; type="{DICOM}", or one {DICOM} object; its Content-Type is neither.'
        )
    if media.parameters.get("type", DICOM).lower() != DICOM:
        raise unsupported_media_type(f'The parts must be {DICOM}: type="{DICOM}" is accepted.')
    if not media.parameters.get("boundary"):
        raise unsupported_media_type("The Content-Type has no boundary parameter.")
    if "start" in media.parameters:
        raise bad_request("The Content-Type has a start parameter, which is not accepted.")
    return media


async def _receive_file(call: Call, unfinished: ExitStack) -> list[NewBlob]:
    blob = unfinished.enter_context(call.service.blobs.begin())
    left = MOST_BYTES
    async for chunk in call.body():
        left = _within_limit(left, len(chunk))
        await call.service.offload.brief(blob.write, chunk)
    blob.finish()
    return [blob]


async def _receive_parts(call: Call, unfinished: ExitStack) -> list[NewBlob]:
    blobs: list[NewBlob] = []
    left, is_empty = MOST_BYTES, True
    content_type = call.header(b"content-type") or ""
    try:
        parser = MultipartParser(content_type)
        async for chunk in call.body():
            left = _within_limit(left, len(chunk))
            is_empty = is_empty and not chunk
            for event in parser.feed(chunk):
                if isinstance(event, PartData):
                    await call.service.offload.brief(blobs[-1].write, event.data)
                elif isinstance(event, PartBegin):
                    _check_part(event, MediaType.parse(content_type), is_first=not blobs)
                    blobs.append(unfinished.enter_context(call.service.blobs.begin()))
                else:
                    blobs[-1].finish()
        if not is_empty:  # a body of no bytes holds nothing, as one of no parts does
            parser.close()
    except DecodeError as error:
        raise bad_request(f"The multipart body cannot be read. {error}", "InvalidMultipartBody") from None
    return blobs


def _within_limit(left: int, coming: int) -> int:
    if coming > left:
        raise Fault(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "RequestTooLarge",
            f"The body is larger than {MOST_BYTES} bytes; send fewer instances at a time.",
        )
    return left - coming


def _check_part(part: PartBegin, body: MediaType, *, is_first: bool) -> None:
    declared = MediaType.parse(part.headers.get("content-type", "")).type
    if not declared and is_first:
        declared = body.parameters.get("type", "").lower()
    if declared != DICOM:
        raise unsupported_media_type(
            f"Each part needs the Content-Type {DICOM}; only the first one may leave it to the type parameter."
        )


@dataclass(slots=True)
class _Report:
    """What became of each instance."""

    call: Call
    stored: list[dict[str, object]] = field(default_factory=list)
    failed: list[dict[str, object]] = field(default_factory=list)
    has_warnings: bool = False
    multiple_values: set[str] = field(default_factory=set)

    def add(self, outcome: Outcome) -> None:
        """Note what became of one."""
        if isinstance(outcome, Verdict):
            self._add_stored(outcome)
        else:
            self._add_failed(outcome)

    def _add_stored(self, verdict: Verdict) -> None:
        study, series, instance = verdict.uids
        url = f"{self.call.base}/studies/{study}/series/{series}/instances/{instance}"
        item: dict[str, object] = {
            "00081150": _attribute("UI", verdict.sop_class),
            "00081155": _attribute("UI", instance),
            "00081190": _attribute("UR", url),
        }
        if verdict.warning:
            item["00081196"] = _attribute("US", verdict.warning)
        if self.call.version != "v1":
            item["00741048"] = _comments(verdict.comments)
            self.has_warnings |= bool(verdict.warning)
        else:
            self.multiple_values |= set(verdict.multiple_values)
        self.stored.append(item)

    def _add_failed(self, refusal: Refusal) -> None:
        item = {
            "00081150": _attribute("UI", refusal.sop_class),
            "00081155": _attribute("UI", refusal.instance),
            "00081197": _attribute("US", refusal.reason),
            "00741048": _comments(refusal.comments),
        }
        self.failed.append({tag: value for tag, value in item.items() if len(value) > 1})

    def answer(self, json_type: str) -> Answer:
        """Give the response."""
        body: dict[str, object] = {}
        if self.call.uids and self.stored:
            body["00081190"] = _attribute("UR", f"{self.call.base}/studies/{self.call.uids[0]}")
        if self.failed:
            body["00081198"] = {"vr": "SQ", "Value": self.failed}
        if self.stored:
            body["00081199"] = {"vr": "SQ", "Value": self.stored}
        status = HTTPStatus.OK
        if not self.stored:
            status = HTTPStatus.CONFLICT
        elif self.failed or self.has_warnings:
            status = HTTPStatus.ACCEPTED
        headers = {"Content-Type": json_type}
        if self.multiple_values:
            names = ", ".join(sorted(self.multiple_values))
            host = self.call.base.split("/")[2]
            headers["Warning"] = f'299 {host}: "Only the first value is indexed of: {names}."'
        return Answer(status, orjson.dumps(body), headers)


def _attribute(vr: str, value: object) -> dict[str, object]:
    return {"vr": vr, "Value": [value]} if value else {"vr": vr}


def _comments(comments: tuple[str, ...]) -> dict[str, object]:
    items = [{"00000902": _attribute("LO", f"DICOM100: {comment}")} for comment in comments]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
