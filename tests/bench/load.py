"""Load by wrk: distinct requests with bodies that decode, and what wrk measured."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sidecar.records import Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference, write_folder
from sidecar.reference.learning import Learner
from sidecar.stats.moments import Floats
from tests.bench.rig import RigError, program

CONNECTIONS = 32
REQUESTS = 2048  # enough for a tenth of them, chosen by their ids, to be a tenth within 7 %
BODY_BYTES = 700
LARGE_BYTES = 10 * 1024 * 1024
LARGE_CONNECTIONS = 4

# Ten fields a request: these, Host and Content-Length.
SCRIPT = """\
local requests, next = {}, 0
local function random_id()
  local digits = ""
  for _ = 1, 8 do digits = digits .. string.format("%04x", math.random(0, 65535)) end
  return digits
end
function init(args)
  math.randomseed(1)
  for line in io.lines(args[1]) do
    local id = random_id()  -- in all its bits: a ratio of traces is one of their ids
    requests[#requests + 1] = wrk.format("POST", "/v2/models/fraud/infer", {
      ["User-Agent"] = "python-requests/2.34", ["Accept-Encoding"] = "gzip, deflate", ["Accept"] = "*/*",
      ["Connection"] = "keep-alive", ["Content-Type"] = "application/json", ["X-Request-Id"] = id,
      ["traceparent"] = "00-" .. id .. "-b7ad6b7169203331-01", ["X-User-Id"] = "user-" .. #requests % 997}, line)
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
"""
# From half of it to one and a half, so that the connections do not keep step.
PAUSE = """\
function delay() return math.random({pause_ms} / 2, {pause_ms} * 3 / 2) end
"""
UPLOAD = f"""\
wrk.path = "/large"
wrk.method = "POST"
wrk.body = string.rep("x", {LARGE_BYTES})
wrk.headers["Content-Type"] = "application/octet-stream"
"""
REPORT = """\
function done(summary, latency)
  local e = summary.errors
  print(string.format('{"requests":%d,"duration_s":%f,"p50_ms":%f,"p99_ms":%f,"errors":%d}', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw in one run."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def rows() -> Floats:
    """REQUESTS rows of 30 features."""
    scaled: Floats = np.random.default_rng(7).normal(size=(REQUESTS, 30)) * np.logspace(-2, 2, 30)
    return scaled


def bodies() -> list[str]:
    """V2 requests of 30 features each, of exactly `BODY_BYTES`, all different; the id takes up the slack."""
    return [_body(row) for row in rows().tolist()]


def write_reference(folder: Path) -> None:
    """The reference of just these rows, so that no drift is found."""
    values = rows()
    table = Table(tuple(f"feature_{column}" for column in range(values.shape[1])), values)
    learner = Learner()
    for _ in range(5):
        learner.update(table)
    profiles = learner.profiles()
    write_folder(folder, Reference(profiles, suggested(profiles), table))


def _body(row: list[float]) -> str:
    document = {"id": "", "inputs": [{"name": "features", "shape": [1, 30], "datatype": "FP64", "data": row}]}
    spare = BODY_BYTES - len(json.dumps(document, separators=(",", ":")))
    return json.dumps(document | {"id": "r" * spare}, separators=(",", ":"))


class Wrk:
    """wrk with its scripts, which stand in `folder`.

    Args:
        pause_ms: Between a small reply and the connection's next request; 0 loads a proxy as far as it goes.
    """

    def __init__(self, folder: Path, pause_ms: int = 0) -> None:
        self._program = program("wrk")
        self._small, self._upload, self._download = (folder / f"{name}.lua" for name in ("small", "upload", "download"))
        self._bodies = folder / "bodies"
        self._bodies.write_text("\n".join(bodies()) + "\n")
        self._small.write_text(SCRIPT + (PAUSE.format(pause_ms=pause_ms) if pause_ms else "") + REPORT)
        self._upload.write_text(UPLOAD + REPORT)
        self._download.write_text(REPORT)

    def small(self, port: int, seconds: int) -> Load:
        """POSTs of `BODY_BYTES` over kept connections."""
        return self._run(self._small, port, seconds, CONNECTIONS)

    def upload(self, port: int, seconds: int) -> Load:
        """POSTs of `LARGE_BYTES`."""
        return self._run(self._upload, port, seconds, LARGE_CONNECTIONS)

    def download(self, port: int, seconds: int) -> Load:
        """GETs of `LARGE_BYTES`."""
        return self._run(self._download, port, seconds, LARGE_CONNECTIONS)

    def _run(self, script: Path, port: int, seconds: int, connections: int) -> Load:
        options = ["-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "10", "-s", str(script)]
        command = [self._program, *options, f"http://127.0.0.1:{port}/", "--", str(self._bodies)]
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        if out.returncode != 0:
            raise RigError(f"wrk: {out.stdout}{out.stderr}")
        load = Load(**json.loads(out.stdout.splitlines()[-1]))
        if load.errors or not load.requests:
            raise RigError(f"wrk: {load.errors} errors in {load.requests} requests, expected none\n{out.stdout}")
        return load
