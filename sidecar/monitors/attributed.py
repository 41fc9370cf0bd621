"""One version of one variant, as the attribution monitor follows it: what its answers rest on, then and now."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import inf
from operator import add

import numpy as np

from sidecar.monitors.telling import MAX_TEXT, NAMED
from sidecar.monitors.versions import VersionKey
from sidecar.quality.attribution import Attributions
from sidecar.quality.ranking import Moved, Ranking, rank
from sidecar.records import Carrier, Finding, Key
from sidecar.reference.bias_files import AttributionViolation
from sidecar.stats.keeping import Array, packed, unpacked
from sidecar.stats.moments import Floats
from sidecar.texts import shown

KIND = "attribution"
CHECK = "feature_attribution_drift_check"

PANES = 50
"""Of which the reference and the window are made: the pieces that the bootstrap draws."""

EVERY_S = 10.0
"""Between two comparisons: of 300 features one is a fifth of a second's work. Of more, as much longer."""

FEATURES = 300

CARRIERS = 20
"""Features that a finding names."""

SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """How versions are compared with their reference.

    Args:
        stated: The reference's mean |attribution| of each feature; empty where it is learned.
        reference_rows: Attributed rows to learn it from.
        rows: Of the window.
        least: The NDCG below which there is drift.
    """

    stated: Mapping[str, float]
    reference_rows: int
    rows: int
    least: float


