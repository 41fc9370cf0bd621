import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.routes import Routes, parse_routes
from sidecar.config.schema import Split, Variant
from sidecar.entries import Change
from sidecar.errors import ConfigError, ConflictError, UnknownError
from sidecar.routing.changes import (
    declared,
    fitted,
    moved,
    ordered,
    promoted,
    rejected,
    replaced,
    resolved,
    returned,
    variant_of,
    weighed,
)
from sidecar.routing.course import Course, serving
from sidecar.routing.rollout import Plan, Progress

CHANGE = Change(1.0, "ann", "something", "because")
PLAN = Plan(champion="a", challenger="b", steps=(5, 50), pause_s=1, min_rows=1)
STEPPING = Progress(version="2", phase="stepping", step=0, since_s=1.0)
Weights = st.floats(0, 1e9)


def routes(**weights: float) -> Routes:
    versions = {"a": "1", "b": "2"}
    return Routes(
        {
            name: Variant(url=f"http://{name}", version=versions.get(name, ""), weight=each)
            for name, each in weights.items()
        },
        Split(),
        None,
    )


def course(progress: Progress = STEPPING, **weights: float) -> Course:
    return Course(1, ["x"], routes(**weights).document, CHANGE, challenger="b", progress=progress)


def told(found: Course) -> dict[str, float]:
    return {name: each.weight for name, each in parse_routes(found.routes).variants.items()}


@given(a=Weights, b=Weights, percent=st.floats(0.01, 99.9))
def test_to_fit_twice_is_to_fit_once(a: float, b: float, percent: float) -> None:
    plan = Plan(champion="a", challenger="b", steps=(percent,), pause_s=1, min_rows=1)
    once = fitted(course(a=a, b=b, c=1.0), plan)
    assert fitted(once, plan) == once
    assert told(once)["a"] + told(once)["b"] == pytest.approx(min(a + b, 1e9))
    assert told(once)["c"] == 1.0


@given(a=Weights, b=Weights, c=Weights, percent=st.floats(0, 100))
def test_a_weight_is_a_percentage_and_the_others_keep_their_shares(
    a: float, b: float, c: float, percent: float
) -> None:
    before = Course(1, [], routes(a=a, b=b, c=c).document, CHANGE)
    if not a + b and percent < 100:
        with pytest.raises(ConflictError, match="c has all of the traffic"):
            weighed(before, None, "c", percent, CHANGE)
        return
    changed = weighed(before, None, "c", percent, CHANGE)
    after = told(changed)
    assert 100 * after["c"] / sum(after.values()) == pytest.approx(percent, abs=1e-6)
    if changed is not before:
        assert after["c"] == percent
        assert sum(after.values()) == pytest.approx(100)
    assert after["a"] * b == pytest.approx(after["b"] * a, rel=1e-6, abs=1e-300)


def test_without_a_rollout_nothing_of_one_is_left() -> None:
    after = fitted(course(a=95, b=5), None)
    assert (after.challenger, after.progress) == ("", Progress())
    assert fitted(after, None) is after


@pytest.mark.parametrize(
    "progress", [STEPPING, Progress(version="2", phase="promoted", step=1), Progress(version="2", phase="held", step=1)]
)
def test_another_version_or_challenger_waits(progress: Progress) -> None:
    before = course(progress, a=50, b=50)
    other = parse_routes({"variants": {"a": {"url": "http://a"}, "b": {"url": "http://b", "version": "3"}}})
    after = declared(before, PLAN, other, CHANGE)
    assert (after.progress, told(after)) == (Progress(version="3"), {"a": 2.0, "b": 0.0})
    turned = Plan(champion="b", challenger="a", steps=(5,), pause_s=1, min_rows=1)
    assert told(fitted(before, turned)) == {"a": 0.0, "b": 100.0}


def test_what_is_declared_first_has_nothing_to_go_back_to() -> None:
    first = declared(None, None, routes(a=1, b=1), CHANGE, 7)
    assert (first.revision, first.earlier, first.declared) == (7, None, [routes(a=1, b=1).fingerprint])
    second = declared(first, None, routes(a=2, b=1), CHANGE)
    assert (second.revision, second.earlier) == (8, first.routes)
    assert told(returned(second, CHANGE)) == {"a": 1, "b": 1}


