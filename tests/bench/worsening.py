"""The sequential test of quality on simulated labels: `python -m tests.bench.worsening [alarms] [delays] [ends]`.

Alarms are counted while the mean is exactly at the limit, looked at after every batch; delays are rows from an accuracy
of 0.90 that falls to 0.85 to the alarm, beside the rows of a fixed-sample test of the same level and of power 0.8 and
0.9, and beside Page-Hinkley and ADWIN of `river`, which are not told what the mean may be; ends are those of a change,
seen and imagined. Seeds are fixed.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.random import Generator, default_rng
from river.drift import ADWIN, PageHinkley
from scipy.stats import norm

from sidecar.detectors.bounded import LOG_SHARES, Rising, bet_sizes
from sidecar.stats.moments import Floats
from tests.bench.table import Verdict, at_most, print_table, print_verdicts

LIMIT, FALLEN = 0.10, 0.15
LEVELS = (0.05, 0.01, 0.001)
POWERS = (0.8, 0.9)
BUDGETS = (1e4, 1e5)
QUIET = 2_000
"""Rows before a change."""

LONGEST = 100_000
"""Rows after a change at which a run without an alarm ends."""


def errors(rng: Generator, mean: float, rows: int) -> Floats:
    return (rng.random(rows) < mean).astype(np.float64)


def fixed_rows(level: float, power: float, before: float = LIMIT, after: float = FALLEN) -> float:
    """Rows of a fixed-sample test of one proportion, by the normal approximation."""
    spread = norm.isf(level) * math.sqrt(before * (1 - before)) + norm.ppf(power) * math.sqrt(after * (1 - after))
    return float((spread / (after - before)) ** 2)


def one_shot(level: float, mean: float = FALLEN, limit: float = LIMIT, rows: int = 10_000) -> Floats:
    """The probability that "the mean is at most `limit`" is rejected by each row, by the detector's bets begun once.

    Exact, by recursion over the number of errors: a level of 0.001 takes more streams than one would simulate.
    """
    sizes = bet_sizes(limit, BUDGETS[0])
    won, lost = np.log1p(sizes * (1 - limit)), np.log1p(-sizes * limit)
    alive, rejected = np.ones(1), np.zeros(rows)
    for row in range(1, rows + 1):
        wrong = np.arange(len(alive) + 1)
        alive = np.append(alive, 0.0) * (1 - mean) + np.append(0.0, alive) * mean
        # Evidence increases with the errors, so that only the greatest numbers of them are looked at.
        late = wrong[-2:, None]
        enough = np.logaddexp.reduce(LOG_SHARES + late * won + (row - late) * lost, axis=1) >= -math.log(level)
        keep = len(alive) - int(enough.sum())
        rejected[row - 1] = alive[keep:].sum()
        alive = alive[:keep]
    told: Floats = rejected.cumsum()
    return told


def mean_rows(rejected: Floats) -> float:
    """Rows to the rejection on average, of what `one_shot` gives."""
    return float(1 + (1 - rejected[:-1]).sum())


def windowed_rows(budget: float) -> tuple[int, float]:
    """The best fixed-sample test of windows that follow each other, of one false alarm per budget rows: its delay.

    The change begins anywhere in a window, whose first rows then are those of before; normal approximation.
    """
    best = min((_windowed(rows, budget), rows) for rows in range(100, 3_000, 20))
    return best[1], best[0]


def _windowed(rows: int, budget: float) -> float:
    if rows >= budget:
        return math.inf
    border = norm.isf(rows / budget) * math.sqrt(LIMIT * (1 - LIMIT) / rows)
    share = (np.arange(rows) + 0.5) / rows
    spread = np.sqrt((share * FALLEN * (1 - FALLEN) + (1 - share) * LIMIT * (1 - LIMIT)) / rows)
    first = norm.sf((border - share * (FALLEN - LIMIT)) / spread)
    later = norm.sf((border - (FALLEN - LIMIT)) / math.sqrt(FALLEN * (1 - FALLEN) / rows))
    return float(rows * (share + (1 - first) / later).mean())


class Contestant(Protocol):
    """What takes errors one by one, and says of each whether it alarms."""

    def __call__(self, error: float) -> bool: ...


def ours(budget: float) -> Contestant:
    detector = Rising(limit=LIMIT, false_alarms_per=budget)
    return lambda error: detector.update(np.array([error])).alarm


def page_hinkley(threshold: float) -> Contestant:
    """One-sided, allowed half of the fall, as its authors advise; it knows the past mean from the rows alone."""
    detector = PageHinkley(threshold=threshold, delta=(FALLEN - LIMIT) / 2, mode="up", alpha=1.0)

    def take(error: float) -> bool:
        detector.update(error)
        return bool(detector.drift_detected)

    return take


def adwin(delta: float) -> Contestant:
    """It tells of a fall of errors too, which does not count."""
    detector = ADWIN(delta=delta)

    def take(error: float) -> bool:
        before = detector.estimation
        detector.update(error)
        return bool(detector.drift_detected) and detector.estimation > before

    return take


def rate(build: Callable[[], Contestant], rng: Generator, rows: int) -> float:
    """Alarms per row while nothing changes, each contestant begun anew after its alarm."""
    take, alarms = build(), 0
    for error in errors(rng, LIMIT, rows).tolist():
        if take(error):
            alarms += 1
            take = build()
    return alarms / rows


def delays(build: Callable[[], Contestant], rng: Generator, runs: int) -> Floats:
    """Rows from the change to the alarm; runs that alarm before the change do not count."""
    found = []
    for _ in range(runs):
        take = build()
        if any([take(error) for error in errors(rng, LIMIT, QUIET).tolist()]):
            continue
        stream = errors(rng, FALLEN, LONGEST)
        found.append(next((place for place, error in enumerate(stream.tolist(), 1) if take(error)), LONGEST))
    return np.array(found, dtype=np.float64)


def tuned(make: Callable[[float], Contestant], settings: Sequence[float], budget: float, rows: int) -> float:
    """The first setting, from the most sensitive on, whose alarms are within the budget."""
    for setting in settings:
        if rate(partial(make, setting), default_rng(11), rows) <= 1 / budget:
            return setting
    return settings[-1]


def bursts(rng: Generator, rows: int) -> Iterator[int]:
    """Sizes of batches, from 1 to 1000, of so many rows."""
    while rows > 0:
        size = min(rows, int(10 ** rng.uniform(0, 3)))
        yield size
        rows -= size


def sticky(rng: Generator, rows: int) -> Floats:
    """Errors in runs: each is its predecessor with probability 0.9, so that 1 row says what 19 of these do."""
    fresh = errors(rng, LIMIT, rows)
    begins = np.maximum.accumulate(np.where(rng.random(rows) < 0.1, np.arange(rows), 0))
    held: Floats = fresh[begins]
    return held


def wandering(rng: Generator, rows: int) -> Floats:
    """An error rate that goes up and down by a third, at the limit on average over 2,000 rows: not the null."""
    means: Floats = LIMIT * (1 + np.sin(np.arange(rows) * (2 * np.pi / 2_000)) / 3)
    return (rng.random(rows) < means).astype(np.float64)


def graded(rng: Generator, rows: int) -> Floats:
    return rng.beta(1, 9, rows)


STREAMS: dict[str, Callable[[Generator, int], Floats]] = {
    "0 or 1": lambda rng, rows: errors(rng, LIMIT, rows),
    "graded (beta 1, 9)": graded,
    "dependent: runs of 10 rows": sticky,
    "dependent: ± 1/3 over 2,000 rows": wandering,
}


@dataclass(frozen=True, slots=True)
class Quiet:
    """Share of streams with an alarm in their first tenth of a budget, and alarms a budget's rows, over and over."""

    early: float
    often: float


