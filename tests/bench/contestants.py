"""The proxies that are compared: for each, the files it wants and the command that starts it."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.load import write_reference
from tests.bench.rig import PROXY_CORE, Running, await_reply, free_port, program, running

NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_header_timeout {header_s}s;
  {inside}
}}
"""
# Defaults, except for large bodies. They stream, as they do through the others: by way of nginx's temporary files they
# take up to twice as long, and with a body buffer of the default size an upload takes more than twice as long.
NGINX_PROXY = """\
proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_max_temp_file_size 0;
  proxy_read_timeout {first_byte_s}s;
  upstream model {{ server 127.0.0.1:{upstream} max_fails=0; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{listen};
    location / {{ proxy_pass http://model; }}
    location /large {{ proxy_pass http://model; proxy_request_buffering off; client_body_buffer_size 128k; }}
  }}
"""
REPLY = (
    '{"model_name":"fraud","model_version":"3","id":"bench","outputs":'
    '[{"name":"probability","shape":[1],"datatype":"FP64","data":[0.8437219065432117]}]}'
)
NGINX_UPSTREAM = """\
default_type application/json;
  server {{ listen 127.0.0.1:{listen}; location / {{ return 200 '{reply}'; }} }}
"""
ENVOY = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {listen}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          request_headers_timeout: {header_s}s
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: model, timeout: {first_byte_s}s}}}}]
  clusters:
  - name: model
    connect_timeout: 3s
    load_assignment:
      cluster_name: model
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy stands: its folder, its ports on the loopback address, the limits that are put to the test."""

    folder: Path
    listen: int
    upstream: int
    admin: int
    first_byte_s: float = 60.0
    header_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A proxy under test.

    Args:
        command: Writes the files that the proxy wants into the place's folder; the command that starts it.
        drain: The signal on which it is to finish what is in flight.
    """

    name: str
    command: Callable[[Place], list[str]]
    drain: signal.Signals = signal.SIGTERM


def nginx_command(place: Place, inside: str) -> list[str]:
    """One worker with `inside` in its `http` block."""
    filled = inside.format(**_fields(place))
    path = place.folder / "nginx.conf"
    path.write_text(NGINX.format(**_fields(place), inside=filled))
    place.folder.chmod(0o755)  # the worker may be another user
    return [program("nginx"), "-p", str(place.folder), "-c", str(path), "-e", "stderr"]


def upstream_command(place: Place) -> list[str]:
    """An nginx that answers everything with a small V2 reply, and reads what it is sent."""
    return nginx_command(place, NGINX_UPSTREAM)


def _nginx(place: Place) -> list[str]:
    return nginx_command(place, NGINX_PROXY)


def _envoy(place: Place) -> list[str]:
    path = place.folder / "envoy.yaml"
    path.write_text(ENVOY.format(**_fields(place)))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [program("envoy"), "-c", str(path), *options]


def _sidecar(*options: str, checkout: str = "") -> Callable[[Place], list[str]]:
    """Of this tree, or of another one: `-P` lets the variable decide.

    Args:
        options: Environment variables, `NAME=value`, before flags.
    """
    variables = [*takewhile(lambda each: not each.startswith("--"), options)]
    options = options[len(variables) :]
    python = [f"PYTHONPATH={checkout}", sys.executable, "-P"] if checkout else [sys.executable]

    def command(place: Place) -> list[str]:
        sinks = f"[{{kind: jsonl, path: {place.folder}/captures}}]"
        flags = {
            "--upstream": f"http://127.0.0.1:{place.upstream}",
            "--listen": f"127.0.0.1:{place.listen}",
            "--admin": f"127.0.0.1:{place.admin}",
            "--timeouts-first-byte-s": f"{place.first_byte_s:g}",
            "--timeouts-header-s": f"{place.header_s:g}",
            "--capture-sinks": sinks,
        }
        if "--variants" in options:
            del flags["--upstream"]
        pairs = [word for pair in flags.items() for word in pair]
        if "--reference" in options:
            write_reference(place.folder / "reference")
        fields = {"folder": place.folder, "upstream": place.upstream}
        before, after = ([each.format(**fields) for each in those] for those in (variables, options))
        return ["/usr/bin/env", *before, *python, "-m", "sidecar", "run", *pairs, *after]

    return command


