from dataclasses import replace
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import booleans, dictionaries, floats, integers, lists, sampled_from

from sidecar.errors import ConflictError
from sidecar.routing.rollout import (
    SKEW_S,
    TRANSITIONS,
    Command,
    Event,
    Phase,
    Plan,
    Progress,
    Seen,
    Word,
    advance,
    awaited,
    order,
    percent,
    weights,
)

COMMANDS: tuple[Command, ...] = get_args(Command)
EVENTS: tuple[Event, ...] = get_args(Event)
PHASES: tuple[Phase, ...] = get_args(Phase)
WORDS: tuple[Word, ...] = get_args(Word)

PLAN = Plan(champion="a", challenger="b", steps=(1.0, 10.0, 50.0), pause_s=600.0, min_rows=200)
STEPPING = Progress(version="4", phase="stepping", step=0, since_s=1000.0, changed_s=1000.0, by="ann")
DUE = Seen(now_s=1600.0, version="4", rows=200, guardrails={"errors": "fine", "latency": "unknown"}, ready=True)


def at(phase: Phase) -> Progress:
    """A rollout of version 4 in this phase, at the first step where it has begun."""
    return replace(STEPPING, phase=phase, step=-1 if phase == "waiting" else 0)


def told(progress: Progress, command: Command, *, version: str = "4", now_s: float = 2000.0) -> Progress:
    return order(progress, command, version=version, now_s=now_s, by="bob")


def caused(progress: Progress, event: Event) -> Progress:
    """What becomes of the rollout when this happens."""
    if event == "step":
        return advance(PLAN, progress, DUE)
    if event == "breach":
        return advance(PLAN, progress, DUE._replace(guardrails={"errors": "breach"}))
    if event == "replace":
        return advance(PLAN, progress, DUE._replace(version="5"))
    return told(progress, event)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("phase", PHASES)
def test_the_table_is_what_happens(phase: Phase, event: Event) -> None:
    before = at(phase)
    if (phase, event) in TRANSITIONS:
        after = caused(before, event)
        assert (after.phase, after == before) == (TRANSITIONS[phase, event], False)
    elif event in COMMANDS:
        with pytest.raises(ConflictError):
            caused(before, event)
    else:
        assert caused(before, event) is before


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (DUE, ""),
        (DUE._replace(now_s=1599.0), "the pause, 1 s more"),
        (DUE._replace(now_s=float("nan")), "the pause, nan s more"),
        (DUE._replace(rows=199), "rows, 1 more"),
        (DUE._replace(ready=False), "the challenger to be available"),
        (DUE._replace(guardrails={"b": "missing", "a": "missing", "c": "fine"}), "data for a, b"),
        (DUE._replace(now_s=1500.0, rows=0), "the pause, 100 s more; rows, 200 more"),
        (DUE._replace(guardrails={}), ""),
    ],
)
def test_a_step_lasts_until_everything_is_there(seen: Seen, text: str) -> None:
    assert awaited(PLAN, STEPPING, seen) == text
    assert (advance(PLAN, STEPPING, seen) is STEPPING) is bool(text)


def test_a_guardrail_of_which_nothing_is_seen_has_no_data() -> None:
    plan = replace(PLAN, guardrails=("errors", "drift"))
    assert awaited(plan, STEPPING, DUE) == "data for drift"
    assert advance(plan, STEPPING, DUE._replace(guardrails={})) is STEPPING


def test_without_a_pause_rows_alone_take_a_step() -> None:
    assert advance(replace(PLAN, pause_s=0.0), STEPPING, DUE._replace(now_s=1000.0)).step == 1


def test_a_step_says_why_it_was_taken() -> None:
    expected = Progress(
        version="4",
        phase="stepping",
        step=1,
        since_s=1600.0,
        reason="1 % for 600 s and 200 rows without a breach",
        changed_s=1600.0,
        by="rollout",
    )
    assert advance(PLAN, STEPPING, DUE) == expected