@dataclass(slots=True)
class Attributed:
    """Follows a version.

    Attributes:
        rows: Attributed so far.
        ranking: Of the latest whole window, when last compared; None before the first.
    """

    weighing: Weighing
    rows: int = 0
    ranking: Ranking | None = None
    _learned: list[Attributions] = field(default_factory=list)
    _window: deque[Attributions] = field(default_factory=lambda: deque(maxlen=PANES))
    _open: Attributions = field(default_factory=Attributions)
    _open_rows: int = 0
    _changed: bool = False
    _compared_s: float = -inf

    @property
    def learned(self) -> bool:
        """Whether there is a reference."""
        return bool(self.weighing.stated) or len(self._learned) == PANES

    @property
    def reference(self) -> Mapping[str, float]:
        """The mean |attribution| of each feature in the reference, as far as it is known."""
        return self.weighing.stated or reduce(add, self._learned, Attributions()).by_feature()

    @property
    def current(self) -> Mapping[str, float]:
        """Likewise in the window."""
        return reduce(add, tuple(self._window), Attributions()).by_feature()

    @property
    def window_rows(self) -> int:
        """Rows of the window."""
        return len(self._window) * pane_rows(self.weighing.rows)

    def take(self, names: tuple[str, ...], values: Floats, weights: Floats) -> None:
        """Take attributions of n rows, in the order of their requests.

        Args:
            names: The k features, each once.
            values: Shape (n, k); what is not finite is left out.
            weights: Rows of the traffic that each row stands for, shape (n,).
        """
        told = np.isfinite(values).any(axis=1)
        values, weights = values[told], weights[told]
        self.rows += len(values)
        start = 0
        while start < len(values):
            size = pane_rows(self.weighing.rows if self.learned else self.weighing.reference_rows)
            end = min(start + size - self._open_rows, len(values))
            self._open += Attributions.of(names, values[start:end], weights[start:end])
            self._open_rows += end - start
            start = end
            if self._open_rows == size:
                self._close()

    def assess(self, now_s: float) -> None:
        """Compare a whole window with the reference, where anything is new and the last time is long enough ago."""
        every_s = EVERY_S * max(1.0, len(self._window[-1].names) / FEATURES) if self._window else EVERY_S
        due = self._changed and not 0 <= now_s - self._compared_s < every_s
        if due and self.learned and len(self._window) == PANES:
            self._compared_s, self._changed = now_s, False
            reference = self.weighing.stated or self._learned
            self.ranking = rank(reference, tuple(self._window), np.random.default_rng(SEED))

    @property
    def drifted(self) -> bool:
        """Whether the whole interval is below the limit, and the score below what chance alone makes."""
        found = self.ranking
        return found is not None and found.high < self.weighing.least and found.ndcg < found.by_chance

    def findings(self, key: VersionKey) -> list[Finding]:
        """What holds now."""
        moved = self.ranking.moved()[:CARRIERS] if self.ranking is not None and self.drifted else []
        if self.ranking is None or not moved:
            return []
        score, least = self.ranking.ndcg, self.weighing.least
        total = sum(each.share for each in moved)
        carriers = tuple(
            Carrier(each.name, each.share / total, score, least, sentence_of(each), rows=self.window_rows)
            for each in moved
        )
        told = [f"{shown(each.name, MAX_TEXT)} ({each.sentence})" for each in carriers[:NAMED]]
        more = [f"{len(moved) - NAMED} more"] if len(moved) > NAMED else []
        sentence = f"answers of {key.variant} rest on other features: {self._score}; {', '.join(told + more)}"
        return [
            Finding(
                Key(KIND, CHECK, key.variant, "features"),
                key.version,
                carriers,
                rows=self.window_rows,
                reference_rows=0 if self.weighing.stated else PANES * pane_rows(self.weighing.reference_rows),
                sentence=sentence,
            )
        ]

    def violations(self, label: str) -> list[AttributionViolation]:
        """The same in SageMaker's shape.

        Args:
            label: The name of the model's output.
        """
        return [AttributionViolation(label=label, description=self._score)] if self.drifted else []

    def state(self) -> dict[str, Array]:
        """What is to be known after a restart; the open pane is not."""
        return {
            "rows": np.array(self.rows - self._open_rows),
            **_state("learned", self._learned),
            **_state("window", tuple(self._window)),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            LookupError: A part of it is missing.
            ValueError: A part of it is of another shape, or cannot be read, likewise msgspec's ValidationError.
        """
        self.rows = int(state["rows"])
        self._learned = _restored("learned", state)[:PANES]
        self._window.extend(_restored("window", state))
        self._changed = True

    @property
    def _score(self) -> str:
        found = self.ranking
        assert found is not None
        return f"NDCG {found.ndcg:.2f} ({found.low:.2f} to {found.high:.2f}) is below {self.weighing.least:g}"

    def _close(self) -> None:
        (self._window if self.learned else self._learned).append(self._open)
        self._open, self._open_rows, self._changed = Attributions(), 0, True


def pane_rows(rows: int) -> int:
    """Of a pane, of so many rows in all; rounded up."""
    return -(-rows // PANES)


def sentence_of(moved: Moved) -> str:
    """What happened to a feature, for people: `rank 1 → 4, mean |attribution| 0.31 → 0.05`."""
    (rank_before, rank_after), (before, after) = moved.ranks, moved.attributions
    return f"rank {rank_before} → {rank_after}, mean |attribution| {before:.3g} → {after:.3g}"


def _state(name: str, panes: Sequence[Attributions]) -> dict[str, Array]:
    features = reduce(add, panes, Attributions()).names
    columns = [pane.of_features(features) for pane in panes]
    return {
        f"{name}.features": packed(list(features)),
        f"{name}.means": np.array([means for means, _ in columns]).reshape(len(panes), len(features)),
        f"{name}.weights": np.array([weights for _, weights in columns]).reshape(len(panes), len(features)),
    }


def _restored(name: str, state: Mapping[str, Array]) -> list[Attributions]:
    features = unpacked(state[f"{name}.features"], tuple[str, ...])
    means, weights = state[f"{name}.means"], state[f"{name}.weights"]
    if means.shape != weights.shape or means.shape[1:] != (len(features),) or len(means) > PANES:
        raise ValueError(f"{name}: of shape {means.shape}, expected at most {PANES} panes of {len(features)} features")
    return [Attributions(features, mean, weight) for mean, weight in zip(means, weights, strict=True)]
