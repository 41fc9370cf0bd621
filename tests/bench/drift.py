"""The sequential detector on simulated rows: `python -m tests.bench.drift [alarms] [delays] [onset] [--rows 10000000]`.

Alarms are counted while nothing changes, for each kind of feature and size of the reference; delays are rows from a
change to its alarm, beside those of other detectors; onset is what the alarm says of the change. Seeds are fixed. ADWIN
takes part where the package `river` is installed.
"""

import argparse
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice

import numpy as np
from numpy.random import Generator, default_rng
from scipy import stats

from sidecar.detectors.sequential import Change, Sequential
from sidecar.stats.moments import Counts, Flags, Floats
from tests.bench.table import print_table

FEATURES = 20
BUDGETS = (1e6, 1e4)
"""Rows for one false alarm over all features; the second is spent often enough for alarms to be counted."""

BINS = 14
MISSING = 0.02
BATCH = 256
SIZES = (1_000, 10_000, 100_000)
ROWS_A_REFERENCE = 782 * BATCH
REFERENCE, QUIET = 10_000, 20 * BATCH
"""Rows of the reference, and quiet rows before the change, where detectors are compared."""

LIMIT = 60_000
"""Rows after a change at which a run without an alarm ends."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A distribution: how to draw from it, P(X <= x), and how many categories there are if it has no numbers."""

    draw: Callable[[Generator, int], Floats]
    below: Callable[[Floats], Floats]
    categories: int = 0


def numbers(frozen: stats.distributions.rv_frozen) -> Kind:
    return Kind(lambda rng, n: frozen.rvs(size=n, random_state=rng).astype(np.float64), frozen.cdf)


def categories(shares: Floats) -> Kind:
    """Categories are numbered from 0."""
    below = np.cumsum(shares)
    codes = np.arange(float(len(shares)))
    return Kind(lambda rng, n: rng.choice(codes, n, p=shares), lambda x: below[x.astype(int)], len(codes))


def draw_tied(rng: Generator, n: int) -> Floats:
    capped = np.where(rng.random(n) < 0.25, 100.0, rng.exponential(30.0, n))
    return np.where(rng.random(n) < 0.6, 0.0, capped)


def below_tied(x: Floats) -> Floats:
    return np.where(x < 0, 0.0, 0.6 + 0.1 * (x >= 100) + 0.3 * stats.expon.cdf(x, scale=30))


