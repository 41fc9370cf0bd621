"""Captures as messages of a Kafka topic."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from sidecar.config.values import File
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import Capture
from sidecar.sinks.capture_lines import line
from sidecar.sinks.secret_files import read_secret

if TYPE_CHECKING:
    # Only who has such a sink has the library.
    from confluent_kafka import KafkaError, Message, Producer

TIMEOUT_S = 10.0
QUEUE_KIB = 16 * 1024
"""More than the largest batch: two bodies of a MiB, as Base64, and the batch's own MiB before them."""
PURGE_S = 1.0
MAX_TOLD_CHARACTERS = 200

KafkaSeconds = Annotated[float, Meta(ge=0.1, le=900)]
"""A broker remembers less than that of a producer, by default."""

OURS = {
    "bootstrap.servers": "brokers",
    "metadata.broker.list": "brokers",
    "acks": "",
    "request.required.acks": "",
    "enable.idempotence": "",
    "message.timeout.ms": "timeout_s",
    "delivery.timeout.ms": "timeout_s",
    "transactional.id": "",
    "queue.buffering.max.kbytes": "",
    "queue.buffering.max.messages": "",
    "log_level": "",
}
"""What librdkafka is told by us, and the option instead, where there is one."""
SECRETS = frozenset(
    {"sasl.password", "sasl.oauthbearer.client.secret", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password"}
)
"""What a configuration's text must not hold."""
PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]{1,253}):([0-9]{1,5})")
_TOPIC = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")  # as Kafka has them


@dataclass(slots=True)
class _Reports:
    """What became of the messages of one batch.

    Args:
        late: Some have been given up without an answer: the client may still be busy with them.
    """

    taken: int = 0
    problem: str = ""
    late: bool = False

    def report(self, error: "KafkaError | None", _: "Message") -> None:
        if error is None:
            self.taken += 1
        else:
            self.refused(error.str())

    def refused(self, problem: str) -> None:
        self.problem = self.problem or problem


@dataclass(slots=True)
class _Trouble:
    """What the client last said of its brokers, and whether it is beyond mending."""

    said: str = ""
    fatal: bool = False

    def __call__(self, error: "KafkaError") -> None:
        self.said = error.str()
        self.fatal = self.fatal or error.fatal()


