"""Where a local service keeps its data: a folder of the user's, a temporary one, or a copy of the sample studies."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomframe.errors import DicomFrameError

if TYPE_CHECKING:
    from filelock import FileLock

    from dicomframe.service.service import Service

#: The environment variable that moves the cache of the sample studies.
CACHE_VARIABLE = "DICOMFRAME_CACHE"
#: What makes a folder a service's: it comes last into a copy.
_INDEX = "index.sqlite"
_ARRIVING = ".arriving-"


class Home:
    """The folder of a local service: the user's own, a temporary one, or this process's copy of the sample studies.

    Copies of the samples live in the cache itself, because hard links do not cross file systems. Each is kept locked
    by its process; the ones of processes that were killed are free, and go when the next one is made.
    """

    def __init__(self, path: str | Path | None, *, samples: bool) -> None:
        self._lock: FileLock | None = None
        self._temporary: Path | None = None
        if path is not None:
            self._folder = Path(path)
            if samples and not (self._folder / _INDEX).exists():
                copy_samples(self._folder)
        elif samples:
            self._temporary = self._copy_in_cache()
            self._folder = self._temporary
        else:
            self._temporary = Path(tempfile.mkdtemp(prefix="dicomframe-"))
            self._folder = self._temporary

    def _copy_in_cache(self) -> Path:
        from filelock import FileLock, Timeout

        running = _cache() / "running"
        running.mkdir(0o700, parents=True, exist_ok=True)
        with FileLock(running / "sweep.lock"):
            for left in running.glob("*/"):
                lock = FileLock(left.with_suffix(".lock"), blocking=False)
                with contextlib.suppress(Timeout), lock:
                    shutil.rmtree(left, ignore_errors=True)
                    left.with_suffix(".lock").unlink(missing_ok=True)
            folder = running / secrets.token_hex(8)
            self._lock = FileLock(folder.with_suffix(".lock"))
            self._lock.acquire()
        copy_samples(folder)
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


def copy_samples(target: Path) -> None:
    """Give a folder the files of a service with the teaching cohort in it, which is made at this user's first call.

    The cohort's own folder lies in the user's cache, or in ``$DICOMFRAME_CACHE``, under a name that holds a digest of
    the code that makes it. It is never opened, only copied, and under a lock: a process of another version that makes
    its own removes this one's. A folder that has become a service's while this process waited for the lock stays as it
    is: what the others stored there is theirs.

    Raises
    ------
    DicomFrameError
        If an instance of the cohort was not stored.
    """
    from filelock import FileLock

    cache = _cache()
    cache.mkdir(0o700, parents=True, exist_ok=True)
    source = cache / f"samples-{_digest_of_makers()}"
    with FileLock(cache / "samples.lock"):
        if not source.exists():
            # What is here now was left by a process that was killed, or belongs to another version.
            for old in (*cache.glob("building-*"), *cache.glob("samples-*/")):
                shutil.rmtree(old, ignore_errors=True)
            building = cache / f"building-{secrets.token_hex(8)}"
            _store_cohort(building)
            building.rename(source)
        _copy_whole(source, target)


def _copy_whole(source: Path, target: Path) -> None:
    """Copy a service's folder; whenever the process is killed, the target is a whole service's or none's at all."""
    target.mkdir(0o700, parents=True, exist_ok=True)
    # What is here now was left by a process that was killed: bytes without an index are nobody's.
    for left in target.glob(f"{_ARRIVING}*"):
        shutil.rmtree(left, ignore_errors=True)
    arriving = target / f"{_ARRIVING}{secrets.token_hex(8)}"
    shutil.copytree(source, arriving, copy_function=_link)
    if not (target / _INDEX).exists():
        shutil.rmtree(target / "blobs", ignore_errors=True)
        for path in sorted(arriving.iterdir(), key=lambda path: path.name == _INDEX):
            path.rename(target / path.name)
    shutil.rmtree(arriving)


def _link(file: str, place: str) -> str:
    """Copy a file; object files, which are never changed in place, as hard links where that is possible."""
    if file.endswith(".dcm"):
        with contextlib.suppress(OSError):
            os.link(file, place)
            return place
    return shutil.copy2(file, place)


def _cache() -> Path:
    import platformdirs

    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("dicomframe", appauthor=False))


def _store_cohort(folder: Path) -> None:
    from dicomframe.client.client import Client
    from dicomframe.samples import cohort_files
    from dicomframe.service.server import Server
    from dicomframe.service.service import Service

    # One request at a time: the order of arrival is the order of every later search, and lessons must repeat.
    with Server(Service.open(folder)) as server, Client(server.url, max_workers=1) as client:
        outcome = client.store(content for _, content in cohort_files())
    failed = outcome[outcome["status"] != "stored"]
    if len(failed):
        reason = failed["reason"].iloc[0]
        raise DicomFrameError(f"{len(failed)} of {len(outcome)} sample instances were not stored: {reason}")


def _digest_of_makers() -> str:
    """Tell one version of the cohort and of the service's folder from another."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for name in ("samples", "service", "dicom"):
        for source in sorted((package / name).rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
