from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.monitors.bias import Bias
from sidecar.monitors.groups import FacetOf
from sidecar.monitors.quality import Quality
from sidecar.quality.reading import Reading
from sidecar.records import JSON, Finding, Labelled
from sidecar.report.counting.engines import quiet
from sidecar.report.truth.assembling import Column, Layout
from sidecar.report.truth.feeding import LOOKS, Wanted, feed, layout_of, layouts_of, look_times, predict, rest_s, wanted
from sidecar.report.truth.joining import Pairs, prepared
from sidecar.truth import NOTHING
from tests.report.truth_rig import START_S, item, rows_of

AGE = FacetOf(feature="age", above=40.0)
MEMBER = FacetOf(header="X-Member", values=("yes",))


class Noting:
    """A monitor that notes the times of what it is told."""

    findings: Sequence[Finding] = ()

    def __init__(self) -> None:
        self.told: list[list[float] | float] = []

    def take(self, rows: Labelled) -> None:
        self.told.append((rows.times_s - START_S).tolist())

    def assess(self, now_s: float) -> None:
        self.told.append(now_s - START_S)

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> bool:
        return not state


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def pairs(path: Path, seconds: Sequence[float]) -> Pairs:
    times = arrow.array([round((START_S + each) * 1e6) for each in seconds], arrow.timestamp("us", "UTC"))
    count = len(seconds)
    columns: dict[str, JSON] = {
        "time": times,
        "variant": ["a"] * count,
        "event_id": [str(each) for each in range(count)],
        "row": [0] * count,
        "version": ["1"] * count,
        "sample_ratio": [1.0] * count,
        "label": [1.0] * count,
        "label_text": arrow.nulls(count, arrow.string()),
    }
    parquet.write_table(arrow.table(columns), path)
    return Pairs([path], count, NOTHING)


def test_rows_before_a_look_are_told_before_it(tmp_path: Path) -> None:
    grader = Noting()
    those = pairs(tmp_path / "p", [0, 5, 10, 11, 30])
    looks = [START_S + 10, START_S + 20, START_S + 40]

    feed(those, {("a", "1"): Layout([], [])}, [grader], looks, grader.assess)

    assert grader.told == [[0, 5], 10, [10, 11], 20, [30], 40]


def test_a_look_between_two_batches_is_before_the_rows_of_its_own_moment(tmp_path: Path) -> None:
    grader = Noting()

    feed(pairs(tmp_path / "p", [0, 10]), {("a", "1"): Layout([], [])}, [grader], [START_S + 10], grader.assess)

    assert grader.told == [[0], 10, [10]]


def test_without_looks_all_rows_are_told(tmp_path: Path) -> None:
    grader = Noting()

    feed(pairs(tmp_path / "p", [0, 1]), {("a", "1"): Layout([], [])}, [grader], [], grader.assess)

    assert grader.told == [[0, 1]]


@pytest.mark.parametrize(
    ("ends", "every_s", "expected"),
    [
        ((0.0, 100.0), 50.0, [50.0]),
        ((0.0, 111.0), 50.0, [50.0, 100.0]),
        ((7.0, 8.0), 50.0, []),
        ((5.0, 5.0), 50.0, []),
    ],
)
def test_looks_lie_between_the_first_row_and_some_time_before_the_last(
    ends: tuple[float, float], every_s: float, expected: list[float]
) -> None:
    assert look_times(*ends, every_s, rest_s=10.0) == expected


def test_there_are_never_too_many_looks_and_they_stay_whole_multiples() -> None:
    found = look_times(1e9, 1e9 + 366 * 86_400, 60.0, rest_s=10.0)

    assert LOOKS - 2 <= len(found) <= LOOKS
    assert {each % 60 for each in found} == {0.0}


def test_a_monitor_rests_longer_the_more_rows_it_works_out() -> None:
    assert [rest_s(None), rest_s(Quality()), rest_s(Quality(rows=1_000_000))] == [10.0, 50.0, 10_000.0]


def test_only_what_monitors_read_is_wanted() -> None:
    facets = (AGE, MEMBER, FacetOf(group="region", values=("n",)))

    assert wanted(Quality(), None) == Wanted(None, ())
    assert wanted(None, Bias(facets=facets, strata="city")) == Wanted(
        frozenset(["city", "age", ""]), ("x-member", "region", "city")
    )
    assert wanted(None, Bias(facets=facets, allowed={"FT": (-0.1, 0.1)})).features is None
    assert wanted(None, Bias(facets=facets, reference="analysis.json")).features is None
    assert wanted(Quality(), Bias(facets=facets)).features is None


def test_a_layout_has_what_is_wanted_and_there() -> None:
    names = ["time", "feature__age", "feature__other", "prediction__score", "header__x-member"]

    found = layout_of(names, Wanted(frozenset(["age"]), ("x-member", "region")))

    assert found.held == ["feature__age", "prediction__score", "header__x-member"]
    assert [label.held for _, label in found.groups] == [
        ("group__x-member", "group_text__x-member"),
        ("group__region", "group_text__region"),
    ]


def test_every_version_has_the_columns_that_it_ever_had_a_value_in(tmp_path: Path) -> None:
    items = [
        item(0, answered=((1.0,),), predictions=("old",), version="1"),
        item(1, answered=(("yes",),), predictions=("new",), version="2"),
        item(2, ((None,),), answered=((0.0,),), predictions=("old",), version="2", variant=""),
    ]
    rows = rows_of(tmp_path, items)
    layout = layout_of(rows.columns, Wanted(None, ()))

    found = layouts_of(prepared(rows), layout)

    age = Column("age", "feature__age")
    assert found == {
        ("", "2"): Layout([], [Column("old", "prediction__old")], []),
        ("champion", "1"): Layout([age], [Column("old", "prediction__old")], []),
        ("champion", "2"): Layout([age], [Column("new", text="prediction_text__new")], []),
    }


def test_the_latest_predictions_of_each_version_are_told_of_the_window_s_age(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(500), 3).tolist()
    items = [item(number, answered=((score,),), version=str(number % 2)) for number, score in enumerate(scores)]
    rows = prepared(rows_of(tmp_path, items))
    layouts = layouts_of(rows, layout_of(rows.columns, Wanted(None, ())))
    options = Quality(rows=200, window_s=100.0)
    grading = options.grade(lambda: Reading(task="binary"))

    predict(rows, layouts, grading, options)

    answered = {key.version: graded.scored.answered for key, graded in grading.versions}
    assert answered == {"0": 51, "1": 51}
