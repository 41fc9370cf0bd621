"""What monitors, put together. Imported once requests are served: everything heavy hangs on it."""

import random  # noqa: TID251  (chance comes in here)
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from sidecar.alerts.alerting import Alerting
from sidecar.alerts.delivery import Deliveries
from sidecar.alerts.store import Store
from sidecar.build import monitoring, serving
from sidecar.build.telemetry import targets
from sidecar.cataloguing import Cataloguing
from sidecar.config.addresses import parse_upstream
from sidecar.config.schema import Config, Variant
from sidecar.explaining import Explaining
from sidecar.infrastructure.reader import Infrastructure, Place
from sidecar.instruments.itself import Itself
from sidecar.instruments.live import live_measures
from sidecar.monitors.failed import Failed
from sidecar.payload import DECODERS
from sidecar.payload.custom import Custom
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.pipeline import Parts, Pipeline
from sidecar.proxy.tap import Tap
from sidecar.pulse import beat
from sidecar.records import Event
from sidecar.reporting import Beside
from sidecar.scraping.scraper import Scraping
from sidecar.sinks.delivery import AnyDelivery
from sidecar.sinks.own_log import OwnLog
from sidecar.stats.lag import LAG_SECONDS
from sidecar.stats.traced import Tracing
from sidecar.stats.traffic import Histogram, Traffic
from sidecar.steering import Steering
from sidecar.tasks import Tasks
from sidecar.trials import Sources, Trials
from sidecar.truth import Truth
from sidecar.upstreams import Upstreams
from sidecar.watching import Watching

if TYPE_CHECKING:
    from sidecar.monitors.attribution import Attributing

INFLATION = 8
"""How many times `capture.max_body_bytes` a compressed body may inflate to."""


class Served(NamedTuple):
    """What serves, as far as it is watched.

    Args:
        tracing: Holds traces; None where there are none.
        tasks: Those that end with the process.
        draining: Whether the sidecar is about to end.
        wall_s: The time of day, Unix seconds.
    """

    traffic: Traffic
    tap: Tap
    upstreams: Upstreams
    steering: Steering
    tracing: Tracing | None
    tasks: Tasks
    draining: Callable[[], bool]
    wall_s: Callable[[], float]


class Revisions(Protocol):
    """What became of configurations."""

    @property
    def number(self) -> int:
        """Of the one in force."""
        ...

    @property
    def refused(self) -> int:
        """How many were refused."""
        ...


class Made(NamedTuple):
    """What was made before a port was bound, so that what cannot be used is refused.

    Args:
        store: Of alerts; None for one in memory.
        graders: None where nobody wants labels.
        attributing: None where nobody wants attributions.
    """

    store: Store | None
    graders: monitoring.Graders | None
    attributing: "Attributing | None"


def parts(config: Config, deliveries: Sequence[AnyDelivery] = (), earlier: Custom | None = None) -> Parts:
    """What exchanges pass.

    Args:
        config: Says what.
        deliveries: To go on with; without any, the configuration's sinks are made.
        earlier: What has counted the user's metrics until now.
    """
    capture, payload, telemetry = config.capture, config.payload, config.telemetry
    custom = None
    if telemetry.metrics:
        custom = Custom(
            telemetry.metrics,
            max_series=telemetry.max_series,
            redact_headers=payload.redact_headers,
            earlier=earlier,
        )
    return Parts(
        Reader(
            max_inflated_bytes=INFLATION * capture.max_body_bytes,
            redact=payload.redact,
            redact_headers=payload.redact_headers,
            headers=capture.headers,
        ),
        Decoding(DECODERS, format=payload.format, features=payload.features, prediction=payload.prediction),
        deliveries or monitoring.sinks(capture.sinks, config.endpoint, capture.buffer_bytes),
        custom,
    )


