"""One copy: what is gathered of its original, and what is written of it."""

import pytest
from hypothesis import given
from hypothesis.strategies import binary, booleans, lists

from sidecar.proxy.copying import BLOCK_BYTES, Copy, Original
from sidecar.proxy.tap import PIECE_BYTES
from sidecar.wire.body import reader_for
from sidecar.wire.http1 import parse_request
from sidecar.wire.message import RequestHead

MIB = 1 << 20

PIECE = 1 << 18
"""What one recv may bring."""

UNSAMPLED = Original("", 7, sampled=False, sample_ratio=0.1, keep_errors=False, max_body_bytes=100)


class Keeper:
    """A shadow with room for so many bytes; it sends nothing."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.told: list[str] = []

    def charge(self, copy: Copy, size_bytes: int) -> bool:  # noqa: ARG002  (the protocol's, as below)
        self.room_bytes -= size_bytes
        return self.room_bytes >= 0

    def shed(self, copy: Copy, reason: str) -> None:  # noqa: ARG002
        self.told.append(reason)

    def start(self, copy: Copy, original: Original) -> None:  # noqa: ARG002
        self.told.append("sent")


def head(*, chunked: bool = False, length: int = 0) -> RequestHead:
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % length
    return parse_request(b"POST / HTTP/1.1\r\nHost: m\r\nX-Request-Id: r\r\n" + framing)


def gathered(pieces: list[bytes], *, chunked: bool, trailers: bytes = b"") -> Copy:
    copy = Copy(Keeper(100 * MIB), head(chunked=chunked, length=sum(map(len, pieces))), b"r")
    for piece in pieces:
        copy.add(piece)
    copy.trailers = trailers
    return copy


@given(lists(binary(max_size=40)), booleans())
def test_what_is_written_reads_as_what_was_gathered(pieces: list[bytes], chunked: bool) -> None:
    trailers = b"X-Sum: 5\r\n" if chunked else b""
    data = b"".join(gathered(pieces, chunked=chunked, trailers=trailers).blocks(b"h"))
    end = data.index(b"\r\n\r\n")
    told = parse_request(data[: end + 2])
    reader = reader_for(told.length)

    assert told.lines.endswith(b"x-sidecar-shadow: 1\r\n")
    assert reader.feed(data[end + 4 :]) == b"".join(pieces)
    assert (reader.done, reader.rest, reader.trailers) == (True, b"", trailers)


@pytest.mark.parametrize("chunked", [False, True])
def test_small_bodies_go_out_with_their_head_and_large_ones_in_blocks(chunked: bool) -> None:
    small = list(gathered([b"a"] * 100, chunked=chunked).blocks(b"h"))
    large = list(gathered([b"x" * 1000] * 1000, chunked=chunked).blocks(b"h"))

    assert len(small) == 1
    assert len(large) == 16
    assert max(map(len, large)) < BLOCK_BYTES + 8 * 1000


def test_empty_pieces_are_none() -> None:
    copy = gathered([b"", b"a", b""], chunked=True)

    assert copy.pieces == [b"a"]


def test_pieces_are_kept_by_reference_and_charged() -> None:
    keeper, data = Keeper(1000), b"some bytes"
    copy = Copy(keeper, head(length=10), b"r")
    copy.add(data)

    assert copy.pieces[0] is data
    assert keeper.room_bytes == 1000 - len(data) - PIECE_BYTES


def test_a_copy_is_sent_or_dropped_once_and_never_after_it_was_shed() -> None:
    sent, dropped, shed = Keeper(100), Keeper(100), Keeper(0)
    copies = [Copy(keeper, head(length=1), b"r") for keeper in (sent, dropped, shed)]
    copies[0].send(UNSAMPLED)
    copies[1].drop()
    for copy in copies:
        copy.add(b"a")
        copy.add(b"a")
        copy.send(UNSAMPLED)
        copy.drop()

    assert (sent.told, dropped.told, shed.told) == (["sent"], ["unfinished"], [])
    assert (sent.room_bytes, dropped.room_bytes) == (100, 100)


@pytest.mark.parametrize(
    ("sampled", "keep_errors", "kept"),
    [(True, True, [200, 404, 0]), (True, False, [200, 404, 0]), (False, True, [404, 0]), (False, False, [])],
)
def test_what_is_kept(sampled: bool, keep_errors: bool, kept: list[int]) -> None:
    original = UNSAMPLED._replace(sampled=sampled, keep_errors=keep_errors)

    assert [status for status in (200, 404, 0) if original.keeps(status)] == kept
