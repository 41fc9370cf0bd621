"""Traces of ours as OpenTelemetry's protocol has them.

Of each request a SERVER span, and a CLIENT span where it was sent upstream, by the HTTP conventions (semconv 1.44.0).
No query and no body is told, nor the client's address: they may tell of people. For that reason `url.full` is left out.

Protobuf's messages are made here, and what is alike in many spans is kept encoded: to merge that takes 0.3 us, to make
a message of every attribute 1 us each. By way of the SDK's span and the encoding of its exporters a trace takes 75 us.
"""

import re
from binascii import unhexlify
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from sidecar.stats.traced import SAMPLED, Traced
from sidecar.texts import encodable
from sidecar.wire.message import METHODS

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.trace.v1.trace_pb2 import Span
    from opentelemetry.sdk.resources import Resource

Value = str | int

_KNOWN = frozenset(METHODS.values())
"""Any other one is told as _OTHER, so that names of spans stay few."""

LOCAL_PARENT, REMOTE_PARENT = 0x100, 0x300
"""Of the protocol's SpanFlags: whether the parent is remote is known, and then that it is."""

KEPT = 256
"""Of each kind, what is kept encoded; of the longest paths a megabyte."""


def without_spans(resource: "Resource", version: str) -> "ExportTraceServiceRequest":
    """The message to begin with: of one resource and one scope.

    Args:
        version: Ours, of the instrumentation scope.
    """
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import INVALID_SPAN_CONTEXT

    scope = InstrumentationScope("sidecar", version)
    found = encode_spans([ReadableSpan("", INVALID_SPAN_CONTEXT, resource=resource, instrumentation_scope=scope)])
    del found.resource_spans[0].scope_spans[0].spans[:]
    return found


def add_spans(request: "ExportTraceServiceRequest", traces: Iterable[Traced], *, scheme: str) -> None:
    """Have the message tell of these too.

    Args:
        scheme: Over which clients come.
    """
    scope = request.resource_spans[0].scope_spans[0]
    for each in traces:
        _fill_server(scope.spans.add(), each, scheme)
        if each.sent_s:
            _fill_client(scope.spans.add(), each)


def _fill_server(span: "Span", each: Traced, scheme: str) -> None:
    span.MergeFromString(
        _asked(scheme, each.method, each.route, each.minor)
        + _outcome(each.status, each.error_type, 500, cut=each.cut)
        + _place(each.route, each.path)
        + _agent(each.user_agent)
        + _ours(each.variant, each.version)
    )
    began_ns = _ns(each.started_s)
    _identify(span, each.trace_id, each.server_id, began_ns, began_ns + _ns(each.duration_s))
    if each.parent_id:
        span.parent_span_id = unhexlify(each.parent_id)
    span.flags = REMOTE_PARENT if each.parent_id else LOCAL_PARENT
    add = span.attributes.add
    add(key="sidecar.request.id").value.string_value = each.request_id.decode("latin-1")
    if each.request_bytes:
        add(key="http.request.body.size").value.int_value = each.request_bytes
    if each.reply_bytes:
        add(key="http.response.body.size").value.int_value = each.reply_bytes
    if each.overhead_s:
        add(key="sidecar.overhead.duration").value.double_value = each.overhead_s
    if each.reason != SAMPLED:
        add(key="sidecar.sampled_by").value.string_value = each.reason


def _fill_client(span: "Span", each: Traced) -> None:
    status = each.status if each.first_byte_s else 0  # what the client got without the upstream's reply is ours
    span.MergeFromString(
        _sent(each.method, each.resends)
        + _outcome(status, each.error_type, 400, cut=each.cut)
        + _peer(each.address, each.port)
        + _ours(each.variant, each.version)
    )
    began_ns = _ns(each.started_s)
    _identify(
        span,
        each.trace_id,
        each.client_id,
        began_ns + _ns(each.sent_s),
        began_ns + _ns(max(each.sent_s, each.ended_s)),
    )
    span.parent_span_id = unhexlify(each.server_id)
    if each.first_byte_s:
        span.attributes.add(key="sidecar.upstream.first_byte.duration").value.double_value = each.first_byte_s


