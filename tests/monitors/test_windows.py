import numpy as np
import pytest

from sidecar.detectors.divergence import PopulationStability
from sidecar.detectors.kolmogorov_smirnov import KolmogorovSmirnov
from sidecar.detectors.mean_shift import MeanShift
from sidecar.monitors.windows import Windows
from sidecar.ports import Detector
from sidecar.reference.binning import bins_of
from sidecar.reference.profile import Profiles
from sidecar.stats.keeping import Array
from sidecar.stats.tally import Counted
from tests.detectors.rig import bins_from
from tests.monitors.rig import NAN

RNG = np.random.default_rng(2)
BINS = bins_from(RNG.normal(size=(5000, 2)))
DETECTORS: dict[str, Detector] = {"psi": PopulationStability(), "mean_shift": MeanShift()}


def windows(rows: int = 100, panes: int = 4, **detectors: Detector) -> Windows:
    return Windows(BINS, detectors or DETECTORS, rows=rows, panes=panes)


def batch(rows: int, shift: float = 0.0) -> Counted:
    return BINS.count(RNG.normal((shift, 0.0), size=(rows, 2)), {})


def added(windows: Windows, *rows: int, shift: float = 0.0) -> list[bool]:
    """Whether each batch made a window whole."""
    return [windows.add(batch(each, shift), each) for each in rows]


def test_nothing_is_said_before_a_window_is_whole() -> None:
    rolling = windows()

    assert added(rolling, 25, 25, 25, 24) == [False] * 4
    assert (rolling.current, dict(rolling.comparisons)) == (None, {})


def test_a_window_is_judged_each_time_a_pane_is_full() -> None:
    rolling = windows()

    assert added(rolling, 25, 25, 25, 25, 10, 15, 25) == [False, False, False, True, False, True, True]
    assert rolling.current is not None
    assert rolling.current.n.tolist() == [100, 100]


def test_a_window_holds_the_latest_rows_alone() -> None:
    rolling = windows(panes=2)
    added(rolling, 50, 50, shift=9.0)
    drifted = rolling.comparisons
    added(rolling, 50, 50)

    assert {name: each.drifted.tolist() for name, each in drifted.items()} == {
        "psi": [True, False],
        "mean_shift": [True, False],
    }
    assert [each.drifted.tolist() for each in rolling.comparisons.values()] == [[False, False]] * 2


def test_rows_that_come_at_once_stay_together() -> None:
    rolling = windows(rows=100, panes=2)

    assert added(rolling, 300, 300) == [False, True]
    assert rolling.current is not None
    assert rolling.current.n.tolist() == [600, 600]


@pytest.mark.parametrize(("rows", "panes"), [(10, 1), (10, 3), (19, 10), (15, 10), (100, 100)])
def test_a_window_has_at_least_as_many_rows_as_are_asked_for(rows: int, panes: int) -> None:
    rolling = windows(rows, panes)
    whole = added(rolling, *[1] * (2 * rows))

    assert rolling.current is not None
    assert whole.index(True) + 1 >= rows
    assert rolling.current.n[0] >= rows


def test_a_window_is_the_sum_of_its_panes() -> None:
    rolling = windows(rows=90, panes=3)
    values = RNG.normal(size=(90, 2))
    values[::7, 0] = NAN
    for start in range(0, 90, 10):
        rolling.add(BINS.count(values[start : start + 10], {}), 10)

    expected = BINS.tally(BINS.count(values, {}))
    assert rolling.current is not None
    np.testing.assert_array_equal(rolling.current.counts, expected.counts)
    np.testing.assert_array_equal(rolling.current.missing, expected.missing)
    np.testing.assert_allclose(rolling.current.sums, expected.sums)
    np.testing.assert_allclose(
        rolling.comparisons["psi"].statistic,
        PopulationStability().check(BINS.reference_tally, expected).statistic,
    )


def test_what_was_not_counted_is_not_compared() -> None:
    """Predictions of replies that could not be read: no row of the column, not even a missing one."""
    rolling = windows(rows=50, panes=1, ks=KolmogorovSmirnov())
    counted = batch(50)
    counted.counts[1] = 0
    rolling.add(counted, 50)

    assert np.isnan(rolling.comparisons["ks"].statistic).tolist() == [False, True]
    assert not rolling.comparisons["ks"].drifted[1]


def test_numbers_too_large_to_be_added_do_no_harm() -> None:
    rolling = windows(rows=20, panes=2)
    for _ in range(2):
        rolling.add(BINS.count(np.full((10, 2), 1.7e308), {}), 10)

    assert rolling.comparisons["psi"].drifted.all()


def test_rows_may_be_taken_for_a_whole_window_whatever_their_number() -> None:
    few = windows(rows=1000)
    rows = batch(7)
    few.compare(rows)

    assert few.current is not None
    assert few.current.counts.tolist() == rows.counts[:, :-1].tolist()
    assert set(few.comparisons) == set(DETECTORS)


def test_there_may_be_no_features() -> None:
    bins = bins_of(Profiles(0, ()))
    rolling = Windows(bins, DETECTORS, rows=10, panes=1)

    assert rolling.add(bins.count(np.empty((10, 0)), {}), 10)
    assert rolling.current is not None
    assert rolling.current.counts.shape[0] == 0


@pytest.mark.parametrize("before", [(), (10,), (25, 25), (25, 25, 25, 25), (25,) * 7 + (3,)])
def test_after_a_restart_it_goes_on_as_without(before: tuple[int, ...]) -> None:
    one, other = windows(), windows()
    added(one, *before, shift=0.5)
    other.restore(one.state())

    for _ in range(6):
        rows = batch(20)
        assert one.add(rows, 20) == other.add(rows, 20)
        assert (one.current is None) == (other.current is None)
        for name, comparison in one.comparisons.items():
            np.testing.assert_array_equal(comparison.statistic, other.comparisons[name].statistic)


def test_a_whole_window_is_known_again_after_a_restart() -> None:
    one, other = windows(), windows()
    added(one, 25, 25, 25, 25, 10)
    other.restore(one.state())

    assert list(other.comparisons) == list(DETECTORS)
    np.testing.assert_array_equal(one.comparisons["psi"].statistic, other.comparisons["psi"].statistic)


def stolen(name: str, value: Array) -> dict[str, Array]:
    rolling = windows()
    added(rolling, 25, 10)
    return {**rolling.state(), name: value}


@pytest.mark.parametrize(
    "state",
    [
        stolen("counts", np.zeros((2, 3, 21), dtype=np.int64)),
        stolen("counts", np.zeros((0, 2, 21), dtype=np.int64)),
        stolen("counts", np.zeros(2, dtype=np.int64)),
        stolen("sums", np.zeros((2, 2, 20))),
        {"counts": np.zeros((6, 2, 21), dtype=np.int64), "sums": np.zeros((6, 2, 21)), "rows": np.array(1)},
    ],
)
def test_a_state_of_another_shape_is_refused(state: dict[str, Array]) -> None:
    with pytest.raises(ValueError, match="panes of another shape"):
        windows().restore(state)


def test_a_state_with_a_part_missing_is_refused() -> None:
    state = windows().state()
    del state["sums"]

    with pytest.raises(KeyError, match="sums"):
        windows().restore(state)
