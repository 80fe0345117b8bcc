"""UPS-RS: the worklist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dicomframe.client import workitems
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.search import PAGE_SIZE

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.client.workitemdata import Given
    from dicomframe.client.workitems import TransactionUID, WorkitemSearch


class WorklistVerbs(ClientBase):
    """Work items (PS3.18 section 11): created SCHEDULED, claimed, updated by whoever claimed them, ended."""

    def search_workitems(
        self,
        *,
        fuzzy: bool = False,
        fields: str | Sequence[str] | None = None,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        **filters: Any,
    ) -> WorkitemSearch:
        """Search work items (PS3.18 section 11.9); nothing is sent until the search is read.

        Parameters
        ----------
        fuzzy, fields, limit, page_size
            As for `search_studies`.
        **filters
            As for `search_studies`. The service searches by PatientName, PatientID, StudyInstanceUID,
            ProcedureStepState and ScheduledProcedureStepStartDateTime, and within sequences by
            ``ReferencedRequestSequence.AccessionNumber`` and ``.RequestedProcedureID`` and by the ``.CodeValue`` of
            ScheduledStationName-, -Class- and -GeographicLocationCodeSequence. Give those as
            ``**{"ReferencedRequestSequence.AccessionNumber": "A1"}``.

        Returns
        -------
        WorkitemSearch
            ``to_frame()`` gives one row a work item, named by its ``SOPInstanceUID``; its own columns are
            `dicomframe.client.workitems.COLUMNS`.

        Raises
        ------
        QueryError
            If a filter is no keyword, or its value cannot be searched for.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     uid = client.create_workitem(dfr.new_workitem(
        ...         ProcedureStepLabel="Read chest CT", ScheduledProcedureStepStartDateTime="2024-01-15T10:30:00",
        ...         ReferencedRequestSequence=[{"StudyInstanceUID": "1.2", "AccessionNumber": "A1"}],
        ...     ))
        ...     found = client.search_workitems(**{"ReferencedRequestSequence.AccessionNumber": "A1"}).to_frame()
        >>> found[["ProcedureStepState", "ProcedureStepLabel"]]
          ProcedureStepState ProcedureStepLabel
        0          SCHEDULED      Read chest CT
        """
        return workitems.WorkitemSearch.by(
            self.session,
            filters=filters,
            fuzzy=fuzzy,
            fields=fields,
            limit=limit,
            page_size=page_size,
            progress=self.progress,
        )

    def create_workitem(self, workitem: Given, uid: str | None = None) -> str:
        """Create a work item (PS3.18 section 11.4).

        Parameters
        ----------
        workitem : pydicom.Dataset or mapping
            A Dataset, DICOM JSON, or keywords and values. It must have what PS3.4 table CC.2.5-3 requires;
            `dicomframe.new_workitem` fills in what may be empty.
        uid : str, optional
            The work item's; by default its SOPInstanceUID, or a new one.

        Returns
        -------
        str
            The work item's UID.

        Raises
        ------
        QueryError
            If it cannot be sent, or has a Transaction UID already.
        BadRequestError
            If the service finds something missing or malformed; its ``details`` name each attribute.
        ConflictError
            If there is a work item with this UID.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     work = dfr.new_workitem(
        ...         ProcedureStepLabel="Read", ScheduledProcedureStepStartDateTime="2024-01-15T10:30:00"
        ...     )
        ...     uid = client.create_workitem(work)
        ...     len(client.search_workitems().to_frame())
        1
        """
        return workitems.create(self.session, workitem, uid)

    def retrieve_workitem(self, uid: str) -> Dataset:
        """Retrieve a work item (PS3.18 section 11.5), without its Transaction UID.

        Parameters
        ----------
        uid : str
            The work item's.

        Raises
        ------
        NotFoundError
            If there is no such work item.
        QueryError
            If the UID is malformed.

        Warns
        -----
        IssuesWarning
            If values could not be read; they are empty in the Dataset.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     work = dfr.new_workitem(
        ...         ProcedureStepLabel="Read", ScheduledProcedureStepStartDateTime="2024-01-15T10:30:00"
        ...     )
        ...     uid = client.create_workitem(work)
        ...     client.retrieve_workitem(uid).ProcedureStepState
        'SCHEDULED'
        """
        return workitems.retrieve(self.session, uid)

    def update_workitem(self, uid: str, changes: Given, transaction_uid: str | None = None) -> None:
        """Change attributes of a work item (PS3.18 section 11.6).

        Parameters
        ----------
        uid : str
            The work item's.
        changes : pydicom.Dataset or mapping
            As for `create_workitem`: the attributes that change. A sequence is replaced as a whole. Patient and state
            cannot be changed so.
        transaction_uid : str, optional
            What claiming it returned; only while nobody has claimed it is none needed, and none accepted.

        Raises
        ------
        BadRequestError
            If the service refuses: it is unknown, another's or ended, or the changes are not allowed.
        NotFoundError
            From services that answer so for an unknown one.
        QueryError
            If an argument is malformed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     work = dfr.new_workitem(
        ...         ProcedureStepLabel="Read", ScheduledProcedureStepStartDateTime="2024-01-15T10:30:00"
        ...     )
        ...     uid = client.create_workitem(work)
        ...     client.update_workitem(uid, {"ProcedureStepLabel": "Read twice"})
        ...     client.retrieve_workitem(uid).ProcedureStepLabel
        'Read twice'
        """
        workitems.update(self.session, uid, changes, transaction_uid)

    def change_workitem_state(
        self, uid: str, state: str, transaction_uid: str | None = None
    ) -> TransactionUID:
        """Claim, complete or cancel a work item (PS3.18 section 11.7).

        Parameters
        ----------
        uid : str
            The work item's.
        state : {"IN PROGRESS", "COMPLETED", "CANCELED"}
            ``"IN PROGRESS"`` claims it. Before it can be ``"COMPLETED"``, it must tell what was performed; before its
            owner can make it ``"CANCELED"``, when and why (PS3.4 section CC.2.5.1.1): update it first.
        transaction_uid : str, optional
            What claiming it returned. A claim without one makes a new one.

        Returns
        -------
        TransactionUID
            The lock of the work item: keep it, it cannot be asked for. It is text that shows itself as dots.

        Raises
        ------
        BadRequestError
            If the service refuses: another has claimed it, it has ended, or something it must tell is missing.
        NotFoundError
            If there is no such work item.
        QueryError
            If an argument is malformed, or ``transaction_uid`` is missing.

        Warns
        -----
        ServiceWarning
            If it was in that state already.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     work = dfr.new_workitem(
        ...         ProcedureStepLabel="Read", ScheduledProcedureStepStartDateTime="2024-01-15T10:30:00"
        ...     )
        ...     uid = client.create_workitem(work)
        ...     lock = client.change_workitem_state(uid, "IN PROGRESS")
        ...     client.retrieve_workitem(uid).ProcedureStepState
        'IN PROGRESS'
        """
        return workitems.change_state(self.session, uid, state, transaction_uid)

    def cancel_workitem(
        self,
        uid: str,
        reason: str | None = None,
        *,
        contact_uri: str | None = None,
        contact_name: str | None = None,
    ) -> None:
        """Request the cancellation of a work item (PS3.18 section 11.8), which is granted if nobody has claimed it.

        Parameters
        ----------
        uid : str
            The work item's.
        reason : str, optional
            Why.
        contact_uri, contact_name : str, optional
            Whom its performer may ask about it.

        Raises
        ------
        ConflictError
            If it is in progress (whoever claimed it cancels it by `change_workitem_state`), or has ended.
        NotFoundError
            If there is no such work item.
        QueryError
            If an argument is malformed.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     work = dfr.new_workitem(
        ...         ProcedureStepLabel="Read", ScheduledProcedureStepStartDateTime="2024-01-15T10:30:00"
        ...     )
        ...     uid = client.create_workitem(work)
        ...     client.cancel_workitem(uid, "The patient went home")
        ...     client.retrieve_workitem(uid).ProcedureStepState
        'CANCELED'
        """
        workitems.cancel(self.session, uid, reason, contact_uri, contact_name)
