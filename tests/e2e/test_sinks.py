"""Each sink before its real server: what comes there, and what a server that is ill costs."""

import base64
import json
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import obstore
import psutil
import pytest
import requests
import yaml
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from obstore.store import from_url

from sidecar.errors import DeliveryError
from sidecar.records import JSON
from sidecar.sinks.kafka import Kafka
from sidecar.sinks.objects import Objects
from tests.e2e.kafka import PASSWORD, USER, Broker, broker
from tests.e2e.rig import PATIENCE_S, Process, Sidecar, running, sidecar, until
from tests.e2e.s3 import BUCKET, Store, s3
from tests.e2e.traffic import predict_many
from tests.e2e.upstreams import Model
from tests.sinks.captures import several
from tests.sinks.messages import messages

MIB = 1 << 20
BUFFER_BYTES = 128 << 10
"""Of a queue: some hundred captures."""
OBJECT_BYTES = 20_000
STUCK_S = 600.0
"""A sink waits so long for its server: longer than any test, so that whoever waited for the sink would be seen."""
KEPT = 20
STALLED = 1000
FLAT_BYTES = 10 * MIB


@dataclass
class Place:
    """A server that captures go to, and the sink that brings them there.

    Args:
        options: Of the sink.
        variables: Of its environment.
        lines: What has come: the JSON line of every capture, or as much of one as there is.
    """

    process: Process
    options: dict[str, object]
    lines: Callable[[], list[JSON]]
    variables: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that all tests share, each with its topic."""
    with broker(tmp_path_factory.mktemp("kafka")) as found:
        yield found


@contextmanager
def kafka_place(found: Broker, topic: str) -> Iterator[Place]:
    def lines() -> list[JSON]:
        return [json.loads(each.value() or b"") for each in messages(found.address, topic)]

    options = {"kind": "kafka", "brokers": found.address, "topic": topic, "timeout_s": STUCK_S}
    yield Place(found.process, options, lines)


def objects(store: Store) -> list[JSON]:
    """The lines of all objects in the bucket."""
    credentials = {"access_key_id": "anybody", "secret_access_key": "nothing", "region": "eu-central-1"}
    client = {"allow_http": True}
    bucket = from_url(f"s3://{BUCKET}", config={"endpoint": store.url, **credentials}, client_options=client)  # type: ignore[call-overload]  # obstore's types know no mixture
    found = [each["path"] for page in obstore.list(bucket) for each in page]
    return [json.loads(line) for path in found for line in bytes(obstore.get(bucket, path).bytes()).splitlines()]


@contextmanager
def objects_place() -> Iterator[Place]:
    with s3() as store:
        url = f"s3://{BUCKET}/all/of it"
        options = {
            "kind": "objects",
            "url": url,
            "flush_s": 0.1,
            "max_object_bytes": OBJECT_BYTES,
            "timeout_s": STUCK_S,
        }
        yield Place(store.process, options, lambda: objects(store), store.variables)


def events(url: str) -> list[JSON]:
    """As a line of each pair of events: what they have of one."""
    found = requests.get(f"{url}/events", timeout=PATIENCE_S).json()
    read = [from_http(HTTPMessage(each["headers"], base64.b64decode(each["body"])), JSONFormat()) for each in found]
    pairs = [
        (one.get_attributes(), one.get_data(), other.get_data())
        for one, other in zip(read[::2], read[1::2], strict=True)
    ]
    assert Counter(each.get_attributes()["id"] for each in read) == {attributes["id"]: 2 for attributes, _, _ in pairs}
    return [
        {"eventMetadata": {"eventId": attributes["id"]}, "asked": asked, "answered": answered}
        for attributes, asked, answered in pairs
    ]


@contextmanager
def events_place() -> Iterator[Place]:
    with running([sys.executable, "-m", "tests.e2e.event_receiver"]) as process:
        url = process.says(r"receiving on (\S+)")[1]
        yield Place(process, {"kind": "cloudevents", "url": url, "timeout_s": STUCK_S}, lambda: events(url))


@pytest.fixture(params=["objects", "cloudevents", "kafka"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "kafka":
        topic = "".join(each for each in request.node.name if each.isalnum())
        found = kafka_place(request.getfixturevalue("kafka"), topic)
    else:
        found = {"objects": objects_place, "cloudevents": events_place}[request.param]()
    with found as made:
        yield made


@contextmanager
def bringing(model: Model, place: Place, *more: Mapping[str, object]) -> Iterator[Sidecar]:
    """A sidecar that captures everything to this place, and others."""
    sinks = yaml.safe_dump([place.options, *more], default_flow_style=True, width=10_000)
    bounds = ["--capture-buffer-bytes", str(BUFFER_BYTES), "--capture-max-body-bytes", str(BUFFER_BYTES)]
    flags = ["--capture-sample-ratio", "1", *bounds, "--capture-sinks", sinks]
    with sidecar("--upstream", model.url, *flags, variables=place.variables) as running:
        yield running


def told(running: Sidecar) -> JSON:
    """What became of captures at the first sink."""
    return running.told("sinks", 0)


def delivered(running: Sidecar, count: int) -> None:
    until(lambda: told(running)["delivered"] >= count)


def test_what_comes_is_what_was_captured(first: Model, place: Place, tmp_path: Path) -> None:
    with bringing(first, place, {"kind": "jsonl", "path": str(tmp_path)}) as running:
        predict_many(running.url, KEPT)
        delivered(running, KEPT)
        until(lambda: running.told("sinks", 1, "delivered") == KEPT)
    ours = [json.loads(line) for file in tmp_path.rglob("*.jsonl") for line in file.read_text().splitlines()]
    come = place.lines()
    ids = [{each["eventMetadata"]["eventId"] for each in lines} for lines in (ours, come)]
    assert (len(come), ids[1]) == (KEPT, ids[0])
    if "captureData" in come[0]:
        assert sorted(come, key=str) == sorted(ours, key=str)
    else:
        answers = {each["eventMetadata"]["eventId"]: each["captureData"]["endpointOutput"]["data"] for each in ours}
        assert {each["eventMetadata"]["eventId"]: json.dumps(each["answered"]) for each in come} == answers


def test_what_is_gathered_comes_when_the_sidecar_ends(first: Model) -> None:
    with objects_place() as place:
        place.options |= {"flush_s": STUCK_S, "max_object_bytes": 64 * MIB}
        with bringing(first, place) as running:
            predict_many(running.url, KEPT)
            until(lambda: told(running)["waiting"] == KEPT)
            before = len(place.lines())
        assert (before, len(place.lines())) == (0, KEPT)


def test_a_server_that_stalls_costs_counted_captures_and_no_client_anything(first: Model, place: Place) -> None:
    """While the sink waits in one call for longer than any request may take, every request is answered."""
    with bringing(first, place) as running:
        process = psutil.Process(running.process.process.pid)
        predict_many(running.url, KEPT)
        delivered(running, KEPT)

        place.process.send(signal.SIGSTOP)
        predict_many(running.url, STALLED)
        until(lambda: told(running)["dropped"] >= STALLED // 2)
        before = process.memory_info().rss
        predict_many(running.url, STALLED)
        until(lambda: told(running)["dropped"] >= STALLED + STALLED // 2 and not running.told("captures", "waiting"))
        stalled, grown = told(running), process.memory_info().rss - before
        scraped = running.ask("/metrics").text

        place.process.send(signal.SIGCONT)
        predict_many(running.url, KEPT)
        until(lambda: ended(running) == 2 * KEPT + 2 * STALLED)
        after = told(running)

    assert stalled["delivered"] <= KEPT + 64
    assert figure(scraped, "sidecar_sink_held_bytes") <= BUFFER_BYTES + OBJECT_BYTES
    assert grown < FLAT_BYTES
    assert figure(scraped, "sidecar_sink_dropped_total") == stalled["dropped"]
    assert (after["failed"], after["dropped"] >= stalled["dropped"]) == (0, True)
    assert len(place.lines()) == after["delivered"] >= 2 * KEPT


def figure(scraped: str, metric: str) -> float:
    """The value of the only point of a metric."""
    [found] = re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", scraped, re.MULTILINE)
    return float(found)


def ended(running: Sidecar) -> int:
    """Captures that have come to their end."""
    status = running.status()
    sink = status["sinks"][0]
    return int(sink["delivered"] + sink["failed"] + sink["dropped"] + sum(status["captures"]["dropped"].values()))


def test_a_server_that_dies_costs_counted_captures_and_no_client_anything(first: Model) -> None:
    with events_place() as place:
        place.options |= {"retry_s": 0.1, "timeout_s": 1.0}
        with bringing(first, place) as running:
            predict_many(running.url, KEPT)
            delivered(running, KEPT)
            place.process.kill()
            predict_many(running.url, KEPT)
            until(lambda: ended(running) == 2 * KEPT)
            sink = told(running)
    assert (sink["delivered"], sink["failed"], sink["dropped"]) == (KEPT, KEPT, 0)
    assert "Connection refused" in sink["last_error"]


@pytest.fixture
def strict_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that checks credentials, found by ones that are none."""
    with s3(INITIAL_NO_AUTH_ACTION_COUNT="1") as found:
        for name, value in found.variables.items():
            monkeypatch.setenv(name, value)
        yield


