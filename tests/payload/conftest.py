from collections.abc import Callable, Sequence

import pytest

from sidecar.exchange import Exchange, Message
from sidecar.payload.reading import Reader
from sidecar.records import Capture

MakeExchange = Callable[..., Exchange]
MakeCapture = Callable[..., Capture]


def _exchange(
    request: Message,
    reply: Message | None = None,
    *,
    target: bytes = b"/invocations",
    status: int = 200,
    variant: str = "champion",
    started_s: float = 1.5,
) -> Exchange:
    return Exchange(
        request_id="r-1",
        variant=variant,
        version="3",
        method="POST",
        target=target,
        route="/invocations",
        status=status,
        error_type="",
        request=request,
        reply=reply or Message(b"", ()),
        started_s=started_s,
        duration_s=0.25,
        first_byte_s=0.125,
        overhead_s=0.001,
        sample_ratio=0.1,
    )


def _message(body: bytes, media: str, lines: Sequence[bytes] = ()) -> Message:
    return Message(b"".join(line + b"\r\n" for line in (b"Content-Type: " + media.encode(), *lines)), [body])


@pytest.fixture
def make_exchange() -> MakeExchange:
    return _exchange


@pytest.fixture
def make_capture() -> MakeCapture:
    def make(
        request: bytes, reply: bytes = b"", *, media: str = "application/json", reply_media: str = "", **fields: object
    ) -> Capture:
        messages = _message(request, media), _message(reply, reply_media or media)
        exchange = _exchange(*messages, **fields)  # type: ignore[arg-type]  # the test names them
        return Reader(max_inflated_bytes=1 << 20).read(exchange)[0]

    return make
