from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sidecar.alerts.rules import KEPT, Rule, rule_for, silence, step
from sidecar.config.schema import AlertRule
from sidecar.records import Alert, Carrier, Finding, Key, Severity

KEY = Key("data", "sequential", "champion", "features")
OTHER = Key("data", "sequential", "challenger", "features")
RULE = Rule(hold_s=10, resolve_s=60, repeat_s=1000)


def found(key: Key = KEY, rows: int = 2000) -> Finding:
    carrier = Carrier("amount", 1.0, 0.4, 0.25, "amount has moved")
    return Finding(key, "3", (carrier,), rows, 10_000, "Data drift in amount")


def pending(since_s: float = 100) -> Alert:
    return Alert(id="a" * 16, state="pending", severity="warning", finding=found(), pending_s=since_s)


def firing(told_s: float = 110) -> Alert:
    return replace(pending(), state="firing", fired_s=110, told_s=told_s, told=1)


def gone(since_s: float = 200) -> Alert:
    return replace(firing(), gone_s=since_s)


def resolved(at_s: float = 260, number: int = 0) -> Alert:
    return replace(gone(), id=f"{number:016x}", state="resolved", resolved_s=at_s, told=2)


def unheard(alert: Alert) -> Alert:
    return replace(alert, told_s=None, told=0)


def course(moments: Sequence[tuple[float, bool]], rules: Sequence[Rule] = (RULE,)) -> list[tuple[float, str]]:
    """What the channels are told, and when, as the one finding comes and goes."""
    alerts: tuple[Alert, ...] = ()
    heard: list[tuple[float, str]] = []
    for now_s, there in moments:
        alerts, told = step(alerts, [found()] if there else [], rules, now_s)
        heard += [(now_s, alert.state) for alert in told]
    return heard


TRANSITIONS: dict[str, tuple[list[Alert], list[Finding], float, list[str], list[str]]] = {
    "nothing is nothing": ([], [], 100, [], []),
    "a finding is pending": ([], [found()], 100, ["pending"], []),
    "pending goes on": ([pending()], [found()], 109, ["pending"], []),
    "pending has lasted": ([pending()], [found()], 110, ["firing"], ["firing"]),
    "pending is gone": ([pending()], [], 105, [], []),
    "pending is gone after its time": ([pending()], [], 500, [], []),
    "firing goes on": ([firing()], [found()], 500, ["firing"], []),
    "firing until it is told again": ([firing()], [found()], 1109, ["firing"], []),
    "firing is told again": ([firing()], [found()], 1110, ["firing"], ["firing"]),
    "firing is gone": ([firing()], [], 200, ["firing"], []),
    "gone goes on": ([gone()], [], 259, ["firing"], []),
    "gone is not told again": ([gone(1100)], [], 1110, ["firing"], []),
    "gone is back": ([gone()], [found()], 259, ["firing"], []),
    "gone is back in time however late that is seen": ([gone()], [found()], 500, ["firing"], []),
    "gone for long enough": ([gone()], [], 260, ["resolved"], ["resolved"]),
    "gone before anybody was told": ([unheard(gone())], [], 260, ["resolved"], []),
    "resolved stays so": ([resolved()], [], 5000, ["resolved"], []),
    "resolved, and found again": ([resolved()], [found()], 300, ["resolved", "pending"], []),
    "one finding says nothing of another": ([firing()], [found(OTHER)], 300, ["firing", "pending"], []),
}


@pytest.mark.parametrize(("alerts", "findings", "now_s", "states", "told"), TRANSITIONS.values(), ids=TRANSITIONS)
def test_each_state_goes_where_the_table_says(
    alerts: list[Alert], findings: list[Finding], now_s: float, states: list[str], told: list[str]
) -> None:
    after = step(alerts, findings, [RULE], now_s)
    assert states == [alert.state for alert in after.alerts]
    assert told == [alert.state for alert in after.told]


def test_each_moment_is_kept_as_it_comes() -> None:
    alerts: tuple[Alert, ...] = ()
    for now_s, there in [(100, True), (112, True), (200, False), (205, True), (300, False), (365, False)]:
        alerts, told = step(alerts, [found()] if there else [], [RULE], now_s)
    (alert,) = alerts
    assert (alert.pending_s, alert.fired_s, alert.gone_s, alert.resolved_s) == (100, 112, 300, 365)
    assert ((alert,), 2, 365) == (told, alert.told, alert.told_s)


def test_what_is_back_has_not_gone() -> None:
    (alert,), _ = step([gone()], [found(rows=77)], [RULE], 230)
    assert (alert.gone_s, alert.finding.rows) == (None, 77)


