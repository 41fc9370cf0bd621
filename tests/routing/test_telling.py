from dataclasses import replace

from sidecar.entries import Change
from sidecar.records import JSON
from sidecar.routing.course import Course
from sidecar.routing.rollout import Plan, Progress
from sidecar.routing.telling import MAX_TEXT, change_event

PLAN = Plan(champion="champion", challenger="challenger", steps=(5, 50), pause_s=10, min_rows=50)
STEPPING = Progress(version="4", phase="stepping", step=0, since_s=1.0)


def routes(champion: float, challenger: float) -> dict[str, JSON]:
    return {
        "variants": {
            "champion": {"url": "http://model:1", "version": "3", "weight": champion},
            "challenger": {"url": "http://model:2", "weight": challenger},
        }
    }


def course(revision: int = 1, *, who: str = "ann", what: str = "weights", why: str = "", share: float = 10) -> Course:
    return Course(revision, [], routes(100 - share, share), Change(float(revision), who, what, why))


def test_other_routes_are_told_with_who_and_why_and_what_was_before() -> None:
    event = change_event(course(), course(2, why="it is better", share=25), None, 7.5)
    assert event is not None
    assert (event.name, event.time_s, event.severity) == ("sidecar.routes.changed", 7.5, "info")
    assert event.body == "revision 2 by ann: weights: it is better"
    assert event.attributes == {
        "sidecar.routes.revision": 2,
        "sidecar.routes.before": "champion (version 3) 90 %, challenger 10 %",
        "sidecar.routes.after": "champion (version 3) 75 %, challenger 25 %",
        "sidecar.change.who": "ann",
        "sidecar.change.what": "weights",
        "sidecar.change.why": "it is better",
    }


def test_the_course_that_was_is_no_change() -> None:
    assert change_event(course(), course(), PLAN, 1.0) is None


def test_another_change_of_the_same_revision_is_one() -> None:
    assert change_event(course(), course(who="bob"), None, 1.0) is not None


def test_the_first_course_of_all_is_told_without_one_before() -> None:
    event = change_event(None, Course(1, [], {}, Change(1.0, "configuration", "routes")), None, 1.0)
    assert event is not None
    assert event.attributes == {
        "sidecar.routes.revision": 1,
        "sidecar.change.who": "configuration",
        "sidecar.change.what": "routes",
    }
    assert event.body == "revision 1 by configuration: routes"


def test_a_rollback_is_a_warning_that_says_from_where() -> None:
    before = replace(course(), progress=STEPPING)
    back = replace(STEPPING, phase="rolled_back", reason="breach at 5 %: errors")
    event = change_event(before, replace(course(2, who="rollout", share=0), progress=back), PLAN, 1.0)
    assert event is not None
    assert (event.name, event.severity) == ("sidecar.rollout", "warning")
    told = {name: value for name, value in event.attributes.items() if not name.startswith("sidecar.change")}
    assert told == {
        "sidecar.routes.revision": 2,
        "sidecar.routes.before": "champion (version 3) 90 %, challenger 10 %",
        "sidecar.routes.after": "champion (version 3) 100 %, challenger 0 %",
        "feature_flag.result.variant": "challenger",
        "sidecar.version": "4",
        "sidecar.rollout.phase": "rolled_back",
        "sidecar.rollout.before": "stepping",
        "sidecar.rollout.step": 0,
        "sidecar.rollout.percent": 0.0,
    }


def test_other_routes_while_the_rollout_stays_where_it_is_are_no_step_of_it() -> None:
    before, after = (replace(each, progress=STEPPING) for each in (course(), course(2)))
    event = change_event(before, after, PLAN, 1.0)
    assert event is not None
    assert event.name == "sidecar.routes.changed"


def test_what_somebody_wrote_stays_on_one_line_and_within_bounds() -> None:
    event = change_event(course(), course(2, who="a\nb\ud800", why="x" * 100_000), None, 1.0)
    assert event is not None
    assert event.attributes["sidecar.change.who"] == r"a\nb\ud800"
    assert len(str(event.attributes["sidecar.change.why"])) == MAX_TEXT
    assert "\n" not in event.body
