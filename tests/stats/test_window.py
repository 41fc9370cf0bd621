import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.stats.window import Window

RNG = np.random.default_rng(17)
NAN = np.nan


def window(
    *, rows: int = 100, panes: int = 10, seconds: float = 1000.0, max_features: int = 8, max_categories: int = 10
) -> Window:
    return Window(rows=rows, panes=panes, seconds=seconds, max_features=max_features, max_categories=max_categories)


def feed(into: Window, *batches: list[float], every_s: float = 0.0) -> None:
    for number, batch in enumerate(batches):
        into.update(("x",), np.array(batch)[:, None], {}, number * every_s)


def test_an_empty_window_is_nan_not_zero() -> None:
    empty = window()
    empty.update(("x", "y"), np.empty((0, 2)), {}, 0.0)

    for summary in (empty.snapshot().lifetime(), empty.snapshot().current(0.0)):
        assert (summary.rows, summary.names, summary.mean.tolist()) == (0, (), [])


def test_rows_add_up_over_batches() -> None:
    values = RNG.normal(size=(60, 2))
    rolling = window()

    for batch in np.array_split(values, 7):
        rolling.update(("a", "b"), batch, {}, 0.0)

    for summary in (rolling.snapshot().lifetime(), rolling.snapshot().current(0.0)):
        assert summary.rows == 60
        np.testing.assert_allclose(summary.mean, values.mean(axis=0))
        np.testing.assert_allclose(summary.std, values.std(axis=0))


def test_the_current_window_holds_the_latest_rows_and_the_lifetime_all() -> None:
    rolling = window(rows=6, panes=3)

    feed(rolling, *([float(n)] * 2 for n in range(5)))

    assert rolling.snapshot().current(0.0).rows == 6
    assert rolling.snapshot().current(0.0).minimum.tolist() == [2.0]
    assert rolling.snapshot().lifetime().rows == 10
    assert rolling.snapshot().lifetime().minimum.tolist() == [0.0]


@pytest.mark.parametrize("later", [1, 500])
def test_a_snapshot_does_not_change_with_what_comes_later(later: int) -> None:
    rolling = window(rows=60, panes=3)
    seen = [RNG.normal(size=(4, 2)) for _ in range(9)]
    for batch in seen:
        rolling.update(("a", "b"), batch, {1: ["x", "y", None, "x"]}, 0.0)

    snapshot = rolling.snapshot()
    for _ in range(later):
        rolling.update(("a", "b", "c"), np.full((4, 3), -9e9), {1: ["z"] * 4}, 0.0)

    for summary in (snapshot.lifetime(), snapshot.current(0.0)):
        assert (summary.names, summary.rows, summary.count.tolist()) == (("a", "b"), 36, [36, 36])
        np.testing.assert_allclose(summary.mean, np.concatenate(seen).mean(axis=0))
        assert summary.histogram.sum(axis=1).tolist() == [36, 36]
        assert summary.texts[1].top == (("x", 18), ("y", 9))


def test_the_open_pane_makes_room_when_it_takes_its_first_row() -> None:
    rolling = window(rows=6, panes=3)

    feed(rolling, *([float(n)] * 2 for n in range(3)), [3.0])

    assert rolling.snapshot().current(0.0).rows == 5
    assert rolling.snapshot().current(0.0).minimum.tolist() == [1.0]


def test_a_batch_larger_than_a_pane_stays_whole() -> None:
    rolling = window(rows=6, panes=3)

    feed(rolling, [1.0] * 50, [2.0])

    assert rolling.snapshot().current(0.0).rows == 51


def test_a_window_of_one_pane_starts_anew_when_it_is_full() -> None:
    rolling = window(rows=2, panes=1)

    feed(rolling, [1.0, 2.0])
    full = rolling.snapshot().current(0.0)
    feed(rolling, [3.0])

    assert [full.maximum[0], full.rows] == [2.0, 2]


def test_a_full_pane_is_shown_until_the_window_moves_on() -> None:
    rolling = window(rows=3, panes=3)

    feed(rolling, [1.0], [2.0], [3.0])

    assert rolling.snapshot().current(0.0).rows == 3


def test_no_row_is_older_than_the_window() -> None:
    rolling = window(rows=1000, panes=5, seconds=10.0)

    feed(rolling, [1.0], [2.0], [3.0], [4.0], every_s=4.0)

    assert rolling.snapshot().current(12.0).minimum.tolist() == [2.0]
    assert rolling.snapshot().current(14.0).minimum.tolist() == [2.0]
    assert rolling.snapshot().current(19.0).minimum.tolist() == [4.0]
    assert rolling.snapshot().current(23.0).rows == 0
    assert np.isnan(rolling.snapshot().current(23.0).mean).all()
    assert rolling.snapshot().lifetime().rows == 4


def test_an_old_pane_takes_no_more_rows() -> None:
    rolling = window(rows=1000, panes=5, seconds=10.0)

    feed(rolling, [1.0], [2.0], every_s=2.0)

    assert rolling.snapshot().current(10.5).minimum.tolist() == [2.0]


def test_columns_are_matched_by_name() -> None:
    rolling = window()

    rolling.update(("a", "b"), np.array([[1.0, 10.0]]), {}, 0.0)
    rolling.update(("b", "a"), np.array([[20.0, 3.0]]), {}, 0.0)

    assert rolling.snapshot().lifetime().names == ("a", "b")
    assert rolling.snapshot().lifetime().mean.tolist() == [2.0, 15.0]


