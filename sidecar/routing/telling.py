"""A change of the course as an event: who changed what and why, who served before and who serves now."""

from sidecar.records import Event
from sidecar.routing.course import Course, serving
from sidecar.routing.rollout import Plan, percent
from sidecar.texts import shown

MAX_TEXT = 1024
"""Characters of what somebody wrote, and of the routes."""


def change_event(before: Course | None, after: Course, plan: Plan | None, now_s: float) -> Event | None:
    """Tells of the course that is in force now; None where it is the one before.

    It is named `sidecar.rollout` where the rollout has moved, `sidecar.routes.changed` else; a rollback is a warning.

    Args:
        before: None where there was none.
        plan: Of the rollout, if there is to be one.
    """
    if before is not None and (before.revision, before.change) == (after.revision, after.change):
        return None
    change = after.change
    who, what, why = (shown(text, MAX_TEXT) for text in (change.who, change.what, change.why))
    attributes: dict[str, str | int | float | bool] = {
        "sidecar.routes.revision": after.revision,
        "sidecar.routes.before": "" if before is None else _served(before),
        "sidecar.routes.after": _served(after),
        "sidecar.change.who": who,
        "sidecar.change.what": what,
        "sidecar.change.why": why,
    }
    moved = plan is not None and (before is None or before.progress != after.progress)
    if plan is not None and moved:
        attributes |= _rollout(before, after, plan)
    back = moved and after.progress.phase == "rolled_back"
    return Event(
        "sidecar.rollout" if moved else "sidecar.routes.changed",
        now_s,
        "warning" if back else "info",
        f"revision {after.revision} by {who}: {what}{': ' if why else ''}{why}",
        {name: value for name, value in attributes.items() if value != ""},
    )


def _rollout(before: Course | None, after: Course, plan: Plan) -> dict[str, str | int | float | bool]:
    progress = after.progress
    return {
        "feature_flag.result.variant": plan.challenger,
        "sidecar.version": progress.version,
        "sidecar.rollout.phase": progress.phase,
        "sidecar.rollout.before": "" if before is None else before.progress.phase,
        "sidecar.rollout.step": progress.step,
        "sidecar.rollout.percent": percent(plan, progress),
    }


def _served(course: Course) -> str:
    """Who has how many percent: `champion (version 3) 90 %, challenger (version 4) 10 %`."""
    variants = serving(course).variants
    total = sum(each.weight for each in variants.values()) or 1.0
    told = [
        f"{name}{f' (version {each.version})' if each.version else ''} {100 * each.weight / total:.4g} %"
        for name, each in variants.items()
    ]
    return shown(", ".join(told), MAX_TEXT)
