from dataclasses import fields

import numpy as np

from sidecar.stats.pane import Pane
from sidecar.stats.summary import BINS, QUANTILES, Summary, summarise

NAN, INF = np.nan, np.inf


def summary_of(values: list[list[float]], texts: dict[int, list[str | None]] | None = None) -> Summary:
    table = np.array(values, dtype=np.float64)
    pane = Pane(table.shape[1], max_categories=10, opened_s=0.0)
    pane.update(table, texts or {})
    return summarise(tuple(f"f{i}" for i in range(table.shape[1])), pane)


def test_every_number_by_hand() -> None:
    summary = summary_of([[0.0], [-1.0], [4.5], [NAN], [INF], [2.0], [0.0]])

    assert (summary.names, summary.rows) == (("f0",), 7)
    assert [summary.missing[0], summary.infinite[0], summary.count[0], summary.integral[0]] == [1, 1, 5, 4]
    assert [summary.minimum[0], summary.maximum[0], summary.mean[0]] == [-1.0, 4.5, 1.1]
    np.testing.assert_allclose(summary.std, [np.std([0.0, -1.0, 4.5, 2.0, 0.0])])
    assert [summary.zero_ratio[0], summary.negative_ratio[0]] == [0.4, 0.2]
    np.testing.assert_allclose(summary.edges[0], np.linspace(-1.0, 4.5, BINS + 1))
    assert summary.histogram[0].sum() == 5
    assert summary.exponential.zeros[0] == 2


def test_what_has_no_data_is_nan_not_zero() -> None:
    summary = summary_of([[NAN, 1.0], [INF, 2.0]])

    for field in ("mean", "std", "minimum", "maximum", "zero_ratio", "negative_ratio"):
        column = getattr(summary, field)
        assert np.isnan(column[0])
        assert not np.isnan(column[1])
    assert np.isnan(summary.quantiles[0]).all()
    assert np.isnan(summary.edges[0]).all()
    assert [summary.count[0], summary.missing[0], summary.infinite[0]] == [0, 1, 1]


def test_a_text_is_neither_a_number_nor_missing() -> None:
    summary = summary_of([[1.0, NAN], [NAN, NAN], [NAN, NAN]], {1: ["a", None, "b"], 0: [None, "n/a", None]})

    assert summary.missing.tolist() == [1, 1]
    assert summary.count.tolist() == [1, 0]
    assert {feature: texts.rows for feature, texts in summary.texts.items()} == {0: 1, 1: 2}


def test_quantiles_of_whole_numbers_are_whole() -> None:
    ages = np.random.default_rng(5).integers(18, 90, size=(500, 1)).astype(float)

    summary = summary_of(ages.tolist())

    exact = np.quantile(ages[:, 0], QUANTILES, method="inverted_cdf")
    np.testing.assert_allclose(summary.quantiles[0], exact, atol=1.0)
    assert (summary.quantiles == np.rint(summary.quantiles)).all()


def test_later_rows_do_not_change_a_summary() -> None:
    pane = Pane(1, max_categories=10, opened_s=0.0)
    pane.update(np.array([[1.0], [NAN]]), {0: [None, "a"]})
    summary, same = summarise(("f",), pane), summarise(("f",), pane)

    pane.update(np.array([[-5.0], [INF]]), {0: ["b", None]})

    for field in fields(Summary):
        if field.name != "exponential":
            np.testing.assert_equal(getattr(summary, field.name), getattr(same, field.name))
    np.testing.assert_array_equal(summary.exponential.counts, same.exponential.counts)


def test_a_summary_of_no_features_has_its_shapes() -> None:
    pane = Pane(0, max_categories=10, opened_s=0.0)
    pane.update(np.empty((3, 0)), {})

    summary = summarise((), pane)

    assert summary.rows == 3
    assert summary.mean.shape == (0,)
    assert summary.quantiles.shape == (0, len(QUANTILES))
    assert summary.edges.shape == (0, BINS + 1)
    assert summary.histogram.shape == (0, BINS)
