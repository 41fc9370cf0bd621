"""The processor time that making something takes, on the event loop and in threads, and nothing that runs between."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from functools import partial
from time import perf_counter, thread_time
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Spent:
    """Seconds of processor time."""

    def __init__(self) -> None:
        self.seconds = 0.0


# A thread that works for somebody has a copy of his context, and so counts for him.
_SPENT: ContextVar[Spent | None] = ContextVar("spent", default=None)


class _Timing:
    """Around work whose time is to be counted, if anybody counts."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_s = 0.0

    def __enter__(self) -> None:
        self._began_s = self._clock()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if (spent := _SPENT.get()) is not None:
            spent.seconds += self._clock() - self._began_s


class _Stepped:
    """A coroutine of which only the steps count, not what the event loop does between them."""

    def __init__(self, work: Coroutine[object, object, T]) -> None:
        self._work = work

    def __await__(self) -> Generator[object, object, T]:
        steps = self._work.__await__()
        step: Callable[[], object] = partial(steps.send, None)
        while True:
            try:
                with _Timing(thread_time):
                    waited = step()
            except StopIteration as done:
                found: T = done.value
                return found
            try:
                given = yield waited
            except BaseException as error:  # noqa: BLE001  # it is the work's, which gets it
                step = partial(steps.throw, error)
            else:
                step = partial(steps.send, given)


async def aside(work: Callable[[], T]) -> T:
    """Do something in a thread, and count its time."""

    def timed() -> T:
        with _Timing(thread_time):
            return work()

    return await asyncio.to_thread(timed)


def waiting() -> _Timing:
    """Around what others do for us in threads of theirs: all of the time counts, which is more than they take."""
    return _Timing(perf_counter)


async def metered(work: Coroutine[object, object, T], spent: Spent) -> T:
    """The result of some work, whose processor time is added to what was spent."""
    token = _SPENT.set(spent)
    try:
        found: T = await _Stepped(work)
    finally:
        _SPENT.reset(token)
    return found