def test_a_rollouts_weights_are_its_own() -> None:
    before = course(a=95, b=5, c=100)
    assert told(replaced(before, PLAN, routes(a=9.5, b=0.5, c=1), CHANGE)) == {"a": 9.5, "b": 0.5, "c": 1}
    for other in ({"a": 94.0, "b": 6.0}, {"a": 100.0, "b": 0.0}, {"a": 0.0, "b": 5.0}):
        with pytest.raises(ConflictError, match="the weights of a and b are the rollout's"):
            replaced(before, PLAN, routes(**other), CHANGE)
    with pytest.raises(ConflictError, match="are the rollout's"):
        weighed(before, PLAN, "2", 5, CHANGE)
    assert told(weighed(before, PLAN, "c", 0, CHANGE)) == pytest.approx({"a": 95, "b": 5, "c": 0})


def test_begun_is_when_the_first_step_began() -> None:
    waiting = course(Progress(version="2"), a=100, b=0)
    begun = ordered(waiting, PLAN, "start", CHANGE._replace(time_s=7.0))
    assert (begun.begun_s, told(begun)) == (7.0, {"a": 95, "b": 5})
    on = moved(begun, PLAN, Progress(version="2", phase="stepping", step=1, since_s=9.0), 9.0)
    assert (on.begun_s, told(on), on.revision) == (7.0, {"a": 50, "b": 50}, 3)
    held = ordered(on, PLAN, "hold", CHANGE._replace(time_s=10.0))
    assert ordered(held, PLAN, "resume", CHANGE._replace(time_s=11.0)).begun_s == 7.0
    back = ordered(held, PLAN, "rollback", CHANGE._replace(time_s=12.0))
    assert (back.begun_s, told(back)) == (7.0, {"a": 100, "b": 0})
    assert ordered(back, PLAN, "start", CHANGE._replace(time_s=13.0)).begun_s == 13.0


def test_a_rejected_version_gives_way() -> None:
    assert told(rejected(course(a=95, b=5), PLAN, "b", None, CHANGE)) == {"a": 100, "b": 0}
    assert told(rejected(course(a=95, b=5), PLAN, "a", "b", CHANGE)) == {"a": 0, "b": 100}
    assert told(rejected(course(a=95, b=5, c=100), PLAN, "c", "a", CHANGE)) == {"a": 190, "b": 10, "c": 0}
    assert told(rejected(course(a=95, b=5), None, "b", "a", CHANGE)) == {"a": 100, "b": 0}
    for variant, instead, text in (
        ("a", None, "because, and no approved one is there"),
        ("a", "c", "because, and the weights of a and b are the rollout's"),
        ("a", "gone", "because, and there is no variant gone any more"),
    ):
        with pytest.raises(ConflictError, match=text):
            rejected(course(a=95, b=5, c=0), PLAN, variant, instead, CHANGE)


def test_all_of_the_traffic_is_for_one() -> None:
    assert told(promoted(Course(1, [], routes(a=1, b=1, c=1).document, CHANGE), "2", CHANGE)) == {
        "a": 0,
        "b": 100,
        "c": 0,
    }


@pytest.mark.parametrize(("name", "variant"), [("a", "a"), ("2", "b"), ("", None), ("x", None), ("c", "c")])
def test_a_variant_is_named_by_itself_or_its_version(name: str, variant: str | None) -> None:
    known = routes(a=1, b=1, c=1)
    if variant is None:
        with pytest.raises(
            UnknownError, match=r"expected one of a \(version 1\), b \(version 2\), c \(version unnamed\)"
        ):
            variant_of(known, name)
    else:
        assert variant_of(known, name) == variant


def aliased(progress: Progress = STEPPING) -> Course:
    """Both by aliases, which mean 1 and 2."""
    document = {"variants": {name: {"url": f"http://{name}", "version": f"@{name}", "weight": 50} for name in "ab"}}
    versions = {"@a": "1", "@b": "2"}
    return Course(1, ["x"], document, CHANGE, challenger="b", progress=progress, versions=versions)


