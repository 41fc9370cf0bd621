import asyncio
import logging

import pytest

from sidecar.tasks import Tasks


async def _fail() -> None:
    raise RuntimeError("on purpose")


async def _for_ever(begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


def test_a_task_runs_to_its_end() -> None:
    async def scenario() -> None:
        tasks, done = Tasks(), asyncio.Event()

        async def work() -> None:
            done.set()

        await tasks.start(work())
        assert done.is_set()
        await tasks.close()

    asyncio.run(scenario())


def test_a_task_that_fails_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks = Tasks()
        await asyncio.wait([tasks.start(_fail())])
        await asyncio.wait([tasks.start(_fail())])
        await tasks.close()

    asyncio.run(scenario())

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "a background task failed")
    ] * 2
    assert "on purpose" in caplog.text


def test_closing_cancels_what_runs_and_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks, begun = Tasks(), asyncio.Event()
        running = tasks.start(_for_ever(begun))
        await begun.wait()
        await tasks.close()
        assert running.cancelled()

    asyncio.run(scenario())

    assert caplog.records == []


def test_closing_survives_a_task_that_fails_while_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tasks, begun = Tasks(), asyncio.Event()

        async def stubborn() -> None:
            try:
                await _for_ever(begun)
            finally:
                await _fail()

        tasks.start(stubborn())
        await begun.wait()
        await tasks.close()

    asyncio.run(scenario())

    assert "on purpose" in caplog.text


def test_closing_without_tasks_is_nothing() -> None:
    asyncio.run(Tasks().close())
