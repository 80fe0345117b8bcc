"""Changes as servers may write them: padded, in any letter case, with numbers that JSON has no words for."""

import math

import pytest

import dicomframe as dfr
from dicomframe.client import following
from dicomframe.lake.delta import Table
from dicomframe.lake.reading import pages_of
from dicomframe.lake.rows import change_rows, group_rows, instance_rows
from dicomframe.tables.convert import from_pages
from tests.lake.lakes import assert_is_as_the_service, instance


def test_a_deletion_finds_its_instance_whatever_pads_the_uids(service, tmp_path, monkeypatch):
    lake = dfr.sync(service, tmp_path)
    service.delete("1.2.1", "1.2.1.1", "1.2.1.1.1")
    sent = following.Following.__next__

    def padded(self):
        return [
            {**entry, "sopInstanceUid": f"{entry['sopInstanceUid']}\0", "action": " DELETE "}
            for entry in sent(self)
        ]

    monkeypatch.setattr(following.EntryFollower, "__next__", padded, raising=False)
    assert lake.sync(service) == 1
    assert_is_as_the_service(lake, service)
    assert lake.changes()["action"].iloc[-1] == "delete"
    assert lake.changes()["SOPInstanceUID"].iloc[-1] == "1.2.1.1.1"


def test_changes_that_name_nobody_are_written_as_they_came():
    rows = change_rows([{"sequence": 1, "sopInstanceUid": "1.2.3\0"}], 1, {})
    assert rows["SOPInstanceUID"].to_pylist() == ["1.2.3\0"]


@pytest.mark.parametrize("number", [math.inf, -math.inf, 2**70], ids=["infinite", "below", "long"])
def test_numbers_stay_what_they_are(tmp_path, number):
    """orjson writes those that are not finite as null, and reads long ones as others."""
    item = {"00189073": {"vr": "FD", "Value": [number]}, "00200013": {"vr": "IS", "Value": [number]}}
    rows = instance_rows({("", "1", "1.1", "1.1.1"): ({"sequence": 1}, item)})
    table = Table(str(tmp_path), "instance")
    table.create("{}")
    table.merge(rows)
    typed = from_pages(pages_of(table.read(["json"])["json"]), "instance")
    (back,) = typed.dicom.to_json()
    assert {tag: back[tag] for tag in item} == item
    assert typed.dicom.issues()["keyword"].tolist() == ["InstanceNumber"]
    assert group_rows("study", rows, {("", "1"): None}, 1).num_rows == 1


def test_an_instance_that_is_stored_again_between_two_syncs_is_there_once(service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    for sex in ("M", "F"):
        service.delete("1.2.1", "1.2.1.1", "1.2.1.1.1")
        service.store([instance(1, 1, 1, PatientSex=sex)])
    assert lake.sync(service) == 4
    assert_is_as_the_service(lake, service)
    rows = lake.to_frame("instance").set_index("SOPInstanceUID")
    assert rows.loc["1.2.1.1.1", "PatientSex"] == "F"
