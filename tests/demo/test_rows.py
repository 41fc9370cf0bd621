import csv
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from sidecar.demo.client import Request
from sidecar.demo.model import Trained
from sidecar.demo.rows import SHIFTED, Drawn, again, write_csv

FEATURES = ("mean radius", *SHIFTED)
TRAINED = Trained(
    features=FEATURES,
    training=[[10.0, 1.0, 0.1, 0.0], [20.0, 3.0, 0.2, 0.5], [30.0, 5.0, 0.3, 0.1]],
    rows=[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]],
    accuracy=1.0,
)


def values(request: Request) -> list[float]:
    return [column["data"][0] for column in json.loads(request.body)["inputs"]]


def drawn(count: int, *, shifted: bool, seed: int = 1) -> list[list[float]]:
    rows = Drawn(TRAINED, np.random.default_rng(seed))
    rows.shifted = shifted
    return [values(request) for request in islice(rows, count)]


def test_rows_that_were_kept_back_come_again() -> None:
    assert [values(request) for request in islice(again(TRAINED), 5)] == [*TRAINED.rows, *TRAINED.rows, TRAINED.rows[0]]


def test_usual_rows_are_those_of_the_training_whole_and_equally_often() -> None:
    rows = drawn(3000, shifted=False)

    shares = [rows.count(list(row)) / len(rows) for row in TRAINED.training]
    assert sum(shares) == 1
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)  # four standard deviations


def test_a_shift_adds_a_standard_deviation_to_the_shifted_features_and_nothing_to_others() -> None:
    usual, shifted = drawn(50, shifted=False), drawn(50, shifted=True)

    steps = np.array(shifted) - np.array(usual)
    deviations = np.std(TRAINED.training, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to([0.0, *deviations[1:]], steps.shape), atol=1e-12)
    assert Drawn(TRAINED, np.random.default_rng(1)).steps == pytest.approx(
        dict(zip(SHIFTED, deviations[1:], strict=True))
    )


def test_the_same_chance_draws_the_same_rows() -> None:
    assert drawn(20, shifted=False) == drawn(20, shifted=False)
    assert drawn(20, shifted=False) != drawn(20, shifted=False, seed=2)


def test_what_is_drawn_is_counted() -> None:
    rows = Drawn(TRAINED, np.random.default_rng(0))
    for _ in range(3):
        next(rows)

    assert rows.drawn == 3


def test_the_training_rows_are_written_as_they_are(tmp_path: Path) -> None:
    write_csv(TRAINED, tmp_path / "training.csv")

    with (tmp_path / "training.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == FEATURES
    assert [[float(cell) for cell in row] for row in rows] == TRAINED.training
