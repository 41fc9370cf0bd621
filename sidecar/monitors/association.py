"""How the features of one variant depend on each other: its rows, whole, against a sample of the reference's."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sidecar.detectors import dependence, returning
from sidecar.detectors.contrast import Contrast
from sidecar.detectors.dependence import MIN_ROWS, Dependence, Pair, Stage
from sidecar.monitors.placing import Rows
from sidecar.records import Carrier
from sidecar.stats.keeping import Array, below, packed, put_back, taken, unpacked
from sidecar.stats.moments import Flags

LEARNED_FROM = ("products", "rows", "blocks")
STANDING = "standing"
CONTRAST = ("directions", "weights", "pairs", "before", "after", "surprise")

BETWEEN = " ~ "
"""The names of the columns of a pair."""


class Association:
    """Follows those features that come with a variant's first rows: what comes later has no common rows with them.

    Args:
        names: Of the reference's columns.
        sample: Of the reference's rows.
        false_alarms_per: Rows; see `Dependence`.

    Attributes:
        carriers: The pairs of features whose dependence has changed and is not back, the most surprising first.
    """

    def __init__(self, names: tuple[str, ...], sample: Rows, *, false_alarms_per: float) -> None:
        self.carriers: tuple[Carrier, ...] = ()
        self._names = names
        self._sample = sample
        self._false_alarms_per = false_alarms_per
        self._columns: Array = np.empty(0, dtype=np.int64)
        self._detector: Dependence | None = None

    def judge(self, batches: Sequence[Rows], features: Flags, since_s: Callable[[int], float]) -> None:
        """Weigh some rows.

        Args:
            batches: Those, in their order.
            features: The columns that are features, shape (k,).
            since_s: Unix time at which the last so many rows began to come.
        """
        if self._detector is None:
            self._detector = self._begin(np.flatnonzero(features))
        if self._detector is None:
            return
        for rows in batches:
            ours = rows.only(self._columns)
            verdict = self._detector.update(ours.values, ours.texts)
            for change in verdict.changes:
                self.carriers = self._told(change, since_s(change.rows))
            if not verdict.away:
                self.carriers = ()

    def state(self) -> dict[str, Array]:
        """All that changes, to go on from after a restart."""
        own = {"carriers": packed(self.carriers), "columns": self._columns}
        detector = self._detector
        if detector is None:
            return own
        counted = detector.evidence.state
        own |= taken(detector.state.windows, LEARNED_FROM, "") | taken(detector.state, ("slices",), "")
        own |= taken(counted, counted.__slots__, "evidence.") | taken(detector.returning, returning.STATE, "returning.")
        stages = {str(slot): stage for slot, stage in detector.state.stages.items()}
        if detector.state.standing is not None:
            stages[STANDING] = detector.state.standing
        for slot, stage in stages.items():
            own |= taken(stage, ("edges", "learned"), f"{slot}/") | taken(stage.contrast, CONTRAST, f"{slot}/")
        return own | {"slots": packed(list(stages))}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state of the same reference and settings.

        Raises:
            KeyError: A part of it is missing.
            ValueError: A part of it has another shape, or cannot be read.
        """
        self.carriers = tuple(unpacked(state["carriers"], list[Carrier]))
        detector = self._detector = self._begin(state["columns"])
        if detector is None:
            return
        counted = detector.evidence.state
        put_back(detector.state.windows, LEARNED_FROM, "", state)
        put_back(detector.state, ("slices",), "", state)
        put_back(counted, counted.__slots__, "evidence.", state)
        put_back(detector.returning, returning.STATE, "returning.", state)
        stages = {slot: _stage(below(f"{slot}/", state)) for slot in unpacked(state["slots"], list[str])}
        detector.state.standing = stages.pop(STANDING, None)
        detector.state.stages = {int(slot): stage for slot, stage in stages.items()}

    def _begin(self, columns: Array) -> Dependence | None:
        """A detector of these columns; None where there is nothing to follow."""
        self._columns = columns
        sample = self._sample.only(columns)
        if not columns.size or len(sample.values) < MIN_ROWS:
            return None
        return Dependence(values=sample.values, texts=sample.texts, false_alarms_per=self._false_alarms_per)

    def _told(self, change: dependence.Association, since_s: float) -> tuple[Carrier, ...]:
        moved = [abs(pair.after - pair.before) for pair in change.pairs]
        return tuple(
            Carrier(
                BETWEEN.join(self._names[self._columns[place]] for place in pair.features),
                share=each / sum(moved) if sum(moved) else 1 / len(moved),
                statistic=each,
                threshold=0.0,
                sentence=_sentence(pair),
                nats=change.nats,
                needed_nats=math.log(self._false_alarms_per),
                since_s=since_s,
                rows=change.rows,
            )
            for pair, each in zip(change.pairs, moved, strict=True)
        )


def _stage(arrays: Mapping[str, Array]) -> Stage:
    contrast = Contrast(**{name: arrays[name] for name in CONTRAST})
    return Stage(contrast, arrays["edges"], int(arrays["learned"]))


def _sentence(pair: Pair) -> str:
    """`correlation 0.02 → 0.61`, of the features' ranks or of how far these are from the middle."""
    of = {(False, False): "", (True, True): " of the distances from the middle"}
    which = of.get(pair.squares, " of one with the other's distance from the middle")
    return f"correlation{which} {pair.before:.2f} → {pair.after:.2f}"
