"""Traces from end to end: what the model server is told of them, and what a receiver is told of requests."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
import requests
from aiohttp import web
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from sidecar.records import JSON
from tests.e2e.receiver import Received, grpc_receiver, http_receiver, plain
from tests.e2e.rig import PATIENCE_S, Sidecar, free_address, sidecar, until
from tests.e2e.upstreams import EVENTS, PREDICT, Model, model, served

SERVER, CLIENT = 2, 3
ERROR = 2
ONLY_TRACES = {
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_BSP_SCHEDULE_DELAY": "20",
}
PROTOCOLS: dict[str, Callable[[], AbstractContextManager[Received]]] = {
    "http/protobuf": http_receiver,
    "grpc": grpc_receiver,
}


class Caller(NamedTuple):
    """A span of a client's."""

    trace_id: str
    span_id: str

    def context(self, flags: str = "01") -> str:
        return f"00-{self.trace_id}-{self.span_id}-{flags}"


def caller() -> Caller:
    return Caller(secrets.token_hex(16), secrets.token_hex(8))


@contextmanager
def telling(received: Received, *arguments: str | Path, **variables: str) -> Iterator[Sidecar]:
    """A sidecar that tells its traces there."""
    said = ONLY_TRACES | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}"} | variables
    with sidecar(*arguments, variables=said) as found:
        yield found


@pytest.fixture(scope="module", params=list(PROTOCOLS))
def received(request: pytest.FixtureRequest) -> Iterator[Received]:
    with PROTOCOLS[request.param]() as found:
        found.headers.append({"protocol": request.param})
        yield found


@pytest.fixture(scope="module")
def upstream() -> Iterator[Model]:
    with model("traced") as found:
        yield found


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


@pytest.fixture(scope="module")
def traced(received: Received, upstream: Model, captures: Path) -> Iterator[Sidecar]:
    """Every request is sampled unless its client says otherwise, and captured."""
    keeping = ["--capture-sample-ratio", "1", "--capture-sinks", json.dumps([{"kind": "jsonl", "path": str(captures)}])]
    arguments = ["--variants", json.dumps({"main": {"url": upstream.url, "version": "7"}}), *keeping]
    with telling(received, *arguments, OTEL_EXPORTER_OTLP_PROTOCOL=received.headers[0]["protocol"]) as found:
        found.ready()
        yield found


