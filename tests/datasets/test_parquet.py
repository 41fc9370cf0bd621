from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.datasets.chunk import CELLS
from sidecar.datasets.parquet import read_parquet
from sidecar.errors import ConfigError


def write(path: Path, columns: dict[str, object]) -> Path:
    file = path / "data.parquet"
    parquet.write_table(arrow.table(columns), file)
    return file


def test_numbers_texts_and_gaps(tmp_path: Path) -> None:
    columns = {
        "i": arrow.array([1, None, 3], arrow.int32()),
        "f": [1.0, 2.0, None],
        "d": [Decimal("1.5"), None, Decimal("-2.5")],
        "b": [True, None, False],
        "s": ["x", None, "y"],
        "c": arrow.array(["u", "u", None]).dictionary_encode(),
        "n": arrow.nulls(3),
    }

    (chunk,) = read_parquet(write(tmp_path, columns))

    nan = np.nan
    assert chunk.table.names == tuple(columns)
    np.testing.assert_array_equal(
        chunk.table.values,
        [[1, 1, 1.5, 1, nan, nan, nan], [nan, 2, nan, nan, nan, nan, nan], [3, nan, -2.5, 0, nan, nan, nan]],
    )
    assert chunk.table.texts == {4: ["x", None, "y"], 5: ["u", "u", None]}
    assert chunk.fractional == [1, 2]


def test_a_long_file_comes_in_chunks(tmp_path: Path) -> None:
    file = write(tmp_path, {"a": range(2 * CELLS + 1)})

    chunks = list(read_parquet(file))

    assert sum(len(chunk.table.values) for chunk in chunks) == 2 * CELLS + 1
    assert max(len(chunk.table.values) for chunk in chunks) <= CELLS
    assert sum(chunk.read_bytes for chunk in chunks) == pytest.approx(file.stat().st_size, abs=len(chunks))


def test_lists_are_refused_by_their_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.parquet: column 'a': list<.*>, expected numbers, booleans or texts"):
        list(read_parquet(write(tmp_path, {"a": [[1], [2]]})))


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    file.write_bytes(b"a,b\n1,2\n")

    with pytest.raises(ConfigError, match="expected Parquet"):
        list(read_parquet(file))
