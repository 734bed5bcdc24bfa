"""Addresses: their hosts, and whether they are on this machine."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


def host_of(url: str) -> str:
    """Return the host of an address, "" where it has none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine."""
    return is_loopback_host(host_of(url))


def is_every_host(host: str) -> bool:
    """Return whether to listen at a host is to listen at all addresses of the machine."""
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host


def is_loopback_host(host: str) -> bool:
    """Return whether only programs of this machine reach a host."""
    host = host.strip("[]")
    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
