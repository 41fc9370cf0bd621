"""What one may add to the sidecar, as small protocols. A part is a dataclass whose fields are its options."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from sidecar.entries import Approval, Draft, Point, Run, RunStatus, Version
from sidecar.records import (
    JSON,
    Capture,
    Comparison,
    Finding,
    Joined,
    Label,
    LabelCounts,
    Labelled,
    LabelStatus,
    Notice,
    Prediction,
    Rows,
    Table,
)

if TYPE_CHECKING:
    from aiohttp import ClientSession

    # Sinks and decoders need these protocols before numpy need be there.
    from sidecar.stats.tally import Tally


class Decoder(Protocol):
    """A payload format: reads the bodies of a capture as rows of features and rows of predictions.

    Rows are lists of plain Python scalars (numbers, bool, str, None), one list per row, all of one length.
    """

    def reads(self, path: str, content_type: str, document: JSON) -> bool:
        """Whether a request like this one is in this format.

        Args:
            path: The request's path.
            content_type: The media type in lower case, without parameters.
            document: The body as parsed JSON; None where it is not JSON.
        """
        ...

    def features(self, body: bytes, document: JSON) -> tuple[Sequence[str], list[list[object]]]:
        """The request's column names and rows; no names where the format carries none.

        Raises:
            PayloadError: The body is not what the format demands.
        """
        ...

    def predictions(self, body: bytes, document: JSON) -> tuple[Sequence[str], list[list[object]]]:
        """The reply's column names and rows; no names where the format carries none.

        Raises:
            PayloadError: The body is not what the format demands.
        """
        ...


class Detector(Protocol):
    """Tells whether the rows of a window are still like the reference's; all features at once."""

    def check(self, reference: "Tally", current: "Tally") -> Comparison:
        """What it says of each of the k features; NaN for those that it cannot judge."""
        ...


class Watch(Protocol):
    """What becomes of the rows of all variants, behind their statistics."""

    def count(self, variant: str, version: str, features: Table, predictions: Table) -> None:
        """Count n rows of a variant, on the loop: at most a fraction of a millisecond.

        Args:
            version: The build that answered.
            predictions: Of n rows too; without columns where the replies could not be read.
        """
        ...

    def judge(self, now_s: float) -> None:
        """Weigh what was counted since the last time, in a thread; never at once with `count`.

        Args:
            now_s: Unix time.
        """
        ...


class Sink(Protocol):
    """A place for captures. Called from one thread of its own: it may block, and may raise."""

    @property
    def deleted_files(self) -> int:
        """Files deleted to make room for later captures."""
        ...

    def export(self, captures: Sequence[Capture]) -> None:
        """Store or send these, in order.

        Raises:
            DeliveryError: These captures are lost; the caller counts them.
        """
        ...

    def close(self) -> None:
        """Bring everything accepted to where it goes, and let go of it."""
        ...


@runtime_checkable
class RowSink(Protocol):
    """A place for decoded rows: exchanges that could not be decoded do not come here. Otherwise like a Sink."""

    @property
    def deleted_files(self) -> int:
        """Files deleted to make room for later rows."""
        ...

    def export_rows(self, items: Sequence[tuple[Capture, Rows]]) -> None:
        """Store or send the rows of these exchanges, in order.

        Raises:
            DeliveryError: These exchanges are lost; the caller counts them.
        """
        ...

    def close(self) -> None:
        """Bring everything accepted to where it goes, and let go of it."""
        ...


@runtime_checkable
class Gathering(Protocol):
    """A sink of either kind that gathers what it takes until there is enough of it, and counts what becomes of that.

    Its numbers are asked for from any thread.
    """

    @property
    def taken(self) -> int:
        """Exchanges that are where they go."""
        ...

    @property
    def lost(self) -> int:
        """Exchanges that it was given, and could not bring there."""
        ...

    @property
    def gathered(self) -> int:
        """Exchanges that are in memory still."""
        ...

    @property
    def gathered_bytes(self) -> int:
        """What they take of it."""
        ...

    def tend(self) -> None:
        """Bring what has waited long enough to where it goes; called every second or so by the thread that exports.

        Raises:
            DeliveryError: Some could not be brought there.
        """
        ...


class Channel(Protocol):
    """A way to tell somebody, or something, of an alert."""

    async def send(self, notice: Notice, http: "ClientSession") -> None:
        """Send one notice; the caller bounds how long that may take, and sends again what failed.

        Args:
            http: For whoever speaks HTTP.

        Raises:
            DeliveryError: It was not taken.
        """
        ...


