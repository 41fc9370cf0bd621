"""KServe V1 and TensorFlow Serving: `instances` by row or `inputs` by column; `predictions` or `outputs`."""

from dataclasses import dataclass

from sidecar.errors import PayloadError
from sidecar.payload.grid import Grid, from_instances, from_value
from sidecar.records import JSON


@dataclass(frozen=True, slots=True)
class KServeV1:
    """Reads requests and replies of `/v1/models/{model}:predict`.

    References:
        https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol,
        https://www.tensorflow.org/tfx/serving/api_rest.
    """

    def reads(self, path: str, content_type: str, document: JSON) -> bool:  # noqa: ARG002 - a Decoder
        """By what the document holds, wherever it was sent."""
        return isinstance(document, dict) and ("instances" in document or "inputs" in document)

    def features(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row an instance."""
        return _member(document, "instances", "inputs")

    def predictions(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row a prediction."""
        return _member(document, "predictions", "outputs")


def _member(document: JSON, by_row: str, by_column: str) -> Grid:
    if isinstance(document, dict) and isinstance(rows := document.get(by_row), list):
        return from_instances(rows)
    if isinstance(document, dict) and by_column in document:
        return from_value(document[by_column])
    raise PayloadError("format", f"body: expected an object with {by_row!r} (a list) or {by_column!r}")
