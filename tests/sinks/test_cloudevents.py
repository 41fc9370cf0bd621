import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat

from sidecar.errors import ConfigError, DeliveryError
from sidecar.records import Body, Capture
from sidecar.sinks.cloudevents import MAX_FIELD_BYTES, REQUEST, RESPONSE, CloudEvents
from tests.sinks.captures import CAPTURE, NOON_S, several
from tests.sinks.rig import Collector, Receiver
from tests.sinks.test_kept_connection import OK, Server


class Time:
    """Passes when somebody pauses."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def sink(collector: Collector, time: Time) -> Iterator[CloudEvents]:
    made = CloudEvents(url=f"http://127.0.0.1:{collector.port}/events", clock=time, pause=time.pause, retry_s=10.0)
    yield made
    made.close()


def received(collector: Collector) -> list[HTTPMessage]:
    return [HTTPMessage(headers, collector.body()) for headers in collector.headers]


def events(collector: Collector) -> list[BaseCloudEvent]:
    """As CNCF's own library reads them."""
    return [from_http(each, JSONFormat()) for each in received(collector)]


def sent(collector: Collector, sink: CloudEvents, capture: Capture) -> tuple[HTTPMessage, HTTPMessage]:
    sink.export([capture])
    request, reply = received(collector)
    return request, reply


def test_a_capture_is_two_events_with_kserves_attributes(collector: Collector, sink: CloudEvents) -> None:
    sink.export([CAPTURE._replace(inference_id="mine")])
    request, reply = (each.get_attributes() for each in events(collector))
    common = {
        "specversion": "1.0",
        "id": CAPTURE.event_id,
        "source": "sidecar",
        "inferenceservicename": "sidecar",
        "component": "predictor",
        "endpoint": "champion",
        "metadata": '{"user-agent":["curl"]}',
        "modelversion": "3",
        "requestid": "r-1",
        "inferenceid": "mine",
        "path": "/v1/models/fraud:predict",
    }
    asked = datetime.fromtimestamp(NOON_S + 62.5, UTC)
    answered = datetime.fromtimestamp(NOON_S + 62.75, UTC)
    assert request == common | {"type": REQUEST, "time": asked, "datacontenttype": "application/json"}
    assert reply == common | {
        "type": RESPONSE,
        "time": answered,
        "datacontenttype": "text/csv; charset=utf-8",
        "status": "200",
    }


def test_the_types_and_field_names_are_those_of_kserves_logger(collector: Collector, sink: CloudEvents) -> None:
    request, reply = sent(collector, sink, CAPTURE)
    assert request.headers["ce-type"] == "org.kubeflow.serving.inference.request"
    assert reply.headers["ce-type"] == "org.kubeflow.serving.inference.response"
    kserve = {"ce-inferenceservicename", "ce-endpoint", "ce-component", "ce-metadata", "ce-id", "ce-source", "ce-time"}
    assert kserve < set(request.headers)


def test_bodies_are_the_captures_own_bytes(collector: Collector, sink: CloudEvents) -> None:
    request, reply = sent(collector, sink, CAPTURE)
    assert (request.body, reply.body) == (CAPTURE.request.data, CAPTURE.reply.data)


def test_the_service_is_told_as_the_options_say(collector: Collector) -> None:
    url = f"http://127.0.0.1:{collector.port}/"
    sink = CloudEvents(url=url, endpoint="fraud", namespace="models", component="transformer", source="//pod/1")
    request, _ = sent(collector, sink, CAPTURE)
    told = {
        name: request.headers[f"ce-{name}"] for name in ("inferenceservicename", "namespace", "component", "source")
    }
    sink.close()
    assert told == {
        "inferenceservicename": "fraud",
        "namespace": "models",
        "component": "transformer",
        "source": "//pod/1",
    }


def test_a_withheld_body_is_empty_and_says_why(collector: Collector, sink: CloudEvents) -> None:
    capture = CAPTURE._replace(request=Body("application/json", b'{"card": 4', "truncated"))
    request, reply = sent(collector, sink, capture)
    assert (request.body, request.headers["ce-withheld"]) == (b"", "truncated")
    assert (reply.body, "ce-withheld" in reply.headers) == (CAPTURE.reply.data, False)


