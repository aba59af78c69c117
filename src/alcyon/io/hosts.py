"""Hosts outside: which may be asked, and at which address.

A name is looked up once and the connection goes to the address that was checked, so a name that
means another machine a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from alcyon.domain.errors import AccessError, UnreachableError

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Outside:
    """What outside may be reached. hosts: by name, exactly; may_be_private: our own networks and
    this machine too, and plain http."""

    hosts: Collection[str]
    may_be_private: bool = False

    def checked(self, url: str) -> Target:
        """Where a URL leads. AccessError: it may not be asked; UnreachableError: no such host."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("https", "http") or not host:
            raise AccessError("it is no https URL")
        if parts.scheme == "http" and not self.may_be_private:
            raise AccessError(f"{host} would be told in the clear: use https")
        if host not in self.hosts:
            raise AccessError(f"{host} is not among the hosts that may be asked")
        try:
            port = parts.port or _PORTS[parts.scheme]
        except ValueError:
            raise AccessError(f"the port of {host} is none") from None
        return Target(parts.scheme, host, port, self._address(host, port))

    def _address(self, host: str, port: int) -> str:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(f"{host} is not found: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        # All must be fit: one that is not shows that somebody plays with the name.
        if not self.may_be_private and not all(map(is_public, addresses)):
            raise AccessError(f"{host} is at a private address, which is refused")
        return addresses[0]


@dataclass(frozen=True)
class Target:
    """A host, and the address that it was found at."""

    scheme: str
    host: str
    port: int
    address: str

    @property
    def netloc(self) -> str:
        """The address and port as a URL has them."""
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.port}"


def is_public(address: str) -> bool:
    """Whether an address is on the public internet.

    >>> [is_public(a) for a in ("8.8.8.8", "10.0.0.1", "127.0.0.1", "169.254.169.254")]
    [True, False, False, False]
    >>> [is_public(a) for a in ("::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1%eth0")]
    [False, False, False, False]
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
