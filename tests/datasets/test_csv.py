from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.datasets.chunk import CELLS, Chunk
from sidecar.datasets.csv import read_csv
from sidecar.errors import ConfigError

NAN = np.nan


def chunks(path: Path, text: str | bytes) -> list[Chunk]:
    file = path / "data.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_csv(file))


def test_numbers_texts_and_gaps(tmp_path: Path) -> None:
    (chunk,) = chunks(tmp_path, "a,b,c,d\n1,1.5,x,\n-2,,1_000,\n\n3,1e3,7,\n")

    table = chunk.table
    assert table.names == ("a", "b", "c", "d")
    np.testing.assert_array_equal(table.values, [[1, 1.5, NAN, NAN], [-2, NAN, NAN, NAN], [3, 1000, 7, NAN]])
    assert table.texts == {2: ["x", "1_000", None]}
    assert chunk.fractional == [1]


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ("age,sum", ("age", "sum")),
        ("\ufeffage,sum", ("age", "sum")),
        ("1,x", ("feature_0", "feature_1")),
        ("x,", ("feature_0", "feature_1")),
        ('"a,b","c\nd"', ("a,b", "c\nd")),
    ],
)
def test_the_first_line_holds_names_unless_a_cell_is_empty_or_a_number(
    tmp_path: Path, first: str, names: tuple[str, ...]
) -> None:
    (chunk,) = chunks(tmp_path, f"{first}\r\n2,3\r\n")

    assert chunk.table.names == names
    assert len(chunk.table.values) == (2 if names[0].startswith("feature") else 1)


@pytest.mark.parametrize("field", ["1.0", "1e2", "1E2", "nan", "NaN", "inf", "-Infinity"])
def test_what_is_written_as_a_fraction_is_one(tmp_path: Path, field: str) -> None:
    (chunk,) = chunks(tmp_path, f"a,b\n1,{field}\n")

    assert chunk.fractional == [1]


def test_a_long_file_comes_in_chunks_and_every_byte_is_told(tmp_path: Path) -> None:
    text = "a\n" + "".join(f"{row}\n" for row in range(3 * CELLS + 5))

    found = chunks(tmp_path, text)

    values = np.concatenate([chunk.table.values[:, 0] for chunk in found])
    assert max(len(chunk.table.values) for chunk in found) <= CELLS
    assert values.tolist() == list(range(3 * CELLS + 5))
    assert sum(chunk.read_bytes for chunk in found) == len(text)


def test_wide_rows_come_in_small_chunks(tmp_path: Path) -> None:
    width = CELLS // 2
    names, row = (",".join(f"{prefix}{cell}" for cell in range(width)) for prefix in ("a", ""))

    found = chunks(tmp_path, "\n".join([names, row, row, row, ""]))

    assert [chunk.table.values.shape for chunk in found] == [(2, width), (1, width)]


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n"])
def test_a_file_without_rows_has_no_chunks(tmp_path: Path, text: str) -> None:
    assert chunks(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a,b\n1,2\n3\n", "data.csv, up to line 3: a row of 1 cells, expected 2 as there are names"),
        (b"a,b\n1,2,3\n", "data.csv, up to line 2: a row of 3 cells, expected 2 as there are names"),
        (b"a,a\n1,2\n", "data.csv:1: a name occurs twice, expected different names"),
        (b'a,b\n1,"2\n', "data.csv:3: unexpected end of data, expected CSV in UTF-8"),
        (b"a,b\n1,\xff\n", "invalid start byte, expected CSV in UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        chunks(tmp_path, text)

    assert str(raised.value).endswith(message)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_no_file_ends_in_anything_but_chunks_or_a_refusal(tmp_path: Path, data: bytes) -> None:
    try:
        for chunk in chunks(tmp_path, data):
            assert chunk.table.values.shape[1] == len(chunk.table.names)
    except ConfigError:
        pass
