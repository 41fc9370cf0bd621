"""What `/v1/status` and `/v1/traffic` answer: the traffic, and how the sidecar itself does."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from sidecar.admin.rates import Rates, Tally
from sidecar.admin.view import VariantView, View, Watched
from sidecar.alerts.alerting import Alerting
from sidecar.instruments import ExportOutlet, Outlet
from sidecar.records import JSON
from sidecar.stats.traffic import Histogram, Labels, Series, Traffic
from sidecar.texts import encodable

K = TypeVar("K", bound=Hashable)

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Sum:
    """Some series of the traffic, added up. Of a thousand series that takes a tenth of a second: in a thread."""

    def __init__(self) -> None:
        self.total = Series()
        self.replied_s = Histogram(self.total.first_byte_s.bounds)
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def add(self, labels: Labels, series: Series) -> None:
        """Add a series, which is settled."""
        requests = sum(series.duration_s.counts)
        self.total.merge(series)
        self.statuses[str(labels.status) if labels.status else "none"] += requests
        # As the metrics count errors; a request without any reply has a word for it.
        if error := labels.error_type or (str(labels.status) if labels.status >= 500 else ""):
            self.errors[error] += requests
        if series.first_byte_s.total:
            self.replied_s.merge(series.first_byte_s)

    def tally(self) -> Tally:
        """Its requests and errors."""
        return Tally(self.statuses.total(), self.errors.total())

    def document(self) -> JSON:
        """What is told of it."""
        return {
            "requests": self.statuses.total(),
            "statuses": dict(self.statuses),
            "errors": dict(self.errors),
            "duration_s": quantiles(self.total.duration_s),
            "first_byte_s": quantiles(self.replied_s),
            "overhead_s": quantiles(self.total.overhead_s),
            "request_bytes": self.total.request_bytes.total,
            "reply_bytes": self.total.reply_bytes.total,
        }


def quantiles(histogram: Histogram) -> JSON:
    """The shares that latencies are judged by, in seconds; NaN without values."""
    return {name: histogram.quantile(share) for name, share in SHARES.items()}


def by_variant(counted: Traffic) -> dict[str, Sum]:
    """The traffic of each variant; under an empty name, what was refused."""
    return _grouped((labels.variant, labels, series) for labels, series in counted)


def status(view: View, rates: Rates, sums: Mapping[str, Sum]) -> JSON:
    """The sidecar, its variants and what it captures and exports.

    Args:
        sums: The traffic by variant.
    """
    now_s, not_ready, config = view.wall_s(), view.not_ready(), view.config()
    refused = sums.get("", Sum())
    variants = list(view.variants())
    named = {variant.name for variant in variants}
    # A variant that a reload has removed has no share any more, and is still to be seen.
    variants += [VariantView(name, "", 0.0, "") for name in sums if name and name not in named]
    totals = {variant.name: sums.get(variant.name, Sum()) for variant in variants}
    rates_now = rates.look(view.clock(), {name: total.tally() for name, total in totals.items()})
    weight = sum(variant.weight for variant in variants)
    return {
        "version": view.version,
        "started_s": view.started_s,
        "uptime_s": now_s - view.started_s,
        "ready": not not_ready,
        "not_ready": list(not_ready),
        "active_requests": view.traffic.active,
        "refused": dict(refused.errors),
        "folded": view.traffic.folded,
        "tunnels": dict(view.traffic.tunnels),
        "variants": [
            {
                **variant._asdict(),
                "share_ratio": variant.weight / weight,
                "active_requests": view.traffic.active_by_variant[variant.name],
                "rate": rates_now[variant.name]._asdict(),
                **totals[variant.name].document(),
            }
            for variant in variants
        ],
        "captures": _captures(view),
        "sinks": [_outlet(sink) for sink in view.sinks()],
        "exporters": [_exporter(each) for each in view.exporters],
        "reference": reference(view.watching),
        "alerts": alerts(view.watching.alerting),
        "config": {"revision": config.revision, "loaded_s": config.loaded_s, "error": config.error},
    }


def reference(watching: Watched) -> JSON:
    """What rows are compared with, and how far another reference has been learned."""
    known, learning = watching.reference, watching.learning
    return {
        "rows": known.profiles.rows if known else 0,
        "features": [encodable(profile.name) for profile in known.profiles.features] if known else [],
        "learning": {"rows": learning.learner.rows, "of": learning.enough} if learning else None,
    }


def alerts(alerting: Alerting) -> JSON:
    """How many there are, and how their channels do."""
    states = Counter(alert.state for alert in alerting.alerts)
    return {
        "pending": states["pending"],
        "firing": states["firing"],
        "dropped": alerting.dropped,
        "channels": [_outlet(each) for each in alerting.outlets],
    }


def traffic(counted: Traffic) -> JSON:
    """The traffic by variant, method and route."""
    sums = _grouped((labels[:4], labels, series) for labels, series in counted)
    return {
        "routes": [
            {"variant": variant, "version": version, "method": method, "route": route, **each.document()}
            for (variant, version, method, route), each in sorted(sums.items())
        ]
    }


def _grouped(entries: Iterable[tuple[K, Labels, Series]]) -> dict[K, Sum]:
    sums: dict[K, Sum] = {}
    for key, labels, series in entries:
        sums.setdefault(key, Sum()).add(labels, series)
    return sums


def _captures(view: View) -> Mapping[str, JSON]:
    counts = view.counts()._asdict()
    return {name: dict(each) if isinstance(each, Mapping) else each for name, each in counts.items()}


def _exporter(exporter: ExportOutlet) -> JSON:
    return {**_outlet(exporter), "failing": exporter.failing}


def _outlet(outlet: Outlet) -> JSON:
    return {
        "name": outlet.name,
        "delivered": outlet.delivered,
        "dropped": outlet.dropped,
        "failed": outlet.failed,
        "waiting": outlet.waiting,
        "last_error": outlet.last_error,
    }
