"""Where the course is kept: in the place of the fleet, where there is one, and in the journal of this sidecar."""

import asyncio
import logging

from sidecar.entries import Change
from sidecar.errors import ConflictError, DeliveryError
from sidecar.journal import Journal
from sidecar.ports import Fleet, Kept

log = logging.getLogger(__name__)


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

    def known(self, document: bytes) -> None:
        """This is what the journal holds last."""
        self._noted = document

    def follow(self, mark: str, document: bytes) -> None:
        """What has this mark is what the next one takes the place of.

        Args:
            document: What it means here.
        """
        self._mark, self.seen, self._shared = mark, mark, document

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
        kept = await self.fleet.read()
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
        # Where something was seen that is of no use here, this one is behind.
        if self.fleet is not None and (document != self._shared or self.seen != self._mark):
            await self._share(self.fleet, document)
        try:
            if document != self._noted:
                await asyncio.to_thread(self.journal.add, revision, change, document)
                self._noted = document
                told = f": {change.why}" if change.why else ""
                log.info("revision %d by %s: %s%s", revision, change.who, change.what, told)
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
            mark = await fleet.write(document, self._mark)
        except ConflictError:
            # Where an answer was lost, it is our own that is in the way.
            kept = await fleet.read()
            if kept is None or kept.document != document:
                raise
            mark = kept.mark
        self.follow(mark, document)
