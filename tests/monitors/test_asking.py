import json

import numpy as np
import pytest

from sidecar.errors import PayloadError
from sidecar.monitors.asking import MAX_CELLS, Background, Question, answer, may_be_repeated, question
from sidecar.payload import DECODERS
from sidecar.payload.attributed import Attributed
from sidecar.payload.decoding import Decoding
from sidecar.payload.redacting import REDACTED
from sidecar.records import JSON, Body, Capture, Table
from sidecar.stats.moments import Floats
from tests.admin.rig import capture
from tests.monitors.rig import of

NAMES = ("feature_0", "feature_1", "feature_2")
WEIGHTS = np.array([2.0, -1.0, 0.0])
SAMPLE = np.random.default_rng(0).normal(size=(100, 3))
DECODING = Decoding(DECODERS)


def exchange(document: JSON, **changes: object) -> Capture:
    made = capture(data=json.dumps(document).encode())
    answered = {"reply": Body("application/json", b'{"predictions": [1]}'), **changes}
    return made._replace(**answered)  # type: ignore[arg-type]  # the test names them


def asked(made: Capture, sample: Table | None = None, *, rows: int = 32) -> Question:
    background = Background(sample or of(SAMPLE, *NAMES), rows)
    return question(made, DECODING.decode(made), background, DECODING, np.random.default_rng(0))


def reply(predictions: JSON) -> Body:
    return Body("application/json", json.dumps({"predictions": predictions}).encode())


def linear(asked_for: Question) -> list[float]:
    rows = np.array(json.loads(asked_for.body)["instances"])
    return [float(each) for each in rows @ WEIGHTS]


ROW = exchange({"instances": [[0.5, 1.5, -1.0]]})


def test_a_linear_models_attributions_are_its_weights_times_the_distance_to_the_background() -> None:
    made = asked(ROW, rows=100)
    found: Attributed = answer(made, 200, reply(linear(made)), DECODING, "")
    expected = WEIGHTS * (np.array([0.5, 1.5, -1.0]) - SAMPLE.mean(axis=0))
    assert found.names == NAMES
    assert found.values[0] == pytest.approx(expected, abs=1e-9)


def test_a_call_asks_for_the_row_and_its_copies_in_one_request() -> None:
    made = asked(ROW, rows=2)
    rows = json.loads(made.body)["instances"]
    assert len(rows) == 2 * 4
    assert rows[3] == rows[7] == [0.5, 1.5, -1.0]


def test_features_that_the_sample_does_not_have_stay() -> None:
    made = asked(ROW, of(SAMPLE[:, :1], "feature_1"))
    assert made.names == ("feature_1",)
    assert {(row[0], row[2]) for row in json.loads(made.body)["instances"]} == {(0.5, -1.0)}


def test_texts_and_missing_values_of_the_sample_are_asked_for() -> None:
    sample = Table(("age", "country"), np.array([[30.0, np.nan], [np.nan, np.nan]]), {1: ["de", "fr"]})
    made = asked(exchange({"instances": [{"age": 40, "country": "it"}]}), sample)
    rows = json.loads(made.body)["instances"]
    assert {"age": 30, "country": "de"} in rows
    assert {"age": None, "country": "fr"} in rows


def test_rows_that_have_all_values_are_the_background_where_there_are_enough() -> None:
    values = np.where(np.arange(100)[:, None] % 2 == 0, SAMPLE, np.nan)
    background = Background(of(values, *NAMES), 50)
    assert None not in {cell for row in background.rows(NAMES, 50) for cell in row}
    assert background.rows(NAMES, 9) == Background(of(values, *NAMES), 9).rows(NAMES, 9)


def test_of_many_features_fewer_background_rows_are_used_and_of_too_many_none() -> None:
    def wide(k: int) -> Question:
        sample = of(np.zeros((32, k)), *(f"feature_{place}" for place in range(k)))
        return asked(exchange({"instances": [[1.0] * k]}), sample)

    rows = json.loads(wide(200).body)["instances"]
    assert 1 < len(rows) * 200 <= MAX_CELLS
    with pytest.raises(PayloadError):
        wide(400)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"status": 500},
        {"error_type": "timeout"},
        {"path": "http://elsewhere/"},
        {"path": "/a b"},
        {"path": "/ä"},
        {"reply": Body("application/json", b'{"other": 1}')},
        {"reply": Body("application/json", b'{"predictions": [1, 2]}')},
    ],
)
def test_only_what_was_answered_with_predictions_is_asked_again(changes: dict[str, object]) -> None:
    made = exchange({"instances": [[0.5, 1.5, -1.0]]}, **changes)
    assert not may_be_repeated(made, DECODING.decode(made))
    with pytest.raises(PayloadError):
        asked(made)


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [[0.5, REDACTED, 1.0]]},
        {"instances": [{"other": 1}]},
    ],
)
def test_what_is_redacted_or_unknown_to_the_sample_is_not_asked(document: JSON) -> None:
    with pytest.raises(PayloadError):
        asked(exchange(document))


def test_a_format_that_would_be_read_otherwise_is_not_sent() -> None:
    tensor = {"name": "x", "shape": [1, 3], "datatype": "INT64", "data": [1, 2, 3]}
    made = exchange({"inputs": [tensor]}, reply=Body("application/json", b""))
    made = made._replace(reply=Body("", json.dumps({"outputs": [{**tensor, "shape": [1, 1], "data": [1]}]}).encode()))
    with pytest.raises(PayloadError, match="reads otherwise"):
        asked(made)
    assert asked(made, of(np.round(SAMPLE), *NAMES)).names == NAMES


def test_a_probability_is_explained_unless_another_column_is_named() -> None:
    made = asked(ROW)
    answers = [{"label": "no", "probability": 0.25, "margin": value} for value in linear(made)]

    def found(output: str) -> Floats:
        values: Floats = answer(made, 200, reply(answers), DECODING, output).values[0]
        return values

    assert found("").tolist() == [0, 0, 0]
    assert np.abs(found("margin")).max() > 0.1
    for output in ("label", "other"):
        with pytest.raises(PayloadError):
            found(output)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (200, b"garbage"),
        (200, b""),
        (200, b'{"predictions": [1]}'),
        (200, json.dumps({"predictions": [None] * 128}).encode()),
        (200, b'{"predictions": [' + b"1e308, -1e308, " * 63 + b"1e308, -1e308]}"),
    ],
)
def test_answers_that_are_none_are_refused(status: int, body: bytes) -> None:
    with pytest.raises(PayloadError):
        answer(asked(ROW), status, Body("application/json", body), DECODING, "")
