"""POST of studies/$bulkUpdate: new values of patient attributes in whole studies (version 2 of the API).

Each instance gets a new version; the first stays for ``msdicom-request-original``. A study is updated in one
transaction, after the new files have been written, and noted as done in the same: what is resumed after a kill goes
on behind it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.dicom import tags
from dicomframe.dicom.multipart import MediaType
from dicomframe.errors import DecodeError
from dicomframe.service import operations, versions
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import Fault, bad_request, unsupported_media_type
from dicomframe.service.header import read_header, read_layout
from dicomframe.service.metadata import describe, pieces_of
from dicomframe.service.operations import OperationFailed
from dicomframe.service.splicing import CannotWrite, Change, splice
from dicomframe.service.validation import is_uid, reason_against

if TYPE_CHECKING:
    from dicomframe.service.header import Buffer
    from dicomframe.service.operations import Job, Operation
    from dicomframe.service.rows import Stored
    from dicomframe.service.service import Service

MOST_STUDIES: Final = 50
#: Patient identification and demographics (PS3.3 tables C.2-2 and C.2-3) without sequences, and three of general study.
UPDATABLE: Final = frozenset(
    "AccessionNumber BranchOfService BreedRegistrationNumber ConfidentialityConstraintOnPatientDataDescription"
    " CountryOfResidence EthnicGroup MedicalRecordLocator MilitaryRank Occupation OtherPatientIDs OtherPatientNames"
    " PatientAddress PatientAge PatientBirthDate PatientBirthName PatientBirthTime PatientBreedDescription"
    " PatientComments PatientID PatientMotherBirthName PatientName PatientReligiousPreference PatientSex PatientSize"
    " PatientSpeciesDescription PatientTelephoneNumbers PatientWeight QualityControlSubject ReferringPhysicianName"
    " RegionOfResidence ResponsibleOrganization ResponsiblePerson ResponsiblePersonRole StudyDescription"
    " TypeOfPatientID".split()
)
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
#: The state of an update is written so often within a study.
_INSTANCES_A_REPORT: Final = 50


async def bulk_update(call: Call) -> Answer:
    """Begin an update: 202 and an operation; 400 for what cannot be done; 409 while another one runs."""
    call.refuse_query()
    media = MediaType.parse(call.header(b"content-type") or "application/json").type
    if media not in {"application/json", "application/dicom+json"}:
        raise unsupported_media_type("The body must be application/json.")
    studies, dataset = _read(await call.json())
    changes, comments = read_changes(dataset)
    if comments:
        items = [{"00000902": {"vr": "LO", "Value": [f"DICOM100: {comment}"]}} for comment in comments]
        body = orjson.dumps({"00741048": {"vr": "SQ", "Value": items}})
        return Answer(HTTPStatus.BAD_REQUEST, body, {"Content-Type": "application/dicom+json"})
    payload = {"partition": call.partition, "studies": studies, "changes": [list(each) for each in changes]}
    operation = await call.service.offload.lengthy(_start, call, payload)
    return operations.accepted(call, operation)


def _read(body: Any) -> tuple[list[str], Mapping[str, Any]]:
    known = {"studyinstanceuids", "changedataset"}
    given = {str(name).lower(): value for name, value in body.items()} if isinstance(body, dict) else {}
    if given.keys() != known:
        raise bad_request("The body must be an object with studyInstanceUids and changeDataset.")
    uids, dataset = given["studyinstanceuids"], given["changedataset"]
    if not isinstance(uids, list) or not 1 <= len(uids) <= MOST_STUDIES:
        raise bad_request(f"studyInstanceUids must be a list of 1 to {MOST_STUDIES} UIDs.")
    if not all(isinstance(uid, str) and is_uid(uid) for uid in uids):
        raise bad_request(
            "studyInstanceUids holds what is no UID of at most 64 digits and dots.", "InvalidUid"
        )
    if not isinstance(dataset, dict) or not dataset:
        raise bad_request("changeDataset must be a DICOM JSON object with at least one attribute.")
    return list(dict.fromkeys(uids)), dataset


def _start(call: Call, payload: Mapping[str, Any]) -> Operation:
    service = call.service
    service.operations.resume()  # one whose process is gone would keep this one back for ever
    with service.index.transaction() as writer:
        # Under the write lock: nobody else can begin one at the same time.
        running = service.operations.running("update")
        if running is None:
            operation = service.operations.insert(writer, "update", payload)
    if running is not None:
        raise Fault(
            HTTPStatus.CONFLICT,
            "OperationRunning",
            f"There is an update running, operation {running.id}; only one is possible at a time.",
            headers={"Location": operations.href(call, running)},
        )
    service.operations.schedule(operation)
    return operation


def read_changes(dataset: Mapping[str, Any]) -> tuple[list[Change], list[str]]:
    """Read the new values; give them and, of each attribute that cannot be updated so, why.

    Parameters
    ----------
    dataset : mapping
        A DICOM JSON object.

    Examples
    --------
    >>> read_changes({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}})
    ([Change(tag=1048592, vr='PN', text='New^Name')], [])
    >>> read_changes({"00080018": {"vr": "UI", "Value": ["1.2"]}})[1]
    ['(0008,0018) - The attribute cannot be updated.']
    """
    changes, comments = [], []
    for name, attribute in dataset.items():
        known = tags.find(name)
        where = f"({known.tag[:4].lower()},{known.tag[4:].lower()})" if known else "An unknown attribute"
        if known is None or known.keyword not in UPDATABLE:
            comments.append(f"{where} - The attribute cannot be updated.")
            continue
        text, reason = _text_of(known, attribute)
        if reason:
            comments.append(f"{where} - {reason}")
        changes.append(Change(int(known.tag, 16), known.vr, text))
    return changes, comments


def _text_of(known: tags.Attribute, attribute: Any) -> tuple[str, str]:
    """Give an attribute's new value as the text in a file, and what speaks against it."""
    if not isinstance(attribute, dict) or attribute.get("vr", known.vr) != known.vr:
        return "", f"The attribute must be an object with the VR {known.vr} and a Value."
    values = attribute.get("Value")
    texts = [_one_text(known.vr, value) for value in values] if isinstance(values, list) else []
    if None in texts:
        return "", f"The value must be one that {known.vr} allows."
    written = [text for text in texts if text is not None]
    if not any(text.strip(" \0") for text in written):
        return "", "A value cannot be updated to null."
    if len(written) > 1 and not known.is_multiple:
        return "", "The attribute has one value only."
    reason = next((reason for text in written if (reason := reason_against(known.vr, text))), "")
    return "\\".join(written), f"The value {reason}." if reason else ""


