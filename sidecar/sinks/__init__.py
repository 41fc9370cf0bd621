"""Where captures go: one sink a file, by the name that `capture.sinks[].kind` gives."""

from collections.abc import Callable

from sidecar.ports import Sink
from sidecar.sinks.jsonl import Jsonl

SINKS: dict[str, Callable[..., Sink]] = {"jsonl": Jsonl}
