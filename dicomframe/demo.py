"""``dicomframe demo``: the main job, told step by step on a local service with real and generated studies."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dicomframe import samples
from dicomframe.local import start_local

if TYPE_CHECKING:
    from dicomframe.client.client import Client

#: The longest time from a CT to the follow-up MR in the cohort question.
FOLLOW_UP_DAYS = 90


def run(folder: Path) -> Path:
    """Store the samples, ask two questions of them and draw a montage.

    Parameters
    ----------
    folder : pathlib.Path
        Where the picture is written; made if it is not there.

    Returns
    -------
    pathlib.Path
        The picture, a PNG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The real files break rules on purpose; the outcome tables say so, pydicom need not.
    warnings.filterwarnings("ignore", module="pydicom")
    with start_local() as local, _table_width():
        _say(f"A local DICOM service answers at {local.url} (it ends with this demo)")
        client = local.connect()
        store_samples(client)
        january = reference_query(client)
        cohort_question(client)
        picture = draw_montage(client, january, folder / "montage.png")
    _say("How to go on")
    print(
        "  .venv/bin/pip install '.[notebook]'   then   .venv/bin/dicomframe lab   for the lessons\n"
        "  or in .venv/bin/python:\n"
        "      import dicomframe as dfr\n"
        "      client = dfr.connect()                      # a local service with the same cohort, no cloud\n"
        "      client.search_studies(PatientName='Smith*').to_frame()\n"
        "      dfr.connect('https://<workspace>-<service>.dicom.azurehealthcareapis.com')   # the real one"
    )
    return picture


def store_samples(client: Client) -> None:
    """Store the real files and the teaching cohort through STOW-RS, and account for each."""
    for title, items in (
        ("real files of pydicom; some of them are broken on purpose", samples.real_files()),
        # As files: read into Datasets and written again, they would take half as long again.
        (
            "generated instances of the teaching cohort",
            (content for _, content in samples.cohort_files()),
        ),
    ):
        _say(f"Store the {title} (STOW-RS)")
        started = time.perf_counter()
        outcome = client.store(items)
        seconds = time.perf_counter() - started
        counts = outcome["status"].value_counts()
        told = ", ".join(f"{count} {status}" for status, count in counts.items())
        print(f"  {len(outcome)} files in {seconds:.1f} s: {told}")
        refused = outcome[~outcome["status"].isin(["stored", "exists"])]
        for reason, count in refused["reason"].value_counts().head(4).items():
            print(f"    {count:3d} x {str(reason)[:100]}")


def reference_query(client: Client) -> pd.DataFrame:
    """Ask for the CT studies of January 2024 of everyone called Smith (QIDO-RS)."""
    _say("Search: Smith*, January 2024, CT, at most 50 studies (QIDO-RS)")
    search = client.search_studies(
        PatientName="Smith*", StudyDate=("2024-01-01", "2024-01-31"), ModalitiesInStudy="CT", limit=50
    )
    studies = search.to_frame()
    shown = [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "StudyDate",
        "StudyDescription",
        "AccessionNumber",
    ]
    print(studies[shown].to_string(index=False))
    print(f"\n  {len(studies)} studies, the answer is {search.completeness}; its dtypes:")
    print("\n".join(f"    {name:24} {dtype}" for name, dtype in studies.dtypes.items() if name in shown))
    return studies


def cohort_question(client: Client) -> pd.DataFrame:
    """Find the patients with a CT and a later MR within 90 days."""
    _say(f"A cohort question: who had a CT and then an MR within {FOLLOW_UP_DAYS} days?")
    columns = ["PatientID", "PatientName", "StudyDate", "StudyDescription"]
    studies = {
        modality: client.search_studies(ModalitiesInStudy=modality)
        .to_frame()[columns]
        .dropna(subset=["PatientID"])
        for modality in ("CT", "MR")
    }
    pairs = studies["CT"].merge(studies["MR"], on="PatientID", suffixes=("_CT", "_MR"))
    pairs["days"] = (pairs["StudyDate_MR"] - pairs["StudyDate_CT"]).dt.days.astype("Int64")
    followed = pairs[pairs["days"].between(1, FOLLOW_UP_DAYS)].sort_values("days")
    shown = [
        "PatientName_CT",
        "StudyDate_CT",
        "StudyDescription_CT",
        "StudyDate_MR",
        "StudyDescription_MR",
        "days",
    ]
    print(followed[shown].head(8).to_string(index=False))
    print(
        f"\n  {len(studies['CT'])} CT studies, {len(studies['MR'])} MR studies,"
        f" {followed['PatientID'].nunique()} patients with the follow-up; median {followed['days'].median():.0f} days"
    )
    return followed


def draw_montage(client: Client, january: pd.DataFrame, path: Path) -> Path:
    """Draw real and generated images side by side, and save them."""
    _say("A montage of real and generated images (WADO-RS, decoded here)")
    real = client.search_studies(PatientID=samples.SHOWN_REAL_PATIENTS).to_frame()
    generated = pd.concat(
        [january.head(2)]
        + [
            client.search_studies(ModalitiesInStudy=modality, PatientID="DF*").to_frame().head(1)
            for modality in ("MR", "US", "CR", "PT")
        ]
    )
    figure = pd.concat([real, generated]).dicom.use(client).dicom.plot(columns=4)
    figure.savefig(path)
    print(f"  saved: {path.resolve()}")
    return path


def _say(text: str) -> None:
    print(f"\n== {text}")


@contextmanager
def _table_width() -> Iterator[None]:
    with pd.option_context("display.width", 160, "display.max_columns", 20):
        yield
