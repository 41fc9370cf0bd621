"""The parts behind the request path."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from msgspec.structs import asdict

from sidecar.config import schema
from sidecar.config.addresses import SocketAddress, parse_address, parse_upstream
from sidecar.config.reading import nearest
from sidecar.config.rules import wanting_labels
from sidecar.errors import ConfigError, Fault
from sidecar.records import Subject

if TYPE_CHECKING:
    from sidecar.alerts.rules import Rule
    from sidecar.alerts.store import Store
    from sidecar.explaining import Upstream
    from sidecar.monitors.attribution import Attributing, Attribution
    from sidecar.monitors.bias import Bias, Comparing
    from sidecar.monitors.data import Data
    from sidecar.monitors.quality import Grading, Quality
    from sidecar.monitors.weighing import Weighing
    from sidecar.ports import Catalog, Channel, Fleet, RowSink, Sink
    from sidecar.ports import Store as LabelStore
    from sidecar.reference.folder import Reference
    from sidecar.reporting import Places
    from sidecar.sinks.delivery import AnyDelivery
    from sidecar.stats.window import Window
from sidecar.build.serving import host_and_port, upstream_tls, variants_of


def places(tls: schema.ListenerTls | None, variants: Mapping[str, schema.Variant]) -> "Places":
    """The addresses as metrics name them."""
    from sidecar.reporting import Places

    found = {name: host_and_port(parse_upstream(variant.url).address) for name, variant in variants.items()}
    return Places("https" if tls else "http", {name: (host, port or 0) for name, (host, port) in found.items()})


def sinks(parts: Sequence[schema.Part], endpoint: str, max_bytes: int) -> "list[AnyDelivery]":
    """The configured sinks, each with its queue of so many bytes and its thread."""
    from sidecar.sinks import SINKS

    return [
        _delivery(SINKS[part.kind](**{"endpoint": endpoint, **part.options}), f"{part.kind}[{place}]", max_bytes)
        for place, part in enumerate(parts)
    ]


def _delivery(sink: "Sink | RowSink", name: str, max_bytes: int) -> "AnyDelivery":
    """What hands a sink what it wants."""
    from sidecar.ports import RowSink
    from sidecar.sinks.delivery import Delivery, RowDelivery

    if isinstance(sink, RowSink):
        return RowDelivery(sink, name=name, max_bytes=max_bytes)
    return Delivery(sink, name=name, max_bytes=max_bytes)


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


def graders(config: schema.Config) -> Graders | None:
    """The monitors that want labels, and the fields of requests that these want; None where nobody wants labels.

    Raises:
        ConfigError: One cannot work so, by its place.
    """
    if not wanting_labels(config):
        return None
    from sidecar.monitors.bias import Bias
    from sidecar.monitors.quality import Quality
    from sidecar.quality.reading import Reading

    reading = partial(Reading, **asdict(config.model))
    made = Graders(None, None, ())
    for place, monitor in enumerate(_monitors(config.monitors)):
        try:
            if isinstance(monitor, Quality):
                made = made._replace(grading=monitor.grade(reading))
            elif isinstance(monitor, Bias):
                made = made._replace(comparing=monitor.compare(reading), headers=monitor.headers)
        except ConfigError as error:
            raise ConfigError(
                *(Fault(f"monitors[{place}].{each.path}", each.message) for each in error.faults)
            ) from None
        lost = [name for name in made.headers if name not in config.capture.headers]
        if lost:
            message = f"{lost[0]} is not kept with captures, expected it in capture.headers"
            raise ConfigError(Fault(f"monitors[{place}].facets", message))
    return made


def check_labels(graders: Graders | None, config: schema.Config) -> None:
    """See that labels come where they are wanted, and that the fields that tell groups are still kept with captures.

    Raises:
        ConfigError: They do not, or one is not.
    """
    if graders is None and (wants := wanting_labels(config)):
        told = "nobody wanted labels at the start"
        raise ConfigError(Fault("experiment", f"{told}, and {wants[0].kind} does; expected a restart"))
    lost = [name for name in graders.headers if name not in config.capture.headers] if graders else []
    if lost:
        raise ConfigError(Fault("capture.headers", f"{lost[0]} is missing; a monitor tells groups by it"))


def weighing(config: schema.Config, begun_s: float) -> "Weighing | None":
    """What variants are weighed by; None where there is neither an experiment nor a rollout.

    Args:
        begun_s: Unix time at which the rollout's first step began.

    Raises:
        ConfigError: A measure cannot be used so.
    """
    if config.experiment is None and config.rollout is None:
        return None
    from sidecar.experiments import GUARDRAILS
    from sidecar.experiments.experiment import Experiment
    from sidecar.monitors.weighing import Weighing
    from sidecar.quality.reading import Reading

    made: dict[str, Experiment] = {}
    trial, rollout = config.experiment, config.rollout
    versions = {name: f"{name} {variant.version}" for name, variant in config.variants.items()}
    if trial is not None:
        others = trial.challengers or tuple(name for name in config.variants if name != trial.champion)
        with _placed("experiment.measures"):
            made["experiment"] = Experiment(
                f"{trial.name}: {', '.join(versions[name] for name in (trial.champion, *others))}",
                trial.champion,
                others,
                [GUARDRAILS[part.kind](**part.options) for part in trial.measures],
                wrong=trial.wrong_verdicts,
                min_rows=trial.min_rows,
            )
    if rollout is not None:
        with _placed("rollout.guardrails"):
            made["rollout"] = Experiment(
                f"{versions[rollout.challenger]} instead of {versions[rollout.champion]}, since {begun_s}",
                rollout.champion,
                (rollout.challenger,),
                [GUARDRAILS[part.kind](**part.options) for part in rollout.guardrails],
                wrong=rollout.wrong_rollbacks,
                min_rows=rollout.min_rows,
            )
    reading = Reading(**asdict(config.model)) if config.model.task else None
    return Weighing(made, reading) if made else None


@contextmanager
def _placed(key: str) -> Iterator[None]:
    """Around what names its measures `measures[0]`: they are this key's."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            *(Fault(key + each.path.removeprefix("measures"), each.message) for each in error.faults)
        ) from None


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
        tls = upstream_tls(variant) if upstream.scheme == "https" else None
        where = upstream.address
        found[name] = (
            Upstream(f"{upstream.scheme}://{where}", tls=tls)
            if isinstance(where, SocketAddress)
            else Upstream("http://localhost", socket=where.path)
        )
    return found


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


