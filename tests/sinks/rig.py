"""What the tests of OTLP stand on: a real receiver that keeps what it got."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PATIENCE_S = 30.0


@dataclass
class Collector:
    """What an OTLP receiver got, and what it answers."""

    statuses: list[int] = field(default_factory=list)
    bodies: SimpleQueue[bytes] = field(default_factory=SimpleQueue)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def body(self) -> bytes:
        """That of the next request."""
        return self.bodies.get(timeout=PATIENCE_S)


class Receiver(ThreadingHTTPServer):
    """A real OTLP/HTTP receiver on a port of its own."""

    def __init__(self, collector: Collector) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.collector = collector


class Reply(BaseHTTPRequestHandler):
    """Takes a request, answers with the collector's next status, 200 when there is none."""

    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        collector = self.server.collector
        body = self.rfile.read(int(self.headers["content-length"]))
        status = collector.statuses.pop(0) if collector.statuses else 200
        collector.paths.append(self.path)
        collector.headers.append({name.lower(): value for name, value in self.headers.items()})
        collector.bodies.put(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Retry-After", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Heard(logging.Handler):
    """Tells when opentelemetry has said that it tries again."""

    def __init__(self) -> None:
        super().__init__()
        self.retries = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "retrying" in record.getMessage():
            self.retries.set()

    def __enter__(self) -> threading.Event:
        logging.getLogger("opentelemetry").addHandler(self)
        return self.retries

    def __exit__(self, *_: object) -> None:
        logging.getLogger("opentelemetry").removeHandler(self)


def plain(attributes: Sequence[KeyValue]) -> dict[str, object]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}
