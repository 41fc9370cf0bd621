"""An OTLP receiver in the test's own process that keeps what it gets, decoded: over HTTP, with TLS or not, and gRPC."""

import gzip
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from sidecar.records import JSON

SIGNALS: dict[str, tuple[JSON, JSON]] = {
    "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
    "/v1/logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
    "/v1/traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
}


@dataclass
class Received:
    """What has come, by signal: `/v1/metrics`, `/v1/logs`, `/v1/traces`, whatever it came over."""

    address: str = ""
    requests: dict[str, list[JSON]] = field(default_factory=lambda: {path: [] for path in SIGNALS})
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, path: str, request: JSON, headers: Mapping[str, str]) -> None:
        with self.lock:
            self.requests[path].append(request)
            self.headers.append({name.lower(): value for name, value in headers.items()})

    def _scopes(self, path: str, resources: str, scopes: str) -> Iterator[JSON]:
        with self.lock:
            known = list(self.requests[path])
        for request in known:
            for resource in getattr(request, resources):
                yield from getattr(resource, scopes)

    @property
    def spans(self) -> list[JSON]:
        return [each for scope in self._scopes("/v1/traces", "resource_spans", "scope_spans") for each in scope.spans]

    @property
    def log_records(self) -> list[JSON]:
        return [each for scope in self._scopes("/v1/logs", "resource_logs", "scope_logs") for each in scope.log_records]

    def metric(self, name: str) -> JSON | None:
        """As it came last."""
        found = None
        for scope in self._scopes("/v1/metrics", "resource_metrics", "scope_metrics"):
            for each in scope.metrics:
                found = each if each.name == name else found
        return found

    @property
    def metric_names(self) -> set[str]:
        scopes = self._scopes("/v1/metrics", "resource_metrics", "scope_metrics")
        return {each.name for scope in scopes for each in scope.metrics}

    def resources(self, path: str) -> list[dict[str, JSON]]:
        key = {"/v1/metrics": "resource_metrics", "/v1/logs": "resource_logs", "/v1/traces": "resource_spans"}[path]
        with self.lock:
            return [plain(each.resource.attributes) for one in self.requests[path] for each in getattr(one, key)]


def plain(attributes: "list[KeyValue]") -> dict[str, JSON]:
    """Attributes as Python has them."""
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> JSON:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None, address: str = "127.0.0.1:0") -> Iterator[Received]:
    """Takes OTLP over HTTP.

    Args:
        address: Where, so that one that was killed can come back.
    """
    received, dead = Received(), threading.Event()

    class Taking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if dead.is_set():
                self.close_connection = True
                return
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            kind, answer = SIGNALS[self.path]
            request = kind()
            request.ParseFromString(body)
            received.take(self.path, request, dict(self.headers.items()))
            reply = answer().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None: ...

    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Taking)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    received.address = f"{host}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield received
    finally:
        # Connections that are open already are served by threads of their own.
        dead.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def grpc_receiver(credentials: grpc.ServerCredentials | None = None) -> Iterator[Received]:
    """Takes OTLP over gRPC."""
    received = Received()

    def taking(path: str) -> JSON:
        _, answer = SIGNALS[path]

        def export(request: JSON, context: grpc.ServicerContext) -> JSON:
            received.take(path, request, dict(context.invocation_metadata()))
            return answer()

        return type("Taking", (), {"Export": staticmethod(export)})()

    server = grpc.server(ThreadPoolExecutor(4))
    metrics_grpc.add_MetricsServiceServicer_to_server(taking("/v1/metrics"), server)  # type: ignore[no-untyped-call]  # as generated
    logs_grpc.add_LogsServiceServicer_to_server(taking("/v1/logs"), server)  # type: ignore[no-untyped-call]  # as generated
    traces_grpc.add_TraceServiceServicer_to_server(taking("/v1/traces"), server)  # type: ignore[no-untyped-call]  # as generated
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    received.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait()
