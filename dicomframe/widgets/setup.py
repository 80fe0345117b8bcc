"""What the page of a viewer is told before any slice comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomframe.images.layers import largest_dose
from dicomframe.images.windowing import PRESETS, Window
from dicomframe.widgets.painting import LEAST_DOSE, dose_colours
from dicomframe.widgets.sources import Look, Source

if TYPE_CHECKING:
    from dicomframe.images.layers import Overlay, Overlays
    from dicomframe.images.voi_luts import VoiLut

#: Bytes of slices that the page holds; of larger stacks it keeps those around the present one.
HELD_BYTES = 128 * 1024 * 1024


def setup_of(
    source: Source, look: Look, voi: Window | VoiLut | None, overlays: Overlays, bytes_each: int
) -> tuple[dict[str, Any], list[memoryview]]:
    """Give the message that a viewer begins with, and its buffers: colours of each dose, then greys of each VOI LUT.

    It has texts from servers; they go by this message, because a trait would be saved in the notebook. `voi` is what
    the picture is first shown with, None for colour.
    """
    content = {
        "kind": "setup",
        "count": source.count,
        "bytes": bytes_each,
        "held": HELD_BYTES,
        "fits": source.count * bytes_each <= HELD_BYTES,
        "acquired": source.acquired,
        "planes": {name: plane.described() for name, plane in source.planes.items()},
        "affine": None if source.affine is None else source.affine[:3].T.tolist(),
        "title": look.title,
        "unit": look.unit,
        "note": look.note,
        "low": look.low,
        "high": look.high,
        "inverted": look.inverted,
        "isColour": look.is_colour,
        "presets": [] if voi is None else _presets(look, voi),
        "luts": [{"first": lut.first} for lut in look.luts],
        "missing": _missing(overlays),
        "overlays": [_described(overlay) for overlay in overlays],
    }
    tables = [dose_colours().data for overlay in overlays if overlay.kind == "dose"]
    return content, [*tables, *(lut.grey.data for lut in look.luts)]


def _presets(look: Look, begins_with: Window | VoiLut) -> list[dict[str, Any]]:
    """List what the page offers: what the viewer begins with, then what else the picture names, then the usual."""
    luts = [
        _preset(lut.name or f"VOI LUT {number + 1}", look.window, number)
        for number, lut in enumerate(look.luts)
    ]
    named = [(name or f"window {number}", window) for number, (name, window) in enumerate(look.windows, 1)]
    full = Window((look.low + look.high) / 2, (look.high - look.low) or 1.0, "LINEAR_EXACT")
    usual = [("full range", full)]
    if look.modality == "CT":
        usual += [(name, Window(*pair)) for name, pair in PRESETS.items()]
    if isinstance(begins_with, Window):
        others = [(name, window) for name, window in named if window != begins_with]
        own = [*(_preset(name, window) for name, window in [("default", begins_with), *others]), *luts]
    else:
        own = luts
    return [*own, *(_preset(name, window) for name, window in usual)]


def _preset(name: str, window: Window, lut: int | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "center": window.center,
        "width": window.width,
        "function": window.function,
        "lut": lut,
    }


def _missing(overlays: Overlays) -> str:
    problems = overlays.problems
    count = len(problems)
    kinds = ", ".join(problems["what"].unique()[:4])
    return f"Not shown: {count} part{'s' * (count != 1)} ({kinds}); see problems." if count else ""


def _described(overlay: Overlay) -> dict[str, Any]:
    is_dose = overlay.kind == "dose"
    return {
        "label": overlay.label,
        "kind": overlay.kind,
        "colour": [int(part) for part in overlay.colour],
        "unit": overlay.unit,
        "maximum": largest_dose(overlay) or 1.0 if is_dose else 1.0,
        "least": LEAST_DOSE,
        "isLines": bool(overlay.contours),
    }
