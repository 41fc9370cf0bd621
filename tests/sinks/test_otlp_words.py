"""That what the installed exporters say tells a collector that refuses from one that is away, by real servers."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource

from sidecar.records import Event
from sidecar.sinks.otlp_data import log_records
from sidecar.sinks.otlp_span_exporters import over_grpc, over_http
from sidecar.sinks.otlp_spans import add_spans, without_spans
from sidecar.sinks.otlp_words import Words, mends, unmuted
from tests.sinks.rig import PATIENCE_S, Collector
from tests.sinks.test_otlp_spans import TRACED

OTEL = logging.getLogger("opentelemetry")
RESOURCE = Resource({"service.name": "scorer"})
SHORT_S = 0.7
"""Less than the first pause of an exporter: it gives up with the first attempt."""

ANSWERED_S = 2.0
"""More than a busy machine takes to answer; an exporter attempts it once more, and gives up before the third time."""

HANGS_S = 0.1


def records(body: str = "amount drifts") -> Sequence[ReadableLogRecord]:
    return log_records([Event("sidecar.alert", 1.0, "info", body, {})], RESOURCE, "1")


def heard(export: Callable[[], object]) -> Words:
    """What is said of an export that fails."""
    unmuted()
    with Words() as words:
        assert getattr(export(), "name", "") == "FAILURE"
    assert words.first
    return words


def over(protocol: str, endpoint: str, body: str = "amount drifts", timeout_s: float = SHORT_S) -> Words:
    """Of a log record sent there."""
    exporter = (HttpLogs if protocol == "http" else GrpcLogs)(endpoint=endpoint, timeout=timeout_s)
    try:
        return heard(lambda: exporter.export(records(body)))
    finally:
        exporter.shutdown()


@contextmanager
def answering(reply: bytes | None, port: int = 0, asked: threading.Semaphore | None = None) -> Iterator[str]:
    """A port where requests are read, and answered so before the connection is closed; None for never.

    Args:
        asked: To be released for each.
    """

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if asked is not None:
                asked.release()
            if reply is None:
                kept.append(connection)
                continue
            with connection:
                connection.recv(1 << 16)
                connection.sendall(reply)

    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)
    for each in kept:
        each.close()


@contextmanager
def absent() -> Iterator[str]:
    """A port that is taken, and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


class Aborting(LogsServiceServicer):
    """Answers with the code of which the first record tells; takes what tells of none."""

    def Export(self, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> ExportLogsServiceResponse:
        name = request.resource_logs[0].scope_logs[0].log_records[0].body.string_value
        if name in grpc.StatusCode.__members__:
            context.abort(grpc.StatusCode[name], "said so")
        return ExportLogsServiceResponse()


@pytest.fixture(scope="module")
def aborting() -> Iterator[str]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, options=[("grpc.max_receive_message_length", 1000)])
        add_LogsServiceServicer_to_server(Aborting(), server)  # type: ignore[no-untyped-call]  # generated
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"http://127.0.0.1:{port}"
        server.stop(None).wait()


AWAY = (408, 429, 502, 503, 504)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422, 500, 501, 505, *AWAY])
def test_over_http_the_status_tells(collector: Collector, status: int) -> None:
    collector.statuses = [status] * 20
    words = over("http", f"http://127.0.0.1:{collector.port}/v1/logs")
    assert words.away == (status in AWAY)


@pytest.mark.parametrize(
    "reply",
    [None, b"", b"HTTP/1.1 503 Unavailable\r\nContent-Length: 100\r\n\r\nhalf", b"no HTTP\r\n\r\n"],
    ids=["hangs", "closes", "closes within its answer", "speaks something else"],
)
def test_a_collector_that_does_not_answer_as_it_should_is_away(reply: bytes | None) -> None:
    for protocol in ("http", "grpc"):
        with answering(reply) as url:
            assert over(protocol, url, timeout_s=SHORT_S if reply is not None else HANGS_S).away


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_collector_that_is_not_there_is_away(protocol: str) -> None:
    with absent() as url:
        assert over(protocol, url).away


def test_what_is_no_url_is_not_mended_by_waiting() -> None:
    assert not over("http", "http://").away


REFUSED = {"UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED"}
REFUSED |= {"FAILED_PRECONDITION", "UNIMPLEMENTED", "INTERNAL"}


@pytest.mark.parametrize("code", sorted(set(grpc.StatusCode.__members__) - {"OK"}))
def test_over_grpc_the_code_tells(aborting: str, code: str) -> None:
    words = over("grpc", aborting, code, timeout_s=PATIENCE_S if code in REFUSED else ANSWERED_S)
    assert (words.away, code in words.first) == (code not in REFUSED, True)


