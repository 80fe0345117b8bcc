"""A lake holds what the service holds, each change once: whatever dies in between, whoever writes beside it."""

import logging
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.cli import main
from dicomframe.client.metadata import metadata_of
from dicomframe.errors import IssuesWarning, LakeError, QueryError, UnavailableError, UnexpectedAnswerError
from dicomframe.lake import lake as lake_module
from dicomframe.lake import syncing
from dicomframe.lake.delta import SCHEMAS, Table, is_one_of
from dicomframe.lake.lake import Lake
from dicomframe.lake.rows import group_rows, instance_rows
from tests.lake.lakes import OF_FIRST, Died, assert_is_as_the_service, instance


def test_it_holds_what_the_service_holds(service, tmp_path):
    lake = dfr.sync(service, tmp_path / "lake")
    assert (lake.sequence, lake.service) == (8, service.url)
    assert_is_as_the_service(lake, service)
    assert lake.sync(service) == 0
    assert lake.changes()["sequence"].tolist() == list(range(1, 9))


def test_it_follows_what_happens(service, tmp_path):
    lake = dfr.sync(service, tmp_path / "lake")
    service.delete("1.2.1", "1.2.1.1", "1.2.1.1.1")
    service.delete("1.2.2")
    service.store([instance(3, 1, 1)])
    service.update_studies(["1.2.1"], PatientName="New^Name").wait(30)
    assert lake.sync(service) > 0
    assert_is_as_the_service(lake, service)
    studies = lake.to_frame("study").set_index("StudyInstanceUID")
    assert studies.index.tolist() == ["1.2.1", "1.2.3"]
    assert studies.loc["1.2.1", "PatientName"] == "New^Name"
    changes = lake.changes()
    assert changes["sequence"].is_unique
    assert changes["sequence"].tolist() == service.change_feed().to_frame()["sequence"].tolist()


def test_as_it_was(service, tmp_path):
    lake = dfr.sync(service, tmp_path / "lake")
    version = lake.delta("study").version()
    service.delete("1.2.2")
    lake.sync(service)
    assert (len(lake.to_frame("study")), len(lake.to_frame("study", as_of=version))) == (1, 2)
    with pytest.raises(LakeError, match="cannot be opened"):
        lake.to_frame("study", as_of=999)


def test_bad_values_survive_and_are_reported(service, tmp_path):
    entry = {"sequence": 1, "timestamp": "2024-01-01T00:00:00Z"}
    item = {"00080020": {"vr": "DA", "Value": ["yesterday"]}, "00280010": {"vr": "US", "Value": ["many"]}}
    rows = instance_rows({("", "1", "1.1", "1.1.1"): (entry, item)})
    assert rows["Rows"].to_pylist() == [None]
    study = group_rows("study", rows, {("", "1"): None}, 1)
    assert study["StudyDate"].to_pylist() == [None]
    assert "yesterday" in study["json"].to_pylist()[0]
    assert "many" in rows["json"].to_pylist()[0]


def test_what_instances_disagree_about_is_named(service, tmp_path):
    service.store([instance(1, 1, 3, PatientSex="M", SeriesDescription="other")])
    lake = dfr.sync(service, tmp_path / "lake")
    studies = lake.delta("study").to_pandas().set_index("StudyInstanceUID")
    assert list(studies.loc["1.2.1", "disagrees"]) == ["PatientSex"]
    assert studies.loc["1.2.1", "PatientSex"] == "M"
    assert list(studies.loc["1.2.2", "disagrees"]) == []
    series = lake.delta("series").to_pandas().set_index("SeriesInstanceUID")
    assert list(series.loc["1.2.1.1", "disagrees"]) == ["SeriesDescription"]


NO_BAR = SimpleNamespace(update=lambda n=1: None)


@contextmanager
def dies_before_write(number):
    """Let the program die before its so-many-th write to a table."""
    left = [number]
    originals = {name: getattr(Table, name) for name in ("merge", "append")}

    def dying(name):
        def write(self, *given):
            left[0] -= 1
            if left[0] < 0:
                raise Died
            return originals[name](self, *given)

        return write

    with pytest.MonkeyPatch.context() as patch:
        for name in originals:
            patch.setattr(Table, name, dying(name))
        yield


