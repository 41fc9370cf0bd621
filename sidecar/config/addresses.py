"""Addresses in the configuration: where the sidecar listens, and where a model server does."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal

UNIX_PATH_BYTES = 107
"""What `sun_path` holds on Linux, without its final NUL (unix(7))."""

_NAME = re.compile(r"(?=.{1,253}\Z)(?!.*[^.]{64})[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_LISTEN = "expected host:port, [v6]:port or unix:/path"
_UPSTREAM = "expected http://host:port, https://host:port or unix:/path"


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A TCP address.

    Args:
        host: A name, an IPv4 address, or an IPv6 address without brackets.
        port: 0 to 65535; to listen on 0 is to take any free port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if ":" in self.host:
            return IPv6Address(self.host).is_loopback
        return self.host.lower() == "localhost" or (_is_ipv4(self.host) and IPv4Address(self.host).is_loopback)

    @property
    def wildcard(self) -> bool:
        """Whether it stands for every address of this machine."""
        return self.host == "0.0.0.0" or (":" in self.host and int(IPv6Address(self.host)) == 0)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket, by its absolute path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def loopback(self) -> bool:
        """Only this machine reaches it."""
        return True


Address = SocketAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """Where a model server listens, and whether it speaks TLS there.

    Args:
        scheme: `https` speaks TLS.
        address: TCP, or a Unix socket.
    """

    scheme: Literal["http", "https"]
    address: Address


def parse_address(text: str) -> Address:
    """Read `host:port`, `[v6]:port` or `unix:/path`.

    Raises:
        ValueError: It is none of them; the message says what was expected.

    Example:
        >>> parse_address("[::1]:8080")
        SocketAddress(host='::1', port=8080)
        >>> parse_address("unix:/run/sidecar.sock")
        UnixAddress(path='/run/sidecar.sock')
        >>> parse_address("8080")
        Traceback (most recent call last):
        ValueError: expected host:port, [v6]:port or unix:/path, got "8080"
    """
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"), text)
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f'{_LISTEN}, got "{text}"')
    return SocketAddress(_host(host, text), _port(port, text))


def parse_upstream(url: str) -> UpstreamAddress:
    """Read `http://host:port`, `https://host:port`, `unix:/path` or `http+unix:///path`.

    Requests keep their own path and query, so that the address has none; nor has it credentials: clients bring theirs.

    Raises:
        ValueError: It is none of them, or says more than an address; the message holds nothing that may be secret.

    Example:
        >>> parse_upstream("https://model:8443")
        UpstreamAddress(scheme='https', address=SocketAddress(host='model', port=8443))
        >>> parse_upstream("http://[::1]").address
        SocketAddress(host='::1', port=80)
    """
    if url.startswith(("unix:", "http+unix://")):
        path = url.removeprefix("http+unix://").removeprefix("unix:")
        return UpstreamAddress("http", _unix(re.sub("%2[Ff]", "/", path), url))
    match = re.fullmatch(r"(https?)://([^/?#]*)(/?)(.*)", url, re.DOTALL)
    if not match:
        raise ValueError(f'{_UPSTREAM}, got "{url.partition("?")[0].rpartition("@")[2]}"')
    scheme: Literal["http", "https"] = "https" if match[1] == "https" else "http"
    authority = match[2]
    if "@" in authority:
        raise ValueError(f"{_UPSTREAM} without credentials")
    if match[4]:
        raise ValueError(f"{_UPSTREAM} without path, query or fragment: requests bring their own")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return UpstreamAddress(scheme, SocketAddress(_host(authority, url), 443 if scheme == "https" else 80))
    address = SocketAddress(_host(host, url), _port(port, url))
    if not address.port:
        raise ValueError(f'expected a port from 1 to 65535, got "{url}"')
    return UpstreamAddress(scheme, address)


def _unix(path: str, text: str) -> UnixAddress:
    if not path.startswith("/") or "\0" in path or "?" in path or "#" in path:
        raise ValueError(f'expected unix: and an absolute path, got "{text}"')
    if len(path.encode("utf-8", "surrogateescape")) > UNIX_PATH_BYTES:
        raise ValueError(f"expected a socket's path of at most {UNIX_PATH_BYTES} bytes, got {len(path)}")
    return UnixAddress(path)


def _port(text: str, whole: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f'expected a port from 0 to 65535 behind the colon, got "{whole}"')
    return int(text)


def _host(text: str, whole: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(IPv6Address(text[1:-1]))
        except AddressValueError:
            raise ValueError(f'expected an IPv6 address in the brackets, got "{whole}"') from None
    if not text:
        raise ValueError(f'expected a host before the colon (0.0.0.0 for every address), got "{whole}"')
    if ":" in text:
        raise ValueError(f'expected an IPv6 address in brackets, as in [::1]:8080, got "{whole}"')
    # A name whose last label is a number is an IPv4 address or a mistake (WHATWG URL, "ends in a number").
    numeric = text.removesuffix(".").rpartition(".")[2].isdigit()
    if not _NAME.fullmatch(text) or ".." in text or (numeric and not _is_ipv4(text)):
        raise ValueError(f'expected a host name or an IP address before the colon, got "{whole}"')
    return text


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
