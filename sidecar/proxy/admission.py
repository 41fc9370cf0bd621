"""Whether a request is served: what is malformed, too large or too much is refused, with the status to say so."""

from sidecar.errors import DownstreamError
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.limits import Limits
from sidecar.wire.body import Reader
from sidecar.wire.http1 import parse_request
from sidecar.wire.message import RequestHead


def feed(reader: Reader, data: bytes) -> bytes:
    """The body's bytes in what a client sent.

    Raises:
        DownstreamError: It is malformed.
    """
    try:
        return reader.feed(data)
    except ValueError as error:
        raise DownstreamError(400, "bad_request", f"the request's body is malformed: {error}") from error


def admit(data: bytes, end: int, gateway: Gateway) -> RequestHead:
    """A client's request head, if it is one to read on from.

    Args:
        end: Where the last field line ends in `data`.

    Raises:
        DownstreamError: It is malformed, too large or too long.
    """
    limits = gateway.limits
    if end > limits.head_bytes:
        raise too_long(data, limits)
    if end > 4 * limits.fields and data.count(b"\r\n", 0, end) > limits.fields:  # no line is shorter than `a:` CRLF
        raise DownstreamError(431, "head_too_large", f"more than {limits.fields} field lines")
    try:
        head = parse_request(data[: end + 2])
    except ValueError as error:
        raise DownstreamError(400, "bad_request", str(error)) from error
    if len(head.target) > limits.target_bytes:
        raise _target_too_long(limits)
    return head


def make_room(gateway: Gateway) -> None:
    """See that there is room for one more request.

    Raises:
        DownstreamError: Too many are in flight.
    """
    limits = gateway.limits
    if gateway.traffic.active >= limits.in_flight:
        raise DownstreamError(503, "overload", f"more than {limits.in_flight} requests in flight")


def too_long(data: bytes, limits: Limits) -> DownstreamError:
    """What of a head exceeds its limit: the target or the whole."""
    line_end = data.find(b"\r\n")
    if line_end < 0 or line_end > limits.target_bytes + 64:
        return _target_too_long(limits)
    return DownstreamError(431, "head_too_large", f"a request head of more than {limits.head_bytes} bytes")


def _target_too_long(limits: Limits) -> DownstreamError:
    return DownstreamError(414, "target_too_long", f"a request target of more than {limits.target_bytes} bytes")
