"""The facade: every verb of the service as one method; and the way from a table back to its client."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dicomframe.client.bulkdata import BulkRetriever
from dicomframe.client.facade.collecting import CollectVerbs
from dicomframe.client.facade.downloading import DownloadVerbs
from dicomframe.client.facade.managing import ManageVerbs
from dicomframe.client.facade.overlaying import OverlayVerbs
from dicomframe.client.facade.picturing import PictureVerbs
from dicomframe.client.facade.retrieving import RetrieveVerbs
from dicomframe.client.facade.searching import SearchVerbs
from dicomframe.client.facade.tagging import TagVerbs
from dicomframe.client.facade.unpacking import UnpackVerbs
from dicomframe.client.facade.updating import UpdateVerbs
from dicomframe.client.facade.watching import WatchVerbs
from dicomframe.client.facade.worklist import WorklistVerbs
from dicomframe.client.facade.writing import WriteVerbs
from dicomframe.client.frames import FrameRetriever
from dicomframe.client.picturecache import PictureCache
from dicomframe.client.progress import check_progress
from dicomframe.client.rendered import Renderer
from dicomframe.client.retrieve import Retriever
from dicomframe.client.session import Session
from dicomframe.client.shielded import shielded
from dicomframe.errors import NoClientError

if TYPE_CHECKING:
    import pandas as pd

#: The latest client of each service. They are kept, so that a table finds the one that made it in passing.
_clients: dict[str, Client] = {}


def client_for(url: str) -> Client:
    """Give the latest client of a service, which a table names by its URL.

    Parameters
    ----------
    url : str
        `Client.url`.

    Raises
    ------
    NoClientError
        If none has been made in this process.
    """
    client = _clients.get(url)
    if client is None:
        raise NoClientError(
            f"No client of {url} is connected in this process. Connect first: dicomframe.connect(url)."
        )
    return client


class Client(
    SearchVerbs,
    RetrieveVerbs,
    DownloadVerbs,
    PictureVerbs,
    UnpackVerbs,
    CollectVerbs,
    OverlayVerbs,
    WriteVerbs,
    UpdateVerbs,
    WatchVerbs,
    TagVerbs,
    ManageVerbs,
    WorklistVerbs,
):
    """A DICOM service (DICOMweb, PS3.18), through which tables, objects and files come and go.

    `dicomframe.connect` makes one. It may be used from many threads, and as a context manager.

    Parameters
    ----------
    url : str
        ``https://<workspace>-<service>.dicom.azurehealthcareapis.com``, or any DICOMweb base URL.
    credential : optional
        An azure-identity credential, a token, or a callable that returns one. None means ``DefaultAzureCredential``
        for an Azure service and no token for another.
    api_version : {"v2", "v1"}
        The version of the API; a URL with a path of its own is taken as it is.
    partition : str, optional
        The data partition.
    max_workers : int
        How many requests may run at the same time.
    timeout : (float, float)
        Seconds to wait for a connection, and for the next bytes of an answer.
    retries : int
        How often a request is sent again after 429, 502, 503, 504 or a cut connection.
    progress : bool or "auto"
        Whether long calls show a bar; ``"auto"``: in terminals and notebooks.
    verify : bool or str
        Whether TLS certificates are checked, or the path of a CA bundle.
    **transport
        ``adapter`` and ``backoff`` of `dicomframe.client.session.Session`, for tests and special transports.

    Attributes
    ----------
    url : str
        The base URL, version and partition included.
    max_workers, progress
        As given.
    session : Session
        The way to the service.

    Raises
    ------
    QueryError
        If an argument is malformed, or a token would go over plain http to another machine.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local() as local, dfr.connect(local.url) as client:
    ...     client.url == f"{local.url}/v2", len(client.search_studies().to_frame())
    (True, 0)
    """

    def __init__(
        self,
        url: str,
        credential: Any = None,
        *,
        api_version: str = "v2",
        partition: str | None = None,
        max_workers: int = 8,
        timeout: tuple[float, float] = (5, 60),
        retries: int = 5,
        progress: bool | str = "auto",
        verify: bool | str = True,
        **transport: Any,
    ) -> None:
        credential = shielded(credential)
        self.session = Session(
            url,
            credential,
            api_version=api_version,
            partition=partition,
            timeout=timeout,
            retries=retries,
            verify=verify,
            max_workers=max_workers,
            **transport,
        )
        self.url = self.session.base
        self.max_workers = max_workers
        self.progress = check_progress(progress)
        self._retriever = Retriever(self.session)
        self._frames = FrameRetriever(self._retriever)
        self._renderer = Renderer(self._retriever)
        self._pictures = PictureCache(self.session)
        self._bulkdata = BulkRetriever(self._retriever)
        _clients[self.url] = self

    def __repr__(self) -> str:
        # Tracebacks that list variables show one that could not be made, too.
        return f"Client({getattr(self, 'url', None)!r})"

    def __reduce__(self) -> Any:
        raise TypeError(
            "A client is neither pickled nor copied in depth: it holds connections, and a credential that is to stay "
            "here. Other processes connect anew: dfr.connect(url, credential); copy.copy(client) shares both."
        )

    def __copy__(self) -> Self:
        # The same connections and credential; only what is set on it, such as `progress`, is its own.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @property
    def partial(self) -> pd.DataFrame | None:
        """The table of what the last call that was interrupted (Ctrl-C, "Interrupt kernel") had done until then.

        None if none was. The ``KeyboardInterrupt`` carries the same table as ``table``. Rows of searches, metadata and
        the change feed are those that had come; tables of outcomes (`download`, `store`, `delete_many`, pictures, …)
        have a row for all that was asked for, with the status ``"interrupted"`` where nothing was begun.
        ``df.attrs["dicom"]["interrupted"]`` is True. `docs/interrupting.md` tells how to go on from there.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     local.connect().partial is None
        True
        """
        return self.session.partial

    def close(self) -> None:
        """Close the connections that are kept open, and forget `partial`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> dfr.connect("http://127.0.0.1:8080").close()
        """
        self.session.close()
        self.session.partial = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
