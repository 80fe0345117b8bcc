"""Export: files of studies, series and instances to Azure Blob Storage, or by a local service to a folder."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from dicomframe.client.addresses import addresses_of
from dicomframe.client.operations import Operation
from dicomframe.client.progress import Progress
from dicomframe.client.session import Session
from dicomframe.errors import NotBuiltError, NotFoundError, QueryError

#: Instead of studies: all that the service, or its data partition, holds.
EVERYTHING = "all"


def export(session: Session, what: Any, to: Any, progress: Progress = False) -> Operation:
    """Begin an export; `dicomframe.client.client.Client.export` documents it."""
    body: dict[str, Any] = {}
    if not (isinstance(what, str) and what == EVERYTHING):
        identifiers = ["/".join(path.uids) for path in addresses_of(what)]
        if not identifiers:
            raise QueryError(
                f"There is nothing to export; for all that the service holds give {EVERYTHING!r}."
            )
        body["source"] = {"type": "identifiers", "settings": {"values": identifiers}}
    body["destination"] = destination_of(to, is_local=session.address.is_loopback)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        answer = session.request(
            "POST", "export", headers=headers, body=orjson.dumps(body), private=_secrets(body["destination"])
        )
    except (NotFoundError, NotBuiltError) as error:
        hint = error.hint
        if error.code != "NotInstalled":
            hint = "This server has no export; the Azure DICOM service has it."
        raise type(error)(error.status, error.route, error.code, error.message, error.details, hint) from None
    return Operation.of(session, answer, progress)


def destination_of(to: Any, *, is_local: bool) -> dict[str, Any]:
    """Write a destination as the service takes it.

    Parameters
    ----------
    to : str, path or mapping
        As for `Client.export`.
    is_local : bool
        Whether the service is on this machine, so that it may export to a folder.

    Raises
    ------
    QueryError
        If it is none that the service takes. The message holds nothing of it.

    Examples
    --------
    >>> destination_of("https://account.blob.core.windows.net/export", is_local=False)["settings"]
    {'blobContainerUri': 'https://account.blob.core.windows.net/export', 'useManagedIdentity': True}
    """
    if isinstance(to, Mapping):
        if set(to) != {"connection_string", "container"} or not all(
            isinstance(value, str) and value for value in to.values()
        ):
            raise QueryError("A destination's mapping holds connection_string and container, both texts.")
        settings: dict[str, Any] = {
            "connectionString": to["connection_string"],
            "blobContainerName": to["container"],
        }
        return {"type": "azureblob", "settings": settings}
    if isinstance(to, str) and "://" in to:
        return {"type": "azureblob", "settings": _container(to)}
    if not isinstance(to, str | PathLike) or not fspath(to):
        raise QueryError(
            "to= is a container's URL, {'connection_string': ..., 'container': ...}, or a folder of a local service."
        )
    if not is_local:
        raise QueryError("Only a local service exports to a folder; give the URL of a blob container.")
    return {"type": "folder", "settings": {"path": str(fspath(to))}}


def _container(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise QueryError("The container's URL cannot be read.") from None
    if parts.scheme not in {"http", "https"} or not host or not parts.path.strip("/") or parts.fragment:
        raise QueryError("A container's URL looks like https://<account>.blob.core.windows.net/<container>.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise QueryError("A container's URL must start with https://, so that no token goes over plain http.")
    if parts.username is not None:
        raise QueryError("A container's URL holds no user; access is given by a SAS token in its query.")
    # A SAS token and a managed identity exclude each other.
    return {"blobContainerUri": url, "useManagedIdentity": not parts.query}


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _secrets(destination: Mapping[str, Any]) -> list[str]:
    """Give the parts of a destination that an error message must not hold."""
    settings = destination["settings"]
    query = urlsplit(settings.get("blobContainerUri", "")).query
    secrets = [query, *(value for _, value in parse_qsl(query))] if query else []
    connection = settings.get("connectionString", "")
    pairs = (pair.partition("=") for pair in connection.split(";"))
    return (
        secrets
        + [connection] * bool(connection)
        + [
            value
            for name, _, value in pairs
            if name.strip().lower() in {"accountkey", "sharedaccesssignature"}
        ]
    )
