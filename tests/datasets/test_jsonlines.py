import json
from pathlib import Path

import numpy as np
import pytest

from sidecar.datasets.chunk import LINES_BYTES
from sidecar.datasets.jsonlines import read_jsonlines
from sidecar.errors import ConfigError


def write(path: Path, *lines: object) -> Path:
    file = path / "data.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_objects_are_rows_of_the_columns_that_any_has(tmp_path: Path) -> None:
    file = write(tmp_path, {"a": 1, "b": "x"}, {"b": None, "c": 2.0})

    (chunk,) = read_jsonlines(file)

    assert chunk.table.names == ("a", "b", "c")
    np.testing.assert_array_equal(chunk.table.values, [[1, np.nan, np.nan], [np.nan, np.nan, 2]])
    assert chunk.table.texts == {1: ["x", None]}
    assert (chunk.fractional, chunk.read_bytes) == ([2], file.stat().st_size)


@pytest.mark.parametrize("line", [[1, 2.5], {"features": [1, 2.5]}])
def test_lists_have_numbered_columns(tmp_path: Path, line: object) -> None:
    (chunk,) = read_jsonlines(write(tmp_path, line))

    assert chunk.table.names == ("feature_0", "feature_1")
    assert chunk.fractional == [1]


def test_a_long_file_comes_in_chunks(tmp_path: Path) -> None:
    file = write(tmp_path, *([row] for row in range(LINES_BYTES // 2)))

    chunks = list(read_jsonlines(file))

    values = np.concatenate([chunk.table.values[:, 0] for chunk in chunks])
    assert values.tolist() == list(range(LINES_BYTES // 2))
    assert max(chunk.read_bytes for chunk in chunks) < LINES_BYTES + 100
    assert sum(chunk.read_bytes for chunk in chunks) == file.stat().st_size


def test_wide_rows_are_read(tmp_path: Path) -> None:
    row = {f"c{cell}": cell for cell in range(3000)}

    chunks = list(read_jsonlines(write(tmp_path, *[row] * 500)))

    assert {chunk.table.values.shape[1] for chunk in chunks} == {3000}
    assert sum(len(chunk.table.values) for chunk in chunks) == 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": \n', "data.jsonl, lines 1 to 2: body: unexpected end of data"),
        ('{"a": 1}\n[1]\n', "data.jsonl, lines 1 to 2: rows: of different kinds"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(text)

    with pytest.raises(ConfigError) as raised:
        list(read_jsonlines(file))

    assert message in str(raised.value)
