"""Whether the named cause is right, on simulated classifiers: `python -m tests.bench.relation [--runs 200]`.

A world has 10, 20 or 30 correlated features and a nonlinear truth with label noise; a model is trained on 5,000 rows of
it: a logistic regression, boosted trees, or a logistic regression that sees half of the features only. Its reference
has labels for 2,000 rows more. What then comes is compared once, at a fixed number of rows. The inputs are named where
a column's normal score is above INPUTS_Z; the relation, where that of loss or target is above RELATION_Z and the part
above TOLERANCE ("mean"), or where there are carriers of either ("carriers"). Of the z the median and the greatest are
told; of what is left beyond the expectation ("rest", its mean over the rows, without sign) the quantiles 5 and 95 %.
Seeds are fixed.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator, default_rng
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from sidecar.quality.carriers import Carrier
from sidecar.quality.relation import Decomposition, Labelled, Reference, decompose
from sidecar.quality.segments import Segment, segments
from sidecar.stats.moments import Counts, Floats
from tests.bench.table import print_table

TRAINED, REFERENCE = 5_000, 2_000
NOISE = 0.03
"""Of the labels, flipped."""

BINS, SCORE_BINS = 10, 20
INPUTS_Z, RELATION_Z, TOLERANCE = 5.0, 3.5, 0.02
RELATIONS = ("", "rotation", "region", "intercept")
INPUTS = ((0, 0.0), (1, 0.5), (1, 1.0), (3, 0.5), (3, 1.0))

Scenario = tuple[tuple[int, float], str]
"""How many inputs move, by how many standard deviations, and what becomes of the relation."""


@dataclass(frozen=True, slots=True)
class World:
    """Where rows come from: mixing of the features, and the logits of the truth."""

    mixing: Floats
    slopes: Floats
    pairs: Counts
    bends: Counts
    intercept: float
    region: tuple[int, int] | None = None

    @classmethod
    def drawn(cls, rng: Generator, k: int) -> "World":
        slopes = rng.normal(size=k) * (rng.random(k) < 0.6)
        signs = rng.choice([-1.0, 1.0], k)
        mixing = np.linalg.cholesky(0.7 * np.eye(k) + 0.3 * np.outer(signs, signs))
        return cls(
            np.asarray(mixing, dtype=np.float64),
            slopes / np.linalg.norm(slopes),
            rng.choice(k, (3, 2), replace=False),
            rng.choice(k, 2, replace=False),
            0.7 * rng.normal(),
        )

    def rows(self, rng: Generator, n: int, shift: Floats | float = 0.0) -> Floats:
        return np.asarray(rng.normal(size=(n, len(self.slopes))) @ self.mixing.T + shift, dtype=np.float64)

    def labels(self, rng: Generator, rows: Floats) -> Floats:
        crossed = (rows[:, self.pairs[:, 0]] * rows[:, self.pairs[:, 1]]).sum(axis=1)
        bent = 0.7 * np.sin(2 * rows[:, self.bends[0]]) + 0.8 * (rows[:, self.bends[1]] > 0.5)
        logits = 1.2 * (1.5 * rows @ self.slopes + 0.5 * crossed + bent + self.intercept)
        chances = NOISE + (1 - 2 * NOISE) / (1 + np.exp(-logits))
        if self.region is not None:
            first, second = self.region
            inside = (rows[:, first] > 0) & (rows[:, second] > 0)
            chances = np.where(inside, 1 - chances, chances)
        return np.asarray(rng.random(len(rows)) < chances, dtype=np.float64)

    def moved(self, rng: Generator, relation: str) -> "World":
        """With slopes turned by 75 degrees, the labels of a quarter of the rows turned round, or a logit moved by 1."""
        k = len(self.slopes)
        if relation == "rotation":
            other = rng.normal(size=k)
            other -= (other @ self.slopes) * self.slopes
            angle = np.radians(75)
            return replace(self, slopes=np.cos(angle) * self.slopes + np.sin(angle) * other / np.linalg.norm(other))
        if relation == "region":
            first, second = rng.choice(k, 2, replace=False)
            return replace(self, region=(int(first), int(second)))
        return replace(self, intercept=self.intercept + 1.0 / 1.2) if relation == "intercept" else self


@dataclass(frozen=True, slots=True)
class Model:
    """A trained classifier that sees the first `seen` features, and the edges that its rows are coded by."""

    fitted: LogisticRegression | HistGradientBoostingClassifier
    seen: int
    edges: tuple[Floats, ...] = ()

    def scores(self, rows: Floats) -> Floats:
        out: Floats = self.fitted.predict_proba(rows[:, : self.seen])[:, 1]
        return out

    def binned(self, rows: Floats) -> "Model":
        columns = [*rows.T, self.scores(rows)]
        sizes = [*[BINS] * rows.shape[1], SCORE_BINS]
        inner = [np.quantile(column, np.arange(1, size) / size) for column, size in zip(columns, sizes, strict=True)]
        return replace(self, edges=tuple(np.unique(edges) for edges in inner))

    def labelled(self, rows: Floats, labels: Floats) -> Labelled:
        scores = self.scores(rows)
        columns = zip(self.edges, [*rows.T, scores], strict=True)
        codes = np.stack([np.searchsorted(edges, column, side="right") for edges, column in columns], axis=1)
        return Labelled(codes, ((scores > 0.5) != labels).astype(np.float64), labels, np.ones(len(rows)))


def trained(kind: int, rows: Floats, labels: Floats) -> Model:
    k = rows.shape[1]
    if kind == 1:
        return Model(HistGradientBoostingClassifier(max_iter=60, max_depth=4).fit(rows, labels), k)
    seen = k if kind == 0 else k // 2
    return Model(LogisticRegression().fit(rows[:, :seen], labels), seen)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run of one scenario."""

    told: Decomposition
    loss_rest: float
    target_rest: float
    slices: tuple[Segment, ...]
    region: tuple[int, int] | None

    @property
    def inputs(self) -> bool:
        return bool(np.nanmax(self.told.moved) > INPUTS_Z)

    @property
    def mean(self) -> bool:
        parts = (self.told.loss.relation, self.told.target.relation)
        return any(abs(part.z) > RELATION_Z and abs(part.change) > TOLERANCE for part in parts)

    @property
    def carriers(self) -> list[Carrier]:
        """Of loss and target, the clearest first."""
        both = [*self.told.loss.carriers, *self.told.target.carriers]
        return sorted(both, key=lambda carrier: -carrier.z)

    @property
    def relation(self) -> bool:
        return self.mean or bool(self.carriers)

    @property
    def located(self) -> bool:
        """Whether the first slice is one of the region's columns."""
        return bool(self.slices and self.region and set(self.slices[0].columns) & set(self.region))

    @property
    def carried(self) -> bool:
        """Whether one of the region's columns is among the first two carriers."""
        return bool(self.region and {carrier.column for carrier in self.carriers[:2]} & set(self.region))


