from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sidecar.admin.drift import drift
from sidecar.config.schema import Part
from sidecar.errors import ConfigError
from sidecar.monitors.data import Data, WindowSize
from sidecar.records import JSON, Rows
from sidecar.reference.files import parse_statistics, write_statistics
from sidecar.report.counting.engines import DuckDB, Engine, Settings, Spark
from sidecar.report.counting.judging import VariantReport, report
from sidecar.report.telling.document import plain
from tests.report.traffic import HOUR_S, NOON_S, Item, exchanges, learned, live, read, stored
from tests.sinks.captures import CAPTURE

REFERENCE = learned()
MANY = Data(detectors=tuple(Part(kind=kind) for kind in ("psi", "mean_shift", "chi_squared", "wasserstein")))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    opened = DuckDB(Settings(threads=1))
    yield opened
    opened.close()


def alike(found: JSON, expected: JSON, place: str = "") -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for name, each in expected.items():
            alike(found[name], each, f"{place}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for number, each in enumerate(expected):
            alike(found[number], each, f"{place}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), place
    else:
        assert found == expected, place


def by_name(reports: list[VariantReport]) -> dict[str, VariantReport]:
    return {each.name: each for each in reports}


def shifted(hours: int, since: int, rows: int = 150) -> list[Item]:
    """Rows whose amount is another one from an hour on."""
    rng = np.random.default_rng(2)
    found = []
    for number in range(hours * rows):
        amount = float(rng.gamma(2.0, 50.0)) + (300.0 if number // rows >= since else 0.0)
        capture = CAPTURE._replace(request_id=str(number), started_s=NOON_S + number * HOUR_S / rows)
        found.append((capture, Rows(("amount",), [[amount]], ("score",), [[float(rng.random())]])))
    return found


def test_evidence_and_findings_are_those_of_the_live_monitor_that_judges_as_often(
    engine: Engine, tmp_path: Path
) -> None:
    items = exchanges(1, 200)
    found = by_name(report(read(engine, tmp_path, items), REFERENCE, Data()))
    following = live(REFERENCE, Data(dependence=False), items)

    expected = {each["name"]: each for each in drift(following)["variants"]}
    assert set(found) == set(expected) == {"champion", "a/b=é"}
    for name, told in expected.items():
        columns = {each["name"]: each for each in found[name].document["drift"]["columns"]}
        for each in told["columns"]:
            mine = columns[each["name"]]
            assert (mine["seen"], mine["subject"]) == (each["seen"], each["subject"])
            alike(mine["evidence_nats"], each["evidence_nats"], each["name"])
            assert (mine["drift"] is None) == (each["drift"] is None)
            if each["drift"] is not None:
                told_of = (
                    "text",
                    "moved_ratio",
                    "information_nats",
                    "rows",
                )  # and not when: nobody knows the first time
                alike({name: mine["drift"][name] for name in told_of}, {name: each["drift"][name] for name in told_of})


def test_statistics_of_all_rows_are_those_of_a_live_window_of_all_rows(engine: Engine, tmp_path: Path) -> None:
    items = exchanges(1, 200, variants=("champion",))
    rows = sum(len(each.asked) for _, each in items)
    (found,) = report(read(engine, tmp_path, items), REFERENCE, MANY)
    following = live(REFERENCE, replace(MANY, window=WindowSize(rows=rows, panes=1), dependence=False), items)

    (expected,) = drift(following)["variants"]
    compared = 0
    for mine, theirs in zip(found.document["drift"]["columns"], expected["columns"], strict=True):
        alike(mine["current"], plain(theirs["current"]))
        alike(mine["statistics"], theirs["statistics"], mine["name"])
        compared += sum(said["statistic"] is not None for said in theirs["statistics"].values())
    assert compared > 10
    drifts = [each for each in found.violations if each.check == "baseline_drift_check"]
    assert {(each.feature, each.subject) for each in drifts} == {
        (each.feature, each.subject) for each in following.variants["champion"].broken
    }


@pytest.mark.usefixtures("spark")
def test_the_report_of_spark_is_that_of_duckdb(engine: Engine, tmp_path: Path) -> None:
    items = exchanges(3, 100, variants=("champion",))
    folder = stored(tmp_path, items)
    ours = report(engine.read(folder), REFERENCE, MANY)
    theirs = report(Spark(Settings()).read(folder), REFERENCE, MANY)

    for one, two in zip(ours, theirs, strict=True):
        alike(two.document, one.document)
        assert [each.sentence for each in two.findings] == [each.sentence for each in one.findings]


def test_a_shift_is_found_with_the_hour_in_which_it_began(engine: Engine, tmp_path: Path) -> None:
    (found,) = report(read(engine, tmp_path, shifted(8, since=5)), REFERENCE, Data())

    sequential = next(each for each in found.findings if each.key.check == "sequential")
    assert [each.name for each in sequential.carriers] == ["amount"]
    assert sequential.since_s == pytest.approx(NOON_S + 5 * HOUR_S, abs=60.0)
    slices = found.document["slices"]
    assert slices["times_s"] == [NOON_S + hour * HOUR_S for hour in range(8)]
    assert slices["rows"] == [150] * 8
    assert [statistic > 1.0 for statistic in slices["statistics"]["psi"]["amount"]] == [False] * 5 + [True] * 3
    assert found.document["past"] == []


def test_a_change_after_a_pause_began_when_it_was_over(engine: Engine, tmp_path: Path) -> None:
    pause_s = 48 * HOUR_S
    items = [
        (capture._replace(started_s=capture.started_s + pause_s * (place >= 5 * 150)), rows)
        for place, (capture, rows) in enumerate(shifted(8, since=5))
    ]
    (found,) = report(read(engine, tmp_path, items), REFERENCE, Data(detectors=()))

    (finding,) = found.findings
    assert finding.since_s == NOON_S + pause_s + 5 * HOUR_S


def test_what_the_last_window_says_is_found_though_all_rows_together_do_not_say_it(
    engine: Engine, tmp_path: Path
) -> None:
    options = Data(window=WindowSize(rows=100, panes=1))
    (found,) = report(read(engine, tmp_path, shifted(30, since=29)), REFERENCE, options)

    (amount,) = (each for each in found.document["drift"]["columns"] if each["name"] == "amount")
    assert not amount["statistics"]["psi"]["drifted"]
    assert {each.key.check for each in found.findings} == {"sequential", "psi"}
    assert [each.sentence for each in found.findings] == found.document["findings"]


def test_a_finding_that_is_over_is_told_with_its_time(engine: Engine, tmp_path: Path) -> None:
    items = shifted(24, since=5)
    rows = [
        (capture, rows._replace(asked=[[cell - 300.0 for cell in row] for row in rows.asked]) if hour >= 9 else rows)  # type: ignore[operator]
        for hour, capture, rows in ((place // 150, *item) for place, item in enumerate(items))
    ]
    (found,) = report(read(engine, tmp_path, rows), REFERENCE, Data(detectors=()))

    assert found.document["findings"] == []
    (past,) = found.document["past"]
    assert past["check"] == "sequential"
    assert "amount" in past["sentence"]
    assert NOON_S + 5 * HOUR_S <= past["from_s"] < past["to_s"] < NOON_S + 14 * HOUR_S


def test_a_finding_that_is_over_names_all_columns_that_carried_it(engine: Engine, tmp_path: Path) -> None:
    """Though they go back one after the other."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(24 * 150):
        hour = number // 150
        asked = [
            rng.gamma(2.0, 50.0) + (300.0 if 5 <= hour < 12 else 0.0),
            rng.poisson(0.7) + (4 if 5 <= hour < 8 else 0),
        ]
        capture = CAPTURE._replace(request_id=str(number), started_s=NOON_S + number * HOUR_S / 150)
        rows.append((capture, Rows(("amount", "count"), [[*map(float, asked)]])))
    (found,) = report(read(engine, tmp_path, rows), REFERENCE, Data(detectors=()))

    (past,) = found.document["past"]
    assert sorted(past["columns"]) == ["amount", "count"]
    assert all(f"{name} (" in past["sentence"] for name in past["columns"])


def test_slices_are_as_long_as_asked(engine: Engine, tmp_path: Path) -> None:
    lines = read(engine, tmp_path, shifted(3, since=9))

    (days,) = report(lines, REFERENCE, Data(), every_s=86400.0)
    (minutes,) = report(lines, REFERENCE, Data(), every_s=60.0)
    assert days.document["slices"]["rows"] == [450]
    assert sum(minutes.document["slices"]["rows"]) == 450
    assert len(minutes.document["slices"]["times_s"]) == 180
    alike(days.document["columns"], minutes.document["columns"])


def test_statistics_json_can_be_a_reference(engine: Engine, tmp_path: Path) -> None:
    (found,) = report(read(engine, tmp_path, exchanges(1, 100, variants=("champion",))), REFERENCE, Data())

    parsed = parse_statistics(write_statistics(found.profiles), "statistics.json")
    assert [each.name for each in parsed.features] == [each.name for each in found.profiles.features]
    assert parsed.rows == found.document["rows"]


def test_what_breaks_constraints_is_told(engine: Engine, tmp_path: Path) -> None:
    items = [
        (CAPTURE._replace(request_id=str(n)), Rows(("amount", "extra"), [[-1.0, 2.0]], ("score",), [[0.5]]))
        for n in range(20)
    ]
    (found,) = report(read(engine, tmp_path, items), REFERENCE, Data())

    broken = {(each.feature, each.check) for each in found.violations}
    assert {
        ("extra", "extra_column_check"),
        ("amount", "non_negative_check"),
        ("never", "missing_column_check"),
    } <= broken
    assert {each["feature"] for each in found.document["violations"]} == {each for each, _ in broken}


def test_only_the_variants_that_are_asked_for_are_judged(engine: Engine, tmp_path: Path) -> None:
    lines = read(engine, tmp_path, exchanges(1, 20))

    assert [each.name for each in report(lines, REFERENCE, Data(), only=["champion"])] == ["champion"]
    with pytest.raises(ConfigError, match="no row of 'rival', expected one of 'a/b=é', 'champion'"):
        report(lines, REFERENCE, Data(), only=["rival"])


def test_progress_ends_where_it_was_said_to(engine: Engine, tmp_path: Path) -> None:
    totals: list[int] = []
    done: list[int] = []

    def stage(total: int) -> Callable[[int], None]:
        totals.append(total)
        return done.append

    report(read(engine, tmp_path, exchanges(1, 30)), REFERENCE, Data(), stage=stage)
    assert totals == [sum(done)]


def test_a_slice_too_short_is_refused(engine: Engine, tmp_path: Path) -> None:
    lines = read(engine, tmp_path, exchanges(1, 2))
    with pytest.raises(ConfigError, match=r"every: 0\.5 s, expected 1 s at least"):
        report(lines, REFERENCE, Data(), every_s=0.5)


@pytest.mark.parametrize(("rows", "window", "compared"), [(199, 2000, False), (200, 2000, True), (50, 50, True)])
def test_so_few_rows_that_chance_alone_makes_a_difference_are_not_compared(
    engine: Engine, tmp_path: Path, rows: int, window: int, compared: bool
) -> None:
    options = Data(window=WindowSize(rows=window))
    (found,) = report(read(engine, tmp_path, shifted(1, 1, rows)), REFERENCE, options)

    columns = found.document["drift"]["columns"]
    assert {each["current_whole"] for each in columns} == {compared}
    assert {bool(each["statistics"]) for each in columns} == {compared}
