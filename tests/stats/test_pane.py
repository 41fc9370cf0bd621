import numpy as np

from sidecar.stats.pane import Pane
from sidecar.stats.summary import summarise

NAMES = ("size", "colour")


def pane_of(*rows: tuple[float, str | None]) -> Pane:
    pane = Pane(2, max_categories=10, opened_s=0.0)
    pane.update(np.array([[size, np.nan] for size, _ in rows]), {1: [colour for _, colour in rows]})
    return pane


def test_panes_add_up_to_the_statistics_of_all_their_rows() -> None:
    total = Pane(2, max_categories=10, opened_s=0.0)

    total.merge(pane_of((1.0, "red"), (2.0, "blue")).close())
    total.merge(pane_of((6.0, "red")).close())

    summary = summarise(NAMES, total)
    expected = summarise(NAMES, pane_of((1.0, "red"), (2.0, "blue"), (6.0, "red")))
    assert (summary.rows, summary.mean[0], summary.missing.tolist()) == (3, 3.0, [0, 0])
    np.testing.assert_array_equal(summary.quantiles, expected.quantiles)
    assert summary.texts == expected.texts


def test_a_pane_of_fewer_features_adds_to_the_first_ones() -> None:
    narrow = Pane(1, max_categories=10, opened_s=0.0)
    narrow.update(np.array([[4.0], [8.0]]), {})
    total = pane_of((6.0, "red"))

    total.merge(narrow.close())

    summary = summarise(NAMES, total)
    assert summary.count.tolist() == [3, 0]
    assert summary.mean[0] == 6.0
    assert summary.missing.tolist() == [0, 2]


def test_widening_keeps_what_is_known() -> None:
    pane = Pane(1, max_categories=10, opened_s=3.0)
    pane.update(np.array([[3.0]]), {})

    pane.widen(2)
    pane.update(np.array([[1.0, 2.0]]), {})
    pane.widen(1)

    assert (pane.k, pane.opened_s) == (2, 3.0)
    assert summarise(NAMES, pane).mean.tolist() == [2.0, 2.0]
