"""Payloads: an exchange's bytes read, its bodies decoded into rows, the rows put together as samples.

Exchange -reading→ Capture -decoding→ Rows -assembling→ Sample
"""

from collections.abc import Callable

from sidecar.payload.csv import CSV
from sidecar.payload.jsonlines import JSONLines
from sidecar.payload.kserve_v1 import KServeV1
from sidecar.payload.mlflow import MLflow
from sidecar.payload.open_inference import OpenInference
from sidecar.ports import Decoder

DECODERS: dict[str, Callable[..., Decoder]] = {
    "open_inference": OpenInference,
    "mlflow": MLflow,
    "kserve_v1": KServeV1,
    "csv": CSV,
    "jsonlines": JSONLines,
}
"""Every format by the name it has in `payload.format`, in the order in which `auto` asks them."""
