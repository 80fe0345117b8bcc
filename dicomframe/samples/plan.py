"""Who was examined when and where: the teaching cohort as plain data, before any image is made.

The cohort is written as pathways, because that is what cohort questions ask for: a CT and then an MR within 90 days,
an MR that came first, an ultrasound that led to a CT.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache

from dicomframe.samples.canvas import Dice
from dicomframe.samples.people import Patient, Registry

#: The name space of the cohort's UIDs (PS3.5 section B.2: UIDs below 2.25 are UUIDs).
_NAMESPACE = uuid.UUID("6f4a1f0e-52d4-5d6b-9f0e-0d1c0f5a7e11")


def uid_of(*words: object) -> str:
    """Give a UID below 2.25 that depends on the words alone.

    Examples
    --------
    >>> uid_of("study", 1) == uid_of("study", 1) != uid_of("study", 2)
    True
    """
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, words))).int}"


@dataclass(frozen=True, slots=True)
class Protocol:
    """How one kind of study is done.

    Parameters
    ----------
    modality : str
        CS of the series: CT, MR, US, CR, PT.
    study : str
        Study Description.
    body_part : str
        Body Part Examined.
    series : tuple of str
        Names of the series in `dicomframe.samples.acquisition`, in order.
    ages : (int, int)
        Ages, in years, of those who have it done.
    """

    modality: str
    study: str
    body_part: str
    series: tuple[str, ...]
    ages: tuple[int, int] = (24, 88)


PROTOCOLS: dict[str, Protocol] = {
    "ct-chest": Protocol("CT", "CT Chest with contrast", "CHEST", ("ct-chest",)),
    "ct-head": Protocol("CT", "CT Head without contrast", "HEAD", ("ct-head",)),
    "ct-abdomen": Protocol("CT", "CT Abdomen with contrast", "ABDOMEN", ("ct-abdomen",)),
    "mr-brain": Protocol("MR", "MR Brain", "BRAIN", ("mr-brain-t2",), (18, 84)),
    "mr-brain-full": Protocol(
        "MR", "MR Brain with and without contrast", "BRAIN", ("mr-brain-t1", "mr-brain-flair")
    ),
    "mr-brain-t1": Protocol("MR", "MR Brain volumetry", "BRAIN", ("mr-brain-t1",), (18, 84)),
    "mr-liver": Protocol("MR", "MR Liver", "LIVER", ("mr-liver-t2",)),
    "mr-spine": Protocol("MR", "MR Lumbar spine", "LSPINE", ("mr-spine-t2",), (22, 80)),
    "us-abdomen": Protocol("US", "US Abdomen", "ABDOMEN", ("us-liver", "us-kidney"), (1, 86)),
    "us-infant": Protocol("US", "US Abdomen of an infant", "ABDOMEN", ("us-kidney",), (0, 1)),
    "us-heart": Protocol("US", "Echocardiography", "HEART", ("us-heart",)),
    "cr-chest": Protocol("CR", "XR Chest PA", "CHEST", ("cr-chest",), (6, 92)),
    "pt-body": Protocol("PT", "PET FDG whole body", "WHOLEBODY", ("pt-body",), (30, 82)),
}

#: Steps of a pathway: protocol, and the least and most days after the step before.
_Step = tuple[str, int, int]
#: How many patients went which way.
_PATHWAYS: tuple[tuple[int, tuple[_Step, ...]], ...] = (
    # A CT and a later MR within 90 days: the cohort question's answer.
    (6, (("ct-head", 0, 0), ("mr-brain", 2, 30))),
    (5, (("ct-abdomen", 0, 0), ("mr-liver", 9, 84))),
    (2, (("cr-chest", 0, 0), ("ct-chest", 1, 12), ("mr-brain", 5, 60))),
    (2, (("ct-head", 0, 0), ("mr-brain-full", 1, 9), ("mr-brain", 80, 120))),
    (1, (("ct-abdomen", 0, 0), ("mr-liver", 90, 90))),
    # And those who are not in it: a day too late, much later, the MR first, both on one day.
    (1, (("ct-abdomen", 0, 0), ("mr-liver", 91, 91))),
    (3, (("ct-abdomen", 0, 0), ("mr-spine", 130, 480))),
    (2, (("ct-head", 0, 0), ("mr-brain-full", 150, 420))),
    (4, (("mr-brain-t1", 0, 0), ("ct-head", 4, 75))),
    (2, (("mr-spine", 0, 0), ("ct-abdomen", 20, 200))),
    (1, (("ct-head", 0, 0), ("mr-brain", 0, 0))),
    # CT with something else, or twice.
    (4, (("cr-chest", 0, 0), ("ct-chest", 0, 14))),
    (2, (("ct-chest", 0, 0), ("ct-chest", 150, 200))),
    (4, (("us-abdomen", 0, 0), ("ct-abdomen", 1, 21))),
    (2, (("ct-head", 0, 0),)),
    (2, (("ct-chest", 0, 0),)),
    # PET
    (5, (("ct-chest", 0, 0), ("pt-body", 7, 30))),
    (3, (("pt-body", 0, 0),)),
    (2, (("pt-body", 0, 0), ("pt-body", 90, 130))),
    # MR alone
    (5, (("mr-spine", 0, 0),)),
    (3, (("mr-brain-t1", 0, 0),)),
    (1, (("mr-brain-full", 0, 0),)),
    (2, (("us-abdomen", 0, 0), ("mr-liver", 5, 40))),
    # Ultrasound and radiographs
    (16, (("us-abdomen", 0, 0),)),
    (4, (("us-heart", 0, 0),)),
    (20, (("cr-chest", 0, 0),)),
    (6, (("cr-chest", 0, 0), ("cr-chest", 2, 60))),
    (2, (("us-infant", 0, 0),)),
)

#: People whose name and first day are fixed: pathway number, place in it -> name, sex, first day. The Smiths of
#: January 2024 answer the reference's example query; two John Smiths show why a name is no key.
_CAST: dict[tuple[int, int], tuple[str, str, date]] = {
    (0, 0): ("Smith^John", "M", date(2024, 1, 9)),
    (0, 3): ("Smith^Amelia^Rose", "F", date(2024, 1, 23)),
    (1, 1): ("Smith^Margaret^E", "F", date(2024, 1, 16)),
    (1, 2): ("Smithson^Peter", "M", date(2024, 1, 30)),
    (4, 0): ("Taylor^Grace", "F", date(2023, 3, 7)),
    (5, 0): ("Harris^Leonard", "M", date(2023, 5, 8)),
    (6, 0): ("Smith^John", "M", date(2023, 2, 14)),
    (9, 1): ("Smith-Jones^Charlotte", "F", date(2023, 12, 4)),
    (11, 1): ("Smith^Robert^James", "M", date(2024, 1, 4)),
    (15, 0): ("Smith^Dorothy", "F", date(2024, 1, 31)),
    (23, 2): ("Smith^Noah", "M", date(2024, 1, 11)),
    (25, 4): ("Smith^Olivia", "F", date(2022, 11, 21)),
    (25, 9): ("Smyth^Katherine", "F", date(2025, 2, 17)),
}


@dataclass(frozen=True, slots=True)
class Scanner:
    """A device: manufacturer, model, station name, software, serial number and where it stands.

    Examples
    --------
    >>> "Ingenia" in {study.scanner.model for study in studies()}
    True
    """

    manufacturer: str
    model: str
    station: str
    software: str
    serial: str
    institution: str


_NORTH, _BAY, _HILL = (
    "Northfield General Hospital",
    "St Brendan University Hospital",
    "Lakeside Imaging Centre",
)
SCANNERS: dict[str, tuple[Scanner, ...]] = {
    "CT": (
        Scanner("SIEMENS", "SOMATOM Force", "NFCT01", "syngo CT VB20A", "76012", _NORTH),
        Scanner("GE MEDICAL SYSTEMS", "Revolution CT", "SBCT02", "revo_ct_22bc.50", "RC4471", _BAY),
        Scanner("Philips", "Ingenuity CT", "LKCT01", "4.1.10", "333021", _HILL),
    ),
    "MR": (
        Scanner("SIEMENS", "MAGNETOM Aera", "NFMR01", "syngo MR E11", "141903", _NORTH),
        Scanner("GE MEDICAL SYSTEMS", "SIGNA Architect", "SBMR03", "29\\LX\\MR29.1", "MR77120", _BAY),
        Scanner("Philips", "Ingenia", "LKMR01", "5.7.1", "42017", _HILL),
    ),
    "US": (
        Scanner("GE Healthcare", "LOGIQ E10", "NFUS04", "R3.1.3", "US20981", _NORTH),
        Scanner("Philips", "EPIQ 7", "SBUS02", "7.0.5", "US1890442", _BAY),
    ),
    "CR": (
        Scanner("Carestream", "DRX-Evolution", "NFXR01", "5.7.412", "DRX5512", _NORTH),
        Scanner("FUJIFILM", "FDR D-EVO II", "LKXR02", "V12.0", "9903145", _HILL),
    ),
    "PT": (Scanner("SIEMENS", "Biograph mCT", "SBPT01", "VG70A", "11087", _BAY),),
}
_PHYSICIANS = (
    "Okafor^Ngozi^^Dr", "Bernard^Claire^^Dr", "Lindqvist^Erik^^Dr", "Patel^Anjali^^Dr", "Moreno^Luis^^Dr",
    "Whitfield^Susan^^Dr", "Tanaka^Yuki^^Dr", "Kowalska^Ewa^^Dr", "Brandt^Matthias^^Dr",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Study:
    """One study of the cohort.

    Parameters
    ----------
    patient : Patient
    uid : str
        Study Instance UID.
    protocol : str
        A key of `PROTOCOLS`.
    start : datetime.datetime
        Study Date and Time.
    accession_number, study_id : str
    referring_physician : str
    scanner : Scanner

    Examples
    --------
    >>> first = studies()[0]
    >>> first.modality, first.description, first.start.year, first.patient_age[-1]
    ('CR', 'XR Chest PA', 2022, 'Y')
    """

    patient: Patient
    uid: str
    protocol: str
    start: datetime
    accession_number: str
    study_id: str
    referring_physician: str
    scanner: Scanner

    @property
    def modality(self) -> str:
        """The modality of its series."""
        return PROTOCOLS[self.protocol].modality

    @property
    def description(self) -> str:
        """Study Description."""
        return PROTOCOLS[self.protocol].study

    @property
    def patient_age(self) -> str:
        """Patient's Age on the day of the study."""
        return self.patient.age_on(self.start.date())


