"""What happened to a feature, in words that a person reads at night."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, starmap
from typing import NamedTuple

import numpy as np

from sidecar.records import Carrier, Subject
from sidecar.reference.binning import BINS, Bins
from sidecar.stats.categories import MAX_KEY
from sidecar.stats.moments import Floats
from sidecar.texts import shown

NAMED = 5
"""Features that a sentence names; the others are counted."""

MAX_TEXT = 40
"""Characters of a name or a category that are shown."""

EXACT = 17
"""Digits that tell any two floats apart."""

MISSING = "missing"
"""The name of the bin of what has no value."""


class _Cut(NamedTuple):
    """Between two bins of a feature of numbers.

    Args:
        number: As it is shown.
        below: The number itself lies above the cut: the edge is the one just below it, since it has a bin of its own.
    """

    number: str
    below: bool


def drifted(check: str, subject: Subject, variant: str, carriers: Sequence[Carrier]) -> str:
    """What a finding says.

    Example:
        >>> drifted("psi", "features", "champion", [Carrier("age", 1.0, 20.1, 16.8, "above 40: 10 % → 35 %")])
        'features of champion have drifted: age (above 40: 10 % → 35 %)'
    """
    happened = "depend on each other in another way" if check == "dependence" else "have drifted"
    told = [f"{shown(each.name, 2 * MAX_TEXT + 3)} ({each.sentence})" for each in carriers[:NAMED]]
    more = [f"{len(carriers) - NAMED} more"] if len(carriers) > NAMED else []
    return f"{subject} of {variant} {happened}: {', '.join(told + more)}"


def change_of(bins: Bins, feature: int, before: Floats, after: Floats) -> str:
    """Where the rows of a feature have moved most: `above 120: 20 % → 55 %`, `'BR': 2 % → 19 %`, `missing: 0 % → 7 %`.

    Args:
        before: Shares of the bins, the one of missing values last, shape (BINS + 1,).
        after: Likewise.
    """
    was, now = before[:BINS], after[:BINS]
    if bins.numeric[feature]:
        was, now = _above(was), _above(now)
    place = int(np.argmax(np.abs(now - was)))
    if abs(after[BINS] - before[BINS]) >= abs(now[place] - was[place]):
        # A text among numbers counts there too.
        what = "without a number" if bins.numeric[feature] else "missing"
        return f"{what}: {_percent(before[BINS])} → {_percent(after[BINS])}"
    return f"{_name(bins, feature, place)}: {_percent(was[place])} → {_percent(now[place])}"


def bin_names(bins: Bins, feature: int) -> list[str]:
    """The same, and the last bin, under names of which no two are alike; equal wherever the reference is.

    Texts are in quotes: none of them can be taken for `missing`, `other texts` or `new texts`.
    """
    found = labels(bins, feature)
    if len(set(found)) < len(found):
        found = labels(bins, feature, digits=EXACT, length=MAX_KEY)
    told: Counter[str] = Counter()
    names = []
    for label in found:
        told[label] += 1
        names.append(label if told[label] == 1 else f"{label} {told[label]}")
    return [*names, MISSING]


def labels(bins: Bins, feature: int, *, digits: int = 6, length: int = MAX_TEXT) -> list[str]:
    """The bins of a feature, those that a row can fall into but the last one, as a person would call them.

    Args:
        digits: Of numbers.
        length: Of texts.
    """
    if not bins.numeric[feature]:
        other, new = int(bins.other[feature]), int(bins.new[feature])
        found = {place: f"'{shown(text, length)}'" for text, place in bins.categories[feature].items()}
        found |= {other: "other texts"} | {new: "new texts"}
        return [found.get(place, "") for place in range(max(other, new) + 1)]
    cuts = _cuts(bins, feature, digits)
    if not cuts:
        return ["any"]
    first, last = cuts[0], cuts[-1]
    return [
        f"{'<' if first.below else '<='} {first.number}",
        *starmap(_between, pairwise(cuts)),
        f"> {last.number}",  # never one just below a number: that has the next one
    ]


def _above(shares: Floats) -> Floats:
    """The shares above each edge, of those of the bins."""
    above: Floats = shares[::-1].cumsum()[::-1][1:]
    return above


def _name(bins: Bins, feature: int, place: int) -> str:
    """What lies above the edge, or in the bin, at this place."""
    if not bins.numeric[feature]:
        return labels(bins, feature)[place]
    cut = _cuts(bins, feature, 4)[place]
    return f"{'at least' if cut.below else 'above'} {cut.number}"


def _cuts(bins: Bins, feature: int, digits: int) -> list[_Cut]:
    # The edge below the least float there is is no number, and an edge all the same.
    edges = bins.edges[feature][bins.edges[feature] < np.inf]
    after = np.append(edges[1:], np.inf)
    below = np.nextafter(edges, np.inf) == after
    return [
        _Cut(f"{number:.{digits}g}", each)
        for number, each in zip(np.where(below, after, edges).tolist(), below.tolist(), strict=True)
    ]


def _between(low: _Cut, high: _Cut) -> str:
    if low.below and low.number == high.number and not high.below:
        return low.number
    return f"{'[' if low.below else '('}{low.number}, {high.number}{')' if high.below else ']'}"


def _percent(share: float) -> str:
    """Of a share; to a hundredth at most, below which an estimated one is nothing."""
    return f"{round(100 * share, 2):.3g} %"
