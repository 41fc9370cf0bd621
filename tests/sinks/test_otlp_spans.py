from collections.abc import Sequence
from importlib import import_module

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.resources import Resource

from sidecar.routing.templates import KNOWN, Templates
from sidecar.sinks.otlp_spans import add_spans, without_spans
from sidecar.stats.traced import FAILED, SAMPLED, SLOW, Traced
from tests.sinks.rig import plain

TRACED = Traced(
    trace_id=b"0af7651916cd43dd8448eb211c80319c",
    parent_id=b"b7ad6b7169203331",
    server_id=b"00000000000000a1",
    client_id=b"00000000000000c1",
    reason=SAMPLED,
    request_id=b"r-\xe9",
    method=b"POST",
    path=b"/v2/models/fraud/infer",
    minor=0,
    route="/v2/models/{model}/infer",
    user_agent=b"curl/8",
    status=200,
    error_type="",
    cut=False,
    started_s=1_700_000_000.25,
    duration_s=0.5,
    overhead_s=0.001,
    request_bytes=700,
    reply_bytes=20,
    variant="champion",
    version="3",
    address="models",
    port=9000,
    sent_s=0.0625,
    ended_s=0.375,
    first_byte_s=0.125,
)
HERE_ONLY = TRACED._replace(sent_s=0.0, first_byte_s=0.0, ended_s=0.5, variant="", version="", address="", port=0)


def told(*traces: Traced) -> Sequence[Span]:
    """As they arrive."""
    request = without_spans(Resource({}), "1.2.3")
    add_spans(request, traces, scheme="https")
    [resource] = ExportTraceServiceRequest.FromString(request.SerializeToString()).resource_spans
    [scope] = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("sidecar", "1.2.3")
    return list(scope.spans)


def attributes(span: Span) -> dict[str, object]:
    return plain(span.attributes)


def test_a_request_is_told_by_two_spans_one_within_the_other() -> None:
    server, client = told(TRACED)
    assert (server.trace_id.hex(), client.trace_id.hex()) == (TRACED.trace_id.decode(),) * 2
    assert (server.span_id.hex(), server.parent_span_id.hex()) == ("00000000000000a1", "b7ad6b7169203331")
    assert (client.span_id.hex(), client.parent_span_id.hex()) == ("00000000000000c1", "00000000000000a1")
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert (server.name, client.name) == ("POST /v2/models/{model}/infer", "POST")
    began_ns = server.start_time_unix_nano
    assert began_ns == pytest.approx(1_700_000_000_250_000_000, abs=256)
    assert server.end_time_unix_nano - began_ns == 500_000_000
    assert (client.start_time_unix_nano - began_ns, client.end_time_unix_nano - began_ns) == (62_500_000, 375_000_000)
    assert (server.status.code, client.status.code) == (Status.STATUS_CODE_UNSET,) * 2
    assert (server.flags, client.flags) == (0x300, 0x100)  # whose parent is remote


def test_their_attributes_are_those_of_the_conventions() -> None:
    server, client = told(TRACED)
    assert attributes(server) == {
        "http.request.method": "POST",
        "url.scheme": "https",
        "url.path": "/v2/models/fraud/infer",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 200,
        "network.protocol.version": "1.0",
        "user_agent.original": "curl/8",
        "http.request.body.size": 700,
        "http.response.body.size": 20,
        "feature_flag.result.variant": "champion",
        "sidecar.version": "3",
        "sidecar.request.id": "r-é",
        "sidecar.model": "fraud",
        "sidecar.overhead.duration": 0.001,
    }
    assert attributes(client) == {
        "http.request.method": "POST",
        "server.address": "models",
        "server.port": 9000,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "feature_flag.result.variant": "champion",
        "sidecar.version": "3",
        "sidecar.upstream.first_byte.duration": 0.125,
    }


def test_the_names_of_attributes_are_those_of_the_package_of_conventions() -> None:
    names = ("error", "http", "network", "server", "url", "user_agent")
    modules = [import_module(f"opentelemetry.semconv.attributes.{name}_attributes") for name in names]
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    server, client = told(TRACED._replace(status=503, resends=1, method=b"BREW"))
    named = {name for span in (server, client) for name in attributes(span)}
    ours = {name for name in named if name.startswith("sidecar.")}
    incubating = {"feature_flag.result.variant", "http.request.body.size", "http.response.body.size"}
    assert named - ours - known == incubating


