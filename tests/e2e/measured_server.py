"""A model server with a worker and metrics of its own: `python -m tests.e2e.measured_server PORT PAGE_PORT`.

It says the process id of its worker when both are there.
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import Counter, Gauge, start_http_server

WORKER = "import time\nwhile True: time.sleep(3600)"
ANSWERED = Counter("answered", "Requests answered", ["model"])
LOADED = Gauge("vllm:models_loaded", "Models in memory")


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        ANSWERED.labels("sum").inc()
        body = b'{"predictions": [0.5], "usage": {"tokens": 7}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-queue-ms", "12.5")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    LOADED.set(3)
    start_http_server(int(sys.argv[2]), "127.0.0.1")
    with subprocess.Popen([sys.executable, "-c", WORKER]) as worker:
        server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answering)
        print(f"worker {worker.pid}", flush=True)
        server.serve_forever()
