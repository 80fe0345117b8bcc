"""Bodies on their way out: sent by the kernel or read and sent, over plain sockets and TLS, always the same bytes."""

import errno
import os
import socket
import threading
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicomframe.client.outgoing import OutgoingBody, send_file
from dicomframe.client.session import Session
from dicomframe.client.workers import Call, working_for
from dicomframe.dicom.multipartwriter import FilePiece, MultipartWriter
from dicomframe.errors import ConnectionFailed, TimedOut

MB = 1024 * 1024


@pytest.fixture
def by_kernel(monkeypatch):
    """Give the numbers of bytes that the kernel was asked to send, and did."""
    counts = []
    really = os.sendfile

    def counted(*arguments):
        count = really(*arguments)
        counts.append(count)
        return count

    monkeypatch.setattr(os, "sendfile", counted)
    return counts


def send_over(body, came, *, buffer=4096):
    """Send a body over a pair of sockets, as a connection does, and read what comes."""
    left, right = socket.socketpair()

    def read():
        while chunk := right.recv(buffer):
            came.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    left.settimeout(60)
    try:
        with closing(left):
            for piece in body.pieces():
                if isinstance(piece, FilePiece):
                    send_file(left, piece)
                else:
                    left.sendall(piece)
    finally:
        reader.join()
        right.close()


def sent(writer, **options):
    came = bytearray()
    send_over(OutgoingBody(writer), came, **options)
    return bytes(came)


@settings(max_examples=50, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.booleans(), st.binary(max_size=40), st.sampled_from([0, 1, 1000])), max_size=6
    ),
    gives_up_after=st.sampled_from([None, 0, 1, 3]),
)
def test_both_ways_send_the_same(tmp_path_factory, parts, gives_up_after):
    """Files and bytes in any order; the kernel takes all, nothing, or a file up to a place and no further."""
    folder = tmp_path_factory.mktemp("parts")
    contents = [content * (repeated or 1) for _, content, repeated in parts]
    given_parts = []
    for at, ((is_file, _, _), content) in enumerate(zip(parts, contents, strict=True)):
        (folder / str(at)).write_bytes(content)
        given_parts.append(folder / str(at) if is_file else content)
    really, calls = os.sendfile, []

    def some(out, source, offset, count):
        calls.append(count)
        if gives_up_after is not None and len(calls) > gives_up_after:
            raise OSError(errno.EINVAL, "not this file")
        return really(out, source, offset, min(count, 700))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sendfile", some)
        came = sent(MultipartWriter(given_parts, boundary="b"))
    expected = b"".join(MultipartWriter(contents, boundary="b"))
    assert came == expected == b"".join(OutgoingBody(MultipartWriter(given_parts, boundary="b")))
    assert len(OutgoingBody(MultipartWriter(given_parts, boundary="b"))) == len(expected)


def test_a_large_file_is_sent_by_the_kernel_bit_by_bit(tmp_path, by_kernel):
    content = os.urandom(3 * MB + 5)
    (tmp_path / "file").write_bytes(content)
    told = []

    class Watcher:
        def add_bytes(self, count):
            told.append(count)

        def tick(self):
            pass

    with working_for(Call(Watcher())):
        came = sent(MultipartWriter([tmp_path / "file"], boundary="b"), buffer=MB)
    assert content in came
    assert sum(by_kernel) == len(content)
    assert sum(told) == len(came)
    assert max(told) <= MB


@pytest.mark.parametrize("how", ["lacks", "refuses"])
def test_where_the_kernel_does_not_it_is_read(tmp_path, monkeypatch, how):
    (tmp_path / "file").write_bytes(b"x" * MB)

    def refuse(*_):
        raise OSError(errno.EINVAL, "no such way")

    if how == "lacks":
        monkeypatch.delattr(os, "sendfile")
    else:
        monkeypatch.setattr(os, "sendfile", refuse)
    assert b"x" * MB in sent(MultipartWriter([tmp_path / "file"]), buffer=MB)