@pytest.mark.parametrize(
    ("plan", "phase", "part"), [(PLAN, "promoted", 100.0), (replace(PLAN, finish="hold"), "held", 50.0)]
)
def test_after_the_last_step_it_is_promoted_or_waits_to_be_told(plan: Plan, phase: Phase, part: float) -> None:
    after = advance(plan, replace(STEPPING, step=2), DUE)
    assert (after.phase, after.step, percent(plan, after)) == (phase, 2, part)
    assert after.reason == "the last step is done: 50 % for 600 s and 200 rows without a breach"


@pytest.mark.parametrize("phase", ["stepping", "held"])
def test_a_breach_names_its_guardrails_and_ends_at_the_champion(phase: Phase) -> None:
    words: dict[str, Word] = {"latency": "breach", "errors": "breach", "drift": "missing"}
    after = advance(PLAN, replace(at(phase), step=1), Seen(0.0, "5", 0, words, ready=False))
    assert (after.phase, after.reason) == ("rolled_back", "breach at 10 %: errors, latency")
    assert weights(PLAN, after, 1.0) == {"a": 1.0, "b": 0.0}


def test_a_clock_that_went_back_begins_the_pause_again() -> None:
    after = advance(PLAN, STEPPING, DUE._replace(now_s=400.0))
    assert after == replace(STEPPING, since_s=400.0)
    assert advance(PLAN, after, DUE._replace(now_s=999.0)) is after
    assert advance(PLAN, after, DUE._replace(now_s=1000.0)).step == 1


def test_clocks_of_a_fleet_may_differ_a_little() -> None:
    assert advance(PLAN, STEPPING, DUE._replace(now_s=1000.0 - SKEW_S)) is STEPPING


def test_a_clock_that_leapt_ahead_skips_no_step() -> None:
    after = advance(PLAN, STEPPING, DUE._replace(now_s=1e12))
    assert (after.step, advance(PLAN, after, DUE._replace(now_s=1e12))) == (1, after)


def test_a_resumed_step_begins_its_pause_again() -> None:
    resumed = told(told(STEPPING, "hold", now_s=1500.0), "resume", now_s=9000.0)
    assert (resumed.step, resumed.since_s) == (0, 9000.0)
    assert advance(PLAN, resumed, DUE._replace(now_s=9599.0)) is resumed


def test_an_order_says_who_and_why() -> None:
    begun = order(at("waiting"), "start", version="4", now_s=5.0, by="ann", why="ticket 7")
    after = (begun.phase, begun.step, begun.since_s, begun.changed_s, begun.by, begun.reason)
    assert after == ("stepping", 0, 5.0, 5.0, "ann", "ticket 7")
    assert told(begun, "rollback").reason == "rolled back by bob"


@pytest.mark.parametrize(
    ("phase", "command", "text"),
    [
        ("waiting", "rollback", "cannot rollback version 4: it has not begun; expected one of: start"),
        ("waiting", "promote", "cannot promote version 4: it has not begun; expected one of: start"),
        ("stepping", "start", "cannot start version 4: it is under way; expected one of: hold, promote, rollback"),
        ("stepping", "resume", "cannot resume version 4: it is under way; expected one of: hold, promote, rollback"),
        ("held", "hold", "cannot hold version 4: it is held; expected one of: resume, promote, rollback"),
        ("promoted", "start", "cannot start version 4: it is promoted; expected one of: rollback"),
        ("rolled_back", "promote", "cannot promote version 4: it was rolled back; expected one of: start"),
        ("stepping", "step", "cannot step version 4: it is under way; expected one of: hold, promote, rollback"),
    ],
)
def test_an_impossible_order_says_where_it_stands_and_what_can_be_done(
    phase: Phase, command: Command, text: str
) -> None:
    with pytest.raises(ConflictError) as caught:
        told(at(phase), command)
    assert str(caught.value) == text


@pytest.mark.parametrize("phase", PHASES)
def test_another_version_can_be_started_whatever_became_of_the_one_before(phase: Phase) -> None:
    after = told(replace(at(phase), step=-1 if phase == "waiting" else 2), "start", version="5")
    assert (after.version, after.phase, after.step, after.since_s) == ("5", "stepping", 0, 2000.0)


