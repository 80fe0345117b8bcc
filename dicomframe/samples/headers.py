"""The attributes of the cohort's series and instances, as their IODs require them (PS3.3 annex A)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dicomframe.samples.canvas import seed_of
from dicomframe.samples.plan import PROTOCOLS, Study, uid_of

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.samples.series import SeriesPlan

#: Seconds from injection to the first bed position, and the half-life of fluorine-18.
UPTAKE_TIME, HALF_LIFE = 3600.0, 6586.2
#: The text of an attribute: one value or several.
Values = str | list[str]

_NOTE = "Invented person and computed images: the teaching cohort of dicomframe"


def series_header(study: Study, plan: SeriesPlan, number: int, modality: str) -> Dataset:
    """Give what all instances of one series have in common.

    Parameters
    ----------
    study : Study
    plan : SeriesPlan
    number : int
        Series Number, from 1.
    modality : str

    Returns
    -------
    pydicom.Dataset
    """
    from pydicom import Dataset

    started = study.start + timedelta(minutes=4 * number)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.InstanceCreationDate = ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = _date(
        study.start
    )
    ds.StudyTime = _time(study.start)
    ds.SeriesTime = _time(started)
    ds.Modality = modality
    ds.SOPClassUID = plan.sop_class
    _add_patient(ds, study)
    _add_study(ds, study)
    ds.SeriesInstanceUID = uid_of(study.uid, number)
    ds.SeriesNumber = number
    ds.SeriesDescription = plan.description
    ds.ProtocolName = plan.protocol
    ds.BodyPartExamined = PROTOCOLS[study.protocol].body_part
    ds.Laterality = ""
    _add_equipment(ds, study)
    for keyword, value in plan.attributes.items():
        setattr(ds, keyword, value)
    centers, widths, explanations = plan.window
    if centers:
        ds.WindowCenter, ds.WindowWidth = list(centers), list(widths)
        ds.WindowCenterWidthExplanation = list(explanations)
    if modality in {"CT", "MR", "PT"}:
        ds.FrameOfReferenceUID = uid_of(study.uid, "frame of reference")
        ds.PositionReferenceIndicator = ""
    if modality == "PT":
        _add_tracer(ds, study)
    return ds


def _add_patient(ds: Dataset, study: Study) -> None:
    patient = study.patient
    ds.PatientName = patient.name
    ds.PatientID = patient.patient_id
    ds.IssuerOfPatientID = "DICOMFRAME"
    ds.PatientBirthDate = f"{patient.birth_date:%Y%m%d}"
    ds.PatientSex = patient.sex
    ds.PatientAge = study.patient_age
    ds.PatientSize = f"{patient.height:.2f}"
    ds.PatientWeight = f"{patient.weight:.1f}"
    ds.PatientComments = _NOTE


def _add_study(ds: Dataset, study: Study) -> None:
    from pydicom import Dataset as Item

    ds.StudyInstanceUID = study.uid
    ds.StudyID = study.study_id
    ds.StudyDescription = study.description
    ds.AccessionNumber = study.accession_number
    ds.ReferringPhysicianName = study.referring_physician
    code = Item()
    code.CodeValue = study.protocol.upper()
    code.CodingSchemeDesignator = "99DICOMFRAME"
    code.CodeMeaning = study.description
    ds.ProcedureCodeSequence = [code]


def _add_equipment(ds: Dataset, study: Study) -> None:
    scanner = study.scanner
    ds.Manufacturer = scanner.manufacturer
    ds.ManufacturerModelName = scanner.model
    ds.StationName = scanner.station
    ds.SoftwareVersions = scanner.software.split("\\")
    ds.DeviceSerialNumber = scanner.serial
    ds.InstitutionName = scanner.institution


def injected_dose(study: Study) -> float:
    """Give the activity injected for a PET study, in Bq: about 3.7 MBq a kg."""
    return round(study.patient.weight * 3.7e6 * (0.95 + seed_of(study.uid, "dose") % 100 / 1000), -4)


def _add_tracer(ds: Dataset, study: Study) -> None:
    from pydicom import Dataset as Item

    def code(value: str, scheme: str, meaning: str) -> Item:
        item = Item()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return item

    tracer = Item()
    tracer.Radiopharmaceutical = "FDG"
    tracer.RadiopharmaceuticalRoute = "Intravenous route"
    tracer.RadiopharmaceuticalStartTime = _time(
        study.start + timedelta(minutes=4) - timedelta(seconds=UPTAKE_TIME)
    )
    tracer.RadionuclideTotalDose = f"{injected_dose(study):.0f}"
    tracer.RadionuclideHalfLife = f"{HALF_LIFE}"
    tracer.RadionuclidePositronFraction = "0.967"
    tracer.RadionuclideCodeSequence = [code("77004003", "SCT", "^18^Fluorine")]
    tracer.RadiopharmaceuticalCodeSequence = [code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    ds.RadiopharmaceuticalInformationSequence = [tracer]
    ds.PatientOrientationCodeSequence = [code("102538003", "SCT", "recumbent")]
    ds.PatientGantryRelationshipCodeSequence = [code("102540008", "SCT", "headfirst")]


def instance_header(
    header: Dataset, number: int, moment: datetime, **attributes: Values
) -> dict[str, Values]:
    """Give what one instance has of its own, by keyword, as text.

    Parameters
    ----------
    header : pydicom.Dataset
        Of its series.
    number : int
        Instance Number, from 1.
    moment : datetime.datetime
        When it was taken.
    **attributes
        More, by keyword.

    Returns
    -------
    dict
        Without what is in the header already.
    """
    now = _time(moment)
    return {
        "SOPInstanceUID": uid_of(header.SeriesInstanceUID, number),
        "InstanceNumber": str(number),
        "AcquisitionNumber": "1",
        "InstanceCreationTime": now,
        "AcquisitionTime": now,
        "ContentTime": now,
        **attributes,
    }


def decimals(*numbers: float) -> list[str]:
    """Write numbers as DS takes them: at most four decimals and 16 characters.

    Examples
    --------
    >>> decimals(0.1 + 0.2, -0.0, 40)
    ['0.3', '0', '40']
    """
    return [f"{number:.4f}".rstrip("0").rstrip(".").replace("-0", "0") if abs(number) < 5e-5 else
            f"{number:.4f}".rstrip("0").rstrip(".") for number in numbers]  # fmt: skip


def _date(moment: datetime) -> str:
    return f"{moment:%Y%m%d}"


def _time(moment: datetime) -> str:
    return f"{moment:%H%M%S}" + (f".{moment.microsecond:06d}" if moment.microsecond else "")
