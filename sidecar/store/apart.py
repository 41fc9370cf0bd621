"""A thread for what may block: a store that hangs holds back those who wait for it, and nobody else."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sidecar.errors import DeliveryError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Apart:
    """One thread, and what is told of its work: a change is worth a line in the log, a state is not.

    Args:
        name: Of what is worked at, for people: `the store of labels`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._failing: set[str] = set()
        self._thread = ThreadPoolExecutor(1, name)

    async def do(self, work: Callable[[], T]) -> T:
        """Do something in the thread, after all that was to be done before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Around what may be refused: a DeliveryError ends there, and is told.

        Args:
            what: It means: `labels cannot be read`.
        """
        try:
            yield
        except DeliveryError as error:
            self.fails(what, error)
        else:
            self.works(what)

    def fails(self, what: str, error: DeliveryError) -> None:
        """Tell, if that is new."""
        if what not in self._failing:
            self._failing.add(what)
            log.error("%s: %s", what, error)

    def works(self, what: str) -> None:
        """Tell, if it was the last that failed."""
        if what in self._failing:
            self._failing.remove(what)
            if not self._failing:
                log.info("%s works again", self._name)

    def close(self) -> None:
        """Begin nothing more; what is under way goes on."""
        self._thread.shutdown(wait=False, cancel_futures=True)
