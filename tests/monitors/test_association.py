import numpy as np
import pytest

from sidecar.monitors.association import Association
from sidecar.monitors.placing import Rows
from sidecar.stats.moments import Flags

NAMES = ("amount", "age", "country", "hour", "score")
FEATURES = np.array([True, True, True, True, False])
COUNTRIES = np.array(["at", "de", "ch"])
PER = 1e5


def rows(rng: np.random.Generator, n: int, correlation: float = 0.0) -> Rows:
    """Normal features, of which the amount and the hour may go together; a text; a prediction."""
    values = rng.normal(size=(n, 5))
    values[:, 3] = correlation * values[:, 0] + np.sqrt(1 - correlation**2) * values[:, 3]
    values[:, 2] = np.nan
    return Rows(values, {2: COUNTRIES[rng.integers(0, 3, size=n)].tolist()})


def association(m: int = 3000) -> Association:
    return Association(NAMES, rows(np.random.default_rng(0), m), false_alarms_per=PER)


def judged(following: Association, batches: list[Rows]) -> int:
    """How many of the batches it had something against."""
    found = 0
    for batch in batches:
        following.judge([batch], FEATURES, lambda rows: 1e9 - rows)
        found += bool(following.carriers)
    return found


def test_a_changed_dependence_is_found_by_its_pair_and_ends_with_it() -> None:
    rng, following = np.random.default_rng(1), association()
    assert judged(following, [rows(rng, 256) for _ in range(20)]) == 0

    judged(following, [rows(rng, 256, 0.8) for _ in range(8)])
    first = following.carriers[0]
    assert first.name == "amount ~ hour"
    assert sum(carrier.share for carrier in following.carriers) == pytest.approx(1)
    assert first.sentence.startswith("correlation ")
    assert first.nats is not None
    assert first.needed_nats is not None
    assert first.nats >= first.needed_nats == pytest.approx(np.log(PER))
    assert first.since_s is not None
    assert 1e9 - 8 * 256 <= first.since_s < 1e9

    judged(following, [rows(rng, 256) for _ in range(20)])
    assert following.carriers == ()


def test_a_restart_changes_nothing() -> None:
    rng, one = np.random.default_rng(2), association()
    judged(one, [rows(rng, 200) for _ in range(10)])
    batches = [*(rows(rng, 200, 0.6) for _ in range(6)), *(rows(rng, 200) for _ in range(6))]
    for place, batch in enumerate(batches):
        other = association()
        other.restore({name: part.copy() for name, part in one.state().items()})
        for following in (one, other):
            judged(following, [batch])
        assert one.carriers == other.carriers, place
        assert all((one.state()[name] == part).all() for name, part in other.state().items())


def test_before_the_first_row_there_is_nothing_to_save() -> None:
    following = association()
    following.restore(association().state())

    assert following.carriers == ()
    assert judged(following, [rows(np.random.default_rng(3), 256)]) == 0


@pytest.mark.parametrize("present", [np.zeros(5, dtype=np.bool_), FEATURES])
def test_too_small_a_sample_and_rows_without_features_say_nothing(present: Flags) -> None:
    following = association(100)
    following.judge([rows(np.random.default_rng(4), 300, 0.9)], present, float)

    assert following.carriers == ()


def test_a_prediction_is_no_feature() -> None:
    rng, following = np.random.default_rng(5), association()
    batches = [rows(rng, 256) for _ in range(20)]
    for batch in batches:
        batch.values[:, 4] = batch.values[:, 0]

    assert judged(following, batches) == 0
