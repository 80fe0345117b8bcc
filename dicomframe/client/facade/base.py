"""What all groups of verbs stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomframe.client.progress import Progress, check_progress

if TYPE_CHECKING:
    from dicomframe.client.retrieve import Retriever
    from dicomframe.client.session import Session


class ClientBase:
    """The state of a client; its verbs are added by the classes of this package.

    Attributes
    ----------
    url : str
        The base URL, version and partition included.
    max_workers : int
        How many requests may run at the same time.
    progress : bool or "auto"
        Whether long calls show a bar, unless they are told otherwise.
    session : Session
        The way to the service.
    """

    url: str
    max_workers: int
    session: Session
    progress: Progress
    _retriever: Retriever

    def _bar(self, progress: bool | str | None) -> Progress:
        """Give what one call was told about progress bars, by default what the client was told."""
        return self.progress if progress is None else check_progress(progress)
