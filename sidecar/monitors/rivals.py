"""Whether a variant answers worse than the champion: from pairs of labelled rows, one of each."""

from collections.abc import Iterator, Mapping

import numpy as np

from sidecar.detectors import bounded, paired
from sidecar.detectors.bounded import Verdict
from sidecar.detectors.paired import Paired
from sidecar.monitors.keeping import Array, below, packed, put_back, taken, unpacked
from sidecar.quality.reading import Read
from sidecar.records import Carrier, Finding, Key
from sidecar.stats.moments import Floats

MAX_RIVALS = 32
"""Variants that are compared with the champion."""

RIVALS = "rivals"

NOTHING: Floats = np.empty(0)


class Rivals:
    """Compares all variants but one with that one.

    Args:
        champion: Its name.
        tolerance: How much greater than its mean loss another's may be.
        false_alarms_per: Pairs of one variant's rows with the champion's.

    Attributes:
        verdicts: The latest of each variant.
    """

    def __init__(self, champion: str, *, tolerance: float, false_alarms_per: float) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self._champion = champion
        self._tolerance = tolerance
        self._false_alarms_per = false_alarms_per
        self._pairs: dict[str, Paired] = {}

    def take(self, variant: str, losses: Floats) -> None:
        """Take the losses of rows whose labels have come, in [0, 1] and on the same scale for all variants."""
        if variant != self._champion:
            if variant not in self._pairs and len(self._pairs) < MAX_RIVALS:
                self._pairs[variant] = self._new()
            if variant in self._pairs:
                self.verdicts[variant] = self._pairs[variant].update(champion=NOTHING, challenger=losses)
            return
        for name, pairs in self._pairs.items():
            self.verdicts[name] = pairs.update(champion=losses, challenger=NOTHING)

    def findings(self, versions: Mapping[str, str]) -> Iterator[Finding]:
        """The variants that are worse.

        Args:
            versions: The latest of each variant.
        """
        for variant, verdict in self.verdicts.items():
            if verdict.away and variant in versions:
                yield self._finding(variant, versions[variant], verdict)

    def state(self) -> dict[str, Array]:
        """What is to be known after a restart."""
        parts = {RIVALS: packed(list(self._pairs))}
        for place, pairs in enumerate(self._pairs.values()):
            parts |= taken(pairs, paired.STATE, f"{place}.") | taken(pairs.rising, bounded.STATE, f"{place}.rising.")
        return parts

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: A part of it is of another shape.
        """
        found: dict[str, Paired] = {}
        for place, variant in enumerate(unpacked(state[RIVALS], list[str])):
            pairs = found[variant] = self._new()
            put_back(pairs, paired.STATE, f"{place}.", state)
            put_back(pairs.rising, bounded.STATE, "", below(f"{place}.rising.", state))
        self._pairs = found
        self.verdicts = {
            variant: pairs.update(champion=NOTHING, challenger=NOTHING) for variant, pairs in found.items()
        }

    def _new(self) -> Paired:
        return Paired(tolerance=self._tolerance, false_alarms_per=self._false_alarms_per)

    def _finding(self, variant: str, version: str, verdict: Verdict) -> Finding:
        told = f"{100 * verdict.mean:+.3g} points"
        carrier = Carrier(
            "loss",
            1.0,
            statistic=verdict.mean,
            threshold=self._tolerance,
            sentence=told,
            nats=verdict.nats,
            needed_nats=verdict.needed,
            rows=verdict.rows,
        )
        sentence = f"{variant} answers worse than {self._champion}: {told} of loss"
        return Finding(
            Key("quality", "champion", variant, "quality"), version, (carrier,), verdict.rows, verdict.rows, sentence
        )


def losses_of(read: Read, scale: float) -> Floats:
    """The loss of rows that were read, in [0, 1].

    Args:
        scale: Of the errors of a regression, the same for all variants.
    """
    if read.answers is not None:
        wrong = read.answers.actual != read.answers.predicted
        return np.asarray(wrong, dtype=np.float64)
    assert read.amounts is not None
    return np.minimum(np.abs(read.amounts.predicted - read.amounts.actual) / scale, 1.0)