def _identify(span: "Span", trace_id: bytes, span_id: bytes, start_ns: int, end_ns: int) -> None:
    span.trace_id = unhexlify(trace_id)
    span.span_id = unhexlify(span_id)
    span.start_time_unix_nano = start_ns
    span.end_time_unix_nano = end_ns


@lru_cache(KEPT)
def _asked(scheme: str, method: bytes, route: str, minor: int) -> bytes:
    """Of a SERVER span what the request has in common with many."""
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    word, route = _word(method), encodable(route)
    told = Span(name=f"{word} {route}" if route else word, kind=Span.SPAN_KIND_SERVER)
    attributes = {
        **_method(method),
        "url.scheme": scheme,
        "http.route": route,
        "network.protocol.version": f"1.{minor}",
    }
    return _encoded(attributes, told)


@lru_cache(KEPT)
def _sent(method: bytes, resends: int) -> bytes:
    """The same of a CLIENT span."""
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    told = Span(name=_word(method), kind=Span.SPAN_KIND_CLIENT, flags=LOCAL_PARENT)
    attributes = {**_method(method), "network.protocol.version": "1.1", "http.request.resend_count": resends}
    return _encoded(attributes, told)


@lru_cache(KEPT)
def _outcome(status: int, error_type: str, least: int, *, cut: bool) -> bytes:
    """What came of it.

    Args:
        least: The lowest status that is an error.
    """
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

    failed = status >= least
    told = Span(status=Status(code=Status.STATUS_CODE_ERROR)) if cut or failed else Span()
    attributes: dict[str, Value] = {
        "http.response.status_code": status,
        "error.type": error_type or (str(status) if failed else ""),
    }
    return _encoded(attributes, told)


@lru_cache(KEPT)
def _place(route: str, path: bytes) -> bytes:
    """What is asked for."""
    text = path.decode("latin-1")
    return _encoded({"url.path": text, "sidecar.model": _model(route, text)})


@lru_cache(KEPT)
def _agent(user_agent: bytes) -> bytes:
    """Who asks."""
    return _encoded({"user_agent.original": user_agent.decode("latin-1")})


@lru_cache(KEPT)
def _ours(variant: str, version: str) -> bytes:
    """Who answers."""
    return _encoded({"feature_flag.result.variant": encodable(variant), "sidecar.version": encodable(version)})


@lru_cache(KEPT)
def _peer(address: str, port: int) -> bytes:
    """Where that is."""
    return _encoded({"server.address": encodable(address), "server.port": port})


def _encoded(attributes: Mapping[str, Value], span: "Span | None" = None) -> bytes:
    """A span with these attributes; absence is how OpenTelemetry says that there is none, of empty ones too."""
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    told = span or Span()
    for name, value in attributes.items():
        if isinstance(value, int) and value:
            told.attributes.add(key=name).value.int_value = value
        elif isinstance(value, str) and value:
            told.attributes.add(key=name).value.string_value = value
    found: bytes = told.SerializeToString()
    return found


def _method(method: bytes) -> dict[str, Value]:
    told = method.decode("latin-1")
    if told in _KNOWN:
        return {"http.request.method": told}
    return {"http.request.method": "_OTHER", "http.request.method_original": told}


def _word(method: bytes) -> str:
    """By which a span is named."""
    told = method.decode("latin-1")
    return told if told in _KNOWN else "HTTP"


def _model(route: str, path: str) -> str:
    """What stands in the path for `{model}`; empty where nothing does."""
    if "{model}" not in route:
        return ""
    found = _pattern(route).fullmatch(path)
    return "" if found is None else found["model"]


@lru_cache(KEPT)
def _pattern(route: str) -> re.Pattern[str]:
    """As the path was matched, the model by name."""
    before, _, after = route.partition("{model}")
    others = r"[^/]+?"
    ends = [others.join(re.escape(each) for each in re.split(r"\{[^{}/]+\}", end)) for end in (before, after)]
    return re.compile(rf"{ends[0]}(?P<model>{others}){ends[1]}")


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
