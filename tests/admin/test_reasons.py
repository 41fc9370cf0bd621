from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from sidecar.admin.reasons import (
    BRIEF,
    STEPS,
    Errors,
    Now,
    Reason,
    brief,
    clipped,
    errors_of,
    of_alerts,
    of_errors,
    of_findings,
    of_serving,
)
from sidecar.records import Alert, Carrier, Finding, Key, Subject
from sidecar.routing.availability import State
from sidecar.stats.history import History
from sidecar.stats.history import Key as Kept
from tests.admin.rig import STARTED_S, Sidecar, alert, follow, learned

NOW_S = STARTED_S + 10


def now(**states: tuple[State, float]) -> Now:
    return Now(NOW_S, [], {}, states, [], "")


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (("taking", 1.0), []),
        (("ejected", 0.0), [Reason("bad", "it is ejected and gets no traffic: too many of its requests failed")]),
        (("unhealthy", 0.0), [Reason("bad", "it gets no traffic: its health checks fail")]),
        (("coming_back", 0.4), [Reason("warn", "it is coming back, and takes 40 % of its traffic")]),
    ],
)
def test_who_gets_less_than_its_traffic_is_told(state: tuple[State, float], found: list[Reason]) -> None:
    assert list(of_serving("a", now(a=state))) == found


def test_of_whom_no_state_is_known_nothing_is_told() -> None:
    assert list(of_serving("a", now())) == []


@pytest.mark.parametrize(
    ("own", "others", "found"),
    [
        (Errors(0, 0), [], []),
        (Errors(1000, 4), [], []),  # too few
        (Errors(1000, 49), [], []),
        (Errors(1000, 50), [], [Reason("warn", "5 % of its requests of the last five minutes failed")]),
        (Errors(10, 5), [], [Reason("bad", "50 % of its requests of the last five minutes failed")]),
        (Errors(4, 4), [], []),
        (
            Errors(1000, 20),
            [Errors(9000, 10)],
            [Reason("warn", "2 % of its requests of the last five minutes failed, 0.111 % of the others'")],
        ),
        (Errors(1000, 20), [Errors(9000, 180)], []),
        (Errors(1000, 28), [Errors(9000, 180)], []),  # by chance, maybe
        (Errors(1000, 20), [Errors(0, 0)], []),
        (Errors(1000, 80), [Errors(1000, 80)], [Reason("warn", "8 % of its requests of the last five minutes failed")]),
        (
            Errors(100, 100),
            [Errors(100, 0)],
            [Reason("bad", "100 % of its requests of the last five minutes failed, 0 % of the others'")],
        ),
        (
            Errors(100, 100),
            [Errors(100, 100)],
            [Reason("bad", "100 % of its requests of the last five minutes failed")],
        ),
    ],
)
def test_who_fails_often_or_surely_more_often_than_the_others_is_told(
    own: Errors, others: list[Errors], found: list[Reason]
) -> None:
    assert list(of_errors("a", {"a": own, **{str(place): each for place, each in enumerate(others)}})) == found


def test_errors_of_the_last_five_minutes_count_by_requests() -> None:
    history = History()
    for step in range(-STEPS, 1):
        # Before the five minutes all failed.
        per_s, ratio = (10.0, 1.0) if step == -STEPS else (0.0, nan) if step % 2 else (2.0, 0.5)
        for series, value in (("requests_per_s", per_s), ("errors_ratio", ratio)):
            history.put(Kept("traffic", "a", series), ("",), np.array([value]), NOW_S + 10 * step)
    assert errors_of(history, "a", NOW_S) == Errors(15 * 20.0, 15 * 10.0)
    assert errors_of(history, "b", NOW_S) == Errors(0, 0)


@pytest.mark.parametrize(
    ("changed", "state", "standing"),
    [
        (alert(), "bad", ""),
        (alert(severity="critical"), "bad", ""),
        (alert(severity="info"), "warn", ""),
        (alert(state="pending"), "warn", " (seen only just now)"),
        (alert(gone_s=NOW_S), "warn", " (over since 22:13 UTC)"),
        (alert(silenced_until_s=NOW_S), "bad", ""),
        (alert(silenced_until_s=NOW_S + 60), "warn", " (silenced until 22:14 UTC)"),
        (alert(silenced_until_s=NOW_S + 86_400), "warn", " (silenced until 2023-11-15 22:13 UTC)"),
        (alert(silenced_until_s=inf), "warn", " (silenced)"),
    ],
)
def test_alerts_are_told_by_how_they_stand(changed: Alert, state: str, standing: str) -> None:
    [found] = of_alerts([changed], NOW_S)
    assert found == (state, f"amount has drifted{standing}", f"it has drifted{standing}", None)


