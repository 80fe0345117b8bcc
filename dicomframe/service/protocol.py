"""HTTP/1.1 as the server speaks it: uvicorn's protocol without its log, and with a short way for stored files."""

from __future__ import annotations

import sys
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dicomframe.service.shortway import SHORT_WAY, ShortWay

#: A small object goes out whole, without waiting for the client between its head, its bytes and the closing line.
_WRITE_BUFFER_BYTES: Final = 1 << 20


class ServiceProtocol(HttpToolsProtocol):
    """HTTP/1.1 on one connection.

    It logs no requests: paths hold UIDs, queries hold names. ``access_log=False`` of uvicorn's settings alone only cuts
    the logger off from its handlers, which whoever sets handlers up again undoes.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.access_log = False
        self._extensions: dict[str, Any] = {}

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        if sys.platform == "linux":  # elsewhere there is no such call, or it counts in another way
            self._extensions[SHORT_WAY] = ShortWay(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End it."""
        super().connection_lost(exc)
        way = self._extensions.pop(SHORT_WAY, None)
        if way is not None:
            way.close()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