class Store(Protocol):
    """Keeps predictions until their labels come, and labels until their predictions do.

    What a call has written when it returns survives the process. Every call may block, comes from any thread, writes
    all or nothing, and raises DeliveryError where it could not: the caller tries again or counts what is lost. A label
    of an id and a metric counts once, whatever its value: the first one stands. It joins the prediction of every
    variant that has its id, whichever comes first.
    """

    def keep(self, predictions: Sequence[Prediction], now_s: float) -> None:
        """Keep these until their labels come; those whose label is there already are joined.

        Args:
            now_s: Unix time, as in the other calls.
        """
        ...

    def add(self, labels: Sequence[Label], now_s: float) -> list[LabelStatus]:
        """Join these with their predictions, or let them wait; what became of each, in order."""
        ...

    def joined(self, after: int, limit: int) -> list[Joined]:
        """What was joined behind the place `after`, the oldest first, `limit` at most."""
        ...

    def tidy(self, now_s: float) -> None:
        """Let go of what is too old, or too much; to be called every second or so."""
        ...

    def save(self, name: str, data: bytes, upto: int) -> None:
        """Keep what a monitor remembers, and that it has read all that was joined up to this place."""
        ...

    def read(self, name: str) -> tuple[bytes, int] | None:
        """What was saved last under this name, and up to which place it had read; None before the first."""
        ...

    def leads(self, now_s: float) -> bool:
        """Whether this process is the one of those that share the store that saves and alerts; to be asked often."""
        ...

    @property
    def counts(self) -> LabelCounts:
        """What became of everything so far, of all processes that share the store."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Grader(Protocol):
    """A monitor that wants labels. All calls come from a thread, one at a time."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What holds now."""
        ...

    def take(self, rows: Labelled) -> None:
        """Take rows whose labels have come."""
        ...

    def assess(self, now_s: float) -> None:
        """See what all that was taken says.

        Args:
            now_s: Unix time.
        """
        ...

    def state(self) -> bytes:
        """What is to be known after a restart."""
        ...

    def restore(self, state: bytes) -> bool:
        """Go on from a saved state; False, and nothing done, where it is of other settings, or damaged."""
        ...


class Serving(NamedTuple):
    """A variant, with the version behind it and its part of the traffic.

    Args:
        weight: Percent.
    """

    variant: str
    version: str
    weight: float


class Catalog(Protocol):
    """Where versions, the runs that trained them and their deployments are written down.

    Every call may block, comes from any thread, and writes all or nothing. What is not there raises UnknownError; what
    is refused by what is there already, ConflictError; what nobody could take (too long, too many, of no such form),
    ConfigError; DeliveryError where the catalogue does not answer.
    """

    def groups(self) -> list[str]:
        """All models."""
        ...

    def versions(self, group: str) -> list[Version]:
        """All versions of a model, the latest first."""
        ...

    def version(self, group: str, name: str) -> Version:
        """One of them.

        Args:
            name: Its number, or an alias with `@` before it where the catalogue knows such.
        """
        ...

    def register(self, group: str, draft: Draft, *, by: str, now_s: float) -> Version:
        """Add a version; it gets the next number. Its group need not be there yet."""
        ...

    def decide(self, group: str, name: str, approval: Approval, *, by: str, why: str, now_s: float) -> Version:
        """Say whether a version may serve."""
        ...

    def deploy(self, group: str, serving: Sequence[Serving], *, by: str, why: str, now_s: float) -> None:
        """Note who serves from now on; a version that is not in the catalogue is not noted.

        Args:
            serving: All variants; of one that is not among them any more, the deployment has ended.
        """
        ...

    def report(self, group: str, name: str, live: Mapping[str, float], *, now_s: float) -> None:
        """Note what is measured of a version while it serves; what was noted before of other names stays."""
        ...

    def begin(self, group: str, name: str, *, now_s: float) -> Run:
        """Begin a training run."""
        ...

    def log(
        self, run: str, *, parameters: Mapping[str, str], points: Sequence[Point], artefacts: Mapping[str, str]
    ) -> None:
        """Add to a run; a parameter or artefact that it has already keeps its name and gets the new value."""
        ...

    def end(self, run: str, status: RunStatus, *, now_s: float) -> None:
        """End it."""
        ...

    def run(self, run: str) -> Run:
        """A run."""
        ...

    def runs(self, group: str) -> list[Run]:
        """The latest 1,000 runs of a model, the last first, of their points only the last of each metric."""
        ...

    def mark(self, group: str) -> str:
        """Another one whenever versions of a model, decisions or deployments have changed, whoever did it; cheap."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Kept(NamedTuple):
    """A document as it is kept, and what tells it from others before and after it."""

    document: bytes
    mark: str


class Fleet(Protocol):
    """Where pods that share their routing keep it: one document, written with optimistic concurrency."""

    async def read(self) -> Kept | None:
        """The document; None where there is none yet.

        Raises:
            DeliveryError: Nobody answers, or refuses.
        """
        ...

    async def write(self, document: bytes, mark: str | None) -> str:
        """Put another document in the place of the one with this mark, None where there is none yet; its own mark.

        Raises:
            ConflictError: Somebody else was first; nothing was written.
            DeliveryError: Nobody answers, or refuses.
        """
        ...

    async def changed(self, mark: str | None) -> Kept:
        """The document once its mark is another one; waits for that, whatever happens to connections meanwhile."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
