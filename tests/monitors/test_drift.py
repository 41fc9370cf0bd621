from collections.abc import Sequence

import numpy as np
import pytest

from sidecar.monitors.drift import LEVELS, SLOTS, Drift, Moments
from sidecar.monitors.faults import Batches
from sidecar.records import Carrier, Table
from sidecar.reference.binning import BINS, Bins, bins_of
from sidecar.reference.profile import Profiles
from sidecar.stats.keeping import Array
from tests.monitors.rig import NAN, nothing, of, reference_of

TEXTS = ("at", "de", "ch", None)
COLUMNS = ("a", "b", "word", "score")


def sample(rng: np.random.Generator, rows: int, shift: float = 0.0, word: Sequence[str | None] | None = None) -> Table:
    """Two numbers and a text, of which the first may be shifted by so many standard deviations."""
    values = np.column_stack([rng.normal(size=(rows, 2)), np.full(rows, NAN)])
    values[:, 0] += shift
    chosen = word or [TEXTS[each] for each in rng.integers(0, 4, size=rows)]
    return of(values, "a", "b", "word", texts={2: chosen})


def scores(rng: np.random.Generator, rows: int, shift: float = 0.0) -> Table:
    return of(rng.normal(size=rows) + shift, "score")


def bins_from_rows(rows: int) -> Bins:
    """Of three features and a prediction."""
    rng = np.random.default_rng(0)
    features, predictions = sample(rng, rows), scores(rng, rows)
    values = np.hstack([features.values, predictions.values])
    return bins_of(reference_of(of(values, *COLUMNS, texts=features.texts)).profiles)


FOUR = bins_from_rows(5000)


def trained(bins: Bins = FOUR) -> Drift:
    return Drift(bins, false_alarms_per=1e6, tolerance=0.005)


def fed(drift: Drift, features: Table, predictions: Table | None = None, now_s: float = 1.0) -> None:
    rows = len(features.values)
    counted, whole = drift.count(features, nothing(rows) if predictions is None else predictions)
    drift.judge(counted, Batches(drift._bins, [whole]), now_s)


