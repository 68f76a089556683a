"""The proxy of a request: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, evaluated here for every client of the project.

The rules are those of Go's programs, so of kubectl and helm (https://pkg.go.dev/golang.org/x/net/http/httpproxy).
Libraries differ from them and from each other: some do not accept an address without a scheme, CIDR ranges or IPv6
addresses in NO_PROXY, or a password that is not percent-encoded.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from defender_devops.errors import OperatorError

__all__ = ["InvalidProxy", "Proxy", "check_proxy_variables", "parse_proxy", "proxy_for"]

_VARIABLES: Final = {"https": ("HTTPS_PROXY", "https_proxy"), "http": ("HTTP_PROXY", "http_proxy")}
"""Variables by the scheme of the request's URL; the first that is not empty decides."""

_NO_PROXY: Final = ("NO_PROXY", "no_proxy")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LABEL: Final = r"[A-Za-z0-9_-]{1,63}"
_NAME: Final = rf"(?=[A-Za-z0-9]){_LABEL}(?:\.{_LABEL})*(?<=[A-Za-z0-9])\.?"
_ADDRESS: Final = re.compile(rf"(?P<host>\[[0-9A-Fa-f:.]+\]|{_NAME})(?::(?P<port>[^:]*))?")
_OTHER_SCHEMES: Final = frozenset({"socks", "socks4", "socks4a", "socks5", "socks5h", "ftp", "ws", "wss", "quic"})
"""Schemes that a message may repeat: anything else before `://` could be part of a password."""

_PORTS: Final = range(1, 65536)


