"""The state of a viewer, which Python and the page share: what each attribute may be, and what goes together."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from dicomframe.errors import QueryError
from dicomframe.images.layers import Overlays
from dicomframe.images.windowing import Window
from dicomframe.widgets.planes import Plane
from dicomframe.widgets.sources import Look, Source, check_index, is_index

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


class ViewerState(anywidget.AnyWidget):
    """Numbers only, since a notebook saves them; `Viewer` says what they mean."""

    _source: Source
    _look: Look
    _overlays: Overlays
    #: Whether several attributes are being set at once, by someone who keeps them together.
    _is_told = False

    # Those that may be None, or are narrower than their trait, have no type that traitlets could give.
    index = traitlets.Int(0).tag(sync=True)
    plane = traitlets.Unicode("slices").tag(sync=True)
    center: Any = traitlets.CFloat(None, allow_none=True).tag(sync=True)
    width: Any = traitlets.CFloat(None, allow_none=True).tag(sync=True)
    function: Any = traitlets.Enum(_FUNCTIONS, "LINEAR").tag(sync=True)
    lut: Any = traitlets.Int(None, allow_none=True).tag(sync=True)
    inverted = traitlets.Bool(False).tag(sync=True)
    zoom = traitlets.CFloat(1.0).tag(sync=True)
    pan = traitlets.List(traitlets.CFloat(), [0.0, 0.0], 2, 2).tag(sync=True)
    cursor: Any = traitlets.List(traitlets.Int(), None, 3, 3, allow_none=True).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    rate = traitlets.CFloat(10.0).tag(sync=True)
    visible = traitlets.List(traitlets.Bool()).tag(sync=True)
    opacities = traitlets.List(traitlets.CFloat()).tag(sync=True)

    def _plane(self) -> Plane:
        return self._source.planes[self.plane]

    @traitlets.validate("plane")
    def _check_plane(self, proposal: Any) -> str:
        if proposal["value"] not in self._source.planes:
            why = f" {self._look.note}" if self._look.note else ""
            raise QueryError(f"The planes of this viewer are {', '.join(self._source.planes)}.{why}")
        return str(proposal["value"])

    @traitlets.validate("index")
    def _check_index(self, proposal: Any) -> int:
        check_index(self._plane().count, proposal["value"])
        return int(proposal["value"])

    @traitlets.validate("cursor")
    def _check_cursor(self, proposal: Any) -> list[int] | None:
        place: list[int] | None = proposal["value"]
        plane = self._source.planes[self._source.acquired]
        sides = (plane.count, plane.rows, plane.columns)
        if place is not None and not all(0 <= at < side for at, side in zip(place, sides, strict=True)):
            raise QueryError(f"The crosshair must be inside {sides}: slice, row and column, each from 0.")
        return place

    @traitlets.validate("center", "width", "function")
    def _check_window(self, proposal: Any) -> Any:
        wanted = {name: getattr(self, name) for name in ("center", "width", "function")}
        wanted[proposal["trait"].name] = proposal["value"]
        if self._look.is_colour and (wanted["center"] is not None or wanted["width"] is not None):
            raise QueryError("A picture in colour has no window.")
        if wanted["center"] is not None and wanted["width"] is not None:
            Window(**wanted)
        return proposal["value"]

    @traitlets.validate("lut")
    def _check_lut(self, proposal: Any) -> int | None:
        number: int | None = proposal["value"]
        if number is not None and not is_index(number, len(self._look.luts)):
            raise QueryError(f"lut= counts the picture's VOI LUTs from 0; it has {len(self._look.luts)}.")
        return number

    @traitlets.observe("center", "width", "function")
    def _on_window(self, _: Any) -> None:
        if not self._is_told:
            self.lut = None

    @traitlets.validate("visible", "opacities")
    def _check_overlays(self, proposal: Any) -> Any:
        if len(proposal["value"]) != len(self._overlays):
            raise QueryError(f"There are {len(self._overlays)} overlays: give one value for each.")
        return proposal["value"]

    @traitlets.observe("plane")
    def _on_plane(self, _: Any) -> None:
        if not self._is_told:
            plane = self._plane()
            self.index = plane.count // 2 if self.cursor is None else self.cursor[plane.axis]

    @traitlets.observe("index")
    def _on_index(self, _: Any) -> None:
        if not self._is_told and self.cursor is not None:
            self.cursor = [
                self.index if axis == self._plane().axis else at for axis, at in enumerate(self.cursor)
            ]

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take the state from the page, which keeps plane, index and crosshair together by itself."""
        self._is_told = True
        try:
            super().set_state(sync_data)
        finally:
            self._is_told = False
