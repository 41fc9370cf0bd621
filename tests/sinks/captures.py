"""A capture for the tests of sinks."""

from sidecar.records import Body, Capture

NOON_S = 1_785_412_800.0
"""2026-07-30T12:00:00Z."""

CAPTURE = Capture(
    request_id="r-1",
    inference_id="",
    variant="champion",
    version="3",
    method="POST",
    path="/v1/models/fraud:predict",
    route="/v1/models/{model}:predict",
    status=200,
    error_type="",
    started_s=NOON_S + 62.5,
    duration_s=0.25,
    first_byte_s=0.125,
    overhead_s=0.0625,
    sample_ratio=0.5,
    headers={"request": {"user-agent": "curl"}, "reply": {}},
    request=Body("application/json", b'{"instances": [[1.5]]}'),
    reply=Body("text/csv; charset=utf-8", b"0.1,0.9\n"),
)


def several(count: int) -> list[Capture]:
    """So many captures, told apart by their request ids: 0, 1, …"""
    return [CAPTURE._replace(request_id=str(number)) for number in range(count)]
