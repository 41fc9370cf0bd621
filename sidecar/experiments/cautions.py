"""What to know before one believes an experiment, or waits for it, in sentences; none of them changes a verdict.

They say why its verdicts mean nothing, or less than they seem to, and why there may never be any.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf, isnan

from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Judged, Source, Verdict

CROSSED = 0.01
"""Share of users on several sides that people are told of: differences look smaller by as much at least."""

UNKEYED = 0.01
"""Share of requests without a user, likewise."""

LEAST_USERS = 100
"""One in few is no share."""

LOOKED = 200
"""Values that were looked for and not found, or that say nothing: of fewer that may be chance."""

ASKED = 1000
"""Requests of which nothing came to be looked at: of a tenth, which is what is captured by default, a hundred."""

_ONE: dict[Source, str] = {
    "requests": "request",
    "replies": "reply",
    "labelled rows": "label",
    "outcomes": "outcome",
    "predictions": "prediction",
}


def broken(variants: Sequence[str], mismatch: Mismatch, sides: Sides) -> Iterator[str]:
    """Why verdicts may mean nothing: the split is not what it should be."""
    if mismatch.alarm:
        users = sum(mismatch.counts)
        each = zip(variants, mismatch.counts, mismatch.shares, strict=True)
        told = ", ".join(f"{name} {count / users:.1%} in place of {share:.1%}" for name, count, share in each)
        yield f"the split does not keep its shares ({told}): users of a variant are lost, trust no verdict"
    if sides.users >= LEAST_USERS and sides.crossed > CROSSED:
        yield f"{sides.crossed:.1%} of the users are seen with several variants at a time: differences look smaller"


def unkeyed(requests: int, without: int) -> Iterator[str]:
    """That requests lack the key by which the split should go; of each it makes a user of its own.

    Args:
        requests: That were dealt.
        without: Of these, those without a key; requests in flight may make it more than there are.
    """
    if without >= LEAST_USERS and without > UNKEYED * requests:
        share = without / max(requests, without)
        yield (
            f"{share:.1%} of the requests lack the user that split.sticky goes by: each counts as a user of its own, "
            "so that users' checks and intervals say less"
        )


def weightless(variants: Sequence[str], weights: Mapping[str, float]) -> Iterator[str]:
    """That somebody gets no requests to be compared by.

    Args:
        variants: The champion first.
        weights: Of the split; who is not named has none.
    """
    idle = [each for each in variants if not weights.get(each, 0.0) > 0]
    if idle:
        yield f"{', '.join(idle)}: at a weight of 0 there are no requests to compare by"
    if len(variants) < 2:
        yield "no challenger has a weight: there is nothing to compare; /v1/shadow tells of copies"


def unserved(rows: Mapping[str, int], shares: Mapping[str, float]) -> Iterator[str]:
    """That somebody never had what is theirs: the users are one or two, or the split is not what decides.

    Args:
        rows: Requests by variant, all dealt by these shares.
        shares: Of the split, of 1.
    """
    total = sum(rows.values())
    for variant, share in shares.items():
        if not rows.get(variant) and share * total >= LOOKED:
            told = f"{variant} had none of {total:,} requests at {share:.1%} of the split"
            yield f"{told}: they are of very few users, or not for the split to deal"


def silent(
    judged: Judged, requests: Mapping[str, int], found: Mapping[str, int], omitted: Mapping[str, int]
) -> Iterator[str]:
    """That a measure finds nothing, though there was enough to find it in.

    Args:
        requests: That were served, by variant, as the next.
        found: Values, in what the measure looks at.
        omitted: What it looked at and found none in.

    Example:
        >>> list(silent(Judged("metric./fee", 0, "", "", source="replies"), {"a": 5000}, {}, {"a": 480}))
        ['metric./fee was found in 0 of 480 replies of a']
    """
    silent = [each for each in requests if not found.get(each)]
    vain = [each for each in silent if omitted.get(each, 0) >= LOOKED]
    if vain:
        looked = sum(omitted[each] for each in vain)
        yield f"{judged.name} was found in 0 of {looked:,} {judged.source} of {' and '.join(vain)}"
    unseen = [each for each in silent if not omitted.get(each) and requests[each] >= ASKED]
    if unseen:
        asked = sum(requests[each] for each in unseen)
        yield f"{judged.name}: no {_ONE[judged.source]} has come of {asked:,} requests of {' and '.join(unseen)}"


def stuck(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """That rows are enough, and more of the same kind will say no more."""
    crowded: dict[str, list[str]] = {}
    for verdict in verdicts:
        both = verdict.compared
        few = min(both.champion_rows, both.challenger_rows) < LOOKED
        if few or verdict.word != "undecided":
            continue
        if not isnan(both.estimate):
            if verdict.rows_to_go == inf:
                yield f"{verdict.measure} of {verdict.challenger}: no more rows like these decide, a wider margin would"
        elif verdict.relative and both.champion == 0:
            yield f"{verdict.measure}: of the champion it is 0, and {verdict.challenger}'s is no part of that"
        else:
            crowded.setdefault(verdict.challenger, []).append(verdict.measure)
    for challenger, measures in crowded.items():
        yield (
            f"{', '.join(measures)} of {challenger}: more than half of its rows or of the champion's are of one user, "
            "which says nothing of others"
        )
