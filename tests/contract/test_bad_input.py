"""Every verb of the client and of ``df.dicom`` against every bad input: a typed error, or a row that says why.

A verb that is not in the table fails `test_every_verb_is_here`. What a server echoes must not come out in a message:
the garbage below holds the token, the request's path with its UIDs, and a patient's name.
"""

import json
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.accessor import DicomTable
from dicomframe.client.backoff import Backoff
from dicomframe.client.changefeed import ChangeFeed
from dicomframe.client.client import Client
from dicomframe.client.operations import Operation
from dicomframe.client.search import Search
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    BadRequestError,
    ConnectionFailed,
    DecodeError,
    DicomFrameError,
    DicomFrameWarning,
    IncompleteRetrievalError,
    IncompleteRetrievalWarning,
    NoClientError,
    NotFoundError,
    QueryError,
    ServiceError,
    TableError,
    TransportError,
    UnavailableError,
)

CT = get_testdata_file("CT_small.dcm", download=False)
TOKEN = "secret-token-of-the-test"
NAME = "Doe^Hidden"
UNKNOWN = ("1.2.826.0.1.77", "1.2.826.0.1.77.1", "1.2.826.0.1.77.1.1")
MALFORMED = ("1.2/../secret", "1.2.3\n4", "9" * 65)
COLUMNS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
ANY = (DecodeError, ServiceError, TransportError)
QUICK = Backoff(retries=1, first=0.001, most=0.002)

#: Stands for a volume; nothing in these tests comes to lie over it.
ONTO = SimpleNamespace(affine=None)

WORKITEM = dfr.new_workitem(ProcedureStepLabel="x", ScheduledProcedureStepStartDateTime="2024-01-15T10:30:00")

#: What may come instead of an error: no rows, nothing at all, rows of this status, or, for what cannot be given such
#: an input, a reason why.
EMPTY, DONE = object(), object()


@dataclass(frozen=True)
class NoSuch:
    """Why a verb cannot meet this input."""

    why: str


@dataclass(frozen=True)
class OrRows:
    """An error, or where an answer came that says nothing, rows of a status; without one, nothing to look at."""

    errors: Any
    status: str | None = None
    #: What comes of an error's status, or a web page.
    refused: Any = ANY


NO_UID = NoSuch("it takes no UID")
#: The status is the whole answer: what a server says beside 200 is not read.
BY_STATUS = OrRows(ANY)
NO_ANSWER = NoSuch("it asks the service for nothing")


@dataclass(frozen=True)
class Verb:
    """How a verb is called with UIDs or a table, and what each bad input comes to."""

    ask: Callable[[Any, Any], Any]
    malformed: Any = QueryError
    unknown: Any = NotFoundError
    stopped: Any = ConnectionFailed
    garbage: Any = ANY
    empty: Any = EMPTY
    lacking: Any = TableError
    foreign: Any = NoClientError
    #: Garbage that this verb cannot tell from a good answer.
    spared: tuple[str, ...] = ()


def path(uids):
    return ResourcePath(*uids)


def table_of(rows, service=None, **more):
    table = pd.DataFrame(list(rows), columns=COLUMNS, dtype="string").assign(**more)
    if service is not None:
        table.attrs["dicom"] = {"service": service}
    return table


ROWS = {"malformed": QueryError, "unknown": "failed", "stopped": "failed", "garbage": "failed"}
TAG = {"unknown": NotFoundError}

