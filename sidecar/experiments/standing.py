"""How an experiment stands: all that is told of it at one look."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Guard, Guarded, Verdict

CROSSED = 0.01
"""Share of users on several sides that people are told of: differences look smaller by as much at least."""

LEAST_USERS = 100
"""One in few is no share."""


class Standing(NamedTuple):
    """How an experiment stands.

    Args:
        variants: The champion first; their order is that of the counts in `mismatch`.
        since_s: Unix time at which it began; inf before it has.
        epoch_s: At which the weights changed last.
        rows: Requests that were served, by variant, whenever they were dealt.
        late: Rows left out, as nobody knows by which weights their requests were dealt: before it began, or within the
            second in which weights changed.
        verdicts: Of each challenger by each measure.
        guards: Likewise, and of its load.
        cautions: For people: why the verdicts may mean nothing.
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

    def words(self, challenger: str) -> dict[str, Guard]:
        """What is known of each guardrail of a challenger."""
        return {each.measure: each.word for each in self.guards if each.challenger == challenger}


def cautions_of(variants: Sequence[str], mismatch: Mismatch, sides: Sides) -> Iterator[str]:
    """For people: why verdicts may mean nothing."""
    if mismatch.alarm:
        users = sum(mismatch.counts)
        each = zip(variants, mismatch.counts, mismatch.shares, strict=True)
        told = ", ".join(f"{name} {count / users:.1%} in place of {share:.1%}" for name, count, share in each)
        yield f"the split does not keep its shares ({told}): users of a variant are lost, trust no verdict"
    if sides.users >= LEAST_USERS and sides.crossed > CROSSED:
        yield f"{sides.crossed:.1%} of the users are seen with several variants at a time: differences look smaller"
