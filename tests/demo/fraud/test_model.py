import csv
from pathlib import Path

import pytest

from sidecar.demo.fraud.model import TRAINING_ROWS, Trained, train, write_csv
from sidecar.demo.fraud.payments import FEATURES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Trained:
    return train(folder)


def test_the_model_is_better_than_one_that_never_finds_fraud(trained: Trained) -> None:
    assert len(trained.rows) == TRAINING_ROWS
    assert trained.fraud == pytest.approx(0.11, abs=0.02)
    assert trained.accuracy > 0.96 > 1 - trained.fraud


def test_the_saved_model_takes_named_columns_without_a_warning(trained: Trained, folder: Path) -> None:
    import joblib
    import pandas as pd

    table = pd.DataFrame(trained.rows[:5], columns=list(FEATURES))

    assert joblib.load(folder / "model.joblib").predict_proba(table).shape == (5, 2)


def test_the_training_payments_are_written_without_their_labels(trained: Trained, tmp_path: Path) -> None:
    write_csv(trained, tmp_path / "training.csv")

    with (tmp_path / "training.csv").open(newline="") as file:
        head, first, *others = csv.reader(file)
    assert tuple(head) == FEATURES
    assert first == [str(cell) for cell in trained.rows[0]]
    assert len(others) == TRAINING_ROWS - 1
