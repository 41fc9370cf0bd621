"""From sections of the configuration to parts: nothing here sees the whole of it, or starts anything."""

import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import asdict

from sidecar.config import schema
from sidecar.config.addresses import Address, SocketAddress, parse_address, parse_upstream
from sidecar.config.reading import nearest
from sidecar.errors import ConfigError, Fault
from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.tls import client_context, server_context

if TYPE_CHECKING:
    from sidecar.alerts.rules import Rule
    from sidecar.alerts.store import Store
    from sidecar.explaining import Upstream
    from sidecar.monitor import Places
    from sidecar.monitors.attribution import Attributing, Attribution
    from sidecar.monitors.bias import Bias, Comparing
    from sidecar.monitors.data import Data
    from sidecar.monitors.quality import Grading, Quality
    from sidecar.ports import Channel
    from sidecar.ports import Store as LabelStore
    from sidecar.reference.folder import Reference
    from sidecar.sinks.delivery import Delivery
    from sidecar.stats.window import Window

DEFAULT = "default"
"""The variant that `upstream` stands for."""

WANT_LABELS = frozenset({"quality", "bias"})
"""The kinds of monitors that do."""


def variants_of(upstream: str | None, variants: Mapping[str, schema.Variant]) -> Mapping[str, schema.Variant]:
    """The variants by name; `upstream` is short for one."""
    return {DEFAULT: schema.Variant(url=upstream)} if upstream else variants


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


def request_limits(limits: schema.Limits) -> Limits:
    """The request path's limits."""
    return Limits(
        connections=limits.connections,
        in_flight=limits.in_flight,
        head_bytes=limits.head_bytes,
        fields=limits.fields,
        target_bytes=limits.target_bytes,
    )


def pool(variant: schema.Variant, timeouts: Timeouts, limits: Limits) -> Pool:
    """The connections to a variant's upstream.

    Raises:
        OSError: A file of its TLS cannot be used.
    """
    upstream = parse_upstream(variant.url)
    host, port = host_and_port(upstream.address)
    tls = _upstream_tls(variant) if upstream.scheme == "https" else None
    return Pool(host, port, tls=tls, timeouts=timeouts, idle_limit=limits.in_flight)


def host_and_port(address: Address) -> tuple[str, int | None]:
    """As sockets want it: the path and None for a Unix socket."""
    return (address.host, address.port) if isinstance(address, SocketAddress) else (address.path, None)


def places(tls: schema.ListenerTls | None, variants: Mapping[str, schema.Variant]) -> "Places":
    """The addresses as metrics name them."""
    from sidecar.monitor import Places

    found = {name: host_and_port(parse_upstream(variant.url).address) for name, variant in variants.items()}
    return Places("https" if tls else "http", {name: (host, port or 0) for name, (host, port) in found.items()})


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
        return _bound(address)
    except OSError as error:
        # `create_server` adds the address, as a tuple of Python's.
        reason = str(error.strerror or error).partition(" (while ")[0]
        raise OSError(f"{key}: {address}: {reason}") from None


def _bound(address: Address) -> socket.socket:
    host, port = host_and_port(address)
    if port is None:
        remove_stale(host)
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(host)
        bound.listen()
        return bound
    family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(where[:2], family=family)


def remove_stale(path: str) -> None:
    """Remove the Unix socket that a process which is gone has left; nothing where it is not one, or is served."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(FileNotFoundError):
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)


def address_of(bound: socket.socket) -> str:
    """What is bound: `host:port`, or a Unix socket's path."""
    name = bound.getsockname()
    return name if isinstance(name, str) else str(SocketAddress(*name[:2]))


def sinks(parts: Sequence[schema.Part], endpoint: str, max_bytes: int) -> "list[Delivery]":
    """The configured sinks, each with its queue of so many bytes and its thread."""
    from sidecar.sinks import SINKS
    from sidecar.sinks.delivery import Delivery

    return [
        Delivery(
            SINKS[part.kind](**{"endpoint": endpoint, **part.options}),
            name=f"{part.kind}[{index}]",
            max_bytes=max_bytes,
        )
        for index, part in enumerate(parts)
    ]