@pytest.mark.parametrize(("phase", "command"), [("held", "resume"), ("held", "promote"), ("stepping", "promote")])
def test_what_was_judged_of_one_version_promotes_no_other(phase: Phase, command: Command) -> None:
    with pytest.raises(ConflictError, match=f"cannot {command} version 5: version 4 is what was judged"):
        told(at(phase), command, version="5")


@pytest.mark.parametrize("phase", ["stepping", "held", "promoted"])
def test_a_rollback_is_also_one_of_the_version_that_came_meanwhile(phase: Phase) -> None:
    after = told(at(phase), "rollback", version="5")
    assert (after.phase, after.version) == ("rolled_back", "5")
    assert advance(PLAN, after, DUE._replace(version="5")) is after


def test_another_version_takes_the_traffic_from_the_challenger() -> None:
    after = advance(PLAN, at("promoted"), DUE._replace(version=""))
    expected = ("waiting", "", -1, "a challenger without a version is behind the challenger now")
    assert (after.phase, after.version, after.step, after.reason) == expected
    assert weights(PLAN, after, 1.0) == {"a": 1.0, "b": 0.0}


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (at("waiting"), {"a": 3.0, "b": 0.0}),
        (at("stepping"), {"a": 2.97, "b": 0.03}),
        (replace(at("held"), step=2), {"a": 1.5, "b": 1.5}),
        (at("promoted"), {"a": 0.0, "b": 3.0}),
        (at("rolled_back"), {"a": 3.0, "b": 0.0}),
        (replace(at("stepping"), step=9), {"a": 1.5, "b": 1.5}),
    ],
)
def test_the_weights_are_the_step_s_part_of_the_share(progress: Progress, expected: dict[str, float]) -> None:
    assert weights(PLAN, progress, 3.0) == expected


def test_in_a_plan_that_has_become_shorter_the_last_step_ends_it() -> None:
    after = advance(replace(PLAN, steps=(1.0,)), replace(STEPPING, step=2), DUE)
    assert after.phase == "promoted"


@given(floats(0, 1e9), floats(1e-6, 100, exclude_max=True), sampled_from(PHASES))
def test_weights_sum_to_the_share_and_are_never_below_0(share: float, step: float, phase: Phase) -> None:
    plan = replace(PLAN, steps=(step,))
    got = weights(plan, at(phase), share)
    assert sum(got.values()) == pytest.approx(share, rel=1e-15)
    assert min(got.values()) >= 0.0
    assert phase in {"stepping", "held"} or 0.0 in got.values()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"challenger": "a"}, "a is champion and challenger, expected two variants"),
        ({"steps": ()}, "steps: [], expected percents"),
        ({"steps": (0.0, 5.0)}, "steps: [0.0, 5.0], expected percents"),
        ({"steps": (5.0, 100.0)}, "steps: [5.0, 100.0], expected percents"),
        ({"steps": (5.0, 5.0)}, "steps: [5.0, 5.0], expected percents"),
        ({"steps": (float("nan"),)}, "steps: [nan], expected percents"),
        ({"pause_s": -1.0}, "pause_s: -1.0, expected 0 or more"),
        ({"pause_s": float("nan")}, "pause_s: nan, expected 0 or more"),
        ({"pause_s": float("inf")}, "pause_s: inf, expected 0 or more"),
        ({"min_rows": 0}, "min_rows: 0, expected 1 or more"),
    ],
)
def test_what_is_no_plan_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        replace(PLAN, **changes)  # type: ignore[arg-type]  # as a caller without types would
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("phase", PHASES)
def test_progress_survives_a_restart(phase: Phase) -> None:
    progress = replace(at(phase), reason="für alle", since_s=1.7e9 + 1 / 3)
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress


@pytest.mark.parametrize(
    "damaged",
    [
        '{"phase": "stepping"}',
        '{"phase": "waiting", "step": 0}',
        '{"phase": "held", "step": -2}',
        '{"phase": "done", "step": 0}',
    ],
)
def test_damaged_progress_is_refused(damaged: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(damaged, type=Progress)


@pytest.mark.parametrize("changes", [{"phase": "done"}, {"since_s": float("nan")}, {"since_s": float("inf")}])
def test_progress_that_stands_nowhere_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected a phase since a time"):
        replace(STEPPING, **changes)  # type: ignore[arg-type]  # as a caller without types would


@given(lists(booleans(), min_size=1, max_size=50), integers(0, 199))
def test_without_data_it_never_leaves_the_first_step(unjudged: list[bool], rows: int) -> None:
    progress = told(at("waiting"), "start")
    for days, missing in enumerate(unjudged):
        words: dict[str, Word] = {"errors": "missing" if missing else "fine"}
        now_s = 2000.0 + 86400.0 * days
        progress = advance(PLAN, progress, Seen(now_s, "4", 10**9 if missing else rows, words, ready=True))
    assert (progress.phase, percent(PLAN, progress)) == ("stepping", 1.0)


class Course(RuleBasedStateMachine):
    """Whatever is seen and ordered, in whatever order, over restarts and with any clock."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress()
        self.now_s = 1e6
        self.lasted_s = 0.0
        self.version = "4"

    def takes(self, after: Progress) -> None:
        if (after.phase, after.step, after.version) != (self.progress.phase, self.progress.step, self.progress.version):
            self.lasted_s = 0.0
        self.progress = after

    @rule(
        passed_s=sampled_from([-1e5, -1.0, 0.0, 1.0, 599.0, 600.0, 1e5]),
        rows=sampled_from([0, 199, 200, 10_000]),
        words=dictionaries(sampled_from(["errors", "latency"]), sampled_from(WORDS)),
        ready=booleans(),
    )
    def see(self, passed_s: float, rows: int, words: dict[str, Word], ready: bool) -> None:
        self.now_s += passed_s
        self.lasted_s += max(passed_s, 0.0)
        before = self.progress
        after = advance(PLAN, before, Seen(self.now_s, self.version, rows, words, ready=ready))
        if "breach" in words.values() and before.phase in {"stepping", "held"}:
            assert weights(PLAN, after, 1.0) == {"a": 1.0, "b": 0.0}
        elif percent(PLAN, after) > percent(PLAN, before):
            assert before.version == self.version
            assert before.phase == "stepping"
            assert after.step == before.step + 1 or (before.step == 2 and after.phase == "promoted")
            assert ready
            assert rows >= 200
            assert self.lasted_s >= 600.0
            assert set(words.values()) <= {"fine", "unknown"}
        self.takes(after)

    @rule()
    def well_for_a_while(self) -> None:
        self.see(600.0, 10_000, {"errors": "fine"}, ready=True)

    @rule(command=sampled_from(COMMANDS))
    def say(self, command: Command) -> None:
        before = self.progress
        try:
            after = order(before, command, version=self.version, now_s=self.now_s, by="ann")
        except ConflictError:
            return
        if command != "promote":
            assert percent(PLAN, after) <= max(percent(PLAN, before), PLAN.steps[0])
        self.takes(after)

    @rule(version=sampled_from(["4", "5"]))
    def another_version(self, version: str) -> None:
        self.version = version

    @rule()
    def restart(self) -> None:
        self.progress = msgspec.json.decode(msgspec.json.encode(self.progress), type=Progress)

    @precondition(lambda self: self.progress.phase in {"stepping", "held", "promoted"})
    @invariant()
    def there_is_a_way_back(self) -> None:
        back = order(self.progress, "rollback", version=self.version, now_s=self.now_s, by="ann")
        assert weights(PLAN, back, 1.0) == {"a": 1.0, "b": 0.0}

    @invariant()
    def the_challenger_has_its_step_at_most(self) -> None:
        progress = self.progress
        limits = {"stepping": PLAN.steps[progress.step], "held": PLAN.steps[progress.step], "promoted": 100.0}
        assert weights(PLAN, progress, 100.0)["b"] == limits.get(progress.phase, 0.0)


def test_no_course_breaks_the_rules() -> None:
    run_state_machine_as_test(Course, settings=settings(max_examples=100, stateful_step_count=30))
