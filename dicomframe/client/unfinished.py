"""The unfinished files of a download: its own while its process lives; what a killed one left goes with the next."""

from __future__ import annotations

import itertools
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_LOCKS: Final = ".dicomframe-*.lock"


class Unfinished:
    """The names of files that are being written into a folder, and the lock that says whose they are.

    Where a file system has no locks, nothing is removed.

    Parameters
    ----------
    front : str
        The folder, with a separator behind it.
    """

    def __init__(self, front: str) -> None:
        from filelock import FileLock

        mark = f".dicomframe-{secrets.token_hex(8)}"
        self._front = f"{front}{mark}"
        self._numbers = itertools.count()
        self._lock = FileLock(f"{front}{mark}.lock", blocking=False, thread_local=False)

    def name(self) -> str:
        """Give the path of one more file."""
        return f"{self._front}-{next(self._numbers)}.part"

    def begin(self) -> None:
        """Remove what killed processes left in the folder, and say that this one lives."""
        from filelock import FileLock

        folder = Path(self._lock.lock_file).parent
        # filelock's Timeout is an OSError: another process has the lock.
        with suppress(OSError, NotImplementedError):
            for path in folder.glob(_LOCKS):
                with suppress(OSError, NotImplementedError), FileLock(path, blocking=False):
                    for part in folder.glob(f"{path.stem}-*.part"):
                        part.unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
            self._lock.acquire()

    def close(self) -> None:
        """Say that none are left."""
        if self._lock.is_locked:
            # In this order where open files cannot be removed.
            self._lock.release()
            with suppress(OSError):
                Path(self._lock.lock_file).unlink(missing_ok=True)