def ask(url: str, path: str = "/", **headers: str) -> JSON:
    """What the model server got."""
    reply = requests.get(url + path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert reply.status_code == 200, reply.text
    return reply.json()


def fields(got: JSON, name: str) -> list[str]:
    """Of the request that the model server got."""
    return [value for field, value in got["headers"] if field.lower() == name]


def spans(received: Received, trace_id: str, count: int) -> list[JSON]:
    """Of a trace, when there are so many."""

    def found() -> list[JSON]:
        return [each for each in received.spans if each.trace_id.hex() == trace_id]

    until(lambda: len(found()) >= count)
    assert len(found()) == count
    return found()


def chain(received: Received, who: Caller, count: int) -> list[JSON]:
    """So many spans of a trace, each the parent of the next, the first the caller's child."""
    by_parent = {each.parent_span_id.hex(): each for each in spans(received, who.trace_id, count)}
    found = [by_parent[who.span_id]]
    while len(found) < count:
        found.append(by_parent[found[-1].span_id.hex()])
    return found


def pair(received: Received, trace_id: str) -> tuple[JSON, JSON]:
    """The two spans of a request that was sent upstream, whose places in the trace are looked at."""
    told = {each.kind: each for each in spans(received, trace_id, 2)}
    server, client = told[SERVER], told[CLIENT]
    assert client.parent_span_id == server.span_id
    assert server.start_time_unix_nano <= client.start_time_unix_nano
    assert client.end_time_unix_nano <= server.end_time_unix_nano
    return server, client


def sent_under(got: JSON) -> tuple[str, str, str]:
    """Trace, span and flags under which the model server got a request."""
    (context,) = fields(got, "traceparent")
    version, trace_id, span_id, flags = context.split("-")
    assert version == "00"
    return trace_id, span_id, flags


# What passes


def test_a_request_is_a_link_in_the_trace_of_its_caller(traced: Sidecar, received: Received) -> None:
    who = caller()

    got = ask(traced.url, traceparent=who.context(), tracestate="a=1,b=2", baggage="user=7")

    server, client = pair(received, who.trace_id)
    assert server.parent_span_id.hex() == who.span_id
    assert sent_under(got) == (who.trace_id, client.span_id.hex(), "01")
    assert (fields(got, "tracestate"), fields(got, "baggage")) == (["a=1,b=2"], ["user=7"])


def test_whom_the_caller_does_not_sample_is_not_told_and_passed_on_as_such(traced: Sidecar, received: Received) -> None:
    unsampled, sampled = caller(), caller()

    got = ask(traced.url, traceparent=unsampled.context("00"), tracestate="a=1")
    ask(traced.url, traceparent=sampled.context())

    trace_id, span_id, flags = sent_under(got)
    assert (trace_id, flags, fields(got, "tracestate")) == (unsampled.trace_id, "00", ["a=1"])
    assert span_id != unsampled.span_id
    spans(received, sampled.trace_id, 2)
    assert spans(received, unsampled.trace_id, 0) == []


@pytest.mark.parametrize(
    "context", ["", "7", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'1' * 16}-01"]
)
def test_context_that_is_malformed_is_none(traced: Sidecar, received: Received, context: str) -> None:
    got = ask(traced.url, traceparent=context, tracestate="a=1", baggage="user=7")

    trace_id, span_id, flags = sent_under(got)
    server, client = pair(received, trace_id)
    assert (server.parent_span_id, client.span_id.hex(), flags) == (b"", span_id, "03")
    assert (fields(got, "tracestate"), fields(got, "baggage")) == ([], ["user=7"])


def test_spans_tell_the_request_and_the_reply(traced: Sidecar, received: Received, upstream: Model) -> None:
    who = caller()
    body = json.dumps({"instances": [[1, 2], [3, 4]]})
    headers = {"traceparent": who.context(), "user-agent": "tests/1", "x-request-id": f"r-{who.span_id}"}

    before_ns = time.time_ns()
    reply = requests.post(traced.url + PREDICT + "?key=secret", data=body, headers=headers, timeout=PATIENCE_S)
    after_ns = time.time_ns()

    server, client = pair(received, who.trace_id)
    told = plain(server.attributes)
    overhead_s = told.pop("sidecar.overhead.duration")
    assert told == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "url.path": PREDICT,
        "http.route": "/v1/models/{model}:predict",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "user_agent.original": "tests/1",
        "http.request.body.size": len(body),
        "http.response.body.size": len(reply.content),
        "feature_flag.result.variant": "main",
        "sidecar.version": "7",
        "sidecar.request.id": f"r-{who.span_id}",
        "sidecar.model": "sum",
    }
    told = plain(client.attributes)
    first_byte_s = told.pop("sidecar.upstream.first_byte.duration")
    assert told == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": int(upstream.url.rpartition(":")[2]),
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "feature_flag.result.variant": "main",
        "sidecar.version": "7",
    }
    assert 0 < overhead_s < (server.end_time_unix_nano - server.start_time_unix_nano) / 1e9
    assert 0 < first_byte_s <= (client.end_time_unix_nano - client.start_time_unix_nano) / 1e9
    # Of wall clock and counter, the sidecar's and ours, each has its own grain.
    assert before_ns - 5_000_000 < server.start_time_unix_nano < server.end_time_unix_nano < after_ns + 5_000_000
    assert (server.name, client.name) == ("POST /v1/models/{model}:predict", "POST")
    assert not server.status.code
    assert not client.status.code


def test_a_streamed_reply_ends_with_its_last_byte(traced: Sidecar, received: Received, upstream: Model) -> None:
    who = caller()
    with requests.get(traced.url + "/events", headers={"traceparent": who.context()}, stream=True) as reply:
        chunks = reply.iter_content(None)
        for _ in range(EVENTS - 1):
            upstream.event.release()
            next(chunks)
        last_but_one_ns = time.time_ns()
        upstream.event.release()
        assert b"".join(chunks) == f"data: {EVENTS - 1}\n\n".encode()

    server, client = pair(received, who.trace_id)
    first_byte_ns = plain(client.attributes)["sidecar.upstream.first_byte.duration"] * 1e9
    assert client.start_time_unix_nano + first_byte_ns < last_but_one_ns
    assert last_but_one_ns - 5_000_000 < client.end_time_unix_nano
    assert plain(server.attributes)["http.response.body.size"] == len("data: 0\n\n") * EVENTS


def test_captures_name_the_span_that_the_model_server_saw(traced: Sidecar, received: Received, captures: Path) -> None:
    who = caller()
    got = ask(traced.url, traceparent=who.context())
    pair(received, who.trace_id)

    def captured() -> list[str]:
        lines = [line for file in captures.rglob("*") if file.is_file() for line in file.read_text().splitlines()]
        return [line for line in lines if who.trace_id in line]

    (line,) = until(captured)
    assert fields(got, "traceparent")[0] in line