@pytest.mark.parametrize(
    ("causes", "told"),
    [
        (["both", ""], "both"),
        (["both", "relation"], "both"),
        (["both", "inputs"], "both"),
        (["both", "pipeline"], "pipeline"),
        (["inputs", "both", "relation", ""], "both"),
        (["relation", "inputs"], "inputs"),
        (["", "relation"], "relation"),
    ],
)
def test_an_alert_keeps_its_cause_when_what_named_it_ends_first(causes: list[str], told: str) -> None:
    alerts: tuple[Alert, ...] = ()
    for now_s, cause in enumerate(causes):
        alerts, _ = step(alerts, [replace(found(), cause=cause, reason=f"because of {cause}")], [RULE], now_s)

    assert [(alert.finding.cause, alert.finding.reason) for alert in alerts] == [(told, f"because of {told}")]


def test_an_alert_shows_the_finding_as_it_is_and_then_as_it_was_last() -> None:
    first, _ = step([firing()], [found(rows=4000)], [RULE], 120)
    last, _ = step(first, [], [RULE], 130)
    assert [alert.finding.rows for alert in (*first, *last)] == [4000, 4000]


@pytest.mark.parametrize(
    ("rule_", "heard"),
    [
        (Rule(hold_s=0, resolve_s=0, repeat_s=1000), [(100, "firing"), (105, "resolved")]),
        (Rule(hold_s=1, resolve_s=0, repeat_s=1000), []),
        (Rule(hold_s=0, resolve_s=5, repeat_s=1000), [(100, "firing"), (110, "resolved")]),
    ],
)
def test_without_hold_and_hysteresis_each_change_is_told_at_once(rule_: Rule, heard: list[tuple[float, str]]) -> None:
    assert heard == course([(100, True), (105, False), (110, False)], [rule_])


def test_without_hysteresis_what_is_gone_is_resolved_in_the_same_step() -> None:
    (alert,), told = step([firing()], [], [replace(RULE, resolve_s=0)], 200)
    assert (alert.state, alert.gone_s, alert.resolved_s, told) == ("resolved", 200, 200, (alert,))


def test_what_does_not_last_is_never_told() -> None:
    assert course([(now_s, now_s % 10 < 9) for now_s in range(100)]) == []


def test_what_flaps_is_told_once() -> None:
    assert course([(now_s, now_s % 60 < 20) for now_s in range(900)]) == [(10, "firing")]


def test_what_happens_again_is_told_though_the_first_time_is_not_resolved() -> None:
    alerts: tuple[Alert, ...] = ()
    heard = []
    for now_s, at_s in ((0, 7.0), (10, None), (20, 17.0), (30, 17.0), (80, 17.0)):
        findings = [] if at_s is None else [replace(found(), at_s=at_s)]
        alerts, told = step(alerts, findings, (Rule(hold_s=0, resolve_s=60),), now_s)
        heard += [(now_s, alert.finding.at_s, alert.state) for alert in told]

    assert heard == [(0, 7.0, "firing"), (20, 17.0, "firing"), (80, 7.0, "resolved")]
    assert len({alert.id for alert in alerts}) == 2


def test_what_lasts_is_told_again_and_again() -> None:
    moments = [(now_s, True) for now_s in range(0, 3100, 10)]
    assert course(moments) == [(10, "firing"), (1010, "firing"), (2010, "firing"), (3010, "firing")]


def test_repeats_wait_for_what_is_gone_to_be_back() -> None:
    moments = [(0, True), (10, True), (1000, False), (1010, False), (1050, True), (1060, True)]
    assert course(moments) == [(10, "firing"), (1050, "firing")]


def test_a_resolved_alert_is_followed_by_another() -> None:
    moments = [(0, True), (10, True), (20, False), (80, False), (90, True), (100, True)]
    assert course(moments) == [(10, "firing"), (80, "resolved"), (100, "firing")]


@pytest.mark.parametrize(("rows", "states"), [(499, []), (500, ["pending"])])
def test_a_finding_of_few_rows_raises_no_alert(rows: int, states: list[str]) -> None:
    after = step([], [found(rows=rows)], [Rule(min_rows=500)], 100)
    assert states == [alert.state for alert in after.alerts]


def test_a_finding_of_fewer_rows_is_not_gone() -> None:
    few, rules = [found(rows=1)], [replace(RULE, min_rows=500)]
    assert [alert.state for alert in step([pending()], few, rules, 110).alerts] == ["firing"]
    assert [alert.gone_s for alert in step([firing()], few, rules, 120).alerts] == [None]


