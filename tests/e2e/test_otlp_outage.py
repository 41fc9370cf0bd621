"""A collector that is away for a while, and well again: what was emitted meanwhile arrives once, and in order."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc

from sidecar.records import JSON, Event
from sidecar.sinks.otlp_logs import OtlpLogsSettings, otlp_logs
from sidecar.sinks.otlp_sending import Sending
from sidecar.sinks.otlp_settings import Protocol
from sidecar.sinks.otlp_traces import OtlpTracesSettings, otlp_traces
from sidecar.stats.traced import SAMPLED, Sampler, Traced, Tracing
from tests.e2e.receiver import Received, http_receiver
from tests.sinks.rig import PATIENCE_S
from tests.sinks.test_otlp_spans import HERE_ONLY
from tests.sinks.test_otlp_words import answering

ROOM, BATCH = 20, 6
TIMEOUT_S = 0.3
"""Less than an exporter's first pause: each attempt is one."""

Answer = Callable[[JSON], None]
Emit = Callable[[int], None]


class Grpc:
    """A collector over gRPC that fails as it is told to, and else takes what comes."""

    def __init__(self, received: Received, code: grpc.StatusCode | None) -> None:
        self._received = received
        self._code = code

    def taking(self, path: str, answer: JSON) -> JSON:
        def export(request: JSON, context: grpc.ServicerContext) -> JSON:
            if self._code is not None:
                context.abort(self._code, "said so")
            self._received.take(path, request, {})
            return answer()

        return type("Taking", (), {"Export": staticmethod(export)})()


@contextmanager
def grpc_receiver(address: str, code: grpc.StatusCode | None = None) -> Iterator[Received]:
    received = Received(address=address)
    collector = Grpc(received, code)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        taking_logs = collector.taking("/v1/logs", logs.ExportLogsServiceResponse)
        taking_traces = collector.taking("/v1/traces", traces.ExportTraceServiceResponse)
        logs_grpc.add_LogsServiceServicer_to_server(taking_logs, server)  # type: ignore[no-untyped-call]  # generated
        traces_grpc.add_TraceServiceServicer_to_server(taking_traces, server)  # type: ignore[no-untyped-call]  # generated
        server.add_insecure_port(address)
        server.start()
        yield received
        server.stop(None).wait()


UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
TROUBLES = ["absent", "closing", "hanging", "unavailable"]


@contextmanager
def troubled(trouble: str, protocol: Protocol, address: str) -> Iterator[None]:
    port = int(address.rpartition(":")[2])
    with ExitStack() as living:
        if trouble == "unavailable" and protocol == "grpc":
            living.enter_context(grpc_receiver(address, grpc.StatusCode.UNAVAILABLE))
        elif trouble != "absent":
            reply = {"closing": b"", "hanging": None, "unavailable": UNAVAILABLE}[trouble]
            living.enter_context(answering(reply, port))
        yield


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the collector will be."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        found = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{found}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("logs", "traces"):
        monkeypatch.setattr(f"sidecar.sinks.otlp_{name}.AGAIN_S", 0.005)
    return found


def of_logs(protocol: Protocol) -> tuple[Sending[Event], Emit]:
    settings = OtlpLogsSettings(("otlp",), protocol, TIMEOUT_S, 0.001, ROOM, BATCH)
    otlp = otlp_logs(settings, service="scorer", version="1")
    return otlp, lambda number: otlp.put(Event("sidecar.alert", 1.0, "info", str(number), {}))


def of_traces(protocol: Protocol) -> tuple[Sending[Traced], Emit]:
    tracing = Tracing(Sampler(), None, max_waiting=ROOM, max_batch=BATCH, bits=random.Random(1).getrandbits)
    settings = OtlpTracesSettings(("otlp",), protocol, TIMEOUT_S, 0.001, ROOM, BATCH, Sampler(), True)

    def emit(number: int) -> None:
        if tracing.admits(SAMPLED, 0.0):
            tracing.take(HERE_ONLY._replace(server_id=b"%016x" % (number + 1)))

    return otlp_traces(settings, tracing, service="scorer", version="1", scheme="http"), emit


def told(received: Received) -> list[int]:
    of_records = [int(each.body.string_value) for each in received.log_records]
    return of_records + [int(each.span_id.hex(), 16) - 1 for each in received.spans]


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.002)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("signal", [of_logs, of_traces], ids=["logs", "traces"])
def test_what_is_emitted_while_the_collector_is_away_arrives_once_and_in_order(
    signal: JSON, trouble: str, protocol: Protocol, address: str
) -> None:
    with troubled(trouble, protocol, address):
        otlp, emit = signal(protocol)
        for number in range(ROOM // 2):
            emit(number)
        until(lambda: bool(otlp.failing))
        for number in range(ROOM // 2, ROOM):
            emit(number)
    with (http_receiver if protocol == "http/protobuf" else grpc_receiver)(address=address) as received:
        until(lambda: bool(otlp.delivered == ROOM))
        otlp.close(PATIENCE_S)
    assert told(received) == list(range(ROOM))
    assert (otlp.dropped, otlp.failed, otlp.waiting, otlp.failing) == (0, 0, 0, False)


@pytest.mark.parametrize("signal", [of_logs, of_traces], ids=["logs", "traces"])
def test_of_more_than_there_is_room_for_the_rest_is_counted(signal: JSON, address: str) -> None:
    otlp, emit = signal("http/protobuf")
    for number in range(10 * ROOM):
        emit(number)
    until(lambda: bool(otlp.failing))
    with http_receiver(address=address) as received:
        until(lambda: bool(otlp.waiting == 0 and otlp.delivered + otlp.dropped == 10 * ROOM))
        otlp.close(PATIENCE_S)
    arrived = told(received)
    assert (arrived, len(arrived)) == (sorted(set(arrived)), otlp.delivered)
    assert ROOM <= len(arrived) <= ROOM + (BATCH if signal is of_traces else 0)
    assert (otlp.dropped, otlp.failed) == (10 * ROOM - len(arrived), 0)


@pytest.mark.parametrize("signal", [of_logs, of_traces], ids=["logs", "traces"])
def test_a_collector_that_stays_away_is_not_asked_all_the_time(signal: JSON, address: str) -> None:
    asked = threading.Semaphore(0)
    with answering(UNAVAILABLE, int(address.rpartition(":")[2]), asked):
        otlp, emit = signal("http/protobuf")
        emit(1)
        attempts = 0
        end_s = time.monotonic() + 0.2
        while asked.acquire(timeout=max(0.0, end_s - time.monotonic())):
            attempts += 1
        otlp.close(0.0)
    # Pauses of 5, 10, 20 and then 40 ms.
    assert 2 <= attempts <= 9
    otlp.close(PATIENCE_S)
    assert (otlp.dropped, otlp.failed) == (1, 0)
