"""Where an export goes: an Azure Blob container on this machine, or a folder below the one the service was given.

The service holds patient data and a request may name any destination, so nothing leaves the machine: only blob
endpoints on loopback are taken, no proxy is asked and no redirection followed, and no path leads out of the export
root. The real service takes any storage account that it is given access to.
"""

from __future__ import annotations

import ipaddress
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from dicomframe.service.faults import Fault, bad_request

#: The storage emulator's account: its name and key are the same on every machine, and published.
_EMULATOR_ACCOUNT: Final = "devstoreaccount1"
_EMULATOR_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_EMULATOR: Final = {
    "accountname": _EMULATOR_ACCOUNT,
    "accountkey": _EMULATOR_KEY,
    "blobendpoint": f"http://127.0.0.1:10000/{_EMULATOR_ACCOUNT}",
}
_BLOB_SETTINGS: Final = ("blobcontaineruri", "connectionstring", "blobcontainername", "usemanagedidentity")


class CannotPut(Exception):
    """A file could not be written to the destination; the message is for the error log."""


class Destination(Protocol):
    """What takes exported files. Names have slashes between folders."""

    def put(self, name: str, source: Path | bytes) -> None:
        """Write one file, over an older one of that name.

        Raises
        ------
        CannotPut
            If that fails.
        FileNotFoundError
            If the source is gone.
        """

    def href(self, name: str) -> str:
        """Give the URL of a file, without anything secret in it."""


def destination_of(given: Any, export_root: Path | None) -> Destination:
    """Read the destination of a request.

    Parameters
    ----------
    given : object
        ``{"type": "azureblob" | "folder", "settings": {...}}``; names in any letter case.
    export_root : Path, optional
        The folder that the service may write below.

    Raises
    ------
    Fault
        400 if it is malformed or leads anywhere else.
    """
    fields = lower_case(given)
    settings = lower_case(fields.get("settings"))
    kind = str(fields.get("type", "")).lower()
    if kind == "azureblob":
        return _blob_destination(settings)
    if kind == "folder":
        return FolderDestination(_below(export_root, settings))
    raise bad_request(
        "The destination's type must be azureblob, or folder where the service has an export root."
    )


def lower_case(given: Any) -> dict[str, Any]:
    """Give an object's fields by their names in lower case; of anything else, none."""
    return {str(name).lower(): value for name, value in given.items()} if isinstance(given, Mapping) else {}


def _below(root: Path | None, settings: Mapping[str, Any]) -> Path:
    path = settings.get("path")
    if root is None:
        raise bad_request("This service was started without an export root, so it exports to no folder.")
    if not isinstance(path, str) or "\0" in path or settings.keys() != {"path"}:
        raise bad_request("The settings of a folder are its path, a text.")
    whole = root.resolve()
    target = (whole / path).resolve()
    if not target.is_relative_to(whole):
        raise bad_request("The folder's path leads out of the service's export root.")
    return target


class FolderDestination:
    """A folder, made with the first file in it.

    Parameters
    ----------
    folder : Path
        Below the export root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, source: Path | bytes) -> None:
        """Write one file under a temporary name first."""
        path = self._folder / name
        part = self._folder / f".{secrets.token_hex(8)}.part"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, bytes):
                part.write_bytes(source)
            else:
                with source.open("rb") as read, part.open("xb") as write:
                    shutil.copyfileobj(read, write, 1 << 20)
            part.replace(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CannotPut(error.strerror or "The file cannot be written.") from None
        finally:
            with suppress(OSError):
                part.unlink()

    def href(self, name: str) -> str:
        """Give the file's URL."""
        return (self._folder / name).as_uri()


