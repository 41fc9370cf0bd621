"""The reference's bins: where rows are counted, the reference's own and the live ones, to be compared.

Numbers fall into bins of about equal mass, between quantiles of the reference; a value that many rows share (an atom)
has a bin of its own. Texts fall into the reference's most frequent categories, its `other` ones, and those that are
`new` to it, where it is known to list all that it had. What is missing has a bin too.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sidecar.reference.profile import Categories, Numbers, Profile, Profiles
from sidecar.reference.sketch import Sketch
from sidecar.stats.categories import MAX_KEY
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts, Flags, Floats
from sidecar.stats.tally import Counted, Tally

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

    A sum takes an infinity for the outermost edge before it, beyond which it is known to be. What a sketch has lost of
    the reference's sum is spread evenly over its rows, so that their mean is the one in the file.

    Args:
        names: Of the k features.
        edges: Ascending, shape (k, BINS - 1); inf behind the last one of a feature, all NaN for texts.
        categories: The bin of each text, by feature; texts that are not there are `new`, or `other` without such a bin.
        other: The bin of the reference's rarer texts and of numbers among texts, shape (k,); -1 for numbers, and where
            the reference had neither: a number is `new` there.
        new: The bin of texts that the reference never had, shape (k,); -1 for numbers, and where it had more texts
            than are known.
        reference: Rows of the reference by bin, shape (k, BINS + 1); the last bin holds missing values.
        sums: Of the reference's numbers by bin, shape (k, BINS + 1); NaN where neither sketch nor sum is known.
        std: Of the reference's numbers, shape (k,); NaN for texts and where it is not known.
        good_for: Rows that would know the bins' shares as well as the feature's sketch does, shape (k,); inf where
            nothing was sketched.
        extremes: The least and the greatest of the reference's numbers, shape (k, 2); NaN where none are known.
    """

    names: tuple[str, ...]
    edges: Floats
    categories: Mapping[int, Mapping[str, int]]
    other: Counts
    new: Counts
    reference: Counts
    sums: Floats
    std: Floats
    good_for: Floats
    extremes: Floats

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
        last = np.where(self.numeric, (self.edges < np.inf).sum(axis=1), np.maximum(self.other, self.new))
        places = np.arange(BINS + 1)
        used: Flags = (places <= last[:, None]) | (places == BINS)
        return used

    @property
    def ordered(self) -> Flags:
        """The bins that lie on the number line, in their order, shape (k, BINS + 1)."""
        ordered: Flags = self.used & self.numeric[:, None] & (np.arange(BINS + 1) < BINS)
        return ordered

    @cached_property
    def numeric(self) -> Flags:
        """The features of numbers, shape (k,)."""
        numeric: Flags = np.maximum(self.other, self.new) < 0
        return numeric

    def count(self, values: Floats, texts: Mapping[int, Cells]) -> Counted:
        """The rows of a batch by bin.

        Args:
            values: Shape (n, k), NaN for what is missing or a text.
            texts: By feature, each of length n.
        """
        n, k = values.shape
        # The longer axis last: along it numpy's loops run.
        grid, cells = ((1, k), values) if k > n else ((k, 1), values.T)
        cells = np.ascontiguousarray(cells)
        steps = self._steps.reshape(len(self._steps), *grid)
        above = (cells > steps).view(np.int8)  # 8 bits, which are fast to add
        slots = above.sum(axis=0, dtype=np.int8) + self._first.reshape(grid)
        gone = np.isnan(cells)
        if gone.any():
            np.copyto(slots, self._last.reshape(grid), where=gone)
            cells = np.where(gone, 0.0, cells)
        counts: Counts = np.bincount(slots.ravel(), minlength=self.reference.size).reshape(self.reference.shape)
        sums = self._summed(slots, cells)
        if not np.isfinite(sums).all():
            last, first = (ends.reshape(grid) for ends in self._ends)
            sums = self._summed(slots, np.where(np.isinf(cells), np.where(cells > 0, last, first), cells))
        sums[~self.numeric] = 0.0
        for feature, column in texts.items():
            self._place(counts[feature], feature, column)
        return Counted(counts, sums)

    def places(self, values: Floats, texts: Mapping[int, Cells]) -> Counts:
        """The bin of every cell, shape (n, k).

        Args:
            values: As in `count`, for the next too.
        """
        above = (values[:, :, None] > self._steps.T[None]).sum(axis=2)
        numbers = np.where(self.numeric, 0, np.where(self.other >= 0, self.other, self.new))
        places: Counts = np.where(np.isnan(values), BINS, above + numbers)
        for feature, column in texts.items():
            if self.numeric[feature]:
                continue
            known = self.categories[feature]
            unknown = int(self.new[feature] if self.new[feature] >= 0 else self.other[feature])
            for row, text in enumerate(column):
                if text is not None:
                    places[row, feature] = known.get(text[:MAX_KEY], unknown)
        return places

    def _summed(self, slots: Counts, cells: Floats) -> Floats:
        """The cells by slot, shape (k, BINS + 1)."""
        sums = np.bincount(slots.ravel(), weights=cells.ravel(), minlength=self.reference.size)
        return np.asarray(sums, dtype=np.float64).reshape(self.reference.shape)

    def tally(self, counted: Counted) -> Tally:
        """What has been counted, as detectors take it."""
        counts = counted.counts[:, :BINS]
        return Tally(
            counts=counts,
            missing=counted.counts[:, BINS],
            ordered=self.numeric,
            sums=counted.sums[:, :BINS],
            new=np.where(self.new >= 0, counts[np.arange(len(counts)), self.new], np.nan),
            edges=self.edges,
            std=self.std,
        )

    @cached_property
    def reference_tally(self) -> Tally:
        """The reference, as detectors take it."""
        return self.tally(Counted(self.reference, self.sums))

    def _place(self, counts: Counts, feature: int, column: Cells) -> None:
        """Move the texts of a feature into their bins; they were counted as missing, as one among numbers remains."""
        if self.numeric[feature]:
            return
        known = self.categories[feature]
        unknown = int(self.new[feature] if self.new[feature] >= 0 else self.other[feature])
        rows = Counter(column)
        rows.pop(None, None)
        for text, count in rows.items():
            counts[known.get((text or "")[:MAX_KEY], unknown)] += count
        counts[BINS] -= rows.total()

    @cached_property
    def _steps(self) -> Floats:
        """The edges, as many of them as the feature with the most has, shape (j, k); inf for texts."""
        edges = np.where(np.isnan(self.edges), np.inf, self.edges)
        return np.ascontiguousarray(edges[:, : int((edges < np.inf).sum(axis=1).max(initial=0))].T)

    @cached_property
    def _last(self) -> Counts:
        """Where missing values are, among the bins of all features in a row; shape (k,)."""
        return np.arange(len(self.names)) * (BINS + 1) + BINS

    @cached_property
    def _first(self) -> Counts:
        """Likewise the bin of a number that is above no edge; of any number, for texts."""
        numbers = np.where(self.other >= 0, self.other, self.new)
        first: Counts = self._last - BINS + np.where(self.numeric, 0, numbers)
        return first

    @cached_property
    def _ends(self) -> tuple[Floats, Floats]:
        """The last edge and the first one of each feature, shape (k,); 0 where there is none."""
        last = np.where(self.edges < np.inf, self.edges, -np.inf).max(axis=1)
        first = np.where(np.isnan(self.edges[:, 0]), np.inf, self.edges[:, 0])
        return np.where(np.isfinite(last), last, 0.0), np.where(np.isfinite(first), first, 0.0)


