"""uvicorn on loopback: in a thread for a notebook, or as the whole process for the command line."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
import warnings
from types import FrameType
from typing import TYPE_CHECKING, Self

from dicomframe.errors import DicomFrameError

if TYPE_CHECKING:
    from dicomframe.service.patience import Patience
    from dicomframe.service.service import Service

#: The service holds patient data and has no encryption: it answers this machine only.
HOST = "127.0.0.1"
_SECONDS_TO_START = 120
_SECONDS_FOR_RUNNING_REQUESTS = 1


class Server:
    """A service that answers on loopback; also a context manager.

    Parameters
    ----------
    service : Service
        What is served. The server owns it: `stop` closes it, and so does a port that is taken.
    port : int
        0 takes any free port.
    patience : Patience, optional
        How long it waits for slow clients.

    Attributes
    ----------
    url : str
        The base URL, without a version.

    Raises
    ------
    DicomFrameError
        If the port is taken.

    Examples
    --------
    >>> from dicomframe.service.service import Service
    >>> with Server(Service.open()) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, service: Service, port: int = 0, patience: Patience | None = None) -> None:
        import uvicorn

        from dicomframe.service.patience import Patience, PatientServer, counting

        patience = patience or Patience()
        self._service = service
        try:
            self._socket = _listen(port)
        except DicomFrameError:
            service.close()
            raise
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            service.app,
            http=counting(_protocol(service)),
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_SECONDS_FOR_RUNNING_REQUESTS,
            limit_concurrency=patience.connections,
        )
        self._uvicorn = PatientServer(config, patience)
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([self._socket],), name="dicomframe-server", daemon=True
        )

    def start(self) -> None:
        """Start to answer; come back when it does."""
        self._thread.start()
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._uvicorn.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise DicomFrameError("The local service did not start.")
            time.sleep(0.002)

    def stop(self) -> None:
        """Stop to answer and close the service. Further calls do nothing."""
        if self._thread.is_alive():
            self._uvicorn.should_exit = True
            self._thread.join()
        self._socket.close()
        self._service.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve_forever(service: Service, port: int = 8080) -> None:
    """Serve until the process is told to end (SIGINT or SIGTERM); print the base URL when ready.

    Parameters
    ----------
    service : Service
        What is served; closed at the end.
    port : int
        0 takes any free port.
    """
    # pydicom's warnings can repeat values out of files, and standard error is a log.
    warnings.filterwarnings("ignore", module="pydicom")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    told_to_end = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        told_to_end.set()

    handlers = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Server(service, port) as server:
            print(server.url, flush=True)  # noqa: T201 - what whoever started it waits for
            told_to_end.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _protocol(service: Service) -> type[asyncio.Protocol]:
    """Give what speaks HTTP, or what can also cut connections where faults are injected."""
    if service.faults is None:
        from dicomframe.service.protocol import ServiceProtocol

        return ServiceProtocol
    from dicomframe.service.cutting import CuttableProtocol

    return CuttableProtocol


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1024)
    except (OSError, OverflowError):
        listener.close()
        raise DicomFrameError(
            f"Port {port} of {HOST} is taken or not allowed; choose another, or 0 for any free one."
        ) from None
    return listener