NORMAL = numbers(stats.norm())
ZIPF = np.append(np.arange(1.0, BINS) ** -2.2, 2e-4)
KINDS = {
    "continuous (normal)": NORMAL,
    "heavy-tailed (Cauchy)": numbers(stats.cauchy()),
    "discrete (Poisson 4)": numbers(stats.poisson(4)),
    "rare (Poisson 0.02)": numbers(stats.poisson(0.02)),
    "heavily tied (60 % zeros, 10 % at a cap)": Kind(draw_tied, below_tied),
    "categories (Zipf, the rarest 0.01 %)": categories(ZIPF / ZIPF.sum()),
}


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of one feature, and how many rows a batch has then: few where the alarm is near."""

    before: Kind
    after: Kind
    step: int = 16


SHARES = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.01])
GROWN = np.where(SHARES == 0.1, 0.15, SHARES * 0.85 / 0.9)
SHIFTS = {
    "mean +0.1 sd": Shift(NORMAL, numbers(stats.norm(0.1)), 32),
    "mean +0.3 sd": Shift(NORMAL, numbers(stats.norm(0.3))),
    "mean +0.5 sd": Shift(NORMAL, numbers(stats.norm(0.5)), 8),
    "mean +1.0 sd": Shift(NORMAL, numbers(stats.norm(1.0)), 4),
    "sd x1.3": Shift(NORMAL, numbers(stats.norm(0, 1.3))),
    "sd x0.7": Shift(NORMAL, numbers(stats.norm(0, 0.7))),
    "category 10 % -> 15 %": Shift(categories(SHARES), categories(GROWN)),
}


@dataclass(frozen=True, slots=True)
class World:
    """Features over their bins: counts of a reference, and true shares before and after a change, each (k, B)."""

    reference: Counts
    ordered: Flags
    before: Floats
    after: Floats

    def detector(self, budget: float) -> Sequential:
        used = self.before > 0
        return Sequential(reference=self.reference, ordered=self.ordered, used=used, false_alarms_per=budget)


def world_of(shift: Shift, m: int, rng: Generator, features: int = 1, missing: float = 0.0) -> World:
    """References of m rows; the first bin holds what is missing."""
    shape = (features, BINS + 1)
    counts, before, after = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
    for row in range(features):
        gone = rng.binomial(m, missing)
        sample = shift.before.draw(rng, m - gone)
        edges = np.arange(shift.before.categories - 1.0) if shift.before.categories else edges_of(sample, BINS)
        here = slice(1, len(edges) + 2)
        counts[row, 0], counts[row, here] = gone, counted(edges, sample)
        for shares, kind in ((before, shift.before), (after, shift.after)):
            mass = np.diff(kind.below(edges), prepend=0, append=1)
            shares[row, 0], shares[row, here] = missing, (1 - missing) * mass
    ordered = (before > 0) & (shift.before.categories == 0)
    ordered[:, 0] = False
    return World(counts, ordered, before, after)


def edges_of(sample: Floats, bins: int) -> Floats:
    """Order statistics nearest to equal mass, without repeats; a bin is (edge, next edge]."""
    return np.unique(np.sort(sample)[np.arange(1, bins) * len(sample) // bins - 1])


def counted(edges: Floats, sample: Floats) -> Counts:
    return np.bincount(np.searchsorted(edges, sample, side="left"), minlength=len(edges) + 1)


def seeded(seed: int, runs: int) -> list[Generator]:
    return [default_rng((seed, run)) for run in range(runs)]


def alarms(options: argparse.Namespace) -> None:
    """False alarms per 10^6 rows at either budget."""
    references, lines = math.ceil(options.rows / ROWS_A_REFERENCE), []
    for name, kind in KINDS.items():
        for m in SIZES:
            worlds = ((world_of(Shift(kind, kind), m, rng, FEATURES, MISSING), rng) for rng in seeded(m, references))
            rates = sum(false_alarms(world, rng) for world, rng in worlds) / (references * ROWS_A_REFERENCE) * 1e6
            lines.append((name, f"{m:,}", *(f"{rate:.2f}" for rate in rates)))
            print("  ".join(lines[-1]), file=sys.stderr)
    title = f"false alarms per 10^6 rows, {FEATURES} features, {references * ROWS_A_REFERENCE:,} rows a line"
    print_table(title, ("feature", "reference", *(f"{1e6 / budget:g} allowed" for budget in BUDGETS)), lines)


def false_alarms(world: World, rng: Generator) -> Counts:
    """Alarms at either budget on the same rows."""
    detectors = [world.detector(budget) for budget in BUDGETS]
    found = np.zeros(len(detectors), dtype=np.int64)
    for _ in range(ROWS_A_REFERENCE // BATCH):
        batch = rng.multinomial(BATCH, world.before)
        found += [len(detector.update(batch).changes) for detector in detectors]
    return found


def detection(world: World, quiet: int, step: int, rng: Generator) -> tuple[float, Change | None]:
    """Rows from the change to the alarm of one feature, which has its part of the budget, and the alarm."""
    detector = world.detector(FEATURES * BUDGETS[0])
    for _ in range(quiet // BATCH):
        detector.update(rng.multinomial(BATCH, world.before))
    for rows in range(step, LIMIT + 1, step):
        for change in detector.update(rng.multinomial(step, world.after)).changes:
            return rows, change
    return math.inf, None


@dataclass(frozen=True, slots=True)
class Ours:
    """The sequential detector: rows of its reference, quiet rows before the change, and of a batch if not the shift's.

    Every contestant tells the rows from a change to its alarm; the others also their alarms per row of quiet values.
    """

    m: int
    quiet: int = 0
    batch: int | None = None

    def delay(self, shift: Shift, rng: Generator) -> float:
        return detection(world_of(shift, self.m, rng), self.quiet, self.batch or shift.step, rng)[0]


@dataclass(frozen=True, slots=True)
class Windowed:
    """Windows that follow each other, each with a verdict on a sorted reference and it; a change falls anywhere."""

    window: int
    drifted: Callable[[Floats, Floats], bool]

    def delay(self, shift: Shift, rng: Generator) -> float:
        reference = np.sort(shift.before.draw(rng, REFERENCE))
        phase = int(rng.integers(self.window))
        rows = np.append(shift.before.draw(rng, phase), shift.after.draw(rng, LIMIT))
        for end in range(self.window, len(rows) + 1, self.window):
            if self.drifted(reference, rows[end - self.window : end]):
                return end - phase
        return math.inf

    def false_alarms(self, rng: Generator) -> float:
        reference, windows = np.sort(NORMAL.draw(rng, REFERENCE)), 1_000_000 // self.window
        found = sum(self.drifted(reference, NORMAL.draw(rng, self.window)) for _ in range(windows))
        return found / (windows * self.window)


def psi_drifted(reference: Floats, window: Floats) -> bool:
    """Population stability index over tenths."""
    edges = edges_of(reference, 10)
    old = counted(edges, reference) / len(reference)
    new = np.maximum(counted(edges, window) / len(window), 1e-4)
    return bool(((new - old) * np.log(new / old)).sum() >= 0.25)


def ks_drifted(reference: Floats, window: Floats) -> bool:
    """Kolmogorov-Smirnov at the level that spends the same budget."""
    statistic = distance(reference, window) / chance(reference, window)
    return bool(stats.kstwobign.sf(statistic) < len(window) / (FEATURES * BUDGETS[0]))


def robust_drifted(reference: Floats, window: Floats) -> bool:
    """Deequ's distance less what chance explains, above its default threshold; as if categories were numbers."""
    return distance(reference, window) - 1.8 * chance(reference, window) > 0.1


