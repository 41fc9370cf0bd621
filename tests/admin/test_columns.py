import math

import numpy as np

from sidecar.admin.columns import TOP, columns
from sidecar.records import JSON
from tests.admin.rig import busy, window


def of_champion() -> dict[str, JSON]:
    _, windows = busy()
    return {each["name"]: each for each in columns(windows["champion", "features"].snapshot(), 5.0)}


def test_numbers_are_told_exactly() -> None:
    amount = of_champion()["amount"]
    assert amount["lifetime"] == amount["window"]
    shown = {name: amount["window"][name] for name in ("rows", "missing", "infinite", "count", "mean", "min", "max")}
    assert shown == {"rows": 3, "missing": 0, "infinite": 1, "count": 2, "mean": 1.75, "min": 1.0, "max": 2.5}
    assert amount["window"]["std"] == np.std([1.0, 2.5])
    assert (amount["window"]["zero_ratio"], amount["window"]["negative_ratio"]) == (0.0, 0.0)
    assert list(amount["window"]["quantiles"]) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]
    assert amount["window"]["histogram"]["counts"] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert amount["window"]["texts"] is None


def test_texts_are_told_with_their_counts() -> None:
    texts = of_champion()["country"]["window"]["texts"]
    assert (texts["rows"], texts["distinct"], texts["other"]) == (3, 3, 0)
    assert texts["top"] == [{"value": value, "count": 1} for value in ("de", "fr", "\\udc80")]
    assert texts["length"] == {"min": 1, "mean": 5 / 3, "max": 2}


def test_a_feature_without_values_is_nan_not_zero() -> None:
    empty = of_champion()["empty"]["window"]
    assert (empty["rows"], empty["missing"], empty["count"]) == (3, 3, 0)
    assert math.isnan(empty["mean"])
    assert all(math.isnan(value) for value in empty["quantiles"].values())
    assert empty["histogram"] is None


def test_rows_leave_the_window_and_stay_in_the_lifetime() -> None:
    ageing = window()
    for now_s in (0.0, 100.0):
        ageing.update(("a",), np.array([[now_s]]), {}, now_s)
    (column,) = columns(ageing.snapshot(), 100.0)
    assert (column["lifetime"]["rows"], column["window"]["rows"], column["window"]["mean"]) == (2, 1, 100.0)


def test_categories_that_are_not_shown_are_among_the_others() -> None:
    many = window()
    many.update(("a",), np.full((TOP + 5, 1), np.nan), {0: [f"c{number}" for number in range(TOP + 5)]}, 0.0)
    texts = columns(many.snapshot(), 0.0)[0]["window"]["texts"]
    assert (len(texts["top"]), texts["other"], texts["rows"]) == (TOP, 5, TOP + 5)
