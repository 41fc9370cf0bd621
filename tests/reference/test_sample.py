import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng
from scipy import stats

from sidecar.errors import ConfigError
from sidecar.records import Table
from sidecar.reference import sample
from sidecar.reference.sample import Reservoir, parse_sample, write_sample
from sidecar.stats.categories import MAX_KEY

NAN = np.nan


def numbered(rows: range) -> Table:
    """Every cell of a row says which row it is."""
    return Table(
        ("x", "t"), np.array([[row, NAN] for row in rows], dtype=float).reshape(-1, 2), {1: list(map(str, rows))}
    )


def taken(reservoir: Reservoir, total: int, batch: int) -> list[int]:
    for start in range(0, total, batch):
        reservoir.update(numbered(range(start, min(total, start + batch))))
    kept = reservoir.sample()
    assert [str(int(x)) for x in kept.values[:, 0]] == list(kept.texts[1])
    return list(map(int, kept.values[:, 0]))


@pytest.mark.parametrize(("batch", "runs"), [(1, 30), (7, 150), (40, 400)])
def test_every_row_is_as_likely_as_any_other(batch: int, runs: int) -> None:
    rng, counts = default_rng(1), np.zeros(40)
    for _ in range(runs):
        rows = taken(Reservoir(10, rng), 40, batch)
        assert len(set(rows)) == 10
        counts[rows] += 1
    assert stats.chisquare(counts).pvalue > 0.001


def test_fewer_rows_than_asked_for_are_all_kept() -> None:
    assert taken(Reservoir(100, default_rng(2)), 30, 8) == list(range(30))


def test_the_same_seed_keeps_the_same_rows() -> None:
    assert taken(Reservoir(5, default_rng(3)), 90, 20) == taken(Reservoir(5, default_rng(3)), 90, 20)


def test_columns_may_come_late_and_in_any_order() -> None:
    reservoir = Reservoir(10, default_rng(4))
    reservoir.update(Table(("a",), np.array([[1.0], [2.0]])))
    reservoir.update(Table(("b", "a"), np.array([[NAN, 3.0]]), {0: ["x"]}))
    reservoir.update(Table(("a", "b"), np.array([[4.0, 5.0]])))

    kept = reservoir.sample()

    assert kept.names == ("a", "b")
    np.testing.assert_array_equal(kept.values, [[1, NAN], [2, NAN], [3, NAN], [4, 5]])
    assert dict(kept.texts) == {1: (None, None, "x", None)}


def test_a_row_that_goes_takes_its_texts_along() -> None:
    reservoir = Reservoir(1, default_rng(5))
    reservoir.update(Table(("a", "b"), np.array([[1.0, NAN]]), {1: ["x"]}))
    for value in range(2, 60):
        reservoir.update(Table(("a",), np.array([[float(value)]])))

    kept = reservoir.sample()

    assert kept.values[0, 0] > 1
    assert kept.texts[1] == (None,)


def test_many_columns_leave_fewer_rows_and_these_as_likely_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "MAX_CELLS", 40)
    rng, counts = default_rng(6), np.zeros(30)
    for _ in range(150):
        reservoir = Reservoir(20, rng)
        for start in (0, 10, 20):
            names = tuple("abcdefgh"[: 2 + start // 10 * 3])
            rows = np.arange(start, start + 10.0)
            reservoir.update(Table(names, np.column_stack([rows] * len(names))))
        kept = reservoir.sample().values
        assert kept.shape == (5, 8)
        counts[kept[:, 0].astype(int)] += 1
    assert stats.chisquare(counts).pvalue > 0.001


def test_long_texts_are_cut_as_categories_are() -> None:
    reservoir = Reservoir(3, default_rng(7))
    reservoir.update(Table(("a",), np.array([[NAN]]), {0: ["y" * 300]}))

    assert reservoir.sample().texts[0] == ("y" * MAX_KEY,)


cells = st.one_of(st.none(), st.floats(allow_nan=False), st.text(max_size=5))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(cells, cells), max_size=6))
def test_what_is_written_is_read_back(rows: list[tuple[float | str | None, float | str | None]]) -> None:
    values = np.array([[each if isinstance(each, float) else NAN for each in row] for row in rows]).reshape(-1, 2)
    texts = {
        column: [each if isinstance(each, str) else None for each in cells]
        for column, cells in enumerate(zip(*rows, strict=True))
    }
    table = Table(("a", 'b"\n'), values, {column: cells for column, cells in texts.items() if any(map(_given, cells))})

    found = parse_sample(write_sample(table), "sample.jsonl")

    assert len(found.values) == len(rows)
    for column, name in enumerate(table.names):
        if name not in found.names:
            assert np.isnan(values[:, column]).all()
            assert column not in table.texts
            continue
        place = found.names.index(name)
        largest = np.finfo(float).max
        expected = np.where(
            np.abs(values[:, column]) == largest, np.copysign(np.inf, values[:, column]), values[:, column]
        )
        np.testing.assert_array_equal(found.values[:, place], expected)
        assert found.texts.get(place) == table.texts.get(column)


def _given(cell: str | None) -> bool:
    return cell is not None


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'{"a":1}\n{"a":', "s.jsonl:2: Input data was truncated"),
        (b'{"a":1}\n\n{"a":1}', "s.jsonl:2: Input data was truncated"),
        (b"[1]", "s.jsonl:1: Expected `object`, got `array`"),
        (b'{"a":[1]}', "s.jsonl:1: Expected `float | str`, got `array` - at `$[...]`"),
        (b'{"a":true}', "s.jsonl:1: Expected `float | str`, got `bool` - at `$[...]`"),
        (b'{"a":"\xff"}', "s.jsonl:1: "),
        (b'{"a":NaN}', "s.jsonl:1: JSON is malformed"),
    ],
)
def test_a_broken_line_is_named(data: bytes, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sample(data, "s.jsonl")
    assert str(caught.value).startswith(fault)
    assert str(caught.value).endswith(", expected an object of numbers and texts")


def test_a_file_of_too_many_cells_or_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "MAX_CELLS", 5)
    with pytest.raises(ConfigError, match=r"^s\.jsonl:3: row 3 of 2 columns, expected at most 5 cells$"):
        parse_sample(b'{"a":1}\n{"a":1}\n{"b":1}\n', "s.jsonl")
    monkeypatch.setattr(sample, "MAX_BYTES", 5)
    with pytest.raises(ConfigError, match=r"^s\.jsonl: 7 bytes, expected at most 5$"):
        parse_sample(b'{"a":1}', "s.jsonl")


def test_an_empty_file_is_an_empty_sample() -> None:
    found = parse_sample(b"", "s.jsonl")

    assert (found.names, found.values.shape, dict(found.texts)) == ((), (0, 0), {})