# Other ways through


def test_a_reply_of_ours_is_told_without_an_upstream(received: Received) -> None:
    who = caller()
    with telling(
        received, "--upstream", f"http://{free_address()}", OTEL_EXPORTER_OTLP_PROTOCOL=received.headers[0]["protocol"]
    ) as alone:
        reply = requests.get(alone.url, headers={"traceparent": who.context()}, timeout=PATIENCE_S)
        (server,) = spans(received, who.trace_id, 1)

    told = plain(server.attributes)
    assert (reply.status_code, server.kind, server.status.code) == (502, SERVER, ERROR)
    assert (told["http.response.status_code"], told["error.type"]) == (502, "connect_failed")
    assert told["http.response.body.size"] == len(reply.content)


def test_a_request_for_which_there_is_no_room_is_told_as_refused(received: Received, first: Model) -> None:
    who = caller()
    with (
        telling(
            received,
            *("--upstream", first.url, "--limits-in-flight", "1"),
            OTEL_EXPORTER_OTLP_PROTOCOL=received.headers[0]["protocol"],
        ) as narrow,
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(requests.get, narrow.url + "/slow", timeout=PATIENCE_S)
        assert first.waiting.wait(PATIENCE_S)
        reply = requests.get(narrow.url, headers={"traceparent": who.context()}, timeout=PATIENCE_S)
        first.go_on.set()
        (server,) = spans(received, who.trace_id, 1)

    told = plain(server.attributes)
    assert (reply.status_code, server.status.code) == (503, ERROR)
    assert (told["http.response.status_code"], told["error.type"]) == (503, "overload")


def test_two_sidecars_in_a_row_are_two_links_of_one_trace(traced: Sidecar, received: Received) -> None:
    who = caller()
    with telling(
        received, "--upstream", traced.url, OTEL_EXPORTER_OTLP_PROTOCOL=received.headers[0]["protocol"]
    ) as outer:
        got = ask(outer.url, traceparent=who.context())
        told = chain(received, who, 4)

    assert [each.kind for each in told] == [SERVER, CLIENT, SERVER, CLIENT]
    assert sent_under(got) == (who.trace_id, told[3].span_id.hex(), "01")


def test_a_diverted_request_tells_of_who_answered(received: Received, first: Model) -> None:
    who = caller()
    variants = {"dead": {"url": f"http://{free_address()}"}, "alive": {"url": first.url, "weight": 0}}
    with telling(
        received,
        *("--variants", json.dumps(variants), "--split-fallback", "alive"),
        OTEL_EXPORTER_OTLP_PROTOCOL=received.headers[0]["protocol"],
    ) as split:
        got = ask(split.url, traceparent=who.context())
        server, client = pair(received, who.trace_id)

    assert sent_under(got) == (who.trace_id, client.span_id.hex(), "01")
    for span in (server, client):
        assert plain(span.attributes)["feature_flag.result.variant"] == "alive"
        assert not span.status.code
    assert plain(client.attributes)["server.port"] == int(first.url.rpartition(":")[2])


def test_a_websocket_is_told_by_its_handshake(received: Received) -> None:
    who, seen = caller(), []

    def echo(connection: ServerConnection) -> None:
        assert connection.request
        seen.append(connection.request.headers["traceparent"])
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        protocol = received.headers[0]["protocol"]
        with telling(
            received, "--upstream", f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_PROTOCOL=protocol
        ) as before:
            headers = {"traceparent": who.context()}
            with connect(f"ws://{before.address}/chat", proxy=None, additional_headers=headers) as client:
                client.send("one")
                assert client.recv(PATIENCE_S) == "one"
                ours, theirs = pair(received, who.trace_id)
        server.shutdown()
        thread.join(PATIENCE_S)

    assert seen == [f"00-{who.trace_id}-{theirs.span_id.hex()}-01"]
    for span in (ours, theirs):
        assert plain(span.attributes)["http.response.status_code"] == 101
        assert not span.status.code


# What the tail keeps


def failing() -> web.Application:
    """A model server that does not work."""

    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=500, text="no model")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fail)
    return application


UNSAMPLED = {"OTEL_TRACES_SAMPLER": "always_off"}


