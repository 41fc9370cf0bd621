import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyarrow import parquet

import sidecar
from sidecar.errors import ConfigError
from sidecar.records import JSON
from sidecar.report.frames.captured import read_captures, scan_captures
from tests.report.truth_rig import item, write_rows


def half(text: str, encoding: str = "CSV") -> JSON:
    return {"observedContentType": "text/csv", "mode": "INPUT", "data": text, "encoding": encoding}


def line(number: int, asked: str, answered: str) -> JSON:
    return {
        "captureData": {"endpointInput": half(asked), "endpointOutput": half(answered)},
        "eventMetadata": {"eventId": f"e{number}", "inferenceTime": f"2026-11-23T19:00:{number:02}Z"},
        "eventVersion": "0",
    }


def sagemaker(folder: Path, lines: Sequence[JSON], variant: str = "AllTraffic") -> Path:
    """A folder as SageMaker's data capture writes it."""
    hour = folder / "endpoint" / variant / "2026/11/23/19"
    hour.mkdir(parents=True)
    (hour / "00-00-000-a.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    return folder


def test_a_folder_of_sagemakers_is_a_table_with_a_line_for_each_row(tmp_path: Path) -> None:
    encoded = line(1, "", "")
    encoded["captureData"]["endpointInput"] = half(base64.b64encode(b"3,Wien").decode(), "BASE64")
    encoded["captureData"]["endpointOutput"] = half("0.25")
    folder = sagemaker(tmp_path, [line(0, "1,Wien\n2,Graz", "0.5\n0.75"), encoded])

    table = read_captures(folder, features=["age", "city"], prediction=["score"])

    names = ["event_id", "row", "feature__age", "feature_text__city", "prediction__score", "variant", "hour"]
    assert [list(each.values()) for each in table.select(names).to_pylist()] == [
        ["e0", 0, 1.0, "Wien", 0.5, "AllTraffic", "2026-11-23T19"],
        ["e0", 1, 2.0, "Graz", 0.75, "AllTraffic", "2026-11-23T19"],
        ["e1", 0, 3.0, "Wien", 0.25, "AllTraffic", "2026-11-23T19"],
    ]


def test_what_cannot_be_read_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    folder = sagemaker(tmp_path, [line(0, "1", "1"), {"no": "capture"}])

    with pytest.warns(UserWarning, match=r"captures passed over: 1 \(line\); .*a\.jsonl:2: ") as caught:
        table = sidecar.read_captures(str(folder))

    assert table.num_rows == 1
    assert caught[0].filename == __file__


def test_files_of_other_columns_become_one_table_with_nothing_where_a_file_has_none(tmp_path: Path) -> None:
    write_rows(tmp_path / "b", [item(0, variant="b", features=("AGE",))])
    write_rows(tmp_path / "a", [item(0, (("young",),), variant="a/é"), item(4000, ((1.0,),), variant="")])

    table = read_captures(tmp_path)

    names = {name.lower(): name for name in table.column_names}
    told = table.select(["variant", names["feature__age"], "feature_text__age"]).to_pylist()
    assert sorted((tuple(each.values()) for each in told), key=str) == [
        ("", 1.0, None),
        ("a/é", None, "young"),
        ("b", 30.0, None),
    ]


def test_batches_have_the_same_columns_and_are_the_table(tmp_path: Path) -> None:
    write_rows(tmp_path, [item(0), item(4000, (("young",),)), item(8000, headers={"x-user": "u"})])

    batches = list(scan_captures(tmp_path))

    assert len({batch.schema for batch in batches}) == 1
    assert len(batches) == 3
    assert sum(batch.num_rows for batch in batches) == read_captures(tmp_path).num_rows == 3


def test_a_folder_without_a_row_is_an_empty_table(tmp_path: Path) -> None:
    folder = sagemaker(tmp_path, [])

    table = read_captures(folder)

    assert table.num_rows == 0
    assert {"time", "event_id", "variant", "hour"} <= set(table.column_names)


def test_where_there_are_no_captures_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file, expected such as end with \.jsonl"):
        read_captures(tmp_path)


def test_without_pyarrow_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigError, match=r"pip install 'sidecar\[report\]'"):
        read_captures(tmp_path)


def test_what_was_decoded_meanwhile_is_gone_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = sagemaker(tmp_path / "captures", [line(0, "1", "1")])

    assert len(list(scan_captures(folder))) == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_table_is_what_pandas_and_parquet_take(tmp_path: Path) -> None:
    table = read_captures(sagemaker(tmp_path / "captures", [line(0, "1,Wien", "1")]))

    parquet.write_table(table, tmp_path / "t.parquet")

    frame = table.to_pandas()
    assert frame["time"].dt.tz is not None
    assert parquet.read_table(tmp_path / "t.parquet").equals(table)
