"""Rollbacks by simulation, as parts of tests/bench/verdicts.py.

few: How often a guardrail of errors is ever said to be breached by a challenger that is worse by its margin exactly:
    below MIN_ROWS by what few rows make plain (a tenth of the budget), from there on by the interval (the rest); and
    how many rows of the challenger it takes where the breach is one.
late: The same for a rollout whose labels come three steps after their requests, those of wrong answers later still.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, default_rng

from sidecar.experiments.experiment import FEW, Experiment, Rows
from sidecar.experiments.few import least_nats
from sidecar.experiments.measures import Quality
from sidecar.experiments.quantiles import losses
from sidecar.stats.moments import Counts, Flags, Floats
from tests.bench.arms import CHUNK, MIN_ROWS, Case, Running, Source, bernoulli, strangers, users
from tests.bench.table import Verdict, print_table

WRONG = 0.01
"""Of a rollout."""

MARGIN = 0.01
"""Of the guardrail of errors, as a rollout has it by default."""

EXPERIMENTS = 2000
RIGHT = 300

SPLITS = ((0.01, 30_000), (0.05, 8_000), (0.5, 1_500))
"""Shares of the challenger, and rows of both: until it has some 300 or more."""


def nats(running: Running, margin: float) -> Floats:
    """What `few` makes of each experiment."""
    worths = running.rows / running.sizes
    m, n = running.rows
    a, b = np.clip(running.total / running.rows, 0, 1)
    out: Floats = least_nats(m * worths[0], a, n * worths[1], b, margin) - np.log(m * n) / 2 - 2 * math.log(2)
    return out


@dataclass(slots=True)
class Outages:
    """Requests of which few fail, but for outages, in which nearly all do."""

    start: int = 0

    def rows(self, rng: Generator, number: int) -> tuple[Flags, Counts, Floats]:
        """As a `Source`; one outage of 50 rows in a thousand."""
        at = (self.start + np.arange(number)) % 1000
        self.start += number
        arms, buckets, _ = strangers(Case("", bernoulli(0.5)), 0.01, EXPERIMENTS)(rng, number)
        share = np.where((at >= 500) & (at < 550), 0.9, 0.002)[:, None] + MARGIN * arms
        return arms, buckets, (rng.random(arms.shape) < share).astype(np.float64)


def breaches(
    source: Source, margin: float, rows: int, experiments: int, every: int
) -> Iterator[tuple[Flags, Flags, Floats]]:
    """Whom few rows, and whose interval, find to be beyond the margin; and the challenger's rows; at every look."""
    rng, running = default_rng(17), Running(experiments, 1.0)
    for _ in range(0, rows, CHUNK):
        for index, row in enumerate(zip(*source(rng, CHUNK), strict=True)):
            running.take(*row)
            if (index + 1) % every:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                enough = (running.rows >= MIN_ROWS).all(axis=0)
                plain = ~enough & (running.rows > 0).all(axis=0) & (nats(running, margin) >= -math.log(FEW * WRONG))
                pair = running.pair()
                sure = enough & (pair.difference(1.0) - margin > pair.radius(1.0, (1 - FEW) * WRONG))
            yield plain, sure, running.rows[1]


def wrong_share(source: Source, margin: float, rows: int, every: int) -> tuple[float, float]:
    """Share of experiments with a breach by few rows, and by the interval."""
    few, interval = np.zeros((2, EXPERIMENTS), dtype=bool)
    for plain, sure, _ in breaches(source, margin, rows, EXPERIMENTS, every):
        few, interval = few | plain, interval | sure
    return float(few.mean()), float(interval.mean())


