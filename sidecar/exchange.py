"""What the request path hands over: plain bytes and numbers, imports nothing heavy."""

from collections.abc import Sequence
from typing import NamedTuple


class Message(NamedTuple):
    """One half of an exchange, as it passed: references to the bytes that were forwarded, not copies.

    Args:
        lines: The field lines of the head, `Name: value`, in order, each with its CRLF.
        chunks: The body's bytes as they came, without transfer coding; content codings are still on.
        truncated: The body went on after the bytes that `chunks` holds.
    """

    lines: bytes
    chunks: Sequence[bytes]
    truncated: bool = False

    def field(self, name: bytes) -> bytes:
        """The value of the first field called `name` (given in lower case); empty without one."""
        size = len(name)
        for line in self.lines.split(b"\r\n"):
            if line[size : size + 1] == b":" and line[:size].lower() == name:
                return line[size + 1 :].strip(b" \t")
        return b""


class Exchange(NamedTuple):
    """One request with its reply.

    Args:
        request_id: The request's `x-request-id`: the client's, or ours where it had none.
        variant: The arm of the split that answered.
        version: The build of the model behind that arm; empty where the configuration names none.
        method: As on the wire.
        target: The request target, byte-exact, query included.
        route: The target's template, `/v2/models/{model}/infer`; empty where no template fits.
        status: Of the reply that the client got.
        error_type: Our word for what went wrong; empty where the reply is the model's own.
        started_s: Unix time at which the request's head was read, in seconds.
        duration_s: From the request's first byte read to the reply's last byte written.
        first_byte_s: From the request's head sent upstream to the reply's head read; 0 where there was none.
        overhead_s: The part of `duration_s` that was ours.
        sample_ratio: The probability with which an exchange like this one is kept: what to divide by.
        unit: Hash of whom the split goes by, 64 bits: the user's key, or the request id where there is none; 0 where
            it was not the split that chose the variant, but a rule, an override or a fallback.
        shadow: It is a copy of a request that another variant answered: nobody got this reply.
    """

    request_id: str
    variant: str
    version: str
    method: str
    target: bytes
    route: str
    status: int
    error_type: str
    request: Message
    reply: Message
    started_s: float
    duration_s: float
    first_byte_s: float
    overhead_s: float
    sample_ratio: float
    unit: int = 0
    shadow: bool = False
