"""Where the course is kept: in the place of the fleet, where there is one, and in the journal of this sidecar."""

import asyncio
import logging
from dataclasses import dataclass

from sidecar.entries import Change
from sidecar.errors import ConflictError, DeliveryError
from sidecar.journal import Journal
from sidecar.ports import Fleet, Kept

log = logging.getLogger(__name__)

PATIENCE = 10
"""How often what is of no use here is taken for still in the way: every second the same document is to be kept."""


@dataclass(slots=True)
class _InTheWay:
    """What is of no use here, and in the way of a document.

    Args:
        left: How often it need not be read again.
    """

    kept: Kept
    document: bytes
    left: int = PATIENCE


class Keeping:
    """Keeps one document, all of it again with every change. What is there already is not written again.

    In a fleet its place is what counts: a change that is there has happened, whatever becomes of the journal.

    Args:
        journal: Keeps every change.
        fleet: Where others that serve the same have theirs; None for alone.

    Attributes:
        seen: Mark of what was last seen in the fleet's place, of use here or not.
        unkept: Why the latest could not be kept; empty where it is.
    """

    def __init__(self, journal: Journal, fleet: Fleet | None) -> None:
        self.journal = journal
        self.fleet = fleet
        self.seen: str | None = None
        self.unkept = ""
        self._mark: str | None = None
        self._shared: bytes | None = None
        self._noted: bytes | None = None
        self._in_the_way: _InTheWay | None = None
        # What has just been read, for whoever is told of a conflict and asks what it is with.
        self._fresh: Kept | None = None

    def known(self, document: bytes) -> None:
        """This is what the journal holds last."""
        self._noted = document

    def follow(self, mark: str, document: bytes) -> None:
        """What has this mark is what the next one takes the place of.

        Args:
            document: What it means here.
        """
        self._mark, self.seen, self._shared = mark, mark, document
        self._in_the_way = self._fresh = None

    def forget(self) -> None:
        """Nothing takes the place of what the fleet has before that has been followed."""
        self._mark, self.seen, self._shared = "", "", None

    async def read(self) -> Kept | None:
        """What the fleet has; None without a fleet, or where it has nothing yet.

        Raises:
            DeliveryError: Nobody answers.
        """
        if self.fleet is None:
            return None
        fresh, self._fresh = self._fresh, None
        kept = fresh or await self.fleet.read()
        self.seen = None if kept is None else kept.mark
        if kept is None:
            self._mark = self._shared = None
        return kept

    async def keep(self, revision: int, change: Change, document: bytes) -> None:
        """Keep a document.

        Raises:
            ConflictError: Another of the fleet was first; nothing was kept.
            DeliveryError: It could not be kept.
        """
        if self.fleet is not None and (document != self._shared or self.seen != self._mark):
            await self._share(self.fleet, document)
        try:
            if document != self._noted:
                await asyncio.to_thread(self.journal.add, revision, change, document)
                self._noted = document
                told = f": {change.why}" if change.why else ""
                words = "revision %d by %s: %s%s"
                log.info(words, revision, change.who, change.what, told, extra={"event_name": "sidecar.routes.changed"})
        except DeliveryError as error:
            if self.fleet is None:
                raise
            self.fails(error)
        else:
            self.unkept = ""

    def fails(self, error: DeliveryError) -> None:
        """Tell that the latest is not kept; a change of that is worth a line in the log, and no more."""
        if not self.unkept:
            log.error("who serves whom cannot be kept, and is tried again: %s", error)
        self.unkept = str(error)

    async def close(self) -> None:
        """Let go of both."""
        if self.fleet is not None:
            await self.fleet.close()
        self.journal.close()

    async def _share(self, fleet: Fleet, document: bytes) -> None:
        try:
            mark = await self._written(fleet, document)
        except ConflictError:
            kept = self._fresh = await self._found(fleet, document)
            # Where an answer was lost, it is our own that is in the way.
            if kept is None or kept.document != document:
                raise
            mark = kept.mark
        self.follow(mark, document)

    async def _written(self, fleet: Fleet, document: bytes) -> str:
        if self.seen != self._mark:
            # There is something of no use here: this one is behind, and what it writes would not be taken.
            raise ConflictError("another of the fleet was first")
        return await fleet.write(document, self._mark)

    async def _found(self, fleet: Fleet, document: bytes) -> Kept | None:
        """What is in the way of a document."""
        before = self._in_the_way
        if before is not None and before.left and (before.document, before.kept.mark) == (document, self.seen):
            before.left -= 1
            return before.kept
        kept = await fleet.read()
        self._in_the_way = None if kept is None else _InTheWay(kept, document)
        return kept
