"""Long operations and the service itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomframe.client.doctor import doctor
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.operations import Operation
from dicomframe.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd


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
            return Operation(self.session, operation_id, self.progress)
        if not operation_id.replace("-", "").isalnum():
            raise QueryError("operation_id may hold letters, digits and hyphens only.")
        return Operation(self.session, f"operations/{operation_id}", self.progress)

    def doctor(self) -> pd.DataFrame:
        """Examine the way to the service, step by step. It only reads, and what fails is a row, never an exception.

        Returns
        -------
        pandas.DataFrame
            One row a check, in the order in which a request meets them: ``check`` (``"url"``, ``"name"``,
            ``"connection"``, ``"TLS"``, ``"token"``, ``"audience"``, ``"expiry"``, ``"roles"``, ``"reading"``,
            ``"versions"``, ``"clock"``, ``"change feed"``, ``"query tags"``), ``status`` (``"ok"``, ``"warning"``,
            ``"failed"``, ``"skipped"``), ``found`` and ``advice``. Neither tokens nor patient data are in it.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     checks = local.connect().doctor().set_index("check")
        >>> checks.loc[["url", "connection", "reading", "versions"], "status"].tolist()
        ['ok', 'ok', 'ok', 'ok']
        """
        return doctor(self.session)
