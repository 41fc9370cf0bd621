"""Every metric that is exported, in one table, and how points become one.

Names, units and attributes are those of OpenTelemetry's HTTP conventions (semconv 1.44.0) where it has any; ours begin
with `sidecar.`. No gauge has the unit `1`: of the two ways to Prometheus one adds `_ratio` for it and one does not.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import NamedTuple

from sidecar.records import Attributes, Kind, Metric, Value
from sidecar.texts import encodable

Points = list[tuple[Attributes, float]]
"""Values by their attribute sets."""


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
    "value": Instrument("histogram", "", "All numbers since the start, by OTLP only"),
}

INSTRUMENTS: dict[str, Instrument] = {
    "http.server.request.duration": Instrument("histogram", "s", "Duration of requests, as the client sees it"),
    "http.server.request.body.size": Instrument("histogram", "By", "Size of the bodies of requests"),
    "http.server.response.body.size": Instrument("histogram", "By", "Size of the bodies of replies"),
    "http.server.active_requests": Instrument("up_down", "{request}", "Requests in flight"),
    "http.client.request.duration": Instrument("histogram", "s", "The upstream's share of the requests' duration"),
    "sidecar.upstream.first_byte.duration": Instrument("histogram", "s", "From head sent upstream to reply's head"),
    "sidecar.overhead.duration": Instrument("histogram", "s", "The sidecar's own share of the requests' duration"),
    "sidecar.traces": Instrument("counter", "{trace}", "Traces kept, because sampled or by the tail's rules"),
    "sidecar.traces.dropped": Instrument("counter", "{trace}", "Traces that were to be kept and were not"),
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
    "sidecar.sink.waiting": Instrument("up_down", "{capture}", "Captures that wait for a sink"),
    "sidecar.sink.held": Instrument("up_down", "By", "Bytes of captures that wait for a sink"),
    "sidecar.sink.deleted": Instrument("counter", "{file}", "Files of captures deleted to make room for later ones"),
    "sidecar.export.delivered": Instrument("counter", "{item}", "Reports and events that the collector took"),
    "sidecar.export.dropped": Instrument(
        "counter", "{item}", "Reports replaced, events without room, metrics that cannot be encoded"
    ),
    "sidecar.export.failed": Instrument("counter", "{item}", "Reports and events that the collector did not take"),
    "sidecar.export.waiting": Instrument("up_down", "{item}", "Reports and events that wait for the collector"),
    "sidecar.drift.rows": Instrument("counter", "{row}", "Rows compared with the reference"),
    "sidecar.drift.evidence": Instrument("gauge", "{nat}", "Evidence of drift; while an alarm lasts, what it had"),
    "sidecar.drift.statistic": Instrument("gauge", "", "What a detector says of the latest whole window"),
    "sidecar.drift.columns": Instrument("gauge", "{column}", "Features and predictions that have drifted"),
    "sidecar.drift.bin.rows": Instrument("counter", "{row}", "Rows compared with the reference, by its bins"),
    "sidecar.drift.bin.reference": Instrument("gauge", "{row}", "The reference's rows, by its bins"),
    "sidecar.drift.omitted": Instrument("gauge", "{point}", "Evidence, statistics and bins beyond the limit of series"),
    "sidecar.violations": Instrument("gauge", "{column}", "Features and predictions that break a constraint"),
    "sidecar.predictions": Instrument("counter", "{exchange}", "Exchanges kept until their labels come"),
    "sidecar.predictions.awaiting": Instrument("gauge", "{exchange}", "Exchanges without a label that may still come"),
    "sidecar.predictions.missing": Instrument("counter", "{exchange}", "Exchanges given up without a label"),
    "sidecar.predictions.dropped": Instrument("counter", "{exchange}", "Exchanges that could not be kept"),
    "sidecar.labels": Instrument("counter", "{label}", "Labels and outcomes, by what became of them"),
    "sidecar.labels.waiting": Instrument("gauge", "{label}", "Labels whose exchange has not come"),
    "sidecar.outcome.values": Instrument("counter", "{value}", "Values of an outcome"),
    "sidecar.outcome.mean": Instrument("gauge", "", "Mean of an outcome"),
    "sidecar.outcome.dropped": Instrument("counter", "{value}", "Values that are no numbers, or of too many outcomes"),
    "sidecar.outcome.omitted": Instrument("gauge", "{outcome}", "Outcomes beyond the limit of series"),
    "sidecar.quality.rows": Instrument("counter", "{row}", "Rows whose labels have come"),
    "sidecar.quality.score": Instrument("gauge", "", "Quality of the latest labelled rows, by Model Monitor's names"),
    "sidecar.quality.deviation": Instrument("gauge", "", "Standard error of the score"),
    "sidecar.quality.estimate": Instrument("gauge", "", "Quality of the latest predictions, estimated without labels"),
    "sidecar.quality.evidence": Instrument("gauge", "{nat}", "Evidence that quality has fallen, or the relation moved"),
    "sidecar.quality.omitted": Instrument(
        "gauge", "{point}", "Scores, estimates and evidence beyond the limit of series"
    ),
    "sidecar.bias.metric": Instrument("gauge", "", "Bias metrics of the latest labelled rows, by Clarify's names"),
    "sidecar.attribution.ndcg": Instrument("gauge", "", "How much of the reference's ranking of features is left"),
    "sidecar.attribution.calls": Instrument("counter", "{call}", "Calls of ours to the model, by what became of them"),
    "sidecar.bias.omitted": Instrument("gauge", "{point}", "Bias metrics beyond the limit of series"),
    "sidecar.variant.percent": Instrument("gauge", "", "Percent of the traffic that the split gives a variant"),
    "sidecar.variant.available": Instrument("gauge", "", "Percent of its traffic that a variant may take now"),
    "sidecar.variant.ejections": Instrument("counter", "{ejection}", "Times that a variant was ejected"),
    "sidecar.requests.diverted": Instrument("counter", "{request}", "Requests that another variant served"),
    "sidecar.requests.unkeyed": Instrument("counter", "{request}", "Requests without the key that the split goes by"),
    "sidecar.shadow.sent": Instrument("counter", "{request}", "Copies sent to the shadow"),
    "sidecar.shadow.shed": Instrument("counter", "{request}", "Requests that were to be copied and were not"),
    "sidecar.shadow.failed": Instrument("counter", "{request}", "Copies without a whole reply"),
    "sidecar.shadow.active_requests": Instrument("up_down", "{request}", "Copies in flight"),
    "sidecar.experiment.rows": Instrument("counter", "{request}", "Requests that an experiment or rollout weighs"),
    "sidecar.experiment.estimate": Instrument("gauge", "", "Difference from the champion, or the ratio less 1"),
    "sidecar.experiment.low": Instrument("gauge", "", "The least that it may be"),
    "sidecar.experiment.high": Instrument("gauge", "", "The most that it may be"),
    "sidecar.experiment.verdict": Instrument("gauge", "", "1 for the word that holds now, 0 for the others"),
    "sidecar.experiment.dropped": Instrument("counter", "{request}", "Requests that were not weighed for want of room"),
    "sidecar.rollout.percent": Instrument("gauge", "", "The challenger's part of its and the champion's traffic"),
    "sidecar.alerts": Instrument("gauge", "{alert}", "Alerts that are pending or firing"),
    "sidecar.alert.delivered": Instrument("counter", "{notice}", "Notices that a channel took"),
    "sidecar.alert.dropped": Instrument("counter", "{notice}", "Notices given up: too old, or too many waited"),
    "sidecar.alert.failed": Instrument("counter", "{notice}", "Attempts at which a channel did not take a notice"),
    "sidecar.alert.waiting": Instrument("up_down", "{notice}", "Notices that wait for a channel"),
    "sidecar.scrape.up": Instrument("gauge", "", "1 where the latest look at a model server's metrics succeeded, or 0"),
    "sidecar.scrape.duration": Instrument("gauge", "s", "Duration of that look"),
    "sidecar.scrape.points": Instrument("gauge", "{point}", "Points of that look that are forwarded"),
    "sidecar.scrape.omitted": Instrument("gauge", "{point}", "Points of that look that are not"),
    "sidecar.scrape.failures": Instrument("counter", "{scrape}", "Looks at a model server's metrics that failed"),
    "sidecar.custom.failures": Instrument("counter", "{value}", "Values of custom metrics that are no such numbers"),
    "sidecar.custom.omitted": Instrument("counter", "{value}", "Values of custom metrics beyond the limit of series"),
    **{f"sidecar.{subject}.{gauge}": each for subject in SUBJECTS.values() for gauge, each in _OF_COLUMN.items()},
    "sidecar.window.omitted": Instrument("gauge", "{column}", "Features and predictions beyond the limit of series"),
    "sidecar.loop.lag": Instrument("histogram", "s", "How late the event loop wakes a task that sleeps"),
    "sidecar.pipeline.slice.duration": Instrument("histogram", "s", "Work of the pipeline between two requests"),
    "sidecar.capture.percent": Instrument("gauge", "", "Percent of the exchanges that are to be captured"),
    "sidecar.configuration.revision": Instrument("gauge", "", "Which configuration is in force, counted from 1"),
    "sidecar.configuration.refused": Instrument("counter", "{configuration}", "Configurations that were refused"),
    "process.cpu.time": Instrument("counter", "s", "CPU time, that of children that have ended included"),
    "process.memory.usage": Instrument("up_down", "By", "Resident memory; shared pages count for each process"),
    "process.memory.virtual": Instrument("up_down", "By", "Virtual memory"),
    "process.thread.count": Instrument("up_down", "{thread}", "Threads"),
    "process.unix.file_descriptor.count": Instrument("up_down", "{file_descriptor}", "Open file descriptors"),
    "process.disk.io": Instrument("counter", "By", "Bytes read from and written to disks"),
    "process.uptime": Instrument("gauge", "s", "Since the oldest process was started"),
    "sidecar.process.count": Instrument("gauge", "{process}", "Processes that the figures are sums of"),
    "sidecar.process.file_descriptor.limit": Instrument("gauge", "{file_descriptor}", "Limit of open descriptors"),
    "container.cpu.time": Instrument("counter", "s", "CPU time of the container"),
    "container.memory.usage": Instrument("up_down", "By", "Memory of the container, files in memory included"),
    "container.memory.working_set": Instrument("up_down", "By", "Its memory without files that were not needed lately"),
    "container.memory.rss": Instrument("up_down", "By", "Its memory that is no file"),
    "container.memory.available": Instrument("up_down", "By", "What is left to its limit"),
    "container.paging.faults": Instrument("counter", "{fault}", "Page faults of the container"),
    "container.disk.io": Instrument("counter", "By", "Bytes read from and written to block devices"),
    "sidecar.container.cpu.limit": Instrument("gauge", "{cpu}", "CPUs that the container may use"),
    "sidecar.container.cpu.periods": Instrument("counter", "{period}", "Periods in which the CPU limit was enforced"),
    "sidecar.container.cpu.throttled_periods": Instrument("counter", "{period}", "Of these, in which it was reached"),
    "sidecar.container.cpu.throttled": Instrument("counter", "s", "Time the container had to stop at its CPU limit"),
    "sidecar.container.memory.limit": Instrument("gauge", "By", "Memory that the container may use"),
    "sidecar.container.memory.peak": Instrument("gauge", "By", "The most that it ever used"),
    "sidecar.container.memory.oom_kills": Instrument("counter", "{kill}", "Processes killed for want of memory"),
    "sidecar.container.task.count": Instrument("gauge", "{task}", "Processes and threads of the container"),
    "sidecar.container.task.limit": Instrument("gauge", "{task}", "So many it may have"),
    "sidecar.container.stalled": Instrument("counter", "s", "Time in which some or all of its tasks had to wait"),
    "system.network.io": Instrument("counter", "By", "Bytes through an interface of the pod or machine"),
    "system.network.packet.count": Instrument("counter", "{packet}", "Packets through it"),
    "system.network.packet.dropped": Instrument("counter", "{packet}", "Packets that it dropped"),
    "system.network.errors": Instrument("counter", "{error}", "Errors of it"),
    "hw.gpu.utilization": Instrument("gauge", "", "Part of the time in which the GPU was busy, 0 to 1"),
    "hw.gpu.memory.usage": Instrument("up_down", "By", "Memory of the GPU that is used"),
    "hw.gpu.memory.limit": Instrument("up_down", "By", "Memory of the GPU"),
    "hw.temperature": Instrument("gauge", "Cel", "Temperature of the GPU"),
    "hw.power": Instrument("gauge", "W", "Power that the GPU takes"),
    "hw.energy": Instrument("counter", "J", "Energy that the GPU took"),
    "hw.errors": Instrument("counter", "{error}", "Errors of the GPU's memory"),
    "sidecar.infrastructure.unreadable": Instrument("gauge", "{subject}", "1 for what cannot be read, and why"),
    "sidecar.cloudwatch.omitted": Instrument("gauge", "{point}", "Points under CloudWatch's names beyond the limit"),
    "sidecar.exchange.untold": Instrument("counter", "{exchange}", "Failed exchanges beyond those told as events"),
    "sidecar.log.dropped": Instrument("counter", "{record}", "Records of our own log that never reached an output"),
    "sidecar.info": Instrument("gauge", "", "Always 1; its attributes tell what runs"),
}

FOREIGN = ("process.", "container.", "system.", "hw.", "sidecar.container.")
"""With what the names of counts begin that the kernel or a device began without us."""

STORED = frozenset({"sidecar.predictions", "sidecar.predictions.missing", "sidecar.labels"})
"""Counts of the store of labels: it was there before us, or others have it too."""


def metric(name: str, points: Iterable[tuple[Attributes, Value]]) -> Metric:
    """The metric of this name with its points."""
    instrument = INSTRUMENTS[name]
    foreign = name in STORED or name.startswith(FOREIGN)
    return Metric(name, instrument.unit, instrument.description, instrument.kind, list(points), foreign=foreign)


def known(attributes: Attributes) -> dict[str, str | int | bool]:
    """Without those that are empty: absence is how OpenTelemetry says that there is none."""
    return {name: value for name, value in attributes.items() if value not in {"", 0}}


def whose(variant: str, version: str) -> dict[str, str | int | bool]:
    """The attributes of what is told of one version."""
    return known({"feature_flag.result.variant": encodable(variant), "sidecar.version": encodable(version)})


def counted_by(attribute: str, counts: Mapping[str, int]) -> Points:
    """A point for each count."""
    return [({attribute: key}, count) for key, count in counts.items()]


def bounded(named: Mapping[str, Points], max_series: int) -> tuple[list[Metric], int]:
    """Metrics with those of their points that are defined, `max_series` each at most, and how many are left out."""
    defined = {name: [(at, value) for at, value in points if isfinite(value)] for name, points in named.items()}
    omitted = sum(max(0, len(points) - max_series) for points in defined.values())
    return [metric(name, points[:max_series]) for name, points in defined.items()], omitted
