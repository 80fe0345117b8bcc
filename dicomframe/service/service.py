"""`Service`: one folder of stored instances and the settings under which it is served."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dicomframe.service.admission import Admission
from dicomframe.service.blobs import Blobs
from dicomframe.service.index import Index
from dicomframe.service.intake import Intake
from dicomframe.service.offload import Offload
from dicomframe.service.operations import Operations

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from dicomframe.service.inject import Faults

#: The partition that everything is in while data partitions are switched off.
DEFAULT_PARTITION = "Microsoft.Default"


class Service:
    """What the handlers work on; several may share one folder, in one process or in many.

    Use `open`.

    Parameters
    ----------
    index : Index
        What is stored.
    blobs : Blobs
        Its bytes.
    partitions : bool
        Whether data partitions are switched on.
    strict : bool
        Whether what the user's reference asks for and the real service refuses is refused.
    admission : Admission, optional
        The bearer tokens that requests must carry; by default none.
    temporary : Path, optional
        A folder that is removed at the end.
    operation_polls : int, optional
        How often an operation reports that it is running before it does its work, as for `Operations`.
    export_root : Path, optional
        The folder below which exports may write; without one, none goes to a folder.
    faults : Faults, optional
        The faults that are injected; None leaves the application as it is.

    Attributes
    ----------
    base_url : str
        What URLs in answers start with; empty for the address that the request came in on.
    """

    def __init__(
        self,
        index: Index,
        blobs: Blobs,
        *,
        partitions: bool = False,
        strict: bool = False,
        admission: Admission | None = None,
        temporary: Path | None = None,
        operation_polls: int | None = None,
        export_root: str | Path | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.index = index
        self.blobs = blobs
        self.partitions = partitions
        self.strict = strict
        self.admission = admission or Admission()
        self.export_root = None if export_root is None else Path(export_root)
        self.base_url = ""
        self.offload = Offload()
        self.intake = Intake(index, blobs, self.offload)
        self.operations = Operations(self, operation_polls)
        self.faults = faults
        self._temporary = temporary

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        partitions: bool = False,
        strict: bool = False,
        token: str | None = None,
        read_only_token: str | None = None,
        faults: Mapping[str, Any] | None = None,
        operation_polls: int | None = None,
        export_root: str | Path | None = None,
    ) -> Self:
        """Open a folder, or make one.

        Parameters
        ----------
        path : str or Path, optional
            The folder; by default a temporary one that is removed by `close`.
        partitions, strict, operation_polls, export_root
            As for `Service`.
        token, read_only_token
            As for `Admission`.
        faults : mapping, optional
            Faults to inject, see `dicomframe.service.faultplan`; ``{}`` injects none until it is told to.

        Raises
        ------
        QueryError
            If the faults are not understood.
        DicomFrameError
            If a token is empty, or another version of the index is in the folder.

        Examples
        --------
        >>> with Service.open() as service:
        ...     service.index.find(1, ["1.2.3"])
        []
        """
        admission = Admission(token, read_only_token)
        injected = None
        if faults is not None:
            from dicomframe.service.inject import Faults

            injected = Faults(faults)
        temporary = None if path is not None else Path(tempfile.mkdtemp(prefix="dicomframe-service-"))
        folder = temporary or Path(path or "")
        # A folder that is made here is its user's alone: patient data will be in it.
        folder.mkdir(0o700, parents=True, exist_ok=True)
        index = Index(folder / "index.sqlite")
        with index.standstill() as newest:
            # Within it, so that no other process takes this one's new folder for a dead one's.
            blobs = Blobs(folder / "blobs")
            blobs.sweep(newest)
        garbage = index.garbage()
        blobs.remove(garbage)
        index.forget(garbage)
        index.partition(DEFAULT_PARTITION, create=True)
        service = cls(
            index,
            blobs,
            partitions=partitions,
            strict=strict,
            admission=admission,
            temporary=temporary,
            operation_polls=operation_polls,
            export_root=export_root,
            faults=injected,
        )
        service.operations.resume()
        return service

    @cached_property
    def app(self) -> ASGIApp:
        """The ASGI application."""
        from dicomframe.service.app import create_app

        return create_app(self)

    def close(self) -> None:
        """Let go of the folder; no request may be running. Further calls do nothing."""
        self.offload.close()
        self.operations.close()
        self.index.close()
        self.blobs.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