def wrong_breaches() -> Verdict:
    """A table of those, and the worst."""
    table, worst = [], 0.0
    for name, sources in _cases():
        line = [name]
        for (split, rows), source, margin in sources:
            told = wrong_share(source, margin, rows, every=10 if split < 0.05 else 2)
            worst = max(worst, sum(told))
            line.append(f"{100 * told[0]:.2f} + {100 * told[1]:.2f}")
        print(*line, sep=" | ", flush=True)
        table.append(line + [""] * (len(SPLITS) + 1 - len(line)))
    heads = ["errors", *(f"{100 - 100 * split:g}/{100 * split:g}" for split, _ in SPLITS)]
    print_table("wrong breaches of errors at the margin, budget 1 % (% by few rows + % by the interval)", heads, table)
    return Verdict("wrong breaches of errors", f"{worst:.4f}", f"≤ {WRONG:g}", worst <= WRONG)


def _cases() -> Iterator[tuple[str, list[tuple[tuple[float, int], Source, float]]]]:
    for p in (0.001, 0.01, 0.1, 0.5):
        case = Case("", bernoulli(p, p + MARGIN), most=1)
        yield f"{100 * p:g} %", [(each, strangers(case, each[0], EXPERIMENTS), MARGIN) for each in SPLITS]
    yield "0.2 %, outages of 90 %", [(SPLITS[0], Outages().rows, MARGIN)]
    lines: list[tuple[tuple[float, int], Source, float]] = []
    for split, rows in SPLITS:
        many = users(default_rng(5), share=split, errors=True, experiments=EXPERIMENTS)
        lines.append(((split, rows), many.rows, MARGIN))
    yield "5 %, of users' own, no worse", lines


def rows_to_breach() -> list[Verdict]:
    """Rows of the challenger until it is told, and the target of twenty."""
    table, slowest = [], 0.0
    for share in (1.0, 0.5, 0.2, 0.1, 0.05):
        line = [f"{100 * share:g} %"]
        for split, rows in SPLITS:
            first = first_breach(strangers(Case("", bernoulli(0.005, share), most=1), split, RIGHT), 4 * rows)
            half, most = np.quantile(first, [0.5, 0.95], method="inverted_cdf")
            slowest = max(slowest, float(first.max()) if share == 1 else 0.0)
            line.append(f"{half:.0f} ({most:.0f})")
        print(*line, sep=" | ", flush=True)
        table.append(line)
    heads = ["fails", *(f"{100 - 100 * split:g}/{100 * split:g}" for split, _ in SPLITS)]
    print_table("rows of a challenger until the breach is told, median (95 %), champion fails 0.5 %", heads, table)
    return [Verdict("rows of a challenger that fails always", f"{slowest:.0f}", "≤ 20", slowest <= 20)]


def first_breach(source: Source, rows: int) -> Floats:
    """Of each experiment; inf where there is none."""
    first = np.full(RIGHT, math.inf)
    for plain, sure, seen in breaches(source, MARGIN, rows, RIGHT, every=1):
        first = np.where(plain | sure, np.minimum(first, seen), first)
        if np.isfinite(first).all():
            break
    return first


def wrong_quantiles() -> Verdict:
    """The same for the ratio of quantiles of variants that are alike, at no margin."""
    table, worst = [], 0.0
    for share in (0.5, 0.9, 0.99):
        line = [f"{share:g}"]
        for split, rows in SPLITS:
            told = _slower(share, split, rows)
            worst = max(worst, told)
            line.append(f"{100 * told:.2f}")
        print(*line, sep=" | ", flush=True)
        table.append(line)
    heads = ["quantile", *(f"{100 - 100 * split:g}/{100 * split:g}" for split, _ in SPLITS)]
    print_table("wrong breaches of latency by few rows (%)", heads, table)
    return Verdict("wrong breaches of latency by few rows", f"{worst:.4f}", f"≤ {FEW * WRONG:g}", worst <= FEW * WRONG)