def quiet(draw: Callable[[Generator, int], Floats], budget: float, streams: int, rows: int) -> Quiet:
    early = alarms = taken = 0
    for seed in range(streams):
        rng = default_rng(seed)
        detector, seen, first = Rising(limit=LIMIT, false_alarms_per=budget), 0, math.inf
        values = draw(rng, rows)
        for size in bursts(rng, rows):
            verdict = detector.update(values[seen : seen + size])
            # Rows behind an alarm go to the next detector.
            seen += size - detector.ending.rows if verdict.alarm else size
            if verdict.alarm:
                first = min(first, seen)
                alarms += 1
                detector = Rising(limit=LIMIT, false_alarms_per=budget)
        early += first <= budget / 10
        taken += seen
    return Quiet(early / streams, alarms * budget / taken)


def show_alarms(options: argparse.Namespace) -> list[Verdict]:
    lines, verdicts = [], []
    for name, draw in STREAMS.items():
        for budget in (1e3, *BUDGETS):
            told = quiet(draw, budget, options.streams, int(max(budget, 20_000)))
            lines.append((name, f"{budget:,.0f}", f"{told.early:.3f}", f"{told.often:.2f}"))
            if not name.startswith("dependent"):
                verdicts.append(at_most(f"alarms per budget, {name}, {budget:,.0f} rows", told.often, 1.0, "alarms"))
    for level in LEVELS:
        share = float(one_shot(level, LIMIT)[-1])
        lines.append(("begun once, 10,000 rows: exactly", f"level {level}", f"{share:.5f}", ""))
        verdicts.append(at_most(f"rejections when begun once, level {level}", share, level, "of streams"))
    heads = ("error 0.10, limit 0.10", "budget, rows", "alarm within a tenth of it (≤ 0.1)", "alarms a budget (≤ 1)")
    print_table(
        f"false alarms, looked at after every batch of 1 to 1,000 rows, {options.streams} streams", heads, lines
    )
    return verdicts


