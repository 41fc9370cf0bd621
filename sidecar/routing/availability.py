"""How much of its traffic a variant may take: what its replies and its health say. Values in, values out.

    taking        all of it
    ejected       nothing, for `eject_s`, since too many requests failed in a row; each time twice as long
    unhealthy     nothing, until enough looks at its health were good
    coming_back   more and more, after either

A variant that fails again before it has been well for `max_eject_s` is ejected for twice as long as before, up to
`max_eject_s`; after that the past is forgotten. Good looks at its health do not end an ejection: a server that takes
connections may still answer each request with 500.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["taking", "ejected", "unhealthy", "coming_back"]

Failure = Literal["error", "connect"]
"""A reply of 5xx, or none at all; no connection."""

FIRST_RATIO: Final = 0.1
"""Of its traffic, what a variant gets at once when it comes back. Envoy's number (slow start, `min_weight_percent`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """When a variant gets nothing, and how it comes back.

    Args:
        errors: Replies of 5xx in a row that eject; 0 for never.
        connect_failures: Connections that fail in a row; 0 for never.
        eject_s: For how long at first.
        max_eject_s: For how long at most, and how long it must be well for the past to be forgotten.
        return_s: In which its traffic comes back; 0 for at once.
        unhealthy_after: Bad looks in a row after which it is unhealthy.
        healthy_after: Good looks in a row after which it is not.
    """

    errors: int = 5
    connect_failures: int = 3
    eject_s: float = 30.0
    max_eject_s: float = 300.0
    return_s: float = 30.0
    unhealthy_after: int = 3
    healthy_after: int = 2


class Availability:
    """What is known of one variant. Every request passes `succeeded` or `failed`; times are of one monotonic clock.

    Attributes:
        healthy: As the looks at its health have it.
        ejections: How often it was ejected so far.

    Example:
        >>> availability = Availability(Settings(errors=2, eject_s=10, return_s=10))
        >>> availability.failed("error", 100), availability.failed("error", 101), availability.state(101)
        (False, True, 'ejected')
        >>> [availability.available(now_s) for now_s in (101, 110, 111, 116, 121)]
        [0.0, 0.0, 0.1, 0.5, 1.0]
    """

    __slots__ = (
        "_connect_failures",
        "_eject_s",
        "_errors",
        "_failing",
        "_looks",
        "_returns_s",
        "_settings",
        "ejections",
        "healthy",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._failing = False
        self._errors = 0
        self._connect_failures = 0
        self._looks = 0
        self._returns_s = float("-inf")
        self._eject_s = 0.0
        self.healthy = True
        self.ejections = 0

    def succeeded(self) -> None:
        """A reply that is no 5xx came."""
        if self._failing:
            self._forgive()

    def failed(self, kind: Failure, now_s: float) -> bool:
        """A request failed; whether that changed something.

        What was sent before an ejection, or in spite of it since there is nobody else, fails without consequence.
        """
        if not self.healthy or now_s < self._returns_s:
            return False
        self._failing = True
        if kind == "error":
            # It came over a connection: those that fail are not in a row any more.
            self._errors += 1
            self._connect_failures = 0
        else:
            self._connect_failures += 1
        settings = self._settings
        if 0 < settings.errors <= self._errors or 0 < settings.connect_failures <= self._connect_failures:
            self._eject(now_s)
            return True
        return False

    def probed(self, ok: bool, now_s: float) -> bool:  # noqa: FBT001 - it is the look's answer
        """Somebody looked at its health; whether that changed something."""
        if ok is self.healthy:
            self._looks = 0
            return False
        self._looks += 1
        if self._looks < (self._settings.healthy_after if ok else self._settings.unhealthy_after):
            return False
        self._looks = 0
        self.healthy = ok
        if ok:
            self._returns_s = max(self._returns_s, now_s)
            self._forgive()
        else:
            self._forget(now_s)
        return True

    def available(self, now_s: float) -> float:
        """The part of its traffic that it may take, 0 to 1."""
        gone_s = now_s - self._returns_s
        if not self.healthy or gone_s < 0:
            return 0.0
        if gone_s >= self._settings.return_s:
            return 1.0
        return max(FIRST_RATIO, gone_s / self._settings.return_s)

    def state(self, now_s: float) -> State:
        """The same in a word."""
        if not self.healthy:
            return "unhealthy"
        if now_s < self._returns_s:
            return "ejected"
        return "taking" if self.available(now_s) == 1.0 else "coming_back"

    def _forgive(self) -> None:
        self._failing = False
        self._errors = 0
        self._connect_failures = 0

    def _eject(self, now_s: float) -> None:
        self._forget(now_s)
        settings = self._settings
        self._eject_s = min(2 * self._eject_s or settings.eject_s, settings.max_eject_s)
        self._returns_s = now_s + self._eject_s
        self.ejections += 1
        self._forgive()

    def _forget(self, now_s: float) -> None:
        """It ends being well: forget earlier ejections where it was so for long enough."""
        if now_s - self._returns_s >= self._settings.max_eject_s:
            self._eject_s = 0.0


def shares(
    availabilities: Mapping[str, Availability],
    weights: Mapping[str, float],
    now_s: float,
    *,
    fallback: str | None = None,
) -> dict[str, float]:
    """The part of its traffic that each variant may take, 0 to 1; never 0 for all that have any.

    Where all that have a weight are ejected or unhealthy, all of them count as if they were not: trying is better than
    refusing, and what all upstreams seem to have is more often the network's fault. That is Envoy's panic threshold at
    its least: there, hosts count again when less than half of them are left, but of two variants one is half.

    Args:
        availabilities: By name; the same names as in `weights`.
        weights: Of the traffic.
        fallback: Who serves for the others, with or without a weight: nothing is lost while it can.
    """
    parts = {name: availability.available(now_s) for name, availability in availabilities.items()}
    serving = [name for name, weight in weights.items() if weight > 0 or name == fallback]
    if not any(parts[name] for name in serving):
        parts.update(dict.fromkeys(serving, 1.0))
    return parts
