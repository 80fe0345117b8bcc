"""What starting costs: the import, and the service until it is ready."""

from __future__ import annotations

import statistics
import time

from measure import Row, local_service, python

READY_LIMIT = (
    "0.2 s of CPU; the rest is the reading of modules from disk, which varies with the machine: 0.2 to 1.1 s."
)

_IMPORT = """
import json, sys, time
began = time.process_time()
import pandas
middle = time.process_time()
import dicomframe
ended = time.process_time()
heavy = ["requests", "pydicom", "azure.identity", "matplotlib", "ipywidgets", "starlette"]
loaded = sum(name in sys.modules for name in heavy)
print(json.dumps({"pandas": middle - began, "ours": ended - middle, "heavy": loaded}))
"""


def rows(quick=False):
    """Give all rows."""
    taken = [python(_IMPORT) for _ in range(1 if quick else 7)]
    above = statistics.median(each["ours"] for each in taken) * 1000
    yield Row("import dicomframe, above import pandas", "", above, "ms CPU", 60)
    yield Row("heavy modules that it loads", "", max(each["heavy"] for each in taken), "modules", 0)
    ready = []
    for _ in range(1 if quick else 5):
        began = time.perf_counter()
        with local_service() as (url, _):
            assert url.startswith("http://127.0.0.1:")
            ready.append(time.perf_counter() - began)
    yield Row("dicomframe serve, until it is ready", "", statistics.median(ready), "s", 1, limit=READY_LIMIT)