def _one_text(vr: str, value: Any) -> str | None:
    """Write one JSON value as in a file; None for what the VR has no form for, a null among them empty."""
    if value is None:
        return ""
    if vr == "PN" and isinstance(value, dict):
        groups = [value.get(group) or "" for group in _GROUPS]
        if value.keys() <= set(_GROUPS) and all(isinstance(group, str) for group in groups):
            return "=".join(groups).rstrip("=")
        return None
    if vr == "DS" and isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return value if isinstance(value, str) and vr != "PN" else None


def work(service: Service, job: Job) -> Mapping[str, Any]:
    """Update study after study; those that are noted as done already are passed over."""
    studies: list[str] = job.payload["studies"]
    done = {row[0] for row in _rows(service, job)}
    for number, study in enumerate(studies):
        if study not in done:
            _Study(service, job, number, len(studies)).update(study)
    rows = _rows(service, job)
    problems = [(study, problem) for study, _, problem in rows if problem]
    results = {
        "studyUpdated": sum(1 for _, instances, _ in rows if instances),
        "studyFailed": len(problems),
        "instanceUpdated": sum(instances for _, instances, _ in rows),
        "errors": [
            text
            for study, problem in problems
            for text in (f"Failed to update instances for study {study}", problem)
        ],
    }
    if problems:
        raise OperationFailed(results)
    return results


