"""MLflow's scoring server: `dataframe_split`, `dataframe_records`, `instances` or `inputs`, and `predictions`."""

from dataclasses import dataclass

from sidecar.errors import PayloadError
from sidecar.payload.grid import Grid, from_frame, from_instances, from_reply, from_value
from sidecar.records import JSON

_SPLIT = "dataframe_split"
_BY_ROW = ("dataframe_records", "instances", "inputs")
_FRAMES = frozenset({_SPLIT, "dataframe_records"})
_ALL = frozenset({_SPLIT, *_BY_ROW})


@dataclass(frozen=True, slots=True)
class MLflow:
    """Reads requests and replies of `/invocations`; `predictions` may stand alone, as before MLflow 2.

    References:
        https://mlflow.org/docs/latest/deployment/deploy-model-locally (json input).
    """

    def reads(self, path: str, content_type: str, document: JSON) -> bool:  # noqa: ARG002 - a Decoder
        """By a data frame anywhere, by tensors where MLflow takes them."""
        members = _ALL if path.endswith("/invocations") else _FRAMES
        return isinstance(document, dict) and not members.isdisjoint(document)

    def features(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row for each of the frame's."""
        if isinstance(document, dict):
            if _SPLIT in document:
                return _from_split(document[_SPLIT])
            for member in _BY_ROW:
                if member in document:
                    return from_value(document[member])
        raise PayloadError("format", f"body: expected an object with one of {', '.join((_SPLIT, *_BY_ROW))}")

    def predictions(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row a prediction."""
        return from_reply(document)


def _from_split(frame: JSON) -> Grid:
    data = frame.get("data") if isinstance(frame, dict) else None
    if not isinstance(data, list) or not all(type(row) is list for row in data):
        raise PayloadError("shape", "dataframe_split: expected an object with 'data', a list of rows")
    columns = frame.get("columns")
    if not isinstance(columns, list):
        return from_instances(data)
    if any(isinstance(name, list | dict) for name in columns):
        raise PayloadError("shape", "dataframe_split: 'columns' of several levels, expected plain names")
    return from_frame(tuple(map(str, columns)), data)
