from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.payload.assembling import prediction
from sidecar.records import JSON, Joined, Label
from sidecar.report.counting.engines import quiet
from sidecar.report.truth import joining
from sidecar.report.truth.assembling import times_of
from sidecar.report.truth.joining import Pairs, join, prepared
from sidecar.report.truth.labels import collect
from tests.report.truth_rig import Item, item, lines_of, read_rows, rows_of, work, write_lines, write_rows
from tests.store.oracle import Oracle


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


ONE, TWO = ((30.0,),), ((30.0,), (40.0,))
YES, BOTH = ((1.0,),), ((1.0,), (0.0,))


def joined(folder: Path, items: Sequence[Item], labels: Sequence[Mapping[str, JSON]], rows: JSON = None) -> Pairs:
    rows = prepared(rows_of(folder, items) if rows is None else rows)
    made = work(folder)
    collected = collect([write_lines(folder / "l.jsonl", labels)], made / "labels.parquet")
    return join(rows, collected, made, kept=["version"])


def told(pairs: Pairs) -> list[tuple[object, ...]]:
    """Variant, event or request, row and label of each line."""
    return [(each["variant"], each["row"], each["label"]) for each in lines_of(pairs.batches())]


def test_a_label_joins_by_any_of_the_three_ids(tmp_path: Path) -> None:
    items = [item(number, inference_id=f"i{number}") for number in range(4)]
    ids = [items[0][0].event_id, "r1", "i2", "nobody"]

    pairs = joined(tmp_path, items, [{"id": name, "label": number} for number, name in enumerate(ids)])

    assert told(pairs) == [("champion", 0, 0.0), ("champion", 0, 1.0), ("champion", 0, 2.0)]
    assert pairs.counts.labels == {"joined": 3, "unknown": 1, "malformed": 0}
    assert (pairs.counts.predictions, pairs.counts.awaiting, pairs.rows) == (4, 1, 3)


def test_rows_come_in_the_order_of_their_requests_whatever_the_labels_order(tmp_path: Path) -> None:
    items = [item(number, TWO, BOTH) for number in (5, 2, 9, 0)]

    pairs = joined(tmp_path, items, [{"id": f"r{number}", "label": [number, -number]} for number in (9, 0, 2, 5)])

    assert [label for *_, label in told(pairs)] == [0.0, -0.0, 2.0, -2.0, 5.0, -5.0, 9.0, -9.0]


def test_the_first_label_of_an_id_counts_and_of_several_names_the_first(tmp_path: Path) -> None:
    labels = [{"id": "r0", "label": 1}, {"id": "r0", "label": 0}, {"id": "i0", "label": 0}]

    pairs = joined(tmp_path, [item(0, inference_id="i0")], labels)

    assert told(pairs) == [("champion", 0, 1.0)]
    assert pairs.counts.labels == {"joined": 1, "duplicate": 2, "malformed": 0}


def test_a_label_of_another_number_of_rows_is_malformed_and_the_next_may_fit(tmp_path: Path) -> None:
    labels: list[JSON] = [{"id": "r0", "label": value} for value in ([1, 0], 1, [0, 1])]

    pairs = joined(tmp_path, [item(0)], labels)

    assert told(pairs) == [("champion", 0, 1.0)]
    assert pairs.counts.labels == {"joined": 1, "malformed": 1, "duplicate": 1}


def test_a_label_joins_what_every_variant_answered(tmp_path: Path) -> None:
    items = [item(0), item(1, request_id="r0", variant="shadow")]

    pairs = joined(tmp_path, items, [{"id": "r0", "label": 1}])

    assert [variant for variant, *_ in told(pairs)] == ["champion", "shadow"]
    assert pairs.counts.labels["joined"] == 1


def test_the_first_label_of_an_id_stands_even_for_a_variant_that_it_does_not_fit(tmp_path: Path) -> None:
    items = [item(0), item(1, TWO, BOTH, request_id="r0", variant="shadow")]

    pairs = joined(tmp_path, items, [{"id": "r0", "label": 1}, {"id": "r0", "label": [1, 0]}])

    assert told(pairs) == [("champion", 0, 1.0)]
    assert pairs.counts.labels == {"joined": 1, "duplicate": 1, "malformed": 0}


def test_of_exchanges_of_a_variant_that_share_an_id_the_first_counts(tmp_path: Path) -> None:
    items = [item(3, ((9.0,),), request_id="again"), item(1, ((1.0,),), request_id="again")]

    pairs = joined(tmp_path, items, [{"id": "again", "label": 1}])

    assert len(told(pairs)) == 1
    assert lines_of(pairs.batches())[0]["event_id"] == items[1][0].event_id
    assert pairs.counts.repeated == 1


def test_files_that_are_there_twice_count_once(tmp_path: Path) -> None:
    items = [item(number, TWO, BOTH) for number in range(3)]
    write_rows(tmp_path / "rows/a", items)
    write_rows(tmp_path / "rows/b", items)
    rows = read_rows(tmp_path / "rows")

    pairs = joined(tmp_path, [], [{"id": f"r{number}", "label": [1, 0]} for number in range(3)], rows)

    assert [label for *_, label in told(pairs)] == [1.0, 0.0] * 3


def test_lines_that_repeat_over_the_end_of_a_batch_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "BATCH_ROWS", 1)
    items = [item(0), item(0), item(1)]

    pairs = joined(tmp_path, items, [{"id": f"r{number}", "label": number} for number in range(2)])

    assert [label for *_, label in told(pairs)] == [0.0, 1.0]


