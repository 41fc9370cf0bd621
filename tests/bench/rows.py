"""Rows through statistics and detectors: how many a second, on one core, and beside whylogs where that is installed.

    OPENBLAS_NUM_THREADS=1 taskset -c 1 python -m tests.bench.rows

Rows are decoded already, in batches of 256, as the pipeline hands them on. Rates are the best of ROUNDS, which is what
the code takes when nothing else runs.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from sidecar.monitors.data import Data
from sidecar.records import Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.reference.sample import Reservoir
from sidecar.stats.window import Window
from tests.bench.table import at_least, at_most, print_table, print_verdicts

BATCH = 256
FEATURES = (10, 30, 100, 300, 1000)
WHYLOGS_FEATURES = 30
CELLS = 2_000_000
ROUNDS = 5
NOTHING = Table((), np.empty((BATCH, 0)))


def batches(k: int, seed: int) -> list[Table]:
    """CELLS cells of k normal features."""
    names = tuple(f"feature_{column}" for column in range(k))
    rng = np.random.default_rng(seed)
    return [Table(names, rng.normal(size=(BATCH, k))) for _ in range(max(4, CELLS // (BATCH * k)))]


def reference(k: int) -> Reference:
    """Of 10,000 rows, or as many as there are cells for; half of them are its sample."""
    learner, reservoir = Learner(), Reservoir(5000, np.random.default_rng(0))
    for table in batches(k, 0)[: 10_000 // BATCH]:
        learner.update(table)
        reservoir.update(table)
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles), reservoir.sample())


def seconds(work: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def ours(k: int) -> tuple[float, float]:
    """Seconds a row, through the statistics and through the detectors."""
    tables = batches(k, 1)
    window = Window(rows=2000, panes=10, seconds=3600.0, max_features=k, max_categories=100)
    following = Data().follow(reference(k))

    def count() -> None:
        for moment, table in enumerate(tables):
            window.update(table.names, table.values, table.texts, float(moment))

    def watch() -> None:
        for moment, table in enumerate(tables):
            following.count("champion", "1", table, NOTHING)
            following.judge(float(moment))

    rows = BATCH * len(tables)
    return min(seconds(count) for _ in range(ROUNDS)) / rows, min(seconds(watch) for _ in range(ROUNDS)) / rows


def whylogs(k: int) -> float:
    """Seconds a row, from a data frame of a batch: the fastest way that it offers."""
    import pandas as pd
    from whylogs.core import DatasetProfile, DatasetSchema

    tables = batches(k, 1)[: max(1, 40_000 // (BATCH * k))]
    frames = [pd.DataFrame(table.values, columns=list(table.names)) for table in tables]
    profile = DatasetProfile(DatasetSchema())

    def track() -> None:
        for frame in frames:
            profile.track(frame)

    return min(seconds(track) for _ in range(ROUNDS)) / (BATCH * len(frames))


def main() -> None:
    rows, verdicts = [], []
    per_cell = {}
    for k in FEATURES:
        counting, watching = ours(k)
        total = counting + watching
        per_cell[k] = total / k
        beside = whylogs(k) / total if k == WHYLOGS_FEATURES and find_spec("whylogs") else None
        rows.append((f"{k}", *(f"{1e6 * each:.2f}" for each in (counting, watching)), f"{1e9 * total / k:.0f}"))
        if k == WHYLOGS_FEATURES:
            verdicts = [
                at_least("rows a second, 30 features", 1 / total, 150_000, "rows/s"),
                at_least("times as many as whylogs", beside, 10, "x"),
            ]
    verdicts.append(at_most("cost of a cell, 1,000 features against 10", per_cell[1000] / per_cell[10], 1, "x"))
    print_table("rows", ("features", "statistics, us a row", "detectors, us a row", "ns a cell"), rows)
    print_verdicts(verdicts)


if __name__ == "__main__":
    main()
