"""The data monitor as a whole on simulated rows: `python -m tests.bench.monitor [quiet] [lasting]`.

Twenty features of all kinds that depend on each other, constant ones among them, and a prediction. While nothing
changes: findings that begin, and how many rows the longest lasted. While one column has drifted for good: rows to the
finding, how often it went away, and rows from the end of the drift to the end of the finding. Seeds are fixed.
OPENBLAS_NUM_THREADS=1 spares the cost of threads that wait for each other.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from scipy import special, stats

from sidecar.monitors.data import Data, Following
from sidecar.records import Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.reference.sample import Reservoir
from sidecar.stats.moments import Floats
from tests.bench.drift import median, seeded
from tests.bench.table import print_table

FEATURES = 20
NAMES = tuple(f"f{place}" for place in range(FEATURES))
MISSING, SHIFTED, WORDED = 2, 3, 13
"""Columns that changes are made to."""

WORDS = "abcdefghijkl"
SHARES = np.arange(1.0, len(WORDS) + 1) ** -2.5
POISSON = stats.norm.ppf(stats.poisson.cdf(np.arange(15), 4.0))

CHECKS = ("sequential", "dependence")
BUDGETS = (1e4, 1e6)
SIZES = (1_000, 5_000, 50_000)
ROWS_A_REFERENCE = 102_400
REFERENCE = 10_000
QUIET = 5_120
STEP = 5_120
"""Rows that are drawn at a time."""

BATCHES = {"256": (256, 257), "1 to 50": (1, 51)}
"""Rows that are judged together, from and below."""

LASTING = 51_200
LIMIT = 40_960

Shape = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Rows:
    features: Table
    predictions: Table

    def part(self, begin: int, end: int) -> tuple[Table, Table]:
        table, answers = self.features, self.predictions
        texts = {place: cells[begin:end] for place, cells in table.texts.items()}
        return Table(table.names, table.values[begin:end], texts), Table(answers.names, answers.values[begin:end])

    def together(self) -> Table:
        """As a reference has them: predictions are columns like others."""
        values = np.column_stack((self.features.values, self.predictions.values))
        return Table((*self.features.names, *self.predictions.names), values, self.features.texts)


@dataclass(frozen=True, slots=True)
class Change:
    """What drifts.

    Args:
        column: Its place.
        score: What becomes of the normal variable behind the column.
        missing: Share of its rows that lose their value.
    """

    column: int
    score: Shape = np.copy
    missing: float = 0.0


def drawn(rng: Generator, n: int, change: Change | None = None) -> Rows:
    """Correlated normal variables, and what columns make of them."""
    z = math.sqrt(0.5) * (rng.normal(size=(n, FEATURES + 1)) + rng.normal(size=(n, 1)))
    if change:
        z[:, change.column] = change.score(z[:, change.column])
    values = z[:, :FEATURES].copy()
    values[:, 5:7] = np.tan(np.pi * (special.ndtr(z[:, 5:7]) - 0.5))  # Cauchy
    values[:, 7:9] = np.searchsorted(POISSON, z[:, 7:9])
    values[:, 9:11] = np.where(z[:, 9:11] < 0.2533, 0.0, np.minimum(np.exp(z[:, 9:11]), 3.6))  # heavily tied
    limits = stats.norm.ppf(np.cumsum(SHARES / SHARES.sum())[:-1])
    texts = {place: [WORDS[code] for code in np.searchsorted(limits, z[:, place]).tolist()] for place in (11, 12)}
    texts[WORDED] = ["xyz"[code] for code in np.searchsorted([-1.2816, 0.2533], z[:, WORDED]).tolist()]
    values[:, list(texts)] = np.nan
    values[z[:, 0] > 1, 14] = np.nan
    values[rng.random(n) < 0.2, 15] = np.nan
    values[:, 16] = z[:, 16] > 1.28
    values[:, 17] = z[:, 17] > 4
    values[:, 18:] = 7.0
    if change and change.missing:
        values[rng.random(n) < change.missing, change.column] = np.nan
    return Rows(Table(NAMES, values, texts), Table(("score",), special.expit(z[:, FEATURES:])))


def reference(rng: Generator, m: int) -> Reference:
    learner, reservoir, rows = Learner(), Reservoir(5000, rng), drawn(rng, m).together()
    learner.update(rows)
    reservoir.update(rows)
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles), reservoir.sample())


def fed(following: Following, rows: Rows, sizes: tuple[int, int], rng: Generator) -> Iterator[int]:
    """Count the rows and judge them, batch by batch; how many have come after each."""
    begin, whole = 0, len(rows.features.values)
    while begin < whole:
        end = min(whole, begin + int(rng.integers(*sizes)))
        following.count("champion", "1", *rows.part(begin, end))
        following.judge(0.0)
        begin = end
        yield begin


def named(following: Following) -> set[str]:
    """The columns of all findings that have a budget."""
    return {each.name for found in following.findings if found.key.check in CHECKS for each in found.carriers}


@dataclass(slots=True)
class Findings:
    """Those of a quiet stream, by check and subject: how many began, and the rows of each that has not ended."""

    begun: int = 0
    longest: int = 0

    def follow(self, following: Following, sizes: tuple[int, int], rng: Generator) -> None:
        since: Mapping[tuple[str, str], int] = {}
        for start in range(0, ROWS_A_REFERENCE, STEP):
            for place in fed(following, drawn(rng, STEP), sizes, rng):
                keys = {(each.key.check, each.key.subject) for each in following.findings if each.key.check in CHECKS}
                self.begun += len(keys - since.keys())
                since = {key: since.get(key, start + place) for key in keys}
                self.longest = max([self.longest, *(start + place - began for began in since.values())])


def quiet(options: argparse.Namespace) -> None:
    """For each budget, size of the reference, and size of the batches."""
    references, lines = math.ceil(options.rows / ROWS_A_REFERENCE), []
    for budget in BUDGETS:
        for m in SIZES:
            for name, sizes in BATCHES.items():
                found = Findings()
                for rng in seeded(m, references):
                    found.follow(Data(false_alarms_per=budget).follow(reference(rng, m)), sizes, rng)
                allowed = references * ROWS_A_REFERENCE / budget
                lines.append((f"{budget:g}", f"{m:,}", name, f"{found.begun}", f"{allowed:.0f}", f"{found.longest:,}"))
                print("  ".join(lines[-1]), file=sys.stderr)
    heads = ("budget, rows", "reference", "batches", "begun", "allowed", "longest, rows")
    print_table(f"findings without drift, {references * ROWS_A_REFERENCE:,} rows a line", heads, lines)


CHANGES = {
    "mean +0.2 sd": Change(SHIFTED, lambda z: z + 0.2),
    "mean +0.3 sd": Change(SHIFTED, lambda z: z + 0.3),
    "mean +0.5 sd": Change(SHIFTED, lambda z: z + 0.5),
    "mean +1.0 sd": Change(SHIFTED, lambda z: z + 1.0),
    "sd x1.3": Change(SHIFTED, lambda z: 1.3 * z),
    "category 10 % -> 15 %": Change(WORDED, lambda z: np.where(z < -1.0364, np.minimum(z, -1.3), z)),
    "missing 0 -> 5 %": Change(MISSING, missing=0.05),
}


@dataclass(frozen=True, slots=True)
class Run:
    """Rows to the finding, how often it went away after that, others that were named, and rows to its end."""

    delay: float
    gone: int
    others: int
    back: float


def run(change: Change, sizes: tuple[int, int], rng: Generator) -> Run:
    following, name = Data().follow(reference(rng, REFERENCE)), NAMES[change.column]
    list(told(following, QUIET, None, sizes, rng))
    answers = list(told(following, LASTING, change, sizes, rng))
    found = [name in names for _, names in answers]
    return Run(
        delay=next((rows for rows, names in answers if name in names), math.inf),
        gone=sum(before and not after for before, after in pairwise(found)),
        others=len(set[str]().union(*(names for _, names in answers)) - {name}),
        back=next((rows for rows, names in told(following, LIMIT, None, sizes, rng) if name not in names), math.inf),
    )


def told(
    following: Following, rows: int, change: Change | None, sizes: tuple[int, int], rng: Generator
) -> Iterator[tuple[int, set[str]]]:
    """After each batch how many rows have come, and the columns of all findings that have a budget."""
    for start in range(0, rows, STEP):
        for place in fed(following, drawn(rng, STEP, change), sizes, rng):
            yield start + place, named(following)


def lasting(options: argparse.Namespace) -> None:
    """For each change and size of the batches, references of REFERENCE rows."""
    lines = []
    for title, change in CHANGES.items():
        for name, sizes in BATCHES.items():
            runs = [run(change, sizes, rng) for rng in seeded(7, options.runs)]
            gone, others = (sum(counts) for counts in zip(*((each.gone, each.others) for each in runs), strict=True))
            rate = gone / (len(runs) * LASTING) * 1e6
            told = (median([each.delay for each in runs]), f"{rate:.1f}", median([each.back for each in runs]))
            lines.append((title, name, *told, str(others)))
            print("  ".join(lines[-1]), file=sys.stderr)
    heads = ("change", "batches", "rows to finding", "gone early, per 10^6 rows", "rows to end", "others named")
    print_table(f"a drift of {LASTING:,} rows, medians of {options.runs} runs", heads, lines)


PARTS = {"quiet": quiet, "lasting": lasting}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.monitor", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--rows", type=int, default=1_000_000, help="quiet rows for each line, at least")
    parser.add_argument("--runs", type=int, default=10, help="of every change")
    options = parser.parse_args()
    for name in PARTS if "all" in options.parts else options.parts:
        PARTS[name](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
