from dataclasses import replace

import pytest

from sidecar.demo.figures import Drift, Suspect
from sidecar.demo.fraud.figures import Amount, Evidence, Quality
from sidecar.demo.fraud.plot import QUIET_ROWS, Moment, Plot, Posted
from sidecar.demo.receiver import Received

NO_DRIFT = Drift(100, [Suspect("amount", 5.0, 16.0, None)])
DRIFT = Drift(100, [Suspect("amount", 17.0, 16.0, "higher")])
CALM = Evidence(1.0, 12.2, 0.03, 0.07, alarm=False)
AWAY = Evidence(12.4, 12.2, 0.17, 0.07, alarm=True)
LEARNING = Quality(170, 271, 170, 170, 600, False, None, None, None, {}, ())
USUAL = Quality(
    joined=620,
    awaiting=300,
    labelled=620,
    reference=600,
    needed=600,
    learned=True,
    loss=0.03,
    accuracy=Amount(0.97, 0.008),
    estimated=Amount(0.975, 0.01),
    tests={"worse": CALM, "loss": CALM},
    segments=(),
)
TESTED = replace(USUAL, labelled=600 + QUIET_ROWS)
FALLEN = replace(
    TESTED,
    labelled=1500,
    accuracy=Amount(0.81, 0.017),
    estimated=Amount(0.83, 0.02),
    tests={"worse": AWAY, "loss": CALM},
    segments=("amount <= 15: 0 % → 50 %", "chip 1: 1 % → 20 %", "hour 8: 2 % → 9 %", "hour 9: 2 % → 8 %"),
)
POSTED = Posted(1400, 70, 150, {"joined": 1390, "waiting": 10, "duplicate": 70, "expired": 0})
FIRING = Received("a1", "firing", "Concept drift in variant default: amount", "Worse.", ("amount",), "relation", "Why.")


def changed() -> Plot:
    """A plot in which fraud is of another kind since second 26."""
    plot = Plot()
    plot.see(Moment(10.0, 500, 0), LEARNING, NO_DRIFT)
    plot.see(Moment(20.0, 1000, 0), USUAL, NO_DRIFT)
    plot.see(Moment(26.0, 1300, 0), TESTED, NO_DRIFT)
    return plot


def whole() -> Plot:
    """One in which all was seen."""
    plot = changed()
    plot.see(Moment(38.0, 1900, 260), FALLEN, NO_DRIFT)
    plot.take(50.0, FIRING)
    plot.see(Moment(89.0, 4400, 2500), FALLEN, NO_DRIFT)
    plot.posted = POSTED
    return plot


def test_phases_follow_what_the_sidecar_has_learned_and_tested() -> None:
    plot = Plot()
    phases, told = [], []
    for second, quality in enumerate((LEARNING, USUAL, USUAL, TESTED, TESTED)):
        told += plot.see(Moment(float(second), 50 * second, 0), quality, NO_DRIFT)
        phases.append(str(plot.phase))

    assert phases == ["learning what is usual", *["usual fraud"] * 2, *["another kind of fraud"] * 2]
    assert told == [
        ">>> 1.0 s: 600 labelled payments are the reference of quality: 3.0 % wrong",
        ">>> 3.0 s: from now on fraud is another: small payments with a chip by day, and hardly any as before",
        "    Payments are drawn as before, and as many of them are fraud.",
    ]


def test_what_is_found_is_told_once_with_the_labels_that_it_took() -> None:
    plot = changed()

    assert plot.see(Moment(37.0, 1850, 200), TESTED, NO_DRIFT) == []
    assert plot.see(Moment(38.0, 1900, 260), FALLEN, NO_DRIFT) == [
        ">>> 38.0 s: the sidecar has found it, with 260 labels of payments since the change, 12.0 s after it: "
        "wrong answers 17.0 %"
    ]
    assert plot.see(Moment(39.0, 1950, 300), FALLEN, NO_DRIFT) == []


def test_a_notice_is_told_and_what_would_come_of_it() -> None:
    told = changed().take(50.0, FIRING)

    assert told[:3] == [
        ">>> 50.0 s: ALERT firing, at the webhook receiver, its signature right:",
        "    Concept drift in variant default: amount",
        "    Worse.",
    ]
    assert told[3].startswith("    The model would be trained anew now")
    assert len(changed().take(50.0, replace(FIRING, state="resolved"))) == 3


