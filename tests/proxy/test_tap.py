from hypothesis import given
from hypothesis.strategies import binary, integers, lists

from sidecar.exchange import Exchange, Message
from sidecar.proxy.tap import HEAD_BYTES, PIECE_BYTES, Held, Tap


def exchange(request_id: str = "r") -> Exchange:
    nothing = Message(b"", ())
    return Exchange(request_id, "v", "", "GET", b"/", "/", 200, "", nothing, nothing, 0.0, 0.0, 0.0, 0.0, 1.0)


def test_exchanges_come_out_in_order_and_give_their_bytes_back() -> None:
    tap = Tap(buffer_bytes=10 * HEAD_BYTES)
    for request_id in ("a", "b"):
        assert tap.hold(100)
        tap.offer(exchange(request_id), 100)
    held_bytes = tap.held_bytes
    taken = list(iter(tap.take, None))

    assert held_bytes == 2 * (HEAD_BYTES + 100)
    assert [each.request_id for each in taken] == ["a", "b"]
    assert (tap.held_bytes, len(tap), tap.offered) == (0, 0, 2)


def test_an_exchange_without_room_is_dropped_counted_and_released() -> None:
    tap = Tap(buffer_bytes=HEAD_BYTES + 99)
    assert tap.hold(100)
    tap.offer(exchange(), 100)

    assert (len(tap), tap.held_bytes, dict(tap.dropped)) == (0, 0, {"buffer_full": 1})


def test_no_more_is_held_than_the_buffer() -> None:
    tap = Tap(buffer_bytes=100)

    assert tap.hold(100)
    assert not tap.hold(1)
    assert tap.held_bytes == 100


def test_resizing_keeps_what_is_held() -> None:
    tap = Tap(buffer_bytes=100)
    assert tap.hold(80)
    tap.resize(50)
    assert (tap.held_bytes, tap.hold(1)) == (80, False)
    tap.resize(90)

    assert (tap.held_bytes, tap.hold(10), tap.hold(1)) == (80, True, False)


def test_a_body_is_held_by_reference() -> None:
    held, data = Held(Tap(buffer_bytes=100), 100), b"some bytes"
    held.add(data)

    assert held.chunks[0] is data


def test_a_body_is_held_up_to_its_limit() -> None:
    held = Held(Tap(buffer_bytes=1000), 5)
    held.add(b"abc")
    held.add(b"def")
    held.add(b"ghi")

    assert (b"".join(held.chunks), held.complete, held.lost) == (b"abcde", False, False)


def test_a_body_of_exactly_its_limit_is_complete() -> None:
    held = Held(Tap(buffer_bytes=100), 5)
    held.add(b"abcde")
    held.add(b"")

    assert held.complete


def test_a_body_for_which_there_is_no_room_is_lost_and_holds_no_more() -> None:
    tap = Tap(buffer_bytes=5 + PIECE_BYTES)
    held = Held(tap, 100)
    held.add(b"abc")
    held.add(b"def")
    held.add(b"g")

    assert (held.lost, tap.held_bytes) == (True, 3 + PIECE_BYTES)


@given(limit_bytes=integers(0, 60), buffer_bytes=integers(0, 400), pieces=lists(binary(max_size=20), max_size=8))
def test_what_is_held_is_the_bodys_beginning_and_all_comes_back(
    limit_bytes: int, buffer_bytes: int, pieces: list[bytes]
) -> None:
    tap = Tap(buffer_bytes=buffer_bytes)
    held = Held(tap, limit_bytes)
    for piece in pieces:
        held.add(piece)
    body, kept = b"".join(pieces), b"".join(held.chunks)

    assert body.startswith(kept)
    assert held.lost or kept == body[:limit_bytes]
    assert held.complete is (len(body) <= limit_bytes) or held.lost
    assert tap.held_bytes == held.size_bytes == len(kept) + PIECE_BYTES * len(held.chunks) <= buffer_bytes
    held.release()
    held.release()
    assert tap.held_bytes == 0
