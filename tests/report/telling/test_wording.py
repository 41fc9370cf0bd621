import math

import pytest

from sidecar.report.telling.document import DriftColumn, Statistic
from sidecar.report.telling.wording import (
    TITLES,
    length,
    moment,
    number,
    percent,
    ranked,
    standing,
    summed_up,
    verdict,
    without_secrets,
)
from tests.report.documents import HOSTILE, NAMES, document, variant


def column(name: str, ratio: float | None = None, information: float | None = None) -> DriftColumn:
    """A column whose statistic is so many times its limit."""
    said: dict[str, Statistic] = {}
    if ratio is not None:
        said["psi"] = {"statistic": 0.25 * ratio, "limit": 0.25, "p_value": None, "drifted": ratio > 1}
    change = None
    if information is not None:
        change = {
            "text": "",
            "moved_ratio": 0.1,
            "information_nats": information,
            "evidence_nats": 20.0,
            "needed_nats": 14.0,
            "since_s": 0.0,
            "rows": 10,
        }
    return {
        "name": name,
        "subject": "features",
        "seen": True,
        "evidence_nats": 0.0,
        "drift": change,  # type: ignore[typeddict-item]  # a Change
        "statistics": said,
        "bins": [],
        "reference": [],
        "current": None,
    }


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (math.nan, "—"),
        (math.inf, "—"),
        (None, "—"),
        (0.0, "0"),
        (-0.25, "-0.25"),
        (1e300, "1e+300"),
        (1e7 + 0.5, "1e+07"),
    ],
)
def test_numbers_are_short_and_undefined_ones_a_dash(value: float | None, told: str) -> None:
    assert number(value) == told


def test_a_share_that_is_not_nothing_is_not_told_as_nothing() -> None:
    assert [percent(share) for share in (0.0, 1e-9, 0.5, 0.99999, 1.0, math.nan)] == [
        "0 %",
        "< 0.1 %",
        "50 %",
        "> 99.9 %",
        "100 %",
        "—",
    ]


def test_a_moment_that_no_calendar_has_is_told_as_it_is() -> None:
    assert moment(1e300) == "1e+300"


def test_lengths_of_time_are_told_in_the_greatest_unit_that_fits() -> None:
    assert [length(seconds) for seconds in (60, 7200, 172_800, 61)] == ["1 min", "2 h", "2 d", "61 s"]


def test_what_the_sequential_detector_holds_for_drifted_comes_first_then_the_farthest_beyond_its_limit() -> None:
    columns = [column("calm", 0.5), column("far", 9.0), column("near", 2.0), column("told", 0.5, information=0.01)]
    assert [each["name"] for each in ranked(columns)] == ["told", "far", "near"]


def test_a_drifted_statistic_that_has_no_limit_is_ranked_too() -> None:
    tested = column("tested")
    tested["statistics"]["chi_squared"] = {"statistic": 90.0, "limit": None, "p_value": 0.0, "drifted": True}
    assert [each["name"] for each in ranked([tested, column("far", 3.0)])] == ["far", "tested"]


def test_the_verdict_says_what_drifted_since_when_what_is_broken_and_why() -> None:
    said = verdict(document(variant(), variant("challenger", moved=False)))
    assert said == [
        "champion: 2 of 4 columns have drifted, most likely since 2026-11-19 10:06 UTC: country, amount.",
        "challenger: none of 4 columns has drifted.",
        "1 constraint is not kept: country (categorical_values_check).",
        "Cause: the inputs moved.",
        "Without labels nobody can tell how good the answers were.",
    ]


def test_where_all_is_well_the_verdict_says_so() -> None:
    assert verdict(document(variant(moved=False)))[:2] == [
        "champion: none of 4 columns has drifted.",
        "All constraints are kept.",
    ]


def test_with_labels_the_verdict_says_which_tests_alarm() -> None:
    assert verdict(document(variant(moved=False), labels=True))[-1] == (
        "champion 3: 1,200 labelled rows, and tests of them alarm: worse, loss."
    )


def test_labels_too_few_to_test_are_not_said_to_be_well() -> None:
    made = document(variant(moved=False), labels=True)
    (version,) = made["quality"]["variants"]
    version["tests"] = dict.fromkeys(version["tests"])
    told = "champion 3: 1,200 labelled rows, too few to test: the first 200 are the yardstick."
    assert verdict(made)[-1] == told


def test_what_is_over_is_told_as_such() -> None:
    made = variant(moved=False)
    made["past"] = [
        {
            "check": "psi",
            "subject": "features",
            "sentence": "they drifted",
            "columns": [],
            "from_s": 0.0,
            "to_s": 3600.0,
        }
    ]
    when = "1970-01-01 00:00 UTC to 1970-01-01 01:00 UTC"
    assert f"champion: 1 finding held for a while, {when}, and is over." in verdict(document(made))
    assert TITLES[standing(document(made))] == "Something was not as it was, and is over"
    assert verdict(document(made))[0] == "champion: none of 4 columns drifts any more."
    assert summed_up(document(made)).endswith(", no findings, no violations; 1 finding that is over")
    made["past"] = [{**made["past"][0], "to_s": 14.0}] * 3
    when = "1970-01-01 00:00:00 UTC to 00:00:14 UTC"
    assert f"champion: 3 findings held for a while, {when}, and are over." in verdict(document(made))
    assert summed_up(document(made)).endswith("; 3 findings that are over")


def test_of_columns_none_of_which_came_it_is_not_said_that_none_has_drifted() -> None:
    """As of captures in CSV, where the reference has names and they have none."""
    made = variant(moved=False)
    for column in made["drift"]["columns"]:
        column["seen"] = False
    told = verdict(document(made))[0]
    assert told.startswith("champion: none of the reference's 4 columns came, nothing was compared; ")
    assert "--feature" in told


def test_without_a_row_nothing_is_said_to_be_well() -> None:
    assert verdict(document()) == ["There is no row that could be read: nothing is known."]


def test_a_name_cannot_break_a_sentence() -> None:
    said = verdict(document(variant("a\nb\u202e", names=(HOSTILE, *NAMES[1:]))))
    assert all(line.isprintable() for line in said)


def test_of_rows_that_are_too_few_to_compare_nothing_is_said_to_be_well() -> None:
    few = variant(moved=False)
    few["rows"] = 1
    for column in few["drift"]["columns"]:
        column["current_whole"] = False
    assert verdict(document(few))[0] == "champion: 1 row, too few to compare; nothing is known yet."
    assert standing(document(few)) == "unknown"
    assert (standing(document(variant(moved=False))), standing(document(variant()))) == ("good", "bad")


@pytest.mark.parametrize(
    "command",
    [
        "sidecar report a@b --facet 'age<25' -o x.md",
        "sidecar report abfss://c@account/x --engine-url spark://host:7077",
    ],
)
def test_a_command_without_secrets_stays_as_it_was_typed(command: str) -> None:
    assert without_secrets(command) == command
