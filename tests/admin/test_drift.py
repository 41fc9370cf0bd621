import json

import numpy as np
import orjson
import pytest

from sidecar.admin.drift import drift
from sidecar.monitors.data import Following
from sidecar.records import JSON, Table
from tests.admin.rig import STARTED_S, WATCHED, follow, learned


def following(names: tuple[str, ...] = ("amount", "country")) -> Following:
    return WATCHED.follow(learned(names))


def columns(of: Following) -> dict[str, JSON]:
    (variant,) = drift(of)["variants"]
    return {column["name"]: column for column in variant["columns"]}


@pytest.mark.parametrize("nothing", [None, following()])
def test_without_a_monitor_or_rows_there_is_no_variant(nothing: Following | None) -> None:
    assert drift(nothing) == {"variants": []}


def test_before_the_first_window_there_is_evidence_and_no_statistic() -> None:
    found = following()
    follow(found, 50)
    (variant,) = drift(found)["variants"]
    assert (variant["name"], variant["version"], variant["rows"], variant["findings"]) == ("champion", "3", 50, [])
    amount = columns(found)["amount"]
    assert (amount["statistics"], amount["drift"]) == ({}, None)
    assert amount["seen"]
    assert isinstance(amount["evidence_nats"], float)


def test_before_the_first_window_all_rows_so_far_stand_beside_the_reference() -> None:
    found = following()
    follow(found, 50)
    so_far = columns(found)["country"]
    follow(found, 150)
    window = columns(found)["country"]

    assert [(each["current_rows"], each["current_whole"]) for each in (so_far, window)] == [(50, False), (200, True)]
    assert so_far["current"] == window["current"] == [0.5, 0.5, 0.0]


def test_a_column_has_as_many_shares_as_bins() -> None:
    found = following()
    follow(found, 50)
    for column in columns(found).values():
        assert len(column["bins"]) == len(column["reference"]) == len(column["current"])


def test_what_an_alarm_needs_is_known_before_there_is_one() -> None:
    found = following()
    follow(found, 50)
    (variant,) = drift(found)["variants"]
    assert variant["needed_nats"] == pytest.approx(np.log(1e6 * 2))

    follow(found, 300, shift=2.0)
    amount = columns(found)["amount"]
    assert amount["drift"]["needed_nats"] == pytest.approx(variant["needed_nats"])


def test_evidence_is_that_of_the_alarm_until_it_is_over() -> None:
    found = following()
    follow(found, 100)
    follow(found, 300, shift=2.0)
    follow(found, 50, shift=2.0)  # gathered anew
    amount = columns(found)["amount"]
    assert amount["evidence_nats"] >= amount["drift"]["evidence_nats"] > amount["drift"]["needed_nats"]

    again = following()
    again.restore(found.state())
    assert columns(again)["amount"]["evidence_nats"] == amount["drift"]["evidence_nats"]


def test_a_column_is_told_beside_the_reference() -> None:
    found = following()
    follow(found, 200)
    country = columns(found)["country"]
    assert country["subject"] == "features"
    assert country["bins"][:2] == ["'de'", "'fr'"]
    assert country["reference"][:2] == country["current"][:2] == [0.5, 0.5]
    assert len(country["reference"]) == len(country["current"])
    assert country["statistics"]["psi"] == {"statistic": 0.0, "limit": 0.25, "p_value": None, "drifted": False}


def test_a_column_that_has_drifted_says_how_far_and_since_when() -> None:
    found = following()
    follow(found, 100)
    follow(found, 300, shift=2.0)
    amount = columns(found)["amount"]["drift"]
    assert amount["since_s"] == STARTED_S
    assert amount["moved_ratio"] > 0.5
    assert amount["evidence_nats"] >= amount["needed_nats"] > np.log(1e6)
    assert "→" in amount["text"]
    assert columns(found)["country"]["drift"] is None
    (variant,) = drift(found)["variants"]
    assert variant["findings"][0].startswith("features of champion have drifted: amount (")


def test_a_column_that_no_row_has_is_told_as_not_seen() -> None:
    found = following()
    found.count("champion", "", Table(("amount",), np.zeros((10, 1))), Table((), np.empty((10, 0))))
    found.judge(STARTED_S)
    assert {name: column["seen"] for name, column in columns(found).items()} == {"amount": True, "country": False}


def test_every_variant_is_told() -> None:
    found = following()
    for variant in ("champion", "challenger"):
        found.count(variant, "", Table(("amount",), np.zeros((10, 1))), Table((), np.empty((10, 0))))
    assert [each["name"] for each in drift(found)["variants"]] == ["champion", "challenger"]


def test_whatever_the_names_and_values_it_is_json() -> None:
    names = ("a\udc80\n", "\ud800")
    found = following(names)
    follow(found, 300, shift=2.0, names=names)
    odd = np.array([[np.inf, np.nan], [-np.inf, np.nan], [1e308, np.nan], [np.nan, np.nan]] * 50)
    found.count("champion", "3", Table(names, odd, {1: ["\udfff", None] * 100}), Table((), np.empty((200, 0))))
    found.judge(STARTED_S)

    document = drift(found)

    assert set(columns(found)) == {"a\\udc80\n", "\\ud800"}
    assert orjson.loads(orjson.dumps(document)) == json.loads(json.dumps(document, allow_nan=False))
