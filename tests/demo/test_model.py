import json
from pathlib import Path

import pytest

from sidecar.demo.model import Trained, body, train, write_settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Trained:
    return train(folder)


def test_the_model_is_a_good_one_on_rows_that_it_has_not_seen(trained: Trained) -> None:
    assert len(trained.training) + len(trained.rows) == 569
    assert len(trained.rows) == 228
    assert {len(row) for row in [*trained.training, *trained.rows]} == {len(trained.features)} == {30}
    assert trained.accuracy > 0.95


def test_training_again_gives_the_same(trained: Trained, tmp_path: Path) -> None:
    assert train(tmp_path) == trained


def test_the_saved_model_takes_named_columns_without_a_warning(trained: Trained, folder: Path) -> None:
    import joblib
    from sklearn.datasets import load_breast_cancer

    rows = load_breast_cancer(as_frame=True).data

    assert tuple(rows.columns) == trained.features
    assert joblib.load(folder / "model.joblib").predict_proba(rows).shape == (569, 2)


def test_the_server_listens_on_the_loopback_only_and_opens_nothing_that_is_not_needed(tmp_path: Path) -> None:
    write_settings(tmp_path, "iris", 4711)

    server = json.loads((tmp_path / "settings.json").read_text())
    assert (server["host"], server["http_port"], server["grpc_port"]) == ("127.0.0.1", 4711, 0)
    assert (server["metrics_endpoint"], server["parallel_workers"]) == (None, 0)
    assert json.loads((tmp_path / "model-settings.json").read_text())["name"] == "iris"


def test_a_row_is_a_table_of_one_line_with_named_columns() -> None:
    document = json.loads(body(["area", "radius"], [1001.0, 17.99]))

    assert [(column["name"], column["shape"], column["data"]) for column in document["inputs"]] == [
        ("area", [1, 1], [1001.0]),
        ("radius", [1, 1], [17.99]),
    ]
    assert document["parameters"] == {"content_type": "pd"}
    assert [output["name"] for output in document["outputs"]] == ["predict", "predict_proba"]


def test_a_text_is_told_to_be_one() -> None:
    (column,) = json.loads(body(["country"], ["AT"]))["inputs"]

    assert column == {
        **{"name": "country", "shape": [1, 1], "datatype": "BYTES", "data": ["AT"]},
        "parameters": {"content_type": "str"},
    }