@dataclass(kw_only=True, slots=True)
class Kafka:
    """Produces a message for each capture to a topic: its value the JSON line, without its end, that files have.

    Headers are `event_id`, by which labels may call it, `endpoint`, `variant` and `version`; the timestamp is the
    request's. A batch is taken once all in-sync replicas have it (`acks=all`), once and in order (idempotence); where
    a batch was lost because no answer came, some of its messages may be there all the same.

    Args:
        brokers: host:port of one or more, with commas between.
        topic: Has to be there, or the brokers have to make it.
        endpoint: SageMaker's word for the served model; a header.
        key: What chooses the partition: request_id, inference_id (any partition where there is none) or variant.
        properties: More for librdkafka, as it calls them: `{security.protocol: sasl_ssl, sasl.mechanism: PLAIN}`.
        secrets: Properties whose values are in files: `{sasl.password: /run/secrets/password}`; read at a new client.
        timeout_s: What is not taken after so long is lost.
        clock: Monotonic, in seconds.

    Attributes:
        taken: Captures that brokers have acknowledged.
        lost: Captures that were given and not acknowledged.
        gathered: None between two batches, likewise the next.
        gathered_bytes: None.
        deleted_files: None ever: what a topic keeps is its own rule.

    Raises:
        ConfigError: An option names what cannot be, or confluent-kafka is not installed.
    """

    brokers: str
    topic: str
    endpoint: str = "sidecar"
    key: Literal["request_id", "inference_id", "variant"] = "request_id"
    properties: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, File] = field(default_factory=dict)
    timeout_s: KafkaSeconds = TIMEOUT_S
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=False, repr=False)
    taken: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)
    gathered: int = field(default=0, init=False)
    gathered_bytes: int = field(default=0, init=False)
    deleted_files: int = field(default=0, init=False)
    _producer: "Producer | None" = field(default=None, init=False, repr=False)
    _trouble: _Trouble = field(default_factory=_Trouble, init=False, repr=False)

    def __post_init__(self) -> None:
        faults = [*_place_faults(self.brokers, self.topic), *_property_faults(self.properties, self.secrets)]
        if find_spec("confluent_kafka") is None:
            faults.append(Fault("kind", "confluent-kafka is not installed, expected pip install 'sidecar[kafka]'"))
        elif self.properties and not faults:
            faults += _unknown_faults(self.properties)
        if faults:
            raise ConfigError(*faults)

    def export(self, captures: Sequence[Capture]) -> None:
        """Produce these, in order for each key, and wait until they are taken.

        Raises:
            DeliveryError: Some or all were not taken, and `lost` has grown by these.
        """
        reports = _Reports()
        try:
            self._deliver(captures, reports)
        except DeliveryError:
            self.lost += len(captures)
            raise
        lost = len(captures) - reports.taken
        self.taken += reports.taken
        self.lost += lost
        problem = self._told(reports)
        if self._trouble.fatal or reports.late:
            self.close()
        if lost:
            raise DeliveryError(f"{self.brokers}: {problem}; {lost} of {len(captures)} captures lost")

    def tend(self) -> None:
        """Nothing: all that is given is taken or lost at once."""

    def close(self) -> None:
        """Let go of the client; `export` has waited for all that it was given."""
        self._producer = None
        self._trouble = _Trouble()

    def _deliver(self, captures: Sequence[Capture], reports: _Reports) -> None:
        """Produce these, and wait for the reports."""
        producer = self._opened()
        self._trouble.said = ""
        until_s = self.clock() + self.timeout_s
        for capture in captures:
            self._produce(producer, capture, reports)
        if producer.flush(max(until_s - self.clock(), 0.0)):
            # Otherwise they would be sent when a broker is there again, and had been counted as lost.
            reports.late = True
            producer.purge()
            producer.flush(PURGE_S)

    def _opened(self) -> "Producer":
        if self._producer is None:
            self._producer = _producer(
                {
                    **self.properties,
                    **{name: read_secret(f"secrets.{name}", file) for name, file in self.secrets.items()},
                    "bootstrap.servers": self.brokers,
                    "acks": "all",
                    "enable.idempotence": True,
                    "message.timeout.ms": max(int(self.timeout_s * 1000), 1),
                    "queue.buffering.max.kbytes": QUEUE_KIB,
                    # It would write to stderr itself; what it says comes here too.
                    "log_level": 0,
                    "error_cb": self._trouble,
                }
            )
        return self._producer

    def _produce(self, producer: "Producer", capture: Capture, reports: _Reports) -> None:
        from confluent_kafka import KafkaException

        headers = {
            "event_id": capture.event_id,
            "endpoint": self.endpoint,
            "variant": capture.variant,
            "version": capture.version,
        }
        try:
            producer.produce(
                self.topic,
                line(capture)[:-1],
                _bytes(getattr(capture, self.key)) or None,
                headers=[(name, _bytes(value)) for name, value in headers.items()],
                timestamp=int(capture.started_s * 1000),
                on_delivery=reports.report,
            )
        except KafkaException as error:
            reports.refused(error.args[0].str())
        except BufferError as error:
            reports.refused(str(error))

    def _told(self, reports: _Reports) -> str:
        problem = "no answer in time" if reports.late else reports.problem
        said = [each for each in (problem, self._trouble.said) if each]
        return ": ".join(dict.fromkeys(said))[:MAX_TOLD_CHARACTERS]


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _producer(settings: dict[str, object]) -> "Producer":
    from confluent_kafka import KafkaException, Producer

    try:
        return Producer(settings)
    except (KafkaException, ValueError) as error:
        raise DeliveryError(f"librdkafka: {_reason(error)}, expected properties that it takes") from error


def _reason(error: Exception) -> str:
    """What librdkafka holds against its settings; of these it names no value that may be secret."""
    said = error.args[0] if error.args else ""
    return (said if isinstance(said, str) else said.str())[:MAX_TOLD_CHARACTERS]


def _place_faults(brokers: str, topic: str) -> list[Fault]:
    faults = []
    found = [_BROKER.fullmatch(each.strip()) for each in brokers.split(",")]
    if not all(each and 0 < int(each[2]) < 65536 for each in found):
        faults.append(Fault("brokers", f"{brokers!r}, expected host:port, or several with commas between"))
    if not _TOPIC.fullmatch(topic):
        faults.append(Fault("topic", f"{topic!r}, expected up to 249 letters, digits and any of . _ -"))
    return faults


def _property_faults(properties: dict[str, str], secrets: dict[str, str]) -> list[Fault]:
    faults = []
    for option, names in (("properties", properties), ("secrets", secrets)):
        for name in sorted(OURS.keys() & names.keys()):
            told = f"expected {OURS[name]} instead" if OURS[name] else "expected others"
            faults.append(Fault(f"{option}.{name}", f"is set by the sidecar, {told}"))
    protocol = properties.get("security.protocol", PROTOCOLS[0])
    if protocol.lower() not in PROTOCOLS:
        faults.append(Fault("properties.security.protocol", f"{protocol!r}, expected one of {', '.join(PROTOCOLS)}"))
    open_ones = sorted(SECRETS & properties.keys())
    faults += [Fault(f"properties.{name}", "expected under secrets, as the file that holds it") for name in open_ones]
    both = sorted(properties.keys() & secrets.keys())
    return faults + [Fault(f"secrets.{name}", "given beside properties; expected one of the two") for name in both]


def _unknown_faults(properties: dict[str, str]) -> list[Fault]:
    """What librdkafka itself holds against these; it is asked without brokers, and opens neither files nor sockets."""
    harmless = {name: value for name, value in properties.items() if name != "security.protocol"}
    try:
        _producer({"log_level": 0, **harmless})
    except DeliveryError as error:
        return [Fault("properties", str(error))]
    return []