def _slower(share: float, split: float, rows: int) -> float:
    """How often no place of the quantile, the same for both, ever loses too little, below MIN_ROWS."""
    rng, one = default_rng(4), np.arange(EXPERIMENTS)
    bounds = 1 / (1 + np.exp(-math.log(share / (1 - share)) - np.linspace(-2.5, 2.5, 61)))
    counts, out = np.zeros((2, EXPERIMENTS, 62)), np.zeros(EXPERIMENTS, dtype=bool)
    for _ in range(0, rows, CHUNK):
        arms = (rng.random((CHUNK, EXPERIMENTS)) < split).astype(np.int64)
        cells = np.searchsorted(bounds, rng.random((CHUNK, EXPERIMENTS)))
        for index in range(CHUNK):
            counts[arms[index], one, cells[index]] += 1
            if (index + 1) % (50 if split < 0.05 else 10):
                continue
            m, n = counts.sum(axis=2)
            with np.errstate(divide="ignore", invalid="ignore"):
                told = losses(counts, share).sum(axis=0).min(axis=1) - np.log(m * n) / 2 - 2 * math.log(2)
            fewer = np.minimum(m, n)
            out |= (told >= -math.log(FEW * WRONG)) & (fewer > 0) & (fewer < MIN_ROWS)
    return float(out.mean())


def rolled_out(rng: Generator, worse: float) -> float:
    """The second in which the guardrail of quality is breached; inf where it never is.

    Steps of 10 s with 200 requests a second, of which 10 or 30 % get a wrong answer, by turns, and the challenger's by
    the margin and `worse` more. A label comes after 30 s, that of a wrong answer after 38.
    """
    made = Experiment("late", "champion", ["challenger"], [Quality(margin=0.02)], wrong=WRONG, min_rows=MIN_ROWS)
    coming: list[tuple[int, Rows, Floats]] = []
    for second in range(80):
        percent = (1, 5, 25, 50)[min(second // 10, 3)]
        made.begin({"champion": 100.0 - percent, "challenger": percent}, float(second))
        if second < 40:
            coming += _labels(rng, second, percent / 100, worse)
        for _, rows, lost in (each for each in coming if each[0] == second):
            made.lost(rows, lost)
        if second >= 30 and made.look(float(second)).words("challenger")["quality"] == "breach":
            return second
    return math.inf


def _labels(rng: Generator, second: int, share: float, worse: float) -> Iterator[tuple[int, Rows, Floats]]:
    chosen = rng.random(200) < share
    lost = (rng.random(200) < 0.1 + 0.2 * (second // 10 % 2) + (0.02 + worse) * chosen).astype(np.float64)
    for variant, mine in (("champion", ~chosen), ("challenger", chosen)):
        for delay, those in ((30, mine & (lost == 0)), (38, mine & (lost == 1))):
            units = rng.integers(0, 1 << 63, int(those.sum()), dtype=np.uint64)
            yield second + delay, Rows(variant, units, np.full(len(units), second + 0.5)), lost[those]


def late() -> list[Verdict]:
    """Wrong breaches, and how soon right ones are found."""
    table, wrong = [], 0.0
    for worse in (0.0, 0.05, 0.1, 0.2):
        many = EXPERIMENTS if not worse else RIGHT
        seconds = np.array([rolled_out(default_rng([seed, int(100 * worse)]), worse) for seed in range(many)])
        found = np.isfinite(seconds)
        median = f"{np.median(seconds[found]):.0f}" if found.any() else ""
        table.append([f"{100 * worse:g} points", f"{100 * found.mean():.2f}", median])
        print(*table[-1], sep=" | ", flush=True)
        wrong = wrong if worse else float(found.mean())
    heads = ["worse than the margin by", "% breached", "median s (labels from 30 s on)"]
    print_table("a rollout of 1, 5, 25, 50 % in 10 s each with labels 30 s late, budget 1 %", heads, table)
    return [Verdict("wrong rollbacks by late labels", f"{wrong:.4f}", f"≤ {WRONG:g}", wrong <= WRONG)]


def few() -> list[Verdict]:
    """What few rows make plain."""
    return [wrong_breaches(), wrong_quantiles(), *rows_to_breach()]