def bins_of(profiles: Profiles) -> Bins:
    """The bins of a data set, those of features without any value aside."""
    features = [profile for profile in profiles.features if profile.kind != "Unknown"]
    found = [_texts(each, each.categories) if each.categories else _numbers(each, each.numbers) for each in features]
    return Bins(
        names=tuple(profile.name for profile in features),
        edges=np.array([each.edges for each in found]).reshape(-1, BINS - 1),
        categories={feature: each.categories for feature, each in enumerate(found) if each.categories is not None},
        other=np.array([each.other for each in found], dtype=np.int64),
        new=np.array([each.new for each in found], dtype=np.int64),
        reference=np.array([each.counts for each in found], dtype=np.int64).reshape(-1, BINS + 1),
        sums=np.array([each.sums for each in found]).reshape(-1, BINS + 1),
        std=np.array([each.std for each in found]),
        good_for=np.array([each.good_for for each in found]),
        extremes=np.array(
            [(each.numbers.minimum, each.numbers.maximum) if each.numbers else (np.nan, np.nan) for each in features]
        ).reshape(-1, 2),
    )


class _Feature(NamedTuple):
    """The fields of Bins for one feature."""

    edges: Floats
    counts: Counts
    sums: Floats
    categories: Mapping[str, int] | None = None
    other: int = -1
    new: int = -1
    std: float = np.nan
    good_for: float = np.inf


