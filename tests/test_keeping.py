import asyncio

import pytest

from sidecar.entries import Change
from sidecar.errors import ConflictError, DeliveryError
from sidecar.keeping import PATIENCE, Keeping
from sidecar.ports import Kept
from tests.steering_rig import Full, Place

CHANGE = Change(1.0, "ann", "routes", "")


class Counting(Place):
    """One that counts what is asked of it."""

    reads = asked = 0

    async def read(self) -> Kept | None:
        self.reads += 1
        return await super().read()

    async def write(self, document: bytes, mark: str | None) -> str:
        self.asked += 1
        return await super().write(document, mark)


def passed_over() -> tuple[Keeping, Counting]:
    """One that has kept `a`, and has seen that there is something else since, which it cannot use."""
    place = Counting()
    keeping = Keeping(Full(None), place)
    keep(keeping, b"a")
    place.put(b"of no use")
    keeping.seen = "2"
    assert refused(keeping, b"a") == b"of no use"
    place.reads = place.asked = 0
    return keeping, place


def refused(keeping: Keeping, document: bytes) -> bytes:
    """What is in the way, as whoever keeps it is told."""
    with pytest.raises(ConflictError):
        keep(keeping, document)
    kept = asyncio.run(keeping.read())
    assert kept is not None
    return kept.document


def keep(keeping: Keeping, document: bytes) -> None:
    asyncio.run(keeping.keep(1, CHANGE, document))


def test_alone_the_journal_is_all_there_is() -> None:
    keeping = Keeping(Full(None), None)
    keep(keeping, b"a")
    keep(keeping, b"a")
    keep(keeping, b"b")
    assert keeping.journal.documents() == [b"b", b"a"]
    assert asyncio.run(keeping.read()) is None


def test_alone_what_the_journal_does_not_take_is_not_kept() -> None:
    journal = Full(None)
    keeping = Keeping(journal, None)
    journal.full = True
    with pytest.raises(DeliveryError, match="no room"):
        keep(keeping, b"a")
    journal.full = False
    keep(keeping, b"a")
    assert journal.documents() == [b"a"]


def test_what_the_journal_holds_is_not_added_again() -> None:
    keeping = Keeping(Full(None), None)
    keeping.known(b"a")
    keep(keeping, b"a")
    assert keeping.journal.documents() == []


def test_in_a_fleet_what_is_shared_is_kept_whatever_becomes_of_the_journal(caplog: pytest.LogCaptureFixture) -> None:
    journal, place = Full(None), Place()
    keeping = Keeping(journal, place)
    journal.full = True
    keep(keeping, b"a")
    keep(keeping, b"a")
    assert (keeping.unkept, place.writes) == ("no room", [b"a"])
    assert caplog.text.count("cannot be kept") == 1
    journal.full = False
    keep(keeping, b"a")
    assert (keeping.unkept, place.writes, journal.documents()) == ("", [b"a"], [b"a"])


def test_what_another_wrote_is_not_replaced_before_it_is_followed() -> None:
    place = Place()
    keeping = Keeping(Full(None), place)
    keep(keeping, b"a")
    place.put(b"theirs")
    with pytest.raises(ConflictError):
        keep(keeping, b"b")
    kept = asyncio.run(keeping.read())
    assert kept is not None
    with pytest.raises(ConflictError):
        keep(keeping, b"a")
    keeping.follow(kept.mark, b"what it means here")
    keep(keeping, b"what it means here")
    keep(keeping, b"b")
    assert place.writes == [b"a", b"theirs", b"b"]
    assert keeping.journal.documents() == [b"b", b"what it means here", b"a"]


def test_what_is_of_no_use_here_is_not_asked_for_at_every_look() -> None:
    keeping, place = passed_over()
    for _ in range(2 * PATIENCE):
        assert refused(keeping, b"a") == b"of no use"
    assert (place.reads, place.asked) == (1, 0)


@pytest.mark.parametrize("looks", [0, 3, PATIENCE])
def test_whoever_is_asked_for_something_new_sees_at_once_what_is_in_the_way_now(looks: int) -> None:
    keeping, place = passed_over()
    for _ in range(looks):
        refused(keeping, b"a")
    place.put(b"of use")
    assert refused(keeping, b"b") == b"of use"
    assert place.writes == [b"a", b"of no use", b"of use"]


def test_what_is_seen_instead_of_what_was_of_no_use_is_read() -> None:
    keeping, place = passed_over()
    place.put(b"of use")
    keeping.seen = "3"
    assert refused(keeping, b"a") == b"of use"
    keeping.follow("3", b"of use")
    keep(keeping, b"b")
    assert place.writes[-1] == b"b"


def test_where_what_was_of_no_use_is_taken_away_the_place_is_filled_in_the_end() -> None:
    keeping, place = passed_over()
    place.kept = None
    for _ in range(PATIENCE):
        refused(keeping, b"a")
    with pytest.raises(ConflictError):
        keep(keeping, b"a")
    assert asyncio.run(keeping.read()) is None
    keep(keeping, b"a")
    assert place.writes == [b"a", b"of no use", b"a"]


def test_who_is_told_of_a_conflict_need_not_read_again_what_it_is_with() -> None:
    place = Counting()
    keeping = Keeping(Full(None), place)
    keep(keeping, b"a")
    place.put(b"theirs")
    assert refused(keeping, b"b") == b"theirs"
    assert place.reads == 1
    assert asyncio.run(keeping.read()) == place.kept
    assert place.reads == 2


def test_what_is_forgotten_must_be_followed_first() -> None:
    place = Place()
    keeping = Keeping(Full(None), place)
    keep(keeping, b"a")
    keeping.forget()
    with pytest.raises(ConflictError):
        keep(keeping, b"b")


def test_an_empty_place_is_filled_again() -> None:
    place = Place()
    keeping = Keeping(Full(None), place)
    keep(keeping, b"a")
    place.kept = None
    assert asyncio.run(keeping.read()) is None
    keep(keeping, b"a")
    assert (place.writes, keeping.journal.documents()) == ([b"a", b"a"], [b"a"])


def test_our_own_document_is_in_nobodys_way() -> None:
    place = Place()
    keeping = Keeping(Full(None), place)
    place.losing = True
    with pytest.raises(DeliveryError, match="lost"):
        keep(keeping, b"a")
    keep(keeping, b"a")
    keep(keeping, b"b")
    assert place.writes == [b"a", b"b"]


def test_closing_lets_go_of_the_journal() -> None:
    keeping = Keeping(Full(None), Place())
    asyncio.run(keeping.close())
    with pytest.raises(DeliveryError):
        keeping.journal.documents()
