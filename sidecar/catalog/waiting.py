"""What a training run has logged and its catalogue has not been told yet: bounded, and any thread may add to it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sidecar.catalog.bounds import NAMED, check_log, check_number
from sidecar.entries import Point

FLUSH_POINTS = 500
"""That one write holds at most: far within what the admin side takes."""
WAITING_POINTS = 20_000
"""Of more the oldest go, counted: some 4 MB, and a day of one point every five seconds."""


class Taken(NamedTuple):
    """What one write holds."""

    parameters: dict[str, str]
    artefacts: dict[str, str]
    points: list[Point]


@dataclass(slots=True)
class Waiting:
    """What has been logged and not yet written, bounded; and of all that ever was, what later calls depend on.

    Args:
        steps: The next step of each metric, where none is given.
        model: Where the artefact called `model` is.
        dropped: Points that went because there were too many, or that were refused.
    """

    parameters: dict[str, str] = field(default_factory=dict)
    artefacts: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    model: str = ""
    dropped: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, value: float, step: int | None, now_s: float) -> int:
        """Add a point; how many wait."""
        with self.lock:
            at = self.steps.get(name, 0) if step is None else step
            point = Point(name, at, value, now_s)
            check_log({}, [point], {})
            check_number("metrics", len(self.steps) + (name not in self.steps))
            self.steps[name] = at + 1
            self.points.append(point)
            if len(self.points) > WAITING_POINTS:
                del self.points[:FLUSH_POINTS]
                self.dropped += FLUSH_POINTS
            return len(self.points)

    def add_texts(self, parameters: Mapping[str, str], artefacts: Mapping[str, str]) -> None:
        """Add parameters and artefacts."""
        with self.lock:
            self.parameters, self.artefacts = _bounded(self.parameters, parameters), _bounded(self.artefacts, artefacts)
            self.model = artefacts.get("model", self.model)

    def take(self) -> "Taken | None":
        """As much as one write holds; None where nothing waits."""
        with self.lock:
            taken = Taken(self.parameters, self.artefacts, self.points[:FLUSH_POINTS])
            self.parameters, self.artefacts = {}, {}
            del self.points[:FLUSH_POINTS]
            return taken if any(taken) else None

    def give_back(self, taken: "Taken") -> None:
        """It was not written: it goes before what came meanwhile."""
        with self.lock:
            self.parameters = {**taken.parameters, **self.parameters}
            self.artefacts = {**taken.artefacts, **self.artefacts}
            self.points[:0] = taken.points

    def lose(self, taken: "Taken") -> None:
        """It was refused."""
        with self.lock:
            self.dropped += len(taken.points)


def _bounded(before: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Both, as many as may be: the catalogue may be silent while a loop invents names."""
    return dict(list({**before, **more}.items())[-NAMED:])
