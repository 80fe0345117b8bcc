"""What names a resource: the same things for each verb, and a typed error for everything else."""

from types import SimpleNamespace

import pandas as pd
import pytest
from pydicom import dcmread, examples

import dicomframe as dfr
from dicomframe.client.addresses import address_of, addresses_of
from dicomframe.client.client import Client
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DecodeError, QueryError, TableError

UIDS = ("1.2", "1.2.3", "1.2.3.4")
TABLE = pd.DataFrame([UIDS], columns=["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]).assign(
    arm=7
)
SAME = {
    "address": ResourcePath(*UIDS),
    "tuple": UIDS,
    "table": TABLE,
    "row": TABLE.iloc[0],
    "mapping": dict(TABLE.iloc[0]),
    "itertuples": next(TABLE.itertuples()),
    "row of an index": TABLE.set_index("arm").loc[7],
}
NONE = {
    "none": None,
    "number": 5,
    "number in a tuple": ("1.2", 5),
    "empty": (),
    "four": (*UIDS, "1.2.3.4.5"),
    "malformed": "1.2/../3",
    "malformed in a tuple": ("1.2", "1.2/3"),
    "list": list(UIDS),
    "bytes": b"1.2",
}


@pytest.mark.parametrize("kind", SAME)
def test_one_resource(kind):
    given = SAME[kind]
    assert address_of(given) == ResourcePath(*UIDS)
    if kind != "table":
        assert addresses_of([given, given]) == [ResourcePath(*UIDS)]
        assert addresses_of([given, given], distinct=False) == [ResourcePath(*UIDS)] * 2
    if kind != "tuple":
        assert addresses_of(given) == [ResourcePath(*UIDS)]


def test_higher_levels_and_several():
    assert address_of("1.2") == address_of(("1.2",)) == ResourcePath("1.2")
    assert address_of(TABLE.iloc[0][["StudyInstanceUID", "SeriesInstanceUID"]]).level == "series"
    assert addresses_of(pd.Series(["1.2", "1.3"])) == addresses_of(["1.2", "1.3"])
    assert addresses_of(row for _, row in TABLE.iterrows()) == [ResourcePath(*UIDS)]
    assert addresses_of([]) == addresses_of(()) == []


@pytest.mark.parametrize("kind", NONE)
def test_what_names_no_resource(kind):
    with pytest.raises(QueryError):
        address_of(NONE[kind])


def test_rows_and_tables_that_lack_a_uid():
    for given in (TABLE.iloc[0].drop("StudyInstanceUID"), {"PatientID": "1"}, TABLE[["arm"]]):
        with pytest.raises(TableError, match="lacks the column"):
            address_of(given)
    with pytest.raises(TableError, match="no UID"):
        address_of(TABLE.iloc[0].replace(UIDS[2], None))
    with pytest.raises(QueryError, match="not 2"):
        address_of(pd.concat([TABLE, TABLE.assign(SOPInstanceUID="1.2.3.5")]))


def test_a_bare_tuple_is_no_guess():
    with pytest.raises(QueryError, match="one address or several studies"):
        addresses_of(UIDS[:2])


@pytest.fixture(scope="module")
def stored():
    ct = dcmread(examples.get_path("ct"))
    with dfr.start_local() as local:
        client = local.connect()
        client.store([ct])
        yield client, (ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID)


def overlays(client, these):
    """Find that there are none: a CT lies over nothing."""
    with pytest.raises(DecodeError):
        client.collect_overlays(these, SimpleNamespace(affine=None))
    return []


#: How each verb is called with several addresses.
COLLECTORS = {
    "collect_datasets": lambda client, these: list(client.collect_datasets(these)),
    "collect_metadata": lambda client, these: client.collect_metadata(these),
    "collect_headers": lambda client, these: client.collect_headers(these, ["KVP"]),
    "collect_rendered": lambda client, these: client.collect_rendered(these),
    "collect_thumbnails": lambda client, these: client.collect_thumbnails(these),
    "collect_frames": lambda client, these: client.collect_frames(these),
    "collect_bulkdata": lambda client, these: client.collect_bulkdata(these, "PixelData"),
    "collect_pixels": lambda client, these: client.collect_pixels(these),
    "collect_pixel_counts": lambda client, these: client.collect_pixel_counts(these)[0],
    "collect_overlays": overlays,
    "collect_waveforms": lambda client, these: client.collect_waveforms(these),
}
FURTHER = {
    "collect_headers": [["KVP"]],
    "collect_bulkdata": ["PixelData"],
    "collect_overlays": [SimpleNamespace(affine=None)],
}


def test_every_collector_is_here():
    assert set(COLLECTORS) == {name for name in dir(Client) if name.startswith("collect_")}


@pytest.mark.parametrize("verb", COLLECTORS)
def test_collectors_take_tuples_tables_and_rows(stored, verb):
    client, uids = stored
    collect = COLLECTORS[verb]
    table = pd.DataFrame([uids], columns=TABLE.columns[:3])
    count = len(collect(client, [ResourcePath(*uids)]))
    for given in ([uids], table, table.iloc[0], [table.iloc[0]], [uids[0]], ResourcePath(*uids)):
        assert len(collect(client, given)) == count
    for refused in (5, [5], uids):
        with pytest.raises(QueryError):
            getattr(client, verb)(refused, *FURTHER.get(verb, ()))


def test_single_retrievals_take_the_same(stored):
    client, uids = stored
    row = pd.Series(dict(zip(TABLE.columns[:3], uids, strict=True)))
    for given in (uids, uids[:2], uids[0], row, ResourcePath(*uids)):
        assert client.retrieve_representative(given).SOPInstanceUID == uids[2]
        assert [each.SOPInstanceUID for each in client.retrieve(given)] == [uids[2]]
    for refused in (None, [uids], 5):
        with pytest.raises(QueryError, match="resource is a study's UID"):
            client.retrieve_representative(refused)
        with pytest.raises(QueryError, match="resource is a study's UID"):
            client.retrieve(refused)


def test_download_and_delete_take_the_same(stored, tmp_path):
    client, uids = stored
    assert client.download([uids], tmp_path)["status"].tolist() == ["saved"]
    with pytest.raises(QueryError, match="several studies"):
        client.download(uids, tmp_path)
    with pytest.raises(QueryError, match="several studies"):
        client.delete_many(uids[:2], dry_run=True)
    assert client.delete_many([uids], dry_run=True)["status"].tolist() == ["would go"]
