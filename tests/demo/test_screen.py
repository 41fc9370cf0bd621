import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sidecar.demo.captures import Tally
from sidecar.demo.figures import Column, Drift, Figures, Suspect
from sidecar.demo.fraud.figures import Amount, Evidence, Quality
from sidecar.demo.screen import Progress, Scene, Screen, line, summary, table

FIGURES = Figures(
    p50_s=0.0052,
    p99_s=0.0091,
    overhead_p50_s=0.000085,
    overhead_p99_s=0.00014,
    rows=600,
    dropped=0,
    columns=[
        Column("mean radius", rows=600, mean=14.127, std=3.52, median=13.4, missing=0),
        Column("predict", rows=600, mean=None, std=None, median=None, missing=600),
    ],
)
EMPTY = Figures(None, None, None, None, rows=0, dropped=3, columns=[])
QUIET = Drift(600, [Suspect("worst area", 6.25, 17.2, None), Suspect("mean radius", 5.0, 17.2, None)])
DRIFTING = Drift(700, [Suspect("mean radius", 18.0, 16.5, "above 14: 40 % → 80 %"), *QUIET.suspects[:1]])
PROGRESS = Progress(elapsed_s=12.04, requests=600, errors=1, rate=49.9, figures=FIGURES)


def shown(progress: Progress, *, terminal: bool) -> str:
    text = io.StringIO()
    screen = Screen(Console(file=text, force_terminal=terminal, width=110, color_system=None))
    with screen.live() as show:
        show(progress)
    return text.getvalue()


def test_a_terminal_shows_a_row_for_each_column() -> None:
    text = shown(PROGRESS, terminal=True)

    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.splitlines() if "│" in row]
    assert ["mean radius", "600", "14.13", "3.52", "13.4", "0"] in rows
    assert ["predict", "600", "-", "-", "-", "600"] in rows
    assert "600 requests | 50/s | 1 errors" in text


def test_elsewhere_a_moment_is_one_plain_line() -> None:
    assert shown(PROGRESS, terminal=False).splitlines() == [
        "12 s | 600 requests | 50/s | 1 errors | p50 5.2 ms, p99 9.1 ms | of it the sidecar's 85 µs, 140 µs"
        " | mean radius: mean 14.13"
    ]


def test_what_is_not_known_yet_is_a_dash() -> None:
    assert line(Progress(0, 0, 0, 0.0, EMPTY)) == (
        "0 s | 0 requests | 0/s | 0 errors | p50 -, p99 - | of it the sidecar's -, -"
    )


def test_lines_are_written_as_they_are() -> None:
    text = io.StringIO()

    Screen(Console(file=text, width=20)).say("a [bold]long[/bold] line of more than 20 signs", "1")

    assert text.getvalue() == "a [bold]long[/bold] line of more than 20 signs\n1\n"


def test_waiting_is_told_before_it_begins() -> None:
    text = io.StringIO()
    with Screen(Console(file=text)).waiting("starting ..."):
        assert text.getvalue() == "starting ...\n"


def test_a_terminal_forgets_what_was_waited_for() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    with Screen(console).waiting("starting ..."):
        pass

    assert "starting ..." in text.getvalue()
    assert not text.getvalue().endswith("starting ...\n")


def test_a_terminal_is_written_more_often_than_a_file() -> None:
    assert Screen(Console(force_terminal=True)).every_s < Screen(Console(file=io.StringIO())).every_s


def test_the_summary_tells_what_came_of_it() -> None:
    assert summary(PROGRESS, Tally(files=2, lines=600), Path("/tmp/kept")) == (
        "",
        "requests    600 in 12.0 s (49.9/s), 1 errors",
        "duration    p50 5.2 ms, p99 9.1 ms",
        "of it ours  p50 85 µs, p99 140 µs in the sidecar",
        "statistics  of 600 rows",
        "captures    600 lines in 2 files, kept in /tmp/kept",
    )


def test_dropped_captures_are_told() -> None:
    last = Progress(1.0, 3, 0, 3.0, EMPTY)

    assert summary(last, Tally(0, 0), Path("kept"))[-1] == "captures    no lines in no files, 3 dropped, kept in kept"


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.splitlines() if "│" in row]


