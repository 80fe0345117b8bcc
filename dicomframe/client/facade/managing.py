"""Long operations and the service itself."""

from __future__ import annotations

from dicomframe.client.facade.base import ClientBase
from dicomframe.client.operations import Operation
from dicomframe.errors import QueryError


class ManageVerbs(ClientBase):
    """What concerns the service rather than its studies."""

    def operation(self, operation_id: str) -> Operation:
        """Give a long operation by its identifier, to ask how it stands or to wait for its end.

        Parameters
        ----------
        operation_id : str
            `Operation.id`, or the URL that the service gave.

        Raises
        ------
        QueryError
            If it is no identifier. Whether the service knows it shows when the operation is asked for its status.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     client.operation("0123456789abcdef").id
        '0123456789abcdef'
        """
        if not isinstance(operation_id, str) or not operation_id:
            raise QueryError("operation_id must be the identifier of an operation, a text.")
        if "://" in operation_id:
            return Operation(self.session, operation_id, self._progress)
        if not operation_id.replace("-", "").isalnum():
            raise QueryError("operation_id may hold letters, digits and hyphens only.")
        return Operation(self.session, f"operations/{operation_id}", self._progress)