def show_delays(options: argparse.Namespace) -> list[Verdict]:
    lines: list[tuple[str, ...]] = []
    verdicts: list[Verdict] = []
    for level in LEVELS:
        rejected = one_shot(level)
        fixed = [fixed_rows(level, power) for power in POWERS]
        mean = mean_rows(rejected)
        ratios = [mean / each for each in fixed]
        quantiles = [int(np.searchsorted(rejected, power)) + 1 for power in POWERS]
        told = " / ".join(f"{each:.0f}" for each in fixed)
        found = " / ".join(f"{each}" for each in quantiles)
        lines.append((f"begun once, level {level}", f"{mean:.0f}", found, told, " / ".join(f"{r:.2f}" for r in ratios)))
        verdicts += [
            at_most(f"mean delay, level {level}, over fixed sample of power {power}", ratio, 1.5, "x")
            for power, ratio in zip(POWERS, ratios, strict=True)
        ]
    for budget in BUDGETS:
        window, delay = windowed_rows(budget)
        rows = batched_delays(budget, options.runs)
        lines.append(detected(f"1 alarm per {budget:,.0f} rows", rows, f"{delay:.0f} (windows of {window})", delay))
        verdicts.append(at_most(f"mean delay, budget {budget:,.0f}, over fixed windows", rows.mean() / delay, 1.5, "x"))
    lines += list(rivals(options))
    heads = (
        "0.90 → 0.85",
        "mean rows",
        "rows by which 80 / 90 % are seen",
        "fixed sample, power 0.8 / 0.9",
        "mean over it",
    )
    print_table(f"rows to the alarm; with a budget, after {QUIET:,} quiet rows", heads, lines)
    return verdicts


def detected(name: str, rows: Floats, fixed: str, delay: float) -> tuple[str, ...]:
    found = " / ".join(f"{np.quantile(rows, power):.0f}" for power in POWERS)
    return name, f"{rows.mean():.0f}", found, fixed, f"{rows.mean() / delay:.2f}" if fixed else ""


