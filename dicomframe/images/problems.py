"""What is found to be wrong while a volume is made, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dicomframe.images.geometry import FramePlane

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Problems:
    """What is found on the way; a typed table at the end."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, what: str, detail: str, *, where: str = "", uid: str = "", frame: int | None = None
    ) -> None:
        """Add a row; ``what`` is one of a few names, the rest is for people."""
        self.rows.append(
            {"what": what, "where": where, "SOPInstanceUID": uid, "frame": frame, "detail": detail}
        )

    def add_frames(self, what: str, planes: Sequence[FramePlane], detail: str) -> None:
        """Add a row for each object among the planes, with its frame if it is one of one."""
        frames: dict[str, list[int]] = defaultdict(list)
        for plane in planes:
            frames[plane.uid].append(plane.frame)
        for uid, numbers in frames.items():
            one = len(numbers) == 1
            text = (
                detail
                if one
                else f"{detail}; frames {min(numbers)} to {max(numbers)}, {len(numbers)} of them"
            )
            self.add(what, text, uid=uid, frame=numbers[0] if one else None)

    def table(self) -> pd.DataFrame:
        """Give the table, typed also when there is nothing in it."""
        import pandas as pd

        kinds = {
            "what": "string",
            "where": "string",
            "SOPInstanceUID": "string",
            "frame": "Int64",
            "detail": "string",
        }
        return pd.DataFrame(
            {
                name: pd.Series([row[name] if row[name] != "" else None for row in self.rows], dtype=kind)
                for name, kind in kinds.items()
            }
        )
