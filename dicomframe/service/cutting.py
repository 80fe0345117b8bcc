"""Connections that an application may cut: what ASGI has no word for, as an extension of it.

ASGI lets an application end an answer or raise; neither resets a connection, and servers answer 500 to what is raised
before an answer. `CuttableProtocol` is uvicorn's own protocol with one addition: ``scope["extensions"]`` holds
`CUT`, which takes the connection away.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

#: The extension's name.
CUT: Final = "dicomframe.cut"
#: SO_LINGER on, for 0 seconds: closing sends RST instead of FIN.
_NO_GOODBYE: Final = struct.pack("ii", 1, 0)


class CuttableProtocol(HttpToolsProtocol):
    """HTTP/1.1 on one connection that an application may cut; it logs no requests, whose paths and queries tell."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.access_log = False

    def on_message_begin(self) -> None:
        """Begin a request, and tell its application how to cut."""
        super().on_message_begin()
        extensions: dict[str, Any] = {CUT: self._cut}
        self.scope["extensions"] = extensions

    def _cut(self, *, reset: bool) -> None:
        if not reset:
            self.transport.close()
            return
        file = self.transport.get_extra_info("socket").fileno()
        # uvloop's sockets take no options; a second handle on the same one does.
        with socket.socket(fileno=os.dup(file)) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_GOODBYE)
        self.transport.abort()


async def cut(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """Cut a request's connection.

    Parameters
    ----------
    scope, receive
        Of ASGI.
    reset : bool
        Whether by RST, with what was not sent thrown away; otherwise the connection is closed after that.

    Raises
    ------
    ConnectionAbortedError
        Where there is no connection to cut: in process, and under a server without the extension.
    """
    connection: Callable[..., None] | None = scope.get("extensions", {}).get(CUT)
    if connection is None:
        raise ConnectionAbortedError("A fault was injected: the answer ends here.")
    connection(reset=reset)
    # Until the server has noticed, returning would be answered with an error.
    while (await receive())["type"] != "http.disconnect":
        pass
