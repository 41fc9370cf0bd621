import numpy as np
import pytest

from sidecar.monitors.data import Data
from sidecar.monitors.learning import LEAST_ROWS, Learning
from sidecar.records import Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from tests.monitors.rig import NAN, nothing, of

RNG = np.random.default_rng(3)


def rows(count: int) -> Table:
    return of(RNG.normal(size=(count, 2)), "a", "b")


def scores(count: int) -> Table:
    return of(RNG.normal(size=count), "score")


def learning(enough: int | None = None, seconds: float | None = None, variant: str | None = None) -> Learning:
    return Learning(rows=enough, seconds=seconds, variant=variant)


def fed(learning: Learning, *batches: tuple[float, int], variant: str = "champion") -> list[bool]:
    """Whether it was done after each batch: a moment and so many rows."""
    done = []
    for now_s, count in batches:
        learning.count(variant, "3", rows(count), scores(count))
        learning.judge(now_s)
        done.append(learning.done)
    return done


def test_it_is_done_with_enough_rows_and_takes_no_more() -> None:
    learned = learning(500)

    assert fed(learned, (1.0, 499), (2.0, 1), (3.0, 100)) == [False, True, True]
    assert learned.profiles().rows == learned.learner.rows == 500


def test_it_is_done_after_a_time_that_begins_with_the_first_rows() -> None:
    learned = learning(seconds=60.0)
    learned.judge(0.0)

    assert fed(learned, (100.0, LEAST_ROWS), (159.0, 1), (160.0, 1)) == [False, False, True]


def test_after_its_time_it_waits_for_the_least_that_tells_anything() -> None:
    assert fed(learning(seconds=60.0), (0.0, 10), (70.0, LEAST_ROWS - 11), (80.0, 1)) == [False, False, True]


def test_of_rows_and_time_what_comes_first_ends_it() -> None:
    assert fed(learning(200, 60.0), (0.0, 150), (1.0, 50)) == [False, True]
    assert fed(learning(1000, 60.0), (0.0, 150), (61.0, 1)) == [False, True]


def test_nothing_is_learned_before_it_is_judged() -> None:
    learned = learning(1)
    learned.count("champion", "3", rows(5), nothing(5))

    assert (learned.done, learned.profiles().rows, learned.profiles().features) == (False, 0, [])


def test_it_learns_from_one_variant_where_one_is_named() -> None:
    learned = learning(100, variant="champion")

    assert fed(learned, (0.0, 100), variant="challenger") == [False]
    assert fed(learned, (0.0, 100)) == [True]
    assert learned.profiles().rows == 100


def test_features_and_predictions_are_learned_the_features_first() -> None:
    learned = learning(100)
    fed(learned, (0.0, 100))

    assert [(each.name, each.present) for each in learned.profiles().features] == [
        ("a", 100),
        ("b", 100),
        ("score", 100),
    ]


def test_a_prediction_that_is_called_as_a_feature_is_left_out() -> None:
    learned = learning(100)
    answered = of(np.array([[7.0, NAN]]), "b", "word", texts={1: ["yes"]})
    learned.count("champion", "3", of(np.array([[1.0, 2.0]]), "a", "b"), answered)
    learned.judge(0.0)

    features = learned.profiles().features
    assert [each.name for each in features] == ["a", "b", "word"]
    assert features[1].numbers is not None
    assert features[1].numbers.mean == 2.0
    assert features[2].categories is not None
    assert features[2].categories.counts == {"yes": 1}


def test_replies_that_cannot_be_read_teach_nothing_of_predictions() -> None:
    learned = learning(300)
    for predictions in (nothing(100), scores(100), nothing(100)):
        learned.count("champion", "3", rows(100), predictions)
    learned.judge(0.0)

    a, _, score = learned.profiles().features
    assert (a.present, a.missing) == (300, 0)
    assert (score.present, score.missing, score.completeness) == (100, 0, 1.0)


@pytest.mark.parametrize("readable", [1.0, 0.5])
def test_what_was_learned_with_unreadable_replies_finds_nothing_in_traffic_without(readable: float) -> None:
    learned = learning(2000)
    for _ in range(20):
        learned.count("champion", "3", rows(100), scores(100) if RNG.random() < readable else nothing(100))
    learned.judge(0.0)
    profiles = learned.profiles()
    following = Data().follow(Reference(profiles, suggested(profiles)))

    for _ in range(10):
        following.count("champion", "3", rows(100), scores(100))
        following.judge(1.0)

    assert following.findings == []
    assert [column.seen for column in following.columns("champion")] == [True, True, True]
