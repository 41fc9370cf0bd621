import io
from dataclasses import replace

from rich.console import Console

from sidecar.demo.fraud.figures import Amount, Evidence, Quality
from sidecar.demo.fraud.panel import ASKED, brief, evidence, lines

LEARNING = Quality(170, 271, 170, 170, 600, False, None, None, None, {}, ())
TESTED = Quality(
    joined=900,
    awaiting=300,
    labelled=900,
    reference=600,
    needed=600,
    learned=True,
    loss=0.03,
    accuracy=Amount(0.81, 0.017),
    estimated=None,
    tests={name: Evidence(3.0, 12.2, None, 0.07, alarm=False) for name in ASKED},
    segments=(),
)


def cells(quality: Quality) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=120).print(evidence(quality))
    return [[cell.strip() for cell in row.split("│")[1:-1]] for row in out.getvalue().splitlines() if "│" in row]


def test_while_the_reference_is_learned_a_line_says_how_far_it_is() -> None:
    assert brief(LEARNING) == ("170 labels joined, 271 awaited", "170 of 600 for the reference")


def test_later_a_line_says_how_good_the_model_is_and_what_the_tests_say() -> None:
    assert brief(TESTED) == (
        "900 labels joined, 300 awaited",
        "right 81.0 % ± 1.7, estimated -",
        "evidence: worse 3.0 of 12.2, loss 3.0 of 12.2",
    )


def test_an_alarm_is_told() -> None:
    alarmed = replace(TESTED, tests={"worse": Evidence(12.4, 12.2, 0.17, 0.07, alarm=True)})

    assert brief(alarmed)[-1] == "evidence: worse 12.4 of 12.2 ALARM"


def test_before_the_first_tested_row_there_is_no_evidence() -> None:
    assert brief(replace(TESTED, tests={}))[-1] == "evidence: -"


def test_a_terminal_is_told_that_the_estimate_is_blind() -> None:
    assert lines(replace(TESTED, estimated=Amount(0.83, 0.02))) == [
        "labels: 900 joined, 300 awaited; right by the latest: 81.0 % ± 1.7",
        "right by estimate: 83.0 % ± 2.0 (blind to concept drift until labels come)",
    ]


def test_a_terminal_is_told_how_far_the_reference_is() -> None:
    assert lines(LEARNING) == ["labels: 170 joined, 271 awaited; reference of quality: 170 of 600"]


def test_the_table_has_a_row_for_every_test_known_or_not() -> None:
    known = {"worse": Evidence(12.4, 12.2, 0.169, 0.07, alarm=True), "up": Evidence(0.1, 13.3, None, 0.03, alarm=False)}

    assert cells(replace(TESTED, tests=known)) == [
        [ASKED["worse"], "16.9 %", "7.0 %", "12.4", "12.2", "ALARM"],
        [ASKED["loss"], "-", "-", "-", "-", ""],
        [ASKED["up"], "-", "3.0 %", "0.1", "13.3", ""],
        [ASKED["down"], "-", "-", "-", "-", ""],
    ]
