"""What becomes of a course when somebody, or the rollout, changes it: values in, values out.

With a rollout, the weights of its champion and challenger are its own, whoever changes what.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isclose

from sidecar.config.routes import Routes, parse_routes
from sidecar.entries import Change
from sidecar.errors import ConfigError, ConflictError, Fault, UnknownError
from sidecar.records import JSON
from sidecar.routing.aliases import Meanings, followed, lasting, resolutions
from sidecar.routing.course import Course, serving
from sidecar.routing.rollout import Command, Plan, Progress, order, weights
from sidecar.texts import shown

MOST_WEIGHT = 1e9
"""That a variant may have, as `config.schema` says; two together may have more."""

DIFFERENCES, SHOWN = 5, 80
"""That are told of one change, and characters of a value."""

ROUNDING = 1e-9
"""Of a weight, as part of all: by so much a part of a sum of parts may be off."""


def declared(before: Course | None, plan: Plan | None, routes: Routes, change: Change, revision: int = 1) -> Course:
    """What a configuration says, from now on.

    Args:
        revision: Where there was nothing before.
    """
    if before is None:
        return fitted(Course(revision, [routes.fingerprint], routes.document, change), plan)
    known = before.declaring(routes.fingerprint)
    change = change._replace(what=difference(before.routes, routes.document))
    fields = {"routes": routes.document, "earlier": before.routes, **_lasting(before)}
    return fitted(before.after(change, declared=known, **fields), plan)


def fitted(course: Course, plan: Plan | None) -> Course:
    """The course with the weights that the rollout gives; of another challenger's rollout nothing is left."""
    if plan is None:
        return course if not course.challenger else replace(course, challenger="", progress=Progress())
    routes, version = parse_routes(course.routes), version_of(course, plan)
    same = course.challenger == plan.challenger and course.progress.version == version
    progress = course.progress if same else Progress(version=version)
    told = _weights(routes, plan, progress)
    whole = sum(told.values())
    if not all(isclose(routes.variants[name].weight, told[name], abs_tol=ROUNDING * whole) for name in told):
        routes = routes.weighed(told)
        course = replace(course, routes=routes.document)
    return replace(course, challenger=plan.challenger, progress=progress)


def replaced(course: Course, plan: Plan | None, routes: Routes, change: Change) -> Course:
    """Other routes.

    Raises:
        ConflictError: Their weights are neither those in force nor those that the rollout gives.
    """
    if routes.document == course.routes:
        return course
    change = change._replace(what=difference(course.routes, routes.document))
    fields = {"routes": routes.document, "earlier": course.routes, **_lasting(course)}
    after = fitted(course.after(change, **fields), plan)
    if plan is not None:
        told, *possible = (_part(each, plan) for each in (routes.document, course.routes, after.routes))
        if not any(isclose(told, each, abs_tol=ROUNDING) for each in possible):
            raise ConflictError(_owned(plan))
    return after


def weighed(course: Course, plan: Plan | None, name: str, percent: float, change: Change) -> Course:
    """A variant with so many percent, the others with the rest as they share it now.

    Args:
        name: Of the variant, or its version.

    Raises:
        ConfigError: That is no percentage.
        ConflictError: There is nobody to take the rest, or the weight is the rollout's.
        UnknownError: There is no such variant.
    """
    routes = parse_routes(course.routes)
    variant = variant_of(serving(course), name)
    if plan is not None and variant in {plan.champion, plan.challenger}:
        raise ConflictError(_owned(plan))
    return _weighed(course, routes, _shared(routes, variant, percent), change)


def promoted(course: Course, name: str, change: Change) -> Course:
    """A variant with all of the traffic. Raises UnknownError where there is no such one."""
    routes = parse_routes(course.routes)
    variant = variant_of(serving(course), name)
    return _weighed(course, routes, {each: 100.0 * (each == variant) for each in routes.variants}, change)


def returned(course: Course, change: Change) -> Course:
    """The routes before.

    Raises:
        ConflictError: There are none.
    """
    if course.earlier is None:
        raise ConflictError("nothing to roll back to: there are no earlier routes")
    return course.after(change, routes=course.earlier, earlier=None)


def resolved(course: Course, plan: Plan | None, meant: Mapping[str, str], change: Change) -> Course:
    """The versions that the catalogue's aliases mean now; the same object where none was moved since the last look.

    That one was moved is a change though nobody follows it: whoever looks next, after a restart or elsewhere in the
    fleet, must know.

    Args:
        meant: See `aliases.followed`.
        change: Says who, when and why.
    """
    written, before = parse_routes(course.routes), _meanings(course)
    after = followed(written, before, meant)
    told = resolutions(written, before, after)
    if not told:
        return course
    more = f", and {len(told) - DIFFERENCES} more" if len(told) > DIFFERENCES else ""
    made = change._replace(what=f"{', '.join(told[:DIFFERENCES])}{more}")
    return fitted(course.after(made, **after._asdict()), plan)


def moved(course: Course, plan: Plan, progress: Progress, now_s: float) -> Course:
    """The course with the rollout where it is now."""
    before = course.progress
    told = _weights(parse_routes(course.routes), plan, progress)
    what = f"{progress.phase}: {', '.join(f'{name} {weight:g}' for name, weight in told.items())}"
    another = before.phase in {"waiting", "rolled_back"} or before.version != progress.version
    begun_s = progress.since_s if progress.phase == "stepping" and another else course.begun_s
    change = Change(now_s, progress.by, what, progress.reason)
    return fitted(course.after(change, progress=progress, begun_s=begun_s), plan)


