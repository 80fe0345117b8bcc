"""Typed pandas tables, pictures and a faithful local service for the Azure DICOM service.

Importing it gives tables their ``dicom`` accessor; everything heavier, pandas too, is loaded when it is first
used.

Examples
--------
>>> import dicomframe as dfr
>>> empty = dfr.from_json("[]", level="study")
>>> str(empty.dtypes["StudyDate"])
'datetime64[s]'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dicomframe._registration import register_with_pandas as _register_with_pandas
from dicomframe._version import __version__

if TYPE_CHECKING:
    from dicomframe.client.client import Client
    from dicomframe.client.workitemdata import new_workitem
    from dicomframe.cohorts.cohort import Cohort, cohort
    from dicomframe.lake.lake import Lake, open_lake, sync
    from dicomframe.local import LocalService, connect, start_local
    from dicomframe.tables.convert import from_json
    from dicomframe.tables.feed import from_change_feed
    from dicomframe.tables.joining import concat

#: Public name -> module that holds it (PEP 562: loaded at first use).
_HOME = {
    "Client": "dicomframe.client.client",
    "Cohort": "dicomframe.cohorts.cohort",
    "Lake": "dicomframe.lake.lake",
    "LocalService": "dicomframe.local",
    "cohort": "dicomframe.cohorts.cohort",
    "concat": "dicomframe.tables.joining",
    "connect": "dicomframe.local",
    "errors": "dicomframe.errors",
    "from_change_feed": "dicomframe.tables.feed",
    "from_json": "dicomframe.tables.convert",
    "new_workitem": "dicomframe.client.workitemdata",
    "open_lake": "dicomframe.lake.lake",
    "samples": "dicomframe.samples",
    "scaleout": "dicomframe.scaleout",
    "start_local": "dicomframe.local",
    "sync": "dicomframe.lake.lake",
}

__all__ = [
    "Client",
    "Cohort",
    "Lake",
    "LocalService",
    "__version__",
    "cohort",
    "concat",
    "connect",
    "from_change_feed",
    "from_json",
    "new_workitem",
    "open_lake",
    "start_local",
    "sync",
]

_register_with_pandas()


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'dicomframe' has no attribute {name!r}")
    module = import_module(home)
    _register_with_pandas()  # again: another thread may have been about to load pandas at the first time
    return module if home == f"dicomframe.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    # What a notebook completes: the names of the list, not what this module imports.
    return sorted({*__all__, *_HOME, *(name for name in globals() if name.startswith("__"))})
