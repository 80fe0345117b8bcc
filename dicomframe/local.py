"""``connect()``, ``start_local()`` and ``serve()``: the one place that joins the client and the local service."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dicomframe.errors import QueryError
from dicomframe.home import Home

if TYPE_CHECKING:
    from dicomframe.client.client import Client
    from dicomframe.service.inject import Faults

#: The environment variable that `connect` looks at first.
URL_VARIABLE = "DICOMFRAME_URL"


class LocalService:
    """A local DICOM service of this process, on loopback; also a context manager.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        The folder that keeps its data; by default a temporary one that goes when the service stops.
    port : int
        0 takes any free port.
    samples : bool
        Whether a new folder begins with the teaching cohort in it (`dicomframe.samples`). It is made once and kept
        in a per-user cache; what you store or delete here changes only this service, never the cache.
    partitions, strict, token, read_only_token, faults, operation_polls, export_root
        As for `start_local`.

    Attributes
    ----------
    url : str
        The base URL, without a version: ``"http://127.0.0.1:50123"``.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local() as local:
    ...     client = local.connect()
    ...     len(client.search_studies().to_frame())
    0
    """

    def __init__(
        self,
        path: str | Path | None = None,
        port: int = 0,
        *,
        samples: bool = False,
        partitions: bool = False,
        strict: bool = False,
        token: str | None = None,
        read_only_token: str | None = None,
        faults: Mapping[str, Any] | None = None,
        operation_polls: int | None = None,
        export_root: str | Path | None = None,
    ) -> None:
        from dicomframe.client.shielded import shielded
        from dicomframe.service.server import Server

        switches = {"samples": samples, "partitions": partitions, "strict": strict}
        _check(path, port, export_root, operation_polls, **switches)
        token, read_only_token = shielded(token), shielded(read_only_token)
        self._token: Any = token or read_only_token
        self._process = os.getpid()
        self._home = Home(path, samples=samples)
        try:
            service = self._home.open(
                partitions=partitions,
                strict=strict,
                token=token,
                read_only_token=read_only_token,
                faults=faults,
                operation_polls=operation_polls,
                export_root=export_root,
            )
            self._faults = service.faults
            self._server = Server(service, port)
            self._server.start()
        except BaseException:
            self._home.close()
            raise
        self.url: str = self._server.url
        atexit.register(self.stop)

    @property
    def faults(self) -> Faults:
        """The faults that are injected: ``local.faults.set(latency=0.2)``, ``.clear()``, ``.counts``.

        Raises
        ------
        QueryError
            If the service was started without ``faults=``.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(faults={"throttle": {"count": 1, "retry_after": 0}}) as local:
        ...     found = local.connect().search_studies().to_frame()
        ...     len(found), local.faults.counts
        (0, {'throttle': 1})
        """
        if self._faults is None:
            raise QueryError("This service injects no faults; start it with faults={}, then they can be set.")
        return self._faults

    def connect(self, **options: Any) -> Client:
        """Give a client of this service, with its token.

        Parameters
        ----------
        **options
            As for `dicomframe.connect`; ``credential=None`` sends no token.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(token="secret") as local:
        ...     local.connect(api_version="v1").url == f"{local.url}/v1"
        True
        """
        return connect(self.url, **({"credential": self._token} | options))

    def stop(self) -> None:
        """Stop the service and, if it was a temporary one, remove its folder. Further calls do nothing.

        A process that was forked off leaves the service to the one that started it.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> local = dfr.start_local()
        >>> local.stop()
        """
        atexit.unregister(self.stop)
        if self._process != os.getpid():
            return
        self._server.stop()
        self._home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"LocalService({getattr(self, 'url', None)!r})"


def _check(path: Any, port: Any, export_root: Any, operation_polls: Any, **switches: Any) -> None:
    """Refuse arguments that no service can start with, before it makes a folder."""
    if not _is_whole(port):
        raise QueryError("port= is a whole number from 0, which takes any free port, to 65535.")
    if operation_polls is not None and (not _is_whole(operation_polls) or operation_polls < 0):
        raise QueryError("operation_polls= is a whole number from 0 on.")
    for name, given in {"path": path, "export_root": export_root}.items():
        if given is not None and not isinstance(given, str | os.PathLike):
            raise QueryError(f"{name}= is a folder, text or pathlib.Path, not {type(given).__name__}.")
    for name, given in switches.items():
        if not isinstance(given, bool):
            raise QueryError(f"{name}= is True or False, not {type(given).__name__}.")


def _is_whole(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def start_local(
    path: str | Path | None = None,
    port: int = 0,
    samples: bool = False,
    partitions: bool = False,
    strict: bool = False,
    token: str | None = None,
    faults: Mapping[str, Any] | None = None,
    operation_polls: int | None = None,
    read_only_token: str | None = None,
    export_root: str | Path | None = None,
) -> LocalService:
    """Start a local DICOM service inside this process.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        The folder that keeps its data; by default a temporary one that goes when the service stops.
    port : int
        0 takes any free port.
    samples : bool
        Whether a new folder begins with the teaching cohort in it.
    partitions : bool
        Whether data partitions are switched on.
    strict : bool
        Whether it refuses what the user's reference asks for and the real service does not have.
    token : str, optional
        A bearer token that requests must carry. If it is a JWT whose own claims say that it has ended, or that it is
        for another service, it is refused as the real service would refuse it.
    faults : mapping, optional
        Faults to inject: latency, throttling, resets, cut bodies, drifting pages, bad values; ``{}`` injects none
        until ``local.faults.set(...)`` does. See `dicomframe.service.faultplan`.
    operation_polls : int, optional
        How often a long operation (reindexing, a bulk update, an export) reports that it is running before it is done,
        so that lessons and tests see the same states on every run; by default it runs at once, in the background.
    read_only_token : str, optional
        A bearer token that may only read, as the role DICOM Data Reader; other verbs answer 403. Without ``token``
        nobody may write.
    export_root : str or pathlib.Path, optional
        The folder below which exports may write; without one, the service exports to no folder.

    Returns
    -------
    LocalService
        With ``url``, ``connect()`` and ``stop()``; also a context manager.

    Raises
    ------
    QueryError
        If an argument is none that is accepted.
    DicomFrameError
        If the port is taken, or no service can keep its data in the folder.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local() as local:
    ...     local.url.startswith("http://127.0.0.1:")
    True
    """
    return LocalService(
        path,
        port,
        samples=samples,
        partitions=partitions,
        strict=strict,
        token=token,
        read_only_token=read_only_token,
        faults=faults,
        operation_polls=operation_polls,
        export_root=export_root,
    )


def serve(
    path: str | Path | None = None,
    port: int = 8080,
    samples: bool = False,
    partitions: bool = False,
    strict: bool = False,
    token: str | None = None,
    faults: Mapping[str, Any] | None = None,
    operation_polls: int | None = None,
    read_only_token: str | None = None,
    export_root: str | Path | None = None,
) -> None:
    """Run a local service until the process is told to end; print one line with its base URL when it is ready.

    The parameters are those of `start_local`.
    """
    from dicomframe.service.server import serve_forever

    switches = {"samples": samples, "partitions": partitions, "strict": strict}
    _check(path, port, export_root, operation_polls, **switches)
    home = Home(path, samples=samples)
    try:
        service = home.open(
            partitions=partitions,
            strict=strict,
            token=token,
            read_only_token=read_only_token,
            faults=faults,
            operation_polls=operation_polls,
            export_root=export_root,
        )
        serve_forever(service, port)
    finally:
        home.close()


def connect(
    url: str | None = None,
    credential: Any = None,
    *,
    api_version: str = "v2",
    partition: str | None = None,
    max_workers: int = 8,
    timeout: tuple[float, float] = (5, 60),
    retries: int = 5,
    progress: bool | str = "auto",
    verify: bool | str = True,
) -> Client:
    """Connect to a DICOM service.

    Parameters
    ----------
    url : str, optional
        ``https://<workspace>-<service>.dicom.azurehealthcareapis.com``, or any DICOMweb base URL. By default
        ``$DICOMFRAME_URL``, else a local service with sample studies that lives as long as this process.
    credential : optional
        An azure-identity credential, a token, or a callable that returns one. None means
        ``DefaultAzureCredential`` for an Azure service and no credential for another.
    api_version : {"v2", "v1"}
        Which version of the API to speak; a URL that has a path of its own is taken as it is.
    partition : str, optional
        The data partition, where the service has them switched on.
    max_workers : int
        How many requests may run at the same time.
    timeout : (float, float)
        Seconds to wait for a connection, and for the next bytes of an answer.
    retries : int
        How often a request is tried again after throttling, 502, 503, 504 or a cut connection.
    progress : bool or "auto"
        Whether long calls show a bar; ``"auto"``: in terminals and notebooks.
    verify : bool or str
        Whether TLS certificates are checked, or the path of a CA bundle.

    Returns
    -------
    Client

    Raises
    ------
    QueryError
        If the URL is none.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local() as local:
    ...     dfr.connect(local.url).search_studies().to_frame().empty
    True
    """
    from dicomframe.client.client import Client
    from dicomframe.client.shielded import shielded

    credential = shielded(credential)
    if isinstance(url, LocalService):
        raise QueryError("connect() takes a URL; a local service gives its client itself: local.connect().")
    if url is None:
        url = os.environ.get(URL_VARIABLE) or _sample_service().url
    return Client(
        url,
        credential,
        api_version=api_version,
        partition=partition,
        max_workers=max_workers,
        timeout=timeout,
        retries=retries,
        progress=progress,
        verify=verify,
    )


class _Once:
    """Make a value at the first call, whichever thread it comes from."""

    def __init__(self, make: Callable[[], LocalService]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: LocalService | None = None

    def __call__(self) -> LocalService:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


_sample_service = _Once(lambda: LocalService(samples=True))
