"""pydicom without its warnings, for one thread at a time."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Python's warning filters belong to the whole process: two threads must not save and restore them across each
#: other. Whoever changes them for a while takes this lock, the client in one thread and the service in another.
FILTERS_LOCK = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings back; they can repeat values out of files.

    Examples
    --------
    >>> with quiet():
    ...     warnings.warn("PatientName has 65 characters", stacklevel=1)
    """
    with FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
