"""A request's body on its way out: who watches it, what broke it, and files that need not be read to be sent."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from dicomframe.client.workers import tell_bytes
from dicomframe.dicom.multipartwriter import FilePiece

#: Bytes that the kernel is asked to send at a time: so often whoever watches learns how far it is.
_AT_A_TIME = 1024 * 1024


class OutgoingBody:
    """A body that tells how far it is, and remembers that it failed itself: a file that vanished is no cut connection.

    Parameters
    ----------
    body : iterable of bytes
        It has a length and is good for more than one iteration. If it has ``pieces``, that gives it with files that are
        still to be sent; see `dicomframe.dicom.multipartwriter.MultipartWriter`.
    """

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self.failure: OSError | None = None

    def __len__(self) -> int:
        return len(self._body)  # type: ignore[arg-type]  # documented: the body has a length

    def __iter__(self) -> Iterator[bytes]:
        return (piece for piece in self.pieces() if isinstance(piece, bytes))

    def pieces(self) -> Iterator[bytes | FilePiece]:
        """Yield the body for a connection that takes files too, and tells of their bytes itself."""
        pieces = getattr(self._body, "pieces", self._body.__iter__)
        try:
            for piece in pieces():
                if isinstance(piece, bytes):
                    tell_bytes(len(piece))
                yield piece
        except OSError as error:
            self.failure = error
            raise


def send_file(connected: Any, piece: FilePiece) -> None:
    """Have the kernel send a file over a plain socket, which spares it a copy, as far as that is possible.

    What is left, be it that this cannot be done here, or that the file cannot be read or is too short, its owner is to
    send, or to complain of.

    Parameters
    ----------
    connected : socket.socket
        Where to; anything else than a plain socket, such as TLS, takes nothing this way.
    piece : FilePiece
        What; it is told how much was sent.

    Raises
    ------
    OSError
        If the connection is cut, or takes nothing for longer than its time limit.
    """
    if type(connected) is not socket.socket or not hasattr(os, "sendfile"):
        return
    while piece.sent < piece.size:
        most = min(_AT_A_TIME, piece.size - piece.sent)
        try:
            count = os.sendfile(connected.fileno(), piece.descriptor, piece.sent, most)
        except BlockingIOError:
            _wait_until_writable(connected)
            continue
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            return
        if not count:
            return
        piece.sent += count
        tell_bytes(count)


def _wait_until_writable(connected: socket.socket) -> None:
    limit = connected.gettimeout()
    poll = select.poll()
    poll.register(connected, select.POLLOUT)
    if not poll.poll(None if limit is None else limit * 1000):
        raise TimeoutError("timed out")