def names(drift: Drift) -> list[str]:
    return [each.name for subject in ("features", "predictions") for each in drift.carriers(subject)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def drift() -> Drift:
    return trained()


def test_rows_like_the_reference_are_no_drift(drift: Drift, rng: np.random.Generator) -> None:
    for _ in range(50):
        fed(drift, sample(rng, 100), scores(rng, 100))

    assert names(drift) == []
    assert drift.evidence is not None
    assert (drift.evidence.nats < 16).all()


def test_what_has_changed_is_named_with_when_and_by_how_much(drift: Drift, rng: np.random.Generator) -> None:
    for batch in range(20):
        fed(drift, sample(rng, 100, shift=1.0 if batch >= 10 else 0.0), scores(rng, 100), now_s=1000.0 + batch)

    (carrier,) = drift.carriers("features")
    assert (carrier.name, carrier.share) == ("a", 1.0)
    assert carrier.nats is not None
    assert carrier.needed_nats is not None
    assert carrier.nats >= carrier.needed_nats == pytest.approx(np.log(4e6))
    assert carrier.since_s is not None
    assert 1008.0 <= carrier.since_s <= 1010.0
    assert carrier.statistic > carrier.threshold
    assert carrier.sentence.startswith("above ")


def test_features_and_predictions_are_told_apart(drift: Drift, rng: np.random.Generator) -> None:
    for _ in range(20):
        fed(drift, sample(rng, 100, shift=1.0), scores(rng, 100, shift=1.0))

    assert [each.name for each in drift.carriers("features")] == ["a"]
    assert [each.name for each in drift.carriers("predictions")] == ["score"]
    assert [drift.subject(column) for column in range(4)] == ["features", "features", "features", "predictions"]


def test_the_shares_of_what_carries_a_drift_add_up_to_one_the_greatest_first(
    drift: Drift, rng: np.random.Generator
) -> None:
    for _ in range(20):
        features = sample(rng, 100, shift=2.0, word=["at"] * 50 + ["de"] * 50)
        features.values[:, 1] += 0.7
        fed(drift, of(features.values, "a", "b", "word", texts=features.texts))

    carriers = drift.carriers("features")
    assert carriers[0].name == "a"
    assert {each.name for each in carriers} == {"a", "b", "word"}
    assert sum(each.share for each in carriers) == pytest.approx(1.0)
    assert [each.share for each in carriers] == sorted((each.share for each in carriers), reverse=True)
    assert min(each.share for each in carriers) > 0


def test_what_is_back_is_no_drift_any_more(drift: Drift, rng: np.random.Generator) -> None:
    for _ in range(20):
        fed(drift, sample(rng, 100, shift=1.0))
    assert names(drift) == ["a"]

    for _ in range(10):
        fed(drift, sample(rng, 100))
    assert names(drift) == []


def test_a_lasting_drift_alarms_again_and_keeps_its_beginning(drift: Drift, rng: np.random.Generator) -> None:
    told: list[Carrier] = []
    for batch in range(60):
        fed(drift, sample(rng, 100, shift=0.0 if batch < 5 else 1.0), now_s=float(batch))
        told += drift.carriers("features")

    assert len({each.nats for each in told}) > 3
    assert len({each.since_s for each in told}) == 1
    assert told[-1].rows > 4000
    assert [each.rows for each in told] == sorted(each.rows for each in told)


def test_a_column_is_missing_once_it_has_been_there(drift: Drift, rng: np.random.Generator) -> None:
    def without_b(rows: int) -> Table:
        return of(rng.normal(size=rows), "a")

    for _ in range(20):
        fed(drift, without_b(100))
    assert names(drift) == []
    assert drift.seen.tolist() == [True, False, False, False]

    fed(drift, of(rng.normal(size=(100, 2)), "b", "a"))
    for _ in range(20):
        fed(drift, without_b(100))
    (carrier,) = drift.carriers("features")
    assert (carrier.name, carrier.sentence) == ("b", "without a number: 0 % → 100 %")


def test_replies_that_cannot_be_read_say_nothing_of_predictions(drift: Drift, rng: np.random.Generator) -> None:
    for batch in range(60):
        fed(drift, sample(rng, 100), scores(rng, 100) if batch % 3 else None)

    assert names(drift) == []
    assert drift.sequential.state.seen.sum(axis=1).tolist() == [6000, 6000, 6000, 4000]


def test_a_prediction_that_stays_out_of_readable_replies_is_missing(drift: Drift, rng: np.random.Generator) -> None:
    fed(drift, sample(rng, 100), scores(rng, 100))
    for _ in range(20):
        fed(drift, sample(rng, 100), of(rng.normal(size=100), "another"))

    assert [each.sentence for each in drift.carriers("predictions")] == ["without a number: 0 % → 100 %"]


def test_a_change_of_predictions_is_dated_by_the_replies_that_could_be_read(
    drift: Drift, rng: np.random.Generator
) -> None:
    for batch in range(200):
        readable = scores(rng, 100, shift=1.0 if batch >= 100 else 0.0) if batch % 10 == 0 else None
        fed(drift, sample(rng, 100), readable, now_s=float(batch))

    (carrier,) = drift.carriers("predictions")
    assert carrier.since_s is not None
    assert 85 <= carrier.since_s <= 105


def test_the_order_of_columns_does_not_matter(rng: np.random.Generator) -> None:
    one, other = trained(), trained()
    for _ in range(10):
        features, predictions = sample(rng, 64, shift=0.5), scores(rng, 64)
        order = [2, 0, 1]
        turned = of(features.values[:, order], "word", "a", "b", texts={0: features.texts[2]})
        fed(one, features, predictions)
        fed(other, turned, predictions)

    assert one.evidence is not None
    assert other.evidence is not None
    np.testing.assert_array_equal(one.evidence.nats, other.evidence.nats)
    assert one.drifting == other.drifting


def test_texts_among_numbers_are_missing_numbers(drift: Drift, rng: np.random.Generator) -> None:
    texts: list[str | None] = ["n/a"] * 50 + [None] * 50
    for _ in range(10):
        features = sample(rng, 100)
        features.values[:50, 1] = NAN
        fed(drift, of(features.values, "a", "b", "word", texts={1: texts, 2: features.texts[2]}))

    assert [(each.name, each.sentence[:19]) for each in drift.carriers("features")] == [("b", "without a number: 0")]


def test_numbers_among_texts_are_new(drift: Drift, rng: np.random.Generator) -> None:
    for _ in range(10):
        features = sample(rng, 100)
        features.values[:, 2] = 7.0
        fed(drift, of(features.values, "a", "b", "word"))

    assert [(each.name, each.sentence) for each in drift.carriers("features")] == [("word", "new texts: 0 % → 100 %")]


def test_new_categories_are_found(drift: Drift, rng: np.random.Generator) -> None:
    for _ in range(20):
        fed(drift, sample(rng, 100, word=["at", "de", "ch", None] * 20 + ["fr"] * 20))

    assert [(each.name, each.sentence[:9]) for each in drift.carriers("features")] == [("word", "new texts")]


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinities_are_counted_with_the_outermost_numbers(
    drift: Drift, rng: np.random.Generator, infinity: float
) -> None:
    for _ in range(10):
        features = sample(rng, 100)
        features.values[::2, 1] = infinity
        fed(drift, features)

    (carrier,) = drift.carriers("features")
    assert carrier.name == "b"
    assert np.isfinite([carrier.share, carrier.statistic]).all()


def test_rows_may_come_one_by_one(drift: Drift, rng: np.random.Generator) -> None:
    for batch in range(600):
        fed(drift, sample(rng, 1, shift=1.0 if batch >= 300 else 0.0), scores(rng, 1), now_s=float(batch))

    (carrier,) = drift.carriers("features")
    assert carrier.name == "a"
    assert carrier.since_s is not None
    assert 270 <= carrier.since_s <= 330


def test_no_rows_change_nothing(drift: Drift, rng: np.random.Generator) -> None:
    fed(drift, sample(rng, 100), scores(rng, 100))
    assert drift.evidence is not None
    before = drift.evidence.nats
    fed(drift, sample(rng, 0, word=[]), nothing(0))

    np.testing.assert_allclose(drift.evidence.nats, before)


def test_constant_and_empty_features_are_followed() -> None:
    reference = reference_of(of(np.tile([7.0, NAN], (500, 1)), "constant", "empty"))
    drift = trained(bins_of(reference.profiles))
    steady, moved = (of(np.tile([each, NAN], (100, 1)), "constant", "empty") for each in (7.0, 8.0))
    for _ in range(20):
        fed(drift, steady)
    assert names(drift) == []

    for _ in range(5):
        fed(drift, moved)
    assert [(each.name, each.sentence) for each in drift.carriers("features")] == [
        ("constant", "above 7: 0.01 % → 100 %")
    ]


def test_there_may_be_no_features() -> None:
    drift = trained(bins_of(Profiles(0, ())))
    counted, _ = drift.count(of(np.zeros(3), "x"), nothing(3))

    assert counted.counts.shape == (0, BINS + 1)


def test_another_variant_begins_anew(drift: Drift, rng: np.random.Generator) -> None:
    fed(drift, sample(rng, 100, shift=1.0), scores(rng, 100))
    other, fresh = drift.anew(), trained()

    for each in (other, fresh):
        fed(each, sample(np.random.default_rng(7), 100))
    assert other.evidence is not None
    assert fresh.evidence is not None
    np.testing.assert_array_equal(other.evidence.nats, fresh.evidence.nats)
    assert other.seen.tolist() == [True, True, True, False]
    assert drift.answered.tolist() == [False, False, False, True]


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_after_a_restart_it_goes_on_as_without(rng: np.random.Generator, shift: float) -> None:
    one, other = trained(), trained()
    for batch in range(15):
        fed(one, sample(rng, 64, shift=shift), scores(rng, 64), now_s=float(batch))
    other.restore({name: array.copy() for name, array in one.state().items()})
    assert other.drifting == one.drifting
    assert bool(other.drifting) == bool(shift)

    for batch in range(15, 40):
        features, predictions = sample(rng, 64, shift=shift if batch < 30 else 0.0), scores(rng, 64)
        for each in (one, other):
            fed(each, features, predictions, now_s=float(batch))
        assert one.evidence is not None
        assert other.evidence is not None
        np.testing.assert_array_equal(one.evidence.nats, other.evidence.nats)
        assert one.carriers("features") == other.carriers("features")
    assert one.drifting == {}


@pytest.mark.parametrize("name", sorted(trained().state()))
def test_a_state_that_is_not_whole_or_of_another_shape_is_refused(name: str) -> None:
    state = trained().state()

    with pytest.raises(KeyError):
        trained().restore({each: array for each, array in state.items() if each != name})
    wrong: Array = np.array(["x"])
    with pytest.raises(ValueError):  # noqa: PT011  (of many kinds)
        trained().restore({**state, name: wrong})


def moments(batches: int, rows: int = 10) -> Moments:
    """Of a batch every second, from 1 on."""
    found = Moments()
    for second in range(1, batches + 1):
        found.add(rows, float(second))
    return found


def test_moments_tell_when_the_last_rows_began_to_come() -> None:
    found = moments(5)

    assert [found.ago_s(rows) for rows in (1, 10, 11, 20, 40, 50)] == [4.0, 4.0, 3.0, 3.0, 1.0, 1.0]
    assert found.ago_s(1000) == 1.0


def test_rows_began_to_come_when_it_is_told_and_not_when_those_before_them_had_come() -> None:
    found = Moments()
    found.add(10, 2.0, since_s=1.0)
    found.add(10, 9.0, since_s=8.0)

    assert [found.ago_s(rows) for rows in (10, 11, 20)] == [8.0, 1.0, 1.0]


def test_moments_are_bounded_and_the_older_the_coarser() -> None:
    batches = 20_000
    found = moments(batches)

    assert sum(map(len, found.marks)) <= LEVELS * SLOTS
    ages = np.unique(np.geomspace(1, batches - 1, 100).astype(int))
    told = np.array([batches - found.ago_s(10 * int(age)) for age in ages])
    assert (told[ages <= SLOTS] == ages[ages <= SLOTS]).all()
    assert (told >= ages).all()
    assert (told < ages * (1 + 2 / SLOTS) + 1).all()


def test_moments_hold_the_detector_s_checkpoints() -> None:
    drift, rng = trained(), np.random.default_rng(3)
    for batch in range(1, 301):
        fed(drift, sample(rng, 3), now_s=float(batch))

    state = drift.sequential.state
    since = np.unique(state.seen[0].sum() - state.marks[:, :, 0].sum(axis=2))
    assert [drift.moments.ago_s(rows) for rows in since.tolist() if rows] == [
        max(1.0, 300 - rows / 3) for rows in since.tolist() if rows
    ]


def test_empty_batches_are_moments_too() -> None:
    found = Moments()
    for rows, now_s in ((5, 1.0), (0, 2.0), (5, 3.0)):
        found.add(rows, now_s)

    assert found.ago_s(5) == 2.0
