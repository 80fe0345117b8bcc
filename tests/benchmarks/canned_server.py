"""A server that costs next to nothing: answers made beforehand, sent from memory by a thread for each connection.

``python canned_server.py study --parts 300 --bytes 524288 [--chunked]``, ``pages --pages 100 --delay 0.05``, ``stow``.
It prints its URL and runs until it is ended.
"""

import argparse
import io
import json
import re
import socket
import threading
import time

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

STUDY = "1.2.826.0.1.3680043.8.498.1"
_CHUNK = 65536
# Bytes of a request's body that are looked at together.
_PIECE = 256 * 1024
# So far behind the delimiter in front of a part stands its SOP Instance UID.
_REACH = 4096
_UID = re.compile(rb"\x08\x00\x18\x00UI..([0-9.]+)", re.DOTALL)
# As long as the ones that servers make.
_BOUNDARY = "5f1c6a9e-0b1d-4a53-9d0e-7c1f3f0d2b6a"


def instance(number, size):
    """Make a DICOM file of about so many bytes: a header as a scanner writes it, and pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{STUDY}.1.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID = CTImageStorage
    file.SOPInstanceUID = f"{STUDY}.1.{number}"
    file.StudyInstanceUID, file.SeriesInstanceUID = STUDY, f"{STUDY}.1"
    file.PatientID, file.PatientName = "P1", "Bench^Mark"
    file.StudyDate, file.Modality, file.Manufacturer = "20240115", "CT", "None"
    file.InstanceNumber, file.SliceThickness = number, "1.5"
    file.ImagePositionPatient = [0, 0, number * 1.5]
    file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    file.PixelSpacing = [0.5, 0.5]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    columns = 64
    file.Columns, file.Rows = columns, max(size // (2 * columns), 1)
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation = 15, 0
    file.PixelData = bytes(2 * file.Rows * file.Columns)
    out = io.BytesIO()
    pydicom.dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def study_body(parts, size):
    head = b"Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\n\r\n"
    line = b"--" + _BOUNDARY.encode()
    pieces = [line + b"\r\n" + head + instance(at, size) + b"\r\n" for at in range(1, parts + 1)]
    return b"".join(pieces) + line + b"--\r\n"


def head(status, content_type, length=None):
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"HTTP/1.1 {status} OK\r\nContent-Type: {content_type}\r\n{size}\r\napi-supported-versions: v1, v2\r\n\r\n"
    ).encode()


def study_rows(count):
    """Make the rows of a search, each as JSON."""
    return [
        json.dumps(
            {
                "0020000D": {"vr": "UI", "Value": [f"{STUDY}.{row}"]},
                "00100020": {"vr": "LO", "Value": [f"P{row}"]},
                "00080020": {"vr": "DA", "Value": ["20240115"]},
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": f"Family{row}^Given"}]},
            }
        ).encode()
        for row in range(count)
    ]


def instance_rows(count):
    """Make the rows of a search for the study's instances, each as JSON."""
    uids = {"0020000D": STUDY, "0020000E": f"{STUDY}.1"}
    return [
        json.dumps(
            {
                tag: {"vr": "UI", "Value": [uid]}
                for tag, uid in (uids | {"00080018": f"{STUDY}.1.{number}"}).items()
            }
        ).encode()
        for number in range(1, count + 1)
    ]


def asked(text, name, default):
    """Give a number in the query of a request's first line."""
    found = re.search(rf"[?&]{name}=(\d+)", text.split("\r\n", 1)[0])
    return int(found[1]) if found else default


