import pytest

from sidecar.errors import PayloadError
from sidecar.payload.jsonlines import JSONLines

DECODER = JSONLines()


@pytest.mark.parametrize(
    ("body", "names", "rows"),
    [
        (b'{"features": [1, 2]}\n{"features": [3, 4]}\n', (), [[1, 2], [3, 4]]),
        (b'{"features":[1.5,16.0,14.0,23.0]}', (), [[1.5, 16.0, 14.0, 23.0]]),
        (b"[1, 2]\r\n\r\n[3, NaN]".replace(b"NaN", b"4"), (), [[1, 2], [3, 4]]),
        (b'{"predicted_label": "a", "score": 0.5}', ("predicted_label", "score"), [["a", 0.5]]),
        (b"0.5\n0.25", (), [[0.5], [0.25]]),
    ],
)
def test_lines_become_rows(body: bytes, names: tuple[str, ...], rows: list[list[object]]) -> None:
    assert DECODER.features(body, None) == (names, rows)
    assert DECODER.predictions(body, None) == (names, rows)


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"\n \n", "empty"), (b'{"a": 1}\n{"a"', "json"), (b"[1]\n{}", "shape"), (b"1\n" * 70_000, "shape")],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_table_is_a_payload_error(body: bytes, reason: str) -> None:
    with pytest.raises(PayloadError) as raised:
        DECODER.features(body, None)

    assert raised.value.reason == reason


def test_a_reply_may_be_json() -> None:
    assert DECODER.predictions(b"...", {"predictions": [0.5]}) == ((), [[0.5]])


def test_the_media_type_tells() -> None:
    assert DECODER.reads("/invocations", "application/x-ndjson", None)
    assert not DECODER.reads("/invocations", "application/json", None)
