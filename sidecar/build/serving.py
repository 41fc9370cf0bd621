"""The parts of the request path."""

import socket
import ssl
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path

from msgspec.structs import asdict

from sidecar.config import schema, telemetry
from sidecar.config.addresses import Address, SocketAddress, parse_upstream
from sidecar.errors import ConfigError, Fault
from sidecar.journal import Journal
from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.shadow import Bounds
from sidecar.proxy.tls import client_context, server_context
from sidecar.routing.availability import Availability, Settings
from sidecar.routing.matching import Rule
from sidecar.routing.sticky import Address as ByAddress
from sidecar.routing.sticky import Cookie, Header, Pointer, Query, Source
from sidecar.routing.table import RoutingTable, Variant
from sidecar.sinks.otlp_traces import OtlpTracesSettings
from sidecar.sockets import listening
from sidecar.stats.traced import Tail, Tracing

DEFAULT = "default"
"""The variant that `upstream` stands for."""


def variants_of(upstream: str | None, variants: Mapping[str, schema.Variant]) -> Mapping[str, schema.Variant]:
    """The variants by name; `upstream` is short for one."""
    return {DEFAULT: schema.Variant(url=upstream)} if upstream else variants


def journal(folder: str | None) -> Journal:
    """What keeps the changes of who serves whom; in memory where no folder is named.

    Raises:
        ConfigError: It cannot.
    """
    return Journal(None if folder is None else Path(folder))


def request_timeouts(timeouts: schema.Timeouts) -> Timeouts:
    """The request path's timeouts."""
    return Timeouts(
        connect_s=timeouts.connect_s,
        header_s=timeouts.header_s,
        first_byte_s=timeouts.first_byte_s,
        idle_s=timeouts.idle_s,
        total_s=inf if timeouts.total_s is None else timeouts.total_s,
        pool_idle_s=timeouts.pool_idle_s,
    )


def request_limits(limits: schema.Limits, split: schema.Split) -> Limits:
    """The request path's limits."""
    return Limits(
        connections=limits.connections,
        in_flight=limits.in_flight,
        head_bytes=limits.head_bytes,
        fields=limits.fields,
        target_bytes=limits.target_bytes,
        early_bytes=split.sticky.max_body_bytes if split.sticky else 0,
    )


def pool(variant: schema.Variant, timeouts: Timeouts, limits: Limits, availability: Availability) -> Pool:
    """The connections to a variant's upstream.

    Raises:
        OSError: A file of its TLS cannot be used.
    """
    upstream = parse_upstream(variant.url)
    host, port = host_and_port(upstream.address)
    tls = upstream_tls(variant) if upstream.scheme == "https" else None
    return Pool(host, port, tls=tls, timeouts=timeouts, idle_limit=limits.in_flight, availability=availability)


def availability(health: schema.Health, ejection: schema.Ejection) -> Availability:
    """What is known of a variant of which nothing is known."""
    return Availability(
        Settings(
            errors=ejection.errors,
            connect_failures=ejection.connect_failures,
            eject_s=ejection.eject_s,
            max_eject_s=ejection.max_eject_s,
            return_s=ejection.return_s,
            unhealthy_after=health.unhealthy_after,
            healthy_after=health.healthy_after,
        )
    )


def table(
    variants: Mapping[str, schema.Variant], split: schema.Split, salt: str, available: Mapping[str, float]
) -> RoutingTable:
    """Who serves whom.

    Args:
        salt: Where the split has none of its own.
        available: The part of its traffic that each variant may take.
    """
    return RoutingTable(
        [Variant(name, each.version, each.weight, available.get(name, 1.0)) for name, each in variants.items()],
        sticky=_source(split.sticky),
        salt=split.salt or salt,
        override_header=split.override_header,
        rules=[Rule(**asdict(rule)) for rule in split.rules],
        fallback=split.fallback,
    )


def _source(sticky: schema.Sticky | None) -> Source | None:
    """Where the key stands by which users stay with their variant."""
    if sticky is None:
        return None
    kinds: dict[str, Callable[[str], Source]] = {"header": Header, "cookie": Cookie, "query": Query, "pointer": Pointer}
    for name, kind in kinds.items():
        if (value := getattr(sticky, name)) is not None:
            return kind(value)
    return ByAddress()


def signs(variants: Mapping[str, schema.Variant]) -> dict[str, bytes]:
    """The lines that tell clients who has answered, by variant."""
    return {
        name: b"x-sidecar-variant: %b\r\n" % name.encode()
        + (b"x-sidecar-version: %b\r\n" % each.version.encode() if each.version else b"")
        for name, each in variants.items()
    }


def bounds(shadow: schema.Shadow, timeouts: schema.Timeouts) -> Bounds:
    """How much a shadow gets."""
    return Bounds(
        ratio=shadow.ratio,
        concurrency=shadow.concurrency,
        buffer_bytes=shadow.buffer_bytes,
        timeout_s=timeouts.copy_s,
    )


def tracing(
    settings: OtlpTracesSettings | None, tail: telemetry.Tail | None, bits: Callable[[int], int]
) -> Tracing | None:
    """What decides on traces, and holds them; None where nobody asked for traces.

    Args:
        bits: Chance: a number of so many random bits.
    """
    if settings is None:
        return None
    return Tracing(
        settings.sampler,
        None if tail is None else Tail(tail.errors, inf if tail.slow_s is None else tail.slow_s, tail.per_minute),
        propagates=settings.propagates,
        max_waiting=settings.max_waiting,
        max_batch=settings.max_batch,
        bits=bits,
    )


def host_and_port(address: Address) -> tuple[str, int | None]:
    """As sockets want it: the path and None for a Unix socket."""
    return (address.host, address.port) if isinstance(address, SocketAddress) else (address.path, None)


def listener_tls(tls: schema.ListenerTls | None) -> ssl.SSLContext | None:
    """For clients, if they are to use TLS.

    Raises:
        OSError: A file cannot be used.
    """
    return server_context(tls.cert, tls.key, tls.client_ca) if tls else None


def tls_files(tls: schema.ListenerTls | None) -> list[str]:
    """The files whose change is a reload."""
    return [tls.cert, tls.key] if tls else []


def bind(address: Address, key: str) -> socket.socket:
    """A socket that is ours, before anything is served on it.

    Args:
        key: Of the configuration, which names the address.

    Raises:
        OSError: The address is taken, or is not ours.
    """
    try:
        return listening(address)
    except OSError as error:
        # `create_server` adds the address, as a tuple of Python's.
        reason = str(error.strerror or error).partition(" (while ")[0]
        raise OSError(f"{key}: {address}: {reason}") from None


def address_of(bound: socket.socket) -> str:
    """What is bound: `host:port`, or a Unix socket's path."""
    name = bound.getsockname()
    return name if isinstance(name, str) else str(SocketAddress(*name[:2]))


def upstream_tls(variant: schema.Variant) -> ssl.SSLContext:
    """Towards a variant.

    Raises:
        OSError: A file of it cannot be used.
    """
    own = variant.tls or schema.UpstreamTls()
    return client_context(ca=own.ca, cert=own.cert, key=own.key, verify=own.verify)


def admin_token(token: str | None, file: str | None) -> str | None:
    """The admin side's bearer token, if it has one.

    Raises:
        ConfigError: The file that should hold it holds nothing.
        OSError: It cannot be read.
    """
    if file is None:
        return token
    found = Path(file).read_text(encoding="utf-8").strip()
    if not found:
        raise ConfigError(Fault("admin_token_file", f"{file} is blank; expected a token"))
    return found