@pytest.mark.parametrize("writes", range(5))
def test_a_program_that_dies_in_the_middle_counts_nothing_twice(service, tmp_path, writes):
    lake = dfr.sync(service, tmp_path / "lake")
    service.delete("1.2.1", "1.2.1.1", "1.2.1.1.1")
    service.store([instance(3, 1, 1)])
    with dies_before_write(writes):
        if writes < 4:
            with pytest.raises(Died):
                lake.sync(service)
        else:
            lake.sync(service)
    # More happens before it is started again.
    service.store([instance(3, 1, 2), instance(1, 1, 1)])
    service.delete("1.2.2")
    lake.sync(service)
    assert_is_as_the_service(lake, service)
    assert lake.changes()["sequence"].tolist() == service.change_feed().to_frame()["sequence"].tolist()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["store", "delete", "update", "sync", "die"]),
        st.integers(1, 2),
        st.integers(1, 2),
        st.integers(0, 3),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(STEPS)
def test_whatever_happens_it_ends_as_the_service(tmp_path_factory, steps):
    with dfr.start_local() as local, local.connect(progress=False) as client:
        lake = dfr.sync(client, tmp_path_factory.mktemp("lake"))
        for what, study, series, number in steps:
            if what == "store":
                client.store([instance(study, series, number)])
            elif (
                what == "delete"
                and client.search_studies(StudyInstanceUID=f"1.2.{study}").to_frame().shape[0]
            ):
                client.delete(f"1.2.{study}")
            elif (
                what == "update"
                and client.search_studies(StudyInstanceUID=f"1.2.{study}").to_frame().shape[0]
            ):
                client.update_studies([f"1.2.{study}"], PatientName=f"N^{number}").wait(30)
            elif what == "sync":
                lake.sync(client)
            elif what == "die":
                with dies_before_write(number), suppress(Died):
                    lake.sync(client)
        lake.sync(client)
        assert_is_as_the_service(lake, client)
        assert lake.changes()["sequence"].tolist() == client.change_feed().to_frame()["sequence"].tolist()


def test_a_change_that_comes_late_does_not_undo_a_later_one(tmp_path):
    table = Table(str(tmp_path), "instance")
    table.create("{}")
    key = ("", "1", "1.1", "1.1.1")

    def rows(sequence, item):
        return instance_rows({key: ({"sequence": sequence, "timestamp": "2024-01-01T00:00:00Z"}, item)})

    table.merge(rows(7, {"00280010": {"vr": "US", "Value": [7]}}))
    table.merge(rows(5, {"00280010": {"vr": "US", "Value": [5]}}))
    table.merge(rows(6, None))
    assert table.read(["Rows", "sequence"]).to_pylist() == [{"Rows": 7, "sequence": 7}]
    table.merge(rows(8, None))
    assert table.read(["Rows"]).num_rows == 0


def test_a_batch_is_appended_once_whoever_does_it(tmp_path):
    ours, theirs = Table(str(tmp_path), "changes"), Table(str(tmp_path), "changes")
    ours.create("{}")
    rows = SCHEMAS["changes"].empty_table()
    ours.append(rows, 1)
    with pytest.raises(LakeError, match="Another program"):
        theirs.append(rows, 1)
    assert ours.batch() == 1


def test_who_claims_a_table_later_is_the_only_one_who_writes(tmp_path):
    ours, theirs = Table(str(tmp_path), "instance"), Table(str(tmp_path), "instance")
    ours.create("{}")
    key = ("", "1", "1.1", "1.1.1")
    stored = instance_rows({key: ({"sequence": 5}, {"00280010": {"vr": "US", "Value": [5]}})})
    number = ours.claim()
    ours.merge(stored)
    assert theirs.claim() == number + 1
    theirs.merge(instance_rows({key: ({"sequence": 8}, None)}))
    for late in (lambda: ours.merge(stored), lambda: ours.append(stored, 9), lambda: ours.claim(number)):
        with pytest.raises(LakeError, match="Another program"):
            late()
    assert theirs.read(["Rows"]).num_rows == 0


