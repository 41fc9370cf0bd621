"""What variants are weighed by, brought to the experiments: outcomes of requests, replies, predictions, labels."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import orjson

from sidecar import records
from sidecar.experiments.experiment import Experiment, Rows
from sidecar.experiments.standing import Standing
from sidecar.payload.assembling import assemble_labelled
from sidecar.quality.reading import Reading
from sidecar.records import JSON, Capture, Joined, Labelled
from sidecar.stats.moments import Flags, Floats
from sidecar.stats.served import Outcome

WAITING, WAITING_BYTES = 10_000, 16 << 20
"""Exchanges that wait to be weighed, and the bytes of their replies; of more the latest are dropped and counted."""

REPLY_BYTES = 256 * 1024
"""Of a reply that is read for the numbers in it."""


class Weighing:
    """Feeds experiments. But for `offer`, all calls come from one thread at a time.

    Args:
        experiments: By what they are for: `experiment`, `rollout`.
        reading: Reads answers and labels; None where it is not known what the model does.

    Attributes:
        dropped: Exchanges for which there was no room.
    """

    def __init__(self, experiments: Mapping[str, Experiment], reading: Reading | None) -> None:
        self.experiments = experiments
        self.dropped = 0
        self._reading = reading
        self._waiting: list[tuple[Capture, records.Rows]] = []
        self._waiting_bytes = 0
        self._lock = threading.Lock()  # around the two; held for no longer than they take

    def offer(self, batch: Sequence[tuple[Capture, records.Rows]]) -> None:
        """Take exchanges, to be weighed later; never waits."""
        for capture, rows in batch:
            if not capture.unit or capture.shadow or not 200 <= capture.status < 300:
                continue
            size_bytes = len(capture.reply.data)
            with self._lock:
                if len(self._waiting) >= WAITING or self._waiting_bytes + size_bytes > WAITING_BYTES:
                    self.dropped += 1
                    continue
                self._waiting.append((capture, rows))
                self._waiting_bytes += size_bytes

    def begin(self, shares: Mapping[str, float], now_s: float) -> None:
        """The weights are these now; see `Experiment.begin`."""
        for experiment in self.experiments.values():
            experiment.begin(shares, now_s)

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Take requests that are over."""
        by: defaultdict[tuple[str, bool], list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by[outcome.variant, outcome.spared].append(outcome)
        for (variant, spared), those in by.items():
            failed: Flags = np.array([each.failed for each in those])
            durations_s = np.array([each.duration_s for each in those])
            rows = _rows(variant, [each.unit for each in those], [each.time_s for each in those])
            for experiment in self.experiments.values():
                if spared:
                    experiment.spared(rows)
                else:
                    experiment.served(rows, failed, durations_s)

    def join(self, pairs: Sequence[Joined]) -> None:
        """Take labels and outcomes that have found their predictions."""
        known = [pair for pair in pairs if pair.prediction.unit]
        if self._reading is not None:
            for labelled in assemble_labelled(pair for pair in known if not pair.label.metric):
                self._lose(labelled, self._reading)
        by: defaultdict[tuple[str, str], list[Joined]] = defaultdict(list)
        for pair in known:
            if pair.label.metric:
                by[pair.prediction.variant, pair.label.metric].append(pair)
        for (variant, metric), those in by.items():
            cells = [(pair.prediction, value) for pair in those for value in pair.label.values]
            rows = _rows(variant, [each.unit for each, _ in cells], [each.time_s for each, _ in cells])
            values = np.array([_number(value) for _, value in cells])
            for experiment in self.experiments.values():
                experiment.outcomes(rows, metric, values)

    def look(self, in_flight: Mapping[str, int], now_s: float) -> dict[str, Standing]:
        """Weigh what waits, and see how all stands."""
        self._weigh()
        for experiment in self.experiments.values():
            experiment.loaded(now_s, in_flight)
        return {name: experiment.look(now_s) for name, experiment in self.experiments.items()}

    def _weigh(self) -> None:
        with self._lock:
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        by: defaultdict[str, list[tuple[Capture, records.Rows]]] = defaultdict(list)
        for capture, rows in waiting:
            by[capture.variant].append((capture, rows))
        for variant, those in by.items():
            captures = [capture for capture, _ in those]
            whose = _rows(variant, [each.unit for each in captures], [each.started_s for each in captures])
            documents = [_document(each) for each in captures]
            durations_s = np.array([each.duration_s for each in captures])
            answers = [(capture, _first(row)) for capture, rows in those for row in rows.answered]
            said = _rows(variant, [each.unit for each, _ in answers], [each.started_s for each, _ in answers])
            numbers = np.array([number for _, number in answers])
            for experiment in self.experiments.values():
                experiment.replied(whose, documents, durations_s)
                if answers:
                    experiment.predicted(said, numbers)

    def _lose(self, labelled: Labelled, reading: Reading) -> None:
        read = reading.read(labelled)
        if not len(read.kept) or labelled.units is None:
            return
        if read.answers is not None:
            losses: Floats = (read.answers.actual != read.answers.predicted).astype(np.float64)
        else:
            assert read.amounts is not None
            losses = np.abs(read.amounts.predicted - read.amounts.actual)
        rows = Rows(labelled.variant, labelled.units[read.kept], labelled.times_s[read.kept])
        for experiment in self.experiments.values():
            experiment.lost(rows, losses)


def _rows(variant: str, units: Sequence[int], times_s: Sequence[float]) -> Rows:
    return Rows(variant, np.array(units, dtype=np.uint64), np.array(times_s, dtype=np.float64))


def _document(capture: Capture) -> JSON:
    """The reply as parsed JSON; None where it is none, or too long to be read for a number."""
    data = capture.reply.data
    if capture.reply.withheld or not 0 < len(data) <= REPLY_BYTES:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _first(row: Sequence[object]) -> float:
    """The first number of an answer."""
    return next((number for cell in row if not np.isnan(number := _number(cell))), np.nan)


def _number(cell: object) -> float:
    try:
        return float(cell) if isinstance(cell, int | float) else np.nan
    except OverflowError:
        return np.nan
