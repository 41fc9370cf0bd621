import math
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ConfigError, PayloadError
from sidecar.payload import DECODERS
from sidecar.payload.decoding import REASONS, Decoding
from sidecar.payload.reading import Documents
from sidecar.records import Body, Capture, Rows

MakeCapture = Callable[..., Capture]

AUTO = Decoding(DECODERS)


def tensors(member: str, name: str, shape: list[int], data: list[object]) -> bytes:
    return orjson.dumps({member: [{"name": name, "shape": shape, "datatype": "FP32", "data": data}]})


PAIR = ("feature_0", "feature_1")
FOUND = {
    "v2": (
        (b"/v2/models/m/infer", "application/json", tensors("inputs", "x", [1, 2], [1, 2])),
        ("application/json", tensors("outputs", "label", [1, 1], [1])),
        Rows(PAIR, [[1, 2]], ("label",), [[1]]),
    ),
    "v1": (
        (b"/v1/models/m:predict", "application/json", b'{"instances": [[1, Infinity], [2, 3]]}'),
        ("application/json", b'{"predictions": [[0.1, 0.9], [0.2, 0.8]]}'),
        Rows(PAIR, [[1, math.inf], [2, 3]], ("prediction_0", "prediction_1"), [[0.1, 0.9], [0.2, 0.8]]),
    ),
    "v1 without media type": (
        (b"/predict", "", b' {"instances": [{"age": 7}]}'),
        ("", b'{"predictions": [0.5]}'),
        Rows(("age",), [[7]], ("prediction",), [[0.5]]),
    ),
    "mlflow": (
        (b"/invocations", "application/json; charset=utf-8", b'{"dataframe_records": [{"age": 7}]}'),
        ("application/json", b"[0.5]"),
        Rows(("age",), [[7]], ("prediction",), [[0.5]]),
    ),
    "csv": (
        (b"/invocations", "text/csv", b"1,2\n3,4"),
        ("text/csv; charset=utf-8", b"0.5,a\n0.25,b\n"),
        Rows(PAIR, [[1.0, 2.0], [3.0, 4.0]], ("prediction_0", "prediction_1"), [[0.5, "a"], [0.25, "b"]]),
    ),
    "csv to json": (
        (b"/invocations", "text/csv", b"1,2"),
        ("application/json", b'{"predictions": [{"score": 0.5}]}'),
        Rows(PAIR, [[1.0, 2.0]], ("score",), [[0.5]]),
    ),
    "json to csv": (
        (b"/invocations", "application/json", b'{"instances": [{"features": [1]}]}'),
        ("text/csv", b"0.5"),
        Rows(("feature_0",), [[1]], ("prediction",), [[0.5]]),
    ),
    "jsonlines": (
        (b"/invocations", "application/jsonlines", b'{"features": [1]}\n{"features": [2]}'),
        ("application/jsonlines", b'{"score": 0.5}\n{"score": 0.25}'),
        Rows(("feature_0",), [[1], [2]], ("score",), [[0.5], [0.25]]),
    ),
}


@pytest.mark.parametrize(("request_", "reply", "rows"), FOUND.values(), ids=FOUND)
def test_the_format_is_found(
    request_: tuple[bytes, str, bytes], reply: tuple[str, bytes], rows: Rows, make_capture: MakeCapture
) -> None:
    target, media, question = request_
    reply_media, answer = reply

    capture = make_capture(question, answer, media=media, reply_media=reply_media, target=target)

    assert AUTO.decode(capture) == rows


