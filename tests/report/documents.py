"""Reports to be shown: made by the live parts, so that their figures fit each other."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from sidecar.admin.bias import bias
from sidecar.admin.drift import drift
from sidecar.admin.quality import quality
from sidecar.monitors.bias import Bias
from sidecar.monitors.data import Data, WindowSize
from sidecar.monitors.quality import Quality
from sidecar.monitors.training import Bound
from sidecar.records import JSON, Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.report.telling.document import Document, Variant, plain
from tests.admin.rig import Sidecar
from tests.instruments.rig import AMOUNT, GENDER, comparing, grading, labelled

NAMES = ("amount", "country", "age", "tenure")
HOSTILE = "</script><img src=x onerror=alert(1)>|`@all\u202e*x*"
BEGAN_S = 1_795_000_000.0
HOUR_S = 3600.0
SLICES = 48
ROWS = 250
"""Of a slice."""


def rows(count: int, seed: int, *, shift: float = 0.0, names: Sequence[str] = NAMES) -> Table:
    """An amount that may have moved, a country, an age, and a tenure of a few whole numbers."""
    chance = np.random.default_rng(seed)
    values = np.full((count, 4), np.nan)
    values[:, 0] = np.exp(chance.normal(4 + shift, 0.8, size=count))
    values[:, 2] = chance.integers(18, 90, size=count)
    values[:, 3] = chance.poisson(3, size=count)
    shares = (0.5, 0.3, 0.15, 0.05) if not shift else (0.3, 0.2, 0.15, 0.35)
    texts = chance.choice(np.array(["de", "at", "ch", "br"], dtype=object), size=count, p=shares)
    return Table(tuple(names), values, {1: texts.tolist()})


def reference(names: Sequence[str] = NAMES) -> Reference:
    learner = Learner()
    learner.update(rows(10_000, 0, names=names))
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles))


def variant(name: str = "champion", *, moved: bool = True, names: Sequence[str] = NAMES) -> Variant:
    """Two days of rows; where it has moved, since the second of them."""
    detectors = Data(window=WindowSize(rows=ROWS, panes=1), dependence=False)
    following = detectors.follow(reference(names))
    slices: dict[str, dict[str, list[JSON]]] = {"psi": {each: [] for each in names}}
    evidence: dict[str, list[JSON]] = {each: [] for each in names}
    for hour in range(SLICES):
        came = rows(ROWS, hour + 1, shift=0.7 if moved and hour >= SLICES // 2 else 0.0, names=names)
        following.count(name, "3", came, Table((), np.empty((ROWS, 0))))
        following.judge(BEGAN_S + hour * HOUR_S)
        for column in following.columns(name):
            slices["psi"][column.name].append(column.statistics["psi"].statistic)
            evidence[column.name].append(column.nats)
    (told,) = drift(following)["variants"]
    broken = {
        "feature": names[1],
        "check": "categorical_values_check",
        "value": 0.9,
        "limit": 1.0,
        "description": "90.00% of the texts are in the domain, expected at least 100.00%; new: 'br'",
        "subject": "features",
        "rows": SLICES * ROWS,
    }
    made: Variant = plain(
        {
            "name": name,
            "versions": ["3"],
            "rows": SLICES * ROWS,
            "requests": SLICES * ROWS * 10.0,
            "first_s": BEGAN_S,
            "last_s": BEGAN_S + SLICES * HOUR_S - 1,
            "drift": told,
            "slices": {
                "times_s": [BEGAN_S + hour * HOUR_S for hour in range(SLICES)],
                "rows": [ROWS] * SLICES,
                "statistics": slices,
                "evidence_nats": evidence,
            },
            "columns": [_facts(each, place) for place, each in enumerate(names)],
            "violations": [broken] if moved else [],
            "findings": told["findings"],
            "past": [],
            "undated": 0,
        }
    )
    return made


def _facts(name: str, place: int) -> JSON:
    number = place != 1
    return {
        "name": name,
        "subject": "features",
        "kind": "Fractional" if number else "String",
        "rows": SLICES * ROWS,
        "missing": 17 * place,
        "mean": 70.25 if number else None,
        "std": 31.5 if number else None,
        "minimum": 0.5 if number else None,
        "maximum": 1234.5 if number else None,
        "zero_ratio": 0.0,
        "negative_ratio": 0.0,
    }


@cache
def judged() -> tuple[JSON, JSON]:
    """What `/v1/quality` and `/v1/bias` answer of a model that has become worse."""
    options = Quality(reference_rows=200, alert_when={"accuracy": Bound(below=0.95)})
    graded = grading(labelled(200), labelled(1000, wrong=0.5), options=options)
    compared = comparing(labelled(600), options=Bias(facets=(AMOUNT, GENDER), allowed={"DPPL": (-0.2, 0.2)}))
    return plain(quality(Sidecar().judge(graded, None))), plain(bias(Sidecar().judge(None, compared), compared))


def history() -> JSON:
    """Scores of the champion that fall, at ten looks."""
    falling = [0.9, 0.9, None, *(0.9 - 0.05 * look for look in range(7))]
    scores = {"auc": falling, "accuracy": falling, "recall": falling}
    version = {"name": "champion", "version": "3", "rows": list(range(0, 1000, 100)), "scores": scores}
    return {"times_s": [BEGAN_S + look * HOUR_S for look in range(10)], "versions": [version], "findings": []}


def document(*variants: Variant, labels: bool = False) -> Document:
    """A report of these."""
    found = [
        {
            "variant": each["name"],
            "monitor": "data",
            "check": "sequential",
            "subject": "features",
            "sentence": sentence,
            "cause": "inputs",
            "reason": "inputs moved; without labels nobody can tell whether the relation has moved too",
            "since_s": BEGAN_S + SLICES // 2 * HOUR_S,
        }
        for each in variants
        for sentence in each["findings"]
    ]
    of_labels = judged() if labels else (None, None)
    made: Document = plain(
        {
            "made_s": BEGAN_S + 100 * HOUR_S,
            "sidecar": "0.1.0",
            "command": "sidecar report captures/ --reference reference/ -o report.html",
            "seconds": 12.25,
            "engine": "duckdb 2.0.0",
            "every_s": HOUR_S,
            "settings": {"monitors": [{"kind": "data"}], "model": {"task": "binary" if labels else None}},
            "inputs": {
                "sources": ["captures/"],
                "files": 48,
                "rows": sum(each["rows"] for each in variants),
                "skipped": {"json": 3},
            },
            "reference": {"path": "reference/", "rows": 10_000, "features": 4},
            "variants": list(variants),
            "quality": of_labels[0],
            "bias": of_labels[1],
            "history": history() if labels else None,
            "findings": found,
            "violated": bool(found) or any(each["violations"] for each in variants) or labels,
        }
    )
    return made