#: Verbs of the client, called with three UIDs. Where a tag or an identifier is meant, the last of them stands for it.
CLIENT = {
    "search_studies": Verb(lambda c, u: c.search_studies(StudyInstanceUID=u[0]), unknown=EMPTY),
    "search_series": Verb(lambda c, u: c.search_series(u[0]), unknown=EMPTY),
    "search_instances": Verb(lambda c, u: c.search_instances(u[0], u[1]), unknown=EMPTY),
    "collect": Verb(lambda c, u: c.collect("series", [c.search_series(u[0])]), unknown=EMPTY),
    "retrieve": Verb(lambda c, u: c.retrieve(path(u))),
    "retrieve_study": Verb(lambda c, u: c.retrieve_study(u[0])),
    "retrieve_series": Verb(lambda c, u: c.retrieve_series(*u[:2])),
    "retrieve_instance": Verb(lambda c, u: c.retrieve_instance(*u)),
    "retrieve_representative": Verb(lambda c, u: c.retrieve_representative(path(u[:1]))),
    "retrieve_metadata": Verb(lambda c, u: c.retrieve_metadata(*u)),
    "retrieve_headers": Verb(lambda c, u: c.retrieve_headers(*u, keywords=["Modality"])),
    "collect_datasets": Verb(lambda c, u: c.collect_datasets([path(u), path(u[:1])])),
    "collect_headers": Verb(lambda c, u: c.collect_headers([path(u), path(u[:1])], ["Modality"])),
    "collect_metadata": Verb(lambda c, u: c.collect_metadata([path(u), path(u[:1])])),
    "retrieve_frames": Verb(lambda c, u: c.retrieve_frames(*u, [1])),
    "retrieve_rendered": Verb(lambda c, u: c.retrieve_rendered(*u)),
    "retrieve_thumbnail": Verb(lambda c, u: c.retrieve_thumbnail(*u)),
    "retrieve_document": Verb(lambda c, u: c.retrieve_document(*u)),
    "retrieve_volume": Verb(lambda c, u: c.retrieve_volume(*u[:2])),
    "retrieve_bulkdata": Verb(lambda c, u: c.retrieve_bulkdata(*u, "PixelData"), spared=("bytes",)),
    "retrieve_uri": Verb(lambda c, u: c.retrieve_uri(*u)),
    "collect_rendered": Verb(lambda c, u: c.collect_rendered([path(u)]), **ROWS),
    "collect_thumbnails": Verb(lambda c, u: c.collect_thumbnails([path(u)]), **ROWS),
    "collect_frames": Verb(lambda c, u: c.collect_frames([path(u)]), **ROWS),
    "collect_bulkdata": Verb(lambda c, u: c.collect_bulkdata([path(u)], "PixelData"), **ROWS),
    "collect_pixels": Verb(lambda c, u: c.collect_pixels([path(u)]), **ROWS),
    "retrieve_overlays": Verb(lambda c, u: c.retrieve_overlays(*u, onto=ONTO)),
    "collect_overlays": Verb(lambda c, u: c.collect_overlays([path(u)], ONTO)),
    "collect_pixel_counts": Verb(lambda c, u: not_counted(c.collect_pixel_counts([path(u)])), **ROWS),
    "collect_waveforms": Verb(lambda c, u: c.collect_waveforms([path(u)]), **ROWS),
    "download": Verb(lambda c, u: c.download(path(u), c.folder), **ROWS),
    "store": Verb(lambda c, u: c.store([CT], u[0]), unknown="failed", garbage=OrRows(ANY, "unknown")),
    "delete": Verb(lambda c, u: c.delete(*u), garbage=BY_STATUS),
    "delete_many": Verb(
        lambda c, u: c.delete_many([path(u)]),
        **ROWS | {"unknown": "absent", "garbage": OrRows((), refused="failed")},
    ),
    "update_studies": Verb(lambda c, u: c.update_studies(u[0], PatientName="A^B").wait(), unknown=DONE),
    "export": Verb(lambda c, u: c.export(path(u), c.folder).wait(), unknown=DONE),
    "change_feed": Verb(lambda c, _: c.change_feed(), malformed=NO_UID, unknown=NO_UID),
    "latest_change": Verb(lambda c, _: c.latest_change(), malformed=NO_UID, unknown=NO_UID),
    "follow_changes": Verb(lambda c, _: next(c.follow_changes(patience=0)), malformed=NO_UID, unknown=NO_UID),
    "partitions": Verb(lambda c, _: c.partitions(), malformed=NO_UID, unknown=NO_UID),
    "searchable": Verb(
        # Whatever a server without extended query tags says to their route, it has none.
        lambda c, _: c.searchable(),
        malformed=NO_UID,
        unknown=NO_UID,
        garbage=OrRows(UnavailableError, refused=OrRows(UnavailableError)),
    ),
    "query_tags": Verb(lambda c, _: c.query_tags(), malformed=NO_UID, unknown=NO_UID),
    "query_tag": Verb(lambda c, u: c.query_tag(tag(u))),
    "query_tag_errors": Verb(lambda c, u: c.query_tag_errors(tag(u))),
    "add_query_tags": Verb(
        lambda c, u: c.add_query_tags({tag(u, "SliceThickness"): "Study"}),
        unknown=DONE,
    ),
    "reindex_query_tag": Verb(lambda c, u: c.reindex_query_tag(tag(u))),
    "update_query_tag": Verb(lambda c, u: c.update_query_tag(tag(u), enabled=True)),
    "delete_query_tag": Verb(lambda c, u: c.delete_query_tag(tag(u)), garbage=BY_STATUS),
    "operation": Verb(lambda c, u: c.operation(u[0].replace(".", "")).refresh()),
    "search_workitems": Verb(lambda c, u: c.search_workitems(StudyInstanceUID=u[0]), unknown=EMPTY),
    "create_workitem": Verb(lambda c, u: c.create_workitem(WORKITEM, u[1]), unknown=DONE, garbage=BY_STATUS),
    "retrieve_workitem": Verb(lambda c, u: c.retrieve_workitem(u[0])),
    "update_workitem": Verb(
        lambda c, u: c.update_workitem(u[0], {"ProcedureStepLabel": "y"}),
        unknown=BadRequestError,
        garbage=BY_STATUS,
    ),
    "change_workitem_state": Verb(
        lambda c, u: c.change_workitem_state(u[0], "IN PROGRESS"), garbage=BY_STATUS
    ),
    "cancel_workitem": Verb(lambda c, u: c.cancel_workitem(u[0]), garbage=BY_STATUS),
    "doctor": Verb(
        lambda c, _: c.doctor(), malformed=NO_UID, unknown=NO_UID, stopped="failed", garbage="failed"
    ),
    "close": Verb(lambda c, _: c.close(), malformed=NO_UID, unknown=NO_UID, stopped=DONE, garbage=NO_ANSWER),
}