MATCHES: list[tuple[Rule, bool]] = [
    (Rule(), True),
    (Rule(monitor="data", check="sequential", variant="champion", subject="features"), True),
    (Rule(monitor="da*", check="s?quential", variant="[a-d]hampion", subject="[!p]*"), True),
    (Rule(monitor="quality"), False),
    (Rule(check="psi"), False),
    (Rule(variant="challenger"), False),
    (Rule(variant="Champion"), False),
    (Rule(variant="champ"), False),
    (Rule(variant=""), False),
    (Rule(subject="predictions"), False),
]


@pytest.mark.parametrize(("rule_", "matches"), MATCHES)
def test_a_rule_is_about_the_keys_that_its_globs_match(rule_: Rule, matches: bool) -> None:
    assert matches == rule_.matches(KEY)


def test_a_rule_is_by_default_what_the_configuration_says() -> None:
    assert asdict(Rule()) == msgspec.structs.asdict(AlertRule())


def test_the_first_rule_that_matches_counts() -> None:
    rules = [Rule(check="psi"), Rule(variant="champion", severity="info"), Rule(severity="critical")]
    assert (rules[1], rules[2], None) == (rule_for(KEY, rules), rule_for(OTHER, rules), rule_for(OTHER, rules[:2]))


def test_a_finding_that_no_rule_is_about_raises_no_alert() -> None:
    assert step([], [found()], [Rule(monitor="quality"), Rule(check="psi")], 100) == ((), ())
    assert step([], [found()], [], 100) == ((), ())


def test_severity_is_that_of_the_rule_in_force() -> None:
    critical = [replace(RULE, severity="critical")]
    for alerts in ([], [pending()], [firing()], [gone()]):
        assert [alert.severity for alert in step(alerts, [found()], critical, 120).alerts] == ["critical"]
    assert [alert.severity for alert in step([gone()], [], critical, 220).alerts] == ["critical"]
    assert [alert.severity for alert in step([resolved()], [], critical, 280).alerts] == ["warning"]


def test_a_severity_that_changes_is_not_told() -> None:
    assert step([firing()], [found()], [replace(RULE, severity="critical")], 120).told == ()


def test_an_alert_without_a_rule_resolves_as_if_its_finding_were_gone() -> None:
    first = step([replace(firing(), severity="critical")], [found()], [], 200)
    second = step(first.alerts, [found()], [], 259)
    third = step(second.alerts, [found()], [], 260)
    gone_since = [(alert.state, alert.gone_s) for after in (first, second, third) for alert in after.alerts]
    assert gone_since == [("firing", 200), ("firing", 200), ("resolved", 200)]
    assert (first.told, second.told, third.told) == ((), (), third.alerts)
    assert third.alerts[0].severity == "critical"


def test_what_is_pending_without_a_rule_is_dropped() -> None:
    assert step([pending()], [found()], [], 105) == ((), ())


def test_a_rule_that_is_back_in_time_keeps_its_alert() -> None:
    without = step([firing()], [found()], [], 200)
    (alert,), told = step(without.alerts, [found()], [RULE], 230)
    assert (alert.state, alert.gone_s, told) == ("firing", None, ())


SILENCES: dict[str, tuple[Alert, list[Finding], float, list[str], list[str]]] = {
    "fires unheard": (silence(pending(), 500), [found()], 110, ["firing"], []),
    "is not told again": (silence(firing(), 5000), [found()], 4999, ["firing"], []),
    "tells that it is over": (silence(gone(), 500), [], 260, ["resolved"], ["resolved"]),
    "resolves unheard, never told": (silence(unheard(gone()), 500), [], 260, ["resolved"], []),
    "is told at the end that it fires": (silence(unheard(firing()), 500), [found()], 500, ["firing"], ["firing"]),
    "is told at the end that it still fires": (silence(firing(), 500), [found()], 500, ["firing"], ["firing"]),
    "was told since the end": (silence(firing(told_s=500), 500), [found()], 501, ["firing"], []),
    "is gone at the end": (silence(firing(), 500), [], 500, ["firing"], []),
    "is resolved after the end": (silence(gone(450), 500), [], 510, ["resolved"], ["resolved"]),
    "ends before anybody was told": (silence(unheard(gone(450)), 500), [], 510, ["resolved"], []),
    "is ended early, never told": (silence(unheard(firing()), 0), [found()], 200, ["firing"], ["firing"]),
    "is ended early, told before": (silence(firing(), 0), [found()], 200, ["firing"], []),
    "has no end": (silence(firing(), float("inf")), [found()], 1e12, ["firing"], []),
}


