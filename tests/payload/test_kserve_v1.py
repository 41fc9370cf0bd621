import pytest

from sidecar.errors import PayloadError
from sidecar.payload.kserve_v1 import KServeV1
from sidecar.records import JSON

V1 = KServeV1()


@pytest.mark.parametrize(
    ("document", "grid"),
    [
        (
            {"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]},
            ((), [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]),
        ),
        (
            {"signature_name": "serving_default", "instances": [{"tag": "foo", "signal": [1, 2]}]},
            (("tag", "signal_0", "signal_1"), [["foo", 1, 2]]),
        ),
        ({"instances": ["foo", "bar"]}, ((), [["foo"], ["bar"]])),
        ({"inputs": {"tag": ["foo", "bar"], "n": [1, 2]}}, (("tag", "n"), [["foo", 1], ["bar", 2]])),
        ({"inputs": [[1.0, 2.0]]}, ((), [[1.0, 2.0]])),
    ],
)
def test_requests_are_read_by_row_and_by_column(document: JSON, grid: object) -> None:
    assert V1.reads("/v1/models/m:predict", "application/json", document)
    assert V1.features(b"", document) == grid


@pytest.mark.parametrize(
    ("document", "grid"),
    [
        ({"predictions": [1, 0]}, ((), [[1], [0]])),
        ({"predictions": [[0.1, 0.9]]}, ((), [[0.1, 0.9]])),
        ({"predictions": [{"label": "a", "score": 0.9}]}, (("label", "score"), [["a", 0.9]])),
        ({"outputs": {"score": [0.1, 0.2]}}, (("score",), [[0.1], [0.2]])),
        ({"outputs": [0.1, 0.2]}, ((), [[0.1], [0.2]])),
    ],
)
def test_replies_are_read_by_row_and_by_column(document: JSON, grid: object) -> None:
    assert V1.predictions(b"", document) == grid


@pytest.mark.parametrize("document", [None, [], {}, {"instances": 1}, {"error": "x"}])
def test_anything_else_is_another_format(document: JSON) -> None:
    for read in (V1.features, V1.predictions):
        with pytest.raises(PayloadError) as raised:
            read(b"", document)
        assert raised.value.reason == "format"