@pytest.mark.parametrize("write", ["merge", "append"])
def test_a_claim_between_opening_and_writing_is_seen(tmp_path, monkeypatch, write):
    ours, theirs = Table(str(tmp_path), "instance"), Table(str(tmp_path), "instance")
    ours.create("{}")
    ours.claim()
    opened = ours.open
    monkeypatch.setattr(ours, "open", lambda: (opened(), theirs.claim())[0])
    item = {"00280010": {"vr": "US", "Value": [5]}}
    rows = instance_rows({("", "1", "1.1", "1.1.1"): ({"sequence": 5}, item)})
    with pytest.raises(LakeError, match="Another program"):
        ours.merge(rows) if write == "merge" else ours.append(rows.drop_columns("gone"), 1)
    assert theirs.read(["Rows"]).num_rows == 0


@pytest.mark.parametrize("before", ["claim", "merge", "append"])
def test_two_programs_that_write_one_lake_elsewhere(service, tmp_path, monkeypatch, before):
    """The lock of this machine does not hold on remote storage: whoever comes later refuses the other."""
    monkeypatch.setattr(lake_module, "only_writer", nullcontext)
    ours = dfr.sync(service, tmp_path)
    service.store([instance(3, 1, 1), instance(1, 1, 3)])
    theirs, original = dfr.open_lake(tmp_path), getattr(Table, before)

    def beaten(self, *given):
        if self in ours._tables.values():
            monkeypatch.setattr(Table, before, original)
            service.delete("1.2.3")
            theirs.sync(service)
        return original(self, *given)

    monkeypatch.setattr(Table, before, beaten)
    with pytest.raises(LakeError, match="Another program"):
        ours.sync(service)
    assert_is_as_the_service(theirs, service)
    assert theirs.changes()["sequence"].is_unique
    assert ours.sync(service) == 0
    service.store([instance(3, 1, 2)])
    assert ours.sync(service) == 1
    assert_is_as_the_service(ours, service)


def test_who_follows_is_refused_after_another_program_wrote(service, tmp_path, monkeypatch):
    monkeypatch.setattr(lake_module, "only_writer", nullcontext)
    lake, stop, ended = dfr.sync(service, tmp_path), threading.Event(), []

    def follow():
        try:
            lake.sync(service, follow=True, interval=0.05, stop=stop)
        except LakeError as error:
            ended.append(error)

    original = syncing.claim
    monkeypatch.setattr(
        syncing,
        "claim",
        lambda tables, batch: (
            (dfr.open_lake(tmp_path).sync(service), original(tables, batch))
            if tables is lake._tables
            else original(tables, batch)
        ),
    )
    thread = threading.Thread(target=follow)
    thread.start()
    service.store([instance(3, 1, 1)])
    thread.join(20)
    stop.set()
    assert "Another program" in str(ended[0])
    assert lake.changes()["sequence"].tolist() == list(range(1, 10))


def test_programs_that_make_a_lake_at_once_go_on_with_the_one_that_is_made(service, tmp_path, monkeypatch):
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    make = DeltaTable.create

    def too_late(*arguments, **options):
        make(*arguments, **options)  # another program's
        raise CommitFailedError("Failed to commit transaction: Protocol changed since last commit")

    monkeypatch.setattr(DeltaTable, "create", too_late)
    assert_is_as_the_service(dfr.sync(service, tmp_path), service)


def test_threads_that_make_a_lake_at_once(tmp_path):
    for number in range(8):
        barrier = threading.Barrier(4)

        def make(folder, barrier=barrier):
            barrier.wait()
            Lake(folder)._create("http://service")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(make, [str(tmp_path / str(number))] * 4))


