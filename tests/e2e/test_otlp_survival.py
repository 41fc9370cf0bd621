"""A collector that dies, hangs or refuses costs a bounded queue and counted drops, never a request."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import psutil
import pytest

from sidecar.records import JSON
from tests.e2e.receiver import Received, http_receiver
from tests.e2e.rig import Sidecar, free_address, sidecar, until
from tests.e2e.traffic import predict_many, predicting
from tests.e2e.upstreams import Model

MIB = 1 << 20

HELD = 48
"""Traces of two spans: as many as may wait, and a batch."""

# Queues that are full at once, and exports that give up soon.
SMALL = {
    "OTEL_METRIC_EXPORT_INTERVAL": "100",
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "OTEL_BSP_MAX_QUEUE_SIZE": "64",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32",
    "OTEL_BLRP_SCHEDULE_DELAY": "50",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
}


def exporter(running: Sidecar, name: str) -> JSON:
    return next(each for each in running.told("exporters") if each["name"] == name)


def lost(running: Sidecar, name: str) -> int:
    found = exporter(running, name)
    count: int = found["dropped"] + found["failed"]
    return count


def came(received: Received) -> bool:
    return all(received.requests.values())


@contextmanager
def hanging() -> Iterator[str]:
    """Takes connections, and says nothing on them."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    """Answers 503 to everything."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(503)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def absent() -> Iterator[str]:
    yield free_address()


@pytest.mark.parametrize("collector", [absent, hanging, refusing])
def test_no_collector_costs_counted_spans_and_no_memory(first: Model, collector: JSON) -> None:
    with (
        collector() as address,
        sidecar(
            "--upstream", first.url, variables=SMALL | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}"}
        ) as running,
    ):
        running.ready()
        predict_many(running.url)
        until(lambda: exporter(running, "otlp-traces")["failing"])
        process = psutil.Process(running.process.process.pid)
        before = process.memory_info().rss

        predict_many(running.url, 4000)

        assert process.memory_info().rss - before < 16 * MIB
        until(lambda: lost(running, "otlp") > 0)
        traces = exporter(running, "otlp-traces")
        assert traces["dropped"] >= 4000 - HELD
        assert (traces["delivered"], traces["failed"]) == (0, 0)
        running.process.says("traces export: no room for more, [0-9]+ dropped so far")


def test_a_collector_that_was_killed_is_found_again_under_load(first: Model) -> None:
    with ExitStack() as living:
        received = living.enter_context(http_receiver())
        variables = SMALL | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}"}
        with sidecar("--upstream", first.url, variables=variables) as running, predicting(running.url):
            until(lambda: came(received))

            living.close()
            until(lambda: lost(running, "otlp-traces") > 0 and lost(running, "otlp") > 0)

            with http_receiver(address=received.address) as again:
                until(lambda: again.spans and again.metric("http.server.request.duration"))
