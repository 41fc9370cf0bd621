"""The admin side's routes of the catalogue, over real HTTP, in front of a catalogue in the test's own process."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from sidecar.catalog.documents import decode, encode
from sidecar.catalog.sqlite import Sqlite
from sidecar.entries import Draft, Point
from sidecar.errors import ConfigError, ConflictError, SidecarError, UnknownError
from tests.catalog.contract import LATER_S, NOW_S

Reply = Callable[[str, str], tuple[int, bytes] | None]
"""Of a method and a path something else than the catalogue's answer; None for that."""

_STATUSES = {UnknownError: 404, ConflictError: 409, ConfigError: 400}


@dataclass
class AdminServer:
    """What was asked of it, and what it answers instead."""

    catalog: Sqlite
    token: str = ""
    instead: Reply = lambda _method, _path: None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, bytes]:
        self.asked.append(f"{method} {path}")
        if token != (f"Bearer {self.token}" if self.token else ""):
            return 401, _error("expected Authorization: Bearer and the token")
        if reply := self.instead(method, path):
            return reply
        try:
            return 200, encode(self._done(method, [unquote(each) for each in path.split("/")[2:]], body))
        except SidecarError as error:
            return _STATUSES.get(type(error), 503), _error(str(error))

    def _done(self, method: str, path: list[str], body: bytes) -> object:  # noqa: C901, PLR0911 - a table of routes
        said = json.loads(body or b"{}")
        match (method, *path):
            case ("GET", "models"):
                return {"models": self.catalog.groups()}
            case ("GET", "models", group, "versions"):
                return {"versions": self.catalog.versions(group)}
            case ("GET", "models", group, "versions", name):
                return self.catalog.version(group, name)
            case ("GET", "models", group, "runs"):
                return {"runs": self.catalog.runs(group)}
            case ("POST", "models", group, "versions"):
                draft = decode(json.dumps(said["draft"]), Draft)
                return self.catalog.register(group, draft, by=said["by"], now_s=NOW_S)
            case ("POST", "models", group, "versions", name, "approval"):
                words = {"by": said["by"], "why": said["why"]}
                return self.catalog.decide(group, name, said["approval"], now_s=LATER_S, **words)
            case ("GET", "runs", run):
                return self.catalog.run(run)
            case ("POST", "runs"):
                return self.catalog.begin(said["group"], said["name"], now_s=NOW_S)
            case ("POST", "runs", run):
                points = decode(json.dumps(said["points"]), list[Point])
                self.catalog.log(run, parameters=said["parameters"], points=points, artefacts=said["artefacts"])
                return {}
            case ("POST", "runs", run, "end"):
                self.catalog.end(run, said["status"], now_s=LATER_S)
                return {}
        raise UnknownError(f"no route {method} {path}")


def _error(message: str) -> bytes:
    return json.dumps({"error": {"type": "", "message": message}}).encode()


@contextmanager
def served(server: AdminServer) -> Iterator[AdminServer]:
    """The server at an address of its own."""

    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, reply = server.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Requests) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.001,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
