"""QIDO-RS: searching studies, series and instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dicomframe.client.facade.base import ClientBase
from dicomframe.client.search import PAGE_SIZE, Search
from dicomframe.dicom.paths import Level

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.tables.schema import DtypeBackend, OnBadValue


class SearchVerbs(ClientBase):
    """Searches (PS3.18 section 10.6)."""

    def search_studies(
        self,
        *,
        fuzzy: bool = False,
        fields: str | Sequence[str] | None = None,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> Search:
        """Search studies (QIDO-RS, PS3.18 section 10.6); nothing is sent until the search is read.

        Parameters
        ----------
        fuzzy : bool
            Whether person names match by the beginnings of their words.
        fields : str or sequence of str, optional
            Attributes to return beside the default ones, by keyword; ``"all"`` for all that the service has.
        limit : int, optional
            The most rows in all; by default all there are.
        page_size : int
            Rows to ask for at a time; the service takes at most 200.
        **filters
            What attributes must be, by keyword, or by eight hex digits in ``**{"00100020": ...}``. Text may hold the
            wildcards ``*`` and ``?``. Dates are dates, datetimes or text, ranges are ``(start, end)`` with None for an
            open end, or slices. A list means any of its values.

        Returns
        -------
        Search

        Raises
        ------
        QueryError
            If a filter is no keyword, or its value cannot be searched for.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     search = local.connect().search_studies(StudyDate=("2024-01-01", None), ModalitiesInStudy=["CT", "MR"])
        ...     len(search.to_frame())
        0
        """
        return Search.of(
            self.session,
            "study",
            filters=filters,
            fuzzy=fuzzy,
            fields=fields,
            limit=limit,
            page_size=page_size,
            progress=self.progress,
        )

    def search_series(
        self,
        study_uid: Any = None,
        *,
        fuzzy: bool = False,
        fields: str | Sequence[str] | None = None,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> Search:
        """Search series, in all studies or below some.

        Parameters
        ----------
        study_uid : str or list of str, optional
            The study, or studies, to search in.
        fuzzy : bool
            Whether person names match by the beginnings of their words.
        fields : str or sequence of str, optional
            Attributes to return beside the default ones, by keyword; ``"all"`` for all that the service has.
        limit : int, optional
            The most rows in all; by default all there are.
        page_size : int
            Rows to ask for at a time; the service takes at most 200.
        **filters
            What attributes must be, by keyword; `search_studies` tells of wildcards, ranges and lists.

        Returns
        -------
        Search

        Raises
        ------
        QueryError
            If a filter is no keyword, its value cannot be searched for, or a UID is malformed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     client.search_series(uids[0]).to_frame()["Modality"].tolist()
        ['CT']
        """
        return Search.of(
            self.session,
            "series",
            filters=filters,
            study_uid=study_uid,
            fuzzy=fuzzy,
            fields=fields,
            limit=limit,
            page_size=page_size,
            progress=self.progress,
        )

    def search_instances(
        self,
        study_uid: Any = None,
        series_uid: Any = None,
        *,
        fuzzy: bool = False,
        fields: str | Sequence[str] | None = None,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> Search:
        """Search instances, everywhere or below a study or series.

        Parameters
        ----------
        study_uid, series_uid : str or list of str, optional
            What to search in. A series without its study becomes a filter.
        fuzzy : bool
            Whether person names match by the beginnings of their words.
        fields : str or sequence of str, optional
            Attributes to return beside the default ones, by keyword; ``"all"`` for all that the service has.
        limit : int, optional
            The most rows in all; by default all there are.
        page_size : int
            Rows to ask for at a time; the service takes at most 200.
        **filters
            What attributes must be, by keyword; `search_studies` tells of wildcards, ranges and lists.

        Returns
        -------
        Search

        Raises
        ------
        QueryError
            If a filter is no keyword, its value cannot be searched for, or a UID is malformed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     len(client.search_instances(*uids[:2]).to_frame())
        1
        """
        return Search.of(
            self.session,
            "instance",
            filters=filters,
            study_uid=study_uid,
            series_uid=series_uid,
            fuzzy=fuzzy,
            fields=fields,
            limit=limit,
            page_size=page_size,
            progress=self.progress,
        )

    def collect(
        self,
        level: Level,
        searches: Sequence[Search],
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Read several searches of one level into one table, each UID once; the first one's limit holds for all.

        Parameters
        ----------
        level : {"study", "series", "instance"}
            What a row is; it types the table if there are no searches.
        searches : sequence of Search
            Of this client.
        dtype_backend, errors, progress
            As for `Search.to_frame`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     len(client.collect("study", [client.search_studies(), client.search_studies(PatientID="1CT1")]))
        1
        """
        search = Search.united(searches) if searches else Search(self.session, level, [])
        return search.to_frame(dtype_backend, errors, progress=progress)
