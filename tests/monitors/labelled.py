"""Labelled rows of simulated models, for the tests of the monitors that labels feed."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from sidecar.monitors import pieces
from sidecar.quality.reading import Task
from sidecar.records import Labelled, Table
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats
from tests.monitors.rig import nothing, of

NAMES = ("amount", "age", "country")
COUNTRIES = np.array(["AT", "BR", "CH"])
CLASSES = np.array(["cat", "dog", "fish"])
VERSION = ("champion", "3")


def rows(
    rng: np.random.Generator, n: int, task: Task = "binary", *, moved: float = 0.0, begins_s: float = 0.0
) -> Labelled:
    """A request a second, of a model that is right nine times out of ten; or whose errors are of deviation 1.

    Args:
        moved: Share of the rows of an amount above 1 whose label is another; of a regression, what it is higher by.
    """
    amount, age, country = rng.normal(size=n), rng.normal(size=n), rng.integers(3, size=n)
    hit = (amount > 1) & (rng.random(n) < moved)
    texts: dict[int, Cells] = {}
    if task == "regression":
        told = 10 + 2 * amount + age
        labels = told + rng.normal(size=n) + moved * (amount > 1)
        predictions = of(told, "answer")
    elif task == "binary":
        score = np.clip(0.5 + 0.4 * np.sign(amount + 0.3 * age), 0.02, 0.98) + rng.uniform(-0.01, 0.01, n)
        labels = ((rng.random(n) < score) ^ hit).astype(np.float64)
        predictions = of(np.column_stack([score >= 0.5, score]), "answer", "score")
    else:
        place = np.digitize(amount, [-0.5, 0.5])
        true = np.where((rng.random(n) < 0.1) | hit, (place + rng.integers(1, 3, n)) % 3, place)
        labels, texts = np.full(n, np.nan), {0: CLASSES[true].tolist()}
        predictions = of(np.full(n, np.nan), "answer", texts={0: CLASSES[place].tolist()})
    asked = of(np.column_stack([amount, age, np.full(n, np.nan)]), *NAMES, texts={2: COUNTRIES[country].tolist()})
    return labelled(asked, predictions, of(labels, "label", texts=texts), begins_s=begins_s)


def labelled(
    features: Table, predictions: Table, labels: Table, *, begins_s: float = 0.0, weights: Floats | None = None
) -> Labelled:
    n = len(labels.values)
    times_s = begins_s + np.arange(n, dtype=np.float64)
    return Labelled(
        *VERSION, times_s, np.ones(n) if weights is None else weights, features, predictions, labels, nothing(n)
    )


def answers(labels: Sequence[float | str], told: Sequence[float | str], *, begins_s: float = 0.0) -> Labelled:
    """Rows without features, of a model that gives an answer and no more."""
    return labelled(nothing(len(labels)), column(told, "answer"), column(labels, "label"), begins_s=begins_s)


def column(cells: Sequence[float | str], name: str) -> Table:
    texts = [each if isinstance(each, str) else None for each in cells]
    values = np.array([np.nan if isinstance(each, str) else each for each in cells], dtype=np.float64)
    return of(values, name, texts={0: texts} if any(texts) else None)


def cut(whole: Labelled, sizes: Sequence[int]) -> list[Labelled]:
    """The rows in batches of these sizes, the last of which goes on to the end."""
    ends = [0, *np.minimum(np.cumsum(sizes), len(whole.times_s)).tolist(), len(whole.times_s)]
    batches = [np.arange(begin, end) for begin, end in pairwise(ends) if begin < end]
    return [pieces.at(whole, batch) for batch in batches]
