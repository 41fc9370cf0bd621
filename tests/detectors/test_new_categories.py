import numpy as np
import pytest

from sidecar.detectors.new_categories import NewCategories
from sidecar.records import Comparison
from sidecar.reference.binning import bins_of
from sidecar.reference.profile import Categories, Profile, Profiles
from tests.detectors.rig import bins_from

NAN = np.nan


def check(past: list[str | None], now: list[str | None], threshold: float = 0.01) -> Comparison:
    bins = bins_from(np.full((len(past), 1), NAN), {0: past})
    return NewCategories(threshold=threshold).check(
        bins.reference_tally, bins.tally(bins.count(np.full((len(now), 1), NAN), {0: now}))
    )


@pytest.mark.parametrize(
    ("now", "share"),
    [
        (["a", "b", "z", "z"], 0.5),
        (["a", "b", "z", None], 1 / 3),
        (["a", "b"], 0.0),
        (["z"], 1.0),
        (["", "A"], 1.0),
        ([None, None], NAN),
        ([], NAN),
    ],
)
def test_the_share_of_texts_never_seen_is_told(now: list[str | None], share: float) -> None:
    found = check(["a", "a", "b", None], now)

    np.testing.assert_allclose(found.statistic, [share])
    assert found.drifted.tolist() == [share > 0.01]


def test_a_rare_text_is_not_new() -> None:
    past: list[str | None] = [f"t{row % 30}" for row in range(900)]

    np.testing.assert_allclose(check(past, ["t29", "t30", "t3", "t4"]).statistic, [0.25])


def test_above_the_threshold_is_drift() -> None:
    assert check(["a"], ["a", "z"], threshold=0.5).drifted.tolist() == [False]
    assert check(["a"], ["z", "z", "a"], threshold=0.5).drifted.tolist() == [True]


def test_numbers_and_unlisted_texts_have_no_verdict() -> None:
    unlisted = Profile("b", "String", 9, 0, categories=Categories(50.0, {"x": 5}))
    number = bins_from(np.arange(9.0)[:, None])
    for bins in (number, bins_of(Profiles(9, [unlisted]))):
        found = NewCategories().check(bins.reference_tally, bins.reference_tally)

        assert np.isnan(found.statistic).all()
        assert not found.drifted.any()


def test_without_drift_it_is_the_share_of_texts_that_came_once() -> None:
    """Good's estimate of what a sample has missed."""
    rng = np.random.default_rng(31)
    shares = 1 / np.arange(1, 301) ** 1.5
    texts = np.array([f"t{code}" for code in range(300)])
    told, once = [], []
    for _ in range(40):
        past, now = (rng.choice(texts, size, p=shares / shares.sum()) for size in (1000, 500))
        told.append(check(past.tolist(), now.tolist()).statistic[0])
        once.append((np.unique(past, return_counts=True)[1] == 1).mean() * len(np.unique(past)) / len(past))
    assert np.mean(told) == pytest.approx(np.mean(once), rel=0.15)
