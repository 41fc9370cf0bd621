import numpy as np

from sidecar.detectors.returning import STAYS_FOR, Returning
from sidecar.detectors.sequential import Sequential
from sidecar.stats.moments import Counts, Floats

EVEN = np.full(10, 0.1)
TILTED = np.linspace(0.06, 0.14, 10)
BATCH = 64


def rows(rng: np.random.Generator, shares: Floats, batches: int) -> list[Counts]:
    return list(rng.multinomial(BATCH, shares, size=(batches, 1)))


def following() -> Returning:
    returning = Returning(shape=(1, 10))
    returning.start(0, before=EVEN, after=TILTED, rows=100_000)
    return returning


def test_nothing_is_away_at_first() -> None:
    returning = Returning(shape=(2, 10))

    assert not returning.update(np.full((2, 10), 50)).any()
    assert not returning.away.any()


def test_a_feature_is_back_once_about_as_many_rows_say_so_as_the_divergence_asks_for() -> None:
    rng, needed = np.random.default_rng(1), []
    for _ in range(50):
        returning = following()
        needed.append(1 + next(i for i, c in enumerate(rows(rng, EVEN, 1000)) if returning.update(c).any()))

    divergence = float((EVEN * np.log(EVEN / TILTED)).sum())
    expected = np.log(STAYS_FOR) / divergence
    assert 0.7 * expected < np.median(needed) * BATCH < 1.3 * expected


def test_a_lasting_drift_is_seldom_taken_for_over() -> None:
    rng = np.random.default_rng(2)
    ended = 0
    for _ in range(20):
        returning = following()
        ended += any(returning.update(c).any() for c in rows(rng, TILTED, 300))

    assert ended <= 20 * 300 * BATCH / STAYS_FOR


def test_a_change_that_looked_greater_than_it_is_is_not_taken_for_over() -> None:
    """What alarms is lucky: the rows of the alarm say more than the change is."""
    rng = np.random.default_rng(6)
    ended = 0
    for _ in range(20):
        returning = Returning(shape=(1, 10))
        returning.start(0, before=EVEN, after=np.linspace(0.02, 0.18, 10), rows=60)
        ended += any(returning.update(counts).any() for counts in rows(rng, TILTED, 300))

    assert ended <= 8  # of 20, in 384,000 rows; all of them, were `after` not learned again


def test_a_feature_that_drifts_further_is_not_back() -> None:
    returning = following()

    assert not any(returning.update(c).any() for c in rows(np.random.default_rng(3), np.linspace(0.02, 0.18, 10), 100))


def test_the_others_are_left_alone() -> None:
    returning = Returning(shape=(2, 10))
    returning.start(1, before=EVEN, after=TILTED, rows=1000)
    back = [returning.update(np.full((2, 10), 50)).tolist() for _ in range(20)]

    assert [False, True] in back
    assert not any(first for first, _ in back)


def test_bins_that_nothing_falls_into_count_for_nothing() -> None:
    before, after = np.array([0.5, 0.5, 0.0]), np.array([0.9, 0.1, 0.0])
    returning = Returning(shape=(1, 3))
    returning.start(0, before=before, after=after, rows=50)

    assert np.isfinite(returning.log_ratios).all()
    assert returning.log_ratios[0, 2] == 0


def test_what_an_alarm_says_is_enough_to_see_the_end_of_its_change() -> None:
    rng = np.random.default_rng(4)
    reference = np.full((1, 10), 1000)
    detector = Sequential(reference=reference, ordered=reference > 0, used=reference > 0)
    returning = Returning(shape=(1, 10))
    changes = []
    for counts in rows(rng, np.linspace(0.04, 0.16, 10), 40):
        for change in detector.update(counts).changes:
            returning.start(change.feature, change.before, change.after, change.rows)
            changes.append(change)
    assert changes
    assert returning.away.all()
    assert any(returning.update(counts).any() for counts in rows(rng, EVEN, 40))