def watching(config: Config, served: Served, made: Made, *, admin: str, tell: Callable[[Event], None]) -> Watching:
    """What the rows pass, from the tap to the alerts.

    Args:
        admin: Where the admin side is bound.
        tell: Takes events.
    """
    wall_s = served.wall_s
    pipeline = Pipeline(
        served.tap,
        parts(config),
        make_window=monitoring.window(config.statistics),
        now_s=time.monotonic,
        wall_s=wall_s,
    )
    store = made.store or monitoring.store(None)
    alerting = Alerting(
        monitoring.rules(config.alerts),
        store=store,
        deliveries=Deliveries(store, monitoring.channels(config.alerts.channels), now_s=wall_s, chance=random.random),
        link=monitoring.alerts_link(config.alerts.link, admin),
        wall_s=wall_s,
        tell=tell,
    )
    folder = Path(config.reference.path) if config.reference.path else None
    data = monitoring.data_monitor(config.monitors)
    found = Watching(pipeline, alerting, data=data, folder=folder, wall_s=wall_s, tell=tell)
    truth = found.truth = _truth(pipeline, config, made.graders, wall_s)
    found.explaining = _explaining(pipeline, config, made.attributing, served)
    found.trials = _trials(pipeline, alerting, truth, served)
    found.cataloguing = Cataloguing(
        monitoring.catalog(config.catalog, config.state),
        config.endpoint,
        served.steering,
        live=partial(live_measures, served.traffic, truth.grading if truth else None),
        wall_s=wall_s,
    )
    return found


def _trials(pipeline: Pipeline, alerting: Alerting, truth: Truth | None, served: Served) -> Trials:
    """What looks at experiments and the rollout."""
    upstreams = served.upstreams
    sources = Sources(upstreams.served, served.traffic, lambda: upstreams.states, lambda: upstreams.well, served.wall_s)
    return Trials(pipeline, served.steering, sources, truth=truth, make=monitoring.weighing, read=alerting.read)


def _truth(
    pipeline: Pipeline, config: Config, graders: monitoring.Graders | None, wall_s: Callable[[], float]
) -> Truth | None:
    """What joins labels, where a monitor wants them."""
    if graders is None:
        return None
    grading, comparing, headers = graders
    store = monitoring.label_store(config.labels, config.state)
    return Truth(pipeline, store, grading=grading, comparing=comparing, groups=headers, wall_s=wall_s)


def _explaining(
    pipeline: Pipeline, config: Config, attributing: "Attributing | None", served: Served
) -> Explaining | None:
    """What brings attributions to the monitor that wants them, where there is one."""
    if attributing is None:
        return None
    variants = serving.variants_of(config.upstream, config.variants)
    return Explaining(
        pipeline,
        attributing,
        upstreams=monitoring.explained(attributing.options.url, variants),
        paused=served.draining,
        wall_s=served.wall_s,
        rng=np.random.default_rng(random.getrandbits(64)),
    )


def beside(config: Config, served: Served, pipeline: Pipeline, own: OwnLog, revisions: Revisions) -> Beside:
    """What is told beside what traffic and rows say, and how much of all; begins to look.

    Args:
        own: Takes events, and says what it lost.
        revisions: What became of configurations.
    """
    telemetry, upstreams = config.telemetry, served.upstreams

    def variants() -> Mapping[str, Variant]:
        """Those of now."""
        effective = served.steering.effective
        return serving.variants_of(effective.upstream, effective.variants)

    def version_of(name: str) -> str:
        return found.version if (found := variants().get(name)) else ""

    failed = Failed(own.tell, now_s=time.monotonic)
    pipeline.notes.append(failed.note)
    scraping = Scraping(version_of=version_of, max_series=telemetry.max_series, now_s=time.monotonic)
    scraping.aim(targets(telemetry.scrape, variants()))
    lag = Histogram(LAG_SECONDS)
    served.tasks.start(beat(lag, now_s=time.perf_counter))
    return Beside(
        max_series=telemetry.max_series,
        itself=lambda: Itself(
            lag,
            pipeline.slices,
            upstreams.gateway.sampling.ratio,
            revisions.number,
            revisions.refused,
            failed.untold,
            own.dropped_lines,
            own.dropped_events,
        ),
        tracing=served.tracing,
        infrastructure=_infrastructure(variants, served.wall_s) if telemetry.infrastructure else None,
        scraping=scraping,
        endpoint=config.endpoint if telemetry.cloudwatch_names else "",
    )


def _infrastructure(variants: Callable[[], Mapping[str, Variant]], wall_s: Callable[[], float]) -> Infrastructure:
    """What reads machine and processes."""
    return Infrastructure(
        lambda: {name: _place(each) for name, each in variants().items()}, now_s=time.monotonic, wall_s=wall_s
    )


def _place(variant: Variant) -> Place:
    """Where a variant's server listens."""
    host, port = serving.host_and_port(parse_upstream(variant.url).address)
    return variant.version, host, port or 0