def test_an_exchange_that_failed_says_how(collector: Collector, sink: CloudEvents) -> None:
    _, reply = sent(collector, sink, CAPTURE._replace(status=504, error_type="upstream_timeout", reply=Body("", b"")))
    told = {name: reply.headers.get(name) for name in ("ce-status", "ce-errortype", "content-type")}
    assert told == {"ce-status": "504", "ce-errortype": "upstream_timeout", "content-type": None}


def test_what_no_field_can_hold_as_it_is_comes_back(collector: Collector, sink: CloudEvents) -> None:
    odd = {"request": {"x-user": 'é "100 %"'}, "reply": {}}
    sink.export([CAPTURE._replace(path="é\r\nce-id: 2", headers=odd)])
    attributes = events(collector)[0].get_attributes()
    assert attributes["path"] == "é\r\nce-id: 2"
    assert json.loads(str(attributes["metadata"])) == {"x-user": ['é "100 %"']}
    assert attributes["id"] == CAPTURE.event_id


def test_an_attribute_too_long_for_a_field_costs_no_event(collector: Collector, sink: CloudEvents) -> None:
    request, _ = sent(collector, sink, CAPTURE._replace(path="/" + "a" * MAX_FIELD_BYTES))
    assert ("ce-path" in request.headers, request.headers["ce-requestid"]) == (False, "r-1")


def test_a_content_type_that_is_none_is_left_out(collector: Collector, sink: CloudEvents) -> None:
    request, _ = sent(collector, sink, CAPTURE._replace(request=Body("a/b\r\nce-id: 2", b"1")))
    assert ("content-type" in request.headers, request.headers["ce-id"]) == (False, CAPTURE.event_id)


def test_events_come_in_order_on_one_connection(collector: Collector, sink: CloudEvents) -> None:
    sink.export(several(20))
    told = [(each.headers["ce-requestid"], each.headers["ce-type"]) for each in received(collector)]
    assert told == [(str(number), kind) for number in range(20) for kind in (REQUEST, RESPONSE)]
    assert (sink.taken, sink.lost) == (20, 0)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_is_busy_is_tried_again(collector: Collector, sink: CloudEvents, time: Time, status: int) -> None:
    collector.statuses[:] = [202, status, status]
    sink.export([CAPTURE])
    assert [each["ce-type"] for each in collector.headers] == [REQUEST, RESPONSE, RESPONSE, RESPONSE]
    assert (sink.taken, sink.lost, time.pauses) == (1, 0, [0.1, 0.2])


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 501])
def test_what_is_refused_is_lost_and_the_rest_goes_on(
    collector: Collector, sink: CloudEvents, time: Time, status: int
) -> None:
    collector.statuses[:] = [200, 200, status]
    with pytest.raises(DeliveryError) as caught:
        sink.export(several(3))
    assert str(caught.value).endswith(f": answered {status}, expected 2xx; 1 of 3 captures lost")
    assert [each["ce-requestid"] for each in collector.headers] == ["0", "0", "1", "2", "2"]
    assert (sink.taken, sink.lost, time.pauses) == (2, 1, [])


def test_a_receiver_is_left_alone_for_as_long_as_it_asks(time: Time) -> None:
    def busy(seconds: bytes) -> bytes:
        return b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: " + seconds + b"\r\nContent-Length: 0\r\n\r\n"

    shouted = CAPTURE._replace(request=Body("text/plain", b"!"), reply=Body("text/plain", b"!"))
    with Server([busy(b"3"), busy(b"Wed, 21 Oct 2026 07:28:00 GMT"), busy(b"9999"), OK, OK]) as server:
        sink = CloudEvents(url=f"http://127.0.0.1:{server.port}", clock=time, pause=time.pause, retry_s=10.0)
        sink.export([shouted])
        sink.close()
    assert (sink.taken, time.pauses) == (1, [3.0, 0.2, pytest.approx(6.8)])


def test_after_its_time_a_batch_is_lost_and_nothing_more_is_tried(
    collector: Collector, sink: CloudEvents, time: Time
) -> None:
    collector.statuses[:] = [503] * 100
    with pytest.raises(DeliveryError, match=r"answered 503, expected 2xx; 5 of 5 captures lost"):
        sink.export(several(5))
    assert {each["ce-requestid"] for each in collector.headers} == {"0"}
    assert (sink.lost, time.now_s, max(time.pauses)) == (5, 10.0, 2.0)


