"""``connect()``, ``start_local()`` and ``serve()``: the one place that joins the client and the local service."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import platformdirs
from filelock import FileLock, Timeout

from dicomframe.errors import DicomFrameError, QueryError

if TYPE_CHECKING:
    from dicomframe.client.client import Client
    from dicomframe.service.inject import Faults
    from dicomframe.service.service import Service

#: The environment variable that `connect` looks at first.
URL_VARIABLE = "DICOMFRAME_URL"
#: The environment variable that moves the cache of the sample studies.
CACHE_VARIABLE = "DICOMFRAME_CACHE"


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
    partitions, strict, token, faults, operation_polls
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
        faults: Mapping[str, Any] | None = None,
        operation_polls: int | None = None,
    ) -> None:
        from dicomframe.service.server import Server

        self._token = token
        self._home = _Home(path, samples=samples)
        service = self._home.open(
            partitions=partitions, strict=strict, token=token, faults=faults, operation_polls=operation_polls
        )
        self._faults = service.faults
        self._server = Server(service, port)
        self._server.start()
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
        """Give a client of this service; the options are those of `dicomframe.connect`."""
        return connect(self.url, **({"credential": self._token} | options))

    def stop(self) -> None:
        """Stop the service and, if it was a temporary one, remove its folder. Further calls do nothing."""
        atexit.unregister(self.stop)
        self._server.stop()
        self._home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"LocalService({self.url!r})"


def start_local(
    path: str | Path | None = None,
    port: int = 0,
    samples: bool = False,
    partitions: bool = False,
    strict: bool = False,
    token: str | None = None,
    faults: Mapping[str, Any] | None = None,
    operation_polls: int | None = None,
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
        A bearer token that requests must carry.
    faults : mapping, optional
        Faults to inject: latency, throttling, resets, cut bodies, drifting pages, bad values; ``{}`` injects none
        until ``local.faults.set(...)`` does. See `dicomframe.service.faultplan`.
    operation_polls : int, optional
        How often a long operation (reindexing, a bulk update, an export) reports that it is running before it is done,
        so that lessons and tests see the same states on every run; by default it runs at once, in the background.

    Returns
    -------
    LocalService
        With ``url``, ``connect()`` and ``stop()``; also a context manager.

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
        faults=faults,
        operation_polls=operation_polls,
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
) -> None:
    """Run a local service until the process is told to end; print one line with its base URL when it is ready.

    The parameters are those of `start_local`.
    """
    from dicomframe.service.server import serve_forever

    home = _Home(path, samples=samples)
    try:
        settings = {"partitions": partitions, "strict": strict, "token": token, "faults": faults}
        serve_forever(home.open(**settings, operation_polls=operation_polls), port)
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


class _Home:
    """The folder of a local service: the user's own, a temporary one, or this process's copy of the sample studies.

    Copies of the samples live in the cache itself, because hard links do not cross file systems. Each is kept locked
    by its process; the ones of processes that were killed are free, and go when the next one is made.
    """

    def __init__(self, path: str | Path | None, *, samples: bool) -> None:
        self._lock: FileLock | None = None
        self._temporary: Path | None = None
        if path is not None:
            self._folder = Path(path)
            if samples and not (self._folder / "index.sqlite").exists():
                _copy_samples(sample_folder(), self._folder)
        elif samples:
            self._temporary = self._copy_in_cache()
            self._folder = self._temporary
        else:
            self._temporary = Path(tempfile.mkdtemp(prefix="dicomframe-"))
            self._folder = self._temporary

    def _copy_in_cache(self) -> Path:
        source = sample_folder()
        running = source.parent / "running"
        running.mkdir(exist_ok=True)
        with FileLock(running / "sweep.lock"):
            for left in running.glob("*/"):
                lock = FileLock(left.with_suffix(".lock"), blocking=False)
                with contextlib.suppress(Timeout), lock:
                    shutil.rmtree(left, ignore_errors=True)
                    left.with_suffix(".lock").unlink(missing_ok=True)
            folder = running / secrets.token_hex(8)
            self._lock = FileLock(folder.with_suffix(".lock"))
            self._lock.acquire()
            _copy_samples(source, folder)
        return folder

    def open(self, **settings: Any) -> Service:
        """Open a service on the folder.

        Raises
        ------
        DicomFrameError
            If no service can keep its data there.
        """
        from dicomframe.service.service import Service

        try:
            return Service.open(self._folder, **settings)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DicomFrameError(f"No service can keep its data in {self._folder}: {reason}.") from None

    def close(self) -> None:
        """Remove the folder if it was a temporary one."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)


def _copy_samples(source: Path, target: Path) -> None:
    """Copy a service's folder: object files, which are never changed in place, as hard links where that is possible."""

    def link(file: str, place: str) -> str:
        if file.endswith(".dcm"):
            with contextlib.suppress(OSError):
                os.link(file, place)
                return place
        return shutil.copy2(file, place)

    shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)


def sample_folder() -> Path:
    """Give the folder of a service with the teaching cohort in it, and make it at the first call of this user.

    It lies in the user's cache folder, or in ``$DICOMFRAME_CACHE``, under a name that holds a digest of the code that
    makes it. It must not be opened, only copied.

    Raises
    ------
    DicomFrameError
        If an instance of the cohort was not stored.
    """
    cache = Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("dicomframe", appauthor=False))
    folder = cache / f"samples-{_digest_of_makers()}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "samples.lock"):
        if not folder.exists():
            # What is here now was left by a process that was killed, or belongs to another version.
            for old in (*cache.glob("building-*"), *cache.glob("samples-*/")):
                shutil.rmtree(old, ignore_errors=True)
            building = cache / f"building-{secrets.token_hex(8)}"
            _store_cohort(building)
            building.rename(folder)
    return folder


def _store_cohort(folder: Path) -> None:
    from dicomframe.samples import cohort

    # One request at a time: the order of arrival is the order of every later search, and lessons must repeat.
    with LocalService(folder) as local:
        outcome = local.connect(max_workers=1).store(cohort())
    failed = outcome[outcome["status"] != "stored"]
    if len(failed):
        reason = failed["reason"].iloc[0]
        raise DicomFrameError(f"{len(failed)} of {len(outcome)} sample instances were not stored: {reason}")


def _digest_of_makers() -> str:
    """Tell one version of the cohort and of the service's folder from another."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for name in ("samples", "service", "dicom"):
        for source in sorted((package / name).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


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
