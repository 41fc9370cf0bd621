"""Verdicts by simulation: `python -m tests.bench.verdicts [wrong] [other] [users] [quantiles] [rows] [few] [late]`.

Thousands of experiments run side by side, each looked at after every ten rows from 200 of each variant on; minutes for
each part, twenty for all.

wrong: How often an interval ever misses, where variants are alike or differ by exactly the margin.
other: The same where they have one mean and different shapes, which no promise covers.
users: The same for rows of users whose rows depend on each other; beside it, what the rows' own variance would do.
quantiles: The same for the ratio of quantiles: of uniform rows, which stand for all continuous ones.
rows: Rows to a right verdict, over those of the fixed-horizon z-test that knows effect and variances (power 0.8).
few, late: See tests/bench/rollbacks.py.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.random import default_rng

from sidecar.experiments.pairs import reach
from sidecar.experiments.quantiles import losses
from sidecar.stats.moments import Floats
from tests.bench import rollbacks
from tests.bench.arms import (
    BUDGETS,
    CHUNK,
    EVERY,
    MIN_ROWS,
    Case,
    Draw,
    Running,
    amounts,
    apart,
    bernoulli,
    lognormal,
    look,
    misses,
    mixed,
    pareto,
    strangers,
    student,
    users,
)
from tests.bench.table import Verdict, print_table, print_verdicts

EXPERIMENTS = 2000
RIGHT = 300
"""Experiments for a median."""


ALIKE = (
    Case("share 0.5", bernoulli(0.5), most=1),
    Case("share 0.1", bernoulli(0.1), most=1),
    Case("share 0.01", bernoulli(0.01), most=1),
    Case("share 0.002", bernoulli(0.002), most=1),
    Case("lognormal 0.5", lognormal(0.5)),
    Case("lognormal 1", lognormal(1.0)),
    Case("lognormal 1.5", lognormal(1.5)),
    Case("t, 3 degrees", student()),
    Case("Pareto 2.2", pareto()),
    Case("98 % zeros, lognormal", amounts()),
    Case("share 0.01, margin 0.01", bernoulli(0.01, 0.02), margin=0.01, most=1),
    Case("share 0.1, margin -0.02", bernoulli(0.1, 0.08), margin=-0.02, most=1),
    Case("lognormal 1, ratio 1.25", lognormal(1.0, factor=1.25), factor=1.25),
    Case("zeros, ratio 0.8", amounts(0.02, 0.016), factor=0.8),
)

SAME = math.exp((1.5**2 - 0.5**2) / 2)
"""Mean of a lognormal of sigma 1.5 over that of 0.5."""

UNLIKE = (
    Case("challenger's tail heavier", mixed(lognormal(0.5, factor=1), lognormal(1.5)), factor=SAME),
    Case("champion's tail heavier", mixed(lognormal(1.5), lognormal(0.5)), factor=1 / SAME),
    Case("amounts 10 x as rare and large", mixed(amounts(0.2), lambda rng, arms: 10 * amounts(0.02)(rng, arms))),
)


def rows_to(case: Case, share: float, limit: int, seed: int) -> Floats:
    """Median rows until the interval is above 0, by budget; inf where it is not within `limit` rows."""
    rng, running, source = default_rng(seed), Running(RIGHT, case.most), strangers(case, share, RIGHT)
    first = np.full((len(BUDGETS), RIGHT), math.inf)
    step = max(EVERY, limit // 1000)
    truth = Case(case.name, case.draw)
    for start in range(0, limit, CHUNK):
        for index, row in enumerate(zip(*source(rng, CHUNK), strict=True)):
            running.take(*row)
            if (start + index + 1) % step == 0:
                seen = look(running, truth, BUDGETS)
                first = np.where(seen.high, np.minimum(first, start + index + 1), first)
        if (np.isfinite(first).mean(axis=1) > 0.6).all():
            break
    return np.asarray(np.median(first, axis=1))


@dataclass(frozen=True, slots=True)
class Effect:
    """A family of challengers, worse by delta: their draw, and the variances of champion and challenger."""

    name: str
    draw: Callable[[float], Draw]
    variances: Callable[[float], tuple[float, float]]
    most: float = math.nan

    def fixed_rows(self, delta: float, share: float, wrong: float) -> float:
        """Of the z-test that knows them, with power 0.8."""
        x, y = self.variances(delta)
        z = NormalDist().inv_cdf(1 - wrong / 2) + NormalDist().inv_cdf(0.8)
        return (x / (1 - share) + y / share) * (z / delta) ** 2

    def delta(self, rows: float, share: float, wrong: float) -> float:
        """For which that test needs so many rows."""
        low, high = 1e-6, 0.5 if self.most == 1 else 100.0
        while high > low * 1.00001:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.fixed_rows(middle, share, wrong) > rows else (low, middle)
        return high


def _shares(p: float) -> Effect:
    return Effect(
        f"share {p}",
        lambda delta: bernoulli(p, p + delta),
        lambda delta: (p * (1 - p), (p + delta) * (1 - p - delta)),
        1.0,
    )


def _shifted(name: str, draw: Callable[[float], Draw], variance: float) -> Effect:
    return Effect(name, draw, lambda _: (variance, variance))


def _amounts(delta: float) -> tuple[float, float]:
    mean, square = math.exp(0.5), math.exp(2)
    first, second = (p * square - (p * mean) ** 2 for p in (0.02, 0.02 + delta / mean))
    return first, second


EFFECTS = (
    _shares(0.5),
    _shares(0.1),
    _shares(0.01),
    _shifted("lognormal 1", lambda delta: lognormal(1.0, shift=delta), (math.e - 1) * math.e),
    _shifted("t, 3 degrees", student, 3.0),
    Effect("98 % zeros, lognormal", lambda delta: amounts(0.02, 0.02 + delta / math.exp(0.5)), _amounts),
)

SPLITS = ((0.5, 40_000), (0.1, 40_000), (0.01, 60_000))
"""Shares of the challenger, and rows of both."""


def wrong(cases: Sequence[Case], title: str) -> list[Verdict]:
    """The table, and the worst of each budget as a target."""
    table, worst = [], np.zeros(len(BUDGETS))
    for case in cases:
        line = [case.name]
        for share, rows in SPLITS:
            low, high = misses(strangers(case, share, EXPERIMENTS), case, rows, EXPERIMENTS, seed=11)
            worst = np.maximum(worst, low + high)
            line += [f"{100 * a:.2f} + {100 * b:.2f}" for a, b in zip(low, high, strict=True)]
        print(*line, sep=" | ", flush=True)
        table.append(line)
    heads = [f"{100 - 100 * share:g}/{100 * share:g}, {100 * each:g} %" for share, _ in SPLITS for each in BUDGETS]
    print_table(f"{title} (% below the truth + % above it)", ["rows", *heads], table)
    pairs = zip(worst, BUDGETS, strict=True)
    return [Verdict(f"{title}, budget {b:g}", f"{a:.4f}", f"≤ {b:g}", bool(a <= b)) for a, b in pairs]


def dependent() -> list[Verdict]:
    """Users of many rows: their variance, and that of the rows."""
    table, worst = [], np.zeros(len(BUDGETS))
    for name, errors in (("normal users, normal rows", False), ("errors of users' own", True)):
        for share in (0.5, 0.1):
            case = Case(name, bernoulli(0.5), most=1 if errors else math.nan)
            many = users(default_rng(5), share=share, errors=errors, experiments=EXPERIMENTS)
            told = misses(many.rows, case, 30_000, EXPERIMENTS, seed=6)
            rows = misses(apart(many), case, 30_000, EXPERIMENTS, seed=6)
            worst = np.maximum(worst, told[0] + told[1])
            figures = [f"{100 * each:.2f}" for each in (*(told[0] + told[1]), *(rows[0] + rows[1]))]
            table.append([name, f"{100 * share:g}", *figures])
            print(*table[-1], sep=" | ", flush=True)
    heads = [*(f"users, {100 * each:g} %" for each in BUDGETS), *(f"rows, {100 * each:g} %" for each in BUDGETS)]
    print_table("wrong where users have up to 200 rows (%)", ["rows", "split", *heads], table)
    pairs = zip(worst, BUDGETS, strict=True)
    return [Verdict(f"users, budget {b:g}", f"{a:.4f}", f"≤ {b:g}", bool(a <= b)) for a, b in pairs]


def quantiles() -> list[Verdict]:
    """The true ratio excluded, of alike variants."""
    table, worst = [], np.zeros(len(BUDGETS))
    for share in (0.5, 0.9, 0.99):
        line = [f"{share:g}"]
        for split, rows in SPLITS:
            told = _excluded(share, split, rows)
            worst = np.maximum(worst, told)
            line += [f"{100 * each:.2f}" for each in told]
        print(*line, sep=" | ", flush=True)
        table.append(line)
    heads = [f"{100 - 100 * split:g}/{100 * split:g}, {100 * each:g} %" for split, _ in SPLITS for each in BUDGETS]
    print_table("wrong ratios of quantiles (%)", ["quantile", *heads], table)
    pairs = zip(worst, BUDGETS, strict=True)
    return [Verdict(f"quantiles, budget {b:g}", f"{a:.4f}", f"≤ {b:g}", bool(a <= b)) for a, b in pairs]


def _excluded(share: float, split: float, rows: int) -> Floats:
    """Share of experiments in which no place of the quantile, the same for both, ever loses too little; by budget."""
    rng, one = default_rng(3), np.arange(EXPERIMENTS)
    odds = math.log(share / (1 - share)) + np.linspace(-1.5, 1.5, 61)
    bounds = 1 / (1 + np.exp(-odds))
    counts, out = np.zeros((2, EXPERIMENTS, 62)), np.zeros((len(BUDGETS), EXPERIMENTS), dtype=bool)
    for start in range(0, rows, CHUNK):
        arms = (rng.random((CHUNK, EXPERIMENTS)) < split).astype(np.int64)
        cells = np.searchsorted(bounds, rng.random((CHUNK, EXPERIMENTS)))
        for index in range(CHUNK):
            counts[arms[index], one, cells[index]] += 1
            if (start + index + 1) % (5 * EVERY) == 0:
                n = counts.sum(axis=2)
                with np.errstate(divide="ignore", invalid="ignore"):
                    best = losses(counts, share).sum(axis=0).min(axis=1)
                    weight = n[0] * n[1] / n.sum(axis=0)
                    found = [2 * best > reach(weight, wrong) for wrong in BUDGETS]
                out |= np.array(found) & (n >= MIN_ROWS).all(axis=0)
    return np.asarray(out.mean(axis=1))


def needed() -> list[Verdict]:
    """Rows to a right verdict."""
    table, told = [], []
    for effect in EFFECTS:
        for share in (0.5, 0.1, 0.01):
            line = [effect.name, f"{100 * share:g}"]
            for rows in (2_000, 10_000, 50_000):
                figures = _ratios(effect, share, rows)
                if rows * share >= MIN_ROWS:
                    told += figures
                line += [f"{figure:.2f}" for figure in figures]
            print(*line, sep=" | ", flush=True)
            table.append(line)
    heads = [f"{rows:,}, {100 * each:g} %" for rows in (2_000, 10_000, 50_000) for each in BUDGETS]
    print_table("median rows to a right verdict over those of the fixed test", ["rows", "split", *heads], table)
    return [Verdict("rows to a right verdict, at worst", f"{max(told):.2f} x", "≤ 1.5 x", max(told) <= 1.5)]


def _ratios(effect: Effect, share: float, rows: int) -> list[float]:
    """By budget; NaN where the smaller variant would have to be judged on less than half of MIN_ROWS."""
    out = []
    for index, each in enumerate(BUDGETS):
        if rows * share < MIN_ROWS / 2:
            out.append(math.nan)
            continue
        delta = effect.delta(rows, share, each)
        case = Case(effect.name, effect.draw(delta), most=effect.most)
        out.append(float(rows_to(case, share, 3 * rows, seed=7)[index]) / rows)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {
        "wrong": lambda: wrong(ALIKE, "wrong"),
        "other": lambda: wrong(UNLIKE, "wrong where shapes differ"),
        "users": dependent,
        "quantiles": quantiles,
        "rows": needed,
        "few": rollbacks.few,
        "late": rollbacks.late,
    }
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=[])
    told = [verdict for part in parser.parse_args().parts or parts for verdict in parts[part]()]
    print_verdicts(told)


if __name__ == "__main__":
    main()