def test_the_next_batch_has_its_own_time(collector: Collector, sink: CloudEvents) -> None:
    collector.statuses[:] = [503] * 100
    with pytest.raises(DeliveryError):
        sink.export([CAPTURE])
    collector.statuses.clear()
    sink.export(several(4))
    assert (sink.taken, sink.lost) == (4, 1)


def test_a_receiver_that_is_gone_is_tried_until_the_time_is_over(refusing_url: str, time: Time) -> None:
    sink = CloudEvents(url=refusing_url, clock=time, pause=time.pause, retry_s=1.0)
    with pytest.raises(DeliveryError, match=r"^127.0.0.1:\d+: Connection refused; 2 of 2 captures lost$"):
        sink.export(several(2))
    assert (sum(time.pauses), time.pauses) == (1.0, [0.1, 0.2, 0.4, pytest.approx(0.3)])


@pytest.fixture
def refusing_url() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/a?secret=1"


def test_a_receiver_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = CloudEvents(url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05, retry_s=0.05)
        with pytest.raises(DeliveryError, match=r"no answer in time; 64 of 64 captures lost"):
            sink.export(several(64))
        sink.close()
    assert sink.lost == 64


def test_authorization_is_read_for_each_batch(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "authorization"
    sink = CloudEvents(url=f"http://127.0.0.1:{collector.port}/", authorization_file=str(file))
    for token in ("Bearer one\n", "Bearer two"):
        file.write_text(token)
        sink.export([CAPTURE])
    sink.close()
    assert [each["authorization"] for each in collector.headers] == ["Bearer one"] * 2 + ["Bearer two"] * 2


@pytest.mark.parametrize("content", ["", "Bearer a\r\nX-Evil: 1", "Bearer é"])
def test_authorization_that_no_field_can_hold_is_refused(collector: Collector, tmp_path: Path, content: str) -> None:
    file = tmp_path / "authorization"
    file.write_bytes(content.encode())
    sink = CloudEvents(url=f"http://127.0.0.1:{collector.port}/", authorization_file=str(file))
    with pytest.raises(DeliveryError, match=f"^authorization_file {file}: expected"):
        sink.export(several(3))
    assert (sink.lost, collector.headers) == (3, [])


def test_authorities_of_ones_own_are_trusted_and_no_others(tmp_path: Path, time: Time) -> None:
    authority, collector = trustme.CA(), Collector()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with Receiver(collector) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"https://127.0.0.1:{server.server_address[1]}/"
        stranger = CloudEvents(url=url, ca=str(tmp_path / "other.pem"), clock=time, pause=time.pause, retry_s=0.1)
        with pytest.raises(DeliveryError, match="its certificate is not trusted: "):
            stranger.export([CAPTURE])
        friend = CloudEvents(url=url, ca=str(tmp_path / "ca.pem"))
        friend.export([CAPTURE])
        friend.close()
        server.shutdown()
        thread.join()
    assert (stranger.lost, friend.taken, len(collector.headers)) == (1, 1, 2)


def test_an_empty_batch_opens_nothing() -> None:
    sink = CloudEvents(url="http://127.0.0.1:1")
    sink.export([])
    sink.close()
    assert (sink.taken, sink.lost) == (0, 0)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"url": "ftp://a"}, "url"),
        ({"url": "http://user:password@a"}, "url"),
        ({"url": "http://a/#b"}, "url"),
        ({"url": "http://a:99999/"}, "url"),
        ({"url": "http://[::1/"}, "url"),
        ({"url": "http://a/b c"}, "url"),
        ({"url": "http://a", "ca": "/ca.pem"}, "ca"),
        ({"url": "http://a", "source": "a b"}, "source"),
    ],
)
def test_options_that_cannot_be_are_refused_without_the_url(options: dict[str, str], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CloudEvents(**options)  # type: ignore[arg-type]  # those of these cases are texts
    assert [fault.path for fault in caught.value.faults] == [path]
    assert options["url"] not in str(caught.value)
