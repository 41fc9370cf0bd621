"""CSV as SageMaker's containers take and give it: a row a line, usually without names."""

import csv
from dataclasses import dataclass
from io import StringIO
from itertools import islice

from sidecar.errors import PayloadError
from sidecar.payload import media
from sidecar.payload.grid import MAX_ROWS, Grid, from_instances, from_reply
from sidecar.records import JSON


@dataclass(frozen=True, slots=True)
class CSV:
    """Reads `text/csv`, with numbers as numbers and empty fields as missing.

    The first line holds names only where all its fields are texts and the second line has a number: SageMaker sends
    none, MLflow always does. A reply may be JSON (`predictions`, or a list) all the same.

    References:
        RFC 4180; https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html.
    """

    def reads(self, path: str, content_type: str, document: JSON) -> bool:  # noqa: ARG002 - a Decoder
        """By the media type."""
        return content_type == media.CSV

    def features(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row a line."""
        return _parse(body)

    def predictions(self, body: bytes, document: JSON) -> Grid:
        """One row a line, or a prediction."""
        return from_reply(document) if isinstance(document, dict | list) else _parse(body)


def _parse(body: bytes) -> Grid:
    try:
        lines = csv.reader(StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        rows = [[cell(field) for field in fields] for fields in islice(lines, MAX_ROWS + 1) if fields]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PayloadError("format", f"body: {error}, expected CSV in UTF-8") from None
    _, cells = from_instances(rows)
    if len(cells) > 1 and _are_names(cells[0]) and any(type(cell) is float for cell in cells[1]):
        return tuple(map(str, cells[0])), cells[1:]
    return (), cells


def cell(field: str) -> float | str | None:
    """A field as a number, a text, or None for nothing."""
    try:
        return float(field) if "_" not in field else field  # Python's 1_000 is nobody else's
    except ValueError:
        return field or None


def _are_names(row: list[object]) -> bool:
    return all(type(cell) is str for cell in row)
