import gc
from collections.abc import Iterable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.body import (
    EXTENSIONS_LIMIT_BYTES,
    TRAILERS_LIMIT_BYTES,
    ChunkedReader,
    CloseReader,
    LengthReader,
    Reader,
    reader_for,
    write_chunk,
    write_last_chunk,
)
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE


def block(lines: Iterable[bytes]) -> bytes:
    """The lines, each with its CRLF."""
    return b"".join(line + b"\r\n" for line in lines)


NEXT = b"GET /next HTTP/1.1\r\n\r\n"
TRAILING = [b"", b"\r\n", b"0\r\n\r\n", NEXT]

# Length, the bytes on the wire, the body in them, its trailers.
WHOLE: list[tuple[int, bytes, bytes, list[bytes]]] = [
    (0, b"", b"", []),
    (1, b"\r", b"\r", []),
    (5, b"hello", b"hello", []),
    (CHUNKED, b"0\r\n\r\n", b"", []),
    (CHUNKED, b"000\r\n\r\n", b"", []),
    (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (CHUNKED, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc", []),
    (CHUNKED, b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", []),
    (CHUNKED, b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", []),
    (CHUNKED, b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, []),
    (CHUNKED, b"1F\r\n" + b"x" * 31 + b"\r\n1f\r\n" + b"y" * 31 + b"\r\n0\r\n\r\n", b"x" * 31 + b"y" * 31, []),
    (CHUNKED, b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (CHUNKED, b'5;name=value;q="a b\t\xff"\r\nhello\r\n0;last\r\n\r\n', b"hello", []),
    (CHUNKED, b"5; \r\nhello\r\n0;\r\n\r\n", b"hello", []),
    (CHUNKED, b"1\r\na\r\n0\r\nDigest: x\r\n\r\n", b"a", [b"Digest: x"]),
    (CHUNKED, b"0\r\nA:  1 \r\nTE: x\r\na:2\r\nConnection: b\r\nB: 3\r\n\r\n", b"", [b"A:  1 ", b"a:2"]),
]

REFUSED = [
    *(
        (line + b"\r\n", "malformed chunk size")
        for line in (
            b"", b" ", b"x", b"0x5", b"0X5", b"+5", b"-5", b"-0", b" 5", b"5 ", b"5\t", b"5 ;a", b"5 5", b"5,", b"5h",
            b"5_0", b"\xb2", b"1" * 16, b"0" * 16, b"8000000000000000", b"ffffffffffffffff", b";a", b"5;\x00",
            b"5;a\rb", b"5;a\nb", b"5;\x7f", b"5\n", b"5\r", b"\r5", b"\n5", b"5;a\x0b",
        )
    ),
    (b"5\nhello\n0\n\n", "malformed chunk size"),
    (b"1\r\nab\r\n", "a chunk is longer than its size"),
    (b"1\r\na1\r\n", "a chunk is longer than its size"),
    (b"1\r\na\n", "a chunk is longer than its size"),
    (b"1\r\na\r\r\n", "a chunk is longer than its size"),
    (b"1\r\na\r\n\r\n", "malformed chunk size"),
    (b"5\r\nhello0\r\n\r\n", "a chunk is longer than its size"),
    (b"0\r\nA : 1\r\n\r\n", "malformed trailer: number 1 has no well-formed name"),
    (b"0\r\nA: 1\r\n folded\r\n\r\n", "malformed trailer: number 2 is folded"),
    (b"0\r\nA: 1\nB: 2\r\n\r\n", "malformed trailer: number 1 has a control byte"),
    (b"0\r\nno colon\r\n\r\n", "malformed trailer: number 1 has no well-formed name"),
    (b"0\r\nContent-Length: 5\r\n\r\n", "a trailer that frames the message"),
    (b"0\r\ntransfer-encoding: chunked\r\n\r\n", "a trailer that frames the message"),
    (b"0\r\nA: 1\r\nHost: m\r\n\r\n", "a trailer that frames the message"),
    (b"0\r\nContent_Length: 5\r\n\r\n", "could be taken for"),
    (b"0;" + b"a" * EXTENSIONS_LIMIT_BYTES + b"\r\n\r\n", "chunk extensions are too long"),
    (b"1;aaaaaaa\r\na\r\n" * (EXTENSIONS_LIMIT_BYTES // 8 + 1), "chunk extensions are too long"),
    (b"0\r\nA: " + b"a" * TRAILERS_LIMIT_BYTES + b"\r\n\r\n", "trailers are too long"),
]  # fmt: skip


def read(reader: Reader, pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
    """The body, and what came after it: in the piece that ended it, and in later ones, which no reader sees."""
    body, rest = b"", b""
    for piece in pieces:
        if reader.done and reader.rest + rest:
            rest += piece
        else:
            body += reader.feed(piece)
    return body, reader.rest + rest


def splits(data: bytes) -> Iterable[Sequence[bytes]]:
    """`data` whole, byte by byte, and in two at every place."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))] or [b""]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@pytest.mark.parametrize("trailing", TRAILING)
@pytest.mark.parametrize(("length", "data", "body", "trailers"), WHOLE)
def test_bodies_are_read_alike_however_they_arrive(
    length: int, data: bytes, body: bytes, trailers: list[bytes], trailing: bytes
) -> None:
    for pieces in splits(data + trailing):
        reader = reader_for(length)

        assert read(reader, pieces) == (body, trailing)
        assert (reader.done, reader.trailers) == (True, block(trailers))


@pytest.mark.parametrize(("length", "data", "body"), [case[:3] for case in WHOLE])
def test_a_body_is_done_with_its_last_byte_not_before(length: int, data: bytes, body: bytes) -> None:
    for end in range(len(data)):
        reader = reader_for(length)
        part, rest = read(reader, [data[:end]])

        assert not reader.done
        assert body.startswith(part)
        assert (rest, reader.trailers) == (b"", b"")


@pytest.mark.parametrize(("data", "fault"), REFUSED)
def test_malformed_chunks_are_refused_however_they_arrive(data: bytes, fault: str) -> None:
    every = splits(data) if len(data) < 100 else ([data], [data[at : at + 100] for at in range(0, len(data), 100)])
    for pieces in every:
        with pytest.raises(ValueError, match=fault):
            read(ChunkedReader(), pieces)


@pytest.mark.parametrize("start", [b"x", b"+", b" ", b"5 ", b"5\rx", b"5\n", b"1" * 16, b";", b"5;\x00"])
def test_what_cannot_become_a_chunk_size_is_refused_before_its_line_ends(start: bytes) -> None:
    with pytest.raises(ValueError, match="malformed chunk size"):
        ChunkedReader().feed(start)


def test_extensions_and_trailers_up_to_their_limit_are_read_however_they_arrive() -> None:
    extension = b";" + b"e" * (EXTENSIONS_LIMIT_BYTES - 1)
    trailer = b"A: " + b"a" * (TRAILERS_LIMIT_BYTES - 3)
    data = b"1%b\r\nx\r\n0\r\n%b\r\n\r\n" % (extension, trailer)
    near_ends = [at + step for at in (len(extension), len(data) - 4) for step in range(7)]

    for at in near_ends:
        reader = ChunkedReader()

        assert read(reader, [data[:at], data[at:]]) == (b"x", b"")
        assert (reader.done, reader.trailers) == (True, block([trailer]))


@pytest.mark.parametrize(
    ("start", "fault"), [(b"5;", "chunk extensions are too long"), (b"0\r\nA: ", "trailers are too long")]
)
def test_an_endless_line_is_refused_at_its_limit(start: bytes, fault: str) -> None:
    reader = ChunkedReader()
    reader.feed(start)
    for _ in range(15):
        reader.feed(b"a" * 1024)

    with pytest.raises(ValueError, match=fault):
        reader.feed(b"a" * 1100)


def test_a_body_that_ends_with_its_connection_is_never_done_by_itself() -> None:
    reader = reader_for(UNTIL_CLOSE)

    assert read(reader, [b"0\r\n\r\n", b"", NEXT]) == (b"0\r\n\r\n" + NEXT, b"")
    assert (reader.done, reader.trailers) == (False, b"")


def test_a_piece_of_a_body_of_known_length_is_not_copied() -> None:
    piece = bytes(1000)

    assert LengthReader(2000).feed(piece) is piece
    assert LengthReader(1000).feed(piece) is piece
    assert CloseReader().feed(piece) is piece


def test_a_reader_leaves_nothing_to_the_garbage_collector() -> None:
    def unreachable() -> int:
        gc.collect()
        ChunkedReader().feed(b"5\r\nhello\r\n0\r\n\r\n")
        return gc.collect()

    gc.disable()
    try:
        # Other threads may leave something of theirs at any time, but not each time.
        assert 0 in [unreachable() for _ in range(5)]
    finally:
        gc.enable()


def test_an_empty_chunk_is_not_written_since_it_would_end_the_body() -> None:
    assert write_chunk(b"") == b""


def test_trailers_are_written_as_they_came() -> None:
    assert write_last_chunk(b"A:  1 \r\na:2\r\n") == b"0\r\nA:  1 \r\na:2\r\n\r\n"


TRAILERS = st.lists(st.from_regex(rb"[A-Za-z]{1,3}-X:[\t\x20-\x7e\x80-\xff]{0,9}", fullmatch=True), max_size=3)


@given(st.lists(st.binary()), TRAILERS, st.binary(), st.lists(st.integers(0, 100)))
def test_what_is_written_in_chunks_is_read_back(
    chunks: list[bytes], trailers: list[bytes], trailing: bytes, sizes: list[int]
) -> None:
    data = b"".join(map(write_chunk, chunks)) + write_last_chunk(block(trailers)) + trailing
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    reader = ChunkedReader()

    assert read(reader, [*pieces, data]) == (b"".join(chunks), trailing)
    assert (reader.done, reader.trailers) == (True, block(trailers))


CODED = st.lists(
    st.sampled_from([b"0", b"5", b"\r\n", b";a", b"hello", b"A: b", b"\r", b"\n"]) | st.binary(max_size=2)
).map(b"".join)


@given(CODED, st.integers(0, 40))
def test_any_bytes_are_read_or_refused_alike_however_they_arrive(data: bytes, at: int) -> None:
    outcomes = []
    for pieces in [data], [data[:at], data[at:]]:
        reader = ChunkedReader()
        outcome: object = "refused"
        with suppress(ValueError):
            outcome = (*read(reader, pieces), reader.done, reader.trailers)
        outcomes.append(outcome)

    assert outcomes[0] == outcomes[1]