@pytest.mark.parametrize(("alert", "findings", "now_s", "states", "told"), SILENCES.values(), ids=SILENCES)
def test_a_silence_holds_back_that_something_fires_and_nothing_else(
    alert: Alert, findings: list[Finding], now_s: float, states: list[str], told: list[str]
) -> None:
    after = step([alert], findings, [RULE], now_s)
    assert states == [each.state for each in after.alerts]
    assert told == [each.state for each in after.told]


def test_a_clock_that_is_set_back_delays_nothing() -> None:
    late = replace(gone(since_s=9000), pending_s=8000, fired_s=8010, told_s=8010)
    (back,), _ = step([late], [], [RULE], 100)
    (over,), told = step([back], [], [RULE], 160)
    assert (back.pending_s, back.fired_s, back.gone_s, back.told_s) == (100, 100, 100, 100)
    assert (late.id, "resolved", (over,)) == (over.id, over.state, told)


def test_a_clock_that_is_set_back_holds_what_is_pending_no_longer() -> None:
    first = step([pending(since_s=9000)], [found()], [RULE], 100)
    second = step(first.alerts, [found()], [RULE], 110)
    assert [alert.state for alert in (*first.alerts, *second.alerts)] == ["pending", "firing"]


def test_an_id_is_the_same_wherever_the_alert_is_raised() -> None:
    raised = [step([], [found(key)], [RULE], now_s).alerts[0].id for key in (KEY, OTHER) for now_s in (1, 1.5)]
    assert raised == ["979df18da6058247", "1fbae1b0fd85a225", "fd5b327facbdf31e", "86f3bd339f0cd6b4"]
    assert step([], [found(rows=5)], [Rule()], 1.0).alerts[0].id == raised[0]


def test_ids_differ_even_where_the_clock_stands() -> None:
    at_once = [Rule(hold_s=0, resolve_s=0)]
    alerts: tuple[Alert, ...] = ()
    for there in [True, False] * 5:
        alerts, _ = step(alerts, [found()] if there else [], at_once, 100)
    assert (5, {"resolved"}) == (len({alert.id for alert in alerts}), {alert.state for alert in alerts})


def test_a_name_that_is_no_text_has_an_id() -> None:
    assert len(step([], [found(Key("data", "psi", "\ud800", "features"))], [RULE], 1).alerts[0].id) == 16


def test_the_newest_resolved_alerts_are_kept() -> None:
    alerts = [resolved(at_s=2000 + number, number=number) for number in range(KEPT)]
    alerts[1] = resolved(at_s=1000, number=1)
    last = replace(gone(), id="f" * 16)
    after = step([*alerts, last], [], [RULE], 9000).alerts
    assert [alert.id for alert in after] == [alert.id for alert in (alerts[0], *alerts[2:], last)]


def test_as_many_as_may_be_kept_are() -> None:
    alerts = [firing(), *(resolved(number=number) for number in range(KEPT))]
    assert len(step(alerts, [found()], [RULE], 9000).alerts) == KEPT + 1


def test_after_the_clock_was_set_back_the_newest_are_still_those_that_came_last() -> None:
    alerts = [resolved(at_s=9000 - number, number=number) for number in range(KEPT)]
    after = step([*alerts, replace(gone(), id="f" * 16)], [], [RULE], 300).alerts
    assert [*(alert.id for alert in alerts[1:]), "f" * 16] == [alert.id for alert in after]


def test_of_two_alerts_of_one_key_only_one_goes_on() -> None:
    twice = [firing(), replace(firing(), id="b" * 16)]
    first = step(twice, [found()], [RULE], 200)
    last = step(first.alerts, [found()], [RULE], 260)
    assert [alert.state for alert in last.alerts] == ["firing", "resolved"]


def test_a_step_changes_none_of_its_arguments() -> None:
    alerts, findings = [firing(), pending()], [found()]
    step(alerts, findings, [RULE], 500)
    assert ([firing(), pending()], [found()]) == (alerts, findings)


KEYS = [KEY, OTHER, Key("quality", "f1", "champion", "predictions")]
RULES = st.lists(
    st.builds(
        Rule,
        monitor=st.sampled_from(["*", "data", "quality"]),
        variant=st.sampled_from(["*", "champion"]),
        severity=st.sampled_from(get_args(Severity)),
        min_rows=st.sampled_from([0, 1000]),
        hold_s=st.sampled_from([0.0, 5.0, 10.0]),
        resolve_s=st.sampled_from([0.0, 20.0, 60.0]),
        repeat_s=st.sampled_from([30.0, 500.0]),
    ),
    max_size=3,
)
FINDINGS = st.lists(st.builds(found, st.sampled_from(KEYS), st.sampled_from([500, 2000])), max_size=4)
STEPS = st.one_of(st.sampled_from([0.0, 1.0, 5.0, 10.0, 30.0, 60.0]), st.floats(0, 1000))


