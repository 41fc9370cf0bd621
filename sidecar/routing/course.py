"""The course: who serves whom now, how far a rollout is, and what to go back to; the document that is kept of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sidecar.config.routes import Routes, parse_routes
from sidecar.entries import Change
from sidecar.routing.rollout import Progress

DECLARED = 16
"""Configurations that are remembered."""

MOST_REVISIONS = 2**53
"""What every reader of JSON holds exactly, and every database: no number of changes, but somebody's mistake or joke."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where all stands.

    Args:
        revision: One more with every change.
        declared: Fingerprints of the routes that configurations had when routes were taken from there, the latest last.
        routes: As `config.routes` reads them, and as their author wrote them; what they mean is `serving`.
        change: The latest.
        challenger: The variant that the rollout is of.
        progress: Of the rollout.
        begun_s: Unix time at which its first step began; what was seen before does not count.
        earlier: The routes to go back to; None where there are none.
        versions: Of the catalogue, by the alias that means them, as last followed.
        unfollowed: To where an alias was moved last, where its variants have not followed it.
    """

    revision: Annotated[int, Meta(ge=0, le=MOST_REVISIONS)]
    declared: Sequence[str]
    routes: Mapping[str, Any]
    change: Change
    challenger: str = ""
    progress: Progress = Progress()  # noqa: RUF009  (immutable)
    begun_s: float = 0.0
    earlier: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    unfollowed: Mapping[str, str] = field(default_factory=dict)

    def after(self, change: Change, **fields: Any) -> "Course":  # noqa: ANN401  # of any of the fields' types
        """The next one."""
        return replace(self, revision=self.revision + 1, change=change, **fields)

    def declaring(self, fingerprint: str) -> Sequence[str]:
        """What is declared after another configuration has been taken up."""
        return [*(each for each in self.declared if each != fingerprint), fingerprint][-DECLARED:]


def serving(course: Course) -> Routes:
    """Who serves whom by a course: its routes, with the versions that aliases mean."""
    return parse_routes(course.routes).resolved(course.versions)


def encode(course: Course) -> bytes:
    """As JSON."""
    return msgspec.json.encode(course)


def decode(document: bytes) -> Course:
    """What was encoded.

    Raises:
        ValueError: It is something else.
    """
    try:
        return msgspec.json.decode(document, type=Course)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
