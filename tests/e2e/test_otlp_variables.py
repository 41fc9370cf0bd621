"""The standard variables hold, for all three signals at once."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme

from sidecar import __version__
from tests.e2e.receiver import Received, grpc_receiver, http_receiver, plain
from tests.e2e.rig import Sidecar, sidecar, until
from tests.e2e.traffic import predict_many
from tests.e2e.upstreams import Model

COUNT = 57
QUICK = {"OTEL_METRIC_EXPORT_INTERVAL": "100", "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_SCHEDULE_DELAY": "50"}


class Certified:
    """Certificates of a receiver and of its clients, in files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self._server = self.authority.issue_cert("127.0.0.1")
        client = self.authority.issue_cert("client@example.org")
        self.files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
        self.authority.cert_pem.write_to_path(str(self.files["ca"]))
        client.cert_chain_pems[0].write_to_path(str(self.files["cert"]))
        client.private_key_pem.write_to_path(str(self.files["key"]))

    @property
    def context(self) -> ssl.SSLContext:
        """A server's, that demands a certificate."""
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(found)
        self.authority.configure_trust(found)
        found.verify_mode = ssl.CERT_REQUIRED
        return found

    @property
    def credentials(self) -> grpc.ServerCredentials:
        """The same for gRPC."""
        pair = (self._server.private_key_pem.bytes(), self._server.cert_chain_pems[0].bytes())
        return grpc.ssl_server_credentials([pair], self.authority.cert_pem.bytes(), require_client_auth=True)


@contextmanager
def receiving(protocol: str, certified: Certified) -> Iterator[Received]:
    if protocol == "grpc":
        with grpc_receiver(certified.credentials) as received:
            yield received
    else:
        with http_receiver(certified.context) as received:
            yield received


def counted(received: Received) -> int:
    """Requests, by the last report."""
    found = received.metric("http.server.request.duration")
    return sum(point.count for point in found.histogram.data_points) if found else 0


def all_came(received: Received) -> bool:
    return counted(received) == COUNT and len(received.spans) == 2 * COUNT and bool(received.log_records)


@contextmanager
def served(first: Model, variables: dict[str, str]) -> Iterator[Sidecar]:
    """A sidecar that has passed on so many requests."""
    with sidecar("--upstream", first.url, "--endpoint", "fraud", variables=QUICK | variables) as running:
        running.ready()
        predict_many(running.url, COUNT)
        yield running


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_where_to_with_what_certificates_headers_and_compression(tmp_path: Path, first: Model, protocol: str) -> None:
    certified = Certified(tmp_path)
    with receiving(protocol, certified) as received:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://{received.address}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certified.files["ca"]),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(certified.files["cert"]),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(certified.files["key"]),
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc,x-tenant=fraud",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "fraud-model",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=tests",
        }
        with served(first, variables):
            until(lambda: all_came(received))

    assert {(each["authorization"], each["x-tenant"]) for each in received.headers} == {("Bearer abc", "fraud")}
    if protocol != "grpc":
        assert {each["content-encoding"] for each in received.headers} == {"gzip"}
    said = [each for path in received.requests for each in received.resources(path)]
    assert {each["service.name"] for each in said} == {"fraud-model"}
    assert {each["service.version"] for each in said} == {__version__}
    assert {each["deployment.environment.name"] for each in said} == {"tests"}


def test_each_signal_may_go_its_own_way(first: Model) -> None:
    with http_receiver() as metrics, http_receiver() as logs, grpc_receiver() as traces:
        variables = {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://{metrics.address}/v1/metrics",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"http://{logs.address}/v1/logs",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{traces.address}",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
        }
        with served(first, variables):
            until(lambda: counted(metrics) == COUNT and len(traces.spans) == 2 * COUNT and logs.log_records)

    came = [{path for path, those in each.requests.items() if those} for each in (metrics, logs, traces)]
    assert came == [{"/v1/metrics"}, {"/v1/logs"}, {"/v1/traces"}]


def test_a_signal_that_nobody_wants_is_not_sent(first: Model) -> None:
    with http_receiver() as received:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        with served(first, variables):
            until(lambda: counted(received) == COUNT)

    assert {path for path, those in received.requests.items() if those} == {"/v1/metrics"}


def test_disabled_means_nothing_at_all(first: Model) -> None:
    with http_receiver() as received:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}", "OTEL_SDK_DISABLED": "true"}
        with served(first, variables) as running:
            assert running.told("exporters") == []

    assert received.headers == []


@pytest.mark.parametrize(
    ("sampler", "argument", "kept"),
    [("always_off", "", 0), ("traceidratio", "0", 0), ("parentbased_traceidratio", "1", COUNT)],
)
def test_the_sampler_decides(first: Model, sampler: str, argument: str, kept: int) -> None:
    with http_receiver() as received:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}",
            "OTEL_TRACES_SAMPLER": sampler,
            "OTEL_TRACES_SAMPLER_ARG": argument,
        }
        with served(first, variables):
            until(lambda: counted(received) == COUNT and len(received.spans) >= 2 * kept)

    assert len(received.spans) == 2 * kept


@pytest.mark.parametrize(("preference", "temporality"), [("cumulative", 2), ("delta", 1)])
def test_counts_come_as_they_are_asked_for(first: Model, preference: str, temporality: int) -> None:
    with http_receiver() as received:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": preference,
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
        }
        with served(first, variables):
            until(lambda: _durations(received, preference) == COUNT)

    found = received.metric("http.server.request.duration")
    assert found
    assert found.exponential_histogram.aggregation_temporality == temporality


def _durations(received: Received, preference: str) -> int:
    """Requests that the reports tell together, or the last one alone."""
    counts = [
        sum(point.count for point in metric.exponential_histogram.data_points)
        for request in list(received.requests["/v1/metrics"])
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "http.server.request.duration"
    ]
    return sum(counts) if preference == "delta" else counts[-1] if counts else 0


def test_spans_and_logs_tell_the_same_service_as_metrics(first: Model) -> None:
    with grpc_receiver() as received:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{received.address}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "POD_NAMESPACE": "shop",
            "POD_NAME": "fraud-1",
            "CONTAINER_NAME": "sidecar",
        }
        with served(first, variables):
            until(lambda: all_came(received))

    said = [each for path in received.requests for each in received.resources(path)]
    assert {each["service.instance.id"] for each in said} == {"shop.fraud-1.sidecar"}
    assert plain(received.spans[0].attributes)["http.request.method"] == "POST"
