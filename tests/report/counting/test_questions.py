from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.report.counting import questions
from sidecar.report.counting.engines import Engine, open_engine
from sidecar.report.counting.questions import Numbers, Survey, Words
from sidecar.report.counting.sources import sources

if TYPE_CHECKING:
    from ibis import Table as Lines

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR_US = 3_600_000_000
NOON_SLICE = int(NOON.timestamp()) // 3600
NAN, INF = float("nan"), float("inf")
ODD = [
    "'",
    "\\",
    "\\n",
    "\n",
    '"',
    "`",
    "%_",
    "${x}",
    "\x00",
    "a\x00b",
    "é😀",
    "",
    " ",
    "--",
    "$$",
    "\\u0041",
    "\u2028",
]


@pytest.fixture(scope="module", params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "spark":
        request.getfixturevalue("spark")
    opened = open_engine(request.param)
    yield opened
    opened.close()


def lines(engine: Engine, folder: Path, minutes: Sequence[float | None], **columns: object) -> "Lines":
    """Rows of one exchange each, so many minutes after noon; a None is a row without a time."""
    rows = len(minutes)
    times = [None if each is None else NOON + timedelta(minutes=each) for each in minutes]
    told = {
        "time": arrow.array(times, arrow.timestamp("us", tz="UTC")),
        "event_id": [str(place) for place in range(rows)],
        "row": arrow.array([0] * rows, arrow.int32()),
        "version": ["3"] * rows,
        "sample_ratio": [1.0] * rows,
        "answered": [False] * rows,
        "variant": ["champion"] * rows,
        **columns,
    }
    folder.mkdir(exist_ok=True)
    parquet.write_table(arrow.table(told), folder / "rows.parquet")
    return engine.read(folder)


def test_variants_are_told_with_their_rows_and_those_without_a_time(engine: Engine, tmp_path: Path) -> None:
    table = lines(engine, tmp_path, [0, 1, None, 2], variant=["b", "a", "b", None])

    assert questions.variants(table) == {"": (1, 0), "a": (1, 0), "b": (1, 1)}
    own = [questions.slices(questions.of_variant(table, each), HOUR_US) for each in ("", "a", "b")]
    assert [each["rows"].tolist() for each in own] == [[1]] * 3
    assert [each["answered"].tolist() for each in own] == [[0]] * 3


def test_slices_say_who_was_answered_and_what_rows_stand_for(engine: Engine, tmp_path: Path) -> None:
    table = lines(
        engine,
        tmp_path,
        [-0.5, 0, 30, 59.99],
        row=arrow.array([0, 0, 1, 0], arrow.int32()),
        sample_ratio=[0.5, 0.1, 0.1, 0.0],
        answered=[True, False, True, None],
    )
    told = questions.slices(table, HOUR_US)
    order = np.argsort(told["slice"])

    assert {name: value[order].tolist() for name, value in told.items()} == {
        "slice": [NOON_SLICE - 1, NOON_SLICE],
        "rows": [1, 3],
        "answered": [1, 1],
        "requests": [2.0, 11.0],  # a ratio of 0 is none that a row can have: it stands for itself
        "first": [NOON_SLICE * HOUR_US - 30_000_000, NOON_SLICE * HOUR_US],
        "last": [NOON_SLICE * HOUR_US - 30_000_000, NOON_SLICE * HOUR_US + 3_599_400_000],
    }


def test_versions_come_in_the_order_in_which_they_answered(engine: Engine, tmp_path: Path) -> None:
    table = lines(engine, tmp_path, [3, 1, 2, 4], version=["2", "10", "10", None])

    start = NOON_SLICE * HOUR_US
    assert questions.versions(table) == [
        ("10", start + 60_000_000, start + 120_000_000),
        ("2", start + 180_000_000, start + 180_000_000),
        ("", start + 240_000_000, start + 240_000_000),
    ]


def test_columns_are_looked_over(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "SURVEYED", 2)
    table = lines(
        engine,
        tmp_path,
        [0, 1, 2, 3],
        feature__x=[1.0, NAN, -INF, 4.0],
        feature__none=arrow.array([None] * 4, arrow.float64()),
        feature_text__x=[None, "é😀", None, ""],
    )
    found = questions.survey(table, sources(table.columns, []))

    assert found["feature__x"] == Survey(3, 1.0, 4.0, 2.5)
    assert found["feature_text__x"] == Survey(2, 0.0, 2.0, 1.0)
    assert found["feature__none"].present == 0
    assert np.isnan(found["feature__none"].low)


def test_numbers_are_counted_by_cell_to_the_last_bit(engine: Engine, tmp_path: Path) -> None:
    """And so are those beside an edge, by one unit in the last place."""
    edge = 0.1 + 0.2
    values = [np.nextafter(edge, 0), edge, np.nextafter(edge, 1), -5e-324, 0.0, -0.0, INF, -INF, NAN, None, 1e300, 3.0]
    edges = np.array([-INF, -5e-324, 0.0, edge, np.finfo(np.float64).max])
    table = lines(engine, tmp_path, [0] * 11 + [60], feature__x=values)

    (answer,) = questions.cells(table, [Numbers("feature__x", edges, 0.5, 1.0)], HOUR_US)
    own = {
        (int(slice_) - NOON_SLICE, int(cell)): (int(rows), int(whole))
        for slice_, cell, rows, whole in zip(
            *(answer[name] for name in ("slice", "cell", "rows", "whole")), strict=True
        )
    }
    assert own == {
        (0, 0): (1, 0),
        (0, 1): (1, 0),
        (0, 2): (2, 2),
        (0, 3): (2, 0),
        (0, 4): (2, 1),
        (0, 5): (1, 0),
        (1, 4): (1, 1),
    }
    last = (answer["slice"] == NOON_SLICE + 1).argmax()
    assert [answer[name][last] for name in ("total", "rest", "squares")] == [3.0, 0.5, 0.25]


@pytest.mark.parametrize("known", [ODD, ODD[:1], []])
def test_texts_are_counted_by_bin_whatever_they_are(engine: Engine, tmp_path: Path, known: list[str]) -> None:
    words = [*ODD, *ODD[:3], "x" * 300, "new"]
    table = lines(engine, tmp_path, [0] * len(words), feature_text__x=words)
    asked = Words("feature_text__x", {text: place % 5 for place, text in enumerate(known)} | {"x" * 256: 7}, 9)

    (answer,) = questions.texts(table, [asked], HOUR_US)
    assert dict(zip(answer["bin"].tolist(), answer["rows"].tolist(), strict=True)) == Counter(
        asked.places.get(word[:256], 9) for word in words
    )


def test_the_most_frequent_texts_are_told_and_the_others_counted(engine: Engine, tmp_path: Path) -> None:
    words = ["b", "a", "c", "a", "c", "d", None]
    table = lines(engine, tmp_path, [0] * 7, feature_text__x=words, feature_text__y=["é"] * 7)

    assert questions.most_frequent(table, ["feature_text__x", "feature_text__y"], 3) == [
        ({"a": 2, "c": 2, "b": 1}, 4),
        ({"é": 7}, 1),
    ]


def test_columns_with_odd_names_are_asked_for(engine: Engine, tmp_path: Path) -> None:
    names = ["feature__a b", "feature__a.b", "feature__a`b", 'feature__"a"', "feature__é😀", "feature__a'b\\"]
    table = lines(engine, tmp_path, [0], **{name: [float(place)] for place, name in enumerate(names)})

    found = questions.survey(table, sources(table.columns, []))
    assert [found[name].low for name in names] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("wanted", [50, 2000])
def test_a_sample_has_the_rows_of_the_least_digest(engine: Engine, tmp_path: Path, wanted: int) -> None:
    values = np.arange(1000.0)
    table = lines(engine, tmp_path, [0] * 1000, feature__x=values)
    ranked = sorted(range(1000), key=lambda place: md5(f"{place}|0".encode()).hexdigest())

    assert questions.sample(table, ["feature__x"], wanted, 1000)["feature__x"].tolist() == ranked[:wanted]


def test_a_sample_is_whole_where_too_few_digests_were_small(engine: Engine, tmp_path: Path) -> None:
    """All rows of one exchange that is captured again and again have the same digest."""
    table = lines(engine, tmp_path, [0] * 400, event_id=["same"] * 400, feature__x=np.arange(400.0))

    assert len(questions.sample(table, ["feature__x"], 20, 400)["feature__x"]) == 20
