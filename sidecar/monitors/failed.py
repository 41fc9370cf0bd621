"""Failed exchanges as events: which trace to look at, when something goes wrong."""

from collections.abc import Callable, Sequence

from sidecar.records import Capture, Event
from sidecar.texts import shown
from sidecar.trace_context import parse

PER_MINUTE = 60
"""Enough to see what is wrong; how many fail, the metrics say."""

MAX_TEXT = 256
"""Characters of a path, and of a request id."""


class Failed:
    """Tells of failed exchanges.

    Args:
        tell: Takes the events; never waits.
        now_s: A clock that does not go back.
        per_minute: Told so often at most; after a quiet minute so many at once.

    Attributes:
        untold: Failed exchanges beyond that.
    """

    def __init__(
        self, tell: Callable[[Event], None], *, now_s: Callable[[], float], per_minute: int = PER_MINUTE
    ) -> None:
        self.untold = 0
        self._tell = tell
        self._now_s = now_s
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._counted_s = now_s()

    def note(self, captures: Sequence[Capture]) -> None:
        """Tell of those that have failed."""
        for capture in captures:
            if not failed(capture):
                continue
            if self._may_tell():
                self._tell(failure_event(capture))
            else:
                self.untold += 1

    def _may_tell(self) -> bool:
        now_s = self._now_s()
        more = max(0.0, now_s - self._counted_s) * self._per_minute / 60
        self._left, self._counted_s = min(self._left + more, float(self._per_minute)), now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


def failed(capture: Capture) -> bool:
    """Whether it was a fault of the model server or of the sidecar; a copy's reply is nobody's."""
    if capture.shadow or 400 <= capture.status < 500:
        return False
    return capture.status >= 500 or capture.error_type not in {"", "client_closed"}


def failure_event(capture: Capture) -> Event:
    """Under the trace of the exchange, where its `traceparent` is captured."""
    method, path = shown(capture.method, MAX_TEXT), shown(capture.path, MAX_TEXT)
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": method,
        "url.path": path,
        "http.route": capture.route,
        "http.response.status_code": capture.status,
        "error.type": capture.error_type or str(capture.status),
        "feature_flag.result.variant": capture.variant,
        "sidecar.version": capture.version,
        "sidecar.request.id": shown(capture.request_id, MAX_TEXT),
        "sidecar.duration": capture.duration_s,
    }
    why = f", {capture.error_type}" if capture.error_type else ""
    return Event(
        "sidecar.exchange.failed",
        capture.started_s + capture.duration_s,
        "error",
        f"{method} {path}: {capture.status}{why}",
        {name: value for name, value in attributes.items() if value != ""},
        trace=parse(capture.headers.get("request", {}).get("traceparent", "")),
    )