@pytest.mark.parametrize(
    ("since_s", "told"),
    [
        (None, ""),
        (nan, ""),
        (-1.0, ""),
        (inf, ""),
        (NOW_S, ", since 22:13 UTC"),
        (NOW_S - 86_400, ", since 2023-11-13 22:13 UTC"),
    ],
)
def test_since_when_is_told_where_it_is_a_time(since_s: float | None, told: str) -> None:
    finding = alert().finding
    carriers = tuple(replace(each, since_s=since_s) for each in finding.carriers)
    [reason] = of_alerts([alert(finding=replace(finding, carriers=carriers))], NOW_S)
    assert reason.text == f"it has drifted{told}"


@pytest.mark.parametrize(
    ("cause", "reason", "told"),
    [
        ("", "nobody knows", ""),
        ("model", "", " (changed model)"),
        ("both", "as it is", " (concept drift and moved inputs: as it is)"),
        ("inputs", "", " (moved inputs)"),
        ("inputs", "inputs moved: amount", " (inputs moved: amount)"),
        ("another", "as it is", ""),
    ],
)
def test_a_cause_is_told_with_how_it_is_known(cause: str, reason: str, told: str) -> None:
    finding = replace(alert().finding, cause=cause, reason=reason)
    assert next(of_alerts([alert(finding=finding)], NOW_S)).text == f"it has drifted{told}"


def found(*names: str, sentence: str = "it is so", key: Key | None = None, cause: str = "") -> Finding:
    carriers = tuple(Carrier(name, 1 / len(names), 1.0, 0.5, "") for name in names)
    key = key or Key("data", "sequential", "champion", "features")
    return Finding(key, "", carriers, 10, 10, sentence, cause=cause)


def of(monitor: str, check: str, subject: Subject = "features") -> Key:
    return Key(monitor, check, "champion", subject)


WORSE = (
    "champion has become worse: wrong answers 18.6 % → 79.4 %; it has more labels '1' than its inputs make one expect"
)
MORE = "champion has more labels '1' than its inputs make one expect, by 54.6 points, along amount (> 104: +8 points)"


@pytest.mark.parametrize(
    ("finding", "told"),
    [
        (found("amount"), "amount has drifted"),
        (found("amount", "hour"), "amount and hour have drifted"),
        (found("a", "b", "c"), "a, b and c have drifted"),
        (found(*"abcdef"), "a, b and 4 more have drifted"),
        (found("amount", key=of("data", "psi")), "amount has drifted"),
        (found("amount", key=of("data", "baseline_drift_check")), "amount has drifted"),
        (found("amount", cause="inputs"), "amount has drifted"),
        (found("amount", cause="pipeline"), "amount has drifted (broken data pipeline)"),
        (found("label", key=of("data", "sequential", "predictions")), "its answers have drifted: label"),
        (found("a ~ b", key=of("data", "dependence")), "features depend on each other in another way: a ~ b"),
        (found("a", key=of("data", "completeness_check")), "completeness_check is broken: a"),
        (
            found("amount", sentence=WORSE, key=of("quality", "performance", "quality"), cause="relation"),
            "it has become worse: wrong answers 18.6 % → 79.4 % (concept drift)",
        ),
        (
            found("amount", sentence=MORE, key=of("quality", "performance", "quality")),
            "it has more labels '1' than its inputs make one expect, by 54.6 points",
        ),
        (found("f1", sentence="championship is lost", key=of("quality", "other", "quality")), "championship is lost"),
    ],
)
def test_a_finding_is_told_in_few_words(finding: Finding, told: str) -> None:
    assert brief(finding) == told


def test_its_cause_and_how_it_stands_are_told_together() -> None:
    finding = found("amount", cause="pipeline")

    assert brief(finding, "silenced") == "amount has drifted (broken data pipeline; silenced)"
    [reason] = of_alerts([alert(finding=finding, state="pending")], NOW_S)
    assert reason.text.endswith("(broken data pipeline; seen only just now)")


@pytest.mark.parametrize("name", ["x" * 10_000, "a\n\u202eb" * 1000, "\ud800" * 1000])
def test_in_few_words_are_few_whatever_the_names(name: str) -> None:
    for finding in (found(name, name), found("a", sentence=name * 3, key=of("bias", "bias_drift_check", "quality"))):
        told = brief(finding)
        assert (len(told) <= BRIEF, told.isprintable()) == (True, True)


def test_what_is_too_long_ends_with_a_whole_word() -> None:
    assert clipped("wrong answers rose most where amount is low", 30) == "wrong answers rose most …"


def test_what_an_alert_says_of_the_same_columns_is_told_once() -> None:
    sidecar = Sidecar()
    follow(sidecar.watch(learned()), 300, shift=2.0)
    checks = {each.key.check for each in sidecar.watching.following.findings} if sidecar.watching.following else set()
    [followed] = sidecar.watching.following.variants.values() if sidecar.watching.following else []
    [first] = [each for each in followed.findings if each.key.check == "sequential"]

    assert checks == {"sequential", "psi"}
    assert list(of_findings(sidecar.watching, "champion", [alert(finding=first)], NOW_S)) == []
    other = replace(first, carriers=(replace(first.carriers[0], name="another"),))
    assert [each.brief for each in of_findings(sidecar.watching, "champion", [alert(finding=other)], NOW_S)] == [
        "amount has drifted"
    ]
