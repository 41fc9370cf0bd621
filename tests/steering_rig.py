"""Steerings whose gateway and fleet are in memory, and whose clock is set by hand."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from sidecar.config.schema import Config, Part, Rollout, Variant
from sidecar.errors import ConflictError, DeliveryError
from sidecar.journal import Journal
from sidecar.ports import Kept
from sidecar.records import JSON
from sidecar.routing.rollout import Word
from sidecar.steering import Judged, Steering

PATIENCE_S = 10.0
CHAMPION = Variant(url="http://model:1", version="3", weight=90)
CHALLENGER = Variant(url="http://model:2", version="4", weight=10)
PLAIN = Config(variants={"champion": CHAMPION, "challenger": CHALLENGER}, state="/tmp/not/yet/there")
ROLLOUT = Rollout(champion="champion", challenger="challenger", steps=(5, 50), pause_s=10, min_rows=50)
ROLLED = replace(PLAIN, rollout=ROLLOUT)
ALIASED = replace(
    PLAIN,
    variants={name: replace(each, version=f"@{name}") for name, each in PLAIN.variants.items()},
    catalog=Part(kind="mlflow"),
)
"""Whose versions are said by aliases."""
STOOD = {"@champion": "3", "@challenger": "4"}
"""What these mean at first."""
FINE = Judged(1000, {"errors": "fine"}, ready=True)
BREACH = Judged(1000, {"errors": "breach"}, ready=True)
NOTHING: dict[str, Word] = {"errors": "missing"}


def versions(config: Config) -> dict[str, str]:
    return {name: variant.version for name, variant in config.variants.items()}


def weights(config: Config) -> dict[str, float]:
    return {name: variant.weight for name, variant in config.variants.items()}


def document(champion: float = 90, challenger: float = 10, version: str = "4") -> dict[str, JSON]:
    return {
        "variants": {
            "champion": {"url": "http://model:1", "version": "3", "weight": champion},
            "challenger": {"url": "http://model:2", "version": version, "weight": challenger},
        }
    }


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (the real parts tell nobody)
            await asyncio.sleep(0.0005)


class Place:
    """Where a fleet keeps its document.

    Attributes:
        down: Nobody answers.
        refusing: Nothing can be written.
        writes: What was written.
        losing: The next answer to a write is lost.
    """

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.down = self.refusing = self.losing = False
        self.writes: list[bytes] = []
        self.marks = 0
        self.before_write: Callable[[], None] | None = None

    async def read(self) -> Kept | None:
        await asyncio.sleep(0)
        self._answer()
        return self.kept

    async def write(self, document: bytes, mark: str | None) -> str:
        await asyncio.sleep(0)
        self._answer()
        if self.before_write is not None:
            others, self.before_write = self.before_write, None
            others()
        if self.refusing:
            raise DeliveryError("the fleet may not be written")
        if mark != (self.kept.mark if self.kept else None):
            raise ConflictError("somebody else was first")
        self.put(document)
        if self.losing:
            self.losing = False
            raise DeliveryError("the answer is lost")
        assert self.kept is not None
        return self.kept.mark

    async def changed(self, mark: str | None) -> Kept:
        while self.down or self.kept is None or self.kept.mark == mark:  # noqa: ASYNC110  (a fake of few lines)
            await asyncio.sleep(0.0005)
        return self.kept

    async def close(self) -> None:
        pass

    def put(self, document: bytes) -> None:
        self.marks += 1
        self.writes.append(document)
        self.kept = Kept(document, str(self.marks))

    def _answer(self) -> None:
        if self.down:
            raise DeliveryError("the fleet does not answer")


class Full(Journal):
    """A journal whose disk may be full."""

    full = False

    def add(self, revision: int, change: object, document: bytes) -> None:
        if self.full:
            raise DeliveryError("no room")
        super().add(revision, change, document)  # type: ignore[arg-type]  # as it comes


class Slow(Full):
    """A journal that keeps nothing before it is let.

    Attributes:
        asked: There is something to be kept.
        let: It may be.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__(folder)
        self.asked, self.let = threading.Event(), threading.Event()
        self.let.set()

    def hold(self) -> None:
        """Keep nothing from now on."""
        self.asked.clear()
        self.let.clear()

    def add(self, revision: int, change: object, document: bytes) -> None:
        self.asked.set()
        assert self.let.wait(PATIENCE_S)
        super().add(revision, change, document)


@dataclass
class Site:
    """A steering, and the gateway that it sets."""

    config: Config = PLAIN
    folder: Path | None = None
    fleet: Place | None = None
    now_s: float = 1000.0
    unusable: bool = False
    gateways: list[Config] = field(default_factory=list)
    prepared: list[Config] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = Slow(self.folder)
        self.steering = Steering(
            self.config, self.journal, fleet=self.fleet, prepare=self.prepare, wall_s=lambda: self.now_s
        )
        self.gateways.append(self.steering.effective)

    def prepare(self, config: Config) -> Callable[[], None]:
        if self.unusable:
            raise OSError("no such certificate")
        self.prepared.append(config)
        return lambda: self.gateways.append(config)

    @property
    def weights(self) -> dict[str, float]:
        """In force at the gateway."""
        return weights(self.gateways[-1])

    @property
    def challenger(self) -> float:
        return self.weights["challenger"]

    async def began(self) -> "Site":
        """Start, and wait until the course is kept."""
        self.steering.start()
        await until(lambda: self.journal.changes(1))
        return self

    async def look(self, judged: Judged = FINE, after_s: float = 0.0) -> None:
        self.now_s += after_s
        await self.steering.look(judged)

    async def put(self, told: JSON, revision: int | None = None) -> None:
        await self.steering.put(told, revision=revision, by="ann", why="because")

    async def weigh(self, name: str, percent: float, revision: int | None = None) -> None:
        await self.steering.weigh(name, percent, revision=revision, by="ann", why="")

    async def promote(self, name: str | None, revision: int | None = None) -> None:
        await self.steering.order("promote", name, revision=revision, by="ann", why="")

    async def roll_back(self, name: str | None = None, revision: int | None = None) -> None:
        await self.steering.order("rollback", name, revision=revision, by="ann", why="too slow")

    @property
    def state(self) -> tuple[object, ...]:
        """All that must not change where something was refused."""
        return self.steering.course, self.journal.changes(100), len(self.gateways)

    async def close(self) -> None:
        await self.steering.close()
