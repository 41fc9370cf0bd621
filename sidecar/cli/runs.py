"""`sidecar runs`: training runs, logged from shell scripts as `sidecar.start_run` logs them from Python."""

from collections.abc import Iterator, Sequence
from math import isnan

import click

from sidecar.cli.asking import EXITS, Asking, Book, catalogued, json_option, now_s
from sidecar.cli.telling import Cell, document, moment, spelled, table, tell
from sidecar.cli.words import Measured, once, pair, stepped
from sidecar.entries import Point, Run, RunStatus


@click.group(
    cls=Asking,
    epilog=EXITS,
    context_settings={"max_content_width": 120},
    help="""Log training runs into the catalogue, beside the versions that they make.

    \b
      run=$(sidecar runs start fraud --name xgb-7)
      sidecar runs log $run --parameter depth=6 --metric auc=0.91@1 --artefact model=s3://models/fraud/7
      sidecar runs end $run
      sidecar versions register fraud --run $run
    """,
)
def runs() -> None:
    """Only a group."""


@runs.command()
@click.argument("group")
@click.option("--name", metavar="TEXT", default="", help="For people.")
@catalogued(make=True)
def start(catalog: Book, *, group: str, name: str) -> None:
    """Begin a run of GROUP, the model that it trains. Prints its id.

    \b
      sidecar runs start fraud --name xgb-7 --catalog catalog.sqlite
    """  # noqa: D301  # click's mark of what is not to be wrapped
    tell(catalog.begin(group, name, now_s=now_s()).id)


@runs.command()
@click.argument("run", metavar="ID")
@click.option(
    "--parameter",
    "parameters",
    type=pair,
    multiple=True,
    metavar="NAME=VALUE",
    help="One that has a value gets this one.",
)
@click.option(
    "--metric",
    "metrics",
    type=stepped,
    multiple=True,
    metavar="NAME=NUMBER[@STEP]",
    help="Without a step it gets the one behind its last, from 0.",
)
@click.option(
    "--artefact",
    "artefacts",
    type=pair,
    multiple=True,
    metavar="NAME=PLACE",
    help="Where something is that it made; model is the model.",
)
@catalogued()
def log(
    catalog: Book,
    *,
    run: str,
    parameters: Sequence[tuple[str, str]],
    metrics: Sequence[Measured],
    artefacts: Sequence[tuple[str, str]],
) -> None:
    """Log parameters, metrics and artefacts of a run that has not ended: all of them or none.

    \b
      sidecar runs log $run --parameter depth=6 --metric loss=0.31@100 --metric auc=0.93
    """  # noqa: D301
    if not (parameters or metrics or artefacts):
        raise click.UsageError("Nothing to log: expected --parameter, --metric or --artefact.")
    catalog.log(
        run,
        parameters=once(parameters, "--parameter"),
        points=list(_points(catalog, run, metrics)),
        artefacts=once(artefacts, "--artefact"),
    )


@runs.command()
@click.argument("run", metavar="ID")
@click.option("--status", type=click.Choice(["finished", "failed"]), default="finished", show_default=True)
@catalogued()
def end(catalog: Book, *, run: str, status: RunStatus) -> None:
    """End a run.

    \b
      sidecar runs end $run --status failed
    """  # noqa: D301
    catalog.end(run, status, now_s=now_s())


@runs.command("list")
@click.argument("group")
@json_option
@catalogued()
def list_(catalog: Book, *, group: str, as_json: bool) -> None:
    """List the runs of GROUP, a model, the latest first, with the last value of each metric.

    \b
      sidecar runs list fraud
    """  # noqa: D301
    found = catalog.runs(group)
    if as_json:
        document({"runs": found})
    else:
        table(["id", "name", "status", "started", "ended", "metrics"], [_row(each) for each in found])


@runs.command()
@click.argument("run", metavar="ID")
@json_option
@catalogued()
def show(catalog: Book, *, run: str, as_json: bool) -> None:
    """Show a run; with --json all of its points.

    \b
      sidecar runs show $run
    """  # noqa: D301
    found = catalog.run(run)
    if as_json:
        document(found)
        return
    for what, text in _facts(found):
        tell(f"{what:<8} {spelled(text)}")
    sections: list[tuple[Sequence[str], Sequence[Sequence[Cell]]]] = [
        (["parameter", "value"], sorted(found.parameters.items())),
        (["artefact", "place"], sorted(found.artefacts.items())),
        (["metric", "last", "step", "least", "most", "points"], list(_metrics(found))),
    ]
    for header, rows in sections:
        if rows:
            tell()
            table(header, rows)


def _points(catalog: Book, run: str, metrics: Sequence[Measured]) -> Iterator[Point]:
    """Those without a step behind the last ones that the run has, and one behind the other."""
    stepless = any(each.step is None for each in metrics)
    last = {point.name: point.step for point in catalog.run(run).points} if stepless else {}
    time_s = now_s()
    for each in metrics:
        step = last.get(each.name, -1) + 1 if each.step is None else each.step
        last[each.name] = step
        yield Point(each.name, step, each.value, time_s)


def _row(run: Run) -> Sequence[Cell]:
    metrics = " ".join(f"{name}={value:.4g}" for name, value in run.metrics.items())
    return [run.id, run.name, run.status, moment(run.started_s), moment(run.ended_s), metrics]


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    thinned = f"{run.thinned} points were let go of, evenly" if run.thinned else ""
    facts = [
        ("run", run.id),
        ("model", run.group),
        ("name", run.name),
        ("status", run.status),
        ("started", moment(run.started_s)),
        ("ended", moment(run.ended_s)),
        ("thinned", thinned),
    ]
    return ((what, text) for what, text in facts if text)


def _metrics(run: Run) -> Iterator[Sequence[Cell]]:
    """Of each the last point, and the range of all; NaN is neither least nor most."""
    points: dict[str, list[Point]] = {}
    for point in run.points:
        points.setdefault(point.name, []).append(point)
    for name, those in sorted(points.items()):
        known = [each.value for each in those if not isnan(each.value)]
        least, most = (min(known), max(known)) if known else (None, None)
        yield [name, those[-1].value, str(those[-1].step), least, most, str(len(those))]
