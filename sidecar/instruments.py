"""Every metric that is exported, in one table, and what turns the sidecar's state into them.

Names, units and attributes are those of OpenTelemetry's HTTP conventions (semconv 1.44.0) where it has any; ours begin
with `sidecar.`. No gauge has the unit `1`: of the two ways to Prometheus one adds `_ratio` for it and one does not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple, Protocol, get_args

import numpy as np

from sidecar.monitors.data import Following
from sidecar.records import Alert, Attributes, Buckets, Kind, Metric, Severity
from sidecar.reference.checks import Check, Violation
from sidecar.stats.summary import QUANTILES, Summary
from sidecar.stats.traffic import BYTES, OVERHEAD_SECONDS, SECONDS, Histogram, Labels, Traffic
from sidecar.texts import encodable


class Instrument(NamedTuple):
    """What does not change about a metric; the unit in UCUM, empty where the values have one we do not know."""

    kind: Kind
    unit: str
    description: str


SUBJECTS = {"features": "feature", "predictions": "prediction"}
"""The kinds of windows, and the word for one column of each."""

_OF_COLUMN = {
    "rows": Instrument("gauge", "{row}", "Rows in the current window, of all columns"),
    "missing": Instrument("gauge", "{row}", "Rows of the window without a value"),
    "mean": Instrument("gauge", "", "Mean over the window"),
    "std": Instrument("gauge", "", "Standard deviation over the window"),
    "min": Instrument("gauge", "", "Least value of the window"),
    "max": Instrument("gauge", "", "Greatest value of the window"),
    "quantile": Instrument("gauge", "", "Quantiles over the window"),
    "distinct": Instrument("gauge", "{category}", "Different texts in the window"),
}

INSTRUMENTS: dict[str, Instrument] = {
    "http.server.request.duration": Instrument("histogram", "s", "Duration of requests, as the client sees it"),
    "http.server.request.body.size": Instrument("histogram", "By", "Size of the bodies of requests"),
    "http.server.response.body.size": Instrument("histogram", "By", "Size of the bodies of replies"),
    "http.server.active_requests": Instrument("up_down", "{request}", "Requests in flight"),
    "http.client.request.duration": Instrument("histogram", "s", "The upstream's share of the requests' duration"),
    "sidecar.upstream.first_byte.duration": Instrument("histogram", "s", "From head sent upstream to reply's head"),
    "sidecar.overhead.duration": Instrument("histogram", "s", "The sidecar's own share of the requests' duration"),
    "sidecar.tunnels": Instrument("counter", "{tunnel}", "Tunnels opened"),
    "sidecar.series.folded": Instrument("counter", "{request}", "Requests counted without a label set of their own"),
    "sidecar.capture.offered": Instrument("counter", "{exchange}", "Exchanges offered for capture"),
    "sidecar.capture.captured": Instrument("counter", "{exchange}", "Exchanges captured"),
    "sidecar.capture.dropped": Instrument("counter", "{exchange}", "Exchanges for which there was no room"),
    "sidecar.capture.held": Instrument("up_down", "By", "Bytes held for capture"),
    "sidecar.capture.waiting": Instrument("up_down", "{exchange}", "Exchanges that wait to be captured"),
    "sidecar.payload.rows": Instrument("counter", "{row}", "Rows decoded"),
    "sidecar.payload.failures": Instrument("counter", "{body}", "Bodies that could not be decoded"),
    "sidecar.sink.delivered": Instrument("counter", "{capture}", "Captures that a sink took"),
    "sidecar.sink.dropped": Instrument("counter", "{capture}", "Captures that never reached a sink"),
    "sidecar.sink.failed": Instrument("counter", "{capture}", "Captures that a sink did not take"),
    "sidecar.sink.deleted": Instrument("counter", "{file}", "Files of captures deleted to make room for later ones"),
    "sidecar.export.delivered": Instrument("counter", "{item}", "Reports and events that the collector took"),
    "sidecar.export.dropped": Instrument("counter", "{item}", "Reports replaced by a later one, events without room"),
    "sidecar.export.failed": Instrument("counter", "{item}", "Reports and events that the collector did not take"),
    "sidecar.drift.rows": Instrument("counter", "{row}", "Rows compared with the reference"),
    "sidecar.drift.evidence": Instrument("gauge", "{nat}", "Evidence of drift since the last alarm, a logarithm"),
    "sidecar.drift.statistic": Instrument("gauge", "", "What a detector says of the latest whole window"),
    "sidecar.drift.columns": Instrument("gauge", "{column}", "Features and predictions that have drifted"),
    "sidecar.drift.omitted": Instrument("gauge", "{point}", "Evidence and statistics beyond the limit of series"),
    "sidecar.violations": Instrument("gauge", "{column}", "Features and predictions that break a constraint"),
    "sidecar.alerts": Instrument("gauge", "{alert}", "Alerts that are pending or firing"),
    "sidecar.alert.delivered": Instrument("counter", "{notice}", "Notices that a channel took"),
    "sidecar.alert.dropped": Instrument("counter", "{notice}", "Notices given up: too old, or too many waited"),
    "sidecar.alert.failed": Instrument("counter", "{notice}", "Attempts at which a channel did not take a notice"),
    **{f"sidecar.{subject}.{gauge}": each for subject in SUBJECTS.values() for gauge, each in _OF_COLUMN.items()},
    "sidecar.window.omitted": Instrument("gauge", "{column}", "Features and predictions beyond the limit of series"),
    "sidecar.info": Instrument("gauge", "", "Always 1; its attributes tell what runs"),
}

SHOWN_QUANTILES = (0.05, 0.5, 0.95)
"""Of QUANTILES: what a gauge each is worth; `/v1/features` has all of them."""


class CaptureCounts(NamedTuple):
    """What became of exchanges so far.

    Args:
        offered: To the tap.
        captured: By the pipeline.
        dropped: By reason.
        held_bytes: Now, in flight and waiting.
        waiting: Exchanges, now.
        rows: Decoded, by variant.
        failures: Bodies not decoded, by reason.
    """

    offered: int
    captured: int
    dropped: Mapping[str, int]
    held_bytes: int
    waiting: int
    rows: Mapping[str, int]
    failures: Mapping[str, int]


class Outlet(Protocol):
    """A way out, with what it made of what it was given."""

    @property
    def name(self) -> str:
        """Unique among its kind."""
        ...

    @property
    def delivered(self) -> int:
        """Taken."""
        ...

    @property
    def dropped(self) -> int:
        """Never sent."""
        ...

    @property
    def failed(self) -> int:
        """Sent, and not taken."""
        ...

    @property
    def last_error(self) -> str:
        """Why, the last time; empty before the first."""
        ...


class SinkOutlet(Outlet, Protocol):
    """A way out that keeps files."""

    @property
    def deleted_files(self) -> int:
        """Deleted to make room for later ones."""
        ...


def traffic_metrics(traffic: Traffic, *, scheme: str, upstreams: Mapping[str, tuple[str, int]]) -> list[Metric]:
    """What the request path counted.

    Args:
        scheme: Of the listener: `http` or `https`.
        upstreams: Host and port by variant; a Unix socket's path has port 0. What reached none of these variants is
            in no `http.client` metric.
    """
    durations = _Histograms("http.server.request.duration", SECONDS)
    requests = _Histograms("http.server.request.body.size", BYTES)
    replies = _Histograms("http.server.response.body.size", BYTES)
    overheads = _Histograms("sidecar.overhead.duration", OVERHEAD_SECONDS)
    upstream = _Histograms("http.client.request.duration", SECONDS)
    first_bytes = _Histograms("sidecar.upstream.first_byte.duration", SECONDS)
    for labels, series in traffic:
        seen = _server(labels, scheme)
        durations.add(seen, series.duration_s)
        requests.add(seen, series.request_bytes)
        replies.add(seen, series.reply_bytes)
        overheads.add(seen, series.overhead_s)
        if labels.variant in upstreams:
            # Without any reply from upstream the status is our own, and there was no first byte.
            replied = series.first_byte_s.total > 0
            sent = _client(labels, *upstreams[labels.variant], replied=replied)
            upstream.add(sent, series.upstream_s)
            if replied:
                first_bytes.add(sent, series.first_byte_s)
    active = [(_known({"url.scheme": scheme, "sidecar.variant": v}), n) for v, n in traffic.active_by_variant.items()]
    return [
        *(each.metric() for each in (durations, requests, replies, upstream, first_bytes, overheads)),
        _metric("http.server.active_requests", active),
        _metric("sidecar.tunnels", [({"network.protocol.name": name}, n) for name, n in traffic.tunnels.items()]),
        _metric("sidecar.series.folded", [({}, traffic.folded)]),
    ]


def capture_metrics(counts: CaptureCounts) -> list[Metric]:
    """What became of the exchanges that were to be captured and decoded."""
    return [
        _metric("sidecar.capture.offered", [({}, counts.offered)]),
        _metric("sidecar.capture.captured", [({}, counts.captured)]),
        _metric("sidecar.capture.dropped", _by("sidecar.reason", counts.dropped)),
        _metric("sidecar.capture.held", [({}, counts.held_bytes)]),
        _metric("sidecar.capture.waiting", [({}, counts.waiting)]),
        _metric("sidecar.payload.rows", _by("sidecar.variant", counts.rows)),
        _metric("sidecar.payload.failures", _by("sidecar.reason", counts.failures)),
    ]


def sink_metrics(sinks: Sequence[SinkOutlet]) -> list[Metric]:
    """What became of captures, by sink."""
    named: list[tuple[Attributes, SinkOutlet]] = [({"sidecar.sink": sink.name}, sink) for sink in sinks]
    return [
        *_outlets("sidecar.sink", named),
        _metric("sidecar.sink.deleted", [(at, sink.deleted_files) for at, sink in named]),
    ]


def export_metrics(exporters: Sequence[Outlet]) -> list[Metric]:
    """What became of the reports before this one, and of events."""
    return _outlets("sidecar.export", [({"sidecar.exporter": each.name}, each) for each in exporters])


def watch_metrics(
    following: Following | None, broken: Mapping[str, Sequence[Violation]], *, max_series: int
) -> list[Metric]:
    """What the data monitor makes of the rows. May be called from any thread.

    Args:
        following: The monitor; None where nothing is watched.
        broken: Violations by variant; a check that nothing breaks is told as well, or who waits for 0 would wait on.
        max_series: Points of each metric that is told by column.
    """
    rows: list[tuple[Attributes, float]] = []
    drifted: list[tuple[Attributes, float]] = []
    evidence: list[tuple[Attributes, float]] = []
    statistics: list[tuple[Attributes, float]] = []
    for variant, followed in list(following.variants.items()) if following else ():
        columns = followed.columns()
        rows.append(({"sidecar.variant": variant}, followed.rows))
        for subject in SUBJECTS:
            count = sum(column.drifting is not None for column in columns if column.subject == subject)
            drifted.append(({"sidecar.variant": variant, "sidecar.subject": subject}, count))
        for column in columns:
            at = {"sidecar.variant": variant, "sidecar.column": encodable(column.name)}
            if column.nats is not None and np.isfinite(column.nats):
                evidence.append((at, column.nats))
            for kind, said in column.statistics.items():
                if said.statistic is not None:
                    statistics.append(({**at, "sidecar.detector": kind}, said.statistic))
    omitted = sum(max(0, len(each) - max_series) for each in (evidence, statistics))
    return [
        _metric("sidecar.drift.rows", rows),
        _metric("sidecar.drift.columns", drifted),
        _metric("sidecar.drift.evidence", evidence[:max_series]),
        _metric("sidecar.drift.statistic", statistics[:max_series]),
        _metric("sidecar.drift.omitted", [({}, omitted)] if following else []),
        _metric(
            "sidecar.violations",
            [
                ({"sidecar.variant": variant, "sidecar.check": check}, sum(each.check == check for each in those))
                for variant, those in broken.items()
                for check in get_args(Check)
            ],
        ),
    ]


def alert_metrics(alerts: Sequence[Alert], channels: Sequence[Outlet]) -> list[Metric]:
    """How many alerts there are, none included, and what became of their notices."""
    going = Counter((str(each.state), each.severity) for each in alerts)
    told: list[tuple[Attributes, float]] = [
        ({"sidecar.state": state, "sidecar.severity": severity}, going[state, severity])
        for state, severity in product(("pending", "firing"), get_args(Severity))
    ]
    return [
        _metric("sidecar.alerts", told),
        *_outlets("sidecar.alert", [({"sidecar.channel": each.name}, each) for each in channels]),
    ]


def info_metrics(version: str) -> list[Metric]:
    """What runs."""
    return [_metric("sidecar.info", [({"service.version": version}, 1)])]


def window_metrics(summaries: Mapping[tuple[str, str], Summary], *, max_series: int) -> list[Metric]:
    """Gauges of the current windows; what is not a number is left out, never 0.

    Args:
        summaries: By variant and kind, a key of SUBJECTS.
        max_series: Columns that are told, of each kind; the rest is counted.
    """
    metrics = []
    omitted: list[tuple[Attributes, float]] = []
    for kind, subject in SUBJECTS.items():
        points: dict[str, list[tuple[Attributes, float]]] = {}
        left = max_series
        for variant, summary in ((variant, each) for (variant, of), each in summaries.items() if of == kind):
            shown = min(left, len(summary.names))
            left -= shown
            omitted.append(({"sidecar.variant": variant, "sidecar.kind": kind}, len(summary.names) - shown))
            points.setdefault("rows", []).append(({"sidecar.variant": variant}, summary.rows))
            for gauge, column, attributes, value in _columns(summary, shown):
                at = {"sidecar.variant": variant, f"sidecar.{subject}.name": encodable(summary.names[column])}
                points.setdefault(gauge, []).append(({**at, **attributes}, value))
        metrics += [_metric(f"sidecar.{subject}.{gauge}", each) for gauge, each in points.items()]
    return [*metrics, _metric("sidecar.window.omitted", omitted)]


def _columns(summary: Summary, shown: int) -> Iterable[tuple[str, int, Attributes, float]]:
    """The gauges of the first `shown` columns: which gauge, of which column, with what further attributes, how much."""
    for column, missing in enumerate(summary.missing[:shown].tolist()):
        yield "missing", column, {}, missing
    numbers = {"mean": summary.mean, "std": summary.std, "min": summary.minimum, "max": summary.maximum}
    for gauge, values in numbers.items():
        for column in np.flatnonzero(np.isfinite(values[:shown])).tolist():
            yield gauge, column, {}, float(values[column])
    for share in SHOWN_QUANTILES:
        quantiles = summary.quantiles[:shown, QUANTILES.index(share)]
        for column in np.flatnonzero(np.isfinite(quantiles)).tolist():
            yield "quantile", column, {"sidecar.quantile": f"{share:g}"}, float(quantiles[column])
    for column, texts in summary.texts.items():
        if column < shown:
            yield "distinct", column, {}, texts.distinct


class _Histograms:
    """The points of one histogram metric; label sets that are exported alike are added up."""

    def __init__(self, name: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._bounds = bounds
        self._points: dict[tuple[tuple[str, str | int | bool], ...], Buckets] = {}

    def add(self, attributes: Attributes, histogram: Histogram) -> None:
        key = tuple(attributes.items())
        counts, total = histogram.over(self._bounds), histogram.total
        if before := self._points.get(key):
            counts = [one + two for one, two in zip(before.counts, counts, strict=True)]
            total += before.total
        self._points[key] = Buckets(self._bounds, counts, total)

    def metric(self) -> Metric:
        return _metric(self._name, [(dict(key), buckets) for key, buckets in self._points.items()])


def _metric(name: str, points: Iterable[tuple[Attributes, float | Buckets]]) -> Metric:
    instrument = INSTRUMENTS[name]
    return Metric(name, instrument.unit, instrument.description, instrument.kind, list(points))


def _by(attribute: str, counts: Mapping[str, int]) -> list[tuple[Attributes, float]]:
    return [({attribute: key}, count) for key, count in counts.items()]


def _outlets(prefix: str, outlets: Sequence[tuple[Attributes, Outlet]]) -> list[Metric]:
    return [
        _metric(f"{prefix}.delivered", [(at, outlet.delivered) for at, outlet in outlets]),
        _metric(f"{prefix}.dropped", [(at, outlet.dropped) for at, outlet in outlets]),
        _metric(f"{prefix}.failed", [(at, outlet.failed) for at, outlet in outlets]),
    ]


def _known(attributes: Attributes) -> dict[str, str | int | bool]:
    """Without those that are empty: absence is how OpenTelemetry says that there is none."""
    return {name: value for name, value in attributes.items() if value not in {"", 0}}


def _server(labels: Labels, scheme: str) -> Attributes:
    """As the client sees the request; a 4xx is not the server's error."""
    failed = str(labels.status) if labels.status >= 500 else ""
    return _known({
        "http.request.method": labels.method,
        "url.scheme": scheme,
        "http.route": labels.route,
        "http.response.status_code": labels.status,
        "error.type": labels.error_type or failed,
        "sidecar.variant": labels.variant,
        "sidecar.version": labels.version,
    })  # fmt: skip


def _client(labels: Labels, host: str, port: int, *, replied: bool) -> Attributes:
    """As we see the upstream; here a 4xx is an error."""
    failed = str(labels.status) if labels.status >= 400 else ""
    return _known({
        "http.request.method": labels.method,
        "server.address": host,
        "server.port": port,
        "http.route": labels.route,
        "http.response.status_code": labels.status if replied else 0,
        "error.type": labels.error_type or failed,
        "sidecar.variant": labels.variant,
        "sidecar.version": labels.version,
    })  # fmt: skip
