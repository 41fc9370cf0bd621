"""The rollout: a challenger's way to all of the traffic, in steps, and back at once. Values in, values out.

    waiting       nothing of this version has begun; the champion has everything
    stepping      the challenger has its step's percent; the next step is taken by itself
    held          the challenger keeps its percent until somebody says otherwise
    promoted      the challenger has everything
    rolled_back   the champion has everything again

Rule 1: a breach ends with the champion having everything, in one call, at whatever step, stepping or held.
Rule 2: no data is no verdict: a step lasts until its pause is over, its rows are there and every guardrail has a word.
Rule 3: one call takes one step at most, whatever the clock did since the last one.
Rule 4: what was judged is one version: where another one stands behind the challenger, its rollout has not begun.
Rule 5: a promoted version is judged no more, as no champion serves beside it; the way back from there is an order.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from sidecar.errors import ConflictError

Phase = Literal["waiting", "stepping", "held", "promoted", "rolled_back"]

Command = Literal["start", "hold", "resume", "promote", "rollback"]
"""What somebody may order."""

Event = Literal["start", "hold", "resume", "promote", "rollback", "step", "breach", "replace"]
"""A command, given by somebody or by the plan's end; or what is seen: that the next step is due, that a guardrail is
breached, that another version stands behind the challenger."""

Word = Literal["fine", "unknown", "missing", "breach"]
"""Of a guardrail: surely within its margin, judged but neither surely within nor surely beyond, too little data to be
judged, surely beyond. Only `missing` and `breach` stop a step: whoever is within the margin by a hair stays `unknown`
for ever."""

TRANSITIONS: Final[Mapping[tuple[Phase, Event], Phase]] = {
    ("waiting", "start"): "stepping",
    ("waiting", "replace"): "waiting",
    ("stepping", "step"): "stepping",
    ("stepping", "hold"): "held",
    ("stepping", "promote"): "promoted",
    ("stepping", "rollback"): "rolled_back",
    ("stepping", "breach"): "rolled_back",
    ("stepping", "replace"): "waiting",
    ("held", "resume"): "stepping",
    ("held", "promote"): "promoted",
    ("held", "rollback"): "rolled_back",
    ("held", "breach"): "rolled_back",
    ("held", "replace"): "waiting",
    ("promoted", "rollback"): "rolled_back",
    ("promoted", "replace"): "waiting",
    ("rolled_back", "start"): "stepping",
    ("rolled_back", "replace"): "waiting",
}
"""What becomes of a phase; what is not here is refused where it is ordered, and changes nothing where it is seen."""

SKEW_S = 60.0
"""Clocks of a fleet differ by less: what one sidecar has begun lies ahead of another, and only lasts so much longer."""

ITSELF = "rollout"
"""Who is said to have done what nobody ordered."""

_DONE: Final[Mapping[Command, str]] = {
    "start": "started",
    "hold": "held",
    "resume": "resumed",
    "promote": "promoted",
    "rollback": "rolled back",
}

_STANDS: Final[Mapping[Phase, str]] = {
    "waiting": "it has not begun",
    "stepping": "it is under way",
    "held": "it is held",
    "promoted": "it is promoted",
    "rolled_back": "it was rolled back",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a rollout is to go.

    Args:
        champion: The variant that serves now, and again after a rollback.
        challenger: The variant that is to serve.
        steps: Percent of the traffic of both that the challenger gets, ascending, each above 0 and below 100.
        pause_s: At each step, at least.
        min_rows: Of the challenger at each step, at least.
        finish: After the last step: promote, or hold until somebody says otherwise.
        guardrails: Those that must have been judged: one of them of which nothing is seen counts as `missing`.

    Raises:
        ValueError: This is no plan.
    """

    champion: str
    challenger: str
    steps: Sequence[float]
    pause_s: float
    min_rows: int
    finish: Literal["promote", "hold"] = "promote"
    guardrails: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.champion == self.challenger:
            raise ValueError(f"{self.champion} is champion and challenger, expected two variants")
        bounds = (0.0, *self.steps, 100.0)
        if not self.steps or not all(low < high for low, high in pairwise(bounds)):
            raise ValueError(f"steps: {list(self.steps)}, expected percents between 0 and 100, ascending")
        if not 0 <= self.pause_s < float("inf"):
            raise ValueError(f"pause_s: {self.pause_s}, expected 0 or more")
        if self.min_rows < 1:
            raise ValueError(f"min_rows: {self.min_rows}, expected 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a rollout is; what to save over a restart.

    Args:
        version: Of the challenger, that this is about; may be empty.
        step: Index of the step; once it is over the one that it had come to; -1 while nothing has begun.
        since_s: Unix time at which the step began, or began again after a hold.
        reason: For people: why it is where it is.
        changed_s: Unix time of the last change of phase or step.
        by: Who changed it.

    Raises:
        ValueError: It is damaged.
    """

    version: str = ""
    phase: Phase = "waiting"
    step: int = -1
    since_s: float = 0.0
    reason: str = ""
    changed_s: float = 0.0
    by: str = ""

    def __post_init__(self) -> None:
        if self.phase not in _STANDS or not isfinite(self.since_s):
            raise ValueError(f"{self.phase} since {self.since_s}, expected a phase since a time")
        if self.step < -1 or (self.step == -1) is not (self.phase == "waiting"):
            raise ValueError(f"step: {self.step} while {self.phase}, expected -1 while waiting, else 0 or more")


class Seen(NamedTuple):
    """What is known at one moment.

    Args:
        now_s: Unix time. It may be earlier than the last one.
        version: What stands behind the challenger.
        rows: Of the challenger since `Progress.since_s`.
        guardrails: The word of each.
        ready: The challenger takes all of its part: it is neither ejected nor coming back.
        sentences: What is known of each, for people.
    """

    now_s: float
    version: str
    rows: int
    guardrails: Mapping[str, Word]
    ready: bool
    sentences: Mapping[str, str] = MappingProxyType({})


def advance(plan: Plan, progress: Progress, seen: Seen) -> Progress:
    """Bring the rollout to what is seen; the same object where nothing changes.

    Example:
        >>> plan = Plan(champion="a", challenger="b", steps=(5, 50), pause_s=600, min_rows=200)
        >>> begun = order(Progress(version="4"), "start", version="4", now_s=0, by="ann")
        >>> after = advance(plan, begun, Seen(600, "4", 1000, {"errors": "unknown"}, ready=True))
        >>> weights(plan, after, 1.0), after.reason
        ({'a': 0.5, 'b': 0.5}, '5 % for 600 s and 1000 rows without a breach')
        >>> after = advance(plan, after, Seen(601, "4", 20, {"errors": "breach"}, ready=True))
        >>> weights(plan, after, 1.0), after.reason
        ({'a': 1.0, 'b': 0.0}, 'breach at 50 %: errors')
    """
    breached = sorted(name for name, word in seen.guardrails.items() if word == "breach")
    if breached and (progress.phase, "breach") in TRANSITIONS:
        told = [f"{name} ({seen.sentences[name]})" if name in seen.sentences else name for name in breached]
        reason = f"breach at {percent(plan, progress):g} %: {', '.join(told)}"
        return _moved(progress, "breach", seen.now_s, by=ITSELF, reason=reason)
    if seen.version != progress.version:
        reason = f"{_named(seen.version)} is behind the challenger now"
        return replace(_moved(progress, "replace", seen.now_s, by=ITSELF, reason=reason), version=seen.version)
    if progress.phase != "stepping":
        return progress
    if seen.now_s < progress.since_s - SKEW_S:
        # The clock went back: for how long the step has lasted nobody knows, so its pause begins again.
        return replace(progress, since_s=seen.now_s)
    return progress if awaited(plan, progress, seen) else _onward(plan, progress, seen)


def awaited(plan: Plan, progress: Progress, seen: Seen) -> str:
    """For people: what must come before the next step is taken, while stepping; empty where it is due."""
    left_s = plan.pause_s - (seen.now_s - progress.since_s)
    words = {**dict.fromkeys(plan.guardrails, "missing"), **seen.guardrails}
    missing = sorted(name for name, word in words.items() if word == "missing")
    waits = {
        "the challenger to be available": not seen.ready,
        f"the pause, {left_s:.0f} s more": not left_s <= 0,
        f"rows, {plan.min_rows - seen.rows} more": seen.rows < plan.min_rows,
        f"data for {', '.join(missing)}": bool(missing),
    }
    return "; ".join(text for text, waiting in waits.items() if waiting)


def order(progress: Progress, command: Command, *, version: str, now_s: float, by: str, why: str = "") -> Progress:
    """Do what somebody says.

    `start` of another version than the one before begins anew, whatever became of that one. A rollback is also one of
    the version that stands there now: it is not begun again by itself.

    Args:
        version: What stands behind the challenger.
        by: Who says so.
        why: In their words.

    Raises:
        ConflictError: It cannot be done from where the rollout is; nothing was changed.
    """
    if command == "start" and version != progress.version:
        progress = Progress(version=version)
    if command not in _DONE or (progress.phase, command) not in TRANSITIONS:
        possible = ", ".join(each for each in _DONE if (progress.phase, each) in TRANSITIONS)
        raise ConflictError(
            f"cannot {command} {_named(progress.version)}: {_STANDS[progress.phase]}; expected one of: {possible}"
        )
    if command in {"resume", "promote"} and version != progress.version:
        judged = _named(progress.version)
        raise ConflictError(f"cannot {command} {_named(version)}: {judged} is what was judged; expected one of: start")
    moved = _moved(progress, command, now_s, by=by, reason=why or f"{_DONE[command]} by {by}")
    return replace(moved, version=version) if command == "rollback" else moved


def percent(plan: Plan, progress: Progress) -> float:
    """The challenger's part of the traffic of both. Of a plan that has become shorter meanwhile the last step holds."""
    if progress.phase in {"stepping", "held"}:
        return plan.steps[min(progress.step, len(plan.steps) - 1)]
    return 100.0 if progress.phase == "promoted" else 0.0


def weights(plan: Plan, progress: Progress, share: float) -> dict[str, float]:
    """The weights of champion and challenger.

    Args:
        share: What the two have together, of all weights.
    """
    # Divided first: 100 / 100 is 1 exactly, and the champion's weight exactly 0.
    challenger = share * (percent(plan, progress) / 100.0)
    return {plan.champion: share - challenger, plan.challenger: challenger}


def _moved(progress: Progress, event: Event, now_s: float, *, by: str, reason: str) -> Progress:
    """What the table says; whatever leads to `stepping` begins a pause there."""
    phase = TRANSITIONS[progress.phase, event]
    return replace(
        progress,
        phase=phase,
        step={"start": 0, "step": progress.step + 1, "replace": -1}.get(event, progress.step),
        since_s=now_s if phase == "stepping" else progress.since_s,
        reason=reason,
        changed_s=now_s,
        by=by,
    )


def _onward(plan: Plan, progress: Progress, seen: Seen) -> Progress:
    lasted_s = seen.now_s - progress.since_s
    passed = f"{percent(plan, progress):g} % for {lasted_s:.0f} s and {seen.rows} rows without a breach"
    if progress.step + 1 < len(plan.steps):
        return _moved(progress, "step", seen.now_s, by=ITSELF, reason=passed)
    return _moved(progress, plan.finish, seen.now_s, by=ITSELF, reason=f"the last step is done: {passed}")


def _named(version: str) -> str:
    return f"version {version}" if version else "a challenger without a version"
