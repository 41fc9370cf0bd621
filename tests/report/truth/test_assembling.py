import numpy as np
import pyarrow as arrow

from sidecar.payload.assembling import MAX_TEXT
from sidecar.records import JSON
from sidecar.report.truth.assembling import (
    GROUP,
    GROUP_TEXT,
    KINDS,
    Column,
    Layout,
    columns_of,
    labelled,
    table,
    times_of,
)

TIME_US = 1_795_000_000_250_000


def batch(**columns: JSON) -> JSON:
    rows = len(next(iter(columns.values())))
    plain = {
        "time": arrow.array([TIME_US] * rows, arrow.timestamp("us", "UTC")),
        "variant": ["champion"] * rows,
        "version": ["3"] * rows,
        "sample_ratio": [1.0] * rows,
        "label": arrow.array([1.0] * rows, arrow.float64()),
        "label_text": arrow.nulls(rows, arrow.string()),
    }
    return arrow.record_batch({**plain, **columns})


def test_columns_are_told_by_what_their_names_begin_with_in_the_order_of_the_file() -> None:
    names = ["time", "feature__b", "feature_text__a", "prediction__b", "feature__a", "feature__text__c"]

    assert columns_of(names, *KINDS[0]) == [
        Column("b", "feature__b"),
        Column("a", "feature__a", "feature_text__a"),
        Column("text__c", "feature__text__c"),
    ]
    assert columns_of(names, *KINDS[1]) == [Column("b", "prediction__b")]


def test_a_layout_is_left_with_the_columns_that_hold_anything() -> None:
    layout = Layout([Column("a", "n", "t"), Column("b", "m")], [Column("c", text="u")])

    assert layout.held == ["n", "t", "m", "u"]
    assert layout.only(["t", "u"]) == Layout([Column("a", text="t")], [Column("c", text="u")])


def test_times_are_unix_time_whatever_the_engine_wrote() -> None:
    for kind in (arrow.timestamp("us", "UTC"), arrow.timestamp("ns"), arrow.timestamp("us"), arrow.timestamp("ms")):
        column = arrow.array([TIME_US], arrow.timestamp("us")).cast(kind)
        assert times_of(arrow.record_batch({"time": column})).tolist() == [1_795_000_000.25]


def test_numbers_and_texts_of_a_column_come_together() -> None:
    found = table(
        batch(n=arrow.array([1.0, None, None]), t=arrow.array([None, "x" * 2000, None])),
        [Column("a", "n", "t"), Column("b", "n")],
    )

    assert found.names == ("a", "b")
    assert np.isnan(found.values).tolist() == [[False, False], [True, True], [True, True]]
    assert found.texts == {0: [None, "x" * MAX_TEXT, None]}


def test_a_row_stands_for_one_over_its_ratio() -> None:
    [rows] = labelled(batch(sample_ratio=[0.25, 1.0, 0.0]), {("champion", "3"): Layout([], [])})

    assert rows.weights.tolist() == [4.0, 1.0, 1.0]
    assert rows.features.values.shape == (3, 0)
    assert rows.labels.values.tolist() == [[1.0]] * 3


def test_rows_of_each_version_stay_in_their_order() -> None:
    layouts = {("a", "1"): Layout([Column("x", "x")], []), ("b", ""): Layout([], [])}
    lines = batch(variant=["a", "b", "a", "b"], version=["1", None, "1", None], x=[1.0, 2.0, 3.0, 4.0])

    first, second = labelled(lines, layouts)

    assert (first.variant, first.version, first.features.values[:, 0].tolist()) == ("a", "1", [1.0, 3.0])
    assert (second.variant, second.version, len(second.times_s)) == ("b", "", 2)


def test_of_groups_the_label_s_word_counts_and_else_the_header_s() -> None:
    groups = [
        (Column("region", text="h"), Column("region", GROUP + "region", GROUP_TEXT + "region")),
        (Column("age"), Column("age", GROUP + "age", GROUP_TEXT + "age")),
    ]
    lines = batch(
        h=["north", "south", None, "west"],
        group__region=arrow.array([None, None, None, 7.0]),
        group_text__region=arrow.array(["east", None, None, None]),
        group__age=arrow.array([1.0, None, None, None]),
        group_text__age=arrow.nulls(4, arrow.string()),
    )

    [rows] = labelled(lines, {("champion", "3"): Layout([], [], groups)})

    assert rows.groups.names == ("region", "age")
    assert rows.groups.texts == {0: ["east", "south", None, None]}
    np.testing.assert_array_equal(rows.groups.values, [[np.nan, 1.0], [np.nan] * 2, [np.nan] * 2, [7.0, np.nan]])
