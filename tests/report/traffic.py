"""Exchanges with all that can be wrong with rows, as a folder of decoded rows and as what the live monitor counts."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pyarrow import parquet

from sidecar.monitors.data import Data, Following
from sidecar.payload.assembling import assemble
from sidecar.records import Capture, Rows
from sidecar.reference.folder import Reference
from sidecar.report.counting.engines import Engine
from sidecar.sinks.rows import placed
from tests.monitors.rig import of, reference_of
from tests.sinks.captures import CAPTURE

if TYPE_CHECKING:
    from ibis import Table as Lines

Item = tuple[Capture, Rows]

NOON_S = 1_764_072_000.0
"""2025-11-25T12:00:00Z; a whole number of hours."""

HOUR_S = 3600.0

FEATURES = ("amount", "count", "country", "late")
PREDICTIONS = ("score", "label")
LONG = "x" * 300
COUNTRIES = ("at", "de", "ch", "o'brien", "back\\slash", "${x}", "é😀", "", LONG)
SINCE_LATE = 3


def learned() -> Reference:
    """Two features of numbers and one of texts, a prediction of each kind, and a column that never comes."""
    rng = np.random.default_rng(0)
    n = 3000
    values = np.full((n, 7), math.nan)
    values[:, 0] = rng.gamma(2.0, 50.0, n)
    values[:, 1] = rng.poisson(0.7, n)  # atoms, and zeros
    values[:, 3] = rng.normal(size=n)
    values[:, 4] = rng.random(n)
    values[:, 6] = rng.normal(size=n)
    texts = {
        2: [COUNTRIES[each] for each in np.minimum(rng.geometric(0.4, n) - 1, 8)],
        5: [("yes", "no")[each] for each in rng.integers(0, 2, n)],
    }
    return reference_of(of(values, *FEATURES, *PREDICTIONS, "never", texts=texts))


def exchanges(seed: int, count: int, hours: int = 4, variants: Sequence[str] = ("champion", "a/b=é")) -> list[Item]:
    """So many of every variant, in time, of one to three rows each."""
    rng = np.random.default_rng(seed)
    items = []
    for number in range(count):
        for place, variant in enumerate(variants):
            started_s = NOON_S + round(number * hours * HOUR_S / count, 6)
            capture = CAPTURE._replace(
                request_id=f"{variant}-{number}",
                variant=variant,
                version=str(3 + place + number // max(1, count // 2)),
                started_s=started_s,
                sample_ratio=float(rng.choice([0.1, 0.5, 1.0])),
            )
            items.append((capture, _rows(rng, number, hours * number // count)))
    return items


def stored(folder: Path, items: Iterable[Item]) -> Path:
    """The folder with their rows."""
    for number, (place, _, table) in enumerate(placed(list(items))):
        where = folder / place.folder
        where.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, where / f"{number}.parquet")
    return folder


def read(engine: Engine, folder: Path, items: Iterable[Item]) -> "Lines":
    """The table of their rows."""
    return engine.read(stored(folder, items))


def live(reference: Reference, options: Data, items: Sequence[Item], every_s: float = HOUR_S) -> Following:
    """The live monitor after the same rows, which it has judged at the end of every slice of time."""
    following = options.follow(reference)
    by_slice: dict[int, list[Item]] = {}
    for item in items:
        by_slice.setdefault(int(item[0].started_s // every_s), []).append(item)
    for _, those in sorted(by_slice.items()):
        for sample in assemble(those):
            following.count(sample.variant, sample.version, sample.features, sample.predictions)
        following.judge(max(capture.started_s for capture, _ in those))
    return following


def _rows(rng: np.random.Generator, number: int, hour: int) -> Rows:
    n = int(rng.integers(1, 4))
    # What is there from the beginning and only then missing is missing to everybody, however rows are stored.
    whole = number == 0
    names = FEATURES if whole or hour >= SINCE_LATE else FEATURES[:3]
    asked = [[_cell(rng, name, whole=whole) for name in names] for _ in range(n)]
    if not whole and rng.random() < 0.1:
        return Rows(names, asked, fault="status")  # nobody knows what was answered
    answered = [[_score(rng, whole=whole), str(rng.choice(["yes", "no", "maybe"]))] for _ in range(n)]
    return Rows(names, asked, PREDICTIONS, answered)


def _score(rng: np.random.Generator, *, whole: bool) -> object:
    """A model may answer nothing, too: that is missing, and not the same as no reply."""
    return [None, math.nan][int(rng.integers(2))] if not whole and rng.random() < 0.2 else float(rng.random())


def _cell(rng: np.random.Generator, name: str, *, whole: bool) -> object:
    faults: list[object] = [None, math.nan, "n/a", math.inf, -math.inf, 1e300, -0.0, 5e-324, True, [1]]
    if not whole and rng.random() < 0.2:
        return faults[int(rng.integers(len(faults)))]
    if name == "country":
        return COUNTRIES[int(rng.integers(len(COUNTRIES)))] if rng.random() < 0.9 else f"{LONG}{rng.integers(3)}"
    if name == "count":
        return int(rng.poisson(0.7))
    return float(rng.gamma(2.0, 50.0)) if name == "amount" else float(rng.normal() + 1.0)
