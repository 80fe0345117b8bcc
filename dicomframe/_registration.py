"""Gives tables their ``.dicom`` as soon as there are tables: when pandas has been loaded, by whomever, and no sooner.

``dicomframe serve`` needs no tables, and pandas takes longer to load than all that it does need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

_PANDAS: Final = "pandas"
_ACCESSOR: Final = "dicomframe.accessor"


class _Waiting:
    """Has the accessor registered at the end of pandas' own import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PANDAS:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        # The specification may be made only to see whether there is a pandas: nothing happens until it is loaded.
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            import_module(_ACCESSOR)

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def register_with_pandas() -> None:
    """Register the accessor, now or as soon as pandas is loaded."""
    if _PANDAS in sys.modules:
        import_module(_ACCESSOR)
    else:
        sys.meta_path.insert(0, _Waiting())
