"""What `/v1/overview` answers: of each variant one sentence, whether it is well and how that is known; one of all.

Words come first, and are those of the findings. What is not known is not good: it is said what is missing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sidecar.admin.reasons import (
    WORST,
    Now,
    Reason,
    State,
    clipped,
    errors_of,
    moment,
    of_alerts,
    of_errors,
    of_findings,
    of_serving,
    over_since,
)
from sidecar.admin.view import Truth, VariantView, View, Watched
from sidecar.monitors.grades import Grade
from sidecar.quality.reading import Task
from sidecar.records import JSON
from sidecar.stats.history import History
from sidecar.texts import counted, encodable, shown

TOLD = 2
"""Reasons that a sentence has; further ones are counted."""

REASONS = 20
"""That are listed, the worst ones."""

TEXT = 600
"""Characters of one reason, in full."""

REFUSAL = 120
"""Characters of why a configuration was refused; /v1/status has all of them."""

NAMED = 5
"""Variants that the headline counts by name."""

MAIN: Mapping[Task, str] = {"binary": "f1", "multiclass": "accuracy", "regression": "rmse"}
"""The score that stands for the quality."""


class Verdict(NamedTuple):
    """How a variant is.

    Args:
        reasons: Why it is not well, the worst first.
        missing: What would have to be there for more to be known.
    """

    state: State
    sentence: str
    reasons: Sequence[Reason]
    missing: Sequence[str]


def now_of(view: View, requests: Mapping[str, int]) -> Now:
    """What is read on the event loop.

    Args:
        requests: So far, by variant.
    """
    plan = view.steering.plan
    champion = plan.champion if plan is not None else ""
    # Who serves most comes first; of equals the champion, then as in the table.
    variants = sorted(view.variants(), key=lambda each: (-each.weight, each.name != champion))
    states = dict(view.upstreams.states)
    return Now(view.wall_s(), variants, requests, states, list(view.not_ready()), view.config().error)


def overview(watching: Watched, history: History, now: Now) -> JSON:
    """All verdicts. May be called from any thread."""
    alerts = [alert for alert in watching.alerting.alerts if alert.state != "resolved"]
    errors = {variant.name: errors_of(history, variant.name, now.now_s) for variant in now.variants}
    verdicts: list[tuple[VariantView, Verdict]] = []
    for variant in now.variants:
        own = [alert for alert in alerts if alert.finding.key.variant == variant.name]
        reasons = [
            *of_serving(variant.name, now),
            *of_errors(variant.name, errors),
            *of_alerts(own, now.now_s),
            *of_findings(watching, variant.name, own, now.now_s),
        ]
        verdicts.append((variant, _verdict(variant, reasons, watching, now)))
    return {
        "headline": _headline(verdicts, now)._asdict(),
        "variants": [
            {
                "name": variant.name,
                "version": encodable(variant.version),
                "state": verdict.state,
                "sentence": verdict.sentence,
                "reasons": [_told(each) for each in verdict.reasons[:REASONS]],
                "missing": list(verdict.missing),
                "alerts": [alert.id for alert in alerts if alert.finding.key.variant == variant.name],
            }
            for variant, verdict in verdicts
        ],
    }


class Headline(NamedTuple):
    """How all is."""

    state: State
    sentence: str


def _headline(verdicts: Sequence[tuple[VariantView, Verdict]], now: Now) -> Headline:
    """Of those who serve, the worst; then who else is well, and who is not though nobody is served by it."""
    if now.not_ready:
        return Headline("bad", f"Requests should not come: {', '.join(now.not_ready)}.")
    if not verdicts:
        return Headline("unknown", "There is no variant.")
    serving = [each for each in verdicts if _serves(each, now)] or list(verdicts)
    worst = min(serving, key=lambda each: WORST.index(each[1].state))
    others = [each for each in verdicts if each is not worst]
    state, said = worst[1].state, [worst[1].sentence]
    unwell = [each for each in others if each[1].state in {"bad", "warn"}]
    if unwell and state in {"bad", "warn"}:
        names = [variant.name for variant, _ in unwell]
        said.append(f"{_listed(names)} {'is' if len(names) == 1 else 'are'} not well either.")
    elif unwell:  # those that serve nobody: what serves is well, and somebody should look
        state = "warn"
        said.append(unwell[0][1].sentence)
    if state == "good" and now.refusal:
        state = "warn"
        said.append(f"But the latest configuration was refused: {clipped(now.refusal, REFUSAL)}")
    well = [variant.name for variant, verdict in others if verdict.state == "good"]
    if well:
        said.append(f"{_listed(well)} {'is' if len(well) == 1 else 'are'} well{' too' if state == 'good' else ''}.")
    return Headline(state, " ".join(said))


def _serves(each: tuple[VariantView, Verdict], now: Now) -> bool:
    """Whether all is judged by it: one that has served nobody, as a challenger before its rollout, says nothing."""
    variant, verdict = each
    return variant.weight > 0 and (now.requests.get(variant.name, 0) > 0 or verdict.state != "unknown")


def _verdict(variant: VariantView, reasons: Sequence[Reason], watching: Watched, now: Now) -> Verdict:
    who = f"{variant.name} (version {shown(variant.version, 40)})" if variant.version else variant.name
    facts, missing = _known(watching, variant.name, now.now_s)
    requests = now.requests.get(variant.name, 0)
    if reasons:
        ordered = sorted(reasons, key=lambda each: WORST.index(each.state))
        opening = "is not well" if ordered[0].state == "bad" else "may not be well"
        return Verdict(ordered[0].state, f"{who} {opening}: {_briefly(ordered, now.now_s)}.", ordered, missing)
    if not requests:
        return Verdict("unknown", f"Nothing is known of {who}: it has had no traffic yet.", (), missing)
    served = counted(requests, "request")
    if not facts:
        told = f"Whether {who} is well is not known after {served}: {'; '.join(missing)}."
        return Verdict("unknown", told, (), missing)
    return Verdict("good", f"{who} is well: {', '.join([served, *facts])}.", (), missing)


def _briefly(reasons: Sequence[Reason], now_s: float) -> str:
    """The first of them in few words, each once, and how many more there are."""
    once = list({each.brief: each for each in reversed(reasons)}.values())[::-1]
    told = [
        each.brief if each.since_s is None else f"{each.brief}, since {moment(each.since_s, now_s)}"
        for each in once[:TOLD]
    ]
    return "; ".join([*told, f"and {len(once) - TOLD} more"] if len(once) > TOLD else told)


def _told(reason: Reason) -> JSON:
    return {"state": reason.state, "text": clipped(reason.text or reason.brief, TEXT), "since_s": reason.since_s}


def _known(watching: Watched, variant: str, now_s: float) -> tuple[list[str], list[str]]:
    """What is known to be well; and what is missing, to know more."""
    both = (_drift(watching, variant, now_s), _quality(watching.truth, variant))
    return [told for fact, told in both if fact], [told for fact, told in both if not fact]


def _drift(watching: Watched, variant: str, now_s: float) -> tuple[bool, str]:
    """Whether it is known, and that or what is missing."""
    following = watching.following
    if not watching.watches:
        return False, "no monitor of kind data watches for drift"
    if following is None:
        learning = watching.learning
        if learning is None:
            return False, "there is no reference to see drift by: expected reference.path or reference.learn_rows"
        of = f" of {learning.enough:,}" if learning.enough else ""
        return False, f"the reference to see drift by is being learned: {learning.learner.rows:,}{of} rows so far"
    followed = dict(following.variants).get(variant)
    if followed is None or not followed.rows_here:
        return False, "no row of it could be compared with the reference yet"
    if (over_s := over_since(watching.alerting.alerts, variant)) is not None:
        return True, f"nothing has drifted since {moment(over_s, now_s)}"
    of = f" of {_span(now_s - following.since_s)}" if following.since_s is not None else ""
    return True, f"nothing has drifted in {followed.rows_here:,} rows{of}"


def _quality(truth: Truth | None, variant: str) -> tuple[bool, str]:
    """Likewise of quality."""
    grading = truth.grading if truth is not None else None
    if grading is None:
        return False, "no monitor of kind quality asks for labels"
    found = next(((key, graded) for key, graded in grading.versions.latest() if key.variant == variant), None)
    grade = grading.grades.get(found[0]) if found is not None else None
    if found is None or grade is None or not grade.window.rows:
        return False, "no labels have come, by which quality would be known"
    return True, _score(grade, MAIN[found[1].reading.task])


def _score(grade: Grade, main: str) -> str:
    scores = {name: each for name, each in grade.window.scores.items() if math.isfinite(each.value)}
    name = main if main in scores else next(iter(scores), "")
    by = f"by {counted(grade.window.rows, 'label')}"
    if not name:
        return f"its quality is undefined {by}"
    value, deviation = scores[name]
    if not math.isfinite(deviation):
        return f"{name} {value:.3g} {by}, too few to tell how far off that is"
    return f"{name} {value:.3g} ± {deviation:.1g} {by}"


def _span(seconds: float) -> str:
    """Of time, in the largest unit of which there is one.

    Example:
        >>> [_span(seconds) for seconds in (0.2, 90, 7200, 200_000)]
        ['0 s', '1 min', '2 h', '2 d']
    """
    for name, unit_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= unit_s:
            return f"{seconds // unit_s:.0f} {name}"
    return f"{max(seconds, 0.0):.0f} s"


def _listed(names: Sequence[str]) -> str:
    if len(names) > NAMED:
        names = [*names[: NAMED - 1], f"{len(names) - NAMED + 1} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