def test_rows_without_a_column_miss_it_before_and_after_it_was_known() -> None:
    rolling = window(rows=2, panes=2)

    rolling.update(("a",), np.array([[1.0]]), {}, 0.0)
    rolling.update(("a", "b"), np.array([[1.0, 2.0]]), {}, 0.0)
    rolling.update(("c",), np.array([[5.0]]), {}, 0.0)
    rolling.update((), np.empty((1, 0)), {}, 0.0)

    assert rolling.snapshot().lifetime().names == ("a", "b", "c")
    assert rolling.snapshot().lifetime().rows == 4
    assert rolling.snapshot().lifetime().missing.tolist() == [2, 3, 3]
    assert rolling.snapshot().lifetime().mean.tolist() == [1.0, 2.0, 5.0]
    assert rolling.snapshot().current(0.0).missing.tolist() == [2, 2, 1]


def test_names_beyond_the_limit_are_ignored_and_counted() -> None:
    rolling = window(max_features=2)

    for _ in range(3):
        rolling.update(("a", "b", "c", "d"), np.array([[1.0, 2.0, 3.0, 4.0]]), {2: ["no"], 0: ["yes"]}, 0.0)

    summary = rolling.snapshot().lifetime()
    assert rolling.folded == 6
    assert summary.names == ("a", "b")
    assert summary.mean.tolist() == [1.0, 2.0]
    assert list(summary.texts) == [0]


def test_a_name_that_repeats_in_a_batch_counts_once() -> None:
    rolling = window()

    rolling.update(("a", "a", "b"), np.array([[1.0, 9.0, 2.0]]), {}, 0.0)

    assert rolling.folded == 1
    assert rolling.snapshot().lifetime().mean.tolist() == [1.0, 2.0]


def test_texts_follow_their_column() -> None:
    rolling = window(rows=1, panes=2)

    rolling.update(("a", "b"), np.array([[1.0, NAN]]), {1: ["red"]}, 0.0)
    rolling.update(("b", "a"), np.array([[NAN, 2.0], [7.0, NAN]]), {0: ["blue", None]}, 0.0)
    rolling.update(("b", "a"), np.array([[NAN, 2.0]]), {0: ["blue"]}, 0.0)

    lifetime, current = rolling.snapshot().lifetime(), rolling.snapshot().current(0.0)
    assert lifetime.texts[1].top == (("blue", 2), ("red", 1))
    assert current.texts[1].top == (("blue", 2),)
    assert lifetime.missing.tolist() == [1, 0]
    assert lifetime.count.tolist() == [3, 1]


@given(st.lists(st.tuples(st.integers(1, 7), st.floats(0, 30)), max_size=30))
def test_every_row_is_in_the_lifetime_and_only_late_ones_in_the_window(steps: list[tuple[int, float]]) -> None:
    rolling = window(rows=20, panes=4, seconds=50.0)
    now_s, seen = 0.0, 0
    for n, pause_s in steps:
        now_s += pause_s
        rolling.update(("t",), np.full((n, 1), now_s), {}, now_s)
        seen += n
        current = rolling.snapshot().current(now_s)
        assert rolling.snapshot().lifetime().rows == seen
        assert n <= current.rows <= 4 * (5 + 6)
        assert current.minimum[0] >= now_s - 50.0


def test_a_fraud_stream_s_window_takes_less_than_a_megabyte() -> None:
    names = tuple(f"f{i}" for i in range(30))
    batches = [RNG.lognormal(size=(200, 30)) for _ in range(4)]
    window().update(names[:8], batches[0][:, :8], {}, 0.0)
    tracemalloc.start()
    rolling = window(rows=2000, panes=10, max_features=30)

    for number in range(12):
        rolling.update(names, batches[number % 4], {}, 0.0)

    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rolling.snapshot().current(0.0).rows == 2000
    assert held < 1_000_000


@pytest.mark.parametrize("value", [1e300, -1e-300, 1.7e308, np.inf, NAN])
def test_no_number_makes_a_warning(value: float) -> None:
    rolling = window(rows=2, panes=2)

    feed(rolling, [value, 1.0], [-value], [0.0, value], [value])

    assert rolling.snapshot().lifetime().rows == 6
    assert rolling.snapshot().current(0.0).rows == 3


def test_the_spread_is_that_of_all_rows_since_the_start() -> None:
    rolling = window(rows=10, panes=2)
    feed(rolling, *[[float(row), -1.0, 0.0, NAN, np.inf] for row in range(1, 40)])

    spread, lifetime = rolling.snapshot().spread(), rolling.snapshot().lifetime()

    assert spread.names == lifetime.names
    assert spread.total.tolist() == [pytest.approx(sum(range(1, 40)) - 39)]
    assert spread.buckets.total().tolist() == lifetime.count.tolist() == [3 * 39]
    assert spread.buckets.counts.tolist() == lifetime.exponential.counts.tolist()


def test_a_sum_beyond_all_floats_is_infinite() -> None:
    rolling = window()
    feed(rolling, [1e308, 1e308])

    assert rolling.snapshot().spread().total.tolist() == [np.inf]
