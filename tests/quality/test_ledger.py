from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.quality.ledger import MOST_PIECES, Ledger


def filled(times: Sequence[float], *, rows: int = 4, seconds: float = 100.0) -> Ledger:
    ledger = Ledger(rows=rows, seconds=seconds)
    for number, time_s in enumerate(times):
        ledger.add(np.array([time_s]), {"number": np.array([number])})
    return ledger


@given(st.lists(st.integers(0, 300).map(float), max_size=40), st.integers(1, 10))
def test_it_holds_the_latest_rows_in_the_order_of_their_time_however_they_came(times: list[float], rows: int) -> None:
    found, columns = filled(times, rows=rows).current(now_s=300.0)

    order = sorted(range(len(times)), key=lambda number: times[number])[-rows:]
    latest = [number for number in order if times[number] >= 200.0]
    assert sorted(found.tolist()) == sorted(times[number] for number in latest)
    assert [times[number] for number in columns.get("number", np.empty(0)).tolist()] == found.tolist()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.integers(1, 400))
def test_in_what_batches_rows_come_makes_no_difference(sizes: list[int], rows: int) -> None:
    times_s = np.random.default_rng(1).permutation(sum(sizes)).astype(np.float64)
    one, many = Ledger(rows=rows, seconds=100.0), Ledger(rows=rows, seconds=100.0)
    one.add(times_s, {"number": np.arange(len(times_s))})
    for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
        many.add(times_s[end - size : end], {"number": np.arange(end - size, end)})

    np.testing.assert_equal(many.current(1000.0), one.current(1000.0))
    np.testing.assert_equal(many.current(50.0), one.current(50.0))


def test_single_rows_are_put_together_now_and_then() -> None:
    ledger = filled([float(time) for time in range(3000)], rows=3000, seconds=1e9)

    assert len(ledger._pieces) <= MOST_PIECES
    assert ledger.current(3000.0)[1]["number"].tolist() == list(range(3000))


def test_before_the_first_row_there_is_nothing() -> None:
    ledger = Ledger(rows=4, seconds=1.0)
    ledger.add(np.empty(0), {"number": np.empty(0)})

    assert (len(ledger), ledger.current(0.0)[1]) == (0, {})
    assert list(ledger.state()) == ["times_s"]


def test_it_holds_no_more_of_what_it_was_given_than_its_rows() -> None:
    ledger = Ledger(rows=10, seconds=1e9)
    ledger.add(np.arange(1000.0), {"number": np.arange(1000)})

    assert [array.base for array in (*ledger.state().values(),)] == [None, None]


def test_what_is_too_old_now_is_left_out_though_nothing_newer_came() -> None:
    assert filled([10.0, 50.0], seconds=30.0).current(now_s=60.0)[0].tolist() == [50.0]
    assert filled([10.0, 50.0], seconds=30.0).current(now_s=90.0)[0].tolist() == []


def test_memory_is_bounded() -> None:
    assert len(filled([float(time) for time in range(1000)], seconds=1e9)) <= 5


def test_a_matrix_may_become_wider() -> None:
    ledger = Ledger(rows=10, seconds=1e9)
    ledger.add(np.array([1.0]), {"shares": np.array([[0.5, 0.5]])})
    ledger.add(np.array([2.0]), {"shares": np.array([[0.2, 0.3, 0.5]])})

    assert ledger.current(3.0)[1]["shares"].tolist() == [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]


def test_it_goes_on_from_its_state() -> None:
    ledger = filled([3.0, 1.0, 2.0])
    again = Ledger(rows=4, seconds=100.0)
    again.restore(ledger.state())

    np.testing.assert_equal(again.current(3.0), ledger.current(3.0))


def test_a_state_without_a_column_that_must_be_there_is_refused() -> None:
    ledger = Ledger(rows=4, seconds=100.0)
    ledger.restore({"times_s": np.empty(0)}, ("number",))

    with pytest.raises(KeyError, match="number"):
        ledger.restore({"times_s": np.array([1.0])}, ("number",))


def test_a_state_with_columns_of_different_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="of different lengths"):
        Ledger(rows=4, seconds=1.0).restore({"times_s": np.array([1.0]), "column.a": np.array([1, 2])})


def test_a_row_of_a_clock_that_was_ahead_does_not_leave_out_all_others() -> None:
    times, columns = filled([1000.0, 10.0, 20.0], seconds=30.0).current(now_s=30.0)

    assert times.tolist() == [10.0, 20.0, 1000.0]
    assert columns["number"].tolist() == [1, 2, 0]
