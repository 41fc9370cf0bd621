import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import PayloadError
from sidecar.payload.csv import CSV

DECODER = CSV()


@pytest.mark.parametrize(
    ("body", "names", "rows"),
    [
        (b"1,2.5,-3e2", (), [[1.0, 2.5, -300.0]]),
        (b"1,2\n3,4\n", (), [[1.0, 2.0], [3.0, 4.0]]),
        (b"1,2\r\n\r\n3,4", (), [[1.0, 2.0], [3.0, 4.0]]),
        (b"a,1,\n,2,x", (), [["a", 1.0, None], [None, 2.0, "x"]]),
        (b'"a,b","say ""hi""","line\nend",1_000', (), [["a,b", 'say "hi"', "line\nend", "1_000"]]),
        ("\ufeffé,1".encode(), (), [["é", 1.0]]),
        (b"inf,-Infinity", (), [[math.inf, -math.inf]]),
        (b"age,name\n7,x\n8,y", ("age", "name"), [[7.0, "x"], [8.0, "y"]]),
        (b"a,b\nc,d", (), [["a", "b"], ["c", "d"]]),
        (b"a,b", (), [["a", "b"]]),
        (b"a,\n1,2", (), [["a", None], [1.0, 2.0]]),
    ],
)
def test_lines_become_rows(body: bytes, names: tuple[str, ...], rows: list[list[object]]) -> None:
    assert DECODER.features(body, None) == (names, rows)
    assert DECODER.predictions(body, None) == (names, rows)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\n\n", "empty"),
        (b"\xff", "format"),
        (b'"a', "format"),
        (b'"a"b', "format"),
        (b"1," + b"x" * 200_000, "format"),
        (b"1,2\n3", "shape"),
        (b"1\n" * 70_000, "shape"),
        (b"1," * 5000, "shape"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_table_is_a_payload_error(body: bytes, reason: str) -> None:
    with pytest.raises(PayloadError) as raised:
        DECODER.features(body, None)

    assert raised.value.reason == reason


def test_a_reply_may_be_json() -> None:
    assert DECODER.predictions(b"...", {"predictions": [{"score": 0.5}]}) == (("score",), [[0.5]])
    assert DECODER.predictions(b"0.5", 0.5) == ((), [[0.5]])


def test_the_media_type_tells() -> None:
    assert DECODER.reads("/invocations", "text/csv", None)
    assert not DECODER.reads("/invocations", "text/plain", None)


@given(
    st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=5), min_size=1).filter(
        lambda rows: len(set(map(len, rows))) == 1
    )
)
def test_numbers_are_read_as_written(rows: list[list[float]]) -> None:
    body = "\n".join(",".join(map(repr, row)) for row in rows).encode()

    assert DECODER.features(body, None) == ((), rows)