def reference(settings: schema.Reference) -> "Reference | None":
    """What the data were like when all was well, if anybody knows yet.

    Raises:
        ConfigError: A file of the folder is broken, by file and field; or there is none, and nothing is to be learned.
    """
    if settings.path is None:
        return None
    from sidecar.reference.folder import read_folder

    found = read_folder(Path(settings.path), "reference.path")
    if found is None and not learns(settings):
        message = f"expected a folder with statistics.json and constraints.json, got {settings.path}: there is neither"
        raise ConfigError(Fault("reference.path", message))
    return found


def reference_files(settings: schema.Reference) -> list[str]:
    """The files whose change is a reload."""
    if settings.path is None:
        return []
    from sidecar.reference.folder import FILES

    return [str(Path(settings.path, name)) for name in FILES]


def learns(settings: schema.Reference) -> bool:
    """Whether a reference is to be learned where there is none."""
    return settings.learn_rows is not None or settings.learn_s is not None


def data_monitor(parts: Sequence[schema.Part]) -> "Data | None":
    """What to watch the data for, if at all."""
    from sidecar.monitors.data import Data

    return next((each for each in _monitors(parts) if isinstance(each, Data)), None)


def _monitors(parts: Sequence[schema.Part]) -> "list[Data | Quality | Bias | Attribution]":
    from sidecar.monitors import MONITORS

    return [MONITORS[part.kind](**part.options) for part in parts]


class Graders(NamedTuple):
    """The monitors that want labels, as they are at work; None where there is none."""

    grading: "Grading | None"
    comparing: "Comparing | None"
    headers: tuple[str, ...]


def graders(parts: Sequence[schema.Part], model: schema.Model, captured: Sequence[str]) -> Graders | None:
    """The monitors that want labels, and the fields of requests that these want; None where none does.

    Args:
        model: What the model does.
        captured: The fields that are kept with a capture.

    Raises:
        ConfigError: One cannot work so, by its place.
    """
    if not WANT_LABELS.intersection(part.kind for part in parts):
        return None
    from sidecar.monitors.bias import Bias
    from sidecar.monitors.quality import Quality
    from sidecar.quality.reading import Reading

    reading = partial(Reading, **asdict(model))
    made = Graders(None, None, ())
    for place, monitor in enumerate(_monitors(parts)):
        try:
            if isinstance(monitor, Quality):
                made = made._replace(grading=monitor.grade(reading))
            elif isinstance(monitor, Bias):
                made = made._replace(comparing=monitor.compare(reading), headers=monitor.headers)
        except ConfigError as error:
            raise ConfigError(
                *(Fault(f"monitors[{place}].{each.path}", each.message) for each in error.faults)
            ) from None
        lost = [name for name in made.headers if name not in captured]
        if lost:
            message = f"{lost[0]} is not kept with captures, expected it in capture.headers"
            raise ConfigError(Fault(f"monitors[{place}].facets", message))
    return made


def check_headers(graders: Graders | None, captured: Sequence[str]) -> None:
    """See that the fields that tell groups are still kept with captures.

    Raises:
        ConfigError: One is not.
    """
    lost = [name for name in graders.headers if name not in captured] if graders else []
    if lost:
        raise ConfigError(Fault("capture.headers", f"{lost[0]} is missing; a monitor tells groups by it"))


def attributing(parts: Sequence[schema.Part]) -> "Attributing | None":
    """The monitor of attributions, as it is at work; None where there is none.

    Raises:
        ConfigError: It cannot work so, by its place.
    """
    for place, part in enumerate(parts):
        if part.kind == "attribution":
            from sidecar.monitors.attribution import Attribution

            try:
                return Attribution(**part.options).attribute()  # type: ignore[arg-type]  # read as its fields
            except ConfigError as error:
                found = [Fault(f"monitors[{place}].{each.path}", each.message) for each in error.faults]
                raise ConfigError(*found) from None
    return None