def not_counted(found):
    """Make rows of the notes on what was not counted."""
    counts, notes = found
    assert not counts
    return pd.DataFrame({"status": "failed", "error": notes}, columns=[*COLUMNS, "status", "error"])


def tag(uids, absent="KVP"):
    """Give a tag that is none, or one that nobody has added."""
    return "NoSuchTag" if uids is MALFORMED else absent


LOCAL = {
    "malformed": DONE,
    "unknown": NoSuch("it asks no service"),
    "stopped": NoSuch("it asks no service"),
    "garbage": NoSuch("it asks no service"),
    "foreign": NoSuch("it asks no service"),
}

OUTCOMES = {"unknown": "failed", "stopped": "failed", "garbage": "failed"}

#: Methods of ``df.dicom``, called on a table of three UID columns.
TABLE = {
    "studies": Verb(lambda d, _: d.studies(), unknown=EMPTY),
    "series": Verb(lambda d, _: d.series(), unknown=EMPTY),
    "instances": Verb(lambda d, _: d.instances(), unknown=EMPTY),
    "metadata": Verb(lambda d, _: d.metadata()),
    "headers": Verb(lambda d, _: d.headers(["Modality"])),
    "datasets": Verb(lambda d, _: d.datasets()),
    "download": Verb(lambda d, folder: d.download(folder, progress=False), **OUTCOMES),
    "rendered": Verb(lambda d, _: d.rendered(), **OUTCOMES),
    "thumbnails": Verb(lambda d, _: d.thumbnails(), **OUTCOMES),
    "frames": Verb(lambda d, _: d.frames(), **OUTCOMES),
    "pixels": Verb(lambda d, _: d.pixels(), **OUTCOMES),
    "volume": Verb(lambda d, _: d.volume(), empty=TableError),
    "bulkdata": Verb(lambda d, _: d.bulkdata("PixelData"), **OUTCOMES),
    "overlays": Verb(lambda d, _: d.overlays(ONTO)),
    "planes": Verb(lambda d, _: figure(d.planes()), empty=TableError),
    "view": Verb(lambda d, _: d.view().close(), empty=TableError),
    "gallery": Verb(lambda d, _: repr(d.gallery()), unknown=DONE, stopped=DONE, garbage=DONE, empty=DONE),
    "browse": Verb(lambda d, _: browsed(d.browse()), **LOCAL, empty=DONE, lacking=DONE),
    "plot": Verb(lambda d, _: figure(d.plot()), unknown=DONE, stopped=DONE, garbage=DONE, empty=DONE),
    "histogram": Verb(lambda d, _: d.histogram(), unknown=DONE, stopped=DONE, garbage=DONE, empty=DONE),
    "waveforms": Verb(lambda d, _: d.waveforms(), **OUTCOMES),
    "plot_waveforms": Verb(lambda d, _: d.plot_waveforms(), empty=TableError),
    "counts": Verb(lambda d, _: d.counts("StudyInstanceUID"), **LOCAL, empty=DONE),
    "timeline": Verb(lambda d, _: d.timeline(), **LOCAL | {"malformed": TableError}, empty=TableError),
    "missing": Verb(lambda d, _: d.missing(), **LOCAL, empty=DONE, lacking=DONE),
    "delete": Verb(
        lambda d, _: d.delete(), **OUTCOMES | {"unknown": "absent", "garbage": OrRows((), refused="failed")}
    ),
    "update": Verb(lambda d, _: d.update(PatientName="A^B").wait(), unknown=DONE, empty=QueryError),
    "use": Verb(lambda d, _: d.use(d._client), **LOCAL, lacking=DONE),
    "level": Verb(lambda d, _: d.level, **LOCAL, empty=DONE),
    "schema": Verb(lambda d, _: d.schema, **LOCAL, empty=DONE, lacking=DONE),
    "issues": Verb(lambda d, _: d.issues(), **LOCAL, lacking=DONE),
    "to_json": Verb(lambda d, _: d.to_json(), **LOCAL, lacking=DONE),
    "names": Verb(lambda d, _: d.names("PatientName"), **LOCAL | {"malformed": TableError}, empty=TableError),
    "latest": Verb(lambda d, _: d.latest(), **LOCAL | {"malformed": TableError}, empty=TableError),
    "convert_dtypes": Verb(lambda d, _: d.convert_dtypes(), **LOCAL, lacking=DONE),
}


