from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.stats.categories import MAX_KEY, Categories, Texts


def texts_of(*batches: Sequence[str | None], limit: int = 10) -> Texts:
    categories = Categories(limit)
    for batch in batches:
        categories.update(batch)
    return categories.texts()


def test_counts_lengths_and_order_by_hand() -> None:
    texts = texts_of(["red", "blue", None, "red"], ["blue", "red", ""])

    assert texts.rows == 6
    assert texts.distinct == 3
    assert texts.top == (("red", 3), ("blue", 2), ("", 1))
    assert texts.other == 0
    assert (texts.length_min, texts.length_max) == (0, 4)
    assert texts.length_mean == pytest.approx(17 / 6)


@pytest.mark.parametrize("batches", [[], [[]], [[None, None]]])
def test_lengths_without_texts_are_nan_not_zero(batches: list[list[str | None]]) -> None:
    texts = texts_of(*batches)

    assert (texts.rows, texts.distinct, texts.top) == (0, 0, ())
    assert np.isnan([texts.length_min, texts.length_mean, texts.length_max]).all()


def test_beyond_the_limit_the_rarest_are_folded_and_every_row_stays_counted() -> None:
    texts = texts_of(["a"] * 5 + ["b", "c", "c", "d"], limit=2)

    assert texts.top == (("a", 5), ("c", 2))
    assert texts.other == 2
    assert texts.distinct == 4


def test_a_frequent_text_that_comes_late_displaces_rare_ones() -> None:
    texts = texts_of([f"once {i}" for i in range(50)], ["late"] * 9, limit=3)

    assert texts.top[0] == ("late", 9)
    assert sum(count for _, count in texts.top) + texts.other == 59


def test_distinct_beyond_the_limit_is_within_five_standard_errors() -> None:
    starts = range(0, 20_000, 400)

    texts = texts_of(*([f"user {i}" for i in range(start, start + 500)] for start in starts))

    assert texts.distinct == pytest.approx(20_100, rel=5 * 0.016)
    assert len(texts.top) == 10


def test_texts_that_differ_only_behind_the_bound_are_one_category() -> None:
    texts = texts_of(["x" * MAX_KEY + "1", "x" * MAX_KEY + "2", "y"])

    assert texts.top == (("x" * MAX_KEY, 2), ("y", 1))
    assert texts.length_max == MAX_KEY + 1


def test_texts_that_utf8_cannot_spell_are_counted() -> None:
    texts = texts_of(["\ud800", "b", "\udfff"], ["\ud800", "c"], limit=1)

    assert texts.top == (("\ud800", 2),)
    assert texts.distinct == 4


columns = st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=20)


@given(columns, columns)
def test_merging_equals_having_seen_all_rows(one: list[str | None], two: list[str | None]) -> None:
    left, right = Categories(100), Categories(100)
    left.update(one)
    right.update(two)
    expected = Counter(text for text in one + two if text is not None)

    left.merge(right)

    merged, together = left.texts(), texts_of(one, two, limit=100)
    assert Counter(dict(merged.top)) == expected
    np.testing.assert_equal(
        (merged.rows, merged.distinct, merged.other, merged.length_min, merged.length_mean, merged.length_max),
        (
            together.rows,
            together.distinct,
            together.other,
            together.length_min,
            together.length_mean,
            together.length_max,
        ),
    )


@pytest.mark.parametrize(("ours", "theirs"), [(5, 3000), (3000, 5), (3000, 3000)])
def test_merging_what_was_folded_estimates_the_union(ours: int, theirs: int) -> None:
    left, right = Categories(10), Categories(10)
    left.update([f"key {i}" for i in range(ours)])
    right.update([f"key {i}" for i in range(2000, 2000 + theirs)])
    union = len({*range(ours), *range(2000, 2000 + theirs)})

    left.merge(right)

    texts = left.texts()
    assert texts.rows == ours + theirs
    assert sum(count for _, count in texts.top) + texts.other == ours + theirs
    assert texts.distinct == pytest.approx(union, rel=5 * 0.016)


def test_merging_does_not_change_what_is_merged() -> None:
    left, right = Categories(2), Categories(2)
    left.update(["a", "b", "c", "d"])
    right.update(["e", "f", "g"])
    before = right.texts()

    left.merge(right)
    left.update(["h", "h"])

    assert right.texts() == before
