from itertools import islice

import numpy as np
import pytest

from sidecar.demo.fraud.payments import (
    CATEGORIES,
    CHUNK_ROWS,
    COUNTRIES,
    DAY,
    FEATURES,
    SMALL_EUR,
    TEXTS,
    Payments,
    Stream,
    drawn,
    probabilities,
    rows,
)

MANY = 100_000


@pytest.fixture(scope="module")
def payments() -> Payments:
    return drawn(np.random.default_rng(0), MANY)


def stream(seed: int = 1) -> Stream:
    return Stream(np.random.default_rng(seed))


def test_payments_are_what_payments_can_be(payments: Payments) -> None:
    assert (payments.amount > 0).all()
    assert set(payments.hour.tolist()) <= set(map(float, range(24)))
    assert set(payments.country.tolist()) == set(COUNTRIES)
    assert set(payments.category.tolist()) == set(CATEGORIES)
    assert set(payments.chip.tolist()) == {0.0, 1.0}
    assert min(payments.device_days.min(), payments.payments_day.min(), payments.distance_km.min()) >= 0


def test_as_many_payments_are_fraud_after_the_change_as_before(payments: Payments) -> None:
    before, after = (float(probabilities(payments, changed=each).mean()) for each in (False, True))

    assert before == pytest.approx(0.11, abs=0.005)
    assert after == pytest.approx(before, abs=0.005)


def test_probabilities_are_such(payments: Payments) -> None:
    for changed in (False, True):
        chances = probabilities(payments, changed=changed)
        assert chances.min() > 0
        assert chances.max() < 1


def test_after_the_change_small_payments_with_a_chip_by_day_are_fraud_and_the_usual_ones_hardly(
    payments: Payments,
) -> None:
    before, after = (probabilities(payments, changed=each) for each in (False, True))
    by_day = (payments.hour >= DAY[0]) & (payments.hour < DAY[1])
    small = (payments.amount < SMALL_EUR) & (payments.chip == 1) & by_day

    assert before[small].max() < 0.2
    assert after[small].min() > 0.7
    assert before[~small & (before > 0.8)].mean() > 0.9
    assert after[~small & (before > 0.8)].max() < 0.25


def test_the_change_does_nothing_to_the_payments() -> None:
    usual, changed = stream(), stream()
    changed.changed = True

    one, other = ([payment.cells for payment in islice(each, CHUNK_ROWS)] for each in (usual, changed))

    assert one == other


def test_fraud_is_drawn_as_often_as_its_probability_says() -> None:
    usual, changed = stream(), stream()
    changed.changed = True

    shares = [np.mean([payment.fraud for payment in islice(each, 5000)]) for each in (usual, changed)]

    assert shares == pytest.approx([0.11, 0.11], abs=0.02)  # four standard deviations


def test_a_payment_is_plain_numbers_and_texts() -> None:
    payment = next(stream())

    assert [isinstance(cell, str) for cell in payment.cells] == [name in TEXTS for name in FEATURES]
    assert {type(cell) for cell in payment.cells} == {float, str}
    assert payment.fraud in {0, 1}


def test_the_same_seed_draws_the_same_payments() -> None:
    assert list(islice(stream(), 600)) == list(islice(stream(), 600))
    assert list(islice(stream(), 600)) != list(islice(stream(2), 600))


def test_what_is_drawn_is_counted() -> None:
    payments = stream()
    for _ in range(CHUNK_ROWS + 1):
        next(payments)

    assert payments.drawn == CHUNK_ROWS + 1


def test_rows_are_the_columns_by_payment() -> None:
    payments = drawn(np.random.default_rng(0), 3)

    assert [row[0] for row in rows(payments)] == payments.amount.tolist()
    assert len(rows(payments)) == 3
