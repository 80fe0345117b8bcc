"""Sample studies: real files of installed packages, and a teaching cohort of invented people and computed images.

Examples
--------
>>> from dicomframe import samples
>>> smiths = [study for study in samples.studies() if study.patient.name.startswith("Smith^")]
>>> len(smiths) > 10
True
"""

from __future__ import annotations

from dicomframe.samples.cohort import cohort, cohort_files, write_cohort
from dicomframe.samples.people import Patient
from dicomframe.samples.plan import Scanner, Study, studies
from dicomframe.samples.real import SHOWN_REAL_PATIENTS, real_files
from dicomframe.samples.treatment import planned_study, treatment_plan

__all__ = [
    "SHOWN_REAL_PATIENTS",
    "Patient",
    "Scanner",
    "Study",
    "cohort",
    "cohort_files",
    "planned_study",
    "real_files",
    "studies",
    "treatment_plan",
    "write_cohort",
]
