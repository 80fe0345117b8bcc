"""Slices to the page, by threads of their own: what is looked at first, then what the page asks for."""

from __future__ import annotations

import heapq
import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np

from dicomframe.errors import DicomFrameError
from dicomframe.widgets.painting import Slice

log = logging.getLogger(__name__)

#: Threads: so many retrievals at the same time, while others decode.
WORKERS = 4
#: Small slices travel together, up to so many bytes a message: a kernel passes on about a thousand messages a second.
MESSAGE_BYTES = 512 * 1024

#: Sends a message with its buffers.
Send = Callable[[dict[str, Any], list[Any]], None]


class Feed:
    """Gives the page what it asks for; it never sends what was not asked for, so the page governs the flow.

    Parameters
    ----------
    give : callable
        Makes a slice by its index.
    send : callable
        Sends a message with its buffers; called by the threads.
    bytes_each : int
        About how large a slice is.
    """

    def __init__(self, give: Callable[[int], Slice], send: Send, bytes_each: int) -> None:
        self._give = give
        self._send = send
        self._portion = max(MESSAGE_BYTES // max(bytes_each, 1), 1)
        self._asked: list[tuple[int, int, int]] = []
        self._number = count()
        self._ready = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def ask(self, indices: Sequence[int], *, first: bool) -> None:
        """Put slices into the queue, before all others if `first`."""
        with self._ready:
            for index in indices:
                heapq.heappush(self._asked, (0 if first else 1, next(self._number), index))
            if not self._threads and not self._is_closed:
                self._threads = [
                    threading.Thread(target=self._work, name=f"dicomframe-viewer-{number}", daemon=True)
                    for number in range(WORKERS)
                ]
                for thread in self._threads:
                    thread.start()
            self._ready.notify_all()

    def close(self) -> None:
        """Let the threads end; what is still in the queue is dropped."""
        with self._ready:
            self._is_closed = True
            self._asked.clear()
            self._ready.notify_all()

    def _next(self) -> list[int]:
        with self._ready:
            while not self._asked and not self._is_closed:
                self._ready.wait()
            portion = min(self._portion, len(self._asked))
            return [heapq.heappop(self._asked)[2] for _ in range(portion)]

    def _work(self) -> None:
        while indices := self._next():
            described, buffers = [], []
            for index in indices:
                try:
                    made = self._give(index)
                except DicomFrameError as error:
                    self._send({"kind": "failed", "index": index, "reason": str(error)}, [])
                except Exception as error:  # noqa: BLE001 - a thread that dies would leave the page waiting
                    # Not the error's own words: they may name a patient.
                    place = "".join(traceback.format_tb(error.__traceback__))
                    log.error("A slice for a viewer failed with %s\n%s", type(error).__name__, place)  # noqa: TRY400
                    self._send(
                        {"kind": "failed", "index": index, "reason": "an unexpected error; see the log"}, []
                    )
                else:
                    words, parts = packed(made)
                    described.append({"index": index, **words})
                    buffers.extend(parts)
            if described:
                self._send({"kind": "slices", "slices": described}, buffers)


def packed(made: Slice) -> tuple[dict[str, Any], list[Any]]:
    """Describe a picture for the page, and give its buffers in the order in which the page takes them."""
    layers: list[dict[str, Any]] = []
    buffers: list[Any] = [made.stored.data]
    for layer in made.layers:
        if layer.bits is not None:
            layers.append({"overlay": layer.overlay, "kind": "bits"})
            buffers.append(np.packbits(layer.bits).data)
        if layer.dose is not None:
            layers.append({"overlay": layer.overlay, "kind": "dose"})
            buffers.append(layer.dose.data)
        for points in layer.contours:
            layers.append({"overlay": layer.overlay, "kind": "contour"})
            buffers.append(points.data)
    words = {
        "rows": made.stored.shape[0],
        "columns": made.stored.shape[1],
        "samples": 3 if made.is_colour else 1,
        "type": made.stored.dtype.name,
        "slope": made.slope,
        "intercept": made.intercept,
        "units": list(made.units),
        "to_mm": None if made.to_mm is None else made.to_mm.tolist(),
        "layers": layers,
    }
    return words, buffers
