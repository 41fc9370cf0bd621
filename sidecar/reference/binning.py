"""The reference's bins: where rows are counted, the reference's own and the live ones, to be compared.

Numbers fall into bins of about equal mass, between quantiles of the reference; a value that many rows share (an atom)
has a bin of its own. Texts fall into the reference's categories, and `other`. What is missing has a bin too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.reference.profile import Categories, Numbers, Profile, Profiles
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts, Flags, Floats
from sidecar.stats.tally import Tally

BINS = 20
"""Of a feature, at most, without the one for missing values."""

QUANTILE_STEPS = 10
"""Bins that numbers are cut into before atoms take theirs: as many as SageMaker shows."""

NORMAL_99 = 2.576
"""Standard deviations within which a normal variable is at 99 %."""

ATOM_RATIO = 1 / QUANTILE_STEPS
"""The share of rows from which on a value has its own bin."""


@dataclass(frozen=True)
class Bins:
    """Bins of k features, and how the reference's rows fall into them.

    Bin j of a number holds what is above edge j - 1 and not above edge j; unused bins of a feature stay empty.

    Args:
        names: Of the k features.
        edges: Ascending, shape (k, BINS - 1); inf behind the last one of a feature, all NaN for texts.
        categories: The bin of each text, by feature; texts that are not there, and numbers among texts, are `other`.
        other: The bin of `other`, shape (k,); -1 for numbers.
        reference: Rows of the reference by bin, shape (k, BINS + 1); the last bin holds missing values.
        good_for: Rows that would know the bins' shares as well as the feature's sketch does, shape (k,); inf where
            nothing was sketched.
    """

    names: tuple[str, ...]
    edges: Floats
    categories: Mapping[int, Mapping[str, int]]
    other: Counts
    reference: Counts
    good_for: Floats

    @property
    def trusted(self) -> Counts:
        """The reference's rows by bin, no more of them than its sketch is good for.

        A sketch of k = 200 knows a share as well as 9,400 rows do, however many it has seen: who takes all of those
        for known finds drift in the sketch's own error.
        """
        rows = self.reference.sum(axis=1)
        ratio = np.minimum(1.0, self.good_for / np.maximum(rows, 1))
        trusted: Counts = np.floor(self.reference * ratio[:, None]).astype(np.int64)
        return trusted

    @property
    def used(self) -> Flags:
        """The bins that a row can fall into, shape (k, BINS + 1)."""
        last = np.where(self.other >= 0, self.other, np.isfinite(self.edges).sum(axis=1))
        places = np.arange(BINS + 1)
        used: Flags = (places <= last[:, None]) | (places == BINS)
        return used

    @property
    def ordered(self) -> Flags:
        """The bins that lie on the number line, in their order, shape (k, BINS + 1)."""
        ordered: Flags = self.used & (self.other < 0)[:, None] & (np.arange(BINS + 1) < BINS)
        return ordered

    def count(self, values: Floats, texts: Mapping[int, Cells]) -> Counts:
        """The rows of a batch by bin, shape (k, BINS + 1).

        Args:
            values: Shape (n, k), NaN for what is missing or a text.
            texts: By feature, each of length n.
        """
        columns = values.T
        bins = (columns[:, :, None] > self.edges[:, None, :]).sum(axis=2)
        is_text = (self.other >= 0)[:, None]
        bins = np.where(is_text, self.other[:, None], bins)
        bins[np.isnan(columns)] = BINS
        for feature, cells in texts.items():
            self._place(bins[feature], feature, cells)
        slots = bins + (np.arange(len(bins)) * (BINS + 1))[:, None]
        counts: Counts = np.bincount(slots.ravel(), minlength=len(bins) * (BINS + 1))
        return counts.reshape(-1, BINS + 1)

    def tally(self, counts: Counts) -> Tally:
        """Counts of shape (k, BINS + 1) as detectors take them."""
        return Tally(counts[:, :BINS], counts[:, BINS], self.other < 0)

    def _place(self, bins: Counts, feature: int, cells: Cells) -> None:
        """Put the texts of a feature into their bins; one among numbers counts as missing."""
        known, other = self.categories.get(feature, {}), int(self.other[feature])
        rows = [row for row, cell in enumerate(cells) if cell is not None]
        unknown = other if other >= 0 else BINS
        bins[rows] = [known.get(cells[row] or "", unknown) for row in rows]


def bins_of(profiles: Profiles) -> Bins:
    """The bins of a data set, those of features without any value aside."""
    features = [profile for profile in profiles.features if profile.kind != "Unknown"]
    k = len(features)
    edges = np.full((k, BINS - 1), np.nan)
    other = np.full(k, -1)
    reference = np.zeros((k, BINS + 1), dtype=np.int64)
    good_for = np.full(k, np.inf)
    categories: dict[int, Mapping[str, int]] = {}
    for feature, profile in enumerate(features):
        reference[feature, BINS] = profile.missing
        if profile.categories is not None:
            top, counts = _categories(profile, profile.categories)
            categories[feature] = {text: position for position, text in enumerate(top)}
            other[feature] = len(top)
            reference[feature, : len(counts)] = counts
        else:
            found, masses = _numbers(profile, profile.numbers)
            edges[feature] = np.inf
            edges[feature, : len(found)] = found
            reference[feature, : len(masses)] = masses
            good_for[feature] = _good_for(profile.numbers)
    return Bins(tuple(profile.name for profile in features), edges, categories, other, reference, good_for)


def _good_for(numbers: Numbers | None) -> float:
    """Rows whose share of one half varies as the sketch's ranks do: p (1 - p) / n against its variance."""
    error = numbers.sketch.rank_error if numbers and numbers.sketch else 0.0
    return 0.25 * (NORMAL_99 / error) ** 2 if error else np.inf


def _categories(profile: Profile, categories: Categories) -> tuple[list[str], Sequence[int]]:
    """The most frequent texts, and how many rows have each; the last count is that of all other rows."""
    top = list(categories.counts)[: BINS - 1]
    counts = [categories.counts[text] for text in top]
    return top, [*counts, profile.present - sum(counts)]


def _numbers(profile: Profile, numbers: Numbers | None) -> tuple[Floats, Counts]:
    """Edges, and how many rows fall between them."""
    sketch = numbers.sketch if numbers else None
    if sketch is None or not sketch.n:
        return np.empty(0), np.array([profile.present])
    steps = [step / QUANTILE_STEPS for step in range(1, QUANTILE_STEPS)]
    quantiles = np.unique(sketch.quantiles(steps))
    below = np.nextafter(quantiles, -np.inf)
    atoms = sketch.ranks(quantiles) - sketch.ranks(below) >= ATOM_RATIO
    edges = np.unique(np.concatenate([quantiles, below[atoms]]))
    up_to = np.concatenate(([0.0], sketch.ranks(edges), [1.0])) * sketch.n
    counts = np.diff(np.rint(up_to)).astype(np.int64)
    counts[-1] += profile.present - sketch.n  # infinities, which the sketch does not hold: taken for the positive one
    return edges, counts
