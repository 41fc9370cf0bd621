import base64
from pathlib import Path

import pytest
from pyarrow import parquet

from sidecar.datasets.labels import Columns
from sidecar.errors import ConfigError
from sidecar.report.decoding.inputs import Input
from sidecar.report.truth import labels
from sidecar.report.truth.labels import collect
from tests.report.truth_rig import write_lines


def test_labels_become_a_line_for_each_value_in_the_order_in_which_they_stand(tmp_path: Path) -> None:
    entries = [{"id": "a", "label": [1, "x"]}, {"id": "b", "label": True}, {"id": "c", "label": 0.5}]
    source = write_lines(tmp_path / "labels.jsonl", entries)

    found = collect([source], tmp_path / "labels.parquet")

    assert parquet.read_table(found.path).to_pylist() == [
        {"number": 0, "id": "a", "size": 2, "row": 0, "label": 1.0, "label_text": None},
        {"number": 0, "id": "a", "size": 2, "row": 1, "label": None, "label_text": "x"},
        {"number": 1, "id": "b", "size": 1, "row": 0, "label": 1.0, "label_text": None},
        {"number": 2, "id": "c", "size": 1, "row": 0, "label": 0.5, "label_text": None},
    ]
    assert (found.labels, found.malformed, found.outcomes, found.faults) == (3, 0, 0, [])


def test_groups_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    entries = [{"id": "a", "label": 1, "groups": {"region": "north", "age": 3, "other": 1}}, {"id": "b", "label": 1}]

    found = collect([write_lines(tmp_path / "l.jsonl", entries)], tmp_path / "l.parquet", groups=("region", "age"))

    table = parquet.read_table(found.path).select(
        ["group__region", "group_text__region", "group__age", "group_text__age"]
    )
    assert [list(line.values()) for line in table.to_pylist()] == [[None, "north", 3.0, None], [None] * 4]


def test_ground_truth_of_sagemaker_is_read(tmp_path: Path) -> None:
    truths = [("0,1", "CSV"), ("[1, 0]", "JSON"), (base64.b64encode(b"1").decode(), "BASE64")]
    entries = [
        {
            "groundTruthData": {"data": data, "encoding": encoding},
            "eventMetadata": {"eventId": f"e{number}"},
            "eventVersion": "0",
        }
        for number, (data, encoding) in enumerate(truths)
    ]
    (tmp_path / "truth/2026/11").mkdir(parents=True)
    write_lines(tmp_path / "truth/2026/11/a.jsonl", entries)

    found = collect([tmp_path / "truth"], tmp_path / "l.parquet")

    values = [(each["id"], each["label"]) for each in parquet.read_table(found.path).to_pylist()]
    assert values == [("e0", 0.0), ("e0", 1.0), ("e1", 1.0), ("e1", 0.0), ("e2", 1.0)]


def test_csv_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("when,request,fraud\nnow,r1,1\nlater,r2,no\n")

    found = collect([tmp_path / "l.csv"], tmp_path / "l.parquet", columns=Columns("request", "fraud"))

    told = [(each["id"], each["label"], each["label_text"]) for each in parquet.read_table(found.path).to_pylist()]
    assert told == [("r1", 1.0, None), ("r2", None, "no")]


def test_what_is_no_label_is_counted_and_told_by_its_place(tmp_path: Path) -> None:
    source = tmp_path / "l.jsonl"
    source.write_text('{"id": "a"}\nnope\n\n{"id": "b", "label": 1}\n{"id": "c", "metric": "click", "value": 1}\n')

    found = collect([source], tmp_path / "l.parquet")

    assert (found.labels, found.malformed, found.outcomes) == (1, 2, 1)
    assert [fault.partition(": ")[0] for fault in found.faults] == [f"{source}:1", f"{source}:2"]
    assert found.faults[0].endswith("missing, expected label, or metric and value")


def test_a_file_of_nothing_but_broken_lines_is_told_and_not_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("nope\n" * 30)
    write_lines(tmp_path / "b.jsonl", [{"id": "a", "label": 1}])

    found = collect([tmp_path], tmp_path / "l.parquet")

    assert (found.labels, found.malformed, len(found.faults)) == (1, 30, 10)


def test_a_line_that_is_too_long_is_malformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "ENTRIES", 1)
    (tmp_path / "l.jsonl").write_bytes(b"x" * (2 << 20) + b'\n{"id": "a", "label": 1}\n')

    found = collect([tmp_path / "l.jsonl"], tmp_path / "l.parquet")

    assert (found.labels, found.malformed) == (1, 1)


def test_many_labels_go_into_the_file_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "VALUES", 100)
    monkeypatch.setattr(labels, "ENTRIES", 30)
    entries = [{"id": f"r{number}", "label": [number, 0]} for number in range(1000)]

    found = collect([write_lines(tmp_path / "l.jsonl", entries)], tmp_path / "l.parquet")

    with parquet.ParquetFile(found.path) as file:
        assert file.num_row_groups == 20
        numbers = file.read(["number"]).column(0).to_pylist()
    assert numbers == [number for number in range(1000) for _ in range(2)]


@pytest.mark.parametrize(("make", "told"), [(False, "no such file or folder"), (True, "no label, expected CSV")])
def test_where_there_is_no_label_that_is_told(tmp_path: Path, make: bool, told: str) -> None:
    source = tmp_path / "l"
    if make:
        source.mkdir()

    with pytest.raises(ConfigError, match=told) as caught:
        collect([source], tmp_path / "l.parquet")

    assert str(source) in str(caught.value)


def test_a_table_appears_whole(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")

    with pytest.raises(ConfigError):
        collect([tmp_path / "empty.jsonl"], tmp_path / "l.parquet")

    assert [path.name for path in tmp_path.iterdir()] == ["empty.jsonl"]


def test_a_file_of_a_store_is_read_as_its_end_says_and_told_by_its_url(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/l.csv").write_text("id,label\nr1,1\nr2\n")
    (tmp_path / "near").mkdir()

    found = collect([f"file://{tmp_path}/far"], tmp_path / "near/l.parquet")

    assert [each["id"] for each in parquet.read_table(found.path).to_pylist()] == ["r1"]
    assert found.faults == [f"{tmp_path}/far/l.csv:3: 1 cells, expected 2 as there are names"]
    assert [path.name for path in (tmp_path / "near").iterdir()] == ["l.parquet"]


def test_an_object_that_goes_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> list[Input]:
        return [Input(f"{tmp_path}/gone.jsonl", 1, "", store=f"file://{tmp_path}", key="gone.jsonl")]

    monkeypatch.setattr(labels, "find", gone)

    with pytest.raises(ConfigError, match=r"gone\.jsonl.*expected a file that stays"):
        collect([f"file://{tmp_path}/gone.jsonl"], tmp_path / "l.parquet")