def test_a_batch_that_is_too_large_for_a_collector_will_always_be(aborting: str) -> None:
    words = over("grpc", aborting, "x" * 2000, timeout_s=ANSWERED_S)
    assert (words.away, "RESOURCE_EXHAUSTED" in words.first) == (False, True)


@pytest.mark.parametrize(
    "details",
    [
        "grpc: received message larger than max (5000 vs. 4194304)",
        "gRPC message exceeds maximum size 4194304: 5000000",
        "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
        "SERVER: Received message larger than max (1 vs. 0)",
    ],
    ids=["Go", "Java", "tonic", "C++"],
)
def test_too_large_is_said_in_many_ways(details: str) -> None:
    with Words() as words:
        OTEL.error("error code: %s, error details: %s", grpc.StatusCode.OUT_OF_RANGE, details)
    assert not words.away


@pytest.mark.parametrize("details", ["Quota exceeded for quota metric 'Log messages'", "time for the message exceeded"])
def test_who_has_too_much_to_do_may_take_it_later(details: str) -> None:
    with Words() as words:
        OTEL.error("error code: %s, error details: %s", grpc.StatusCode.RESOURCE_EXHAUSTED, details)
    assert words.away


def test_what_cannot_be_encoded_never_can() -> None:
    assert not heard(lambda: HttpLogs(endpoint="http://127.0.0.1:1").export([object()])).away  # type: ignore[list-item]  # a mistake


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_exporters_of_spans_say_as_much(
    protocol: str, collector: Collector, aborting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = without_spans(RESOURCE, "1")
    add_spans(message, [TRACED], scheme="http")
    collector.statuses = [404]
    if protocol == "grpc":  # where nobody takes spans
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", aborting)
    exporter = (over_http if protocol == "http" else over_grpc)(PATIENCE_S, RESOURCE)
    words = heard(lambda: exporter.export(message))
    assert (words.away, ("404" if protocol == "http" else "UNIMPLEMENTED") in words.first) == (False, True)
    with absent() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        away = (over_http if protocol == "http" else over_grpc)(SHORT_S, RESOURCE)
        assert heard(lambda: away.export(message)).away


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_same_failure_is_said_each_time(protocol: str, aborting: str, collector: Collector) -> None:
    collector.statuses = [400, 400]
    url = aborting if protocol == "grpc" else f"http://127.0.0.1:{collector.port}"
    first, second = (over(protocol, url, "UNIMPLEMENTED").first for _ in range(2))
    assert first == second != ""


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (UnicodeError(), False),
        (KeyError("x"), False),
        (None, False),
        (True, False),
    ],
)
def test_what_the_network_does_may_be_otherwise_later(reason: object, expected: bool) -> None:
    assert mends(reason) == expected


def test_the_last_word_counts_and_the_first_is_kept() -> None:
    with Words() as words:
        OTEL.warning("Transient error %s", "Service Unavailable")
        assert words.away
        OTEL.error("Failed to export %s batch code: %s, reason: %s", "logs", 400, "Bad Request")
    assert (words.first, words.away) == ("Transient error Service Unavailable", False)
    words.forget()
    assert (words.first, words.away) == ("", False)


def test_how_an_exporter_goes_about_it_is_no_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "opentelemetry"), Words() as words:
        OTEL.debug("Reinitializing gRPC channel")
        OTEL.error("error code: %s", grpc.StatusCode.UNAVAILABLE)
        OTEL.debug("closed")
    assert (words.first, words.away) == ("error code: StatusCode.UNAVAILABLE", True)


def test_words_of_one_thread_are_not_taken_for_anothers() -> None:
    told = []

    def speak() -> None:
        with Words() as theirs:
            OTEL.error("theirs")
            told.append(theirs.first)

    with Words() as ours:
        speaking = threading.Thread(target=speak)
        speaking.start()
        speaking.join()
        OTEL.error("ours, %s", "first")
        OTEL.error("ours, second")
    assert (told, ours.first) == (["theirs"], "ours, first")


def test_words_come_back_when_the_last_has_left(caplog: pytest.LogCaptureFixture) -> None:
    before = list(OTEL.handlers), OTEL.propagate
    first, second = Words(), Words()
    with first:
        with second:
            OTEL.error("to both")
        OTEL.error("to one")
    OTEL.error("to the log")
    assert caplog.messages == ["to the log"]
    assert (OTEL.handlers, OTEL.propagate) == before
