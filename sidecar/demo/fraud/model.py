"""The demo's model of card fraud: boosted trees, trained on payments whose labels are all known."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sidecar.demo.fraud.payments import FEATURES, TEXTS, Cell, drawn, probabilities, rows

NAME = "card-fraud"
TRAINING_ROWS, KEPT_BACK_ROWS = 6000, 4000
TREES = 60
SEED = 0
"""Of the payments to train on."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of the training.

    Args:
        rows: Payments that the model has seen, by payment.
        fraud: The share of fraud among them.
        accuracy: The share of others, kept back, of which it is right.
    """

    rows: Sequence[tuple[Cell, ...]]
    fraud: float
    accuracy: float


def train(folder: Path) -> Trained:
    """Train the model, and leave it in `folder` as MLServer wants it."""
    import joblib
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(SEED)
    payments = drawn(rng, TRAINING_ROWS + KEPT_BACK_ROWS)
    fraud = (rng.random(TRAINING_ROWS + KEPT_BACK_ROWS) < probabilities(payments, changed=False)).astype(np.int64)
    table = pd.DataFrame(payments._asdict())
    # Texts tell it nothing that numbers do not, and to code them takes longer than all else: the sidecar watches them.
    numbers = make_column_transformer(("passthrough", [name for name in FEATURES if name not in TEXTS]))
    model = make_pipeline(numbers, GradientBoostingClassifier(n_estimators=TREES, random_state=SEED))
    model.fit(table[:TRAINING_ROWS], fraud[:TRAINING_ROWS])
    joblib.dump(model, folder / "model.joblib")
    return Trained(
        rows=rows(payments)[:TRAINING_ROWS],
        fraud=float(fraud[:TRAINING_ROWS].mean()),
        accuracy=float(model.score(table[TRAINING_ROWS:], fraud[TRAINING_ROWS:])),
    )


def write_csv(trained: Trained, file: Path) -> None:
    """Write the payments that the model was trained on, without their labels: requests do not carry them."""
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([FEATURES, *trained.rows])
