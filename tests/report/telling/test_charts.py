from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from sidecar.report.telling.charts import MAX_POINTS, Course, bar, courses, scores, spark, svg, thinned
from tests.report.documents import HOSTILE, NAMES, SLICES, history, variant


def points(course: Course) -> list[list[tuple[float, float]]]:
    """The lines of its picture."""
    drawn = ElementTree.fromstring(svg(course))
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())]
        for line in drawn.iter("polyline")
    ]


def test_rows_and_the_columns_that_drifted_are_drawn_and_the_others_not() -> None:
    assert [each.title for each in courses(variant())] == [
        "Rows",
        "country: psi",
        "country: evidence in nats",
        "amount: psi",
        "amount: evidence in nats",
    ]
    assert [each.title for each in courses(variant(moved=False))] == ["Rows"]


def test_columns_that_drifted_before_are_drawn_after_those_that_still_do() -> None:
    made = variant()
    columns = ["amount", "age", "nowhere"]
    made["past"] = [
        {"check": "psi", "subject": "features", "sentence": "", "columns": columns, "from_s": 0.0, "to_s": 1.0}
    ]
    assert [each.title for each in courses(made)][5:] == ["age: psi", "age: evidence in nats"]


def test_a_statistic_has_its_limit_unless_it_is_a_test_s_whose_limit_depends_on_the_rows() -> None:
    made = variant()
    found = {each.title: each for each in courses(made)}
    assert found["amount: psi"].limit == 0.25
    needed = found["amount: evidence in nats"]
    assert (needed.note, round(needed.limit or 0, 2)) == ("alarm at", 14.51)
    amount = next(each for each in made["drift"]["columns"] if each["name"] == "amount")
    amount["statistics"]["psi"]["p_value"] = 0.01
    assert {each.title: each for each in courses(made)}["amount: psi"].limit is None


def test_a_course_without_a_value_is_not_drawn() -> None:
    made = variant()
    made["slices"]["statistics"]["psi"]["amount"] = [None] * SLICES
    assert "amount: psi" not in [each.title for each in courses(made)]


def test_a_single_slice_is_no_course() -> None:
    made = variant()
    slices = made["slices"]
    slices["times_s"], slices["rows"] = slices["times_s"][:1], slices["rows"][:1]
    for by_column in (slices["evidence_nats"], *slices["statistics"].values()):
        by_column.update({name: values[:1] for name, values in by_column.items()})
    assert courses(made) == []


def test_of_too_many_slices_the_greatest_of_each_few_stays() -> None:
    values = [None, *map(float, range(1, 10 * MAX_POINTS))]
    times, kept = thinned([float(each) for each in range(len(values))], values)
    assert (len(times), len(kept)) == (MAX_POINTS, MAX_POINTS)
    assert (times[1], kept[0], kept[-1]) == (10.0, 9.0, 9999.0)


def test_a_line_goes_from_left_to_right_and_higher_is_up() -> None:
    ((first, *_, last),) = points(Course("c", [0.0, 1.0, 2.0], [0.0, 1.0, 4.0]))
    assert first[0] < last[0]
    assert first[1] > last[1]


def test_where_a_value_is_missing_the_line_is_broken() -> None:
    assert [len(line) for line in points(Course("c", [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, None, 3.0, 4.0]))] == [2, 2]


@pytest.mark.parametrize("course", [Course("c", [5.0], [0.0]), Course("c", [0.0, 1.0], [None, -3.0], 7.0)])
def test_a_value_alone_is_a_dot_within_the_picture(course: Course) -> None:
    drawn = ElementTree.fromstring(svg(course))
    (dot,) = drawn.iter("circle")
    assert 0 <= float(dot.attrib["cx"]) <= 600
    assert 0 <= float(dot.attrib["cy"]) <= 120


def test_a_course_is_told_in_words() -> None:
    told = Course("c", [0.0, 3600.0, 7200.0], [1.0, 3.0, 2.0], 2.5).told
    assert told == "greatest 3 on 1970-01-01 01:00 UTC; least 1; last 2; limit 2.5"
    assert Course("c", [0.0], [None]).told == "no value"


def test_a_bar_is_its_part_of_the_greatest() -> None:
    assert 'width="50.00%"' in bar(0.2, 0.4, "current")
    assert 'width="0.00%"' in bar(None, 0.4, "current")
    assert 'width="0.00%"' in bar(0.0, 0.0, "current")


def test_a_distribution_s_picture_has_a_bar_and_a_step_for_each_bin_and_no_word_of_the_payload() -> None:
    made = variant(names=(HOSTILE, *NAMES[1:]))
    for column in made["drift"]["columns"]:
        drawn = ElementTree.fromstring(spark(column))
        assert [len(list(drawn.iter(kind))) for kind in ("rect", "line")] == [len(column["bins"])] * 2
        assert "img" not in drawn.attrib["aria-label"]


def test_a_column_without_rows_has_the_reference_s_steps_alone() -> None:
    (column, *_) = variant()["drift"]["columns"]
    column["current"] = None
    without = spark(column)
    drawn = ElementTree.fromstring(without)
    assert (drawn.attrib["aria-label"], list(rects(drawn))) == ("no rows", [])
    column["current"] = [None] * len(column["reference"])
    assert spark(column) == without
    column["reference"] = [None] * len(column["reference"])
    assert spark(column) == ""


def test_of_labels_the_scores_that_people_ask_for_are_drawn_look_by_look() -> None:
    found = scores(history(), "champion 3")
    assert [each.title for each in found] == ["accuracy", "auc"]
    assert len(found[0].times_s) == len(found[0].values) == 10
    assert scores(history(), "other") == scores(None, "champion 3") == []


def rects(drawn: ElementTree.Element) -> Iterator[ElementTree.Element]:
    return drawn.iter("rect")