def browsed(browser):
    """Wait for a browser's pictures and take it away."""
    browser.wait()
    browser.close()


def figure(drawn):
    """Close a figure, so that none is left open."""
    from matplotlib import pyplot as plt

    plt.close(drawn)


# -- the inputs ------------------------------------------------------------------------------------------------------


class Babbler(BaseHTTPRequestHandler):
    """Answers every request with the same garbage, and echoes what it was asked."""

    protocol_version = "HTTP/1.1"

    def _answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        echo = f"{NAME} {self.headers.get('Authorization')} {self.path}"
        status, media, body = self.server.garbage(echo)
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815 - the standard library's names

    def log_message(self, *_):
        """Say nothing."""


def text(media, status=200):
    return lambda echo: (status, media, echo.encode())


GARBAGE = {
    "a sign-in page": lambda echo: (200, "text/html", f"<title>{echo}</title>".encode()),
    "text": text("text/plain"),
    "bytes": lambda echo: (200, "application/octet-stream", b"\0\xff\x80" + echo.encode()),
    "no JSON": text("application/dicom+json"),
    "JSON of another kind": lambda echo: (200, "application/json", json.dumps({"a": echo}).encode()),
    "a JSON list of texts": lambda echo: (200, "application/dicom+json", json.dumps([echo]).encode()),
    "a cut body of parts": lambda echo: (
        200,
        'multipart/related; type="application/dicom"; boundary=x',
        f"--x\r\nContent-Type: application/dicom\r\n\r\nDICM{echo}".encode(),
    ),
    "a broken picture": text("image/jpeg"),
    "an error in other words": text("text/plain", 500),
    "a refusal in other words": lambda echo: (
        400,
        "application/json",
        json.dumps({"message": echo}).encode(),
    ),
}