def test_a_terminal_shows_what_drifts_and_what_may() -> None:
    text = shown(replace(PROGRESS, scene=Scene("shifted rows", DRIFTING)), terminal=True)

    assert "12 s | 600 requests | 50/s | 1 errors | shifted rows" in text
    assert rows_of(text)[-2:] == [
        ["mean radius", "18.0", "16.5", "above 14: 40 % → 80 %"],
        ["worst area", "6.2", "17.2", "-"],
    ]


def test_everything_that_drifts_is_shown_of_the_others_a_few() -> None:
    many = [Suspect(f"drifting {number}", 20.0, 17.2, "moved") for number in range(7)]
    others = [Suspect(f"still {number}", 1.0, 17.2, None) for number in range(7)]

    for suspects, names in ((many + others, many), (others, others[:5])):
        text = shown(replace(PROGRESS, scene=Scene("", Drift(1, suspects))), terminal=True).rpartition(
            "evidence of drift"
        )[2]
        assert [row[0] for row in rows_of(text)] == [each.name for each in names]


def test_a_line_tells_what_drifts() -> None:
    progress = replace(PROGRESS, scene=Scene("shifted rows", DRIFTING))

    assert line(progress) == "12 s | 600 requests | 50/s | 1 errors | shifted rows | drift in mean radius"


def test_a_line_tells_the_evidence_while_nothing_drifts() -> None:
    told = [line(replace(PROGRESS, scene=Scene("usual rows", drift))) for drift in (QUIET, Drift(0, []))]

    begin = "12 s | 600 requests | 50/s | 1 errors | usual rows | no drift; most evidence: "
    assert told == [f"{begin}worst area 6.2, mean radius 5.0 of 17.2 nats", f"{begin}-"]


def test_moments_that_follow_each_other_closely_are_not_all_written_to_a_file() -> None:
    text = io.StringIO()
    with Screen(Console(file=text)).live() as show:
        for tenth in range(25):
            show(replace(PROGRESS, elapsed_s=tenth / 10))

    assert [each.partition(" |")[0] for each in text.getvalue().splitlines()] == ["0 s", "1 s", "2 s"]


QUALITY = Quality(
    joined=900,
    awaiting=300,
    labelled=900,
    reference=600,
    needed=600,
    learned=True,
    loss=0.03,
    accuracy=Amount(0.81, 0.017),
    estimated=Amount(0.83, 0.02),
    tests={"worse": Evidence(12.4, 12.2, 0.17, 0.07, alarm=True), "loss": Evidence(3.0, 13.3, None, 0.03, alarm=False)},
    segments=(),
)


def test_a_terminal_of_24_lines_holds_quality_beside_the_rest() -> None:
    many = replace(FIGURES, columns=[*FIGURES.columns] * 5)
    out = io.StringIO()
    Console(file=out, width=80).print(
        table(replace(PROGRESS, figures=many, scene=Scene("usual fraud", QUIET, QUALITY)))
    )

    text = out.getvalue()
    assert text.count("\n") < 24  # the last line is the cursor's
    assert "inputs: no drift; most evidence: worst area 6.2, mean radius 5.0 of 17.2 nats" in text
    assert "labels: 900 joined, 300 awaited; right by the latest: 81.0 % ± 1.7" in text
    assert ["wrong answers", "17.0 %", "7.0 %", "12.4", "12.2", "ALARM"] in rows_of(text)


def test_a_line_tells_of_quality_and_of_inputs() -> None:
    begin = "12 s | 600 requests | 50/s | 1 errors | usual fraud | 900 labels joined, 300 awaited"
    quality = "right 81.0 % ± 1.7, estimated 83.0 % ± 2.0 | evidence: worse 12.4 of 12.2, loss 3.0 of 13.3 ALARM"

    told = [line(replace(PROGRESS, scene=Scene("usual fraud", drift, QUALITY))) for drift in (QUIET, DRIFTING)]

    assert told == [f"{begin} | {quality} | inputs: {inputs}" for inputs in ("no drift", "drift in mean radius")]
