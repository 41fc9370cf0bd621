"""Where captures go: one sink a file, by the name that `capture.sinks[].kind` gives."""

from collections.abc import Callable

from sidecar.ports import RowSink, Sink
from sidecar.sinks.cloudevents import CloudEvents
from sidecar.sinks.jsonl import Jsonl
from sidecar.sinks.kafka import Kafka
from sidecar.sinks.objects import Objects
from sidecar.sinks.parquet import Parquet

SINKS: dict[str, Callable[..., Sink | RowSink]] = {
    "jsonl": Jsonl,
    "parquet": Parquet,
    "objects": Objects,
    "cloudevents": CloudEvents,
    "kafka": Kafka,
}
