"""Traces of ours in opentelemetry's own data classes, which its exporters put on the wire.

Of each request a SERVER span, and a CLIENT span where it was sent upstream, by the HTTP conventions (semconv 1.44.0).
No query and no body is told, nor the client's address: they may tell of people. For that reason `url.full` is left out.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from sidecar.stats.traced import SAMPLED, Traced
from sidecar.texts import encodable

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, Status

Value = str | int | float

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))
"""Any other one is told as _OTHER, so that names of spans stay few."""


def spans(traces: Iterable[Traced], resource: "Resource", *, version: str, scheme: str) -> list["ReadableSpan"]:
    """The spans of some requests.

    Args:
        version: Ours, of the instrumentation scope.
        scheme: Over which clients come.
    """
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scope = InstrumentationScope("sidecar", version)
    found = []
    for each in traces:
        found.append(_server(each, resource, scope, scheme))
        if each.sent_s:
            found.append(_client(each, resource, scope))
    return found


def _server(each: Traced, resource: "Resource", scope: "InstrumentationScope", scheme: str) -> "ReadableSpan":
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanKind

    method, path, route = each.method.decode(), each.path.decode("latin-1"), encodable(each.route)
    attributes = {
        **_method(method),
        "url.scheme": scheme,
        "url.path": path,
        "http.route": route,
        "http.response.status_code": each.status,
        "error.type": _error_type(each, each.status, 500),
        "network.protocol.version": f"1.{each.minor}",
        "user_agent.original": each.user_agent.decode("latin-1"),
        "http.request.body.size": each.request_bytes,
        "http.response.body.size": each.reply_bytes,
        **_ours(each),
        "sidecar.request.id": each.request_id.decode("latin-1"),
        "sidecar.model": _model(route, path),
        "sidecar.overhead.duration": each.overhead_s,
        "sidecar.sampled_by": "" if each.reason == SAMPLED else each.reason,
    }
    name = attributes["http.request.method"] if method in METHODS else "HTTP"
    return ReadableSpan(
        f"{name} {route}" if route else str(name),
        _context(each, each.server_id, remote=False),
        _context(each, each.parent_id, remote=True) if each.parent_id else None,
        resource,
        _known(attributes),
        kind=SpanKind.SERVER,
        status=_status(failed=each.cut or each.status >= 500),
        start_time=_ns(each.started_s),
        end_time=_ns(each.started_s) + _ns(each.duration_s),
        instrumentation_scope=scope,
    )


def _client(each: Traced, resource: "Resource", scope: "InstrumentationScope") -> "ReadableSpan":
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanKind

    method = each.method.decode()
    status = each.status if each.first_byte_s else 0  # what the client got without the upstream's reply is ours
    attributes = {
        **_method(method),
        "server.address": encodable(each.address),
        "server.port": each.port,
        "http.response.status_code": status,
        "error.type": _error_type(each, status, 400),
        "network.protocol.version": "1.1",
        "http.request.resend_count": each.resends,
        **_ours(each),
        "sidecar.upstream.first_byte.duration": each.first_byte_s,
    }
    return ReadableSpan(
        method if method in METHODS else "HTTP",
        _context(each, each.client_id, remote=False),
        _context(each, each.server_id, remote=False),
        resource,
        _known(attributes),
        kind=SpanKind.CLIENT,
        status=_status(failed=each.cut or status >= 400),
        start_time=_ns(each.started_s) + _ns(each.sent_s),
        end_time=_ns(each.started_s) + _ns(max(each.sent_s, each.ended_s)),
        instrumentation_scope=scope,
    )


def _method(method: str) -> dict[str, Value]:
    if method in METHODS:
        return {"http.request.method": method}
    return {"http.request.method": "_OTHER", "http.request.method_original": method}


def _ours(each: Traced) -> dict[str, Value]:
    return {
        "feature_flag.result.variant": encodable(each.variant),
        "sidecar.version": encodable(each.version),
    }


def _error_type(each: Traced, status: int, least: int) -> str:
    return each.error_type or (str(status) if status >= least else "")


def _known(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Without those that are empty: absence is how OpenTelemetry says that there is none."""
    return {name: value for name, value in attributes.items() if value not in {"", 0}}


def _context(each: Traced, span_id: bytes, *, remote: bool) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(each.trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED))


def _status(*, failed: bool) -> "Status":
    from opentelemetry.trace import Status, StatusCode

    return Status(StatusCode.ERROR if failed else StatusCode.UNSET)


def _model(route: str, path: str) -> str:
    """What stands in the path for `{model}`; empty where nothing does."""
    if "{model}" not in route:
        return ""
    found = _pattern(route).fullmatch(path)
    return "" if found is None else found["model"]


@lru_cache(maxsize=256)
def _pattern(route: str) -> re.Pattern[str]:
    """As the path was matched, the model by name."""
    before, _, after = route.partition("{model}")
    others = r"[^/]+?"
    ends = [others.join(re.escape(each) for each in re.split(r"\{[^{}/]+\}", end)) for end in (before, after)]
    return re.compile(rf"{ends[0]}(?P<model>{others}){ends[1]}")


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