@pytest.mark.parametrize("change", ["shorter", "longer", "other", "empty"])
@pytest.mark.parametrize("by", ["kernel", "reading"])
def test_a_file_that_changes_breaks_the_body_off(tmp_path, monkeypatch, change, by):
    """At once when it is noticed: the body stays shorter than it was said to be, so that nobody takes it for whole."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2 * MB)
    os.utime(file, (1, 1))
    body = OutgoingBody(MultipartWriter([b"before", file, b"after"]))
    file.write_bytes(b"y" * {"shorter": MB, "longer": 2 * MB + 1, "other": 2 * MB, "empty": 0}[change])
    if by == "reading":
        monkeypatch.delattr(os, "sendfile")
    came = bytearray()
    with pytest.raises(OSError, match="changed while"):
        send_over(body, came, buffer=MB)
    assert "changed while" in str(body.failure)
    assert 0 < len(came) < len(body)


def test_what_was_written_to_after_it_was_sent_is_told(tmp_path):
    files = [tmp_path / name for name in ("same", "written", "gone", "replaced")]
    for file in files:
        file.write_bytes(b"x" * 100)
        os.utime(file, (1, 1))
    writer = MultipartWriter([b"bytes", *files])
    assert writer.changed() == [False] * 5
    files[1].write_bytes(b"y" * 100)
    files[2].unlink()
    (tmp_path / "new").write_bytes(b"z")
    (tmp_path / "new").rename(files[3])
    assert writer.changed() == [False, False, True, False, False]


def test_a_receiver_that_takes_nothing_more(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 20 * MB)
    left, right = socket.socketpair()
    left.settimeout(0.1)
    with closing(left), closing(right), (tmp_path / "file").open("rb") as file:
        piece = FilePiece(file.fileno(), 20 * MB)
        with pytest.raises(TimeoutError):
            send_file(left, piece)
        assert 0 < piece.sent < 20 * MB
        right.close()
        with pytest.raises(ConnectionError):
            send_file(left, piece)


def test_a_file_that_cannot_be_read_is_not_a_cut_connection(tmp_path, monkeypatch):
    """The kernel's way and the connection's end both raise OSError; only the file's own is the body's failure."""
    (tmp_path / "file").write_bytes(b"x" * MB)

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "sendfile", broken)
    monkeypatch.setattr(os, "read", broken)
    body = OutgoingBody(MultipartWriter([tmp_path / "file"]))
    with pytest.raises(OSError, match="Input/output error"):
        send_over(body, bytearray())
    assert body.failure.errno == errno.EIO


# -- whole requests --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    made = []
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    for number in range(4):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        made.append(tmp_path / f"{number}.dcm")
        dataset.save_as(made[-1])
    return made


def stored(uids):
    items = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in uids]
    return {"00081199": {"vr": "SQ", "Value": items}}


def accepting(as_json, change=lambda: None):
    """Say that all parts are stored, after something has happened."""

    def answer(asked):
        change()
        return as_json(
            stored([f"1.2.3.{number}" for number in range(4) if f"1.2.3.{number}".encode() in asked.body])
        )

    return answer


@pytest.mark.parametrize("tls", [False, True])
def test_files_go_out_as_they_are(serve, connect, as_json, certificate, files, by_kernel, tls):
    public, context = certificate
    site = serve(accepting(as_json), context if tls else None)
    table = connect(site.url, verify=str(public)).store(files)
    assert table["status"].tolist() == ["stored"] * 4
    asked = site.asked[0]
    head = b"Content-Type: application/dicom\r\n\r\n"
    assert asked.headers["Content-Length"] == str(len(asked.body))
    assert [part.split(b"\r\n--")[0] for part in asked.body.split(head)[1:]] == [
        file.read_bytes() for file in files
    ]
    # TLS encrypts what it sends: its bytes are read.
    assert sum(by_kernel) == (0 if tls else sum(file.stat().st_size for file in files))


def test_a_file_that_changes_before_the_answer_is_told(serve, connect, as_json, files):
    for file in files:
        os.utime(file, (1, 1))
    content = files[1].read_bytes()
    site = serve(accepting(as_json, lambda: files[1].write_bytes(content)))
    table = connect(site.url).store(files)
    assert table["status"].tolist() == ["stored", "warning", "stored", "stored"]
    assert "changed while it was being sent" in table["reason"][1]


def test_a_file_that_grows_while_it_is_sent_goes_as_it_is_then(serve, connect, as_json, files):
    """The request is broken off; sent once more, in halves, the file is what it has become."""
    really, grown = os.sendfile, []

    def growing(*arguments):
        if not grown:
            grown.append(1)
            with files[2].open("ab") as file:
                file.write(b"\0" * 1000)
        return really(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sendfile", growing)
        site = serve(accepting(as_json))
        table = connect(site.url).store(files)
    assert table["status"].tolist() == ["stored"] * 4
    whole = [asked for asked in site.asked if len(asked.body) == int(asked.headers["Content-Length"])]
    assert any(files[2].read_bytes() in asked.body for asked in whole)


def test_a_server_that_stops_reading(serve, connect, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 40 * MB)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        session = Session(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=(0.2, 0.2), retries=0)
        with pytest.raises(TimedOut):
            session.request("POST", "studies", body=MultipartWriter([tmp_path / "file"]))
        connections = []

        def cut():
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()
            connections.append(connection)

        # The one that was accepted by nobody is first in the queue.
        listener.accept()[0].close()
        cutter = threading.Thread(target=cut)
        cutter.start()
        # Patient, since it is to see the cut and not the time until then.
        patient = Session(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=(60, 60), retries=0)
        with pytest.raises(ConnectionFailed):
            patient.request("POST", "studies", body=MultipartWriter([tmp_path / "file"]))
        cutter.join()
        patient.close()
        session.close()


def test_a_body_is_made_anew_for_each_attempt(serve, connect, as_json, reply, files, by_kernel):
    answers = iter([reply(503), reply(reset=True)])
    accept = accepting(as_json)
    site = serve(lambda asked: next(answers, None) or accept(asked))
    table = connect(site.url).store(files)
    assert table["status"].tolist() == ["stored"] * 4
    bodies = {asked.body for asked in site.asked}
    assert (len(site.asked), len(bodies)) == (3, 1)
    assert sum(by_kernel) == 3 * sum(file.stat().st_size for file in files)
    opened = [link.resolve() for link in Path("/proc/self/fd").glob("*")]
    assert not set(files) & set(opened)
