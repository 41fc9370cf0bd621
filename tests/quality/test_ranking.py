import numpy as np
import pytest

from sidecar.quality.attribution import Attributions, ndcg
from sidecar.quality.ranking import MAX_CELLS, RESAMPLES, Ranking, rank
from sidecar.stats.moments import Floats

NAMES = ("a", "b", "c", "d")
SEED = 0


def panes(scales: Floats, *, rows: int = 20, seed: int = 0, count: int = 50) -> list[Attributions]:
    rng = np.random.default_rng(seed)
    names = tuple(f"f{place}" for place in range(len(scales)))
    return [Attributions.of(names, scales * rng.normal(size=(rows, len(scales))), np.ones(rows)) for _ in range(count)]


def ranked(reference: dict[str, float] | list[Attributions], current: list[Attributions]) -> Ranking:
    return rank(reference, current, np.random.default_rng(SEED))


SCALES = np.array([8.0, 4.0, 2.0, 1.0, 0.5])


def test_a_ranking_that_holds_scores_1_and_one_that_is_turned_round_is_below_its_interval_of_chance() -> None:
    same, turned = ranked(panes(SCALES), panes(SCALES, seed=1)), ranked(panes(SCALES), panes(SCALES[::-1], seed=1))

    assert (same.ndcg, same.low, same.high, same.by_chance) == (1.0, 1.0, 1.0, 1.0)
    assert turned.high < 0.7 < turned.by_chance
    assert turned.low <= turned.ndcg <= turned.high


def test_the_score_is_that_of_the_means_of_all_panes() -> None:
    found = ranked(panes(SCALES), panes(SCALES[::-1], seed=1))
    assert found.ndcg == ndcg(found.reference, found.current)


def test_a_stated_reference_has_no_chance_of_its_own() -> None:
    found = ranked({"f0": 0.7, "f1": 0.5, "f2": 0.05}, panes(np.array([0.1, 0.2, 0.7])))
    assert found.ndcg == pytest.approx(0.6876, abs=1e-4)
    assert (found.low, found.high, found.by_chance) == (found.ndcg, found.ndcg, 1.0)


def test_where_a_few_rows_have_most_of_the_attribution_chance_explains_a_low_score() -> None:
    """The interval alone would not: a resample is not more like the reference than the window is."""
    rng = np.random.default_rng(4)
    names = tuple(f"f{place}" for place in range(30))
    heavy = [Attributions.of(names, np.exp(3 * rng.normal(size=(4, 30))), np.ones(4)) for _ in range(100)]

    found = ranked(heavy[:50], heavy[50:])

    assert found.ndcg < 0.9
    assert found.ndcg > found.by_chance


def test_features_that_only_one_side_has_are_compared() -> None:
    mine = [Attributions.of(("a", "b"), np.array([[2.0, 1.0]]), np.ones(1))] * 3
    other = [Attributions.of(("b", "new"), np.array([[1.0, 5.0]]), np.ones(1))] * 3

    found = ranked(mine, other)

    assert {each.name: each.ranks for each in found.moved()} == {"a": (1, 3), "new": (3, 1)}
    assert sum(each.share for each in found.moved()) == pytest.approx(1)


def test_what_moved_is_told_with_its_ranks_and_attributions() -> None:
    found = Ranking(0.5, 0.4, 0.6, 0.9, {"a": 0.31, "b": 0.2, "c": 0.1}, {"a": 0.05, "b": 0.2, "c": 0.1, "d": 0.0})

    moved = found.moved()

    assert [(each.name, each.ranks) for each in moved] == [("a", (1, 3)), ("b", (2, 1)), ("c", (3, 2))]
    assert moved[0].attributions == (0.31, 0.05)
    assert ranked({"a": 1.0}, panes(np.ones(1))).moved() != []


@pytest.mark.parametrize("values", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_without_any_attribution_nothing_is_known(values: Floats) -> None:
    nothing = [Attributions.of(("a", "b"), values, np.ones(5))] * 4

    found = ranked(nothing, nothing)

    assert np.isnan([found.ndcg, found.low, found.high]).all()
    assert found.moved() == []


def test_attributions_of_any_size_and_weight_are_scored() -> None:
    values = np.array([[1.7e308, 1e-300, 1.0]] * 10)
    large = [Attributions.of(("a", "b", "c"), values, np.full(10, 1e6))] * 50

    found = ranked(large, large)

    assert (found.ndcg, found.low, found.high) == (1.0, 1.0, 1.0)


def test_many_features_are_scored_in_parts() -> None:
    scales = np.arange(1.0, 2001.0)
    assert MAX_CELLS // len(scales) < RESAMPLES
    found = ranked({f"f{place}": scale for place, scale in enumerate(scales)}, panes(scales, count=3, rows=50))
    assert 0.95 < found.low <= found.high <= 1


def test_the_same_chance_gives_the_same_interval() -> None:
    one, two = (ranked(panes(SCALES, rows=1), panes(SCALES[[1, 0, 2, 3, 4]], seed=1, rows=1)) for _ in range(2))
    assert one == two
    assert one.low < one.high
