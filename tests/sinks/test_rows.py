import math
from datetime import UTC, datetime

import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.records import Body, Capture, Rows
from sidecar.sinks.rows import PLAIN, Place, columns_of, placed, table_of, union

NOON_S = 1_785_412_800.0
"""2026-07-30T12:00:00Z."""

CAPTURE = Capture(
    request_id="r-1",
    inference_id="i-1",
    variant="champion",
    version="3",
    method="POST",
    path="/score",
    route="",
    status=200,
    error_type="",
    started_s=NOON_S + 0.25,
    duration_s=0.1,
    first_byte_s=0.1,
    overhead_s=0.0,
    sample_ratio=0.5,
    headers={"request": {"x-region": "south"}, "reply": {"server": "s"}},
    request=Body("", b""),
    reply=Body("", b""),
)


def told(*items: tuple[Capture, Rows]) -> dict[str, list[object]]:
    cells: dict[str, list[object]] = table_of(items).to_pydict()
    return cells


def of(*rows: list[object], names: tuple[str, ...] = ("a", "b")) -> Rows:
    return Rows(names, list(rows))


def test_a_row_is_a_line_with_all_that_is_known_of_its_exchange() -> None:
    rows = Rows(("age", "country"), [[30, "at"], [41.5, None]], ("score",), [[0.25], [True]])

    table = told((CAPTURE, rows))

    assert table == {
        "time": [datetime(2026, 7, 30, 12, 0, 0, 250_000, tzinfo=UTC)] * 2,
        "event_id": [CAPTURE.event_id] * 2,
        "request_id": ["r-1", "r-1"],
        "inference_id": ["i-1", "i-1"],
        "version": ["3", "3"],
        "path": ["/score", "/score"],
        "status": [200, 200],
        "sample_ratio": [0.5, 0.5],
        "answered": [True, True],
        "header__x-region": ["south", "south"],
        "row": [0, 1],
        "feature__age": [30.0, 41.5],
        "feature_text__country": ["at", None],
        "prediction__score": [0.25, 1.0],
        "variant": ["champion", "champion"],
        "hour": ["2026-07-30T12", "2026-07-30T12"],
    }


def test_the_types_of_the_plain_columns_are_always_the_same() -> None:
    types = {name: str(table_of([(CAPTURE, of([1, 2]))]).schema.field(name).type) for name in PLAIN}

    assert types == {
        "time": "timestamp[us, tz=UTC]",
        "row": "int32",
        "status": "int32",
        "sample_ratio": "double",
        "answered": "bool",
        **dict.fromkeys(("event_id", "request_id", "inference_id", "version", "path"), "string"),
    }


def test_no_exchange_is_a_table_without_rows() -> None:
    table = table_of([])

    assert (table.num_rows, set(PLAIN) <= set(table.column_names)) == (0, True)
    assert table.column_names[-2:] == ["variant", "hour"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, "x"], {"feature__a": [1.0, None], "feature_text__a": [None, "x"]}),
        ([1, None], {"feature__a": [1.0, None]}),
        (["x", None], {"feature_text__a": ["x", None]}),
        ([None, None], {"feature__a": [None, None]}),
        ([math.nan, 2], {"feature__a": [None, 2.0]}),
        ([math.inf, -math.inf], {"feature__a": [math.inf, -math.inf]}),
        ([True, 10**400], {"feature__a": [1.0, math.inf]}),
        ([[1], {"b": 2}], {"feature__a": [None, None]}),
    ],
)
def test_numbers_and_texts_have_columns_of_their_own(cells: list[object], expected: dict[str, list[object]]) -> None:
    table = told((CAPTURE, of(*([cell] for cell in cells), names=("a",))))

    assert {name: cells for name, cells in table.items() if name.startswith("feature")} == expected


def test_what_an_exchange_has_not_is_null() -> None:
    asked, answered = of([1], names=("a",)), Rows(("b",), [["x"]], ("p",), [[2]])
    none = CAPTURE._replace(headers={"request": {}, "reply": {}})

    table = told((CAPTURE, asked), (none, answered))

    assert (table["feature__a"], table["feature_text__b"]) == ([1.0, None], [None, "x"])
    assert (table["prediction__p"], table["header__x-region"]) == ([None, 2.0], ["south", None])


