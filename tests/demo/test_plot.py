import pytest

from sidecar.demo.figures import Drift, Suspect
from sidecar.demo.plot import Moment, Plot
from sidecar.demo.receiver import Received

STEPS = {"area": 2.5, "texture": 0.125}


def drift(rows: int, *names: str) -> Drift:
    return Drift(rows, [Suspect(name, 20.0, 17.0, "moved") for name in names] + [Suspect("radius", 5.0, 17.0, None)])


def notice(state: str, *features: str, alert: str = "a1") -> Received:
    return Received(alert, state, f"Data drift: {', '.join(features)}", "They have drifted.", features)


FIRING = notice("firing", "texture", "area")
RESOLVED = notice("resolved", "area")


def plot() -> Plot:
    return Plot(STEPS, 10.0)


def shifted() -> Plot:
    """A plot whose rows have been shifted since second 10."""
    begun = plot()
    begun.go_on(Moment(10.0, 500))
    return begun


def back() -> Plot:
    """One that has alarmed, and whose rows are back since second 20."""
    begun = shifted()
    begun.take(13.0, FIRING)
    begun.go_on(Moment(20.0, 1000))
    return begun


def phase(begun: Plot) -> str:
    return begun.phase


def whole() -> Plot:
    """One in which all was seen."""
    begun = back()
    begun.take(27.0, RESOLVED)
    return begun


def test_rows_are_shifted_after_the_first_phase() -> None:
    begun = plot()

    assert begun.go_on(Moment(9.9, 495)) == []
    assert phase(begun) == "usual rows"
    assert begun.go_on(Moment(10.0, 500)) == [
        ">>> 10.0 s: from now on 2 features are higher by 1 standard deviation: area (+2.5), texture (+0.125)"
    ]
    assert phase(begun) == "shifted rows"


def test_rows_are_back_after_the_second_phase() -> None:
    begun = shifted()
    begun.take(13.0, FIRING)

    assert begun.go_on(Moment(19.9, 995)) == []
    assert phase(begun) == "shifted rows"
    assert begun.go_on(Moment(20.0, 1000)) == [">>> 20.0 s: from now on the rows are as usual again"]
    assert phase(begun) == "usual rows again"


def test_the_second_phase_waits_for_the_alert() -> None:
    begun = shifted()

    assert begun.go_on(Moment(90.0, 4500)) == []
    assert phase(begun) == "shifted rows"
    begun.take(91.0, FIRING)
    begun.go_on(Moment(91.1, 4505))
    assert phase(begun) == "usual rows again"


def test_after_the_third_phase_there_is_none() -> None:
    begun = whole()

    assert begun.go_on(Moment(1000.0, 50_000)) == []
    assert phase(begun) == "usual rows again"


def test_what_is_found_is_told_once_with_the_rows_that_it_took() -> None:
    begun = shifted()

    assert begun.see(Moment(11.0, 560), drift(530)) == []
    assert begun.see(Moment(11.5, 580), drift(557, "texture")) == [
        ">>> 11.5 s: the sidecar has found drift, within 57 rows and 1.5 s of the shift: texture"
    ]
    assert begun.see(Moment(12.0, 600), drift(600, "texture", "area")) == []


def test_that_nothing_drifts_any_more_is_told_once() -> None:
    begun = back()
    begun.see(Moment(20.1, 1005), drift(1000, "area"))

    assert begun.see(Moment(20.5, 1030), drift(1020, "area")) == []
    assert begun.see(Moment(21.0, 1050), drift(1045)) == [
        ">>> 21.0 s: nothing drifts any more, within 45 rows and 1.0 s of the return"
    ]
    assert begun.see(Moment(22.0, 1100), drift(1100)) == []


def test_rows_that_are_on_their_way_are_no_rows_before_the_shift() -> None:
    (told,) = shifted().see(Moment(10.2, 510), drift(495, "area"))

    assert "within 0 rows and 0.2 s" in told


def test_a_notice_is_told_as_it_arrives() -> None:
    assert shifted().take(13.04, FIRING) == [
        ">>> 13.0 s: ALERT firing, at the webhook receiver, its signature right:",
        "    Data drift: texture, area",
        "    They have drifted.",
    ]


def test_a_plot_of_which_all_was_seen_has_no_fault() -> None:
    begun = shifted()
    begun.see(Moment(11.5, 580), drift(557, "texture"))
    begun.take(13.0, FIRING)
    begun.go_on(Moment(20.0, 1000))
    begun.take(27.0, RESOLVED)

    assert begun.faults() == []
    assert begun.shown == "one alert, of exactly the shifted features; resolved after they were back"
    assert begun.summary() == [
        "",
        "shifted     area, texture, after 500 usual rows",
        "found       within 57 rows and 1.5 s of the shift",
        "alert       3.0 s after the shift",
        "resolved    7.0 s after the return",
        "notices     1 firing, 1 resolved",
    ]


def test_a_plot_that_did_not_begin_has_little_to_tell() -> None:
    assert plot().summary() == ["", "notices     0 firing, 0 resolved"]
    assert plot().faults() == [
        "the demo ended before the rows were shifted",
        "0 notices of a firing alert, expected 1",
        "the demo ended before the rows were as usual again",
        "0 notices of a resolved alert, expected 1",
    ]


def test_an_end_before_the_alert_is_resolved_is_a_fault() -> None:
    assert back().faults() == ["0 notices of a resolved alert, expected 1"]


@pytest.mark.parametrize(
    ("received", "fault"),
    [
        (FIRING, "2 notices of a firing alert, expected 1"),
        (RESOLVED, "2 notices of a resolved alert, expected 1"),
        (notice("firing", "area", "texture", alert="a2"), "the notices were of more than one alert"),
        (notice("resolved", "radius"), "what was resolved named area; radius"),
    ],
)
def test_a_notice_too_many_is_a_fault(received: Received, fault: str) -> None:
    begun = whole()
    begun.take(30.0, received)

    assert fault in begun.faults()


@pytest.mark.parametrize("features", [("area",), ("area", "texture", "radius"), ("area", "radius"), ()])
def test_an_alert_names_the_shifted_features_all_of_them_and_no_others(features: tuple[str, ...]) -> None:
    begun = shifted()
    begun.take(13.0, notice("firing", *features))
    begun.go_on(Moment(20.0, 1000))
    begun.take(27.0, RESOLVED)

    assert begun.faults() == [f"the alert named {', '.join(features)}"]


@pytest.mark.parametrize(("begun", "name"), [(plot(), "area"), (shifted(), "radius"), (whole(), "radius")])
def test_drift_where_nothing_was_shifted_is_a_fault(begun: Plot, name: str) -> None:
    begun.see(Moment(5.0, 250), drift(250, name))

    assert f"drift was found where nothing was shifted: {name}" in begun.faults()


def test_an_alert_that_is_resolved_too_early_is_a_fault() -> None:
    begun = shifted()
    begun.take(13.0, FIRING)
    begun.take(19.0, RESOLVED)
    begun.go_on(Moment(20.0, 1000))

    assert begun.faults() == ["the alert was resolved before the rows were back"]
