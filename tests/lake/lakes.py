"""What the tests of lakes share: small objects, and how a lake is held against its service."""

import pandas as pd
from pydicom import dcmread, examples

from dicomframe.tables.schema import LEVEL_KEYWORDS

#: The route of one instance's metadata.
OF_FIRST = "studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.1/metadata"


class Died(Exception):
    """Stands for a program that ends in the middle."""


def instance(study, series, number, **attributes):
    """Make a small object."""
    dataset = dcmread(examples.get_path("ct"))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{study}", f"1.2.{study}.{series}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{study}.{series}.{number}"
    dataset.PatientID, dataset.PatientName, dataset.InstanceNumber = f"P{study}", f"Patient^{study}", number
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def assert_is_as_the_service(lake, client):
    assert len(lake.check(client)) == 0
    for level, uid in (("study", "StudyInstanceUID"), ("series", "SeriesInstanceUID")):
        counts = ["NumberOfStudyRelatedInstances", "ModalitiesInStudy"] * (level == "study")
        plural = "studies" if level == "study" else "series"
        theirs = (
            getattr(client, f"search_{plural}")(fields=counts or None).to_frame().set_index(uid).sort_index()
        )
        ours = lake.to_frame(level).set_index(uid).sort_index()
        assert ours.index.tolist() == theirs.index.tolist()
        assert set(LEVEL_KEYWORDS[level]) <= {uid, *ours}
        for column in theirs.columns.intersection(ours.columns):
            assert ours[column].astype(str).tolist() == theirs[column].astype(str).tolist(), column
    theirs = client.search_studies().to_frame().dicom.metadata() if len(ours) else lake.to_frame("instance")
    ours = lake.to_frame("instance")
    order = "SOPInstanceUID"
    pd.testing.assert_frame_equal(
        ours.sort_values(order, ignore_index=True),
        theirs.sort_values(order, ignore_index=True),
        check_like=True,
    )
