"""How an experiment stands: all that is told of it at one look."""

from collections.abc import Collection, Mapping
from math import nan
from typing import NamedTuple

from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Guard, Guarded, Verdict


class Standing(NamedTuple):
    """How an experiment stands.

    Args:
        variants: The champion first; their order is that of the counts in `mismatch`.
        since_s: Unix time at which it began; inf before it has.
        epoch_s: At which the weights changed last.
        rows: Requests that were served, by variant, whenever they were dealt.
        late: Requests left out, as nobody knows by which weights they were dealt: within the second in which weights
            changed.
        verdicts: Of each challenger by each measure.
        guards: Likewise, and of its load.
        cautions: For people: why the verdicts may mean nothing, or why there may never be any.
        wrong: Probability of any wrong verdict, of all together and for all time.
        min_rows: Of either variant, without which there is no verdict.
    """

    name: str
    variants: tuple[str, ...]
    since_s: float
    epoch_s: float
    rows: Mapping[str, int]
    late: int
    verdicts: tuple[Verdict, ...]
    guards: tuple[Guarded, ...]
    mismatch: Mismatch
    sides: Sides
    cautions: tuple[str, ...]
    wrong: float = nan
    min_rows: int = 0

    def words(self, challenger: str) -> dict[str, Guard]:
        """What is known of each guardrail of a challenger."""
        return {each.measure: each.word for each in self.guards if each.challenger == challenger}

    def without(self, names: Collection[str]) -> "Standing":
        """The same, but for challengers that are not to be told of."""
        places = [place for place, name in enumerate(self.variants) if not place or name not in names]
        counts, shares = self.mismatch.counts, self.mismatch.shares
        variants = tuple(self.variants[place] for place in places)
        return self._replace(
            variants=variants,
            rows={name: self.rows[name] for name in variants},
            verdicts=tuple(each for each in self.verdicts if each.challenger in variants),
            guards=tuple(each for each in self.guards if each.challenger in variants),
            mismatch=self.mismatch._replace(
                counts=tuple(counts[place] for place in places), shares=tuple(shares[place] for place in places)
            ),
        )
