"""What a shadow answers, beside what its originals were answered: captures are paired by request, and compared.

Where captures come by they are only put aside; they are paired and compared in a thread, whenever somebody asks for it.
The two may go on at once.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from sidecar.monitors.agreement import Agreement, Answer, Pair
from sidecar.monitors.versions import VersionKey
from sidecar.records import JSON, Capture, Rows
from sidecar.routing.table import POINTS, points
from sidecar.texts import encodable

MAX_BYTES = 16 << 20
"""Of memory, about, for captures that are put aside; and as much for answers that wait for their counterparts."""

MAX_WAITING = 10_000
"""Answers that wait for their counterparts; of more, the oldest go."""

MAX_CELLS = 8192
"""Of one answer that are compared, in whole rows; one row always is."""

CAPTURE_BYTES, ROW_BYTES, CELL_BYTES = 1750, 130, 32
"""What a capture takes of memory beside its bodies: of itself, of a row, of a cell."""

QUESTION_BYTES = 4096
"""By so much of a body two requests are told apart that bear the same id, as those of careless clients do."""

PANE_PAIRS, PANES = 100, 10
"""The comparison of late is over the last thousand pairs, a hundred of them at a time."""

MAX_COMPARISONS = 16
"""Of two versions with each other; of more, the one that had a pair the longest ago is forgotten."""

MAX_AGE_S = 120.0

TOLERANCE = 1e-6
"""By which equal numbers may differ: some parts in a million are lost where a model computes with 32 bits."""

LEFT = "left"
"""The kind of an answer for which its client did not wait: it says nothing of the model."""

Question = tuple[str, str, int, int]
"""What a request and its copy have in common: id, path, size of the body, and a hash of it."""


class Waiting(NamedTuple):
    """An answer whose counterpart has not come.

    Args:
        shadow: It is a copy's.
        since_s: When it came.
        size_bytes: What it takes.
    """

    answer: Answer
    shadow: bool
    since_s: float
    size_bytes: int


class Comparison:
    """One version of a shadow beside one of whoever served the originals.

    Attributes:
        since_s: Unix time of the first pair's request.
        last_s: Of the last one's.
        lifetime: All pairs.
    """

    def __init__(self, since_s: float) -> None:
        self.since_s = self.last_s = since_s
        self.lifetime = Agreement()
        self._panes: deque[Agreement] = deque([Agreement()], maxlen=PANES)

    def count(self, pairs: Sequence[Pair], tolerance: float) -> None:
        """Count some."""
        self.last_s = max(self.last_s, *(original.time_s for original, _ in pairs))
        left = iter(pairs)
        while part := list(islice(left, PANE_PAIRS - self._panes[-1].pairs)):
            counted = Agreement()
            counted.count(part, tolerance)
            self._panes[-1].merge(counted)
            self.lifetime.merge(counted)
            if self._panes[-1].pairs >= PANE_PAIRS:
                self._panes.append(Agreement())

    def rolling(self) -> Agreement:
        """The pairs of late."""
        late = Agreement()
        for pane in self._panes:
            late.merge(pane)
        return late


class Shadowed:
    """Compares a shadow's answers with those of its originals.

    A new version, on either side, begins a comparison of its own.

    Args:
        variant: The shadow's.
        ratio: Of the requests that are copied: of others no answer waits.
        max_age_s: That an answer waits for its counterpart; more than a copy may take.
        tolerance: By which equal numbers may differ, relative to the greater one, or to 1.

    Attributes:
        comparisons: By the versions of shadow and original, the one with the latest pair last; replaced as a whole.
        unpaired: Answers given up without a counterpart, of an `original` or of a `shadow`: the other one was shed,
            or dropped, or not kept.
        dropped: Captures for which there was no room.
        unanswered: Pairs left out, since the client did not wait for the original's answer.
    """

    def __init__(
        self, variant: str, *, ratio: float = 1.0, max_age_s: float = MAX_AGE_S, tolerance: float = TOLERANCE
    ) -> None:
        self.comparisons: dict[tuple[VersionKey, VersionKey], Comparison] = {}
        self.unpaired: Counter[str] = Counter({"original": 0, "shadow": 0})
        self.dropped = self.unanswered = 0
        self._tolerance = tolerance
        # Put in by the loop and taken out by a thread: each has a count of its own.
        self._aside: deque[tuple[Capture, Rows, int]] = deque()
        self._put_bytes = self._taken_bytes = 0
        # The thread's alone.
        self._waiting: dict[tuple[Question, bool], Waiting] = {}
        self._waiting_bytes = 0
        self._now_s = 0.0
        self._told: JSON = []
        self.follow(variant, ratio, max_age_s)

    def follow(self, variant: str, ratio: float, max_age_s: float) -> None:
        """Compare this one from now on; what is known stays."""
        self._max_age_s = max_age_s
        self._variant = variant
        self._limit = ratio * POINTS

    def offer(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        """Put aside what is to be paired; on the loop."""
        for capture, rows in batch:
            if not (capture.shadow or self._is_copied(capture)):
                continue
            size_bytes = _size_bytes(capture, rows)
            if self._put_bytes - self._taken_bytes + size_bytes > MAX_BYTES:
                self.dropped += 1
                continue
            self._put_bytes += size_bytes
            self._aside.append((capture, rows, size_bytes))

    def settle(self) -> None:
        """Pair and compare what was put aside; in a thread, never in two at once."""
        groups: dict[tuple[VersionKey, VersionKey], list[Pair]] = {}
        for _ in range(len(self._aside)):
            capture, rows, size_bytes = self._aside.popleft()
            self._taken_bytes += size_bytes
            pair = self._pair(capture, rows)
            if pair is not None:
                groups.setdefault((pair[1].whose, pair[0].whose), []).append(pair)
        self._let_go()
        if groups:
            self._count(groups)

    def told(self) -> JSON:
        """As it was when it was last settled, the comparison with the latest pair first."""
        return {
            "variant": encodable(self._variant),
            "waiting": len(self._waiting),
            "unpaired": dict(self.unpaired),
            "unanswered": self.unanswered,
            "dropped": self.dropped,
            "comparisons": self._told,
        }

    def _is_copied(self, capture: Capture) -> bool:
        if capture.variant == self._variant:
            return False
        return self._limit >= POINTS or points(capture.request_id.encode("latin-1", "replace"))[1] < self._limit

    def _pair(self, capture: Capture, rows: Rows) -> Pair | None:
        """The pair that this capture completes; None where its counterpart is yet to come, or says nothing."""
        self._now_s = max(self._now_s, capture.started_s + capture.duration_s)
        data, shadow = capture.request.data, capture.shadow
        question = (capture.request_id, capture.path, len(data), hash(data[:QUESTION_BYTES]))
        answer = _answer(capture, rows)
        counterpart = self._waiting.pop((question, not shadow), None)
        if counterpart is None:
            self._give_up((question, shadow))
            size_bytes = _size_bytes(capture, rows)
            self._waiting[question, shadow] = Waiting(answer, shadow, self._now_s, size_bytes)
            self._waiting_bytes += size_bytes
            return None
        self._waiting_bytes -= counterpart.size_bytes
        pair = (counterpart.answer, answer) if shadow else (answer, counterpart.answer)
        if pair[0].kind == LEFT:
            self.unanswered += 1
            return None
        return pair

    def _count(self, groups: Mapping[tuple[VersionKey, VersionKey], Sequence[Pair]]) -> None:
        comparisons = dict(self.comparisons)
        for key, pairs in groups.items():
            comparison = comparisons.pop(key, None) or Comparison(min(original.time_s for original, _ in pairs))
            comparisons[key] = comparison
            comparison.count(pairs, self._tolerance)
        while len(comparisons) > MAX_COMPARISONS:
            del comparisons[next(iter(comparisons))]
        self.comparisons = comparisons
        self._told = [_told(*key, comparisons[key]) for key in reversed(comparisons)]

    def _let_go(self) -> None:
        """Give up what has waited for too long, or is too much."""
        while self._waiting:
            key, oldest = next(iter(self._waiting.items()))
            too_much = len(self._waiting) > MAX_WAITING or self._waiting_bytes > MAX_BYTES
            if not too_much and self._now_s - oldest.since_s <= self._max_age_s:
                return
            self._give_up(key)

    def _give_up(self, key: tuple[Question, bool]) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self._waiting_bytes -= waiting.size_bytes
            self.unpaired["shadow" if waiting.shadow else "original"] += 1


def _answer(capture: Capture, rows: Rows) -> Answer:
    return Answer(
        VersionKey(capture.variant, capture.version),
        _kind(capture),
        max(0.0, capture.duration_s - capture.overhead_s),
        capture.sample_ratio,
        rows.predictions,
        rows.answered[: max(1, MAX_CELLS // max(1, len(rows.predictions)))],
        capture.request_id,
        capture.started_s,
    )


def _size_bytes(capture: Capture, rows: Rows) -> int:
    """About what a capture takes; what is kept of it while it waits is less, but for the texts of its reply."""
    bodies = len(capture.request.data) + len(capture.reply.data)
    cells = len(rows.asked) * (len(rows.features) + len(rows.predictions))
    return CAPTURE_BYTES + bodies + ROW_BYTES * len(rows.asked) + CELL_BYTES * cells


def _kind(capture: Capture) -> str:
    if capture.error_type == "client_closed":
        return LEFT
    if 200 <= capture.status < 300 and capture.error_type:
        return "cut"
    return f"{capture.status // 100}xx" if capture.status else "none"


def _told(shadow: VersionKey, original: VersionKey, comparison: Comparison) -> JSON:
    return {
        "variant": encodable(shadow.variant),
        "version": encodable(shadow.version),
        "original": {"variant": encodable(original.variant), "version": encodable(original.version)},
        "since_s": comparison.since_s,
        "last_s": comparison.last_s,
        "rolling": comparison.rolling().told(),
        "lifetime": comparison.lifetime.told(),
    }
