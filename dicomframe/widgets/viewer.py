"""The viewer: a stack of slices on a canvas in the notebook, whose state Python sees and sets.

Pixels go to the page as binary messages and are windowed there; the widget's state, which a notebook may save, holds
numbers only. The page's part is plain JavaScript in the files named in `_PARTS`; they are joined to one ES module,
because anywidget takes one and a bundler would be a tool chain for a thousand lines.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DicomFrameError
from dicomframe.images.layers import Overlays
from dicomframe.images.windowing import Window, WindowLike, as_window
from dicomframe.widgets.feed import Feed, packed
from dicomframe.widgets.painting import Slice, cut, dose_colours, lay_over, line_pixels, paint
from dicomframe.widgets.setup import setup_of
from dicomframe.widgets.sources import Source, as_source, check_index, is_index
from dicomframe.widgets.still import Still, png_of
from dicomframe.widgets.viewer_state import ViewerState

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.images.layers import Overlay
    from dicomframe.images.voi_luts import VoiLut
    from dicomframe.images.volume import Volume

_HERE = Path(__file__).parent
#: The order matters: the last one exports what the ones before it define.
_PARTS = ("viewer_pixels.js", "viewer_stack.js", "viewer_pane.js", "viewer_controls.js", "viewer.js")


class Viewer(ViewerState):
    """A viewer of one stack of slices; `df.dicom.view()` makes it for a series on a service.

    The wheel changes the slice, a drag windows, a click reads a value; the ``?`` in its corner lists the rest.

    Parameters
    ----------
    source : ndarray, Volume or Source
        An array of shape (rows, columns) or (slices, rows, columns), with (..., 3) of uint8 for RGB; or a volume.
    index : int, optional
        The slice to begin with, from 0; by default the middle one.
    window : Window, (center, width) or str, optional
        In the modality's unit, or the name of a preset for CT; by default the picture's own.
    overlays : sequence of Overlay
        Masks, contours and doses in the grid of the source.

    Attributes
    ----------
    index : int
        The slice shown, from 0, along the present plane.
    plane : str
        ``"axial"``, ``"coronal"`` or ``"sagittal"``, where the place in the patient is known; else ``"slices"``.
    center, width : float
        The window, in the modality's unit; ``function`` is its VOI LUT function. None for colour.
    lut : int or None
        Which of the picture's VOI LUTs is applied in place of the window, from 0. Setting the window takes it off. A
        picture with LUTs and no window begins with the first.
    inverted : bool
        Whether low values are white.
    zoom : float
        1 fits the picture in.
    pan : (float, float)
        How far the middle of the view is from that of the picture, in its columns and rows.
    cursor : list of int or None
        Slice, row and column of the crosshair.
    playing : bool
        Whether the cine runs, ``rate`` frames a second.
    visible, opacities : list
        One of each for each overlay; structures are lines, segments and doses are laid over.
    problems : pandas.DataFrame
        What of the overlays could not be used, and why; empty where all was.

    Raises
    ------
    QueryError
        If the source is none of these, there is no such slice, or the window is impossible. Later, setting an
        attribute to an impossible value raises it too.

    Notes
    -----
    Values wider than 32 bits are shown as float32. The page holds up to 128 MB of slices; of a larger stack it keeps
    those around the present one and has Python cut the other planes.

    Examples
    --------
    >>> view = Viewer(np.arange(64, dtype=np.int16).reshape(4, 4, 4), window=(32, 64))
    >>> view.index, view.center, view.snapshot().shape
    (2, 32.0, (4, 4, 3))
    >>> view.index = 3
    >>> view.close()
    """

    _esm = "\n".join((_HERE / part).read_text(encoding="utf-8") for part in _PARTS)
    _css = (_HERE / "viewer.css").read_text(encoding="utf-8")

    # Also of a viewer that could not be made: ipywidgets closes it all the same.
    _feed: Feed | None = None
    _still: Still | None = None

    def __init__(
        self,
        source: NDArray[Any] | Volume | Source,
        *,
        index: int | None = None,
        window: WindowLike | None = None,
        overlays: Sequence[Overlay] = (),
    ) -> None:
        chosen = as_window(window)
        self._source = as_source(source)
        self._overlays = Overlays(overlays)
        if isinstance(overlays, Overlays):
            self._overlays = overlays
        self._source.lay(self._overlays)
        check_index(self._source.count, index)
        first = self._source.count // 2 if index is None else index
        shown = self._source.slice(first)
        self._look = self._source.look(first)
        self._window = None if self._look.is_colour else chosen or self._look.window
        begins_with_lut = chosen is None and self._look.begins_with_lut
        self._begins_with = self._look.luts[0] if begins_with_lut else self._window
        self._feed = Feed(self._source.slice, self._tell, shown.stored.nbytes)
        self._bytes_each = shown.stored.nbytes
        self._is_told = True
        super().__init__(
            index=first,
            plane=self._source.acquired,
            lut=0 if begins_with_lut else None,
            inverted=self._look.inverted,
            rate=self._look.rate,
            visible=[True] * len(self._overlays),
            opacities=[1.0 if overlay.contours else 0.4 for overlay in self._overlays],
            **self._window_traits(),
        )
        self._is_told = False
        self.on_msg(self._hear)
        self._still = Still(self._still_bundle, lambda: self.comm is not None)

    def _window_traits(self) -> dict[str, Any]:
        if self._window is None:
            return {}
        return {
            "center": self._window.center,
            "width": self._window.width,
            "function": self._window.function,
        }

    @property
    def problems(self) -> pd.DataFrame:
        """What of the overlays could not be used, and why; as in `Overlays`.

        Examples
        --------
        >>> Viewer(np.zeros((4, 4, 4), np.int16)).problems.columns.tolist()
        ['label', 'what', 'where', 'detail']
        """
        return self._overlays.problems

    # -- what Python asks ------------------------------------------------------------------------------------------

    def snapshot(self) -> NDArray[np.uint8]:
        """Give the picture that is shown: one pixel a voxel, overlays included, without zoom and crosshair.

        Returns
        -------
        ndarray of uint8
            Shape (rows, columns, 3), RGB. Calculated here by the same functions (PS3.3 C.11.2.1.2), so that it needs
            no browser.

        Raises
        ------
        DicomFrameError
            If the slice cannot be retrieved or decoded.

        Examples
        --------
        >>> view = Viewer(np.array([[0, 50, 100]], np.uint8), window=(50.5, 101))
        >>> view.snapshot()[0, :, 0].tolist()
        [0, 128, 255]
        """
        picture = self._picture(self.plane, self.index)
        pixels = paint(picture, self._present_voi(), inverted=self.inverted)
        for layer in picture.layers:
            if self.visible[layer.overlay]:
                overlay = self._overlays[layer.overlay]
                table = dose_colours() if overlay.kind == "dose" else None
                laid = line_pixels(layer, picture.stored.shape[:2]) if overlay.contours else layer
                pixels = lay_over(pixels, laid, overlay.colour, table, self.opacities[layer.overlay])
        return pixels

    def value(self) -> float | tuple[int, int, int] | None:
        """Give the value under the crosshair, in the modality's unit; of colour the three parts.

        Returns
        -------
        float or (int, int, int) or None
            None without a crosshair.

        Examples
        --------
        >>> view = Viewer(np.array([[[0, 50, 100]]], np.int16))
        >>> view.cursor = [0, 0, 2]
        >>> view.value()
        100.0
        """
        if self.cursor is None:
            return None
        number, row, column = self.cursor
        made = self._source.slice(number)
        stored = made.stored[row, column]
        if made.is_colour:
            return int(stored[0]), int(stored[1]), int(stored[2])
        return float(stored) * made.slope + made.intercept

    def close(self) -> None:
        """End the viewer and free what it holds.

        Examples
        --------
        >>> view = Viewer(np.zeros((4, 4, 4), np.int16))
        >>> view.close()
        """
        if self._still is not None:
            self._still.close()
        if self._feed is not None:
            self._feed.close()
        super().close()

    def __repr__(self) -> str:
        unit = f" {self._look.unit}" if self._look.unit else ""
        window = "" if self.center is None else f", window {self.center:g}/{self.width:g}{unit}"
        window = window if self.lut is None else f", VOI LUT {self.lut}"
        return f"<Viewer: {self._what()}, {self.plane} {self.index}{window}>"

    def _what(self) -> str:
        plane = self._source.planes[self._source.acquired]
        what = f"{self._look.modality} " if self._look.modality else ""
        return f"{what}{plane.count} x {plane.rows} x {plane.columns}"

    def _present_voi(self) -> Window | VoiLut | None:
        if self.lut is not None:
            lut: VoiLut = self._look.luts[self.lut]
            return lut
        return None if self._window is None else Window(self.center, self.width, self.function)

    def _picture(self, plane: str, index: int) -> Slice:
        if plane == self._source.acquired:
            return self._source.slice(index)
        slices = [self._source.slice(number) for number in range(self._source.count)]
        return cut(slices, self._source.planes[plane], index)

    # -- the page --------------------------------------------------------------------------------------------------

    def _tell(self, content: dict[str, Any], buffers: list[Any]) -> None:
        if self.comm is not None:
            self.send(content, buffers)

    def _ask(self, indices: Sequence[Any], *, first: bool) -> None:
        if self._feed is not None:
            wanted = [index for index in indices if is_index(index, self._source.count)]
            self._feed.ask(wanted, first=first)

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        """Answer the page; its words are checked, since any code in a notebook can send them."""
        if not isinstance(content, dict):
            return
        kind, name = content.get("kind"), str(content.get("plane"))
        if kind == "ready":
            self._set_up(str(content.get("name", "")))
        elif kind == "ask" and isinstance(content.get("slices"), list):
            self._ask(content["slices"], first=bool(content.get("first")))
        elif kind == "ask_plane" and is_index(content.get("index"), self._count_of(name)):
            threading.Thread(target=self._cut, args=(name, content["index"]), daemon=True).start()

    def _count_of(self, plane: str) -> int:
        return self._source.planes[plane].count if plane in self._source.planes else 0

    def _set_up(self, name: str) -> None:
        content, tables = setup_of(
            self._source, self._look, self._begins_with, self._overlays, self._bytes_each
        )
        self._tell({**content, "name": name}, tables)
        if self.plane == self._source.acquired:
            # Before the page has read the message: it asks for this one first of all.
            self._ask([self.index], first=True)

    def _cut(self, plane: str, index: int) -> None:
        try:
            words, buffers = packed(self._picture(plane, index))
        except DicomFrameError as error:
            self._tell({"kind": "failed", "plane": plane, "index": index, "reason": str(error)}, [])
        except ValueError:  # from NumPy: slices of different sizes
            reason = "the slices make no plane"
            self._tell({"kind": "failed", "plane": plane, "index": index, "reason": reason}, [])
        else:
            self._tell({"kind": "plane", "plane": plane, "index": index, **words}, buffers)

    # -- the notebook ----------------------------------------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Give the live view, with a picture beside it for readers that have none."""
        bundle, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return bundle | self._still_bundle(), metadata

    def _ipython_display_(self) -> None:
        """Show the live view, and after it a picture that is renewed whenever the view has changed.

        They are two outputs: renewing the one output of a live view would build it anew under the user's hands. While
        the view is live, its style hides the picture.
        """
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        shell = get_ipython()
        if getattr(shell, "kernel", None) is None:
            print(repr(self))  # noqa: T201 - what a terminal shows of it
            return
        bundle, metadata = super()._repr_mimebundle_() or ({}, {})
        bundle["text/plain"] = f"Viewer of {self._what()}"
        display(bundle, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        if self._still is not None:
            self._still.show()
            self.observe(self._still.changed, [*self._drawn])

    #: What the picture depends on.
    _drawn = ("index", "plane", "center", "width", "function", "lut", "inverted", "visible", "opacities")

    def _still_bundle(self) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        try:
            pixels = self.snapshot()
        except DicomFrameError:
            # The live view says why; a reader of the saved notebook gets the words.
            return bundle
        return bundle | {"image/png": base64.b64encode(png_of(pixels, self._plane().spacing)).decode()}
