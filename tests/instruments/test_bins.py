import numpy as np
import pytest

from sidecar.instruments.bins import bin_metrics
from sidecar.instruments.drift import watch_metrics
from sidecar.records import Metric, Table
from tests.instruments.rig import by_name, drifted

VARIANT, COLUMN, BIN = "feature_flag.result.variant", "sidecar.column", "sidecar.bin"


def counts(metric: Metric, *by: str) -> dict[tuple[str, ...], float]:
    """The points, summed by some attributes."""
    found: dict[tuple[str, ...], float] = {}
    for at, value in metric.points:
        assert isinstance(value, int)
        key = tuple(str(at[each]) for each in by)
        found[key] = found.get(key, 0) + value
    return found


def keys(metric: Metric) -> list[tuple[tuple[str, str | int | bool], ...]]:
    return [tuple(sorted(at.items())) for at, _ in metric.points]


def test_rows_are_told_by_bin_and_add_up_to_all_rows() -> None:
    following = drifted(("amount", "age"))
    metrics = by_name(bin_metrics(following, (), max_series=1000)[0])
    rows, reference = metrics["sidecar.drift.bin.rows"], metrics["sidecar.drift.bin.reference"]

    assert counts(rows, VARIANT, COLUMN) == {("champion", "amount"): 200, ("champion", "age"): 200}
    assert counts(reference, COLUMN) == {("amount",): 1000, ("age",): 1000}
    # Deciles, and what is missing.
    assert {key[2] for key in counts(rows, COLUMN, VARIANT, BIN) if key[0] == "age"} >= {"missing"}
    assert len(rows.points) == len(reference.points) == len(set(keys(rows))) == 2 * 11
    by_bin = following.variants["champion"].rows_by_bin[1][following.bins.used[1]]
    assert [value for at, value in rows.points if at[COLUMN] == "age"] == by_bin.tolist()


def test_every_bin_is_told_before_the_first_row() -> None:
    """There is no rate from a first sample that is no 0."""
    metrics = by_name(bin_metrics(drifted(("amount",)), ("champion", "challenger"), max_series=1000)[0])
    rows = metrics["sidecar.drift.bin.rows"]
    assert counts(rows, VARIANT) == {("champion",): 200, ("challenger",): 0}
    assert len(rows.points) == 2 * 11


def test_the_metrics_of_drift_have_them_and_nothing_is_told_where_nothing_is_watched() -> None:
    metrics = by_name(watch_metrics(drifted(("amount",)), {}, max_series=100, variants=("b",)))
    assert counts(metrics["sidecar.drift.bin.rows"], VARIANT) == {("champion",): 200, ("b",): 0}
    assert metrics["sidecar.drift.omitted"].points == [({}, 0)]
    told, omitted = bin_metrics(None, ("champion",), max_series=100)
    assert ([each.points for each in told], omitted) == ([[], []], 0)


@pytest.mark.parametrize(("limit", "columns"), [(0, 0), (21, 0), (22, 1), (43, 1), (44, 2), (65, 2), (66, 3), (999, 3)])
def test_a_column_is_told_whole_for_all_variants_or_not_at_all(limit: int, columns: int) -> None:
    following = drifted(("a", "b", "c"), ("champion", "challenger"))
    told, omitted = bin_metrics(following, (), max_series=limit)
    metrics = by_name(told)
    assert len(metrics["sidecar.drift.bin.rows"].points) == 2 * 11 * columns <= limit
    assert len(metrics["sidecar.drift.bin.reference"].points) == 11 * columns
    assert set(counts(metrics["sidecar.drift.bin.rows"], COLUMN)) == {(name,) for name in "abc"[:columns]}
    assert omitted == (3 - columns) * 3 * 11


def test_what_has_no_value_is_in_a_bin_of_its_own_and_an_odd_name_is_told_as_its_escape() -> None:
    following = drifted(("a\ud800",))
    following.count("champion", "3", Table(("a\ud800",), np.full((5, 1), np.nan)), Table((), np.empty((5, 0))))
    following.judge(1e9)
    rows = by_name(bin_metrics(following, (), max_series=99)[0])["sidecar.drift.bin.rows"]
    assert counts(rows, COLUMN, BIN)["a\\ud800", "missing"] == 5