def distance(reference: Floats, window: Floats) -> float:
    """The greatest between the distribution functions, which is at a value of the window or just before one."""
    values, gaps = np.sort(window), []
    for side in ("left", "right"):
        ours, theirs = (np.searchsorted(rows, values, side=side) / len(rows) for rows in (reference, values))
        gaps.append(float(np.abs(ours - theirs).max()))
    return max(gaps)


def chance(reference: Floats, window: Floats) -> float:
    return math.sqrt(1 / len(reference) + 1 / len(window))


@dataclass(frozen=True, slots=True)
class Adwin:
    """River's, which has no reference: it has seen as many rows as the others before the change."""

    delta: float

    def delay(self, shift: Shift, rng: Generator) -> float:
        quiet = shift.before.draw(rng, REFERENCE + QUIET)
        flags = self._flags(np.append(quiet, shift.after.draw(rng, LIMIT)))
        return next((row for row, flag in enumerate(islice(flags, len(quiet), None), 1) if flag), math.inf)

    def false_alarms(self, rng: Generator) -> float:
        runs, rows = 200, 50_000
        found = (sum(islice(self._flags(NORMAL.draw(rng, REFERENCE + rows)), REFERENCE, None)) for _ in range(runs))
        return sum(found) / (runs * rows)

    def _flags(self, rows: Floats) -> Iterator[bool]:
        detector = importlib.import_module("river.drift").ADWIN(delta=self.delta)
        for value in rows.tolist():
            detector.update(value)
            yield detector.drift_detected


Contestant = Ours | Windowed | Adwin


def contestants() -> dict[str, Contestant]:
    """Ours by rows of the reference and quiet rows, the others by rows of a window."""
    found: dict[str, Contestant] = {f"{m:,}, 0 quiet": Ours(m) for m in SIZES}
    found |= {
        "1,000, 51,200 quiet": Ours(1_000, 200 * BATCH),
        "10,000, 5,120 quiet": Ours(REFERENCE, QUIET),
        "same, batches of 256": Ours(REFERENCE, QUIET, BATCH),
        "PSI >= 0.25, 2,000": Windowed(2_000, psi_drifted),
        "KS at budget, 2,000": Windowed(2_000, ks_drifted),
        "KS at budget, 500": Windowed(500, ks_drifted),
        "Deequ Robust, 100": Windowed(100, robust_drifted),
    }
    return found | {f"ADWIN {delta:g}": Adwin(delta) for delta in (0.002, 0.0002) if find_spec("river")}


def delays(options: argparse.Namespace) -> None:
    """Beside each other, and beside what the information in a row allows; quiet values are normal."""
    lines = [("ln(20 10^6) / KL", *(f"{information_bound(shift):,.0f}" for shift in SHIFTS.values()), "")]
    for name, each in contestants().items():
        runs = ([each.delay(shift, rng) for rng in seeded(6, options.runs)] for shift in SHIFTS.values())
        rate = "" if isinstance(each, Ours) else f"{each.false_alarms(default_rng(5)) * FEATURES * 1e6:.1f}"
        lines.append((name, *map(median, runs), rate))
        print("  ".join(lines[-1]), file=sys.stderr)
    title = f"median rows to detection, one of {FEATURES} features, {options.runs} runs; alarms per 10^6 quiet rows"
    print_table(title, ("detector", *SHIFTS, "alarms if quiet"), lines)


def information_bound(shift: Shift) -> float:
    world = world_of(shift, 1_000_000, default_rng(0))
    before, after = world.before[world.before > 0], world.after[world.before > 0]
    return math.log(FEATURES * BUDGETS[0]) / float((after * np.log(after / before)).sum())


def median(values: Sequence[float]) -> str:
    """With the share of the runs that had an alarm, if not all."""
    middle, share = np.median(values), np.isfinite(values).mean()
    text = "never" if np.isinf(middle) else f"{middle:,.0f}"
    return text if share == 1 else f"{text} ({share:.0%})"


def onset(options: argparse.Namespace) -> None:
    """When the alarm says that the change began, and how large it says that it is."""
    lines = []
    for name, shift in SHIFTS.items():
        runs = [detection(world_of(shift, REFERENCE, rng), QUIET, 32, rng) for rng in seeded(12, options.runs)]
        said = [(change.rows / rows, change.moved) for rows, change in runs if change]
        world = world_of(shift, 1_000_000, default_rng(0))
        moved = 0.5 * float(np.abs(world.after - world.before).sum())
        lines.append((name, median([rows for rows, _ in runs]), *map(spread, zip(*said, strict=True)), f"{moved:.3f}"))
    heads = ("change", "rows to the alarm", "rows since the change, said / true", "moved, said", "moved, true")
    print_table(f"what the alarm says, medians (and 10-90 %) of {options.runs} runs, batches of 32", heads, lines)


def spread(values: Sequence[float]) -> str:
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


PARTS = {"alarms": alarms, "delays": delays, "onset": onset}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--rows", type=int, default=10_000_000, help="quiet rows for each line of alarms, at least")
    parser.add_argument("--runs", type=int, default=100, help="of every change")
    options = parser.parse_args()
    for name in PARTS if "all" in options.parts else options.parts:
        begun_s = time.perf_counter()
        PARTS[name](options)
        print(f"{name}: {time.perf_counter() - begun_s:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
