"""Where a service is: its base URL, who may see the token, and routes out of URLs that a server sends back.

Examples
--------
>>> address = ServiceAddress.parse("https://ws-name.dicom.azurehealthcareapis.com", partition="trial")
>>> address.base
'https://ws-name.dicom.azurehealthcareapis.com/v2/partitions/trial'
>>> address.local_route("http://inside:8080/v2/partitions/trial/studies/1.2/metadata")
'studies/1.2/metadata'
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, quote, urlsplit

from dicomframe.errors import QueryError, UnexpectedAnswerError

#: Host names of the cloud service end so.
AZURE_SUFFIX = ".azurehealthcareapis.com"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SPACE = re.compile(r"\s")
_PARTITION = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
# The resources below a base; a server behind a gateway does not know the path in front of them.
_RESOURCE = re.compile(
    r"/((?:studies|series|instances|workitems|operations|changefeed|extendedquerytags|bulkdata)(?:/.*)?)$",
    re.IGNORECASE,
)
# Resources of the service as a whole, which lie outside its data partitions.
_WITHOUT_PARTITION = frozenset({"changefeed", "extendedquerytags", "operations", "partitions"})
# What a URL that was copied from a single request ends with.
_REQUEST_AT_END = re.compile(
    r"(?<!/partitions)/(?:studies(?:/.*)?|series|instances|workitems|changefeed(?:/latest)?|extendedquerytags)$",
    re.IGNORECASE,
)
_LOOKS_LIKE = "https://<workspace>-<service>.dicom.azurehealthcareapis.com"
_PARTITION_AT_END = re.compile(r"/partitions/[^/]+$", re.IGNORECASE)
# Sent as they are: Orthanc compares a query value without percent-decoding it.
_LITERAL = "^*,?~"


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """The one place that requests, and the token, may go to.

    Parameters
    ----------
    base : str
        The URL in front of ``/studies``, without a slash at the end.
    origin : str
        Scheme, host and port of it.
    host : str
        The host alone, as messages name it.
    is_loopback : bool
        Whether it is this machine.
    is_azure : bool
        Whether it is the cloud service, whose tokens ``DefaultAzureCredential`` gets.
    """

    base: str
    origin: str
    host: str
    is_loopback: bool
    is_azure: bool

    @classmethod
    def parse(cls, url: str, api_version: str = "v2", partition: str | None = None) -> Self:
        """Read a service's URL.

        Parameters
        ----------
        url : str
            ``https://host`` gets the version and the partition; a URL with a path of its own is taken whole.
        api_version : {"v2", "v1"}
            The version of the API.
        partition : str, optional
            The data partition.

        Raises
        ------
        QueryError
            If it is no http or https URL, holds a user, query or fragment, or version or partition are malformed.
        """
        parts = _split(url)
        if api_version not in {"v1", "v2"}:
            raise QueryError("api_version must be 'v1' or 'v2'.")
        if partition is not None and not (isinstance(partition, str) and _PARTITION.fullmatch(partition)):
            raise QueryError("A partition's name is 1 to 64 letters, digits, '.', '-' and '_'.")
        origin = _origin(parts)
        path = parts.path.rstrip("/") or f"/{api_version}"
        if partition is not None and "/partitions/" not in path:
            path += f"/partitions/{partition}"
        host = parts.hostname or ""
        is_azure = host.endswith(AZURE_SUFFIX) and parts.scheme == "https"
        return cls(origin + path, origin, host, _is_loopback(host), is_azure)

    @property
    def keeps_secrets(self) -> bool:
        """Whether a token may be sent there: over https, or to this machine."""
        return self.is_loopback or self.origin.startswith("https://")

    def base_of(self, route: str) -> str:
        """Give the URL in front of a route: without the partition for what lies outside partitions.

        Examples
        --------
        >>> ServiceAddress.parse("https://host", partition="trial").base_of("changefeed/latest")
        'https://host/v2'
        """
        first = re.split(r"[/?]", route.lstrip("/"), maxsplit=1)[0].lower()
        return _PARTITION_AT_END.sub("", self.base) if first in _WITHOUT_PARTITION else self.base

    def has(self, url: str) -> bool:
        """Whether a URL is at this origin."""
        try:
            return _origin(urlsplit(url)) == self.origin
        except ValueError:
            return False

    def local_route(self, url: str) -> str:
        """Give the route, below the base, of a URL that the server sent.

        Whatever host it names, the request goes to this address: servers behind a gateway name inner hosts, and
        some forget their port.

        Raises
        ------
        UnexpectedAnswerError
            If it does not lie below the base and names no DICOMweb resource either.
        """
        try:
            parts = urlsplit(url.strip())
        except ValueError:
            parts = SplitResult("", "", "", "", "")
        base_path = urlsplit(self.base).path
        query = f"?{parts.query}" if parts.query else ""
        path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
        is_web = parts.scheme in {"", *_DEFAULT_PORTS}
        if is_web and "/../" not in f"{path}/" and not re.search(r"%2e|[\x00-\x20\\]", path, re.IGNORECASE):
            if path.lower().startswith(f"{base_path.lower()}/"):
                return path[len(base_path) + 1 :] + query
            resource = _first_resource(path)
            if resource:
                return resource + query
        raise UnexpectedAnswerError(
            200,
            "",
            message="the server sent a link that does not lead to a resource of this service",
            hint=f"It was not followed, because requests go only to {self.base}.",
        )


def _first_resource(path: str) -> str:
    """Give the path from its first DICOMweb resource name on."""
    for at in (match.start() for match in re.finditer("/", path)):
        match = _RESOURCE.match(path, at)
        if match:
            return match[1]
    return ""


def _split(url: str) -> SplitResult:
    if not isinstance(url, str):
        raise QueryError(f"The service's URL is text like {_LOOKS_LIKE}, not {type(url).__name__}.")
    try:
        parts = urlsplit(url.strip())
        bad_port = parts.port == 0
    except ValueError:
        raise QueryError(f"The service's URL cannot be read; it looks like {_LOOKS_LIKE}.") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or bad_port or _SPACE.search(parts.netloc):
        raise QueryError(
            f"The service's URL must start with https:// (or http://) and name a host, like {_LOOKS_LIKE}."
        )
    if parts.username is not None or parts.password is not None:
        raise QueryError("The service's URL holds a user or password; give credential= instead.")
    if parts.query or parts.fragment:
        raise QueryError("The service's URL must end before any '?' or '#'.")
    if "<" in parts.netloc:
        raise QueryError(
            "The service's URL still has <names> to fill in: the Azure portal shows the whole of it, as Service URL,"
            " on the page of the DICOM service."
        )
    if parts.scheme == "http" and parts.hostname.endswith(AZURE_SUFFIX):
        raise QueryError("The service on Azure speaks https only: let its URL start with https://.")
    if request := _REQUEST_AT_END.search(parts.path.rstrip("/")):
        part = request[0].split("/")[1]
        raise QueryError(
            f"The service's URL ends before '/{part}': give what stands in front of it. The methods add the rest."
        )
    return parts


def _origin(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{shown}{port}"


def _is_loopback(host: str) -> bool:
    # Names below .localhost should lead here (RFC 6761 section 6.3), but some resolvers ask the network for them.
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def encode_query(params: Sequence[tuple[str, str]]) -> str:
    """Write query parameters: ``^ * , ?`` literally, a space as ``%20``, the rest as UTF-8 percent-encoded.

    Examples
    --------
    >>> encode_query([("PatientName", "Müller^A*"), ("StudyDescription", "Head & neck")])
    'PatientName=M%C3%BCller^A*&StudyDescription=Head%20%26%20neck'
    """
    return "&".join(f"{quote(name, safe='')}={quote(value, safe=_LITERAL)}" for name, value in params)