def _texts(profile: Profile, categories: Categories) -> _Feature:
    """The most frequent texts, then `other`, then `new`, as far as these two are wanted."""
    rows: Counter[str] = Counter()
    for text, count in categories.counts.items():
        rows[text[:MAX_KEY]] += count
    ranked = [text for text, _ in rows.most_common()]
    numbers = max(0, profile.present - rows.total())
    listed = 0 < len(categories.counts) == categories.distinct
    room = BINS - listed
    others = not listed or numbers > 0 or len(ranked) > room
    top = ranked[: room - others]
    counts = np.zeros(BINS + 1, dtype=np.int64)
    counts[: len(top)] = [rows[text] for text in top]
    counts[len(top)] = numbers + sum(rows[text] for text in ranked[len(top) :])
    counts[BINS] = profile.missing
    return _Feature(
        edges=np.full(BINS - 1, np.nan),
        counts=counts,
        sums=np.zeros(BINS + 1),
        categories={text: min(place, len(top)) for place, text in enumerate(ranked)},
        other=len(top) if others else -1,
        new=len(top) + others if listed else -1,
    )


def _numbers(profile: Profile, numbers: Numbers | None) -> _Feature:
    """Bins between the sketch's quantiles; one for all where there is no sketch."""
    edges, std = np.full(BINS - 1, np.inf), numbers.std if numbers else np.nan
    counts, sums = np.zeros(BINS + 1, dtype=np.int64), np.zeros(BINS + 1)
    counts[BINS] = profile.missing
    sketch = numbers.sketch if numbers else None
    if numbers is None or sketch is None or not sketch.n:
        counts[0], sums[0] = profile.present, numbers.total if numbers else 0.0
        return _Feature(edges, counts, sums, std=std)
    found = _edges(sketch)
    last = len(found)
    edges[:last] = found
    up_to = np.concatenate(([0.0], sketch.ranks(found), [1.0])) * sketch.n
    counts[: last + 1] = np.diff(np.rint(up_to))
    sums[: last + 1] = _sums(sketch, found, numbers.total, counts[: last + 1])
    infinite = max(0, profile.present - sketch.n)  # which the sketch does not hold: taken for the positive one
    counts[last] += infinite
    sums[last] += infinite * found[-1]
    return _Feature(edges, counts, sums, std=std, good_for=_good_for(sketch))


def _edges(sketch: Sketch) -> Floats:
    """Its quantiles, and just below those that are atoms."""
    steps = [step / QUANTILE_STEPS for step in range(1, QUANTILE_STEPS)]
    quantiles = np.unique(sketch.quantiles(steps))
    below = np.nextafter(quantiles, -np.inf)
    atoms = sketch.ranks(quantiles) - sketch.ranks(below) >= ATOM_RATIO
    edges: Floats = np.unique(np.concatenate([quantiles, below[atoms]]))
    return edges


def _sums(sketch: Sketch, edges: Floats, total: float, counts: Counts) -> Floats:
    """The sums of the numbers between the edges, which make up the total where it is known."""
    sums = sketch.sums(edges)
    with np.errstate(over="ignore", invalid="ignore"):
        lost = total - sums.sum()
        return sums + lost * counts / counts.sum() if np.isfinite(lost) else sums


def _good_for(sketch: Sketch) -> float:
    """Rows whose share of one half varies as the sketch's ranks do: p (1 - p) / n against its variance."""
    error = sketch.rank_error
    return 0.25 * (NORMAL_99 / error) ** 2 if error else np.inf