def _blob_destination(settings: Mapping[str, Any]) -> Destination:
    unknown = settings.keys() - set(_BLOB_SETTINGS)
    if unknown:
        raise bad_request(
            "The settings of azureblob are blobContainerUri, or connectionString and blobContainerName, and"
            " useManagedIdentity."
        )
    uri, connection, container, identity = (settings.get(name) or "" for name in _BLOB_SETTINGS)
    if not all(isinstance(each, str) for each in (uri, connection, container)):
        raise bad_request("The settings of azureblob must be texts.")
    if identity not in {"", True}:
        raise bad_request("useManagedIdentity must be true or false.")
    if bool(uri) == bool(connection or container):
        raise bad_request("Give either blobContainerUri, or connectionString and blobContainerName.")
    if identity:
        raise bad_request(
            "A local service has no managed identity: give a container URI with a SAS token, or a connection string"
            " of the storage emulator, and useManagedIdentity false."
        )
    if uri:
        address, _, token = uri.partition("?")
        _check_loopback(address)
        if not urlsplit(address).path.strip("/"):
            raise bad_request("blobContainerUri names no container.")
        return BlobDestination(address.rstrip("/"), token or None)
    return _of_connection_string(connection, container)


def _of_connection_string(connection: str, container: str) -> Destination:
    if not connection or not container or set("/?#") & set(container):
        raise bad_request("A connectionString needs a blobContainerName beside it, and the other way round.")
    pairs = (pair.partition("=") for pair in connection.split(";") if pair.strip())
    parts = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        parts = _EMULATOR
    endpoint = parts.get("blobendpoint", "").rstrip("/")
    _check_loopback(endpoint)
    account, key, token = (parts.get(name) for name in ("accountname", "accountkey", "sharedaccesssignature"))
    if key and account != _EMULATOR_ACCOUNT:
        raise bad_request("Account keys are taken of the storage emulator only; give a SAS token.")
    credential = {"account_name": _EMULATOR_ACCOUNT, "account_key": key} if key else token
    return BlobDestination(f"{endpoint}/{container}", credential)


def _check_loopback(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    # Nothing that the storage library may take for the end of the host, and no secrets outside their place.
    is_plain = url.isprintable() and not set(" \\@?#") & set(url)
    if not is_local or not is_plain or parts.scheme not in {"http", "https"}:
        raise bad_request(
            "A local service exports to blob endpoints on this machine only (the storage emulator on"
            " http://127.0.0.1), because it holds patient data."
        )


class BlobDestination:
    """A container of Azure Blob Storage.

    Parameters
    ----------
    url : str
        Of the container, without a query.
    credential : str or mapping, optional
        A SAS token, or the account's name and key.
    """

    def __init__(self, url: str, credential: str | dict[str, str] | None) -> None:
        try:
            from azure.storage.blob import ContainerClient
        except ImportError:
            raise Fault(
                HTTPStatus.NOT_IMPLEMENTED,
                "NotInstalled",
                "Exports to Azure Blob Storage need a package more: pip install 'dicomframe[export]'.",
            ) from None
        self._url = url
        self._container: Any = ContainerClient.from_container_url(
            url,
            credential,
            retry_total=2,
            retry_connect=0,  # where nobody listens on this machine, nobody soon will
            initial_backoff=1,
            increment_base=2,
            permit_redirects=False,
            use_env_settings=False,
        )

    def put(self, name: str, source: Path | bytes) -> None:
        """Upload one blob."""
        from azure.core.exceptions import AzureError

        try:
            if isinstance(source, bytes):
                self._container.upload_blob(name, source, overwrite=True)
                return
            with source.open("rb") as file:
                size = source.stat().st_size
                self._container.upload_blob(name, file, length=size, overwrite=True)
        except AzureError as error:
            raise CannotPut(f"The blob cannot be written: {_reason(error)}.") from None

    def href(self, name: str) -> str:
        """Give the blob's URL, without the token."""
        return f"{self._url}/{name}"


def _reason(error: Any) -> str:
    """Name what went wrong; the error's own words hold request and account."""
    return str(getattr(error, "error_code", "") or type(error).__name__)
