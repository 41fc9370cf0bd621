"""The detector of dependence on simulated rows: `python -m tests.bench.dependence [alarms] [delays] [cost]`.

Alarms are counted while nothing changes, for each kind of features and size of the sample; delays are rows from a
change of how features depend on each other to its alarm, and from the end of the change to the word that it is over,
their own distributions staying as they are; beside them the alarms of the univariate detector on the same rows. Seeds
are fixed. OPENBLAS_NUM_THREADS=1 spares the cost of threads that wait for each other.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, default_rng
from scipy import special, stats

from sidecar.detectors.dependence import Dependence
from sidecar.detectors.sequential import Sequential
from sidecar.records import Table
from sidecar.reference.binning import Bins, bins_of
from sidecar.reference.learning import Learner
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats
from tests.bench.drift import median, seeded
from tests.bench.table import print_table

FEATURES = 30
BUDGETS = (1e6, 1e4)
"""Rows for one false alarm; the second is spent often enough for alarms to be counted."""

BATCH = 256
SIZES = (1_000, 5_000)
ROWS_A_REFERENCE = 782 * BATCH
STEP = 32
"""Rows of a batch where delays are measured."""

QUIET = (4_096, 12_288)
"""Rows before a change, at random between these: it falls anywhere in the windows."""

LIMIT = 40_000
"""Rows after a change at which a run without an alarm ends."""

LASTING = 2_000
"""Rows for which a change lasts after its alarm."""

WORDS = tuple("abcdefghijkl")

POISSON = stats.norm.ppf(stats.poisson.cdf(np.arange(15), np.arange(1.0, 6)[:, None]))

Draw = Callable[[Generator, int], Floats]
"""Rows of normal variables, shape (n, k)."""

Batch = tuple[Floats, dict[int, Cells]]


def equicorrelated(features: int, rho: float) -> Draw:
    def draw(rng: Generator, n: int) -> Floats:
        return math.sqrt(1 - rho) * rng.normal(size=(n, features)) + math.sqrt(rho) * rng.normal(size=(n, 1))

    return draw


def with_pair(features: int, rho: float) -> Draw:
    """The first two correlate, the others are independent."""

    def draw(rng: Generator, n: int) -> Floats:
        rows = rng.normal(size=(n, features))
        rows[:, 1] = rho * rows[:, 0] + math.sqrt(1 - rho**2) * rows[:, 1]
        return rows

    return draw


def _bent(x: Floats, noise: Floats) -> Floats:
    return x**2 + noise


_rng = default_rng(0)
BENT = np.sort(_bent(_rng.normal(size=1_000_000), _rng.normal(size=1_000_000)))


def with_square(features: int) -> Draw:
    """The second is the first one's square and noise of variance 1, made normal again: they do not correlate."""

    def draw(rng: Generator, n: int) -> Floats:
        rows = rng.normal(size=(n, features))
        ranks = np.searchsorted(BENT, _bent(rows[:, 0], rows[:, 1])) / len(BENT)
        rows[:, 1] = stats.norm.ppf(np.clip(ranks, 1e-6, 1 - 1e-6))
        return rows

    return draw


def as_they_are(rows: Floats) -> Batch:
    return rows, {}


def discrete(rows: Floats) -> Batch:
    """Poisson 1 to 5."""
    values = np.empty_like(rows)
    for place, limits in enumerate(POISSON):
        values[:, place::5] = np.searchsorted(limits, rows[:, place::5])
    return values, {}


def heavy(rows: Floats) -> Batch:
    """Cauchy."""
    return np.tan(np.pi * (special.ndtr(rows) - 0.5)), {}


def tied(rows: Floats) -> Batch:
    """60 % zeros, 10 % at a cap, and 5 % missing where the next feature is large."""
    values = np.where(rows < 0.2533, 0.0, np.minimum(np.exp(rows), 3.6))
    values[np.roll(rows, 1, axis=1) > 1.645] = np.nan
    return values, {}


def worded(rows: Floats) -> Batch:
    """Every third feature a category of 12, Zipf."""
    shares = 1 / np.arange(1.0, 13) ** 1.5
    limits = stats.norm.ppf(np.cumsum(shares / shares.sum())[:-1])
    values, texts = rows.copy(), dict[int, Cells]()
    for feature in range(0, rows.shape[1], 3):
        texts[feature] = [WORDS[code] for code in np.searchsorted(limits, rows[:, feature]).tolist()]
        values[:, feature] = np.nan
    return values, texts


KINDS: dict[str, tuple[Draw, Callable[[Floats], Batch]]] = {
    "independent (normal)": (equicorrelated(FEATURES, 0.0), as_they_are),
    "correlated 0.5 (normal)": (equicorrelated(FEATURES, 0.5), as_they_are),
    "correlated 0.5, discrete (Poisson 1 to 5)": (equicorrelated(FEATURES, 0.5), discrete),
    "correlated 0.5, heavy-tailed (Cauchy)": (equicorrelated(FEATURES, 0.5), heavy),
    "correlated 0.5, tied (60 % zeros), missing": (equicorrelated(FEATURES, 0.5), tied),
    "correlated 0.5, a third categories (Zipf)": (equicorrelated(FEATURES, 0.5), worded),
    "one the other's square": (with_square(FEATURES), as_they_are),
}


@dataclass(frozen=True, slots=True)
class Change:
    before: Draw
    after: Draw


def changes(features: int) -> dict[str, Change]:
    apart = with_pair(features, 0.0)
    return {
        "0 -> 0.3": Change(apart, with_pair(features, 0.3)),
        "0 -> 0.5": Change(apart, with_pair(features, 0.5)),
        "0 -> 0.8": Change(apart, with_pair(features, 0.8)),
        "0.8 -> 0": Change(with_pair(features, 0.8), apart),
        "square": Change(apart, with_square(features)),
        "all 0.5 -> 0.3": Change(equicorrelated(features, 0.5), equicorrelated(features, 0.3)),
    }


