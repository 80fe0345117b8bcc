"""Which programs may speak to a service: any on this machine, but no web page of another site in a browser on it.

A browser sends what a page asks it to send to loopback, too: a page may have it store, delete or export with a simple
POST, and read the answers where its own host name is made to resolve to 127.0.0.1 (DNS rebinding). Both show in headers
that a page cannot choose. Programs that are no browsers send no Origin, and name the host as they were told to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from dicomframe.service.faults import Fault

#: Names that nobody can register: this machine's (RFC 6761), and those that containers and virtual machines give it.
_OWN_SUFFIXES: Final = (".localhost", ".internal")
#: What nearly every request names; it need not be taken apart.
_USUAL_HOSTS: Final = {b"127.0.0.1", b"localhost"}
#: Names of one word are no site's either, and nobody else can register the real service's, which its documents name.
_REAL_SUFFIX: Final = ".azurehealthcareapis.com"


def check_sender(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Let a request pass, unless another site's page is behind it.

    Parameters
    ----------
    headers : iterable of (bytes, bytes)
        Names in lower case and values.

    Raises
    ------
    Fault
        421 where Host is a name that may be anybody's, 403 where Origin is another site.

    Examples
    --------
    >>> check_sender([(b"host", b"127.0.0.1:8080"), (b"origin", b"http://localhost:3000")])
    >>> try:
    ...     check_sender([(b"host", b"127.0.0.1:8080"), (b"origin", b"https://example.org")])
    ... except Fault as fault:
    ...     print(int(fault.status))
    403
    """
    given = {name: value for name, value in headers if name in {b"host", b"origin"}}
    if b"origin" not in given and given.get(b"host", b"").partition(b":")[0] in _USUAL_HOSTS:
        return
    host = _name(f"//{given.get(b'host', b'').decode('latin_1')}")
    if host is None or not (
        "." not in host or _is_address(host) or _is_own(host) or host.endswith(_REAL_SUFFIX)
    ):
        raise Fault(
            HTTPStatus.MISDIRECTED_REQUEST,
            "MisdirectedRequest",
            "This service answers to localhost and to addresses, not to other host names: a web page may be behind"
            " such a request.",
        )
    if b"origin" not in given:
        return
    origin = _name(given[b"origin"].decode("latin_1"))
    if not origin or not _is_own(origin):
        raise Fault(
            HTTPStatus.FORBIDDEN,
            "ForeignOrigin",
            "The request comes from a web page of another site (header Origin); pages of this machine are answered.",
        )


def _name(url: str) -> str | None:
    """Give the host that a URL names, in lower case; empty where it names none, None where it cannot be read."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return None


def _is_own(host: str) -> bool:
    if host == "localhost" or host.endswith(_OWN_SUFFIXES):
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(host: str) -> bool:
    """Whether it is an address, which no name server can turn into another."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
