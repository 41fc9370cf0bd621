"""Learning the reference from live rows: it watches, as the data monitor does, until it has seen enough."""

import numpy as np

from sidecar.detectors.dependence import MAX_ROWS
from sidecar.records import Table
from sidecar.reference.learning import Learner
from sidecar.reference.profile import Profiles
from sidecar.reference.sample import Reservoir

SEED = 0

LEAST_ROWS = 100
"""A reference of fewer knows nothing: a share of a half may be off by a tenth."""


class Learning:
    """Learns from the rows of all variants, or of one.

    Of predictions it learns from the rows whose replies could be read: in the others nothing is known of them, and they
    are not missing. So the monitor counts them too.

    Args:
        rows: Enough of them; None where time alone counts.
        seconds: After which whatever there is is enough, LEAST_ROWS at least; None for as long as it takes.
        variant: Whose rows; None for everybody's.

    Attributes:
        enough: How many rows, as above.
        learner: What was learned of features so far.
        reservoir: Some of their rows, whole.
        done: There are enough rows; further ones are left.
    """

    def __init__(self, *, rows: int | None, seconds: float | None, variant: str | None) -> None:
        self.enough = rows
        self.learner = Learner()
        self.reservoir = Reservoir(MAX_ROWS, np.random.default_rng(SEED))
        self.done = False
        self._answers = Learner()
        self._seconds = seconds
        self._variant = variant
        self._began_s: float | None = None
        self._waiting: list[tuple[Table, Table]] = []

    def count(self, variant: str, version: str, features: Table, predictions: Table) -> None:  # noqa: ARG002  # any version
        """Take some rows."""
        if not self.done and self._variant in {None, variant}:
            self._waiting.append((features, predictions))

    def judge(self, now_s: float) -> None:
        """Learn from what was taken, and see whether that is enough."""
        waiting, self._waiting = self._waiting, []
        for features, predictions in waiting:
            self.learner.update(features)
            self.reservoir.update(features)
            if predictions.names:
                self._answers.update(predictions)
        rows = self.learner.rows
        if self._began_s is None and rows:
            self._began_s = now_s
        full = self.enough is not None and rows >= self.enough
        late = self._seconds is not None and self._began_s is not None and now_s - self._began_s >= self._seconds
        self.done = self.done or full or (late and rows >= LEAST_ROWS)

    def profiles(self) -> Profiles:
        """What was learned so far; a prediction that is called as a feature is left out."""
        asked, answered = self.learner.profiles(), self._answers.profiles()
        taken = {each.name for each in asked.features}
        return Profiles(asked.rows, [*asked.features, *(each for each in answered.features if each.name not in taken)])