def explained(url: str | None, variants: Mapping[str, schema.Variant]) -> "dict[str, Upstream]":
    """Whom to call to have a variant's answers explained, by variant.

    Args:
        url: Another one than the variant itself; it is trusted as that is.

    Raises:
        OSError: A file of its TLS cannot be used.
    """
    from sidecar.explaining import Upstream

    found = {}
    for name, variant in variants.items():
        upstream = parse_upstream(url or variant.url)
        tls = _upstream_tls(variant) if upstream.scheme == "https" else None
        where = upstream.address
        found[name] = (
            Upstream(f"{upstream.scheme}://{where}", tls=tls)
            if isinstance(where, SocketAddress)
            else Upstream("http://localhost", socket=where.path)
        )
    return found


def _upstream_tls(variant: schema.Variant) -> ssl.SSLContext:
    own = variant.tls or schema.UpstreamTls()
    return client_context(ca=own.ca, cert=own.cert, key=own.key, verify=own.verify)


def label_store(part: schema.Part, folder: str | None) -> "LabelStore":
    """Where predictions await their labels.

    Raises:
        ConfigError: It cannot be opened.
    """
    from sidecar.store import STORES

    return STORES[part.kind](**{"folder": folder or "", **part.options})


def store(folder: str | None) -> "Store":
    """What keeps alerts over a restart; in memory where no folder is named.

    Raises:
        ConfigError: It cannot.
    """
    from sidecar.alerts.store import Store

    return Store(None if folder is None else Path(folder))


def channels(parts: Sequence[schema.Part]) -> "dict[str, Channel]":
    """Who is told of alerts, by name."""
    if not parts:
        return {}
    from sidecar.alerts import CHANNELS

    return {f"{part.kind}[{place}]": CHANNELS[part.kind](**part.options) for place, part in enumerate(parts)}


def alerts_link(given: str | None, admin: str) -> str:
    """What the links in alerts begin with: the admin side's address, unless the user knows another way there.

    Args:
        given: That way.
        admin: Where the admin side is bound, as `address_of` tells it.

    Returns:
        Empty where no URL leads there: it is a Unix socket.

    Example:
        >>> alerts_link(None, "127.0.0.1:9901"), alerts_link(None, "/run/admin.sock"), alerts_link("https://ops", "…")
        ('http://127.0.0.1:9901', '', 'https://ops')
    """
    if given is not None or admin.startswith("/"):
        return given or ""
    address = parse_address(admin)
    assert isinstance(address, SocketAddress)
    # Who listens on every address is known by the machine's name; in Kubernetes that is the pod's.
    return f"http://{SocketAddress(socket.gethostname(), address.port) if address.wildcard else address}"


def rules(alerts: schema.Alerts) -> "list[Rule]":
    """Which findings become alerts."""
    from sidecar.alerts.rules import Rule

    return [Rule(**asdict(rule)) for rule in alerts.rules]


def check_rules(alerts: schema.Alerts, monitors: Sequence[schema.Part], variants: Iterable[str]) -> None:
    """See that every rule can match something: one that is misspelt would switch alerts off, silently.

    Raises:
        ConfigError: One cannot.
    """
    if alerts.rules == schema.Alerts().rules or not monitors:
        return
    known = {
        "monitor": [part.kind for part in monitors],
        "check": [check for monitor in _monitors(monitors) for check in monitor.checks],
        "variant": list(variants),
        "subject": ["features", "predictions", "quality", "groups"],
    }
    faults = [
        Fault(
            f"alerts.rules[{place}].{name}",
            f"{glob} matches nothing; expected one of {', '.join(names)}, * or a pattern{nearest(glob, names)}",
        )
        for place, rule in enumerate(alerts.rules)
        for name, names in known.items()
        if not any(fnmatchcase(each, glob := getattr(rule, name)) for each in names)
    ]
    if faults:
        raise ConfigError(*faults)


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


def window(statistics: schema.Statistics) -> "Callable[[], Window]":
    """What makes the rolling statistics of one variant."""
    from sidecar.stats.window import Window

    return partial(
        Window,
        rows=statistics.rows,
        panes=statistics.panes,
        seconds=statistics.window_s,
        max_features=statistics.max_features,
        max_categories=statistics.max_categories,
    )