def fleet(part: schema.Part | None) -> "Fleet | None":
    """Where sidecars that share their routing keep it, if they do."""
    if part is None:
        return None
    from sidecar.fleet import FLEETS

    return FLEETS[part.kind](**part.options)


def catalog(part: schema.Part, folder: str | None) -> "Catalog":
    """Where versions are written down; nothing is touched yet."""
    from sidecar.catalog import CATALOGS

    return CATALOGS[part.kind](folder or "", **part.options)


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


def check_rules(config: schema.Config) -> None:
    """See that every rule can match something: one that is misspelt would switch alerts off, silently.

    Raises:
        ConfigError: One cannot.
    """
    alerts = config.alerts
    if alerts.rules == schema.Alerts().rules or not config.monitors:
        return
    known = {
        "monitor": [*(part.kind for part in config.monitors), "rollout", "experiment", "catalogue"],
        "check": [
            *(check for monitor in _monitors(config.monitors) for check in monitor.checks),
            *("rollback", "mismatch", "rejected", "alias"),
            *(_weighed(part) for part in (config.experiment.measures if config.experiment else ())),
        ],
        "variant": list(variants_of(config.upstream, config.variants)),
        "subject": list(get_args(Subject)),
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


def _weighed(part: schema.Part) -> str:
    """What a measure is called."""
    from sidecar.experiments import MEASURES

    return MEASURES[part.kind](**part.options).judged.name


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