class Request:
    """A request: its head, and a body that passes through a buffer which is used again and again.

    Parameters
    ----------
    file : io.BufferedReader
        What reads from the connection.
    head : bytes
        The request line and the headers.
    """

    def __init__(self, file, head):
        self.text = head.decode("latin_1")
        self._file = file
        self._headers = head.lower()

    @property
    def closes(self):
        return b"connection: close" in self._headers

    def pass_by(self, buffer):
        """Read the body: have each piece of it in the buffer for a moment, and give their lengths."""
        length = re.search(rb"content-length: *(\d+)", self._headers)
        if length:
            yield from self._pieces(buffer, int(length[1]))
        elif b"transfer-encoding: chunked" in self._headers:
            while size := int(self._file.readline(), 16):
                yield from self._pieces(buffer, size)
                self._file.readline()
            self._file.readline()

    def _pieces(self, buffer, left):
        view = memoryview(buffer)
        while left:
            count = self._file.readinto(view[:left])
            if not count:
                raise ConnectionError
            left -= count
            yield count


def next_request(file):
    """Read a request's head; None at the connection's end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return None
        head += line
    return Request(file, head)


def stored_uids(request, buffer):
    """Read a body and give the SOP Instance UID of each of its parts, which stands near the part's beginning."""
    boundary = re.search(r'boundary="?([^"\s;]+)', request.text)
    delimiter = b"--" + boundary[1].encode() if boundary else b""
    uids = []
    before = b""

    def look(place, until):
        """Note the parts that begin in front of a place, by their first bytes, which may lie behind it."""
        at = place.find(delimiter, 0, until + len(delimiter) - 1)
        while delimiter and at >= 0:
            found = _UID.search(place, at, at + _REACH)
            if found:
                uids.append(found[1].decode())
            at = place.find(delimiter, at + 1, until + len(delimiter) - 1)

    for count in request.pass_by(buffer):
        # What begins in the last bytes of a piece is looked for when the next piece is there.
        seam = before + buffer[: min(count, _REACH)]
        if count > _REACH:
            look(seam, len(before))
            look(buffer, count - _REACH)
            before = buffer[count - _REACH : count]
        else:
            settled = max(len(seam) - _REACH, 0)
            look(seam, settled)
            before = seam[settled:]
    look(before, len(before))
    return uids


def stow_answer(uids):
    """Say that every instance was stored."""
    items = [
        {
            "00081150": {"vr": "UI", "Value": [str(CTImageStorage)]},
            "00081155": {"vr": "UI", "Value": [uid]},
            "00081190": {"vr": "UR", "Value": ["http://host/x"]},
        }
        for uid in uids
    ]
    return json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["study", "pages", "stow"])
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--bytes", type=int, default=512 * 1024)
    parser.add_argument("--chunked", action="store_true")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    body = study_body(options.parts, options.bytes) if options.what == "study" else b""
    found = study_rows(options.pages * options.rows) if options.what == "pages" else []
    listed = instance_rows(options.parts) if options.what == "study" else []
    multipart = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'

    def answer(connection, text, uids):
        if options.what == "study" and "/instances?" in text.split("\r\n", 1)[0]:
            start = asked(text, "offset", 0)
            content = b"[%b]" % b",".join(listed[start : start + asked(text, "limit", options.rows)])
            connection.sendall(head(200, "application/dicom+json", len(content)) + content)
        elif options.what == "study" and options.chunked:
            connection.sendall(head(200, multipart))
            view = memoryview(body)
            for at in range(0, len(body), _CHUNK):
                piece = view[at : at + _CHUNK]
                connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        elif options.what == "study":
            connection.sendall(head(200, multipart, len(body)))
            connection.sendall(body)
        elif options.what == "pages":
            time.sleep(options.delay)
            start = asked(text, "offset", 0)
            content = b"[%b]" % b",".join(found[start : start + asked(text, "limit", options.rows)])
            connection.sendall(head(200, "application/dicom+json", len(content)) + content)
        else:
            content = stow_answer(uids)
            connection.sendall(head(200, "application/dicom+json", len(content)) + content)

    def serve(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray(_PIECE)
        with connection, connection.makefile("rb") as file:
            try:
                while request := next_request(file):
                    answer(connection, request.text, stored_uids(request, buffer))
                    if request.closes:
                        return
            except OSError:
                return

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