def trouble(sink: Objects | Kafka, captures: int = 3) -> str:
    """What a sink says that loses these."""

    def bring() -> None:
        sink.export(several(captures))
        sink.close()

    with pytest.raises(DeliveryError) as caught:
        bring()
    assert (sink.lost, sink.taken) == (captures, 0)
    return str(caught.value)


@pytest.mark.usefixtures("strict_store")
def test_credentials_that_are_none_are_told() -> None:
    said = trouble(Objects(url=f"s3://{BUCKET}/a"))
    assert said == f"s3://{BUCKET}/a: answered 403 Forbidden (InvalidAccessKeyId), expected a bucket that takes objects"


def test_a_bucket_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3() as store:
        for name, value in store.variables.items():
            monkeypatch.setenv(name, value)
        said = trouble(Objects(url="s3://nobodys/a"))
    assert said == "s3://nobodys/a: answered 404 Not Found (NoSuchBucket), expected a bucket that takes objects"


def test_a_password_in_a_file_opens_the_broker(kafka: Broker, tmp_path: Path) -> None:
    sink = with_password(kafka, tmp_path, PASSWORD)
    sink.export(several(3))
    assert (sink.taken, len(messages(kafka.address, "secret"))) == (3, 3)


def test_a_wrong_password_is_told_and_not_repeated(kafka: Broker, tmp_path: Path) -> None:
    said = trouble(with_password(kafka, tmp_path, "wr0ng", timeout_s=3.0))
    assert ("Authentication failed" in said, "wr0ng" in said) == (True, False)


def with_password(kafka: Broker, folder: Path, password: str, timeout_s: float = PATIENCE_S) -> Kafka:
    file = folder / "password"
    file.write_text(password + "\n")
    properties = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": USER}
    secrets = {"sasl.password": str(file)}
    return Kafka(
        brokers=kafka.sasl_address, topic="secret", properties=properties, secrets=secrets, timeout_s=timeout_s
    )


def test_a_broker_that_was_stopped_for_too_long_is_used_again(kafka: Broker) -> None:
    sink = Kafka(brokers=kafka.address, topic="again", key="variant", timeout_s=2.0)
    until(lambda: taken(sink))
    before = sink.taken
    kafka.process.send(signal.SIGSTOP)
    try:
        with pytest.raises(DeliveryError, match="64 of 64 captures lost"):
            sink.export(several(64))
    finally:
        kafka.process.send(signal.SIGCONT)
    until(lambda: taken(sink))
    assert sink.taken == before + 1


def taken(sink: Kafka) -> bool:
    """Whether it can bring one there."""
    try:
        sink.export(several(1))
    except DeliveryError:
        return False
    return True