def test_the_tail_keeps_what_failed_up_to_its_bound() -> None:
    limit, count = 3, 8
    with (
        http_receiver() as received,
        served(failing) as url,
        telling(received, "--upstream", url, "--telemetry-tail-per-minute", str(limit), **UNSAMPLED) as running,
    ):
        for _ in range(count):
            assert requests.get(running.url, timeout=PATIENCE_S).status_code == 500
        until(lambda: len(received.spans) == 2 * limit)
        running.ready()
        metrics = running.ask("/metrics").text

    for span in received.spans:
        told = plain(span.attributes)
        assert (span.status.code, told["http.response.status_code"], told["error.type"]) == (ERROR, 500, "500")
        assert told.get("sidecar.sampled_by") == ("error" if span.kind == SERVER else None)
    assert f'sidecar_traces_total{{sidecar_sampled_by="error"}} {limit}\n' in metrics
    assert f'sidecar_traces_dropped_total{{sidecar_reason="tail_limit"}} {count - limit}\n' in metrics


def test_the_tail_keeps_what_is_slow(first: Model) -> None:
    slow_s = 0.5
    quick, slow = caller(), caller()
    with (
        http_receiver() as received,
        telling(received, "--upstream", first.url, "--telemetry-tail-slow-s", str(slow_s), **UNSAMPLED) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        begun_s = time.monotonic()
        reply = pool.submit(
            requests.get, running.url + "/slow", headers={"traceparent": slow.context()}, timeout=PATIENCE_S
        )
        assert first.waiting.wait(PATIENCE_S)
        ask(running.url, traceparent=quick.context())
        until(lambda: time.monotonic() - begun_s > 2 * slow_s)
        first.go_on.set()
        assert reply.result(PATIENCE_S).status_code == 200
        server, _ = pair(received, slow.trace_id)

    assert server.parent_span_id.hex() == slow.span_id
    assert plain(server.attributes)["sidecar.sampled_by"] == "slow"
    assert not server.status.code
    assert spans(received, quick.trace_id, 0) == []


# Where nobody exports


@pytest.mark.parametrize("context", [caller().context(), caller().context().upper(), " 7\t", ""])
def test_context_passes_untouched_where_nobody_exports_traces(first: Model, context: str) -> None:
    lines = f"GET / HTTP/1.1\r\nHost: m\r\nTraceParent:{context}\r\nTRACESTATE: a=1 \r\nbaggage: b=2\r\n\r\n".encode()
    with sidecar("--upstream", first.url) as plainly, plainly.connect() as connection:
        connection.sendall(lines)
        reply = connection.makefile("rb")
        while line := reply.readline().strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        got = json.loads(reply.read(size))

    told = [each for each in got["headers"] if each[0].lower() in {"traceparent", "tracestate", "baggage"}]
    assert told == [["TraceParent", context.strip()], ["TRACESTATE", "a=1"], ["baggage", "b=2"]]


# With OpenTelemetry's own SDK on both sides


class Instrumented:
    """A program that tells its spans there, as the SDK has it."""

    def __init__(self, name: str, received: Received) -> None:
        self._provider = TracerProvider()
        exporter = OTLPSpanExporter(endpoint=f"http://{received.address}/v1/traces")
        self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer(name)
        self.propagator = TraceContextTextMapPropagator()
        self.close: Callable[[], None] = self._provider.shutdown

    def scoring(self) -> web.Application:
        """A model server."""

        async def score(request: web.Request) -> web.Response:
            context = self.propagator.extract(request.headers)
            with self.tracer.start_as_current_span("score", context, trace.SpanKind.SERVER):
                return web.Response(text="0.7")

        application = web.Application()
        application.router.add_post("/score", score)
        return application

    def ask(self, url: str) -> str:
        """The trace under which a model server was asked."""
        with self.tracer.start_as_current_span("ask", kind=trace.SpanKind.CLIENT) as span:
            headers: dict[str, str] = {}
            self.propagator.inject(headers)
            assert requests.post(url + "/score", headers=headers, timeout=PATIENCE_S).text == "0.7"
            return f"{span.get_span_context().trace_id:032x}"


def test_a_client_and_a_model_server_with_the_sdk_are_of_one_trace_with_us() -> None:
    with http_receiver() as received:
        shop, scorer = Instrumented("shop", received), Instrumented("scorer", received)
        with served(scorer.scoring) as url, telling(received, "--upstream", url) as between:
            trace_id = shop.ask(between.url)
            told = chain(received, Caller(trace_id, ""), 4)
        shop.close()
        scorer.close()

    assert [each.name for each in told] == ["ask", "POST /score", "POST", "score"]
    assert [each.kind for each in told] == [CLIENT, SERVER, CLIENT, SERVER]