def run(seed: int, n: int, scenarios: Sequence[Scenario]) -> list[Outcome]:
    """Scenarios with one world and one model."""
    rng = default_rng(seed)
    k = (10, 20, 30)[seed % 3]
    world = World.drawn(rng, k)
    rows = world.rows(rng, TRAINED)
    model = trained(seed // 3 % 3, rows, world.labels(rng, rows))
    rows = world.rows(rng, REFERENCE)
    model = model.binned(rows)
    reference = Reference.learn(model.labelled(rows, world.labels(rng, rows)))
    return [outcome(rng, world, model, reference, scenario, n) for scenario in scenarios]


def outcome(rng: Generator, world: World, model: Model, reference: Reference, scenario: Scenario, n: int) -> Outcome:
    (moving, deviations), relation = scenario
    k = len(world.slopes)
    shift = np.zeros(k)
    shift[rng.choice(k, moving, replace=False)] = deviations * rng.choice([-1.0, 1.0], moving)
    changed = world.moved(rng, relation)
    rows = changed.rows(rng, n, shift)
    current = model.labelled(rows, changed.labels(rng, rows))
    slices = segments(reference.rows, current, outputs=1)
    loss_rest = float((current.loss - reference.loss(current.codes)).mean())
    target_rest = float((current.target - reference.target(current.codes)).mean())
    return Outcome(decompose(reference, current, outputs=1), loss_rest, target_rest, slices, changed.region)


def rate(flags: Sequence[bool]) -> str:
    return f"{100 * np.mean(flags):.1f} %"


HEADS = (
    *("moved", "inputs", "mean", "carriers", "right", "z loss", "z target", "rest of loss", "rest of target"),
    *("overlap", "slices", "slice right", "carrier right"),
)


def line(scenario: Scenario, those: Sequence[Outcome]) -> list[str]:
    (moving, deviations), relation = scenario
    right = [each.inputs == (moving > 0) and each.relation == bool(relation) for each in those]
    z = [[abs(part.z) for part in (each.told.loss.relation, each.told.target.relation)] for each in those]
    rest = np.abs([[each.loss_rest, each.target_rest] for each in those])
    return [
        " + ".join(word for word in (f"{moving} by {deviations:g} sd" if moving else "", relation) if word)
        or "nothing",
        rate([each.inputs for each in those]),
        rate([each.mean for each in those]),
        rate([bool(each.carriers) for each in those]),
        rate(right),
        *[f"{np.median(column):.1f} / {np.max(column):.1f}" for column in np.transpose(z)],
        *["/".join(f"{q:.3f}"[1:] for q in np.quantile(column, (0.05, 0.95))) for column in rest.T],
        f"{np.mean([each.told.overlap for each in those]):.2f}",
        rate([bool(each.slices) for each in those]),
        rate([each.located for each in those]) if relation == "region" else "",
        rate([each.carried for each in those]) if relation == "region" else "",
    ]


def report(n: int, scenarios: Sequence[Scenario], outcomes: Sequence[Sequence[Outcome]]) -> None:
    lines = [line(scenario, those) for scenario, those in zip(scenarios, zip(*outcomes, strict=True), strict=True)]
    print_table(f"{len(outcomes)} runs, {REFERENCE} reference rows, {n} rows now", HEADS, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 2_000])
    parser.add_argument("--relations", nargs="*", choices=RELATIONS, default=RELATIONS)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    scenarios = [(inputs, relation) for inputs in INPUTS for relation in options.relations]
    for n in options.rows:
        started_s = time.perf_counter()
        report(n, scenarios, [run(options.first + seed, n, scenarios) for seed in range(options.runs)])
        print(f"{time.perf_counter() - started_s:.0f} s")


if __name__ == "__main__":
    main()
