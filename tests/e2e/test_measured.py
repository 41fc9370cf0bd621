"""What is told beside what we know: of the model server's process, by its own metrics, by metrics of the user's."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from sidecar.records import JSON
from tests.e2e.receiver import http_receiver, plain
from tests.e2e.rig import PATIENCE_S, Sidecar, free_address, refused, running, sidecar, until, written

PREDICT = "/v1/models/sum:predict"
COUNT = 20


class Server:
    """The model server, and where its metrics are."""

    def __init__(self, url: str, page: str, pid: int, worker: int) -> None:
        self.url = url
        self.page = page
        self.pid = pid
        self.worker = worker


@pytest.fixture
def server() -> Iterator[Server]:
    address, page = free_address(), free_address()
    ports = [each.rpartition(":")[2] for each in (address, page)]
    with running([sys.executable, "-m", "tests.e2e.measured_server", *ports]) as process:
        worker = int(process.says("worker ([0-9]+)")[1])
        yield Server(f"http://{address}", f"http://{page}/metrics", process.process.pid, worker)


def document(server: Server) -> dict[str, JSON]:
    return {
        "variants": {"champion": {"url": server.url, "version": "3"}},
        "capture": {"sample_ratio": 1.0},
        "telemetry": {
            "scrape": [{"url": server.page, "interval_s": 0.05, "include": ["answered*", "vllm:*"]}],
            "metrics": [
                {"name": "shop.tokens", "kind": "counter", "pointer": "/usage/tokens", "unit": "{token}"},
                {
                    "name": "shop.queue",
                    "kind": "histogram",
                    "header": "x-queue-ms",
                    "unit": "ms",
                    "bounds": [10, 20],
                    "attributes": [{"name": "shop.region", "header": "x-region", "values": ["eu", "us"]}],
                },
            ],
        },
    }


@contextmanager
def measured(folder: Path, server: Server, **variables: str) -> Iterator[Sidecar]:
    """A sidecar that has passed on so many requests, and captured them."""
    config = written(folder / "sidecar.yaml", document(server))
    with sidecar("--config", config, variables=variables) as found:
        found.ready()
        for number in range(COUNT):
            headers = {"x-region": "eu" if number % 2 else "mars"}
            body = {"instances": [[number, 1.0]]}
            requests.post(found.url + PREDICT, json=body, headers=headers, timeout=PATIENCE_S).raise_for_status()
        until(lambda: found.told("captures", "captured") == COUNT)
        yield found


def samples(found: Sidecar) -> dict[str, list[tuple[dict[str, str], float]]]:
    """What Prometheus reads, by name."""
    told: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(found.ask("/metrics").text):
        for each in family.samples:
            told.setdefault(each.name, []).append((each.labels, each.value))
    return told


def test_prometheus_reads_all_of_it(tmp_path: Path, server: Server) -> None:
    with measured(tmp_path, server) as found:
        until(lambda: samples(found).get("answered_total", [({}, 0)])[0][1] == COUNT)
        told = samples(found)

    whose = {"feature_flag_result_variant": "champion", "sidecar_version": "3"}
    assert told["answered_total"] == [({"model": "sum", **whose}, COUNT)]
    assert told["vllm:models_loaded"] == [(whose, 3)]
    assert not [name for name in told if name.startswith("python_")]
    assert told["shop_tokens_total"] == [(whose, 7 * COUNT)]
    assert {labels["shop_region"]: value for labels, value in told["shop_queue_milliseconds_count"]} == {
        "eu": COUNT / 2,
        "_OTHER": COUNT / 2,
    }
    assert {value for _, value in told["shop_queue_milliseconds_sum"]} == {12.5 * COUNT / 2}


def test_the_model_server_and_its_workers_are_measured(tmp_path: Path, server: Server) -> None:
    with measured(tmp_path, server) as found:
        told = samples(found)
        expected = sum(psutil.Process(pid).memory_info().rss for pid in (server.pid, server.worker))
        own = psutil.Process(found.process.process.pid)
        threads = own.num_threads()

    by_part = {labels["sidecar_part"]: value for labels, value in told["process_memory_usage_bytes"]}
    assert by_part["upstream"] == pytest.approx(expected, rel=0.2)
    counts = {labels["sidecar_part"]: value for labels, value in told["sidecar_process_count"]}
    assert counts == {"sidecar": 1, "upstream": 2}
    assert {labels["sidecar_part"]: value for labels, value in told["process_thread_count"]}[
        "sidecar"
    ] == pytest.approx(threads, abs=3)


def test_a_plain_upstream_is_measured_too(server: Server) -> None:
    scrape = f'[{{url: "{server.page}", interval_s: 0.05, include: ["vllm:*"]}}]'
    with sidecar("--upstream", server.url, "--telemetry-scrape", scrape) as found:
        found.ready()
        until(lambda: "vllm:models_loaded" in samples(found))
        told = samples(found)

    assert told["vllm:models_loaded"] == [({"feature_flag_result_variant": "default"}, 3)]
    assert {labels["sidecar_part"] for labels, _ in told["sidecar_process_count"]} == {"sidecar", "upstream"}


def test_the_collector_gets_the_same(tmp_path: Path, server: Server) -> None:
    with (
        http_receiver() as received,
        measured(
            tmp_path,
            server,
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"http://{received.address}/v1/metrics",
            OTEL_METRIC_EXPORT_INTERVAL="100",
        ),
    ):

        def came() -> JSON:
            tokens, answered = received.metric("shop.tokens"), received.metric("answered")
            return (
                tokens
                and answered
                and tokens.sum.data_points[0].as_double == 7 * COUNT
                and answered.sum.data_points[0].as_double == COUNT
            )

        until(came)
        until(lambda: received.metric("process.memory.usage"))

    memory = received.metric("process.memory.usage")
    assert memory
    parts = {plain(point.attributes)["sidecar.part"] for point in memory.sum.data_points}
    assert parts == {"sidecar", "upstream"}
    tokens = received.metric("shop.tokens")
    assert tokens
    assert (tokens.unit, tokens.sum.is_monotonic) == ("{token}", True)


def test_a_server_that_ends_takes_its_figures_with_it(tmp_path: Path, server: Server) -> None:
    with measured(tmp_path, server) as found:
        until(lambda: "answered_total" in samples(found))
        psutil.Process(server.worker).kill()
        psutil.Process(server.pid).kill()

        until(lambda: "answered_total" not in samples(found))
        until(
            lambda: (
                {labels["sidecar_part"] for labels, _ in samples(found)["process_memory_usage_bytes"]} == {"sidecar"}
            )
        )
        assert samples(found)["sidecar_scrape_up"][0][1] == 0


def test_a_metric_that_says_nowhere_is_refused(tmp_path: Path, server: Server) -> None:
    config = written(
        tmp_path / "sidecar.yaml",
        {"upstream": server.url, "telemetry": {"metrics": [{"name": "shop.tokens", "kind": "counter"}]}},
    )

    code, said = refused("--config", config)

    assert code == 64
    assert "telemetry.metrics[0]" in said[0]
