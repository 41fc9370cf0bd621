"""Is the cause that alerts name the right one? The monitors of data and quality at their defaults, on simulated models.

    python -m tests.bench.causes [--runs 100] [--rows 4000] [--only concept]

Every run draws a world of 12 features (gamma, normal, counts, categories, some dependent), a truth with interactions,
and a scikit-learn model trained on 5,000 rows of it. The reference is learned from those rows. Then 4,000 live rows of
the same world come, and `--rows` of another:

    quiet       nothing changes
    inputs      two or three features move by 0.5 to 1 standard deviation, labels follow the same relation
    concept     the relation changes in one of four ways, the inputs do not
    both        both of it
    pipeline    one feature fails to come, comes as text, or in another unit; labels are those of the true values

Labels come 500 rows late, all of them. What is named is what the findings say at the end of the run.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sidecar.monitors.causes import explained
from sidecar.monitors.data import Data
from sidecar.monitors.quality import Quality
from sidecar.quality.reading import Reading
from sidecar.records import Finding, Labelled, Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats

TRAINED, QUIET, DELAY, BATCH = 5000, 4000, 500, 64
NUMBERS = tuple(f"x{place}" for place in range(10))
NAMES = (*NUMBERS, "country", "device")
COUNTRIES, DEVICES = np.array(["AT", "CH", "DE", "FR", "IT", "US"]), np.array(["app", "phone", "web"])
EXPECTED = {"quiet": "", "inputs": "inputs", "concept": "relation", "both": "both", "pipeline": "pipeline"}


class World:
    """Where rows and labels come from."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.weights = rng.normal(0, 1, 12) * (rng.random(12) < 0.6)
        self.weights[:3] = rng.normal(0, 1.2, 3)
        self.pairs = rng.choice(10, (2, 2), replace=False)
        self.pair_weights = rng.normal(0, 0.7, 2)
        self.shifts = np.zeros(10)
        self.countries = rng.dirichlet(np.full(6, 2.0))
        self.concept: Callable[[Floats, Floats], Floats] | None = None
        self.center = 0.0

    def rows(self, n: int) -> Floats:
        """Numbers, then codes of country and device, shape (n, 12)."""
        rng = self._rng
        base = rng.normal(size=(n, 10))
        base[:, 4] = 0.6 * base[:, 3] + 0.8 * base[:, 4]
        base += self.shifts
        return np.column_stack([base, rng.choice(6, n, p=self.countries), rng.choice(3, n, p=[0.5, 0.3, 0.2])])

    def score(self, rows: Floats) -> Floats:
        told: Floats = (
            rows[:, :10] @ self.weights[:10]
            + self.weights[10] * (rows[:, 10] - 2.5) / 2
            + self.weights[11] * rows[:, 11]
        )
        for (one, other), weight in zip(self.pairs, self.pair_weights, strict=True):
            told = told + weight * rows[:, one] * rows[:, other]
        return told

    def labels(self, rows: Floats) -> Floats:
        score = self.score(rows) - self.center
        if self.concept is not None:
            score = self.concept(rows, score)
        return (self._rng.random(len(rows)) < 1 / (1 + np.exp(-score))).astype(np.float64)


def seen(rows: Floats) -> Table:
    """As a model is asked: some numbers skewed, some counted."""
    values = rows.copy()
    values[:, 0] = np.exp(rows[:, 0] + 4)
    values[:, 1] = np.floor(np.exp(rows[:, 1]))
    values[:, 10:] = np.nan
    texts: dict[int, Cells] = {
        10: COUNTRIES[rows[:, 10].astype(int)].tolist(),
        11: DEVICES[rows[:, 11].astype(int)].tolist(),
    }
    return Table(NAMES, values, texts)


def moved_inputs(world: World, rng: np.random.Generator) -> None:
    many = int(rng.integers(2, 4))
    for place in rng.choice(10, many, replace=False):
        world.shifts[place] = rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)


def moved_relation(world: World, rng: np.random.Generator) -> None:
    kind = rng.integers(4)
    strong = int(np.argmax(np.abs(world.weights[:10])))
    if kind == 0:  # the strongest feature counts the other way
        world.concept = lambda rows, score: score - 2 * world.weights[strong] * rows[:, strong]
    elif kind == 1:  # all is more likely
        step = rng.choice([-1, 1]) * 1.5
        world.concept = lambda _, score: score + step
    elif kind == 2:  # in a region it is the other way round
        place = int(rng.integers(10))
        world.concept = lambda rows, score: np.where(rows[:, place] > 0.3, -score, score)
    else:  # the relation fades
        world.concept = lambda _, score: 0.2 * score


