import asyncio
import logging
import threading
from functools import partial

import pytest

from sidecar.errors import DeliveryError
from sidecar.store.apart import Apart


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_all_is_done_in_one_thread_in_the_order_in_which_it_was_asked_for() -> None:
    done: list[tuple[int, str]] = []

    def note(number: int) -> None:
        done.append((number, threading.current_thread().name))

    async def scenario() -> None:
        apart = Apart("the store")
        await asyncio.gather(*[apart.do(partial(note, n)) for n in range(9)])
        apart.close()

    asyncio.run(scenario())

    assert [number for number, _ in done] == list(range(9))
    assert len({name for _, name in done}) == 1
    assert done[0][1] != threading.current_thread().name


def test_who_waits_holds_back_nobody_else_on_the_loop() -> None:
    async def scenario() -> bool:
        apart, gate = Apart("the store"), threading.Event()
        waiting = asyncio.ensure_future(apart.do(lambda: gate.wait(30)))
        assert await asyncio.to_thread(lambda: "at once") == "at once"
        gate.set()
        found = await waiting
        apart.close()
        return found

    assert asyncio.run(scenario())


def test_what_fails_is_told_once_and_once_that_all_works_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    apart = Apart("the store")
    for fails, what in [(1, "reading"), (1, "reading"), (1, "writing"), (0, "reading"), (0, "writing"), (0, "writing")]:
        with apart.telling(what):
            if fails:
                raise DeliveryError("away")

    assert messages(caplog) == ["reading: away", "writing: away", "the store works again"]


def test_a_fault_of_ours_does_not_end_there() -> None:
    with pytest.raises(ZeroDivisionError), Apart("the store").telling("reading"):
        raise ZeroDivisionError


def test_nothing_more_is_begun_when_it_is_closed_and_what_is_under_way_ends() -> None:
    gate, done = threading.Event(), threading.Event()

    def work() -> None:
        assert gate.wait(30)
        done.set()

    async def scenario() -> None:
        apart = Apart("the store")
        asyncio.ensure_future(apart.do(work))  # noqa: RUF006  (it is not waited for)
        later = asyncio.ensure_future(apart.do(done.clear))
        await asyncio.sleep(0)
        apart.close()
        with pytest.raises(asyncio.CancelledError):
            await later
        with pytest.raises(RuntimeError):
            await apart.do(done.clear)
        gate.set()
        assert await asyncio.to_thread(done.wait, 30)

    asyncio.run(scenario())
