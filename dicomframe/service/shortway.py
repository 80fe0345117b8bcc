"""A short way for stored files: what ASGI has no word for, as an extension of it.

ASGI hands every byte of an answer through the interpreter, and uvicorn hands each piece to the kernel by itself. For an
object that goes out as it is stored that is most of the work. So ``scope["extensions"]`` may hold `SHORT_WAY`, by which
the kernel sends a file's bytes itself. It never waits and may decline; then the bytes go the usual way.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from starlette.types import Scope
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: The extension's name.
SHORT_WAY: Final = "dicomframe.short_way"


class ShortWay:
    """What sends stored files on one connection.

    Parameters
    ----------
    protocol : HttpToolsProtocol
        The connection's.
    """

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self._transport: Any = protocol.transport
        # uvloop's sockets take no options; a second handle on the same one does.
        self._socket = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))

    def close(self) -> None:
        """Let go of the connection."""
        self._socket.close()

    def hold(self, *, back: bool) -> None:
        """Have the kernel wait for more before it sends less than a packet, or send what there is.

        The head of an answer, an object and what stands behind it then wake the client once, not four times.
        """
        if self._socket.fileno() >= 0:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, back)

    def send(self, scope: Scope, file: int, offset: int, count: int) -> int:
        """Send bytes of a file as the next ones of a body whose length was announced.

        Parameters
        ----------
        scope : Scope
            Of the request.
        file : int
            The open file's descriptor.
        offset, count : int
            From where, and how many.

        Returns
        -------
        int
            How many were sent. With 0 the next bytes must go the usual way: others are still waiting to be sent, the
            connection takes no more at the moment, it is gone, or the file ends here.
        """
        cycle = self._protocol.cycle
        if (
            cycle.scope
            is not scope  # a client that does not wait for answers has asked for the next thing already
            or cycle.disconnected
            or cycle.response_complete
            or count > cycle.expected_content_length
            or self._transport.is_closing()
            or self._transport.get_write_buffer_size()
        ):
            return 0
        try:
            sent = os.sendfile(self._socket.fileno(), file, offset, count)
        except OSError:  # the usual way waits, or meets the same error and knows what to do
            return 0
        cycle.expected_content_length -= sent
        return sent
