import math
from dataclasses import replace

import pandas

from sidecar.report.frames.comparison import FrameColumn, FrameComparison, FrameFinding

AGE = FrameColumn(
    column="age",
    subject="features",
    rows=100,
    missing=3,
    mean=46.0,
    std=9.0,
    minimum=1.0,
    maximum=90.0,
    reference_mean=40.0,
    reference_std=10.0,
    distinct=0,
    statistics={"psi": 0.31},
    found=("psi",),
)
FOUND = FrameFinding("age", "psi", "above 40: 40 % → 62 %", 0.31, 0.25, None, 1.0)
BARE = FrameFinding("b", "extra_column_check", "a column more", None, None, None, 0.5)
ONE = FrameComparison(100, 1000, [FOUND], [AGE])


def test_a_comparison_is_true_where_anything_was_found() -> None:
    assert [bool(ONE), bool(replace(ONE, findings=[]))] == [True, False]


def test_columns_are_a_frame_with_statistics_among_its_columns() -> None:
    frame = ONE.to_pandas()

    assert list(frame["column"]) == ["age"]
    assert frame.loc[0, ["mean", "reference_mean", "psi"]].tolist() == [46.0, 40.0, 0.31]
    assert "statistics" not in frame


def test_a_detector_that_says_nothing_of_a_column_is_nan_there() -> None:
    other = AGE._replace(column="b", statistics={})

    assert math.isnan(replace(ONE, columns=[AGE, other]).to_pandas().loc[1, "psi"])


def test_findings_are_a_frame_too() -> None:
    frame = pandas.DataFrame(ONE.findings)

    assert list(frame.columns) == list(FrameFinding._fields)


def test_printed_it_names_every_column_with_what_happened_and_by_how_much() -> None:
    assert str(ONE).splitlines() == [
        "100 rows against 1,000 of the reference: 1 found",
        "  age: above 40: 40 % → 62 % (psi 0.31, limit 0.25)",
    ]
    assert str(replace(ONE, findings=[BARE])).splitlines()[1] == "  b: a column more (extra_column_check)"
    assert str(replace(ONE, findings=[])) == "100 rows against 1,000 of the reference: nothing found"


def test_a_p_value_is_told_where_there_is_one() -> None:
    assert "(psi 0.31, limit 0.25, p = 0.001)" in str(replace(ONE, findings=[FOUND._replace(p_value=0.001)]))


def test_what_a_notebook_shows_is_escaped_and_bounded() -> None:
    evil = [FOUND._replace(column=f"<script>{number}</script>\n", sentence="<b>&") for number in range(1000)]

    page = replace(ONE, findings=evil)._repr_html_()

    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;0&lt;/script&gt;\\n" in page
    assert "and 980 more" in page
    assert len(page) < 10_000


def test_a_notebook_shows_no_table_where_nothing_was_found() -> None:
    assert replace(ONE, findings=[])._repr_html_() == "<p>100 rows against 1,000 of the reference: nothing found</p>"


def test_printed_it_ends_with_how_many_more_there_are() -> None:
    assert str(replace(ONE, findings=[FOUND] * 25)).splitlines()[-1] == "  and 5 more"