def ordered(course: Course, plan: Plan, command: Command, change: Change) -> Course:
    """What somebody orders of the rollout. Raises ConflictError where that cannot be.

    Args:
        change: Says who, when and why.
    """
    now_s, by, _, why = change
    version = version_of(course, plan)
    return moved(course, plan, order(course.progress, command, version=version, now_s=now_s, by=by, why=why), now_s)


def rejected(course: Course, plan: Plan | None, variant: str, instead: str | None, change: Change) -> Course:
    """The traffic of a variant whose version was rejected goes to another.

    Args:
        instead: Who may serve then; None where nobody can.
        change: Says when and why.

    Raises:
        ConflictError: It has nowhere to go.
    """
    told = change.why
    if plan is not None and variant == plan.challenger:
        return ordered(course, plan, "rollback", change)
    if instead is None:
        raise ConflictError(f"{told}, and no approved one is there to return to")
    routes = parse_routes(course.routes)
    if gone := {variant, instead} - routes.variants.keys():
        raise ConflictError(f"{told}, and there is no variant {', '.join(sorted(gone))} any more")
    if plan is not None and variant == plan.champion:
        if instead != plan.challenger:
            raise ConflictError(f"{told}, and {_owned(plan)}")
        return ordered(course, plan, "promote", change)
    after = routes.weighed({variant: 0.0, instead: _together(routes, variant, instead)})
    # What was before would bring it back.
    made = change._replace(what=f"{instead} instead of {variant}")
    return fitted(course.after(made, routes=after.document, earlier=None), plan)


def variant_of(routes: Routes, name: str) -> str:
    """The variant of this name, or with this version behind it.

    Raises:
        UnknownError: There is none, or more than one.
    """
    variants = routes.variants
    if name in variants:
        return name
    found = [each for each, variant in variants.items() if name and variant.version == name]
    if len(found) != 1:
        those = [f"{each} (version {variant.version or 'unnamed'})" for each, variant in variants.items()]
        told = ", ".join(those) or "none: the configuration has no variants"
        raise UnknownError(f"{name[:128]!r} is no variant or version of one; expected one of {told}")
    return found[0]


def version_of(course: Course, plan: Plan) -> str:
    """What stands behind the rollout's challenger."""
    return serving(course).variants[plan.challenger].version


def _meanings(course: Course) -> Meanings:
    return Meanings(course.versions, course.unfollowed)


def _lasting(course: Course) -> dict[str, Mapping[str, str]]:
    """What a course with other routes has of this one's aliases, by field."""
    return lasting(parse_routes(course.routes), _meanings(course))._asdict()


def _shared(routes: Routes, variant: str, percent: float) -> dict[str, float]:
    """The weights with which the variant has so many percent, and the others share the rest as they did."""
    if not 0 <= percent <= 100:
        raise ConfigError(Fault("percent", f"expected a number from 0 to 100, got {percent:g}"))
    others = {name: each.weight for name, each in routes.variants.items() if name != variant}
    total = sum(others.values())
    if not total and len(others) == 1:
        return {**dict.fromkeys(others, 100 - percent), variant: percent}
    if percent < 100 and not total:
        raise ConflictError(f"no other variant has a weight above 0, so {variant} has all of the traffic")
    rest = {name: (100 - percent) * (weight / total) if total else 0.0 for name, weight in others.items()}
    return {**rest, variant: percent}


def difference(before: JSON, after: JSON) -> str:
    """What has changed of routes, for people: `variants.b.weight 10 → 20`.

    Example:
        >>> difference({"variants": {"a": {"weight": 1}, "b": {}}}, {"variants": {"a": {"weight": 2}}})
        'routes: variants.a.weight 1 → 2, without variants.b'
    """
    told = list(_differences("", before, after))
    more = f", and {len(told) - DIFFERENCES} more" if len(told) > DIFFERENCES else ""
    return f"routes: {', '.join(told[:DIFFERENCES])}{more}" if told else "routes: as they were"


def _differences(path: str, before: JSON, after: JSON) -> Iterator[str]:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield f"{path} {_shown(before)} → {_shown(after)}"
        return
    for name in dict.fromkeys((*before, *after)):
        inner = f"{path}.{name}" if path else str(name)
        if name not in after:
            yield f"without {inner}"
        elif name not in before:
            yield f"{inner} {_shown(after[name])}"
        elif before[name] != after[name]:
            yield from _differences(inner, before[name], after[name])


def _shown(value: JSON) -> str:
    return shown(value if isinstance(value, str) else json.dumps(value), SHOWN)


def _weighed(course: Course, routes: Routes, weights: dict[str, float], change: Change) -> Course:
    """The course with these weights; the same where they are so already."""
    after = routes.weighed(weights)
    now, then = _percents(routes), _percents(after)
    if all(isclose(now[name], then[name], abs_tol=ROUNDING) for name in now):
        return course
    return course.after(change, routes=after.document, earlier=course.routes)


def _percents(routes: Routes) -> dict[str, float]:
    total = sum(each.weight for each in routes.variants.values()) or 1.0
    return {name: each.weight / total for name, each in routes.variants.items()}


def _weights(routes: Routes, plan: Plan, progress: Progress) -> dict[str, float]:
    return weights(plan, progress, _together(routes, plan.champion, plan.challenger))


def _together(routes: Routes, one: str, other: str) -> float:
    return min(routes.variants[one].weight + routes.variants[other].weight, MOST_WEIGHT)


def _part(document: JSON, plan: Plan) -> float:
    """The challenger's part of its and the champion's weight; 0 where they have none."""
    variants = parse_routes(document).variants
    champion, challenger = variants[plan.champion].weight, variants[plan.challenger].weight
    return challenger / (champion + challenger) if challenger else 0.0


def _owned(plan: Plan) -> str:
    told = f"the weights of {plan.champion} and {plan.challenger} are the rollout's"
    return f"{told}; expected start, hold, resume, promote or rollback"