class Course(RuleBasedStateMachine):
    """Findings that come and go, silences, reloads and a clock that is set back, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1e9
        self.alerts: tuple[Alert, ...] = ()
        self.in_force: list[Rule] = []
        self.heard: dict[str, list[str]] = {}

    @rule(rules=RULES)
    def reload(self, rules: list[Rule]) -> None:
        self.in_force = rules

    @rule(past_s=st.floats(0, 2000))
    def set_the_clock_back(self, past_s: float) -> None:
        self.now_s -= past_s

    @rule(which=st.integers(0, 3), lasting_s=st.sampled_from([-1e9, 0.0, 10.0, 100.0, float("inf")]))
    def hush(self, which: int, lasting_s: float) -> None:
        ids = [alert.id for alert in self.alerts][-4:][which : which + 1]
        until_s = self.now_s + lasting_s
        self.alerts = tuple(silence(each, until_s) if each.id in ids else each for each in self.alerts)

    @rule(findings=FINDINGS, passing_s=STEPS)
    def go_on(self, findings: list[Finding], passing_s: float) -> None:
        self.now_s += passing_s
        before = {alert.id: alert for alert in self.alerts}
        self.alerts, told = step(self.alerts, findings, self.in_force, self.now_s)

        assert told == tuple(alert for alert in self.alerts if alert.told > self.heard_of(alert))
        for alert in told:
            self.heard.setdefault(alert.id, []).append(alert.state)
            assert self.now_s >= alert.silenced_until_s or alert.state == "resolved"
            assert self.has_reason(alert, before.get(alert.id))
        for alert in self.alerts:
            assert alert.told == self.heard_of(alert)
            assert alert.state != "firing" or alert.gone_s is not None or self.is_served(alert)
            assert alert.state == "resolved" or before.get(alert.id, alert).state != "resolved"

    @rule(findings=FINDINGS)
    def stay_away(self, findings: list[Finding]) -> None:
        self.go_on(findings, 10.0)
        self.go_on([], 0.0)
        self.go_on([], 60.0)
        assert {alert.state for alert in self.alerts} <= {"resolved"}

    @invariant()
    def a_key_has_one_alert_that_is_not_resolved(self) -> None:
        keys = [alert.finding.key for alert in self.alerts if alert.state != "resolved"]
        assert len(set(keys)) == len(keys)

    @invariant()
    def ids_are_unique(self) -> None:
        assert len({alert.id for alert in self.alerts}) == len(self.alerts)

    @invariant()
    def firing_is_told_before_resolved_and_that_once(self) -> None:
        for *earlier, last in self.heard.values():
            assert earlier == ["firing"] * len(earlier)
            assert last == "firing" or (last == "resolved" and earlier)

    def heard_of(self, alert: Alert) -> int:
        return len(self.heard.get(alert.id, []))

    def has_reason(self, alert: Alert, before: Alert | None) -> bool:
        """It was never told, has been silenced since, was told long ago, or is over."""
        if before is None or before.told_s is None or before.state != alert.state:
            return True
        told_s = min(before.told_s, self.now_s)
        return told_s < alert.silenced_until_s or self.now_s - told_s >= self.repeat_s(alert)

    def is_served(self, alert: Alert) -> bool:
        """What fires is silenced, or was told no longer ago than it should have been, and since its silence."""
        if self.now_s < alert.silenced_until_s:
            return True
        told_s = alert.told_s
        return told_s is not None and told_s >= alert.silenced_until_s and self.now_s - told_s < self.repeat_s(alert)

    def repeat_s(self, alert: Alert) -> float:
        found_rule = rule_for(alert.finding.key, self.in_force)
        assert found_rule
        return found_rule.repeat_s


def test_whatever_comes_the_rules_hold() -> None:
    run_state_machine_as_test(Course, settings=settings(max_examples=60, stateful_step_count=20))


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 59)), min_size=1, max_size=20),
    st.integers(0, 10),
)
def test_what_is_away_for_less_than_its_hysteresis_is_told_once(spells: list[tuple[int, int]], hold_s: int) -> None:
    moments, now_s = [(0, True), (10, True)], 10
    for there_s, away_s in spells:
        moments += [(now_s + there_s, False), (now_s + there_s + away_s, True)]
        now_s += there_s + away_s
    moments += [(now_s + 1, False), (now_s + 61, False)]
    heard = course(moments, [Rule(hold_s=hold_s, resolve_s=60, repeat_s=1e9)])
    assert [state for _, state in heard] == ["firing", "resolved"]
