"""The demo's model: a real classifier trained on real rows, and the folder from which MLServer serves it.

The rows are the 569 tumours of the Wisconsin breast cancer data that scikit-learn carries, 30 measurements of each
(W. N. Street, W. H. Wolberg, O. L. Mangasarian: Nuclear feature extraction for breast tumor diagnosis, 1993).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.records import JSON

NAME = "breast-cancer"
VERSION = "1"
KEPT_BACK_RATIO = 0.4
SEED = 0
OUTPUTS = ("predict", "predict_proba")


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of the training.

    Args:
        features: The k names.
        training: The rows that the model has seen, each of k measurements.
        rows: Those that it has not seen, in random order.
        accuracy: The share of `rows` of which it is right.
    """

    features: Sequence[str]
    training: Sequence[Sequence[float]]
    rows: Sequence[Sequence[float]]
    accuracy: float


def train(folder: Path) -> Trained:
    """Train the model, and leave it in `folder` as MLServer wants it."""
    import joblib
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    seen, kept_back, seen_labels, kept_back_labels = train_test_split(
        rows, labels, test_size=KEPT_BACK_RATIO, random_state=SEED, stratify=labels
    )
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(seen, seen_labels)
    joblib.dump(model, folder / "model.joblib")
    return Trained(
        features=tuple(rows.columns),
        training=seen.to_numpy().tolist(),
        rows=kept_back.to_numpy().tolist(),
        accuracy=float(model.score(kept_back, kept_back_labels)),
    )


def write_settings(folder: Path, name: str, port: int) -> None:
    """Tell MLServer what to serve under this name, and to listen on this port of the loopback alone.

    Its gRPC server cannot be switched off: it gets a port of the kernel's choice.
    """
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": 0,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": name,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": VERSION},
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))


def body(features: Sequence[str], row: Sequence[float | str]) -> bytes:
    """The request for one row: a tensor for each feature, in the Open Inference Protocol.

    `content_type: pd` is MLServer's word for "these tensors are the columns of one table", `str` for texts.

    Example:
        >>> body(["area"], [1001.0])[:96].decode()
        '{"parameters":{"content_type":"pd"},"inputs":[{"name":"area","shape":[1,1],"datatype":"FP64","da'
    """
    columns = [_tensor(name, value) for name, value in zip(features, row, strict=True)]
    outputs = [{"name": name} for name in OUTPUTS]
    document = {"parameters": {"content_type": "pd"}, "inputs": columns, "outputs": outputs}
    return json.dumps(document, separators=(",", ":")).encode()


def _tensor(name: str, value: float | str) -> JSON:
    if isinstance(value, str):
        text = {"content_type": "str"}
        return {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [value], "parameters": text}
    return {"name": name, "shape": [1, 1], "datatype": "FP64", "data": [value]}