@cache
def studies() -> tuple[Study, ...]:
    """Give the studies of the teaching cohort, in the order of their dates.

    Returns
    -------
    tuple of Study
        The same in each run.

    Examples
    --------
    >>> all_of_them = studies()
    >>> len(all_of_them) >= 160, len({study.patient.patient_id for study in all_of_them}) >= 100
    (True, True)
    """
    return tuple(sorted(_walk(), key=lambda study: (study.start, study.uid)))


def _walk() -> Iterator[Study]:
    registry, dice = Registry(), Dice("plan")
    number = 0
    for pathway, (count, steps) in enumerate(_PATHWAYS):
        for place in range(count):
            name, sex, first = _CAST.get((pathway, place), ("", "", None))
            longest = sum(most for _, _, most in steps)
            first = first or _weekday(date(2022, 1, 10) + timedelta(days=dice.below(1420 - longest)))
            patient = registry.admit(first, PROTOCOLS[steps[0][0]].ages, name, sex)
            day = first
            for protocol, least, most in steps:
                day = _after(day, least, most, dice)
                number += 1
                yield _study(patient, protocol, day, number, dice)


def _weekday(day: date) -> date:
    return day + timedelta(days=(0, 0, 0, 0, 0, 2, 1)[day.weekday()])


def _after(day: date, least: int, most: int, dice: Dice) -> date:
    """Give a working day within the range after another, any day where there is no choice."""
    for _ in range(20):
        found = day + timedelta(days=dice.between(least, most))
        if found.weekday() < 5:
            return found
    return found


def _study(patient: Patient, protocol: str, day: date, number: int, dice: Dice) -> Study:
    scanners = SCANNERS[PROTOCOLS[protocol].modality]
    start = datetime.combine(day, time(8)) + timedelta(seconds=dice.below(9 * 3600))
    return Study(
        patient=patient,
        uid=uid_of("study", number),
        protocol=protocol,
        start=start,
        accession_number=f"A{day:%y%m}{10_000 + number * 13 % 90_000:05d}",
        study_id=f"{number:04d}",
        referring_physician=_PHYSICIANS[dice.below(len(_PHYSICIANS))],
        scanner=scanners[dice.below(len(scanners))],
    )