@pytest.mark.parametrize(
    ("media", "body", "reason"),
    [
        ("application/json", b"", "empty"),
        ("application/json", b"1,2", "json"),
        ("application/vnd.x+json", b"{", "json"),
        ("", b' {"instances": [', "json"),
        ("", b"[" * 100_000, "json"),
        ("application/json", b'{"messages": []}', "format"),
        ("application/json", b"null", "format"),
        ("image/png", b"\x89PNG", "format"),
        ("", b"1,2", "format"),
        ("text/csv", b'"', "format"),
        ("application/json", b'{"instances": []}', "empty"),
        ("application/json", b'{"instances": [[1], [1, 2]]}', "shape"),
        ("application/json", b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', "shape"),
    ],
)
def test_a_request_that_cannot_be_read_is_a_payload_error(
    media: str, body: bytes, reason: str, make_capture: MakeCapture
) -> None:
    with pytest.raises(PayloadError) as raised:
        AUTO.decode(make_capture(body, media=media))

    assert raised.value.reason == reason
    assert reason in REASONS


@pytest.mark.parametrize(
    ("status", "media", "reply", "reason"),
    [
        (200, "application/json", b"", "empty"),
        (200, "application/json", b"{", "json"),
        (200, "text/html", b"<html>", "format"),
        (200, "application/json", b'{"error": "x"}', "format"),
        (200, "application/json", b'{"predictions": [[1], []]}', "shape"),
        (200, "application/json", b'{"predictions": [1, 2]}', "rows"),
        (200, "text/csv", b"1\n2\n3", "rows"),
        (400, "application/json", b'{"predictions": [1]}', "status"),
        (503, "text/plain", b"no", "status"),
        (0, "", b"", "status"),
    ],
)
def test_a_reply_that_cannot_be_read_costs_its_predictions_only(
    status: int, media: str, reply: bytes, reason: str, make_capture: MakeCapture
) -> None:
    capture = make_capture(b'{"instances": [[1, 2]]}', reply, reply_media=media, status=status)

    assert AUTO.decode(capture) == Rows(("feature_0", "feature_1"), [[1, 2]], fault=reason)
    assert reason in REASONS


def test_a_body_that_is_not_all_there_is_not_read(make_capture: MakeCapture) -> None:
    whole = make_capture(b'{"instances": [1]}', b'{"predictions": [1]}')
    cut = Body("application/json", b'{"instances": [1]}', "truncated")

    assert AUTO.decode(whole._replace(reply=cut)).fault == "withheld"
    with pytest.raises(PayloadError) as raised:
        AUTO.decode(whole._replace(request=cut))
    assert raised.value.reason == "withheld"


@pytest.mark.parametrize(
    ("body", "configured", "names"),
    [
        (b'{"instances": [[1, 2]]}', ("age", "income"), ("age", "income")),
        (b'{"instances": [[1, 2]]}', ("age",), ("feature_0", "feature_1")),
        (b'{"instances": [{"b": 1, "a": 2}]}', ("age", "income"), ("b", "a")),
        (b'{"instances": [1]}', (), ("feature_0",)),
    ],
)
def test_features_are_called_as_the_payload_or_the_configuration_says(
    body: bytes, configured: tuple[str, ...], names: tuple[str, ...], make_capture: MakeCapture
) -> None:
    assert Decoding(DECODERS, features=configured).decode(make_capture(body)).features == names


@pytest.mark.parametrize(
    ("reply", "names"),
    [
        (b'{"predictions": [[1, 0.9]]}', ("label", "probability")),
        (b'{"predictions": [0.9]}', ("prediction",)),
        (b'{"predictions": [[1, 2, 3]]}', ("prediction_0", "prediction_1", "prediction_2")),
        (b'{"predictions": [{"a": 1, "b": 2}]}', ("a", "b")),
    ],
)
def test_predictions_are_called_as_the_payload_or_the_configuration_says(
    reply: bytes, names: tuple[str, ...], make_capture: MakeCapture
) -> None:
    decoding = Decoding(DECODERS, prediction=["label", "probability"])

    assert decoding.decode(make_capture(b'{"instances": [1]}', reply)).predictions == names


def test_a_configured_format_is_not_guessed(make_capture: MakeCapture) -> None:
    rows = Decoding(DECODERS, format="csv").decode(make_capture(b"1,2", b"0.5", media="text/plain"))

    assert rows == Rows(("feature_0", "feature_1"), [[1.0, 2.0]], ("prediction",), [[0.5]])
    with pytest.raises(PayloadError) as raised:
        Decoding(DECODERS, format="mlflow").decode(make_capture(b"1,2", media="text/csv"))
    assert raised.value.reason == "format"


def test_an_unknown_format_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'xml', expected auto or one of .*csv"):
        Decoding(DECODERS, format="xml")


def test_documents_that_reading_has_parsed_are_not_parsed_again(make_capture: MakeCapture) -> None:
    capture = make_capture(b"{not JSON", b"{not JSON")

    rows = AUTO.decode(capture, Documents({"instances": [1]}, {"predictions": [2]}))

    assert rows == Rows(("feature_0",), [[1]], ("prediction",), [[2]])


Scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
Member = st.sampled_from(
    [
        *("instances", "inputs", "outputs", "predictions", "dataframe_split", "dataframe_records", "features"),
        *("name", "shape", "data", "columns", "parameters", "content_type", "datatype"),
    ]
)
Tree = st.recursive(Scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(Member, inner, max_size=5))
Medias = st.sampled_from(["application/json", "", "text/csv", "application/jsonlines", "image/png"])


def capture_of(request: Body, reply: Body, path: str) -> Capture:
    return Capture("r", "", "v", "", "POST", path, "", 200, "", 0.0, 0.0, 0.0, 0.0, 1.0, {}, request, reply)


def check(decoding: Decoding, capture: Capture, documents: Documents) -> None:
    try:
        rows = decoding.decode(capture, documents)
    except PayloadError as error:
        reason = error.reason
    else:
        reason = rows.fault or "rows"
        assert {len(row) for row in rows.asked} == {len(rows.features)}
        assert {len(row) for row in rows.answered} <= {len(rows.predictions)}
        assert len(rows.answered) == (0 if rows.fault else len(rows.asked))
    assert reason in REASONS


@given(Tree, Tree, st.sampled_from(["auto", *DECODERS]))
def test_no_document_raises_anything_else(question: object, answer: object, format_name: str) -> None:
    body = Body("application/json", b"...")

    check(Decoding(DECODERS, format=format_name), capture_of(body, body, "/invocations"), Documents(question, answer))


@given(st.binary() | Tree.map(repr).map(str.encode), st.binary(), Medias, st.sampled_from(["auto", *DECODERS]))
def test_no_bytes_raise_anything_else(question: bytes, answer: bytes, media: str, format_name: str) -> None:
    capture = capture_of(Body(media, question), Body(media, answer), "/invocations")

    check(Decoding(DECODERS, format=format_name), capture, Documents())