def broken(table: Table, rng: np.random.Generator, kind: int, place: int) -> Table:
    values, texts = table.values.copy(), dict(table.texts)
    if kind == 0:
        values[rng.random(len(values)) < 0.4, place] = np.nan
    elif kind == 1:
        texts[place] = [f"{value:.3f}" for value in values[:, place]]
        values[:, place] = np.nan
    else:
        values[:, place] *= 1000.0
    return Table(table.names, values, texts)


def run(kind: str, seed: int, rows: int) -> tuple[str, list[Finding], int]:
    """The cause named at the end, all that was found, and the labelled rows to the first finding of labels."""
    rng = np.random.default_rng(seed)
    world = World(rng)
    world.center = float(np.median(world.score(world.rows(4000))))
    training = world.rows(TRAINED)
    labels = world.labels(training)
    base = LogisticRegression(max_iter=500) if seed % 2 else HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model = make_pipeline(StandardScaler(), base).fit(np.nan_to_num(training), labels)
    learner = Learner()
    learner.update(seen(training))
    profiles = learner.profiles()
    following = Data().follow(Reference(profiles, suggested(profiles), seen(training)))
    grading = Quality().grade(partial(Reading, task="binary"))
    waiting: list[Labelled] = []
    damage = int(rng.integers(3)), int(rng.integers(2, 10))
    delay = -1
    for done in range(0, QUIET + rows + DELAY, BATCH):
        if done == QUIET - QUIET % BATCH and kind in {"inputs", "both"}:
            moved_inputs(world, rng)
        if done == QUIET - QUIET % BATCH and kind in {"concept", "both"}:
            moved_relation(world, rng)
        now_s = 1e9 + done / BATCH
        if done < QUIET + rows:
            batch = world.rows(BATCH)
            table = seen(batch)
            asked = batch
            if kind == "pipeline" and done >= QUIET:
                table = broken(table, rng, *damage)
                raw = table.values[:, damage[1]]
                asked = batch.copy()
                asked[:, damage[1]] = np.nan_to_num(raw)
            answers = model.predict_proba(np.nan_to_num(asked))[:, 1]
            predictions = Table(("probability",), answers[:, None])
            following.count("champion", "3", table, predictions)
            following.judge(now_s)
            grading.count("champion", "3", table, predictions)
            grading.judge(now_s)
            waiting.append(
                Labelled(
                    "champion",
                    "3",
                    np.full(BATCH, now_s),
                    np.ones(BATCH),
                    table,
                    predictions,
                    Table(("label",), world.labels(batch)[:, None]),
                    Table((), np.empty((BATCH, 0))),
                )
            )
        if done >= DELAY and waiting:
            grading.take(waiting.pop(0))
            grading.assess(now_s)
            if delay < 0 and grading.findings:
                delay = done - DELAY - QUIET
    findings = explained([*following.findings, *grading.findings], grading.relations())
    causes = [each.cause for each in findings if each.key.monitor == "quality" and each.cause]
    causes += [each.cause for each in findings if each.key.monitor == "data" and each.cause]
    return causes[0] if causes else "", findings, delay


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scenarios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--only", choices=EXPECTED)
    chosen = parser.parse_args(arguments)
    for kind, expected in EXPECTED.items():
        if chosen.only not in {None, kind}:
            continue
        begun = perf_counter()
        named: Counter[str] = Counter()
        delays: list[int] = []
        for seed in range(chosen.runs):
            cause, findings, delay = run(kind, seed, chosen.rows)
            named[cause or "none"] += 1
            delays += [delay] if delay >= 0 else []
            if cause != expected:
                print(kind, seed, cause, [(each.key.monitor, each.key.check, each.key.subject) for each in findings])
        right = named[expected or "none"] / chosen.runs
        middle = f"{np.median(delays):.0f}" if delays else "never"
        took = f"{perf_counter() - begun:.0f} s"
        print(f"{kind:10} right {right:.1%}  {dict(named)}  rows to a finding of labels {middle}  {took}")


if __name__ == "__main__":
    main()