def test_a_plot_of_which_all_was_seen_has_no_fault() -> None:
    plot = whole()

    assert plot.faults() == []
    assert plot.shown == "one alert, which says that it is concept drift, and called the retraining once"
    assert plot.summary() == [
        "",
        "labels      1400 came late, 70 of them twice; 150 never",
        "fraud       of another kind after 1300 payments",
        "found       with 260 labels of payments since the change, 12.0 s after it",
        "right       81.0 % ± 1.7 of the latest labelled payments at the end",
        "wrong       3.0 % → 17.0 % since the change",
        "alert       Concept drift in variant default: amount",
        "cause       Why.",
        "segments    amount <= 15: 0 % → 50 %, chip 1: 1 % → 20 %, hour 8: 2 % → 9 %",
        "estimate    97.5 % ± 1.0 right, before labels of the other kind had come: it is blind to concept drift; "
        "83.0 % ± 2.0 with them, at the end",
        "webhook     called once, its signature right",
    ]


def test_a_plot_that_did_not_begin_has_little_to_tell() -> None:
    assert Plot().summary() == [
        "",
        "labels      0 came late, 0 of them twice; 0 never",
        "webhook     called 0 times",
    ]
    assert Plot().faults() == [
        "the demo ended before fraud changed, with no labelled payments of the reference",
        "the other kind of fraud was not found",
        "the webhook was called 0 times, expected once",
        "nobody said where quality has fallen most",
        "the estimate was not too high before labels came",
    ]


@pytest.mark.parametrize(
    ("quality", "fault"),
    [
        (LEARNING, "the demo ended before fraud changed, with 170 of 600 labelled payments of the reference"),
        (USUAL, "the demo ended before fraud changed, with 20 of 300 labelled payments tested"),
    ],
)
def test_a_demo_that_was_too_short_says_how_far_it_came(quality: Quality, fault: str) -> None:
    plot = Plot()
    plot.see(Moment(10.0, 500, 0), quality, NO_DRIFT)

    assert fault in plot.faults()


@pytest.mark.parametrize(
    ("received", "fault"),
    [
        (FIRING, "the webhook was called 2 times, expected once"),
        (replace(FIRING, state="resolved"), "the alert was resolved, though fraud is as it was"),
        (replace(FIRING, cause="both"), "the alert's cause is relation, both, expected concept drift"),
        (replace(FIRING, cause=""), "the alert's cause is relation, none, expected concept drift"),
        (replace(FIRING, title="Worse quality"), "the alert's cause is relation, relation, expected concept drift"),
    ],
)
def test_a_notice_too_many_or_of_another_kind_is_a_fault(received: Received, fault: str) -> None:
    plot = whole()
    plot.take(60.0, received)

    assert fault in plot.faults()


def test_drift_of_inputs_is_a_fault_whenever_it_was_found() -> None:
    plot = whole()
    plot.see(Moment(88.0, 4300, 2400), FALLEN, DRIFT)
    plot.see(Moment(89.0, 4400, 2500), FALLEN, NO_DRIFT)

    assert plot.faults() == ["drift of inputs was found, which have none: amount"]


def test_an_alarm_before_anything_has_changed_is_a_fault() -> None:
    plot = Plot()
    plot.see(Moment(20.0, 1000, 0), replace(USUAL, tests={"worse": AWAY, "loss": CALM}), NO_DRIFT)

    assert "worse quality was found where nothing had changed: worse" in plot.faults()


def test_segments_that_nobody_named_are_a_fault() -> None:
    plot = whole()
    plot.see(Moment(90.0, 4450, 2550), replace(FALLEN, segments=()), NO_DRIFT)

    assert plot.faults() == ["nobody said where quality has fallen most"]


def test_the_estimate_counts_as_it_was_before_labels_of_the_other_kind_came() -> None:
    plot = changed()
    for labels, value in ((0, 0.86), (50, 0.99)):
        plot.see(Moment(30.0, 1500, labels), replace(FALLEN, estimated=Amount(value, 0.01)), NO_DRIFT)

    assert "the estimate was not too high before labels came" in plot.faults()


@pytest.mark.parametrize(
    ("statuses", "faults"),
    [
        (POSTED.statuses, []),
        ({"joined": 1399, "duplicate": 70}, ["1399 of 1400 labels were taken"]),
        ({"joined": 1400, "duplicate": 69}, ["69 of 70 repetitions were told from others"]),
        (
            {"joined": 1400, "duplicate": 70, "unknown": 2, "expired": 1},
            ["labels were expired (1), unknown (2)"],
        ),
    ],
)
def test_every_label_joins_once(statuses: dict[str, int], faults: list[str]) -> None:
    plot = whole()
    plot.posted = replace(POSTED, statuses=statuses)

    assert plot.faults() == faults


def test_where_only_the_relation_has_alarmed_nothing_is_said_of_a_fall() -> None:
    plot = changed()
    plot.see(Moment(38.0, 1900, 260), replace(FALLEN, tests={"worse": CALM, "loss": AWAY}), NO_DRIFT)

    assert not any(line.startswith("wrong") for line in plot.summary())