class InvalidProxy(OperatorError):
    """An address of a proxy cannot be used. The message names its source, never its content: it may be a password."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        scheme: `http`, or `https` for TLS to the proxy itself.
        host: name or IP address, without brackets.
        port: port.
        username: None where the proxy needs no authentication.
        password: the password as it is, not percent-encoded.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: SecretStr | None = field(default=None)

    @property
    def url(self) -> str:
        """Its address, without credentials."""
        return f"{self.scheme}://{self._netloc}"

    def headers(self) -> dict[str, str]:
        """Return the headers of a CONNECT request: the credentials in UTF-8 (RFC 7617), where aiohttp has Latin-1."""
        if self.username is None:
            return {}
        password = self.password.get_secret_value() if self.password else ""
        encoded = base64.b64encode(f"{self.username}:{password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {encoded}"}

    def url_with_credentials(self) -> str:
        """Return its address with percent-encoded credentials, for libraries that accept nothing else."""
        if self.username is None:
            return self.url
        password = self.password.get_secret_value() if self.password else ""
        return f"{self.scheme}://{quote(self.username, safe='')}:{quote(password, safe='')}@{self._netloc}"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_proxy_variables() -> None:
    """Check the variables once at the start, so that an invalid one is reported before the first request.

    Raises:
        InvalidProxy: names the variable.
    """
    for scheme in _VARIABLES:
        _proxy_of_variable(scheme, *_values(scheme))


def proxy_for(url: str, *, loopback_is_direct: bool = False) -> Proxy | None:
    """Return the proxy for a request; None where it is sent directly.

    Link-local addresses are always direct: the metadata service of a managed identity is only on the node itself.

    Args:
        url: URL of the request.
        loopback_is_direct: whether localhost and loopback addresses need no NO_PROXY, as for kubectl.

    Raises:
        InvalidProxy: the variable for this URL is no address of a proxy.
    """
    parts = urlsplit(url)
    proxy = _proxy_of_variable(parts.scheme, *_values(parts.scheme)) if parts.scheme in _VARIABLES else None
    host = (parts.hostname or "").rstrip(".")
    if proxy is None or not host:
        return None
    exclusions = _exclusions(next((value for name in _NO_PROXY if (value := os.environ.get(name, "").strip())), ""))
    if exclusions.matches(host, parts.port or _DEFAULT_PORTS[parts.scheme], loopback=loopback_is_direct):
        return None
    return proxy


def parse_proxy(value: str, source: str) -> Proxy:
    r"""Parse the address of a proxy, with or without a scheme; credentials may contain raw `\`, `@`, `#` and `/`.

    Args:
        value: the address.
        source: what holds it, as the subject of the message: `HTTPS_PROXY`.

    Raises:
        InvalidProxy: it is none, or that of another protocol.
    """
    match = _SCHEME.match(value)
    scheme, remainder = (match[1].lower(), value[match.end() :]) if match else ("http", value)
    if scheme not in _DEFAULT_PORTS:
        protocol = f"has the scheme {scheme}" if scheme in _OTHER_SCHEMES else "has an unknown scheme"
        raise InvalidProxy(
            f"{source} {protocol}: only HTTP proxies are supported. Write http://host:port, or https://host:port for "
            "TLS to the proxy."
        )
    # The last @ ends the credentials, as no host name contains one: a raw password may.
    credentials, has_credentials, address = remainder.rpartition("@")
    parsed = _ADDRESS.fullmatch(re.split(r"[/?#]", address, maxsplit=1)[0])
    port = (parsed["port"] if parsed else None) or str(_DEFAULT_PORTS[scheme])
    if parsed is None or not port.isdecimal() or int(port) not in _PORTS:
        part = "host" if parsed is None else "port"
        raise InvalidProxy(
            f"{source} is not the address of a proxy: its {part} is invalid. Write http://host:port, or "
            "http://user:password@host:port."
        )
    username, _, password = credentials.partition(":")
    return Proxy(
        scheme,
        parsed["host"].strip("[]").rstrip("."),
        int(port),
        unquote(username) if has_credentials else None,
        SecretStr(unquote(password)) if has_credentials else None,
    )


def _values(scheme: str) -> tuple[str, ...]:
    return tuple(os.environ.get(name, "").strip() for name in _VARIABLES[scheme])


@lru_cache(maxsize=16)
def _proxy_of_variable(scheme: str, *values: str) -> Proxy | None:
    source = next(((name, value) for name, value in zip(_VARIABLES[scheme], values, strict=True) if value), None)
    return parse_proxy(source[1], source[0]) if source else None


@dataclass(frozen=True, slots=True)
class _Exclusions:
    """NO_PROXY: the hosts that are reached directly.

    Attributes:
        everything: an entry is `*`.
        networks: addresses and CIDR ranges, each with its port or None.
        domains: names, each with its port or None; a leading dot stands for the subdomains alone.
    """

    everything: bool
    networks: tuple[tuple[IPv4Network | IPv6Network, int | None], ...]
    domains: tuple[tuple[str, int | None], ...]

    def matches(self, host: str, port: int, *, loopback: bool) -> bool:
        if self.everything:
            return True
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return (loopback and host == "localhost") or any(
                excluded_port in (None, port) and _is_in_domain(host, domain) for domain, excluded_port in self.domains
            )
        return (
            address.is_link_local
            or (loopback and address.is_loopback)
            or any(excluded_port in (None, port) and address in network for network, excluded_port in self.networks)
        )


def _is_in_domain(host: str, domain: str) -> bool:
    """Whether it is the domain or below it; a domain with a leading dot does not include itself."""
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


@lru_cache(maxsize=16)
def _exclusions(value: str) -> _Exclusions:
    """Parse NO_PROXY; entries are separated by commas or blanks. An entry that is none of the forms is a name."""
    networks: list[tuple[IPv4Network | IPv6Network, int | None]] = []
    domains: list[tuple[str, int | None]] = []
    entries = [entry for entry in re.split(r"[,\s]+", value.lower()) if entry]
    for entry in entries:
        host, port = _split_port(entry)
        try:
            networks.append((ip_network(host.strip("[]"), strict=False), port))
        except ValueError:
            domains.append((host.removeprefix("*").rstrip("."), port))
    return _Exclusions("*" in entries, tuple(networks), tuple(domains))


def _split_port(entry: str) -> tuple[str, int | None]:
    """Split `host:port`; an IPv6 address has a port only after brackets."""
    host, separator, port = entry.rpartition(":")
    if separator and port.isdecimal() and (":" not in host or host.endswith("]")):
        return host, int(port)
    return entry, None