REFUSALS = {"a sign-in page", "an error in other words", "a refusal in other words"}


@pytest.fixture(scope="module")
def babbler() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Babbler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("export")
    with dfr.start_local(token=TOKEN, export_root=folder) as service:
        service.folder = folder
        yield service


@pytest.fixture(scope="module")
def stopped_url() -> str:
    with dfr.start_local() as service:
        return service.url


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[[str], Client]]:
    """Give what makes a client for a URL, with a token that must not come out, and a folder to write to."""
    made = []

    def connect(url: str, folder: Any = tmp_path) -> Client:
        client = Client(url, TOKEN, progress=False, backoff=QUICK, max_workers=2)
        client.folder = folder
        made.append(client)
        return client

    yield connect
    for client in made:
        client.close()


# -- what must come of them ------------------------------------------------------------------------------------------


def settle(result):
    """Read what is lazy."""
    if isinstance(result, Search | ChangeFeed):
        return result.to_frame()
    if isinstance(result, Operation):
        return result
    return list(result) if isinstance(result, Iterator) else result


def words_of(error: BaseException) -> str:
    """Give what a traceback would print of an error and of all that it stands on."""
    said = [f"{error}"]
    below = (error.__cause__, None if error.__suppress_context__ else error.__context__)
    said.extend(words_of(each) for each in below if each is not None)
    return "\n".join(said)


def meets(verbs, which: str) -> list[str]:
    """Give the names of the verbs that can meet an input."""
    return [name for name, verb in verbs.items() if not isinstance(getattr(verb, which), NoSuch)]


def told(expected, kind: str):
    """Where only the status tells, a status of an error must be one."""
    return expected.refused if kind in REFUSALS and isinstance(expected, OrRows) else expected


def discreet(said: str, uids=()) -> None:
    for secret in (TOKEN, "Doe", "Hidden", *uids):
        assert secret not in said, f"{secret!r} stands in {said!r}"


