"""Extended query tags, and what can be searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dicomframe.client import querytags, searchability
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.operations import Operation
from dicomframe.dicom.paths import Level

if TYPE_CHECKING:
    import pandas as pd


class TagVerbs(ClientBase):
    """Which attributes are searchable, and how to make more so (the service's own API beside DICOMweb)."""

    def searchable(self, level: Level | None = None) -> pd.DataFrame:
        """Tell what can be searched by, and how.

        Parameters
        ----------
        level : {"study", "series", "instance"}, optional
            Only what a search for studies, series or instances takes; by default everything.

        Returns
        -------
        pandas.DataFrame
            One row an attribute: ``keyword`` (missing for private ones), ``tag``, ``vr``, ``level`` (whose attribute it
            is: a search for series also takes those of studies, below a given study only those of series),
            ``source``, the booleans ``ranges``, ``wildcards`` and ``fuzzy``, and ``status``. The source is
            ``"core"``: always searchable; ``"reference"``: searchable in the local service, in the cloud only as a
            tag (status ``"needs a tag"``); ``"extended"``: an extended query tag, whose status is ``"Ready"``,
            ``"Adding"``, ``"Deleting"`` or ``"Disabled"``.

        Raises
        ------
        QueryError
            If the level is none.
        ServiceError, TransportError
            If the service refuses to list its tags or does not answer; one that has none is no error.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     table = local.connect().searchable("series")
        >>> table.loc[table["level"] == "series", "keyword"].tolist()[:3]
        ['SeriesInstanceUID', 'Modality', 'PerformedProcedureStepStartDate']
        """
        return searchability.searchable(self.session, level)

    def query_tags(self) -> pd.DataFrame:
        """List the extended query tags.

        Returns
        -------
        pandas.DataFrame
            One row a tag, in the service's order: ``path`` (eight hex digits), ``keyword``, ``vr``, ``level``,
            ``status`` (Adding, Ready, Deleting), ``query_status`` (Enabled, Disabled), ``errors`` (Int64: instances
            that could not be indexed), ``operation_id`` while one works on it, ``private_creator``.

        Raises
        ------
        NotFoundError
            If the server has no extended query tags.
        ServiceError, TransportError
            If it refuses or does not answer.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     operation = client.add_query_tags({"KVP": "Series"}).wait()
        ...     client.query_tags()[["keyword", "status"]].values.tolist()
        [['KVP', 'Ready']]
        """
        return querytags.query_tags(self.session)

    def query_tag(self, tag: str) -> pd.DataFrame:
        """Tell how one extended query tag stands.

        Parameters
        ----------
        tag : str
            Its keyword or eight hex digits.

        Returns
        -------
        pandas.DataFrame
            One row, as `query_tags` has it.

        Raises
        ------
        QueryError
            If it names no attribute.
        NotFoundError
            If there is no such tag.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     operation = client.add_query_tags({"KVP": "Series"}).wait()
        ...     client.query_tag("KVP")["level"].tolist()
        ['Series']
        """
        return querytags.query_tag(self.session, tag)

    def query_tag_errors(self, tag: str) -> pd.DataFrame:
        """List the instances that an extended query tag could not index.

        Parameters
        ----------
        tag : str
            Its keyword or eight hex digits.

        Returns
        -------
        pandas.DataFrame
            One row an instance: its three UIDs, ``created`` (datetime64[us, UTC]), ``message``, ``partition``. It can
            be given to what takes tables with UIDs, such as `download`.

        Raises
        ------
        QueryError
            If it names no attribute.
        NotFoundError
            If there is no such tag.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     operation = client.add_query_tags({"KVP": "Series"}).wait()
        ...     len(client.query_tag_errors("KVP"))
        0
        """
        return querytags.query_tag_errors(self.session, tag)

    def add_query_tags(
        self,
        tags: Mapping[str, str] | Iterable[Mapping[str, str]],
        *,
        progress: bool | str | None = None,
    ) -> Operation:
        """Make attributes searchable; the service indexes what is stored in the background.

        Parameters
        ----------
        tags : mapping or list of mapping
            Attribute, by keyword or eight hex digits, to its level: ``{"BodyPartExamined": "Series"}``. Or objects of
            ``path``, ``level`` and, for private attributes, ``vr`` and ``privateCreator``. The level is Study, Series
            or Instance; of a study or series the value of the instance stored last counts.
        progress : bool or "auto", optional
            Whether `Operation.wait` shows a bar; by default the client's.

        Returns
        -------
        Operation
            What indexes them; they can be searched by when it has ended.

        Raises
        ------
        QueryError
            If an attribute is unknown, is searchable already, or is of a VR that cannot be searched, such as SQ.
        ConflictError
            If one of them exists, or if another operation is running: ``error.operation_id`` tells which, to be waited
            for with ``client.operation(error.operation_id).wait()``.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     operation = client.add_query_tags({"BodyPartExamined": "Series"}).wait()
        ...     operation.status, len(client.search_series(BodyPartExamined="CHEST").to_frame())
        ('succeeded', 0)
        """
        return querytags.add_query_tags(self.session, tags, self._bar(progress))

    def reindex_query_tag(self, tag: str, *, progress: bool | str | None = None) -> Operation:
        """Index all instances by an extended query tag once more.

        Parameters
        ----------
        tag : str
            Its keyword or eight hex digits.
        progress : bool or "auto", optional
            Whether `Operation.wait` shows a bar; by default the client's.

        Returns
        -------
        Operation
            What indexes them. If the service is still at it since the tag was added, that operation.

        Raises
        ------
        NotBuiltError
            If the service cannot do that, as the one in the cloud, which indexes once, when a tag is added. Deleting
            the tag and adding it again would come to the same, but takes the searches away meanwhile.
        NotFoundError
            If there is no such tag.
        ConflictError
            If another operation is running; see `add_query_tags`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     operation = client.add_query_tags({"KVP": "Series"}).wait()
        ...     client.reindex_query_tag("KVP").wait().status
        'succeeded'
        """
        return querytags.reindex_query_tag(self.session, tag, self._bar(progress))

    def update_query_tag(self, tag: str, *, enabled: bool) -> pd.DataFrame:
        """Let an extended query tag be searched by, or not.

        An error disables a tag. Once it is enabled again, its searches miss the instances that could not be indexed,
        and say so: `ErroneousAttributesWarning`.

        Parameters
        ----------
        tag : str
            Its keyword or eight hex digits.
        enabled : bool
            Whether it may be searched by.

        Returns
        -------
        pandas.DataFrame
            One row, as `query_tags` has it.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     operation = client.add_query_tags({"KVP": "Series"}).wait()
        ...     client.update_query_tag("KVP", enabled=False)["query_status"].tolist()
        ['Disabled']
        """
        return querytags.update_query_tag(self.session, tag, enabled=enabled)

    def delete_query_tag(
        self,
        tag: str,
        *,
        wait: bool = True,
        background: bool = False,
        progress: bool | str | None = None,
    ) -> Operation | None:
        """Take an extended query tag away; the studies stay as they are.

        Parameters
        ----------
        tag : str
            Its keyword or eight hex digits.
        wait : bool
            Whether to wait for the end where the service does it in the background.
        background : bool
            Whether to ask the service for that (``Prefer: respond-async``); one that does not know it does it at once.
        progress : bool or "auto", optional
            Whether waiting shows a bar; by default the client's.

        Returns
        -------
        Operation or None
            None if it was gone with the answer.

        Raises
        ------
        NotFoundError
            If there is no such tag.
        BadRequestError, ConflictError
            If it is being indexed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     operation = client.add_query_tags({"KVP": "Series"}).wait()
        ...     gone = client.delete_query_tag("KVP")
        ...     len(client.query_tags())
        0
        """
        return querytags.delete_query_tag(
            self.session, tag, wait=wait, background=background, progress=self._bar(progress)
        )