def test_what_was_not_answered_is_none(tmp_path: Path) -> None:
    items = [item(0, answered=(), predictions=()), item(1), item(2, TWO, answered=((None,), (1.0,)))]

    pairs = joined(tmp_path, items, [{"id": "r0", "label": 1}, {"id": "r1", "label": 1}, {"id": "r2", "label": [1, 0]}])

    assert len(told(pairs)) == 3
    assert pairs.counts.labels == {"joined": 2, "unknown": 1, "malformed": 0}
    assert (pairs.counts.predictions, pairs.counts.awaiting) == (2, 0)


def test_where_nothing_joins_there_are_no_rows_and_no_ends(tmp_path: Path) -> None:
    pairs = joined(tmp_path, [item(0)], [{"id": "nobody", "label": 1}, {"id": "nobody", "label": 1}])

    assert (told(pairs), pairs.rows, pairs.ends) == ([], 0, None)
    assert pairs.counts.labels == {"unknown": 1, "duplicate": 1, "malformed": 0}


def test_the_ends_are_the_first_line_and_the_last(tmp_path: Path) -> None:
    pairs = joined(tmp_path, [item(number) for number in range(5)], [{"id": f"r{n}", "label": n} for n in range(5)])

    assert pairs.ends is not None
    assert [each.column("label").to_pylist() for each in pairs.ends] == [[0.0], [4.0]]


def test_a_variant_without_a_name_joins_too(tmp_path: Path) -> None:
    pairs = joined(tmp_path, [item(0, variant="")], [{"id": "r0", "label": 1}])

    assert told(pairs) == [("", 0, 1.0)]


def test_rows_without_any_column_of_predictions_join_nothing(tmp_path: Path) -> None:
    made = work(tmp_path)
    rows = prepared(rows_of(tmp_path, [item(0, answered=(), predictions=())]))
    collected = collect([write_lines(tmp_path / "l.jsonl", [{"id": "r0", "label": 1}])], made / "labels.parquet")

    pairs = join(rows, collected, made, kept=[])

    assert (pairs.rows, pairs.counts.predictions) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_joins_as_the_live_store_does_when_labels_come_behind_their_predictions(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = [
        item(
            number,
            *((ONE, YES) if rng.random() < 0.7 else (TWO, BOTH)),
            request_id=f"r{number // 2 if rng.random() < 0.3 else number}",
            inference_id=f"i{number}" if rng.random() < 0.5 else "",
            variant=("champion", "challenger")[number % 2],
        )
        for number in range(40)
    ]
    labels: list[JSON] = [
        {"id": f"{'ri'[int(rng.integers(2))]}{rng.integers(45)}", "label": [0] * int(rng.integers(1, 3))}
        for _ in range(60)
    ]

    pairs = joined(tmp_path, items, labels)

    store = Oracle()
    store.keep([prediction(capture, rows, ()) for capture, rows in items], 0.0)
    store.add([Label(str(each["id"]), tuple(each["label"])) for each in labels], 0.0)
    live = {event(pair) for pair in store.joined(0, 1000)}
    assert {(each["variant"], each["event_id"]) for each in lines_of(pairs.batches())} == live


def event(pair: Joined) -> tuple[str, str]:
    return pair.prediction.variant, pair.prediction.ids[0]


def test_parts_are_read_one_behind_the_other(tmp_path: Path) -> None:
    pairs = joined(tmp_path, [item(number) for number in range(4)], [{"id": f"r{n}", "label": n} for n in range(4)])
    whole = arrow.Table.from_batches(pairs.batches())
    parts = []
    for number, (begin, rows) in enumerate([(0, 1), (1, 0), (1, 3)]):
        parts.append(tmp_path / f"part-{number}.parquet")
        parquet.write_table(whole.slice(begin, rows), parts[-1])

    split = Pairs(parts, 4, pairs.counts)

    assert [label for *_, label in told(split)] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.usefixtures("spark")
def test_spark_joins_the_same(tmp_path: Path) -> None:
    items = [
        *(item(number, TWO, BOTH, inference_id=f"i{number}") for number in range(3)),
        item(5, request_id="r0", variant="shadow"),
        item(6, request_id="r1", variant=""),
        item(7, request_id="r2"),
    ]
    labels: list[JSON] = [{"id": "r0", "label": [1, 0]}, {"id": "i1", "label": [0, "no"]}, {"id": "r1", "label": 1}]
    labels += [{"id": "r0", "label": 1}, {"id": "r2", "label": 1}, {"id": "nobody", "label": 1}]
    write_rows(tmp_path / "rows", items)
    found = []
    for engine in ("duckdb", "spark"):
        folder = tmp_path / engine
        folder.mkdir()
        found.append(joined(folder, [], labels, read_rows(tmp_path / "rows", engine)))

    ours, theirs = found
    assert theirs.counts == ours.counts
    assert theirs.rows == ours.rows == 5
    columns = [name for name in lines_of(ours.batches())[0] if name != "time"]
    assert [[line[name] for name in columns] for line in lines_of(theirs.batches())] == [
        [line[name] for name in columns] for line in lines_of(ours.batches())
    ]
    times = [np.concatenate([times_of(batch) for batch in each.batches()]).tolist() for each in found]
    assert times[0] == times[1]