def _fields(place: Place) -> dict[str, object]:
    return {
        "folder": place.folder,
        "listen": place.listen,
        "upstream": place.upstream,
        "reply": REPLY,
        "first_byte_s": f"{place.first_byte_s:g}",
        "header_s": f"{place.header_s:g}",
    }


NGINX_NAME, ENVOY_NAME = "nginx", "envoy"
SIDECAR_NAME, ALL_NAME, BARE_NAME = "sidecar", "sidecar-all", "sidecar-bare"
WATCHING_NAME, ALL_WATCHING_NAME = "sidecar-watching", "sidecar-all-watching"
VERSIONS_NAME, SHADOWING_NAME = "sidecar-versions", "sidecar-shadowing"
TELLING_NAME = "sidecar-telling"
JUDGING_NAME, ALL_JUDGING_NAME = "sidecar-judging", "sidecar-all-judging"
REFERENCE = ("--reference", "{folder}/reference")
LABELS = (
    *REFERENCE,
    *("--state", "{folder}/state", "--model-task", "binary"),
    *("--monitors", "[{{kind: data}}, {{kind: quality}}, {{kind: bias, facets: [{{feature: feature_0, above: 0}}]}}]"),
)
ARMS = (
    "--variants",
    '{{a: {{url: "http://127.0.0.1:{upstream}", weight: 9}}, b: {{url: "http://127.0.0.1:{upstream}"}}}}',
    *("--split-sticky-header", "x-user-id"),
)
# The model server's nginx answers everything with 200: a collector that takes all, and is not measured.
TELEMETRY = (
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{upstream}",
    "OTEL_METRIC_EXPORT_INTERVAL=5000",
    "OTEL_TRACES_SAMPLER=traceidratio",  # every caller says that it is sampled
    "OTEL_TRACES_SAMPLER_ARG=0.1",
)
WAYS: dict[str, tuple[str, ...]] = {
    SIDECAR_NAME: (),
    ALL_NAME: ("--capture-sample-ratio", "1.0"),
    BARE_NAME: ("--capture-sample-ratio", "0", "--capture-errors", "sampled"),
    WATCHING_NAME: REFERENCE,
    ALL_WATCHING_NAME: ("--capture-sample-ratio", "1.0", *REFERENCE),
    TELLING_NAME: TELEMETRY,
    JUDGING_NAME: LABELS,
    VERSIONS_NAME: ARMS,
    SHADOWING_NAME: (*ARMS, "--shadow-variant", "b", "--shadow-ratio", "0.1"),
    ALL_JUDGING_NAME: ("--capture-sample-ratio", "1.0", *LABELS),
}
CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(NGINX_NAME, _nginx, drain=signal.SIGQUIT),  # its SIGTERM means: at once
        Contestant(ENVOY_NAME, _envoy),
        *(Contestant(name, _sidecar(*options)) for name, options in WAYS.items()),
    )
}


def another(name: str, checkout: str) -> list[Contestant]:
    """The sidecar of another checkout, in every way: `name`, `name-all`, `name-bare`."""
    suffixes = {way: way.removeprefix(SIDECAR_NAME) for way in WAYS}
    return [Contestant(name + suffixes[way], _sidecar(*WAYS[way], checkout=checkout)) for way in WAYS]


@contextmanager
def started(contestant: Contestant, upstream: int, **limits: float) -> Iterator[tuple[Running, Place]]:
    """The proxy, in front of `upstream`, from its first reply of any status on.

    Raises:
        RigError: It is not installed, or does not start.
    """
    with launched(contestant, upstream, **limits) as (process, place):
        await_reply(place.listen, process)
        yield process, place


@contextmanager
def launched(contestant: Contestant, upstream: int, **limits: float) -> Iterator[tuple[Running, Place]]:
    """The proxy's process, just begun."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        place = Place(Path(name), free_port(), upstream, free_port(), **limits)
        with running(contestant.command(place), PROXY_CORE, place.folder / "log") as process:
            yield process, place