def test_one_program_writes(service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    with (
        lake_module.only_writer(str(tmp_path)),
        pytest.raises(LakeError, match="Another program on this machine"),
    ):
        lake.sync(service)


def test_texts_from_a_server_are_no_sql(tmp_path):
    table = Table(str(tmp_path), "instance")
    table.create("{}")
    evil = "1' OR '1'='1"
    for study in (evil, "2"):
        entry = {"sequence": 1, "timestamp": "2024-01-01T00:00:00Z"}
        table.merge(
            instance_rows(
                {("", study, "s", f"i{study}"): (entry, {"00100020": {"vr": "LO", "Value": ["P"]}})}
            )
        )
    assert table.read(["StudyInstanceUID"], is_one_of("StudyInstanceUID", [evil])).to_pylist() == [
        {"StudyInstanceUID": evil}
    ]


def test_metadata_that_the_feed_leaves_out_is_asked_for(local, service, tmp_path):
    local.faults.set(withhold={"path": "changefeed"})
    lake = dfr.sync(service, tmp_path)
    assert local.faults.counts["withhold"] > 0
    assert_is_as_the_service(lake, service)


def test_entries_that_name_nobody_are_told(service, tmp_path, monkeypatch):
    from dicomframe.client import following

    sent = following.Following.__next__
    monkeypatch.setattr(
        following.EntryFollower, "__next__", lambda self: [*sent(self), "x", {"sequence": 9}], raising=False
    )
    with pytest.warns(IssuesWarning, match="2 changes of the feed name no instance"):
        lake = dfr.sync(service, tmp_path)
    assert len(lake.to_frame("instance")) == 8


def test_it_goes_on_until_it_is_stopped(service, tmp_path):
    stop = threading.Event()
    lake = dfr.sync(service, tmp_path)
    thread = threading.Thread(target=lambda: lake.sync(service, follow=True, interval=0.05, stop=stop))
    thread.start()
    service.store([instance(3, 1, 1)])
    for _ in range(200):
        if lake.sequence == 9:
            break
        stop.wait(0.05)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert_is_as_the_service(lake, service)


def test_other_places_are_refused(service, tmp_path, monkeypatch):
    dfr.sync(service, tmp_path / "lake")
    with dfr.start_local() as other, pytest.raises(LakeError, match="belongs to another service"):
        dfr.sync(other.connect(), tmp_path / "lake")
    with pytest.raises(LakeError, match="There is no lake"):
        dfr.open_lake(tmp_path / "none")
    from deltalake import write_deltalake

    write_deltalake(tmp_path / "odd" / "changes", pd.DataFrame({"a": [1]}))
    with pytest.raises(LakeError, match="is no lake of this version"):
        dfr.open_lake(tmp_path / "odd")
    lake = dfr.open_lake(tmp_path / "lake")
    for wrong in (
        lambda: lake.to_frame("patient"),
        lambda: lake.delta("patient"),
        lambda: lake.sync(service, interval=-1),
    ):
        with pytest.raises(QueryError):
            wrong()
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(LakeError, match=r"pip install 'dicomframe\[lake\]'"):
        dfr.open_lake(tmp_path / "lake")


def test_an_empty_service(tmp_path):
    with dfr.start_local() as local, local.connect(progress=False) as client:
        lake = dfr.sync(client, tmp_path)
        assert (lake.sequence, lake.cursor, len(lake.changes())) == (0, None, 0)
        assert len(lake.to_frame("study")) == 0
        assert lake.to_frame("study").dtypes["StudyDate"] == "datetime64[s]"


def test_it_tells_nothing_of_patients(service, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        lake = dfr.sync(service, tmp_path)
    assert repr(lake) == "<Lake after change 8>"
    assert "Patient^" not in caplog.text
    assert "1.2.1.1" not in caplog.text


def test_the_table_finds_its_service(service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    assert len(lake.to_frame("study").dicom.series()) == 4


def test_the_command_line(service, tmp_path, capsys):
    base = service.url.removesuffix("/v2")
    assert main(["sync", base, str(tmp_path / "lake")]) == 0
    assert "up to date after change 8" in capsys.readouterr().out
    assert_is_as_the_service(dfr.open_lake(tmp_path / "lake"), service)
    assert main(["sync", base, str(tmp_path / "lake"), "--token-variable", "eyJ0.a.token"]) == 1
    said = capsys.readouterr().err
    assert "--token-variable names is not set" in said
    assert "eyJ0" not in said  # a token instead of the name


def test_a_process_that_is_killed_goes_on_where_it_was(tmp_path):
    with dfr.start_local() as local, local.connect(progress=False) as client:
        client.store([instance(1, 1, number) for number in range(1, 40)])
        program = (
            "import sys, os\n"
            "import dicomframe as dfr\n"
            "from dicomframe.client import following\n"
            "from dicomframe.lake.delta import Table\n"
            "following.MOST_ROWS = 1\n"
            "append, count = Table.append, [0]\n"
            "def killed(self, rows, batch):\n"
            "    append(self, rows, batch)\n"
            "    count[0] += 1\n"
            "    if count[0] == 1:\n"
            "        os.kill(os.getpid(), 9)\n"
            "Table.append = killed\n"
            "dfr.sync(dfr.connect(sys.argv[1], progress=False), sys.argv[2])\n"
        )
        base = client.url.removesuffix("/v2")
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", program, base, str(tmp_path)], check=False, timeout=300
            )
            assert done.returncode in {-9, 0}
        lake = dfr.open_lake(tmp_path)
        lake.sync(client)
        assert_is_as_the_service(lake, client)
        assert lake.changes()["sequence"].tolist() == list(range(1, 40))


def test_an_event_of_the_caller_is_left_as_it_was(service, tmp_path):
    stop = threading.Event()
    lake = dfr.sync(service, tmp_path, stop=stop)
    service.store([instance(3, 1, 1)])
    assert lake.sync(service, stop=stop) == 1
    assert not stop.is_set()


@pytest.mark.parametrize(
    "attribute", [None, "CT", {"vr": "CS", "Value": None}, {"vr": "CS", "Value": [None, {"a": 1}, 7, "MR"]}]
)
def test_what_a_server_may_send_does_not_stop_it(attribute):
    entry = {"sequence": 1, "timestamp": "2024-01-01T00:00:00Z"}
    half = {"vr": "LO", "Value": ["half \udc80"]}
    rows = instance_rows({("", "1", "1.1", "1.1.1"): (entry, {"00080060": attribute, "00081030": half})})
    study = group_rows("study", rows, {("", "1"): None}, 1)
    assert study.num_rows == 1
    assert "udc80" in rows["json"].to_pylist()[0]


def test_errors_of_the_storage_do_not_quote_it(tmp_path):
    with pytest.raises(LakeError) as caught:
        Table(f"{tmp_path}/secret", "study").open()
    assert "secret" not in str(caught.value)


def test_only_its_own_service_is_held_against_it(service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    with dfr.start_local() as other, pytest.raises(LakeError, match="another service"):
        lake.check(other.connect())
    with pytest.raises(LakeError, match="needs a folder"):
        dfr.sync(service, "")


def test_a_lake_is_of_one_partition(tmp_path):
    with dfr.start_local(partitions=True) as local:
        base = local.url
        ours, theirs = (dfr.connect(base, partition=name, progress=False) for name in ("ours", "theirs"))
        theirs.store([instance(1, 1, 1)])
        lake = dfr.sync(ours, tmp_path)
        assert len(lake.to_frame("instance")) == 0
        ours.store([instance(1, 1, 1), instance(2, 1, 1)])
        theirs.delete("1.2.1")
        lake.sync(ours)
        assert lake.to_frame("study")["StudyInstanceUID"].tolist() == ["1.2.1", "1.2.2"]
        assert set(lake.changes()["PartitionName"]) == {"ours"}
        assert len(lake.check(ours)) == 0


def test_as_it_was_at_a_time(service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    then = datetime.now(UTC)
    service.delete("1.2.2")
    lake.sync(service)
    assert (len(lake.to_frame("study", as_of=then)), len(lake.to_frame("study"))) == (2, 1)


@pytest.mark.parametrize("fault", ["withhold", "error"])
def test_an_instance_that_the_service_does_not_give_is_told_and_asked_for_again(
    local, service, tmp_path, fault
):
    """Neither an empty answer nor a 404 loses a row without a word."""
    answer = {"withhold": [{"path": "changefeed"}, {"path": OF_FIRST}]}
    if fault == "error":
        answer = {"withhold": {"path": "changefeed"}, "error": {"path": OF_FIRST, "status": 404}}
    local.faults.set(**answer)
    with pytest.warns(IssuesWarning, match="of 1 instances that its change feed calls current"):
        lake = dfr.sync(service, tmp_path)
    assert lake.unread()["SOPInstanceUID"].tolist() == ["1.2.1.1.1"]
    assert lake.check(service)[["SOPInstanceUID", "where"]].to_numpy().tolist() == [["1.2.1.1.1", "service"]]
    study = lake.to_frame("study").set_index("StudyInstanceUID").loc["1.2.1"]
    assert study["NumberOfStudyRelatedInstances"] == 3
    assert lake.changes()["sequence"].tolist() == list(range(1, 9))
    # It still does not, whether something else happens meanwhile or not.
    service.store([instance(3, 1, 1)])
    for changes in (1, 0):
        with pytest.warns(IssuesWarning, match="of 1 instances"):
            assert lake.sync(service) == changes
        assert lake.unread()["SOPInstanceUID"].tolist() == ["1.2.1.1.1"]
    local.faults.clear()
    assert lake.sync(service) == 0
    assert len(lake.unread()) == 0
    assert_is_as_the_service(lake, service)
    assert lake.changes()["sequence"].tolist() == list(range(1, 10))
    assert (lake.sequence, lake.sync(service)) == (9, 0)


@pytest.mark.parametrize("status", [500, 503])
def test_asking_again_in_vain_does_not_end_it(local, service, tmp_path, status):
    """The first time an error ends it, because nothing tells yet what is missing; from then on the lake does."""
    local.faults.set(withhold={"path": "changefeed"}, error={"path": OF_FIRST, "status": 404})
    with pytest.warns(IssuesWarning, match="of 1 instances"):
        lake = dfr.sync(service, tmp_path)
    local.faults.set(error={"path": OF_FIRST, "status": status})
    with pytest.warns(IssuesWarning, match="of 1 instances"):
        assert lake.sync(service) == 0
    assert lake.unread()["SOPInstanceUID"].tolist() == ["1.2.1.1.1"]
    local.faults.clear()
    lake.sync(service)
    assert_is_as_the_service(lake, service)


def test_an_update_that_the_service_does_not_give_is_told_and_asked_for_again(local, service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    service.update_studies(["1.2.1"], PatientName="New^Name").wait(30)
    local.faults.set(withhold=[{"path": "changefeed"}, {"path": OF_FIRST}])
    with pytest.warns(IssuesWarning, match="of 1 instances"):
        lake.sync(service)
    assert len(lake.check(service)) == 0  # it is there, as it was
    assert lake.unread()["action"].tolist() == ["update"]
    local.faults.clear()
    lake.sync(service)
    assert_is_as_the_service(lake, service)


def test_a_deletion_meanwhile_is_no_loss(local, service, tmp_path, monkeypatch):
    """Between the feed and the question for metadata an instance may go: its deletion comes with later changes."""
    local.faults.set(withhold={"path": "changefeed"})
    left = ["1.2.1"]

    def deleting(session, path):
        while left:
            service.delete(left.pop())
        return metadata_of(session, path)

    monkeypatch.setattr(syncing, "metadata_of", deleting)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lake = dfr.sync(service, tmp_path)
    assert len(lake.unread()) == 0
    assert_is_as_the_service(lake, service)


def test_what_is_not_given_survives_a_program_that_dies(local, service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    service.store([instance(1, 1, 3), instance(1, 1, 4)])
    local.faults.set(withhold=[{"path": "changefeed"}, {"path": OF_FIRST.replace("1.1.1/m", "1.1.3/m")}])
    for writes in range(4):
        with dies_before_write(writes), pytest.raises(Died):
            lake.sync(service)
    with pytest.warns(IssuesWarning, match="of 1 instances"):
        lake.sync(service)
    local.faults.clear()
    for writes in range(4):
        with dies_before_write(writes), pytest.raises(Died):
            lake.sync(service)
    lake.sync(service)
    assert_is_as_the_service(lake, service)
    assert lake.changes()["sequence"].tolist() == list(range(1, 11))


def test_who_follows_is_told_and_gets_it_later(local, service, tmp_path):
    lake, stop, told = dfr.sync(service, tmp_path), threading.Event(), []
    local.faults.set(withhold=True)
    service.store([instance(3, 1, 1)])

    def follow():
        with pytest.warns(IssuesWarning, match="of 1 instances") as said:
            lake.sync(service, follow=True, interval=0.05, stop=stop)
        told.extend(said)

    thread = threading.Thread(target=follow)
    thread.start()
    for done in (lambda: len(lake.unread()) == 1, lambda: len(lake.to_frame("instance")) == 9):
        for _ in range(400):
            if done():
                break
            stop.wait(0.05)
        assert done()
        local.faults.clear()
    stop.set()
    thread.join(20)
    assert len(told) == 1
    assert_is_as_the_service(lake, service)


def test_a_failing_question_for_metadata_stops_it_where_it_was(local, service, tmp_path):
    local.faults.set(withhold={"path": "changefeed"}, error={"path": OF_FIRST})
    with pytest.raises(UnavailableError):
        dfr.sync(service, tmp_path)
    lake = dfr.open_lake(tmp_path)
    assert lake.cursor is None
    local.faults.clear()
    lake.sync(service)
    assert_is_as_the_service(lake, service)


def test_a_change_without_a_number_is_told(service, tmp_path, monkeypatch):
    from dicomframe.client import following

    sent = following.Following.__next__

    def with_one(self):
        entries = sent(self)
        return [{**entries[0], "sequence": "x"}, *entries]

    monkeypatch.setattr(following.EntryFollower, "__next__", with_one, raising=False)
    with pytest.warns(IssuesWarning, match="1 changes of the feed name no instance or have no number"):
        lake = dfr.sync(service, tmp_path)
    assert lake.changes()["sequence"].tolist() == list(range(1, 9))
    assert_is_as_the_service(lake, service)


def test_an_instance_in_the_wrong_partition_is_found(tmp_path):
    with dfr.start_local(partitions=True) as local:
        client = dfr.connect(local.url, partition="ours", progress=False)
        client.store([instance(1, 1, 1), instance(2, 1, 1)])
        lake = dfr.sync(client, tmp_path)
        assert len(lake.check(client)) == 0
        table = lake.delta("instance")
        table.update(updates={"PartitionName": "'theirs'"}, predicate="StudyInstanceUID = '1.2.1'")
        found = lake.check(client).sort_values("where", ignore_index=True)
        assert found[["PartitionName", "StudyInstanceUID", "where"]].to_numpy().tolist() == [
            ["theirs", "1.2.1", "lake"],
            ["ours", "1.2.1", "service"],
        ]


def test_a_feed_that_goes_back_changes_nothing(service, tmp_path, monkeypatch):
    lake = dfr.sync(service, tmp_path)
    with dfr.start_local() as other, other.connect(progress=False) as client:
        client.store([instance(7, 1, 1)])
        monkeypatch.setattr(Lake, "service", client.url)
        with pytest.raises(UnexpectedAnswerError, match="ends before the place"):
            lake.sync(client)
    assert (lake.sequence, len(lake.to_frame("instance"))) == (8, 8)


NAIVE = pd.Timestamp("2024-01-01")


@pytest.mark.parametrize("as_of", [NAIVE, NAIVE.to_pydatetime(), True, -1, "2024-01-01", 1.0], ids=repr)
def test_a_time_without_a_zone_is_refused(service, tmp_path, as_of):
    """Delta would take it for UTC: hours off, without a word."""
    with pytest.raises(QueryError, match="as_of="):
        dfr.sync(service, tmp_path).to_frame("study", as_of=as_of)


def test_nothing_is_made_beside_what_is_no_lake(service, tmp_path):
    from deltalake import write_deltalake

    write_deltalake(tmp_path / "changes", pd.DataFrame({"a": [1]}))
    with pytest.raises(LakeError, match="is no lake of this version"):
        dfr.sync(service, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["changes"]


def parquet_files(folder):
    return sorted(path for path in folder.rglob("*.parquet"))


def test_vacuum_takes_away_what_refused_writes_left(service, tmp_path, monkeypatch):
    """The files of a write that was refused hold patients' data, and no version of the table knows of them."""
    lake = dfr.sync(service, tmp_path)
    ours, theirs = Table(str(tmp_path), "instance"), Table(str(tmp_path), "instance")
    ours.claim()
    opened = ours.open
    monkeypatch.setattr(ours, "open", lambda: (opened(), theirs.claim())[0])
    before = parquet_files(tmp_path)
    with pytest.raises(LakeError, match="Another program"):
        ours.merge(instance_rows({("", "1", "1.1", "1.1.1"): ({"sequence": 50}, {"00100020": {"vr": "LO"}})}))
    assert len(parquet_files(tmp_path)) == len(before) + 1
    service.delete("1.2.2")
    lake.sync(service)
    assert lake.vacuum() == 0  # it may belong to a write that goes on
    assert lake.vacuum(hours=0) > 1
    known = {uri for name in SCHEMAS for uri in lake.delta(name).file_uris()}
    assert {path.name for path in parquet_files(tmp_path)} == {uri.rpartition("/")[2] for uri in known}
    assert_is_as_the_service(lake, service)
    for wrong in (-1, True, 1.5, None):
        with pytest.raises(QueryError, match="hours="):
            lake.vacuum(hours=wrong)


def test_vacuum_refuses_who_was_writing(service, tmp_path):
    lake, other = dfr.sync(service, tmp_path), Table(str(tmp_path), "instance")
    other.claim()
    lake.vacuum(hours=0)
    with pytest.raises(LakeError, match="Another program"):
        other.merge(instance_rows({("", "1", "1.1", "1.1.1"): ({"sequence": 50}, {})}))
    with lake_module.only_writer(str(tmp_path)), pytest.raises(LakeError, match="on this machine"):
        lake.vacuum()


def test_vacuum_leaves_nothing_of_patients_that_are_gone(service, tmp_path):
    """Delta's log has the least and greatest values of columns; it is no table, and stays."""
    service.store([instance(9, 1, 1, PatientID="HIDDEN-9", PatientName="Hidden^Name")])
    lake = dfr.sync(service, tmp_path)
    service.delete("1.2.9")
    lake.sync(service)
    lake.vacuum(hours=0)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".json" for path in files)
    assert [path for path in files if b"idden" in path.read_bytes() or b"HIDDEN" in path.read_bytes()] == []


def test_a_version_whose_files_are_deleted_is_an_error_without_paths(service, tmp_path):
    lake = dfr.sync(service, tmp_path)
    cohort = dfr.cohort(lake).step("all")
    cohort.to_frame()
    version = lake.delta("series").version()
    service.delete("1.2.2")
    lake.sync(service)
    lake.vacuum(hours=0)
    for read in (
        lambda: lake.to_frame("series", as_of=version),
        lambda: cohort.step("series", level="series").to_frame(),
    ):
        with pytest.raises(LakeError, match=r"cannot be read.*vacuum") as caught:
            read()
        assert str(tmp_path) not in str(caught.value)


def test_a_time_before_the_lake_is_no_empty_table(service, tmp_path):
    before = datetime.now(UTC) - timedelta(seconds=1)
    lake = dfr.sync(service, tmp_path)
    for read in (
        lambda: lake.to_frame("study", as_of=before),
        lambda: dfr.cohort(lake, as_of=before).step("all").to_frame(),
    ):
        with pytest.raises(LakeError, match="before the lake was made"):
            read()


def test_a_late_change_settles_nothing_of_a_later_one(tmp_path):
    with dfr.start_local() as local, local.connect(progress=False) as client:
        lake = dfr.sync(client, tmp_path)
        syncing.claim(lake._tables)
        unread = {}
        for batch, sequence in enumerate((100, 50), 1):
            change = {"sequence": sequence, "action": "update", "state": "current"} | {
                "studyInstanceUid": "1.2.1",
                "seriesInstanceUid": "1.2.1.1",
                "sopInstanceUid": "1.2.1.1.1",
            }
            cursor = {"sequence": 100}
            # The service has no such instance, so that it gives nothing of it.
            _, unread = syncing._sync_batch(lake._tables, client, [change], batch, cursor, unread, NO_BAR)
        assert [change["sequence"] for change in unread.values()] == [100]
        assert lake.unread()["sequence"].tolist() == [100]


@pytest.mark.parametrize("column", ["StudyInstanceUID", "sequence"])
def test_rows_are_chosen_among_any_number_of_values(tmp_path, column):
    """As many in one predicate end the process."""
    table = Table(str(tmp_path), "instance")
    table.create("{}")
    keys = [("", f"1.{number}", f"1.{number}.1", f"1.{number}.1.1") for number in (1, 2, 3)]
    changes = {key: ({"sequence": int(key[1][2:])}, {"00100020": {"vr": "LO"}}) for key in keys}
    table.merge(instance_rows(changes))
    for count in (2, 3, 60_000):
        values = [f"1.{number}" if column == "StudyInstanceUID" else number for number in range(2, 2 + count)]
        found = table.read([column, "json"], among=(column, values))
        assert sorted(found[column].to_pylist()) == values[:2]
        assert found.schema.field(column) == SCHEMAS["instance"].field(column)
