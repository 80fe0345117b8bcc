"""What all figures stand on: one that shows itself in a notebook, and texts that matplotlib writes as they are."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any, Final

from matplotlib.figure import Figure

from dicomframe.dicom.quiet import FILTERS_LOCK

#: Families with scripts that matplotlib's own font lacks, asked for only where they are installed.
_WIDER_FONTS: Final = (
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "Yu Gothic",
    "Malgun Gothic",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)


class ShownFigure(Figure):
    """A matplotlib figure that shows itself in a notebook, with no use of pyplot and its global state."""

    def draw(self, renderer: Any) -> None:
        """Draw it; a script for which no font is installed gives boxes, not warnings for each letter."""
        with FILTERS_LOCK, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*Glyph .* missing from")
            warnings.filterwarnings("ignore", message=".*Matplotlib currently does not support .* natively")
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", facecolor=self.get_facecolor())
        return buffer.getvalue()


def plain(text: str) -> str:
    r"""Keep matplotlib from reading a dollar sign as mathematics, and control characters out of the picture.

    Examples
    --------
    >>> print(plain("a$b" + chr(0x202E)))
    a\$b·
    """
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "·" for letter in text)
    return shown.replace("$", r"\$")


@cache
def families() -> list[str]:
    """Give the font families to write with: matplotlib's own, then installed ones with scripts that it lacks."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(family for family in _WIDER_FONTS if family in installed)]
