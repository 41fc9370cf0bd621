"""JSON Lines as SageMaker's containers take and give it: `{"features": […]}`, a list or an object a line."""

from dataclasses import dataclass

from sidecar.errors import PayloadError
from sidecar.payload.document import parse
from sidecar.payload.grid import MAX_ROWS, Grid, from_instances, from_reply
from sidecar.payload.media import JSON_LINES
from sidecar.records import JSON


@dataclass(frozen=True, slots=True)
class JSONLines:
    """Reads `application/jsonlines` and its other names. A reply may be JSON (`predictions`, or a list) all the same.

    References:
        https://jsonlines.org; https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html.
    """

    def reads(self, path: str, content_type: str, document: JSON) -> bool:  # noqa: ARG002 - a Decoder
        """By the media type."""
        return content_type in JSON_LINES

    def features(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row a line."""
        return _parse(body)

    def predictions(self, body: bytes, document: JSON) -> Grid:
        """One row a line, or a prediction."""
        return _parse(body) if document is None else from_reply(document)


def _parse(body: bytes) -> Grid:
    if (ends := body.count(b"\n")) > MAX_ROWS:
        raise PayloadError("shape", f"body: {ends} lines, expected at most {MAX_ROWS}")
    return from_instances([parse(line) for line in body.split(b"\n") if line.strip()])