def test_an_alias_that_was_moved_is_a_change_and_the_rollout_begins_anew() -> None:
    before = aliased(Progress(version="2", phase="stepping", step=1))
    after = resolved(before, PLAN, {"@a": "1", "@b": "3"}, CHANGE)
    assert (after.revision, after.versions) == (2, {"@a": "1", "@b": "3"})
    assert after.change == CHANGE._replace(what="variants.b.version: 2 → 3 (@b)")
    assert (after.progress, told(after)) == (Progress(version="3"), {"a": 100.0, "b": 0.0})
    assert [each.version for each in parse_routes(after.routes).variants.values()] == ["@a", "@b"]
    of_the_champion = resolved(before, PLAN, {"@a": "9"}, CHANGE)
    assert (of_the_champion.progress, told(of_the_champion)) == (before.progress, {"a": 50.0, "b": 50.0})


def test_an_alias_that_was_moved_to_where_another_serves_is_a_change_and_nobody_follows_it_now_or_later() -> None:
    before = aliased(Progress(version="2", phase="stepping", step=1))
    after = resolved(before, PLAN, {"@a": "2"}, CHANGE)
    assert after.change == CHANGE._replace(what="@a: 1 → 2, which b serves")
    assert (after.versions, after.progress, told(after)) == (before.versions, before.progress, told(before))
    assert resolved(after, PLAN, {"@a": "2"}, CHANGE) is after
    other = parse_routes({"variants": {"a": {"url": "http://a", "version": "@a"}, "b": {"url": "http://b"}}})
    for later in (replaced(after, None, other, CHANGE), declared(after, None, other, CHANGE)):
        assert resolved(later, None, {"@a": "2"}, CHANGE) is later
        assert resolved(later, None, {"@a": "5"}, CHANGE).versions["@a"] == "5"


@pytest.mark.parametrize("meant", [{}, {"@a": "1", "@b": "2"}, {"@c": "7"}])
def test_where_no_alias_was_moved_it_is_the_same_course(meant: dict[str, str]) -> None:
    before = aliased()
    assert resolved(before, PLAN, meant, CHANGE) is before
    plain = course(a=1, b=1)
    assert resolved(plain, PLAN, meant, CHANGE) is plain


def test_many_versions_are_told_by_the_first_of_them() -> None:
    variants = {f"v{place}": {"url": "http://m", "version": "@x"} for place in range(7)}
    after = resolved(Course(1, [], {"variants": variants}, CHANGE), None, {"@x": "3"}, CHANGE)
    assert after.change.what.endswith("variants.v4.version: 3 (@x), and 2 more")


def test_weights_are_changed_by_the_version_that_an_alias_means_and_the_alias_stays_written() -> None:
    before = aliased()
    for after in (weighed(before, None, "2", 5, CHANGE), promoted(before, "2", CHANGE)):
        assert after.versions == before.versions
        assert [each.version for each in parse_routes(after.routes).variants.values()] == ["@a", "@b"]
    with pytest.raises(UnknownError, match=r"expected one of a \(version 1\), b \(version 2\)"):
        promoted(before, "3", CHANGE)


def test_other_routes_keep_what_an_alias_means_and_to_go_back_brings_it_again() -> None:
    before = aliased()
    other = parse_routes({"variants": {"a": {"url": "http://a", "version": "@a"}, "b": {"url": "http://b"}}})
    for after in (replaced(before, None, other, CHANGE), declared(before, None, other, CHANGE)):
        assert after.versions == before.versions
        assert serving(returned(after, CHANGE)).variants["b"].version == "2"
        third = replaced(after, None, routes(a=1, b=1), CHANGE)
        assert third.versions == {"@a": "1"}


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_no_percentage_is_told(percent: float) -> None:
    with pytest.raises(ConfigError, match="percent: expected a number from 0 to 100"):
        weighed(Course(1, [], routes(a=1, b=1).document, CHANGE), None, "a", percent, CHANGE)