def test_a_reply_without_a_value_is_told_from_none() -> None:
    unread, empty = Rows(("a",), [[1], [2]], fault="status"), Rows(("a",), [[1], [2]], ("p",), [[None], [3]])

    table = told((CAPTURE, unread), (CAPTURE, empty))

    assert table["answered"] == [False, False, True, True]
    assert table["prediction__p"] == [None, None, None, 3.0]


def test_times_are_right_to_the_microsecond() -> None:
    table = table_of([(CAPTURE._replace(started_s=NOON_S + each / 1e6), of([1, 2])) for each in range(1000)])

    assert [each.value - round(NOON_S * 1e6) for each in table["time"]] == list(range(1000))


def test_rows_lie_by_variant_and_utc_hour() -> None:
    late = CAPTURE._replace(started_s=NOON_S + 3600)
    other = CAPTURE._replace(variant="challenger")
    rows = of([1, 2], [3, 4])

    found = [
        (place, exchanges, table.num_rows)
        for place, exchanges, table in placed([(CAPTURE, rows), (late, rows), (other, rows), (CAPTURE, rows)])
    ]

    assert found == [
        (Place("champion", "2026-07-30T12"), 2, 4),
        (Place("champion", "2026-07-30T13"), 1, 2),
        (Place("challenger", "2026-07-30T12"), 1, 2),
    ]


@pytest.mark.parametrize(
    ("variant", "folder"),
    [
        ("champion", "variant=champion"),
        ("../../etc", "variant=..%2F..%2Fetc"),
        ("a b=c", "variant=a%20b%3Dc"),
        ("100%", "variant=100%25"),
        ("Größe", "variant=Größe"),
        ("\ud800", "variant=%5Cud800"),
        ("", "variant=__HIVE_DEFAULT_PARTITION__"),
        ("é" * 150, "variant=" + "é" * 100),
    ],
)
def test_no_name_leads_out_of_the_folder(variant: str, folder: str) -> None:
    assert Place(variant, "2026-07-30T12").folder == f"{folder}/hour=2026-07-30T12"


def test_names_that_differ_in_case_only_are_one_column() -> None:
    both = told((CAPTURE, of([1, 2], names=("Age", "age"))))
    apart = union([table_of([(CAPTURE, of([1], names=("Age",)))]), table_of([(CAPTURE, of([2], names=("age",)))])])

    assert {name: cells for name, cells in both.items() if name.startswith("feature")} == {"feature__Age": [1.0]}
    assert apart["feature__Age"].to_pylist() == [1.0, 2.0]


def test_bytes_that_are_no_text_cost_themselves_only() -> None:
    odd = CAPTURE._replace(path="/\udcff", request_id="\ud800")

    table = told((odd, of([1, 2])))

    assert (table["path"], table["request_id"]) == (["/\\udcff"], ["\\ud800"])


def test_columns_are_known_again_by_their_names() -> None:
    rows = Rows(("text__a", "b"), [[1, "x"]], ("p", "feature__q"), [["y", 2]])

    found = columns_of(table_of([(CAPTURE, rows)]).column_names)

    assert (found.features, found.feature_texts) == (("text__a",), ("b",))
    assert (found.predictions, found.prediction_texts, found.headers) == (("feature__q",), ("p",), ("x-region",))


CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([1]))


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=5),
    st.lists(st.text(), min_size=2, max_size=2, unique_by=str.lower),
)
def test_every_cell_comes_back(rows: list[list[object]], names: list[str]) -> None:
    table = table_of([(CAPTURE, Rows(tuple(names), rows))])

    columns = table.to_pydict()
    nothing = [None] * len(rows)
    for position, name in enumerate(names):
        numbers = columns.get(f"feature__{name}", nothing)
        texts = columns.get(f"feature_text__{name}", nothing)
        for number, text, row in zip(numbers, texts, rows, strict=True):
            assert (number, text) == _expected(row[position])
    assert {str(field.type) for field in table.schema if field.name.startswith("feature__")} <= {"double"}


def _expected(cell: object) -> tuple[float | None, str | None]:
    if isinstance(cell, str):
        return None, (None if cell == "[redacted]" else cell)
    if not isinstance(cell, int | float) or math.isnan(cell if isinstance(cell, float) else 0):
        return None, None
    try:
        return float(cell), None
    except OverflowError:
        return math.copysign(math.inf, cell), None


def test_one_table_is_its_own_union() -> None:
    table = arrow.table({"a": [1]})

    assert union([table]) is table