def batched_delays(budget: float, runs: int, batch: int = 10) -> Floats:
    """Those of `delays`, by batches."""
    found = []
    for seed in range(runs):
        rng = default_rng((1, seed))
        detector = Rising(limit=LIMIT, false_alarms_per=budget)
        if detector.update(errors(rng, LIMIT, QUIET)).alarm:
            continue
        rows = batch
        while rows < LONGEST and not detector.update(errors(rng, FALLEN, batch)).alarm:
            rows += batch
        found.append(rows)
    return np.array(found, dtype=np.float64)


def rivals(options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """The others, as sensitive as they can be within the budget."""
    budget, rows = BUDGETS[0], options.tuning_rows
    contestants: dict[str, tuple[Callable[[float], Contestant], Sequence[float]]] = {
        "Page-Hinkley, threshold": (page_hinkley, [5, 6, 8, 10, 12, 15, 18, 22, 27, 33]),
        "ADWIN, delta": (adwin, [0.9, 0.6, 0.3, 0.1, 0.03, 0.01, 0.002, 0.0003]),
    }
    for name, (make, settings) in contestants.items():
        setting = tuned(make, settings, budget, rows)
        spent = rate(lambda: make(setting), default_rng(12), rows) * budget  # noqa: B023 - called at once
        found = delays(lambda: make(setting), default_rng(13), options.runs // 3)  # noqa: B023
        yield detected(f"{name} {setting:g}: {spent:.1f} alarms per {budget:,.0f} rows", found, "", 1.0)


@dataclass(frozen=True, slots=True)
class End:
    """Rows from the change to its alarm, and from its end to the word that it is over; ends imagined meanwhile."""

    delay: int
    over: int
    imagined: int


def end(rng: Generator, budget: float, fallen: float, lasting: int) -> End:
    """One change that lasts so many rows after its alarm, and until an alarm stands."""
    detector, step = Rising(limit=LIMIT, false_alarms_per=budget), 20
    while detector.update(errors(rng, LIMIT, QUIET)).away:
        detector = Rising(limit=LIMIT, false_alarms_per=budget)
    delay = step
    while not detector.update(errors(rng, fallen, step)).alarm:
        delay += step
    imagined = sum(detector.update(errors(rng, fallen, step)).returned for _ in range(lasting // step))
    while not detector.away:
        detector.update(errors(rng, fallen, step))
    over = step
    while over < LONGEST and not detector.update(errors(rng, LIMIT, step)).returned:
        over += step
    return End(delay, over, imagined)


def show_ends(options: argparse.Namespace) -> list[Verdict]:
    lines = []
    for budget in (1e4, 1e6):
        for fallen in (0.12, 0.15, 0.30):
            for lasting in (0, 20_000):
                told = [end(default_rng((2, seed)), budget, fallen, lasting) for seed in range(options.ends)]
                delay, over = (float(np.mean([getattr(each, name) for each in told])) for name in ("delay", "over"))
                imagined = sum(each.imagined for each in told) / max(1, len(told) * lasting) * 1e4
                lines.append(
                    (
                        f"0.10 → {fallen:.2f}",
                        f"{budget:,.0f}",
                        f"{lasting:,}",
                        f"{delay:.0f}",
                        f"{over:.0f}",
                        f"{imagined:.2f}",
                    )
                )
    heads = (
        "error",
        "budget, rows",
        "lasts after its alarm",
        "rows to the alarm",
        "rows to its end",
        "false ends per 10,000 rows",
    )
    print_table("the end of a change", heads, lines)
    return []


def main() -> None:
    parts = {"alarms": show_alarms, "delays": show_delays, "ends": show_ends}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="all if none is named")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--ends", type=int, default=25)
    parser.add_argument("--tuning-rows", type=int, default=300_000)
    options = parser.parse_args()
    verdicts = [verdict for part in options.parts or parts for verdict in parts[part](options)]
    if verdicts:
        print_verdicts(verdicts)


if __name__ == "__main__":
    main()
