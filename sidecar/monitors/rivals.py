"""Whether a variant answers worse than the champion: from pairs of labelled rows, one of each."""

from collections.abc import Iterator, Mapping

import numpy as np

from sidecar.detectors import bounded, paired
from sidecar.detectors.bounded import Verdict
from sidecar.detectors.paired import Paired
from sidecar.monitors.versions import VersionKey
from sidecar.records import Carrier, Finding, Key
from sidecar.stats.keeping import Array, below, packed, put_back, taken, unpacked
from sidecar.stats.moments import Floats

MAX_RIVALS = 32
"""Variants times versions that are compared with the champion; of more, those whose labels came the longest ago go."""

RIVALS = "rivals"

NOTHING: Floats = np.empty(0)


class Rivals:
    """Compares all variants but one with that one, every version by itself: a new one is not blamed for the last.

    Args:
        champion: Its name.
        tolerance: How much greater than its mean loss another's may be.
        false_alarms_per: Pairs of one version's rows with the champion's.

    Attributes:
        verdicts: The latest of each variant's versions.
    """

    def __init__(self, champion: str, *, tolerance: float, false_alarms_per: float) -> None:
        self.verdicts: dict[VersionKey, Verdict] = {}
        self._champion = champion
        self._tolerance = tolerance
        self._false_alarms_per = false_alarms_per
        # In the order in which they had labels last.
        self._pairs: dict[VersionKey, Paired] = {}

    def take(self, variant: str, version: str, losses: Floats) -> None:
        """Take the losses of rows whose labels have come, in [0, 1] and on the same scale for all variants."""
        if variant == self._champion:
            for key, pairs in self._pairs.items():
                self.verdicts[key] = pairs.update(champion=losses, challenger=NOTHING)
            return
        key = VersionKey(variant, version)
        pairs = self._pairs.pop(key) if key in self._pairs else self._new()
        self._pairs[key] = pairs
        self.verdicts[key] = pairs.update(champion=NOTHING, challenger=losses)
        if len(self._pairs) > MAX_RIVALS:
            oldest = next(iter(self._pairs))
            del self._pairs[oldest], self.verdicts[oldest]

    def findings(self, versions: Mapping[str, str]) -> Iterator[Finding]:
        """The variants that are worse.

        Args:
            versions: The latest of each variant.
        """
        for key, verdict in self.verdicts.items():
            if verdict.away and versions.get(key.variant) == key.version:
                yield self._finding(*key, verdict)

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
        found: dict[VersionKey, Paired] = {}
        for place, key in enumerate(unpacked(state[RIVALS], list[VersionKey])):
            pairs = found[key] = self._new()
            put_back(pairs, paired.STATE, f"{place}.", state)
            put_back(pairs.rising, bounded.STATE, "", below(f"{place}.rising.", state))
        self._pairs = found
        self.verdicts = {key: pairs.update(champion=NOTHING, challenger=NOTHING) for key, pairs in found.items()}

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
