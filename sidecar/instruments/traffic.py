"""What the request path counted."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import nan

from sidecar.instruments.table import known, metric
from sidecar.records import Attributes, Buckets, ExponentialBuckets, Metric
from sidecar.stats.traffic import (
    BYTES,
    EXPONENTIAL_SCALE,
    EXPONENTIAL_SECONDS,
    EXPONENTIAL_START,
    FINE_SECONDS,
    OVERHEAD_SECONDS,
    SECONDS,
    Histogram,
    Labels,
    Traffic,
)

_INDICES = tuple(
    EXPONENTIAL_START - 1 + bisect_left(EXPONENTIAL_SECONDS, bound) for bound in (*FINE_SECONDS, float("inf"))
)
"""Which exponential bucket each fine one is part of; the first and the last are open, see `_exponential`."""


def traffic_metrics(
    traffic: Traffic, *, scheme: str, upstreams: Mapping[str, tuple[str, int]], exponential: bool = False
) -> list[Metric]:
    """What the request path counted.

    Args:
        scheme: Of the listener: `http` or `https`.
        upstreams: Host and port by variant; a Unix socket's path has port 0. What reached none of these variants is
            in no `http.client` metric.
        exponential: Durations are told in exponential buckets too. Sizes never are: they are counted in powers of four.
    """
    durations = _Histograms("http.server.request.duration", SECONDS, exponential=exponential)
    requests = _Histograms("http.server.request.body.size", BYTES)
    replies = _Histograms("http.server.response.body.size", BYTES)
    overheads = _Histograms("sidecar.overhead.duration", OVERHEAD_SECONDS, exponential=exponential)
    upstream = _Histograms("http.client.request.duration", SECONDS, exponential=exponential)
    first_bytes = _Histograms("sidecar.upstream.first_byte.duration", SECONDS, exponential=exponential)
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
    active = [
        (known({"url.scheme": scheme, "feature_flag.result.variant": v}), n)
        for v, n in traffic.active_by_variant.items()
        if v
    ]
    return [
        *(each.metric() for each in (durations, requests, replies, upstream, first_bytes, overheads)),
        metric("http.server.active_requests", active),
        metric("sidecar.tunnels", [({"network.protocol.name": name}, n) for name, n in traffic.tunnels.items()]),
        metric("sidecar.series.folded", [({}, traffic.folded)]),
    ]


class _Histograms:
    """The points of one histogram metric; label sets that are exported alike are added up."""

    def __init__(self, name: str, bounds: Sequence[float], *, exponential: bool = False) -> None:
        self._name = name
        self._bounds = bounds
        self._exponential = exponential
        self._points: dict[tuple[tuple[str, str | int | bool], ...], Histogram] = {}

    def add(self, attributes: Attributes, histogram: Histogram) -> None:
        key = tuple(attributes.items())
        if before := self._points.get(key):
            both = Histogram(before.bounds)
            both.merge(before)
            both.merge(histogram)
            histogram = both
        self._points[key] = histogram

    def metric(self) -> Metric:
        return metric(self._name, [(dict(key), self._buckets(each)) for key, each in self._points.items()])

    def _buckets(self, histogram: Histogram) -> Buckets:
        finer = _exponential(histogram) if self._exponential else None
        return Buckets(self._bounds, histogram.over(self._bounds), histogram.total, finer)


def _exponential(histogram: Histogram) -> ExponentialBuckets:
    """Of durations.

    What is below the first bound, 9.9 us, is in the bucket that ends there, for the data model of OpenTelemetry's SDK
    has no threshold under which numbers count as zero. What is above the last, 609 s, is in the one that begins there.
    So much is known of either, and no more: a quantile of what takes longer is too low.
    """
    placed: dict[int, int] = {}
    for index, count in zip(_INDICES, histogram.counts, strict=True):
        if count:
            placed[index] = placed.get(index, 0) + count
    run = (min(placed), [placed.get(index, 0) for index in range(min(placed), max(placed) + 1)]) if placed else (0, [])
    return ExponentialBuckets(EXPONENTIAL_SCALE, 0, run, (0, []), histogram.total, nan, nan)


def _server(labels: Labels, scheme: str) -> Attributes:
    """As the client sees the request; a 4xx is not the server's error."""
    failed = str(labels.status) if labels.status >= 500 else ""
    return known({
        "http.request.method": labels.method,
        "url.scheme": scheme,
        "http.route": labels.route,
        "http.response.status_code": labels.status,
        "error.type": labels.error_type or failed,
        "feature_flag.result.variant": labels.variant,
        "sidecar.version": labels.version,
    })  # fmt: skip


def _client(labels: Labels, host: str, port: int, *, replied: bool) -> Attributes:
    """As we see the upstream; here a 4xx is an error."""
    failed = str(labels.status) if labels.status >= 400 else ""
    return known({
        "http.request.method": labels.method,
        "server.address": host,
        "server.port": port,
        "http.route": labels.route,
        "http.response.status_code": labels.status if replied else 0,
        "error.type": labels.error_type or failed,
        "feature_flag.result.variant": labels.variant,
        "sidecar.version": labels.version,
    })  # fmt: skip