def expect(expected: Any, act: Callable[[], Any], uids=UNKNOWN) -> None:
    """Do it, and see that it ends as expected, without telling a secret."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", DicomFrameWarning)
        if isinstance(expected, type | tuple):
            with pytest.raises(expected) as caught:
                settle(act())
            assert isinstance(caught.value, DicomFrameError)
            assert len(str(caught.value)) > 15
            discreet(words_of(caught.value), uids)
        elif isinstance(expected, OrRows):
            try:
                found = settle(act())
            except expected.errors as error:
                discreet(words_of(error), uids)
            else:
                if expected.status is not None:
                    assert set(found["status"]) == {expected.status}
                    discreet(found.drop(columns=COLUMNS).to_csv(), uids)
        else:
            found = settle(act())
            if expected is EMPTY:
                assert len(found) == 0
            elif expected is not DONE:
                assert expected in set(found["status"]), found
                why = found.loc[
                    found["status"] == expected, found.columns.intersection(["error", "reason", "found"])
                ]
                if expected == "failed":
                    assert why.notna().any(axis=1).all(), found
                discreet(why.to_csv(), uids)
    for warning in warned:
        discreet(str(warning.message), uids)


@pytest.mark.parametrize("name", meets(CLIENT, "malformed"))
def test_a_malformed_uid(name, local, make):
    client = make(local.url, local.folder)
    expect(CLIENT[name].malformed, lambda: CLIENT[name].ask(client, MALFORMED), MALFORMED)


@pytest.mark.parametrize("name", meets(CLIENT, "unknown"))
def test_an_unknown_uid(name, local, make):
    client = make(local.url, local.folder)
    expect(CLIENT[name].unknown, lambda: CLIENT[name].ask(client, UNKNOWN))


@pytest.mark.parametrize("name", meets(CLIENT, "stopped"))
def test_a_stopped_server(name, stopped_url, make):
    client = make(stopped_url)
    expect(CLIENT[name].stopped, lambda: CLIENT[name].ask(client, UNKNOWN))


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("name", meets(CLIENT, "garbage"))
def test_a_server_that_answers_garbage(name, kind, babbler, make):
    if kind in CLIENT[name].spared:
        return
    babbler.garbage = GARBAGE[kind]
    client = make(f"http://127.0.0.1:{babbler.server_port}")
    expect(told(CLIENT[name].garbage, kind), lambda: CLIENT[name].ask(client, UNKNOWN))


def dicom_of(rows, service, **more):
    return table_of(rows, service, **more).dicom


@pytest.mark.parametrize("name", meets(TABLE, "malformed"))
def test_a_table_with_a_malformed_uid(name, local, make, tmp_path):
    client = make(local.url)
    table = dicom_of([MALFORMED], client.url)
    expect(TABLE[name].malformed, lambda: TABLE[name].ask(table, tmp_path), MALFORMED)


@pytest.mark.parametrize("name", meets(TABLE, "unknown"))
def test_a_table_with_an_unknown_uid(name, local, make, tmp_path):
    table = dicom_of([UNKNOWN], make(local.url).url)
    expect(TABLE[name].unknown, lambda: TABLE[name].ask(table, tmp_path))


@pytest.mark.parametrize("name", meets(TABLE, "empty"))
def test_an_empty_table(name, local, make, tmp_path):
    table = dicom_of([], make(local.url).url)
    expect(TABLE[name].empty, lambda: TABLE[name].ask(table, tmp_path))


@pytest.mark.parametrize("name", meets(TABLE, "lacking"))
def test_a_table_without_the_columns(name, local, make, tmp_path):
    table = table_of([UNKNOWN], make(local.url).url)[["SOPInstanceUID"]]
    expect(TABLE[name].lacking, lambda: TABLE[name].ask(table.dicom, tmp_path))


@pytest.mark.parametrize(
    "name", [name for name in meets(TABLE, "foreign") if name not in {"studies", "update"}]
)
def test_a_table_without_a_uid_in_a_row(name, local, make, tmp_path):
    """As when a column is lacking; those that look for the study alone find it."""
    table = dicom_of([UNKNOWN, (UNKNOWN[0], None, None)], make(local.url).url)
    expect(TableError, lambda: TABLE[name].ask(table, tmp_path))


@pytest.mark.parametrize("service", [None, "https://another.example/v2"])
@pytest.mark.parametrize("name", meets(TABLE, "foreign"))
def test_a_table_from_another_service(name, service, tmp_path):
    table = dicom_of([UNKNOWN], service)
    expect(TABLE[name].foreign, lambda: TABLE[name].ask(table, tmp_path))


@pytest.mark.parametrize("name", meets(TABLE, "stopped"))
def test_a_table_from_a_stopped_server(name, stopped_url, make, tmp_path):
    table = dicom_of([UNKNOWN], make(stopped_url).url)
    expect(TABLE[name].stopped, lambda: TABLE[name].ask(table, tmp_path))


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("name", meets(TABLE, "garbage"))
def test_a_table_from_a_server_that_answers_garbage(name, kind, babbler, make, tmp_path):
    babbler.garbage = GARBAGE[kind]
    table = dicom_of([UNKNOWN], make(f"http://127.0.0.1:{babbler.server_port}").url)
    expect(told(TABLE[name].garbage, kind), lambda: TABLE[name].ask(table, tmp_path))


#: Bulk verbs on a table of a row that is there and one that is not: the statuses of the two.
MIXED = {
    "download": (lambda d, folder: d.download(folder, progress=False), ["saved", "failed"]),
    "rendered": (lambda d, _: d.rendered(), ["rendered", "failed"]),
    "thumbnails": (lambda d, _: d.thumbnails(), ["rendered", "failed"]),
    "frames": (lambda d, _: d.frames(), ["decoded", "failed"]),
    "pixels": (lambda d, _: d.pixels(), ["decoded", "failed"]),
    "bulkdata": (lambda d, _: d.bulkdata("PixelData"), ["retrieved", "failed"]),
    "dry run of delete": (lambda d, _: d.delete(dry_run=True), ["absent", "would go"]),
    "delete": (lambda d, _: d.delete(), ["absent", "deleted"]),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_bulk_verb_finishes_the_other_rows(name, local, make, tmp_path):
    client = make(local.url)
    client.store([CT])
    ct = dcmread(CT, stop_before_pixels=True)
    rows = [UNKNOWN, tuple(str(ct[keyword].value) for keyword in COLUMNS)]
    act, statuses = MIXED[name]
    found = act(table_of(rows, client.url).dicom, tmp_path)
    assert sorted(found["status"]) == sorted(statuses)
    assert found.loc[found["status"].isin(["failed", "absent"]), "error"].str.len().gt(15).all()


def test_metadata_of_the_other_rows(local, make):
    client = make(local.url)
    client.store([CT])
    ct = dcmread(CT, stop_before_pixels=True)
    rows = [UNKNOWN, tuple(str(ct[keyword].value) for keyword in COLUMNS)]
    with pytest.warns(IncompleteRetrievalWarning, match="1 of 2") as warned:
        found = table_of(rows, client.url).dicom.metadata(["KVP"])
    assert found["SOPInstanceUID"].tolist() == [ct.SOPInstanceUID]
    [failed] = found.attrs["dicom"]["failed"]
    assert failed["SOPInstanceUID"] == UNKNOWN[2]
    assert failed["error"].startswith("404")
    assert warned[0].filename == __file__
    discreet(str(warned[0].message), UNKNOWN)


def test_a_stream_of_objects_goes_on_behind_a_failure_and_tells_it_at_its_end(local, make):
    client = make(local.url)
    client.store([CT])
    ct = dcmread(CT, stop_before_pixels=True)
    rows = [UNKNOWN, tuple(str(ct[keyword].value) for keyword in COLUMNS), (*UNKNOWN[:2], "1.2.3")]
    objects = table_of(rows, client.url).dicom.datasets()
    with pytest.warns(IncompleteRetrievalWarning, match="NotFoundError") as warned:
        assert next(objects).SOPInstanceUID == ct.SOPInstanceUID
    assert [each.filename for each in warned] == [__file__]
    discreet(str(warned[0].message), UNKNOWN)
    with pytest.warns(IncompleteRetrievalWarning), pytest.raises(IncompleteRetrievalError) as caught:
        next(objects)
    assert str(caught.value).startswith("Of 3 resources, 2")
    assert [each["SOPInstanceUID"] for each in caught.value.failed] == [UNKNOWN[2], "1.2.3"]
    assert all(each["error"].startswith("404") for each in caught.value.failed)
    discreet(f"{words_of(caught.value)} {caught.value!r}", UNKNOWN)
    assert list(objects) == []


def test_a_stream_of_one_row_fails_at_once(local, make, recwarn):
    with pytest.raises(NotFoundError):
        next(table_of([UNKNOWN], make(local.url).url).dicom.datasets())
    assert not recwarn


def test_every_verb_is_here():
    for kind, listed in ((Client, CLIENT), (DicomTable, TABLE)):
        # What `partial` gives, the last interrupted call has left.
        public = {name for name in dir(kind) if not name.startswith("_")} - {"partial"}
        assert public == set(listed), kind