def test_what_was_not_sent_upstream_has_one_span_and_a_trace_may_begin_here() -> None:
    (server,) = told(HERE_ONLY._replace(parent_id=b"", status=503, error_type="overload", cut=True))
    assert (server.kind, server.parent_span_id) == (Span.SPAN_KIND_SERVER, b"")
    assert server.flags == 0x100
    assert "feature_flag.result.variant" not in attributes(server)


OUTCOMES = {
    "a reply": ({}, (0, None), (0, None, 200)),
    "a client's error": ({"status": 404}, (0, None), (2, "404", 404)),
    "an error of the model's": ({"status": 500}, (2, "500"), (2, "500", 500)),
    "no reply": (
        {"status": 502, "error_type": "reset", "cut": True, "first_byte_s": 0.0},
        (2, "reset"),
        (2, "reset", None),
    ),
    "half a reply": ({"error_type": "reset", "cut": True}, (2, "reset"), (2, "reset", 200)),
    "a client who is gone": (
        {"status": 0, "error_type": "client_closed", "first_byte_s": 0.0},
        (0, "client_closed"),
        (0, "client_closed", None),
    ),
    "a client who is not understood": (
        {"status": 400, "error_type": "bad_request", "first_byte_s": 0.0},
        (0, "bad_request"),
        (0, "bad_request", None),
    ),
}


@pytest.mark.parametrize(("changes", "server", "client"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_an_error_is_one_for_whom_it_is_one(
    changes: dict[str, object], server: tuple[int, str | None], client: tuple[int, str | None, int | None]
) -> None:
    ours, theirs = told(TRACED._replace(**changes))  # type: ignore[arg-type]  # as in the table
    assert (ours.status.code, attributes(ours).get("error.type")) == server
    found = attributes(theirs)
    assert (theirs.status.code, found.get("error.type"), found.get("http.response.status_code")) == client


@pytest.mark.parametrize("reason", [SAMPLED, FAILED, SLOW])
def test_what_the_tail_has_kept_says_so(reason: str) -> None:
    server, client = told(TRACED._replace(reason=reason))
    assert attributes(server).get("sidecar.sampled_by") == (None if reason == SAMPLED else reason)
    assert "sidecar.sampled_by" not in attributes(client)


def test_a_method_that_nobody_knows_names_no_span() -> None:
    for route, name in (("", "HTTP"), ("/pot", "HTTP /pot")):
        server, client = told(TRACED._replace(method=b"BREW", route=route))
        assert (server.name, client.name) == (name, "HTTP")
        assert attributes(server)["http.request.method"] == attributes(client)["http.request.method"] == "_OTHER"
        assert attributes(server)["http.request.method_original"] == "BREW"


def test_a_request_sent_again_says_how_often() -> None:
    assert attributes(told(TRACED._replace(resends=2))[1])["http.request.resend_count"] == 2


def test_a_unix_socket_has_no_port() -> None:
    client = attributes(told(TRACED._replace(address="/run/model.sock", port=0))[1])
    assert (client["server.address"], "server.port" in client) == ("/run/model.sock", False)


@pytest.mark.parametrize("route", [route for route in KNOWN if "{model}" in route])
def test_the_model_is_told_of_every_route_that_names_it(route: str) -> None:
    path = route.replace("{model}", "fraud.v-2").replace("{version}", "7").replace("{label}", "stable")
    assert Templates().find(path.encode()) == route
    assert attributes(told(TRACED._replace(route=route, path=path.encode()))[0])["sidecar.model"] == "fraud.v-2"


@pytest.mark.parametrize(
    ("route", "path", "model"),
    [
        ("/a", b"/a", None),
        ("/score/{customer}", b"/score/7", None),
        ("/s/{customer}/{model}", b"/s/7/fraud", "fraud"),
        ("/s/{model}.x/{customer}", b"/s/fraud.x/7", "fraud"),
        ("/v2/models/{model}", b"/v2/models/" + b"a" * 20, "a" * 20),
        ("/v2/models/{model}/infer", b"/v2/models/" + b"cut", None),
    ],
)
def test_the_model_is_what_stands_in_its_place(route: str, path: bytes, model: str | None) -> None:
    assert attributes(told(TRACED._replace(route=route, path=path))[0]).get("sidecar.model") == model


def test_what_no_utf8_can_spell_costs_no_span() -> None:
    server, client = told(
        TRACED._replace(variant="\ud800", version="\ud800", route="/\ud800", user_agent=b"\xff", address="\ud800")
    )
    assert attributes(server)["feature_flag.result.variant"] == r"\ud800"
    assert attributes(client)["server.address"] == r"\ud800"
    assert attributes(server)["user_agent.original"] == "ÿ"
