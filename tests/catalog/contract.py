"""What every catalogue promises, as functions of a place in which it can be opened; each one's test file calls them.

`VERSIONS` are of versions, decisions and lineage, `SERVING` of what the sidecar writes down, `RUNS` of training runs.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace

import msgspec
import pytest

from sidecar.entries import Approval, Deployment, Draft, Link, Point, Run, Version
from sidecar.errors import ConfigError, ConflictError, UnknownError
from sidecar.ports import Catalog, Serving

NOW_S = 1_785_412_800.0
"""2026-07-30T12:00:00Z."""
LATER_S = NOW_S + 60
"""When something is decided, or ends."""
GROUP = "fraud"
DIGEST = f"sha256:{'a' * 64}"
DRAFT = Draft(
    artefact="s3://models/fraud/7",
    digest=DIGEST,
    framework="xgboost 2.1",
    signature={"inputs": [{"name": "amount", "type": "double"}]},
    parameters={"depth": "6", "Länge": "é\n\U0001f600"},
    metrics={"auc": 0.93, "loss": 1 / 3},
    reference="/var/lib/fraud/reference",
    links=(Link("trained_on", "s3://data/2026-07", DIGEST), Link("evaluated_on", "s3://data/2026-08")),
    notes="the first\nwith the new features",
)


Open = Callable[[], Catalog]
"""Opens the catalogue of one place; again after it was closed, or was not."""
Fresh = Callable[[], AbstractContextManager[Open]]
"""Makes a place with nothing in it."""


def register(catalog: Catalog, draft: Draft = DRAFT, *, group: str = GROUP, by: str = "ada") -> Version:
    return catalog.register(group, draft, by=by, now_s=NOW_S)


def derived(*parents: str) -> Draft:
    return Draft(links=[Link("derived_from", parent) for parent in parents])


def decide(catalog: Catalog, name: str, approval: Approval, why: str = "because") -> Version:
    return catalog.decide(GROUP, name, approval, by="bob", why=why, now_s=LATER_S)


def deploy(catalog: Catalog, passed_s: float, *serving: tuple[str, str, float], why: str = "rollout") -> None:
    catalog.deploy(GROUP, [Serving(*each) for each in serving], by="sidecar", why=why, now_s=NOW_S + passed_s)


def deployments(catalog: Catalog, name: str) -> list[Deployment]:
    return list(catalog.version(GROUP, name).deployments)


def log(catalog: Catalog, run: Run, *points: Point, **parameters: str) -> None:
    catalog.log(run.id, parameters=parameters, points=points, artefacts={})


def plain(entry: object) -> str:
    """All of an entry, lists as tuples, mappings in the order of their names, NaN equal to itself."""
    return msgspec.json.encode(entry, order="deterministic").decode()


def an_empty_catalogue_has_nothing(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        assert catalog.groups() == []
        for asked in (catalog.versions, catalog.runs):
            with pytest.raises(UnknownError):
                asked(GROUP)


def a_version_comes_back_as_it_was(fresh: Open) -> None:
    expected = Version(group=GROUP, number=1, draft=DRAFT, registered_s=NOW_S, by="ada")
    with closing(fresh()) as catalog:
        assert plain(register(catalog)) == plain(expected)
    with closing(fresh()) as catalog:
        assert plain(catalog.version(GROUP, "1")) == plain(expected)
        assert plain(catalog.versions(GROUP)) == plain([expected])
        assert catalog.version(GROUP, "1").approval == "pending"


def versions_are_numbered_within_their_group_and_the_latest_is_first(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        assert [register(catalog, Draft(), group=group).number for group in ("b", "a", "b", "b")] == [1, 1, 2, 3]
        assert [each.number for each in catalog.versions("b")] == [3, 2, 1]
        assert catalog.groups() == ["a", "b"]


def what_is_not_there_is_told(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog, Draft())
        for name in ("2", "0", "-1", "01", "1.0", "", "one", "²", "9" * 40, "@nobody", "\ud800"):
            with pytest.raises(UnknownError):
                catalog.version(GROUP, name)
        for group in ("nobody", "\ud800"):
            with pytest.raises(UnknownError):
                catalog.version(group, "1")
        with pytest.raises(UnknownError):
            decide(catalog, "2", "approved")


def the_last_decision_stands(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog)
        assert decide(catalog, "1", "approved").approval == "approved"
        assert decide(catalog, "1", "rejected", "drifts").approval == "rejected"
    with closing(fresh()) as catalog:
        version = catalog.version(GROUP, "1")
        assert [tuple(each) for each in version.decisions] == [
            ("approved", LATER_S, "bob", "because"),
            ("rejected", LATER_S, "bob", "drifts"),
        ]
        assert version.approval == "rejected"


def children_are_found(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        for number in range(3):
            register(catalog, derived(f"{GROUP}/1") if number else Draft())
        register(catalog, derived(f"{GROUP}/1", f"{GROUP}/3"), group="other")
        children = {each.number: list(each.children) for each in catalog.versions(GROUP)}
        assert children == {1: ["fraud/2", "fraud/3", "other/1"], 2: [], 3: ["other/1"]}
        assert list(catalog.version(GROUP, "3").children) == ["other/1"]


def a_parent_must_be_there(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog, Draft())
        for parent in ("fraud/2", "nobody/1"):
            with pytest.raises(UnknownError):
                register(catalog, derived("fraud/1", parent))
        assert [each.number for each in catalog.versions(GROUP)] == [1]
        assert list(catalog.version(GROUP, "1").children) == []


def a_draft_that_nobody_could_take_is_refused(fresh: Open) -> None:
    drafts = [
        Draft(notes="x" * 200_000),
        Draft(parameters={f"p{n}": "" for n in range(1001)}),
        Draft(links=[Link("trained_on", str(n)) for n in range(101)]),
        Draft(links=[Link("derived_from", "fraud")]),
        Draft(notes="\ud800"),
        Draft(signature={"a": object()}),
    ]
    with closing(fresh()) as catalog:
        for draft in drafts:
            with pytest.raises(ConfigError):
                register(catalog, draft)
        assert catalog.groups() == []


def a_group_that_could_be_no_part_of_an_address_is_refused(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        for group in ("", "..", "a/b", "a:b", "a\n", "x" * 300):
            with pytest.raises(ConfigError):
                register(catalog, Draft(), group=group)


def a_deployment_lasts_while_its_version_has_weight(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog, Draft())
        register(catalog, Draft())
        deploy(catalog, 0, ("champion", "1", 100.0), ("challenger", "2", 0.0), why="start")
        deploy(catalog, 10, ("champion", "1", 90.0), ("challenger", "2", 10.0), why="step")
        deploy(catalog, 20, ("champion", "1", 50.0), ("challenger", "2", 50.0), why="step")
        deploy(catalog, 30, ("champion", "1", 100.0), ("challenger", "2", 0.0), why="worse")
        first = Deployment("champion", NOW_S, None, "sidecar", "start", "", 100.0)
        second = Deployment("challenger", NOW_S + 10, NOW_S + 30, "sidecar", "step", "", 50.0, "sidecar", "worse")
        assert deployments(catalog, "1") == [first]
        assert deployments(catalog, "2") == [second]
        assert list(catalog.version(GROUP, "1").deployed) == [first]
        assert list(catalog.version(GROUP, "2").deployed) == []


def what_was_replaced_is_named(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        for _ in range(2):
            register(catalog, Draft())
        for passed_s, name in enumerate(("1", "2", "1")):
            deploy(catalog, passed_s, ("champion", name, 100.0))
        told = [(each.since_s - NOW_S, each.replaced) for each in deployments(catalog, "1")]
        assert told == [(0.0, ""), (2.0, "2")]
        assert [each.replaced for each in deployments(catalog, "2")] == ["1"]
        assert [each.until_s for each in deployments(catalog, "2")] == [NOW_S + 2]


def who_is_no_longer_named_has_ended(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog, Draft())
        deploy(catalog, 0, ("a", "1", 50.0), ("b", "1", 50.0))
        deploy(catalog, 5, ("b", "1", 100.0))
        assert [(each.variant, each.until_s, each.weight) for each in deployments(catalog, "1")] == [
            ("a", NOW_S + 5, 50.0),
            ("b", None, 100.0),
        ]
        deploy(catalog, 6)
        assert list(catalog.version(GROUP, "1").deployed) == []


def a_version_that_nobody_registered_is_not_noted(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog, Draft())
        deploy(catalog, 0, ("a", "1", 50.0), ("b", "2026-07-30", 50.0))
        deploy(catalog, 1, ("a", "", 50.0), ("b", "2", 50.0))
        assert [each.until_s for each in deployments(catalog, "1")] == [NOW_S + 1]
        catalog.deploy("nobody", [Serving("a", "1", 100.0)], by="x", why="", now_s=NOW_S)
        assert catalog.groups() == [GROUP]


def to_deploy_what_serves_already_changes_nothing(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog, Draft())
        deploy(catalog, 0, ("a", "1", 100.0))
        before, mark = deployments(catalog, "1"), catalog.mark(GROUP)
        deploy(catalog, 9, ("a", "1", 100.0), why="restart")
        assert deployments(catalog, "1") == before
        assert catalog.mark(GROUP) == mark


def what_is_measured_stands_beside_what_was(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        register(catalog)
        assert (dict(catalog.version(GROUP, "1").live), catalog.version(GROUP, "1").live_s) == ({}, None)
        catalog.report(GROUP, "1", {"f1": 0.5, "rows": 2000.0}, now_s=NOW_S)
        catalog.report(GROUP, "1", {"f1": 0.25}, now_s=NOW_S + 60)
        version = catalog.version(GROUP, "1")
        assert dict(version.live) == {"f1": 0.25, "rows": 2000.0}
        assert version.live_s == NOW_S + 60
        assert dict(version.draft.metrics) == dict(DRAFT.metrics)
        with pytest.raises(UnknownError):
            catalog.report(GROUP, "2", {"f1": 0.5}, now_s=NOW_S)


def the_mark_is_another_one_after_every_change(fresh: Open) -> None:
    with closing(fresh()) as reader, closing(fresh()) as writer:
        marks = [reader.mark(GROUP)]
        for change in (
            lambda: register(writer, Draft()),
            lambda: decide(writer, "1", "approved"),
            lambda: deploy(writer, 0, ("a", "1", 100.0)),
            lambda: deploy(writer, 1, ("a", "1", 50.0)),
            lambda: decide(writer, "1", "rejected"),
        ):
            change()
            assert reader.mark(GROUP) == reader.mark(GROUP)
            marks.append(reader.mark(GROUP))
        assert len(set(marks)) == len(marks)


def a_run_comes_back_as_it_was(fresh: Open) -> None:
    points = [Point("loss", step, 1 / (step + 1), NOW_S + step) for step in range(3)]
    with closing(fresh()) as catalog:
        run = catalog.begin(GROUP, "xgb-7", now_s=NOW_S)
        assert (run.group, run.name, run.status, run.ended_s) == (GROUP, "xgb-7", "running", None)
        assert (len(run.id), int(run.id, 16) > 0) == (32, True)
        catalog.log(run.id, parameters={"depth": "6"}, points=points[:2], artefacts={"model": "s3://m"})
        catalog.log(run.id, parameters={"eta": "0.1"}, points=points[2:], artefacts={})
        catalog.end(run.id, "finished", now_s=LATER_S)
    expected = replace(
        run,
        parameters={"depth": "6", "eta": "0.1"},
        points=points,
        artefacts={"model": "s3://m"},
        status="finished",
        ended_s=LATER_S,
    )
    with closing(fresh()) as catalog:
        assert plain(catalog.run(run.id)) == plain(expected)
        assert plain(catalog.runs(GROUP)) == plain([replace(expected, points=points[2:])])
        assert dict(catalog.run(run.id).metrics) == {"loss": 1 / 3}


def the_latest_run_is_first(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        for number in range(3):
            catalog.begin(GROUP, f"run-{number}", now_s=NOW_S + number)
        assert [each.name for each in catalog.runs(GROUP)] == ["run-2", "run-1", "run-0"]


def a_parameter_gets_the_new_value(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        for value in ("1", "2"):
            log(catalog, run, depth=value, **{"other": "x"})
        assert dict(catalog.run(run.id).parameters) == {"depth": "2", "other": "x"}


def a_point_that_is_said_again_counts_once(fresh: Open) -> None:
    point, diverged = Point("loss", 1, 0.5, NOW_S), Point("loss", 2, float("nan"), NOW_S)
    with closing(fresh()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        log(catalog, run, point, diverged)
        log(catalog, run, diverged)
        log(catalog, run, point)
        assert repr(list(catalog.run(run.id).points)) == repr([point, diverged])


def odd_values_come_back_as_they_were(fresh: Open) -> None:
    values = [float("nan"), float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, 0.1 + 0.2]
    points = [Point("odd", step - 2, value, NOW_S) for step, value in enumerate(values)]
    with closing(fresh()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        log(catalog, run, *points)
        assert repr(list(catalog.run(run.id).points)) == repr(points)
        version = register(catalog, Draft(metrics={str(n): value for n, value in enumerate(values)}))
        assert repr(list(version.draft.metrics.values())) == repr(values)


def what_has_ended_takes_nothing_more(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        for _ in range(2):  # who got no answer says it again
            catalog.end(run.id, "failed", now_s=LATER_S)
        with pytest.raises(ConflictError):
            catalog.end(run.id, "finished", now_s=NOW_S + 6)
        with pytest.raises(ConflictError):
            log(catalog, run, depth="6")
        assert (catalog.run(run.id).status, catalog.run(run.id).ended_s) == ("failed", LATER_S)


def a_run_that_nobody_began_is_told(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        for run in ("a" * 32, "", "../x", "\ud800"):
            with pytest.raises(UnknownError):
                catalog.run(run)
            with pytest.raises(UnknownError):
                catalog.log(run, parameters={}, points=[], artefacts={})
            with pytest.raises(UnknownError):
                catalog.end(run, "finished", now_s=NOW_S)


def what_a_run_cannot_be_told_is_refused(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        for parameters, points in (
            ({"": "x"}, []),
            ({"x" * 1000: "x"}, []),
            ({"x": "x" * 100_000}, []),
            ({}, [Point("", 0, 0.0, NOW_S)]),
            ({}, [Point("x", 2**64, 0.0, NOW_S)]),
        ):
            with pytest.raises(ConfigError):
                catalog.log(run.id, parameters=parameters, points=points, artefacts={})
        assert catalog.run(run.id) == run or plain(catalog.run(run.id)) == plain(run)


def a_run_fills_what_its_draft_does_not_say(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        run = catalog.begin(GROUP, "", now_s=NOW_S)
        log(catalog, run, Point("auc", 1, 0.5, NOW_S), Point("auc", 2, 0.75, NOW_S), depth="6", eta="0.1")
        log(catalog, run, Point("f1", 2, 0.25, NOW_S))
        draft = Draft(parameters={"depth": "7"}, metrics={"f1": 0.5}, links=[Link("produced_by", run.id)])
        told = register(catalog, draft).draft
        assert dict(told.parameters) == {"depth": "7", "eta": "0.1"}
        assert dict(told.metrics) == {"f1": 0.5, "auc": 0.75}
        assert [tuple(each) for each in told.links] == [("produced_by", run.id, "")]


def a_run_that_is_known_elsewhere_fills_nothing(fresh: Open) -> None:
    with closing(fresh()) as catalog:
        draft = Draft(links=[Link("produced_by", "https://ci/build/7")])
        assert plain(register(catalog, draft).draft) == plain(draft)


def a_catalogue_that_is_closed_can_be_closed_again(fresh: Open) -> None:
    catalog = fresh()
    catalog.close()
    catalog.close()


VERSIONS: tuple[Callable[[Open], None], ...] = (
    an_empty_catalogue_has_nothing,
    a_version_comes_back_as_it_was,
    versions_are_numbered_within_their_group_and_the_latest_is_first,
    what_is_not_there_is_told,
    the_last_decision_stands,
    children_are_found,
    a_parent_must_be_there,
    a_draft_that_nobody_could_take_is_refused,
    a_group_that_could_be_no_part_of_an_address_is_refused,
    a_catalogue_that_is_closed_can_be_closed_again,
)
"""`@pytest.mark.parametrize("case", contract.VERSIONS, ids=lambda case: case.__name__)`, as the next two."""

SERVING: tuple[Callable[[Open], None], ...] = (
    a_deployment_lasts_while_its_version_has_weight,
    what_was_replaced_is_named,
    who_is_no_longer_named_has_ended,
    a_version_that_nobody_registered_is_not_noted,
    to_deploy_what_serves_already_changes_nothing,
    what_is_measured_stands_beside_what_was,
    the_mark_is_another_one_after_every_change,
)

RUNS: tuple[Callable[[Open], None], ...] = (
    a_run_comes_back_as_it_was,
    the_latest_run_is_first,
    a_parameter_gets_the_new_value,
    a_point_that_is_said_again_counts_once,
    odd_values_come_back_as_they_were,
    what_has_ended_takes_nothing_more,
    a_run_that_nobody_began_is_told,
    what_a_run_cannot_be_told_is_refused,
    a_run_fills_what_its_draft_does_not_say,
    a_run_that_is_known_elsewhere_fills_nothing,
)