def _rows(service: Service, job: Job) -> list[tuple[str, int, str]]:
    return service.index.reader.execute(
        "SELECT study, instances, problem FROM updated_study WHERE operation = ?", (job.id,)
    ).fetchall()


class _Failed(Exception):
    """An instance that cannot be updated, and why; its study stays as it is."""


class _Study:
    """The update of one study, which is one of several."""

    def __init__(self, service: Service, job: Job, number: int, of: int) -> None:
        self._service = service
        self._job = job
        self._share = (number, of)
        self._partition: int = job.payload["partition"]
        self._changes = [Change(*change) for change in job.payload["changes"]]

    def update(self, study: str) -> None:
        """Give all instances that the study has now a new version, or none."""
        service = self._service
        with ExitStack() as unfinished:
            replacements: list[versions.Replacement] = []
            problem = ""
            try:
                replacements += self._replacements(study, unfinished)
            except _Failed as failed:
                replacements, problem = [], str(failed)
            with service.index.transaction() as writer:
                count, garbage = versions.replace(writer, self._partition, replacements, service.blobs.keep)
                writer.execute(
                    "INSERT OR IGNORE INTO updated_study VALUES (?, ?, ?, ?)",
                    (self._job.id, study, count, problem),
                )
        service.blobs.remove(garbage)
        service.index.forget(garbage)

    def _replacements(self, study: str, unfinished: ExitStack) -> Iterator[versions.Replacement]:
        found = self._service.index.find(self._partition, [study])
        number, of = self._share
        for place, stored in enumerate(found):
            if place % _INSTANCES_A_REPORT == 0:
                self._job.report(int(100 * (number + place / len(found)) / of))
            try:
                replacement = self._replacement(stored, unfinished)
            except FileNotFoundError:
                if self._service.index.find(self._partition, stored.uids) == [stored]:
                    raise _Failed(_about(stored, "its file is missing")) from None
            except CannotWrite:
                reason = "a new value cannot be written in the file's Specific Character Set"
                raise _Failed(_about(stored, reason)) from None
            except DecodeError:
                raise _Failed(_about(stored, "its file cannot be read")) from None
            except OSError as error:
                raise _Failed(_about(stored, error.strerror or "its file cannot be written")) from None
            else:
                if replacement is not None:
                    yield replacement

    def _replacement(self, stored: Stored, unfinished: ExitStack) -> versions.Replacement | None:
        """Write an instance's new file; None if the instance has been deleted."""
        metadata = self._service.index.metadata(stored.key)
        if metadata is None:
            return None
        blob = unfinished.enter_context(self._service.blobs.begin())
        with _mapped(self._service.blobs.path(stored.version)) as data:
            splice(data, read_header(data), read_layout(data), self._changes, blob.write)
        blob.finish()
        with _mapped(blob.path) as data:
            # Not what was meant to be written: what the new file says.
            written = describe(read_header(data), drop_invalid=True).pieces
        names = [b"%08X" % change.tag for change in self._changes]
        if any(name not in written for name in names):
            raise DecodeError("The new value cannot be read back.")
        character_set = {b"00080005": written[b"00080005"]} if b"00080005" in written else {}
        pieces = pieces_of(metadata) | {name: written[name] for name in names} | character_set
        return versions.Replacement(stored, blob, pieces)


@contextmanager
def _mapped(path: Any) -> Iterator[Buffer]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _about(stored: Stored, reason: str) -> str:
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    uids = ", ".join(f"{name}: {uid}" for name, uid in zip(names, stored.uids, strict=True))
    return f"Instance UIDs - {uids}: {reason}"
