"""Gives tables their ``.dicom`` as soon as there are tables: when pandas has been loaded, by whomever, and no sooner.

``dicomframe serve`` needs no tables, and pandas takes longer to load than all that it does need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

_PANDAS: Final = "pandas"
_ACCESSOR: Final = "dicomframe.accessor"
_NAME: Final = "dicom"


class Later:
    """Stands for the accessor until it is used for the first time.

    Nothing else of this package is loaded while pandas is: a thread that loads a module of ours, and waits for pandas,
    and the one that loads pandas would wait for each other.
    """

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __get__(self, table: Any, kind: type) -> Any:
        import_module(_ACCESSOR)  # which puts the accessor in this one's place
        if vars(self._kind).get(_NAME) is self:
            raise AttributeError(f"pandas was loaded a second time; its new tables have no .{_NAME}.")
        return getattr(kind if table is None else table, _NAME)


class _Registering(Loader):
    """Loads pandas as its own loader does, and gives its tables the accessor then.

    Its own loader is left as it is: it may load other modules too (an archive's does), or refuse to be changed.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        # Whoever looks at pandas without loading it asks for its source or data.
        if name == "_loader":  # a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        for holder, name in ((module.__spec__, "loader"), (module, "__loader__")):
            if getattr(holder, name, None) is self:
                setattr(holder, name, self._loader)
        self._loader.exec_module(module)
        for kind in (getattr(module, "DataFrame", None), getattr(module, "Series", None)):
            if isinstance(kind, type) and _NAME not in vars(kind):
                setattr(kind, _NAME, Later(kind))


class _Waiting:
    """Finds pandas as the other finders do, with a loader that gives tables the accessor.

    It stays when that is done: an import in another thread that goes through the finders would miss one of them if
    this were taken out.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PANDAS:
            return None
        others = (finder for finder in list(sys.meta_path) if finder is not self)
        # Old finders have no find_spec; Python passes over them, too.
        specs = (
            finder.find_spec(fullname, path, target) for finder in others if hasattr(finder, "find_spec")
        )
        spec = next((spec for spec in specs if spec is not None), None)
        # The specification may be made only to see whether there is a pandas: nothing happens until it is loaded.
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Registering(spec.loader)
        return spec


def register_with_pandas() -> None:
    """Register the accessor, now or as soon as pandas is loaded. May be called again."""
    if sys.modules.get(_PANDAS) is not None:
        import_module(_ACCESSOR)
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())
