"""Where a webhook may be sent: to public addresses, and to hosts that the configuration names."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only IPv6 addresses that are assigned. Outside are, among others, those that pass an IPv4 address to
a translator (NAT64) or to this machine's own IPv4 (mapped): `is_global` calls some of both global."""
_6TO4 = IPv6Network("2002::/16")
"""Global unicast, but they contain any IPv4 address."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to one host of the public internet.

    Not public are private, loopback, link-local, multicast, unspecified and reserved addresses, and IPv6 addresses
    that contain an IPv4 address. A text that is not an IP address is not public either.
    """
    match _parsed(address):
        case IPv4Address() as v4:
            return v4.is_global and not v4.is_multicast
        case IPv6Address() as v6:
            return v6.is_global and v6 in _GLOBAL_UNICAST and v6 not in _6TO4
    return False


def is_certainly_private(host: str) -> bool:
    """Whether a URL's host is private without a lookup: an IP literal that is not public, or `localhost`."""
    return not is_public(host) if is_ip_address(host) else host == "localhost" or host.endswith(".localhost")


def is_ip_address(text: str) -> bool:
    """Whether a text is an IP literal, without brackets."""
    return _parsed(text) is not None


def host_of(url: str) -> str:
    """Return the host of a URL, canonical."""
    return canonical(urlsplit(url).hostname or "")


def canonical(host: str) -> str:
    """Return a host in one spelling: lower case, without brackets and final dot, an IP literal in its short form."""
    name = host.lower().removeprefix("[").removesuffix("]").removesuffix(".")
    return str(_parsed(name) or name)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