def alarms(options: argparse.Namespace) -> None:
    """False alarms per 10^6 rows at either budget."""
    references, lines = math.ceil(options.rows / ROWS_A_REFERENCE), []
    for name, (draw, shape) in KINDS.items():
        for m in SIZES:
            found = sum(false_alarms(draw, shape, m, rng) for rng in seeded(m, references))
            rates = found / (references * ROWS_A_REFERENCE) * 1e6
            lines.append((name, f"{m:,}", *(f"{rate:.2f}" for rate in rates)))
            print("  ".join(lines[-1]), file=sys.stderr)
    title = f"false alarms per 10^6 rows, {FEATURES} features, {references * ROWS_A_REFERENCE:,} rows a line"
    print_table(title, ("features", "sample", *(f"{1e6 / budget:g} allowed" for budget in BUDGETS)), lines)


def false_alarms(draw: Draw, shape: Callable[[Floats], Batch], m: int, rng: Generator) -> Floats:
    """Alarms at either budget on the same rows."""
    values, texts = shape(draw(rng, m))
    detectors = [Dependence(values=values, texts=texts, false_alarms_per=budget) for budget in BUDGETS]
    found = np.zeros(len(detectors))
    for _ in range(ROWS_A_REFERENCE // BATCH):
        batch = shape(draw(rng, BATCH))
        found += [len(detector.update(*batch).changes) for detector in detectors]
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """Rows from the change to its alarm, and from its end to the word that it is over.

    Args:
        right: The alarm named the two features, and them first.
        early: It was taken for over while it lasted.
        others: Alarms of the univariate detector on the same rows.
    """

    delay: float
    over: float
    right: bool
    early: bool
    others: int


def run(change: Change, m: int, rng: Generator) -> Run:
    sample = change.before(rng, m)
    detector = Dependence(values=sample, texts={})
    univariate = Univariate(sample)
    for _ in range(int(rng.integers(*QUIET)) // STEP):
        rows = change.before(rng, STEP)
        univariate.update(rows)
        detector.update(rows, {})
    delay, right = math.inf, False
    for seen in range(STEP, LIMIT + 1, STEP):
        rows = change.after(rng, STEP)
        univariate.update(rows)
        verdict = detector.update(rows, {})
        if verdict.changes:
            delay, right = seen, verdict.changes[0].pairs[0].features == (0, 1)
            break
    early = any([detector.update(change.after(rng, STEP), {}).returned for _ in range(LASTING // STEP)])
    for over in range(STEP, LIMIT + 1, STEP):
        if detector.update(change.before(rng, STEP), {}).returned:
            return Run(delay, over, right, early, univariate.alarms)
    return Run(delay, math.inf, right, early, univariate.alarms)


class Univariate:
    """The sequential detector of the same features, one by one."""

    def __init__(self, sample: Floats) -> None:
        learner = Learner()
        learner.update(Table(tuple(map(str, range(sample.shape[1]))), sample))
        self.bins: Bins = bins_of(learner.profiles())
        self.detector = Sequential(reference=self.bins.trusted, ordered=self.bins.ordered, used=self.bins.used)
        self.alarms = 0

    def update(self, rows: Floats) -> None:
        self.alarms += len(self.detector.update(self.bins.count(rows, {}).counts).changes)


def delays(options: argparse.Namespace) -> None:
    """For samples of either size, among 10 and among 30 features."""
    lines = []
    for features in (10, FEATURES):
        for m in SIZES:
            for name, change in changes(features).items():
                runs = [run(change, m, rng) for rng in seeded(6, options.runs)]
                rest = [each.over for each in runs if math.isfinite(each.delay)]
                right, early = (sum(getattr(each, what) for each in runs) for what in ("right", "early"))
                told = (median([each.delay for each in runs]), median(rest) if rest else "")
                others = sum(each.others for each in runs)
                lines.append((str(features), f"{m:,}", name, *told, str(right), str(early), str(others)))
                print("  ".join(lines[-1]), file=sys.stderr)
    heads = ("features", "sample", "change", "rows to alarm", "rows to over", "pair named", "over early", "univariate")
    print_table(f"medians of {options.runs} runs; numbers of runs; alarms of the univariate detector", heads, lines)


def cost(_: argparse.Namespace) -> None:
    """Microseconds a row, in batches; while nothing changes, and while a change lasts."""
    lines = []
    for features in (10, FEATURES, 64):
        sample = with_pair(features, 0.0)(default_rng(1), SIZES[-1])
        for name, rho in (("quiet", 0.0), ("drifted", 0.3)):
            detector = Dependence(values=sample, texts={})
            batches = [with_pair(features, rho)(default_rng((2, batch)), BATCH) for batch in range(400)]
            begun_s = time.process_time()
            for rows in batches:
                detector.update(rows, {})
            each_us = (time.process_time() - begun_s) / (len(batches) * BATCH) * 1e6
            lines.append((str(features), name, f"{each_us:.2f}"))
    print_table(f"microseconds a row, batches of {BATCH}", ("features", "rows", "us"), lines)


PARTS = {"alarms": alarms, "delays": delays, "cost": cost}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dependence", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--rows", type=int, default=2_000_000, help="quiet rows for each line of alarms, at least")
    parser.add_argument("--runs", type=int, default=40, help="of every change")
    options = parser.parse_args()
    for name in PARTS if "all" in options.parts else options.parts:
        begun_s = time.perf_counter()
        PARTS[name](options)
        print(f"{name}: {time.perf_counter() - begun_s:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
