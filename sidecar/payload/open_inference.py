"""The Open Inference Protocol, V2, as JSON: named tensors with shapes (KServe, Triton, MLServer, OpenVINO)."""

import base64
import binascii
from dataclasses import dataclass
from itertools import chain
from math import prod

from sidecar.errors import PayloadError
from sidecar.payload.grid import Grid, flat, numbered, require_size
from sidecar.records import JSON

MAX_DIMENSIONS = 8
_SIZES = {int}

Named = tuple[str, list[list[object]]]
"""A tensor's name and its n rows."""


@dataclass(frozen=True, slots=True)
class OpenInference:
    """Reads requests and replies of `/v2/models/{model}/infer`.

    The first dimension counts rows. The others are columns: one is called as the tensor is, several `name_0`,
    `name_1`, …; those of an only tensor have no names, because the protocol's is then not a feature's. Tensors whose
    `content_type` (MLServer's parameter) is `base64` are texts.

    References:
        https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md.
    """

    def reads(self, path: str, content_type: str, document: JSON) -> bool:  # noqa: ARG002 - a Decoder
        """By the first input: one with a shape."""
        inputs = document.get("inputs") if isinstance(document, dict) else None
        return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], dict) and "shape" in inputs[0]

    def features(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row for each position in the first dimension of the inputs."""
        return _from_tensors(document, "inputs")

    def predictions(self, body: bytes, document: JSON) -> Grid:  # noqa: ARG002 - a Decoder
        """One row for each position in the first dimension of the outputs."""
        return _from_tensors(document, "outputs")


def _from_tensors(document: JSON, member: str) -> Grid:
    tensors = document.get(member) if isinstance(document, dict) else None
    if not isinstance(tensors, list):
        raise PayloadError("format", f"body: expected an object with {member!r}, a list of tensors")
    if len(tensors) == 1:
        name, rows = _rows(tensors[0], document)
        return (name,) if len(rows[0]) == 1 else (), rows
    require_size(1, len(tensors))
    return _side_by_side([_rows(tensor, document) for tensor in tensors])


def _side_by_side(tensors: list[Named]) -> Grid:
    rows, *others = (len(rows) for _, rows in tensors)
    if any(other != rows for other in others):
        raise PayloadError("shape", "tensors: of different lengths, expected one first dimension")
    widths = [len(rows[0]) for _, rows in tensors]
    require_size(rows, sum(widths))
    names = chain.from_iterable(numbered(name, width) for (name, _), width in zip(tensors, widths, strict=True))
    cells = zip(*(rows for _, rows in tensors), strict=True)
    return tuple(names), [list(chain.from_iterable(parts)) for parts in cells]


def _rows(tensor: JSON, document: dict[str, JSON]) -> Named:
    name, shape, data = _parts(tensor)
    rows, columns = shape[0], prod(shape[1:])
    require_size(rows, columns)
    data = flat(data)
    if len(data) != rows * columns:
        expected = f"expected {rows * columns} by its shape"
        raise PayloadError("shape", f"tensor {name[:80]!r}: {len(data)} elements, {expected}")
    if tensor.get("datatype") == "BYTES" and _content_type(tensor, document) == "base64":
        data = list(map(_text, data))
    if rows == 1:
        return name, [data]
    return name, [data[start : start + columns] for start in range(0, len(data), columns)]


def _parts(tensor: JSON) -> tuple[str, list[int], list[JSON]]:
    if isinstance(tensor, dict):
        name, shape, data = tensor.get("name"), tensor.get("shape"), tensor.get("data")
        if isinstance(name, str) and isinstance(shape, list) and isinstance(data, list) and _is_shape(shape):
            return name, shape, data
    raise PayloadError("shape", "tensor: expected an object with 'name', 'shape' (a list of sizes) and 'data' (a list)")


def _is_shape(shape: list[JSON]) -> bool:
    return 0 < len(shape) <= MAX_DIMENSIONS and set(map(type, shape)) == _SIZES


def _content_type(tensor: dict[str, JSON], document: dict[str, JSON]) -> JSON:
    for holder in (tensor, document):
        parameters = holder.get("parameters")
        if isinstance(parameters, dict) and "content_type" in parameters:
            return parameters["content_type"]
    return None


def _text(cell: object) -> object:
    """A cell of base64 as text; None where it is none."""
    try:
        return base64.b64decode(cell, validate=True).decode() if isinstance(cell, str) else None
    except (binascii.Error, ValueError):
        return None
