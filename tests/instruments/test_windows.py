import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from sidecar.instruments.windows import SHOWN_QUANTILES, value_metrics, window_metrics
from sidecar.records import ExponentialBuckets, Metric
from sidecar.stats.window import Window
from tests.instruments.rig import attributes, by_name, summary_of


def gauges(metrics: Sequence[Metric]) -> dict[tuple[str, str], float]:
    """Every gauge of a column, by metric and column."""
    return {
        (metric.name.removeprefix("sidecar.feature."), str(at["sidecar.feature.name"])): value
        for metric in metrics
        for at, value in metric.points
        if "sidecar.feature.name" in at and "sidecar.quantile" not in at and isinstance(value, int | float)
    }


def test_a_window_is_told_feature_by_feature() -> None:
    metrics = window_metrics({("champion", "features"): summary_of()}, max_series=100)
    assert gauges(metrics) == {
        ("missing", "amount"): 1,
        ("missing", "country"): 1,
        ("missing", "empty"): 4,
        ("mean", "amount"): 3.0,
        ("std", "amount"): pytest.approx(math.sqrt(14 / 3)),
        ("min", "amount"): 1.0,
        ("max", "amount"): 6.0,
        ("distinct", "country"): 2,
    }
    assert by_name(metrics)["sidecar.feature.rows"].points == [({"feature_flag.result.variant": "champion"}, 4)]
    quantiles = by_name(metrics)["sidecar.feature.quantile"]
    assert [at["sidecar.quantile"] for at in attributes(quantiles)] == [f"{share:g}" for share in SHOWN_QUANTILES]
    assert [value for _, value in quantiles.points] == [1.0, 2.0, 6.0]


def test_predictions_have_metrics_of_their_own() -> None:
    metrics = by_name(window_metrics({("champion", "predictions"): summary_of()}, max_series=100))
    mean = metrics["sidecar.prediction.mean"]
    assert mean.points == [({"feature_flag.result.variant": "champion", "sidecar.prediction.name": "amount"}, 3.0)]
    assert not any(name.startswith("sidecar.feature") for name in metrics)


@pytest.mark.parametrize(("limit", "missing", "omitted"), [(0, 0, 6), (2, 2, 4), (4, 4, 2), (6, 6, 0), (99, 6, 0)])
def test_columns_beyond_the_limit_are_counted(limit: int, missing: int, omitted: int) -> None:
    windows = {("champion", "features"): summary_of(), ("challenger", "features"): summary_of()}
    metrics = by_name(window_metrics(windows, max_series=limit))
    told_missing = metrics["sidecar.feature.missing"].points if missing else []
    assert len(told_missing) == missing
    assert sum(value for _, value in metrics["sidecar.window.omitted"].points if isinstance(value, int)) == omitted


def test_a_name_that_is_no_text_is_told_as_its_escape() -> None:
    window = Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=9)
    window.update(("a\udc80",), np.array([[1.0]]), {}, 0.0)
    metrics = by_name(window_metrics({("champion", "features"): window.snapshot().current(0.0)}, max_series=9))
    assert attributes(metrics["sidecar.feature.mean"])[0]["sidecar.feature.name"] == "a\\udc80"


def window_of(*names: str, seed: int = 1, rows: int = 60) -> Window:
    """Numbers of either sign over some octaves, and zeros."""
    values = np.random.default_rng(seed).normal(size=(rows, len(names))) ** 3
    values[: rows // 10] = 0.0
    window = Window(rows=20, panes=2, seconds=60.0, max_features=8, max_categories=9)
    for batch in np.array_split(values, 6):
        window.update(names, batch, {}, 0.0)
    return window


def test_all_numbers_since_the_start_are_told_in_exponential_buckets() -> None:
    values = np.random.default_rng(1).normal(size=(60, 1)) ** 3
    values[:6] = 0.0
    metrics = by_name(value_metrics({("champion", "features"): window_of("amount").snapshot()}, max_series=9))
    [(at, told)] = metrics["sidecar.feature.value"].points
    assert at == {"feature_flag.result.variant": "champion", "sidecar.feature.name": "amount"}
    assert isinstance(told, ExponentialBuckets)
    assert (told.zeros, told.count, told.minimum, told.maximum) == (6, 60, values.min(), values.max())
    assert told.total == pytest.approx(values.sum())
    for (first, counts), numbers in ((told.positive, values[values > 0]), (told.negative, -values[values < 0])):
        indices = np.ceil(np.log2(numbers) * 2.0**told.scale).astype(int) - 1
        assert {index: count for index, count in enumerate(counts, first) if count} == Counter(indices.tolist())
        assert counts[0] > 0 < counts[-1]
    assert metrics["sidecar.prediction.value"].points == []


def test_columns_without_numbers_have_no_histogram() -> None:
    window = Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=9)
    values = np.array([[1.0, np.nan, np.inf], [2.0, np.nan, np.nan]])
    window.update(("amount", "country", "odd"), values, {1: ["de", "fr"]}, 0.0)
    metrics = by_name(value_metrics({("champion", "predictions"): window.snapshot()}, max_series=9))
    told = attributes(metrics["sidecar.prediction.value"])
    assert [at["sidecar.prediction.name"] for at in told] == ["amount"]


@pytest.mark.parametrize(("limit", "told"), [(0, 0), (1, 1), (3, 3), (4, 4), (9, 4)])
def test_histograms_are_bounded_as_the_windows_are(limit: int, told: int) -> None:
    snapshots = {(variant, "features"): window_of("a", "b").snapshot() for variant in ("champion", "challenger")}
    values = by_name(value_metrics(snapshots, max_series=limit))["sidecar.feature.value"]
    assert len(values.points) == told
    windows = {key: snapshot.current(0.0) for key, snapshot in snapshots.items()}
    means = by_name(window_metrics(windows, max_series=limit)).get("sidecar.feature.mean")
    assert attributes(values) == (attributes(means) if means else [])
