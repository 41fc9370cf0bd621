"""Against librdkafka's own brokers, which speak Kafka's protocol within the process; Apache's are in tests/e2e."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from sidecar.errors import ConfigError, DeliveryError
from sidecar.sinks.capture_lines import line
from sidecar.sinks.kafka import OURS, SECRETS, Kafka
from tests.sinks.captures import CAPTURE, NOON_S, several
from tests.sinks.messages import messages
from tests.sinks.rig import PATIENCE_S


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """The address of a broker."""
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    [found] = owner.list_topics(timeout=PATIENCE_S).brokers.values()
    yield f"{found.host}:{found.port}"
    owner.close()


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address that is taken, and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_a_message_is_the_line_of_the_capture_under_its_request_id(brokers: str) -> None:
    sink = Kafka(brokers=brokers, topic="lines", endpoint="fraud", timeout_s=PATIENCE_S)
    sink.export([CAPTURE])
    [message] = messages(brokers, "lines")
    sink.close()
    assert (message.key(), message.value()) == (b"r-1", line(CAPTURE).removesuffix(b"\n"))
    assert dict(message.headers() or []) == {
        "event_id": CAPTURE.event_id.encode(),
        "endpoint": b"fraud",
        "variant": b"champion",
        "version": b"3",
    }
    assert message.timestamp()[1] == (NOON_S + 62.5) * 1000


@pytest.mark.parametrize(
    ("key", "expected"), [("request_id", b"r-1"), ("variant", b"champion"), ("inference_id", b"mine")]
)
def test_the_key_is_what_the_options_say(brokers: str, key: str, expected: bytes) -> None:
    sink = Kafka(brokers=brokers, topic=f"by_{key}", key=key, timeout_s=PATIENCE_S)  # type: ignore[arg-type]  # one of its words
    sink.export([CAPTURE._replace(inference_id="mine")])
    [message] = messages(brokers, f"by_{key}")
    assert message.key() == expected


def test_without_an_inference_id_there_is_no_key(brokers: str) -> None:
    sink = Kafka(brokers=brokers, topic="keyless", key="inference_id", timeout_s=PATIENCE_S)
    sink.export([CAPTURE])
    assert [each.key() for each in messages(brokers, "keyless")] == [None]


def test_captures_of_one_key_come_in_order_and_are_counted(brokers: str) -> None:
    sink = Kafka(brokers=brokers, topic="ordered", key="variant", timeout_s=PATIENCE_S)
    captures = several(300)
    for start in range(0, 300, 64):
        sink.export(captures[start : start + 64])
    values = [each.value() for each in messages(brokers, "ordered")]
    assert values == [line(each)[:-1] for each in captures]
    assert (sink.taken, sink.lost) == (300, 0)


def test_what_no_utf8_can_hold_is_sent_with_question_marks(brokers: str) -> None:
    sink = Kafka(brokers=brokers, topic="odd", timeout_s=PATIENCE_S)
    sink.export([CAPTURE._replace(request_id="\udcff", version="\ud800")])
    [message] = messages(brokers, "odd")
    assert (message.key(), dict(message.headers() or [])["version"]) == (b"?", b"?")


def test_a_capture_too_large_for_a_message_costs_no_other(brokers: str) -> None:
    sink = Kafka(brokers=brokers, topic="large", properties={"message.max.bytes": "2000"}, timeout_s=PATIENCE_S)
    large = CAPTURE._replace(request=CAPTURE.request._replace(data=bytes(2000)))
    with pytest.raises(DeliveryError, match=r"Message size too large; 1 of 3 captures lost$"):
        sink.export([CAPTURE, large, CAPTURE])
    assert (sink.taken, sink.lost) == (2, 1)


def test_a_broker_that_is_gone_costs_the_batch_counted_and_told(refusing: str) -> None:
    sink = Kafka(brokers=refusing, topic="a", timeout_s=0.1)
    with pytest.raises(DeliveryError, match=rf"^{refusing}: .*; 64 of 64 captures lost$"):
        sink.export(several(64))
    sink.close()
    assert (sink.taken, sink.lost) == (0, 64)


def test_a_broker_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = Kafka(brokers=f"127.0.0.1:{silent.getsockname()[1]}", topic="a", timeout_s=0.1)
        for _ in range(3):
            with pytest.raises(DeliveryError, match=r"2 of 2 captures lost$"):
                sink.export(several(2))
        sink.close()
    assert sink.lost == 6


def test_an_empty_batch_is_nothing(refusing: str) -> None:
    sink = Kafka(brokers=refusing, topic="a")
    sink.export([])
    sink.close()
    assert (sink.taken, sink.lost) == (0, 0)


def test_a_secret_that_cannot_be_read_is_told_by_its_property(refusing: str, tmp_path: Path) -> None:
    sink = Kafka(brokers=refusing, topic="a", secrets={"sasl.password": str(tmp_path / "gone")})
    with pytest.raises(DeliveryError, match=r"^secrets.sasl.password .*/gone: No such file"):
        sink.export([CAPTURE])
    assert sink.lost == 1


def test_settings_that_cannot_work_are_told_without_secrets(refusing: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret")
    protocol = {"security.protocol": "ssl"}
    sink = Kafka(brokers=refusing, topic="a", properties=protocol, secrets={"ssl.key.pem": str(file)})
    with pytest.raises(DeliveryError, match=r"^librdkafka: .*expected properties that it takes") as caught:
        sink.export([CAPTURE])
    assert ("s3cret" in str(caught.value), sink.lost) == (False, 1)


@pytest.mark.parametrize("brokers", ["", "a", "a:0", "a:99999", "a:1,", "a b:1", "http://a:1"])
def test_brokers_are_hosts_with_ports(brokers: str) -> None:
    with pytest.raises(ConfigError, match=r"^brokers: .*expected host:port"):
        Kafka(brokers=brokers, topic="a")


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "a/b", "a" * 250])
def test_a_topic_is_what_kafka_takes_for_one(topic: str) -> None:
    with pytest.raises(ConfigError, match=r"^topic: .*expected up to 249"):
        Kafka(brokers="a:1, [::1]:2", topic=topic)


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_we_set_is_not_for_the_user(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^properties.{name}: is set by the sidecar, expected "):
        Kafka(brokers="a:1", topic="a", properties={name: "1"})


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_in_a_file_only(name: str) -> None:
    with pytest.raises(ConfigError, match="expected under secrets") as caught:
        Kafka(brokers="a:1", topic="a", properties={name: "s3cret"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"linger": "5"}, 'properties: librdkafka: No such configuration property: "linger"'),
        ({"linger.ms": "soon"}, "properties: librdkafka: Invalid value for configuration property"),
        ({"security.protocol": "tls"}, "properties.security.protocol: 'tls', expected one of plaintext, ssl"),
        ({"sasl.username": "a"}, None),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "ssl.ca.location": "/later"}, None),
    ],
)
def test_properties_are_checked_by_librdkafka_itself(properties: dict[str, str], problem: str | None) -> None:
    faults: list[str] = []
    try:
        Kafka(brokers="a:1", topic="a", properties=properties)
    except ConfigError as error:
        faults = [str(each) for each in error.faults]
    assert [each.startswith(problem or "") for each in faults] == ([True] if problem else [])


def test_a_property_given_twice_is_refused() -> None:
    name = "ssl.certificate.location"
    with pytest.raises(ConfigError, match="given beside properties; expected one of the two"):
        Kafka(brokers="a:1", topic="a", properties={name: "/a"}, secrets={name: "/b"})
